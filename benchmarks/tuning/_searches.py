"""The searches that get the same wall time, ours and its rivals.

Each selects a model by log-loss and fits it to all training rows, which comes on top of
the time. All networks are single ones, searched over our space ``"small"`` as far as
their package can express it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd
from joblib import parallel_config
from sklearn.model_selection import GridSearchCV, StratifiedKFold

from benchmarks.quality._methods import prepared
from benchmarks.quality._splits import Split
from benchmarks.tuning import _grids, _keras
from benchmarks.tuning._versions import (
    digest,
    keras_versions,
    our_versions,
    versions_of,
)
from benchmarks.tuning._watching import RandomWithin, watched
from sknnopt import OptimizedMLPClassifier

N_FOLDS = 5
#: One network, like those of the rivals; the estimators' default is an ensemble.
N_MEMBERS = 1
#: Candidates that the gathered ``BayesSearchCV`` asks for at a time.
N_POINTS = 8
#: No search within a time comes near so many candidates.
NO_LIMIT = 100_000
PREFIX = "optimizedmlpclassifier__"
SCORING = "neg_log_loss"


@dataclass(frozen=True)
class Problem:
    """What a search is given.

    Parameters
    ----------
    rows : Split
        To train on, and to predict.
    seconds : float
        Wall time of the search.
    seed : int
        Of folds, candidates and networks.
    """

    rows: Split
    seconds: float
    seed: int

    @property
    def cv(self) -> StratifiedKFold:
        """Return the folds."""
        return StratifiedKFold(N_FOLDS, shuffle=True, random_state=self.seed)


@dataclass
class Found:
    """What a search has found.

    Parameters
    ----------
    predict_proba : callable
        Of rows, returns the probability of each class.
    seconds, refit_seconds : float
        Wall time of the search, and of the final fit.
    best_loss : float
        Log-loss by which the model was selected.
    n_candidates : int
        Candidates that were evaluated, pruned ones included.
    curve : list of (float, float), default=[]
        Seconds, and the best log-loss until then.
    extra : dict, default={}
        What else is told of the search.
    """

    predict_proba: Callable[[pd.DataFrame], np.ndarray]
    seconds: float
    refit_seconds: float
    best_loss: float
    n_candidates: int
    curve: list[tuple[float, float]] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Search:
    """A way to search.

    Parameters
    ----------
    label : str
        What reports call it.
    run : callable
        Of a :class:`Problem`, returns what it has :class:`Found`.
    versions : callable
        Returns versions of what its results depend on.
    modules : tuple of str, default=()
        What must be importable beyond the project's own dependencies.
    is_ours : bool, default=False
        Whether it is ``MLPSearchCV``, which all others are rivals of.
    """

    label: str
    run: Callable[[Problem], Found]
    versions: Callable[[], dict[str, str]]
    modules: tuple[str, ...] = ()
    is_ours: bool = False

    @property
    def missing(self) -> list[str]:
        """Return those of its modules that are not installed."""
        return [name for name in self.modules if find_spec(name) is None]


def our_model(seed: int) -> Any:
    """Return the pipeline that searches with our networks tune."""
    network = OptimizedMLPClassifier(n_members=N_MEMBERS, random_state=seed)
    return prepared(network)


def our_space(kind: str, prefix: str = "") -> dict[str, Any]:
    """Return the space that is searched, see :func:`sknnopt.search.space`.

    Parameters
    ----------
    kind : {"skopt", "sklearn"}
        Whose dimensions.
    prefix : str, default=""
        What to put before each name.

    Returns
    -------
    dict
        Dimensions by parameter.
    """
    from sknnopt.search import space

    return space(kind, "small", prefix=prefix)


def _fitted(search: Any, problem: Problem, **options: Any) -> Found:
    """Fit a search of scikit-learn's kind that can be watched."""
    begun = time.perf_counter()
    search.fit(problem.rows.X_train, problem.rows.y_train, **options)
    spent = time.perf_counter() - begun
    results = search.cv_results_
    extra = {}
    if "pruned" in results:
        extra["n_pruned"] = int(np.sum(results["pruned"]))
    return Found(
        predict_proba=search.predict_proba,
        seconds=spent - search.refit_time_,
        refit_seconds=search.refit_time_,
        best_loss=-float(results["mean_test_score"][search.best_index_]),
        n_candidates=len(results["params"]),
        curve=[(seconds, -best) for seconds, best, _ in search.watched_],
        extra=extra,
    )


