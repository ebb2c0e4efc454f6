"""Series over a search: its best so far, and the learning curves of its candidates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from sknnopt._candidates import Trials
from sknnopt._history_curves import LOSSES, check_loss, has_numbers, known_epochs
from sknnopt._parameters import MLPParameters


def best_so_far(trials: Trials) -> np.ndarray:
    """Return the score of the best candidate up to each.

    Parameters
    ----------
    trials : Trials
        What was tried.

    Returns
    -------
    ndarray of shape (n_candidates,)
        The best of the finished ones, as soon as there is one; in successive halving
        the best of the iteration that runs, with the resources of which it is scored.
    """
    best = np.full(len(trials.numbers), np.nan)
    places = trials.places()
    leader = 0
    for row, place in enumerate(places):
        leader = row if place < places[leader] else leader
        best[row] = trials.score[leader]
    return best


def fit_seconds(trials: Trials) -> np.ndarray:
    """Return the seconds that the fits of the candidates took, added up.

    Parameters
    ----------
    trials : Trials
        What was tried.

    Returns
    -------
    ndarray of shape (n_candidates,)
        Over the folds of each candidate and of all before it. Where fits train side by
        side, each counts its own time, and the sum is more than what a clock shows.
    """
    suffix = f"_test_{trials.metric}"
    folds = [k for k in trials.results if k.startswith("split") and k.endswith(suffix)]
    unknown = np.zeros(len(trials.numbers))
    seconds = np.nan_to_num(trials.results.get("mean_fit_time", unknown))
    return np.cumsum(seconds * max(len(folds), 1))


def learning_curves(search: Any, trials: Trials, loss: str | None) -> pd.DataFrame:
    """Return the loss of each candidate over the epochs, as far as the search knows.

    Parameters
    ----------
    search : object
        A fitted search. From ``curves_`` come the curves of all candidates, else from
        the history of ``best_estimator_`` that of the best.
    trials : Trials
        What it has tried.
    loss : {"valid", "train"} or None
        Which loss; None: that of validation, where it was recorded.

    Returns
    -------
    DataFrame
        Columns ``candidate`` (its number in the search), ``epoch`` and ``loss``: the
        mean over folds and networks, where one that has stopped counts with its last
        loss. ``attrs["loss"]`` says which loss it is.

    Raises
    ------
    ValueError
        If there are no curves, or the loss was not recorded.
    """
    check_loss(loss)
    lines = _lines(search, trials)
    for name in LOSSES if loss is None else [loss]:
        column = LOSSES[name]
        if has_numbers(lines, column):
            curves = _means(lines.dropna(subset=[column]), column)
            curves.attrs = {"loss": name}
            return curves
    raise ValueError(
        f"The search has recorded no such loss. Got loss={loss!r} and the columns "
        f"{sorted(lines)}. Let the estimator hold rows out (early_stopping=True) to "
        "record the loss of validation, or take loss='train'."
    )


def _lines(search: Any, trials: Trials) -> pd.DataFrame:
    curves = getattr(search, "curves_", None)
    if curves is not None and len(curves) > 0:
        return curves
    best = getattr(search, "best_estimator_", None)
    network = best[-1] if isinstance(best, Pipeline) else best
    if trials.best is None or not isinstance(network, MLPParameters):
        raise ValueError(
            "The 'search' parameter must be a search with 'curves_', or one that has "
            "refitted an OptimizedMLPClassifier, an OptimizedMLPRegressor or a "
            f"Pipeline that ends in one. Got a {type(search).__name__} whose "
            f"best_estimator_ is {type(network).__name__}. Search with refit=True."
        )
    history: pd.DataFrame = network.history_
    return history.assign(candidate=trials.numbers[trials.best], split=0)


def _means(lines: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return the mean over folds and members, in the order of the candidates."""
    parts = []
    for candidate, rows in lines.groupby("candidate", sort=True):
        means = known_epochs(rows, column, ["split", "member"]).mean(axis=1)
        parts.append(
            pd.DataFrame(
                {"candidate": candidate, "epoch": means.index, "loss": means.to_numpy()}
            )
        )
    return pd.concat(parts, ignore_index=True)
