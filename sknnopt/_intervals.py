"""Ranges of numbers that parameters may have."""

from __future__ import annotations

from numbers import Real
from typing import Any

from sklearn.utils._param_validation import Interval


class RealInterval(Interval):
    """scikit-learn's range of real numbers, for all that Python counts among them.

    Parameters
    ----------
    left, right : float or None
        Its ends; None: there is none.
    closed : {"left", "right", "both", "neither"}
        Which ends belong to it.
    """

    def __init__(self, left: float | None, right: float | None, *, closed: str) -> None:
        super().__init__(Real, left, right, closed=closed)

    def __contains__(self, val: Any) -> bool:
        # numpy, which scikit-learn asks, knows no fractions, and some integers are
        # larger than any float.
        try:
            return bool(super().__contains__(float(val)))
        except OverflowError:
            return False
