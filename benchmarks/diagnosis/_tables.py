"""The tables, none of them downloaded, and how a run's rows are taken from them.

Thresholds are chosen on the development tables alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from sklearn import datasets

from sknnopt.datasets import load_pima

CLASSIFICATION = "classification"
REGRESSION = "regression"
#: Rows that are drawn of a table that is made.
_N_MADE = 2000
#: Rows on which losses are measured at most.
_MOST_TEST = 800
#: Rows that are kept for validation.
_MOST_VALID = 120
#: Rows that a rare class keeps at least.
_FEWEST = 8

XY = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Table:
    """A table: ``make()`` returns its rows and its target."""

    make: Callable[[], tuple[Any, Any]]
    task: str = CLASSIFICATION


def _bundled(name: str) -> Callable[[], tuple[Any, Any]]:
    return lambda: getattr(datasets, f"load_{name}")(return_X_y=True)


def _made(name: str, **settings: Any) -> Callable[[], tuple[Any, Any]]:
    def make() -> tuple[Any, Any]:
        return getattr(datasets, f"make_{name}")(
            n_samples=_N_MADE, random_state=0, **settings
        )

    return make


def _classes(n_features: int, n_informative: int, **settings: Any) -> Table:
    make = _made(
        "classification",
        n_features=n_features,
        n_informative=n_informative,
        **settings,
    )
    return Table(make)


def _checkerboard() -> tuple[np.ndarray, np.ndarray]:
    """Two of five columns say by the sign of their product which class a row has."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(_N_MADE, 5))
    return X, X[:, 0] * X[:, 1] + rng.normal(scale=0.1, size=_N_MADE) > 0


def _rolled() -> tuple[np.ndarray, np.ndarray]:
    """Stretches of a rolled sheet are four classes."""
    X, place = datasets.make_swiss_roll(_N_MADE, noise=0.5, random_state=0)
    return X, np.searchsorted(np.quantile(place, (0.25, 0.5, 0.75)), place)


DEVELOPMENT: dict[str, Table] = {
    "breast_cancer": Table(_bundled("breast_cancer")),
    "moons": Table(_made("moons", noise=0.25)),
    "classes": _classes(16, 8, n_classes=3, flip_y=0.05, class_sep=1.2),
    "many_classes": _classes(40, 15, n_classes=8, flip_y=0.02, class_sep=1.5),
    "noisy_classes": _classes(10, 3, flip_y=0.3, class_sep=0.8),
    "blobs": Table(_made("blobs", n_features=4, centers=6, cluster_std=3.0)),
    "checkerboard": Table(_checkerboard),
    "rolled": Table(_rolled),
    "diabetes": Table(_bundled("diabetes"), REGRESSION),
    "friedman1": Table(_made("friedman1", noise=1.0), REGRESSION),
    "s_curve": Table(_made("s_curve", noise=0.1), REGRESSION),
    "linear": Table(
        _made("regression", n_features=20, n_informative=8, noise=60.0), REGRESSION
    ),
}
FINAL: dict[str, Table] = {
    "pima": Table(lambda: load_pima(return_X_y=True)),
    "digits": Table(_bundled("digits")),
    "circles": Table(_made("circles", noise=0.15, factor=0.5)),
    "gaussian_quantiles": Table(_made("gaussian_quantiles", n_features=6, n_classes=3)),
    "hastie": Table(_made("hastie_10_2")),
    "friedman2": Table(_made("friedman2", noise=100.0), REGRESSION),
    "friedman3": Table(_made("friedman3", noise=0.1), REGRESSION),
}
TABLES = {**DEVELOPMENT, **FINAL}


@cache
def load(name: str) -> XY:
    """Return a table's rows and its target.

    Parameters
    ----------
    name : str
        One of ``TABLES``.

    Returns
    -------
    X, y : ndarray
        Classes are numbered from 0.
    """
    table = TABLES[name]
    X, y = (np.asarray(each, dtype=float) for each in table.make())
    if table.task == CLASSIFICATION:
        y = np.unique(y, return_inverse=True)[1]
    return X, y


