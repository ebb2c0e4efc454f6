"""The search of the tune command, and what it tells."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
from joblib import parallel_config
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, ParameterGrid
from sklearn.pipeline import Pipeline

from sknnopt._candidates import Trials, read_trials
from sknnopt._cli.models import STEP
from sknnopt._cli.results import SearchSummary
from sknnopt._cli.settings import TuneSettings
from sknnopt._cli.splitting import Rows
from sknnopt._cli.tables import InputError, one_line
from sknnopt._search_curves import best_so_far, learning_curves
from sknnopt._surrogate import MIN_CANDIDATES
from sknnopt.search import MLPSearchCV, grid, parameter_importance, space, trials_frame

#: The order in which parameters join a grid: those that tend to matter most first.
GRID_ORDER = (
    *("learning_rate", "n_units", "dropout", "weight_decay", "n_layers", "l2"),
    *("optimizer", "activation", "batch_size", "l1", "normalization"),
    *("lr_schedule", "weight_init", "clip_norm"),
)
_PREFIX = f"{STEP}__"
#: More curves than that are a gray wall, and a large page.
_MOST_CURVES = 150


def run_search(
    model: Pipeline, rows: Rows, folds: Any, settings: TuneSettings, *, verbose: bool
) -> SearchSummary:
    """Search the hyperparameters of a model.

    Parameters
    ----------
    model : Pipeline
        The model.
    rows : Rows
        What to search on.
    folds : splitter
        Folds of cross-validation.
    settings : TuneSettings
        The options.
    verbose : bool
        Whether to show on standard error how far the search is.

    Returns
    -------
    SearchSummary
        What was tried.

    Raises
    ------
    InputError
        If the grid is empty, or the database of the study fails.
    """
    if settings.search == "grid":
        search = _grid_search(model, folds, settings, verbose=verbose)
        with parallel_config(backend="sknnopt", n_jobs=settings.n_jobs):
            search.fit(rows.X, rows.y)
        return _summary(search)
    search = MLPSearchCV(
        clone(model),
        space("sklearn", settings.space, prefix=_PREFIX),
        n_iter=settings.n_candidates,
        sampler=settings.search,
        pruning=settings.rule,
        max_seconds=settings.budget,
        study=settings.study,
        n_jobs=settings.n_jobs,
        refit=False,
        cv=folds,
        verbose=int(verbose),
        random_state=settings.seed,
    )
    with _database_errors(settings.study):
        search.fit(rows.X, rows.y)
    return _summary(search)


def grid_names(preset: str, n_most: int) -> list[str]:
    """Return the parameters of the largest grid of so many candidates.

    Parameters
    ----------
    preset : str
        Of the search space.
    n_most : int
        Candidates at most.

    Returns
    -------
    list of str
        Without the step's name.

    Raises
    ------
    InputError
        If even one parameter gives more candidates.
    """
    whole = grid(preset)
    present = [name for name in GRID_ORDER if name in whole]
    sizes = [
        len(ParameterGrid(grid(preset, names=present[:k])))
        for k in range(1, len(present) + 1)
    ]
    n_fitting = sum(size <= n_most for size in sizes)
    if n_fitting == 0:
        raise InputError(
            f"--n-iter {n_most} is too few for a grid, which has {sizes[0]} candidates "
            "or more; use a larger --n-iter or another --search"
        )
    return present[:n_fitting]


def _grid_search(
    model: Pipeline, folds: Any, settings: TuneSettings, *, verbose: bool
) -> GridSearchCV:
    names = grid_names(settings.space, settings.n_candidates)
    # The bar of the networks, over the epochs of all.
    shown = clone(model).set_params(**{f"{_PREFIX}verbose": int(verbose)})
    return GridSearchCV(
        shown,
        grid(settings.space, names=names, prefix=_PREFIX),
        cv=folds,
        refit=False,
    )


@contextmanager
def _database_errors(study: str | None) -> Iterator[None]:
    """Turn what goes wrong with the database into one line."""
    if study is None:
        yield
        return
    try:
        from optuna.exceptions import StorageInternalError
        from sqlalchemy.exc import SQLAlchemyError
    except ImportError:
        # The search itself says which library it lacks.
        yield
        return
    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        cause = error.__cause__ or error
        raise InputError(f"--resume {study}: {one_line(cause)}") from error


def _summary(search: Any) -> SearchSummary:
    trials, frame = read_trials(search), trials_frame(search)
    names = {name: name.removeprefix(_PREFIX) for name in frame.attrs["parameters"]}
    best = 0 if trials.best is None else trials.best
    curves, curves_note = _curves(search, trials, best)
    importance, importance_note = _importance(search, trials)
    return SearchSummary(
        trials=frame.rename(columns=names),
        parameters=tuple(names.values()),
        best=best,
        params={
            name.removeprefix(_PREFIX): value
            for name, value in trials.params[best].items()
        },
        best_so_far=best_so_far(trials),
        curves=curves,
        curves_note=curves_note,
        importance=importance,
        importance_note=importance_note,
    )


def _curves(search: Any, trials: Trials, best: int) -> tuple[pd.DataFrame, str]:
    """Return the validation losses of the best and of some others."""
    none = pd.DataFrame({"candidate": [], "epoch": [], "loss": []})
    known = getattr(search, "curves_", None)
    if known is None:
        return none, "A search over a grid keeps no curves of its candidates."
    if known.empty:
        return none, "No candidate has a curve: all of their fits failed."
    curves = learning_curves(search, trials, None)
    numbers = curves["candidate"].unique()
    shown = _some(numbers, best)
    notes = ["Mean over the folds; one that has stopped counts with its last loss."]
    if len(shown) < len(numbers):
        notes.append(f"Of {len(numbers)} candidates {len(shown)} are drawn.")
    n_missing = len(trials.numbers) - len(numbers)
    if n_missing:
        also = "" if best in numbers else ", the best among them"
        notes.append(f"{n_missing} candidates whose fits failed have none{also}.")
    return curves[curves["candidate"].isin(shown)], " ".join(notes)


def _some(numbers: np.ndarray, best: int) -> np.ndarray:
    """Return the best and others, evenly over the search."""
    places = np.linspace(0, len(numbers) - 1, min(len(numbers), _MOST_CURVES))
    chosen = numbers[np.unique(places.round().astype(int))]
    return np.union1d(chosen, [best] if best in numbers else [])


def _importance(search: Any, trials: Trials) -> tuple[pd.DataFrame | None, str]:
    n_scored = int(np.isfinite(trials.score).sum())
    if n_scored < MIN_CANDIDATES:
        return None, (
            f"To tell what mattered takes {MIN_CANDIDATES} candidates with a score; "
            f"this search has {n_scored}."
        )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The parameters explain nothing")
        frame = parameter_importance(search)
    r2 = frame.attrs["r2"]
    if r2 <= 0:
        return None, (
            f"What mattered cannot be told from {n_scored} candidates: a model of "
            "their scores fails on those that it has not seen. More of them may help."
        )
    return frame, (
        "How much worse a model of the scores predicts when the values of a parameter "
        "are shuffled: 0 for what does not matter. Of the variance between candidates "
        f"that it has not seen it explains {r2:.0%}."
    )
