"""Grids over scikit-learn's network, of which one fits into a time."""

from __future__ import annotations

import time
import warnings
from itertools import product
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, ParameterGrid
from sklearn.neural_network import MLPClassifier

from benchmarks.quality._splits import Split

PREFIX = "network__"
#: Values of each parameter, in the order in which one would try them.
VALUES: dict[str, list[Any]] = {
    "learning_rate_init": [1e-3, 1e-2, 1e-4, 3e-2],
    "alpha": [1e-4, 1e-1, 1e-2, 1.0],
    "n_units": [64, 16, 128, 32],
    "n_layers": [1, 2, 3],
    "early_stopping": [False, True],
    "activation": ["relu", "tanh", "logistic"],
}
#: How many values of each make a grid, from small grids to large ones.
LADDER: tuple[tuple[int, ...], ...] = (
    (2, 1, 1, 1, 1, 1),
    (2, 2, 1, 1, 1, 1),
    (2, 2, 2, 1, 1, 1),
    (3, 2, 2, 1, 1, 1),
    (3, 2, 2, 1, 2, 1),
    (3, 2, 2, 2, 2, 1),
    (3, 3, 2, 2, 2, 1),
    (3, 3, 3, 2, 2, 1),
    (3, 3, 3, 2, 2, 2),
    (3, 3, 3, 3, 2, 2),
    (4, 3, 3, 3, 2, 2),
    (4, 4, 4, 3, 2, 3),
)
#: Candidates that tell how long one takes.
N_TRIED = 8


class Network(MLPClassifier):
    """scikit-learn's network, silent where its epochs are what ends the training."""

    def fit(self, X: np.ndarray, y: np.ndarray) -> Network:
        """Fit the network."""
        # Workers do not see the filter of the process that started them.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            super().fit(X, y)
        return self


def grid(counts: tuple[int, ...]) -> dict[str, list[Any]]:
    """Return a grid.

    Parameters
    ----------
    counts : tuple of int
        How many values of each of ``VALUES``.

    Returns
    -------
    dict
        Lists by parameter of the pipeline's step ``network``.
    """
    kept = {
        name: values[:count]
        for (name, values), count in zip(VALUES.items(), counts, strict=True)
    }
    units, layers = kept.pop("n_units"), kept.pop("n_layers")
    kept["hidden_layer_sizes"] = [(n,) * depth for depth, n in product(layers, units)]
    return {PREFIX + name: values for name, values in kept.items()}


def fitting(
    model: Any, rows: Split, cv: Any, scoring: str, seconds: float
) -> tuple[dict[str, list[Any]], float]:
    """Return the largest grid that a search is expected to end within a time.

    Some candidates of the largest grid, at equal steps through it, are tried for that;
    the time they take does not count.

    Parameters
    ----------
    model : Pipeline
        Ends in :class:`Network`.
    rows : Split
        Rows to train on.
    cv : splitter
        Folds.
    scoring : str
        Of the search.
    seconds : float
        Wall time.

    Returns
    -------
    grid : dict
        Of the search.
    seconds : float
        What the trial took.
    """
    largest = list(ParameterGrid(grid(LADDER[-1])))
    places = np.linspace(0, len(largest) - 1, N_TRIED).round().astype(int)
    tried = [{name: [v] for name, v in largest[i].items()} for i in places]
    search = GridSearchCV(model, tried, scoring=scoring, cv=cv, n_jobs=-1, refit=False)
    begun = time.perf_counter()
    search.fit(rows.X_train, rows.y_train)
    spent = time.perf_counter() - begun
    return grid(rung(seconds / (spent / N_TRIED))), spent


def rung(affordable: float) -> tuple[int, ...]:
    """Return the counts of the largest grid of the ladder.

    Parameters
    ----------
    affordable : float
        Candidates that it may have; the smallest grid is taken in any case.

    Returns
    -------
    tuple of int
        One of ``LADDER``.
    """
    small = [counts for counts in LADDER if np.prod(counts) <= affordable]
    return small[-1] if small else LADDER[0]