@dataclass(frozen=True)
class Sample:
    """How rows are taken from a table.

    Parameters
    ----------
    table : str
        One of ``TABLES``.
    split : int
        Which rows are drawn for what.
    n_train, n_valid : int
        Rows to train on, and those that ``fit`` is given to validate on; 0: none.
    spread : float, default=0
        Orders of magnitude by which the scales of the columns differ from each other;
        with 0 the columns are as they are in the table.
    minority : float or None, default=None
        Share of the last class among the rows for training and validation; None: what
        it is.
    noise : float, default=0
        Share of the rows for training and validation whose class is drawn anew, or
        the standard deviation of what is added to a target of numbers, in units of its
        own.
    """

    table: str
    split: int
    n_train: int = 300
    n_valid: int = 120
    spread: float = 0.0
    minority: float | None = None
    noise: float = 0.0


@dataclass(frozen=True)
class Rows:
    """The rows of a run; a target of numbers is standardized."""

    train: XY
    valid: XY | None
    test: XY
    task: str


@cache
def rows_of(sample: Sample) -> Rows:
    """Draw the rows of a run.

    Parameters
    ----------
    sample : Sample
        How.

    Returns
    -------
    Rows
        Disjoint ones. A third of a short table at least is for the test.
    """
    X, y = load(sample.table)
    rng = np.random.default_rng([sample.split, len(y)])
    X = _spread(X, sample.spread, rng)
    order = rng.permutation(len(y))
    n_test = min(_MOST_TEST, max(len(y) // 3, len(y) - sample.n_train - _MOST_VALID))
    test, left = order[:n_test], order[n_test:]
    if sample.minority is not None:
        left = _thinned(left, y, sample.minority, rng)
    if sample.noise:
        y = _noisy(y, left, sample.noise, rng)
    # Kept apart also where few or none are wanted: a twin trains on the same rows.
    n_pool = min(_MOST_VALID, len(left) // 3)
    valid, train = left[:n_pool][: sample.n_valid], left[n_pool:][: sample.n_train]
    task = TABLES[sample.table].task
    if task == REGRESSION:
        y = (y - y[train].mean()) / y[train].std()
    return Rows(
        (X[train], y[train]),
        (X[valid], y[valid]) if sample.n_valid else None,
        (X[test], y[test]),
        task,
    )


def _spread(X: np.ndarray, spread: float, rng: np.random.Generator) -> np.ndarray:
    if not spread:
        return X
    exponents = np.linspace(-spread / 2, spread / 2, X.shape[1])
    # Standardized first, so that the spread is what it is said to be.
    scaled = (X - X.mean(axis=0)) / np.maximum(X.std(axis=0), 1e-12)
    return (scaled + 1.0) * 10.0 ** rng.permutation(exponents)


def _noisy(
    y: np.ndarray, rows: np.ndarray, noise: float, rng: np.random.Generator
) -> np.ndarray:
    """Return a target with noise in some rows."""
    y = y.copy()
    if y.dtype.kind == "f":
        y[rows] += rng.normal(scale=noise * y.std(), size=len(rows))
    else:
        drawn = rng.integers(y.max() + 1, size=len(rows))
        y[rows] = np.where(rng.random(len(rows)) < noise, drawn, y[rows])
    return y


def _thinned(
    rows: np.ndarray, y: np.ndarray, share: float, rng: np.random.Generator
) -> np.ndarray:
    """Leave out rows of the last class, any of them, until it has its share."""
    is_last = y[rows] == y.max()
    n_last = max(_FEWEST, round(share / (1 - share) * np.count_nonzero(~is_last)))
    surplus = rng.permutation(np.flatnonzero(is_last))[n_last:]
    return np.delete(rows, surplus)
