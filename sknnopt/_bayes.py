"""One Gaussian process of scikit-optimize over one search space."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from sknnopt._dimensions import Dimension, native

#: Random points in a row that bring nothing new before a space counts as exhausted.
_MOST_REPEATS = 100
Point = tuple[Any, ...]


class BayesPart:
    """An optimizer that is asked for several points at once, none of them twice.

    Parameters
    ----------
    subspace : mapping of str to Dimension
        The search space.
    n_random : int
        Random points at first, at least.
    """

    def __init__(self, subspace: Mapping[str, Dimension], n_random: int) -> None:
        free = {n: d for n, d in sorted(subspace.items()) if d.n_values > 1}
        self._dimensions = free
        self._fixed = {
            name: dimension.value_at(0)
            for name, dimension in subspace.items()
            if name not in free
        }
        # Choices go by position: scikit-optimize would turn some into others.
        self._spaces = [_positions(dimension).to_skopt() for dimension in free.values()]
        self._size = math.prod(dimension.n_values for dimension in free.values())
        self._n_random = n_random
        self._rng = np.random.RandomState(0)
        self._optimizer: Any = None
        self._seen: set[Point] = set()
        self._pending: dict[Point, None] = {}
        self._told: list[tuple[Point, float]] = []
        self.exhausted = False

    def seed(self, seed: int) -> None:
        """Say where randomness comes from.

        Parameters
        ----------
        seed : int
            A seed.
        """
        self._rng = np.random.RandomState(seed)

    def ask(self, n: int, worst: float) -> list[dict[str, Any]]:
        """Return new candidates.

        Parameters
        ----------
        n : int
            How many are wanted.
        worst : float
            The worst score so far, which failed candidates are given; NaN: there is
            none.

        Returns
        -------
        list of dict
            Values by parameter; fewer when the space is exhausted, which is remembered.
        """
        left = self._size - len(self._seen)
        points = self._new_points(int(min(n, left)), worst) if left else []
        self._pending.update(dict.fromkeys(points))
        self.exhausted = len(points) < n
        return [self._params(point) for point in points]

    def tell(self, params: Mapping[str, Any], score: float) -> None:
        """Learn how a candidate did.

        Parameters
        ----------
        params : mapping
            Values by parameter.
        score : float
            Greater is better; what is not finite is a failure.
        """
        point = tuple(
            d.position_of(params[name]) if d.kind == "choice" else native(params[name])
            for name, d in self._dimensions.items()
        )
        self._pending.pop(point, None)
        self._seen.add(point)
        self._told.append((point, score))

    def _new_points(self, n: int, worst: float) -> list[Point]:
        if not self._dimensions:
            self._seen.add(())
            return [()]
        if self._optimizer is None:
            self._optimizer = self._make_optimizer(n)
        points: list[Point] = []
        with warnings.catch_warnings():
            # It warns of points that were evaluated before, which are replaced below.
            warnings.filterwarnings(
                "ignore", message="The objective has been evaluated"
            )
            self._learn(worst)
            for point in self._suggested(n):
                self._keep(point, points)
        repeats = 0
        while len(points) < n and repeats < _MOST_REPEATS:
            drawn = self._optimizer.space.rvs(1, random_state=self._rng)[0]
            repeats = 0 if self._keep(drawn, points) else repeats + 1
        return points

    def _keep(self, drawn: Any, points: list[Point]) -> bool:
        point = tuple(map(native, drawn))
        if point in self._seen:
            return False
        self._seen.add(point)
        points.append(point)
        return True

    def _make_optimizer(self, n: int) -> Any:
        from skopt import Optimizer

        return Optimizer(
            self._spaces,
            n_initial_points=max(self._n_random, 0 if self._told else n),
            random_state=self._rng,
        )

    def _learn(self, worst: float) -> None:
        """Tell the optimizer all at once, for each time it fits a model."""
        if not self._told or np.isnan(worst):
            return
        points = [list(point) for point, _ in self._told]
        values = [-score if np.isfinite(score) else -worst for _, score in self._told]
        self._optimizer.tell(points, values)
        self._told = []

    def _suggested(self, n: int) -> list[Any]:
        optimizer = self._optimizer
        if self._pending:
            # Unanswered, they are assumed to do as well as the best.
            lie = min(optimizer.yi, default=0.0)
            optimizer = optimizer.copy(random_state=self._rng)
            points = [list(point) for point in self._pending]
            optimizer.tell(points, [lie] * len(points))
        if n == 1:
            return [optimizer.ask()]
        suggested: list[Any] = optimizer.ask(n_points=n)
        return suggested

    def _params(self, point: Point) -> dict[str, Any]:
        free = {
            name: dimension.value_at(value) if dimension.kind == "choice" else value
            for (name, dimension), value in zip(
                self._dimensions.items(), point, strict=True
            )
        }
        return {**self._fixed, **free}


def _positions(dimension: Dimension) -> Dimension:
    if dimension.kind != "choice":
        return dimension
    return dataclasses.replace(dimension, choices=tuple(range(len(dimension.choices))))