def mlp_search(
    problem: Problem,
    sampler: str,
    *,
    pruning: str | None = "halving",
    n_iter: int = NO_LIMIT,
) -> Found:
    """Search with ``MLPSearchCV``.

    Parameters
    ----------
    problem : Problem
        What to search for; infinite ``seconds`` are no limit.
    sampler, pruning, n_iter
        As it takes them.

    Returns
    -------
    Found
        What it came to.
    """
    from sknnopt.search import MLPSearchCV

    search = watched(MLPSearchCV)(
        our_model(problem.seed),
        our_space("sklearn", PREFIX),
        n_iter=n_iter,
        sampler=sampler,
        pruning=pruning,
        max_seconds=problem.seconds if math.isfinite(problem.seconds) else None,
        scoring=SCORING,
        cv=problem.cv,
        random_state=problem.seed,
    )
    return _fitted(search, problem)


def _random_search(problem: Problem) -> Found:
    search = watched(RandomWithin)(
        our_model(problem.seed),
        our_space("sklearn", PREFIX),
        n_iter=NO_LIMIT,
        scoring=SCORING,
        cv=problem.cv,
        random_state=problem.seed,
    )
    search.seconds = problem.seconds
    with parallel_config(backend="sknnopt"):
        return _fitted(search, problem)


class _Deadline:
    """Tells ``BayesSearchCV``, after each of its steps, whether time is up."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def __call__(self, result: Any) -> bool:
        return time.monotonic() >= self._end


def _bayes_search(problem: Problem, **options: Any) -> Found:
    from skopt import BayesSearchCV

    search = watched(BayesSearchCV)(
        our_model(problem.seed),
        our_space("skopt", PREFIX),
        n_iter=NO_LIMIT,
        scoring=SCORING,
        cv=problem.cv,
        random_state=problem.seed,
        **options,
    )
    return _fitted(search, problem, callback=_Deadline(problem.seconds))


def _bayes_gathered(problem: Problem) -> Found:
    with parallel_config(backend="sknnopt"):
        return _bayes_search(problem, n_points=N_POINTS, n_jobs=-1)


def _grid_search(problem: Problem) -> Found:
    model, folds = prepared(_grids.Network(random_state=problem.seed)), problem.cv
    grid, seconds = _grids.fitting(model, problem.rows, folds, SCORING, problem.seconds)
    search = watched(GridSearchCV)(model, grid, scoring=SCORING, cv=folds, n_jobs=-1)
    found = _fitted(search, problem)
    found.extra["calibration_seconds"] = seconds
    return found


def _keras_search(problem: Problem, kind: str) -> Found:
    from benchmarks.tuning._keras_budget import search_with_keras

    return search_with_keras(problem, kind, our_space("skopt"))


def _sklearn_versions() -> dict[str, str]:
    grids = digest((_grids.VALUES, _grids.LADDER))
    return {**versions_of("scikit-learn", "numpy", "joblib"), "grids": grids}


def _keras_versions() -> dict[str, str]:
    # Of our package it depends on the space alone.
    return {**keras_versions(), "space": digest(sorted(our_space("skopt").items()))}


def _tpe_versions() -> dict[str, str]:
    return our_versions("optuna")


def _bayes_versions() -> dict[str, str]:
    return our_versions("scikit-optimize")


SEARCHES: dict[str, Search] = {
    "mlp-random": Search(
        "MLPSearchCV, random, halving",
        lambda problem: mlp_search(problem, "random"),
        our_versions,
        is_ours=True,
    ),
    "mlp-tpe": Search(
        "MLPSearchCV, TPE, halving",
        lambda problem: mlp_search(problem, "tpe"),
        _tpe_versions,
        ("optuna",),
        is_ours=True,
    ),
    "random": Search("RandomizedSearchCV, gathered", _random_search, our_versions),
    "bayes": Search("BayesSearchCV", _bayes_search, _bayes_versions),
    "bayes-gathered": Search(
        f"BayesSearchCV, gathered, n_points={N_POINTS}",
        _bayes_gathered,
        _bayes_versions,
    ),
    "keras-random": Search(
        "Keras-Tuner, RandomSearch",
        lambda problem: _keras_search(problem, "random"),
        _keras_versions,
        _keras.MODULES,
    ),
    "keras-hyperband": Search(
        "Keras-Tuner, Hyperband",
        lambda problem: _keras_search(problem, "hyperband"),
        _keras_versions,
        _keras.MODULES,
    ),
    "sklearn-grid": Search(
        "GridSearchCV, scikit-learn's MLP", _grid_search, _sklearn_versions
    ),
}
