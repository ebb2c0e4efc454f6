"""What one hyperparameter may be, in words that no library owns.

A :class:`Dimension` is written for scikit-learn's searches, scikit-optimize or Optuna,
neither of which is imported before it is written for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
from scipy import stats
from sklearn.utils import check_random_state

_STORABLE = (type(None), bool, int, float, str)
_LONGEST_LABEL = 60


@dataclass(frozen=True)
class Dimension:
    """The values that one hyperparameter may take.

    Parameters
    ----------
    kind : {"choice", "integer", "real", "opaque"}
        One of ``choices``, a number between bounds, or whatever ``source`` draws.
    low, high : int or float, default=0
        Bounds, both included.
    log : bool, default=False
        Whether the logarithm is uniform rather than the number.
    step : int, float or None, default=None
        Distance between neighbors, counted from ``low``; excludes ``log``.
    choices : tuple, default=()
        Any objects.
    weights : tuple of float or None, default=None
        Probabilities of the choices; None where all are equal.
    name : str, default=""
        The hyperparameter, for errors.
    source : object, default=None
        The distribution that this was read from, with ``rvs``.
    """

    kind: str
    low: float = 0
    high: float = 0
    log: bool = False
    step: float | None = None
    choices: tuple[Any, ...] = ()
    weights: tuple[float, ...] | None = None
    name: str = field(default="", compare=False)
    source: Any = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.kind == "choice":
            if not self.choices:
                raise ValueError(f"{self._who} has no value to choose from. Give one.")
        elif self.kind in {"integer", "real"}:
            self._check_bounds()

    @property
    def _who(self) -> str:
        return f"The parameter {self.name!r}" if self.name else "A parameter"

    def _check_bounds(self) -> None:
        finite = np.isfinite(self.low) and np.isfinite(self.high)
        if not finite or self.low > self.high:
            raise ValueError(
                f"{self._who} lies between {self.low!r} and {self.high!r}, which must "
                "be finite and in this order."
            )
        if self.log and self.low <= 0:
            raise ValueError(
                f"{self._who} has a logarithmic scale that begins at {self.low!r}. "
                "Begin above 0, or leave the scale linear."
            )
        if self.step is None:
            return
        if self.step <= 0 or self.log:
            raise ValueError(
                f"{self._who} has step={self.step!r} and log={self.log!r}. A step must "
                "be positive, and goes with a linear scale only."
            )
        object.__setattr__(self, "high", self.value_at(self._last_position))

    @property
    def _last_position(self) -> int:
        step = 1 if self.step is None else self.step
        return int((_exact(self.high) - _exact(self.low)) // _exact(step))

    @property
    def n_values(self) -> float:
        """How many values there are; infinite for a continuum."""
        if self.kind == "choice":
            return len(self.choices)
        if self.kind != "opaque" and self.low == self.high:
            return 1
        if self.kind == "integer" or (self.kind == "real" and self.step is not None):
            return self._last_position + 1
        return np.inf

    def value_at(self, position: int) -> Any:
        """Return a value by its position.

        Parameters
        ----------
        position : int
            Index of a choice, or number of steps from ``low``.

        Returns
        -------
        object
            The value, of Python's own types where it is a number.
        """
        if self.kind == "choice":
            return self.choices[position]
        step = 1 if self.step is None else self.step
        value = _exact(self.low) + position * _exact(step)
        return int(value) if self.kind == "integer" else float(value)

    def position_of(self, value: Any) -> int:
        """Return where a value stands among the choices.

        Parameters
        ----------
        value : object
            One of the choices.

        Returns
        -------
        int
            Its index; ``True``, ``1`` and ``1.0`` are told apart where they can be.

        Raises
        ------
        ValueError
            If it is none of them.
        """
        for alike in (_identical, _equal):
            for position, choice in enumerate(self.choices):
                if alike(choice, value):
                    return position
        raise ValueError(
            f"{self._who} has the value {value!r}, which is none of "
            f"{list(self.choices)!r}."
        )

    def __contains__(self, value: Any) -> bool:
        if self.kind == "opaque":
            return True
        if self.kind == "choice":
            return any(_equal(choice, value) for choice in self.choices)
        is_number = isinstance(value, Real) and not isinstance(value, bool)
        return is_number and self.low <= float(value) <= self.high

    # ---------------------------------------------------------------- writers

    def to_scipy(self) -> Any:
        """Write for scikit-learn's random searches.

        Returns
        -------
        list or distribution
            A list of choices, or an object whose ``rvs(random_state=)`` draws.
        """
        if self.source is not None:
            return self.source
        if self.kind == "choice" and self.weights is None:
            return list(self.choices)
        if self.n_values == 1:
            return [self.value_at(0)]
        log_integer = self.kind == "integer" and self.log
        if self.kind == "choice" or self.step is not None or log_integer:
            return Draws(self)
        if self.kind == "integer":
            return stats.randint(self.low, self.high + 1)
        uniform = stats.uniform(self.low, self.high - self.low)
        return stats.loguniform(self.low, self.high) if self.log else uniform

    def to_skopt(self) -> Any:
        """Write for scikit-optimize.

        Returns
        -------
        skopt.space.Dimension
            A new one, for scikit-optimize changes those that it is given.

        Raises
        ------
        ValueError
            If it cannot hold the choices or the distribution.
        """
        from skopt import space

        self._refuse_opaque("scikit-optimize")
        if self.kind == "choice":
            self._refuse_mixed()
            weights = None if self.weights is None else list(self.weights)
            return space.Categorical(list(self.choices), prior=weights)
        if self.n_values == 1:
            return space.Categorical([self.value_at(0)])
        if self.step is not None:
            from sknnopt._steps import Steps

            n_values = int(self.n_values)
            return Steps(self.low, self.high, self.step, n_values, self.value_at)
        prior = "log-uniform" if self.log else "uniform"
        if self.kind == "integer":
            return space.Integer(self.low, self.high, prior=prior, base=2)
        return space.Real(self.low, self.high, prior=prior)

    def to_optuna(self) -> Any:
        """Write for Optuna.

        Returns
        -------
        optuna.distributions.BaseDistribution
            Choices that Optuna cannot store are labels; see :meth:`label`.

        Raises
        ------
        ValueError
            If there is no such distribution.
        """
        from optuna import distributions

        self._refuse_opaque("Optuna")
        if self.weights is not None:
            raise ValueError(
                f"{self._who} gives its choices probabilities, which Optuna does not "
                "know. Leave them out, or choose another sampler."
            )
        if self.kind == "choice":
            return distributions.CategoricalDistribution(self._labels)
        if self.kind == "integer":
            return distributions.IntDistribution(
                int(self.low), int(self.high), log=self.log, step=int(self.step or 1)
            )
        return distributions.FloatDistribution(
            self.low, self.high, log=self.log, step=self.step
        )

    def label(self, value: Any) -> Any:
        """Return what stands for a value in Optuna.

        Parameters
        ----------
        value : object
            A value of the dimension.

        Returns
        -------
        None, bool, int, float or str
            The value where Optuna can store all choices, or else a string that begins
            with the position.
        """
        if self.kind == "choice":
            return self._labels[self.position_of(value)]
        return int(value) if self.kind == "integer" else float(value)

    def unlabel(self, label: Any) -> Any:
        """Return the value that a label stands for.

        Parameters
        ----------
        label : object
            What :meth:`label` returns.

        Returns
        -------
        object
            The value.
        """
        if self.kind != "choice":
            return label
        labels = Dimension("choice", choices=self._labels, name=self.name)
        return self.choices[labels.position_of(label)]

    @property
    def _labels(self) -> tuple[Any, ...]:
        choices = self.choices
        storable = all(type(choice) in _STORABLE for choice in choices)
        if storable and len(set(choices)) == len(choices):
            return choices
        return tuple(f"{i}: {_short(choice)}" for i, choice in enumerate(choices))

    def _refuse_opaque(self, library: str) -> None:
        if self.kind == "opaque":
            raise ValueError(
                f"{self._who} has a distribution ({_short(self.source)}) that "
                f"{library} cannot search. Give scipy.stats.uniform, loguniform or "
                "randint, a list of choices, or search with sampler='random'."
            )

    def _refuse_mixed(self) -> None:
        # It makes an array of the choices, which turns numbers beside strings into
        # strings, and sequences into rows.
        wide = [c for c in self.choices if not isinstance(c, str | Real | None)]
        texts = [isinstance(choice, str) for choice in self.choices]
        mixed = any(texts) and any(isinstance(choice, Real) for choice in self.choices)
        if wide or (mixed and None not in self.choices):
            raise ValueError(
                f"{self._who} has the choices {list(self.choices)!r}, which "
                "scikit-optimize cannot hold. Give strings alone or numbers alone, "
                "with or without None, such as '128-64' for hidden_layer_sizes."
            )


@dataclass(frozen=True)
class Draws:
    """Random values of a dimension for which scipy has no distribution.

    Parameters
    ----------
    dimension : Dimension
        Weighted choices, numbers in steps, or integers on a logarithmic scale.
    """

    dimension: Dimension

    def rvs(self, size: int | None = None, random_state: Any = None) -> Any:
        """Draw.

        Parameters
        ----------
        size : int or None, default=None
            How many values; None for a bare one.
        random_state : int, RandomState or None, default=None
            Where randomness comes from.

        Returns
        -------
        object or list
            One value, or a list.
        """
        rng = check_random_state(random_state)
        if size is None:
            return self._draw(rng)
        return [self._draw(rng) for _ in range(size)]

    def _draw(self, rng: Any) -> Any:
        dimension = self.dimension
        if dimension.log:
            # Each integer stands for what rounds to it, the bounds like the others.
            ends = np.log([dimension.low - 0.5, dimension.high + 0.5])
            drawn = round(float(np.exp(rng.uniform(*ends))))
            return int(np.clip(drawn, dimension.low, dimension.high))
        if dimension.weights is not None:
            return dimension.value_at(
                int(rng.choice(len(dimension.choices), p=dimension.weights))
            )
        return dimension.value_at(int(rng.randint(int(dimension.n_values))))


def native(value: Any) -> Any:
    """Return numpy's scalars as Python's own.

    Parameters
    ----------
    value : object
        Anything.

    Returns
    -------
    object
        A number, string or bool of Python, or the value itself.
    """
    return value.item() if isinstance(value, np.generic) else value


def _exact(number: float) -> Decimal:
    """Return the decimal number that a float is written as."""
    return Decimal(str(number))


def _equal(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return np.array_equal(one, other)
    both_nan = one != one and other != other  # noqa: PLR0124
    return bool(both_nan or one == other)


def _identical(one: Any, other: Any) -> bool:
    return type(one) is type(native(other)) and _equal(one, other)


def _short(value: Any) -> str:
    text = repr(value)
    # An address would differ from one process to the next.
    if " at 0x" in text:
        text = type(value).__name__
    if len(text) > _LONGEST_LABEL:
        text = text[: _LONGEST_LABEL - 3] + "..."
    return text
