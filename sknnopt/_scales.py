"""Where the values of a parameter stand on an axis, and how they are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np


@dataclass(frozen=True)
class Axis:
    """An axis from 0 to 1 that values of any kind have places on.

    Parameters
    ----------
    name : str
        What it shows.
    scale : {"linear", "log", "category"}
        How values are laid out.
    ends : tuple of float
        The numbers at 0 and at 1; for categories, the first and the last index.
    ticks : tuple of (float, str)
        Places and what is written there.
    """

    name: str
    scale: str
    ends: tuple[float, float]
    ticks: tuple[tuple[float, str], ...]

    #: Stands for the value that a candidate does not have.
    MISSING: ClassVar[object] = object()

    @classmethod
    def of(cls, name: str, values: Sequence[Any], scale: str | None = None) -> Self:
        """Return the axis that shows given values.

        Parameters
        ----------
        name : str
            What it shows.
        values : sequence of object
            At least one value.
        scale : {"linear", "log", "category"} or None, default=None
            How they are laid out; None: as :func:`scale_of` finds.

        Returns
        -------
        Axis
            Numbers are marked at both ends and near the middle, categories each.
        """
        scale = scale_of(values) if scale is None else scale
        if scale == "category":
            labels = list(map(label_of, distinct(values)))
            axis = cls(name, scale, (0, len(labels) - 1), tuple(enumerate(labels)))
            ticks = [(axis._place(i), label) for i, label in enumerate(labels)]
        else:
            axis = cls(name, scale, (min(values), max(values)), ())
            whole = all(isinstance(value, int) for value in values)
            ticks = [(axis._place(x), label_of(x)) for x in axis._marks(whole)]
        return cls(name, scale, axis.ends, tuple(ticks))

    def places(self, values: Sequence[Any]) -> np.ndarray:
        """Return where values stand.

        Parameters
        ----------
        values : sequence of object
            Values that the axis was made of, or ``MISSING``.

        Returns
        -------
        ndarray of shape (n_values,)
            From 0 to 1; NaN for what is missing.
        """
        index = {label: i for i, (_, label) in enumerate(self.ticks)}
        is_category = self.scale == "category"
        return np.array(
            [
                np.nan
                if value is Axis.MISSING
                else self._place(index[label_of(value)] if is_category else value)
                for value in values
            ]
        )

    def _place(self, number: float) -> float:
        low, high = self.ends
        if low == high:
            return 0.5
        if self.scale == "log":
            return float(np.log(number / low) / np.log(high / low))
        return float((number - low) / (high - low))

    def _marks(self, whole: bool) -> list[float]:
        """Return the numbers to write: both ends, and one between."""
        low, high = self.ends
        middle = np.sqrt(low * high) if self.scale == "log" else (low + high) / 2
        middle = round(middle) if whole else float(middle)
        return sorted({low, middle, high})


def scale_of(values: Sequence[Any]) -> str:
    """Return the scale on which values are best shown.

    Parameters
    ----------
    values : sequence of object
        What a parameter was.

    Returns
    -------
    {"linear", "log", "category"}
        ``"category"`` unless all are numbers. Positive numbers are logarithmic if the
        greatest is at least 1000 times the least, or at least 10 times and their
        median is nearer to the middle on the logarithmic scale.
    """
    if not values or not all(map(is_number, values)):
        return "category"
    low, middle, high = np.quantile(np.array(values, dtype=float), [0, 0.5, 1])
    if low <= 0 or high < 10 * low:
        return "linear"
    linear = (middle - low) / (high - low)
    logarithmic = np.log(middle / low) / np.log(high / low)
    nearer = abs(logarithmic - 0.5) < abs(linear - 0.5)
    return "log" if nearer or high >= 1000 * low else "linear"


def scales_of(columns: Mapping[str, Sequence[Any]]) -> dict[str, str]:
    """Return the scale of each parameter, the same for all layers of one.

    Parameters
    ----------
    columns : mapping of str to sequence
        Values by parameter.

    Returns
    -------
    dict of str to {"linear", "log", "category"}
        What :func:`scale_of` finds for the values of all layers together.
    """
    together: dict[str, list[Any]] = {}
    for name, values in columns.items():
        together.setdefault(_without_layer(name), []).extend(values)
    scales = {name: scale_of(values) for name, values in together.items()}
    return {name: scales[_without_layer(name)] for name in columns}


def _without_layer(name: str) -> str:
    return name.rstrip("0123456789") if "__" in name else name


def label_of(value: Any) -> str:
    """Return a short text for a value.

    Parameters
    ----------
    value : object
        The value.

    Returns
    -------
    str
        A number with three digits, sizes joined by "-", else the value's own text.
    """
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, list | tuple):
        return "-".join(map(label_of, value))
    return str(value)


def distinct(values: Sequence[Any]) -> list[Any]:
    """Return values once each, numbers in order, then all else by its label.

    Parameters
    ----------
    values : sequence of object
        Values, which need not be hashable.

    Returns
    -------
    list
        Numbers, and of all else the first of those that are written alike.
    """
    numbers = sorted({value for value in values if is_number(value)})
    others = {label_of(v): v for v in reversed(values) if not is_number(v)}
    return [*numbers, *(others[label] for label in sorted(others))]


def is_number(value: Any) -> bool:
    """Return whether a value is a number and no truth value.

    Parameters
    ----------
    value : object
        The value.

    Returns
    -------
    bool
        Whether it is an int or a float.
    """
    return isinstance(value, int | float) and not isinstance(value, bool)
