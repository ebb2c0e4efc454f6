"""A dimension of scikit-optimize that goes in steps.

This module imports scikit-optimize, so it is imported where it is used only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from skopt.space import Integer


class Steps(Integer):
    """Equally spaced numbers, in their order.

    To scikit-optimize's models this is an integer dimension of positions: one column,
    where a categorical dimension would take one for each number.

    Parameters
    ----------
    start, stop : int or float
        The first and the last number.
    n_values : int
        How many there are.
    number : callable
        The number at a position, of the type that users want.
    step : int or float
        What lies between two.
    """

    def __init__(
        self,
        start: float,
        stop: float,
        step: float,
        n_values: int,
        number: Callable[[int], float],
    ) -> None:
        super().__init__(0, n_values - 1, dtype=int)
        self.start = start
        self.stop = stop
        self.step = step
        self.number = number

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Steps)
            and self.bounds == other.bounds
            and self.step == other.step
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Steps(start={self.start}, stop={self.stop}, step={self.step})"

    def __contains__(self, point: Any) -> bool:
        inside: bool = self.start <= point <= self.stop
        return inside

    @property
    def bounds(self) -> tuple[float, float]:
        """The first and the last number."""
        return self.start, self.stop

    def transform(self, X: Any) -> Any:
        """Turn numbers into what models see.

        Parameters
        ----------
        X : array-like
            Numbers.

        Returns
        -------
        array
            Their positions, as scikit-optimize scales integers.
        """
        positions = (np.asarray(X, dtype=float) - self.start) / self.step
        return super().transform(np.round(positions))

    def inverse_transform(self, Xt: Any) -> Any:
        """Turn what models see into numbers.

        Parameters
        ----------
        Xt : array-like
            Positions, as scikit-optimize scales integers.

        Returns
        -------
        list or number
            The numbers there.
        """
        positions = super().inverse_transform(Xt)
        if isinstance(positions, list):
            return [self.number(position) for position in positions]
        return self.number(positions)
