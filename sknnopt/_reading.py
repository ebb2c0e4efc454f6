"""Reading search spaces of scikit-learn, scikit-optimize and Optuna.

Whatever users give becomes dicts of :class:`Dimension`, one for each subspace.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, TypeAlias

import numpy as np

from sknnopt._dimensions import Dimension, Draws, native

#: The dimensions of one subspace, by parameter.
Subspace: TypeAlias = dict[str, Dimension]


def read_space(space: Any) -> list[Subspace]:
    """Read a search space.

    Parameters
    ----------
    space : dict or list of dict
        What :func:`read` takes, by parameter; a list holds subspaces.

    Returns
    -------
    list of dict
        One or more subspaces.

    Raises
    ------
    TypeError, ValueError
        If it is neither, or if a dimension is wrong.
    """
    parts = [space] if isinstance(space, Mapping) else space
    if not isinstance(parts, Sequence) or not parts:
        raise ValueError(
            "The search space must be a dict or a list of dicts. "
            f"Got {space!r} instead."
        )
    for part in parts:
        if not isinstance(part, Mapping):
            raise ValueError(
                f"The search space is a list with the element {part!r}. Its elements "
                "must be dicts, without numbers of candidates beside them."
            )
    return [
        {str(name): read(value, str(name)) for name, value in part.items()}
        for part in parts
    ]


def read(value: Any, name: str) -> Dimension:
    """Read what a user put into a search space.

    Parameters
    ----------
    value : object
        A list, tuple or array of choices; a frozen distribution of scipy or anything
        with ``rvs``; a dimension of scikit-optimize; a distribution of Optuna; or a
        :class:`Dimension`. Two numbers in a list are two choices.
    name : str
        The hyperparameter, for errors.

    Returns
    -------
    Dimension
        What it means.

    Raises
    ------
    TypeError
        If it is none of these.
    ValueError
        If it is empty, or looks like a range of scikit-optimize in a tuple.
    """
    if isinstance(value, Dimension):
        return value
    if isinstance(value, Draws):
        return value.dimension
    for reader in (_from_skopt, _from_optuna):
        found = reader(value, name)
        if found is not None:
            return found
    if isinstance(value, np.ndarray) and value.ndim > 0:
        return Dimension("choice", choices=tuple(map(native, value)), name=name)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return _from_choices(value, name)
    if hasattr(value, "rvs"):
        return _from_scipy(value, name)
    raise TypeError(
        f"The parameter {name!r} of the search space is {value!r}. Give a list of "
        "choices (one value: [value]), a frozen distribution of scipy.stats, a "
        "dimension of scikit-optimize or a distribution of Optuna."
    )


def _from_choices(value: Sequence[Any], name: str) -> Dimension:
    is_range = len(value) in {3, 4} and all(isinstance(v, Real) for v in value[:2])
    if is_range and value[2] in ("uniform", "log-uniform"):
        raise ValueError(
            f"The parameter {name!r} of the search space is {value!r}, and a sequence "
            "holds choices. For a range give scipy.stats.uniform or loguniform, or "
            "skopt.space.Real or Integer."
        )
    return Dimension("choice", choices=tuple(map(native, value)), name=name)


def _from_skopt(value: Any, name: str) -> Dimension | None:
    # What is of a class was made by its module, so an absent module needs no import.
    space = sys.modules.get("skopt.space")
    if space is None or not isinstance(value, space.Dimension):
        return None
    if isinstance(value, space.Categorical):
        weights = None if value.prior is None else tuple(value.prior)
        choices = tuple(map(native, value.categories))
        return Dimension("choice", choices=choices, weights=weights, name=name)
    kind = "integer" if isinstance(value, space.Integer) else "real"
    step = getattr(value, "step", None)
    if step is not None:
        kind = "integer" if isinstance(value.number(0), int) else "real"
    low, high = map(native, value.bounds)
    log = value.prior == "log-uniform"
    return Dimension(kind, low, high, log=log, step=step, name=name)


def _from_optuna(value: Any, name: str) -> Dimension | None:
    known = sys.modules.get("optuna.distributions")
    if known is None or not isinstance(value, known.BaseDistribution):
        return None
    if isinstance(value, known.CategoricalDistribution):
        return Dimension("choice", choices=tuple(value.choices), name=name)
    is_integer = isinstance(value, known.IntDistribution)
    step = None if is_integer and value.step == 1 else value.step
    return Dimension(
        "integer" if is_integer else "real",
        value.low,
        value.high,
        log=value.log,
        step=step,
        name=name,
    )


def _from_scipy(value: Any, name: str) -> Dimension:
    opaque = Dimension("opaque", name=name, source=value)
    dist: Any = getattr(value, "dist", None)
    family = getattr(dist, "name", "")
    if family not in {"uniform", "loguniform", "reciprocal", "randint"}:
        return opaque
    shapes, loc, scale = dist._parse_args(*value.args, **value.kwds)
    kind, log = "real", False
    if family == "uniform":
        low, high = loc, loc + scale
    elif family == "randint":
        kind, low, high = "integer", shapes[0] + loc, shapes[1] + loc - 1
    else:
        log, low, high = True, shapes[0] * scale, shapes[1] * scale
    if (log and loc != 0) or np.ndim(low) or np.ndim(high):
        return opaque
    convert = int if kind == "integer" else float
    return Dimension(
        kind, convert(low), convert(high), log=log, name=name, source=value
    )
