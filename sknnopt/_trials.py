"""What a finished search has tried: one table for the searches of several libraries."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from sknnopt._candidates import Trials, read_trials

#: A parameter that a candidate does not have; None is a value like any other.
_ABSENT = object()
_DTYPES = {bool: "boolean", int: "Int64", float: "float64", str: "string"}
_OWN_COLUMNS = {
    *("candidate", "rank", "fit_time", "score_time", "iter", "n_resources"),
    *("pruned", "diverged", "n_epochs"),
}


def trials_frame(search: Any, *, metric: str | None = None) -> pd.DataFrame:
    """Return what a search has tried as a table.

    Parameters
    ----------
    search : object
        A fitted search: one of scikit-learn's, ``BayesSearchCV``, ``OptunaSearchCV``,
        or another that leaves ``cv_results_`` in scikit-learn's form.
    metric : str, default=None
        The metric that decides the ranks, where the search has several; None: the one
        that it refitted by.

    Returns
    -------
    DataFrame
        One row for each candidate, for successive halving for each candidate and
        iteration, in the order in which they were tried:

        - ``candidate``: its number in the search, from 0;
        - a column for each searched parameter, under its name, in the type of its
          values. A parameter of another subspace, or of a layer that the candidate
          does not have (``n_units__7`` with three layers), is missing;
        - the scores under scikit-learn's names, such as ``split0_test_score``,
          ``mean_test_score`` and ``std_test_score``;
        - ``rank``: 1 is the best by ``metric``; pruned candidates come after all
          finished ones, earlier iterations of successive halving after later ones.
          With several metrics also ``rank_test_<metric>``;
        - ``fit_time``, ``score_time``: mean seconds of a fold;
        - ``iter``, ``n_resources``: of successive halving;
        - ``pruned``: whether it was given up early;
        - ``diverged``, ``n_epochs``: folds that diverged and mean epochs, where the
          search knows them.

        ``attrs`` has ``metric``, all ``metrics``, and ``parameters``, the names of the
        parameters' columns (``param_`` stands before one that is named like a column
        of the list above).

    Raises
    ------
    NotFittedError
        If the search is not fitted.
    ValueError
        If it is no search, or has no such metric.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sknnopt import OptimizedMLPClassifier
    >>> from sknnopt.datasets import load_pima
    >>> from sknnopt.search import trials_frame
    >>> X, y = load_pima(return_X_y=True)
    >>> model = OptimizedMLPClassifier(n_members=1, max_epochs=3, random_state=0)
    >>> grid = [{"n_layers": [1], "n_units__0": [8, 16]},
    ...         {"n_layers": [2], "n_units__0": [8], "n_units__1": [8]}]
    >>> search = GridSearchCV(model, grid, cv=2).fit(X, y)
    >>> frame = trials_frame(search)
    >>> frame[["n_layers", "n_units__0", "n_units__1"]]
       n_layers  n_units__0  n_units__1
    0         1           8        <NA>
    1         1          16        <NA>
    2         2           8           8
    """
    trials = read_trials(search, metric)
    columns: dict[str, Any] = {"candidate": trials.numbers}
    parameters = []
    for name in trials.names:
        parameters.append(f"param_{name}" if name in _OWN_COLUMNS else name)
        values = [params.get(name, _ABSENT) for params in trials.params]
        columns[parameters[-1]] = _typed(values)
    columns |= _score_columns(trials)
    columns["rank"] = pd.array(_ranks(trials), dtype="Int64")
    for name in ("fit_time", "score_time"):
        if f"mean_{name}" in trials.results:
            columns[name] = trials.results[f"mean_{name}"]
    columns |= {k: trials.results[k] for k in _EXTRA if k in trials.results}
    columns["pruned"] = trials.pruned
    columns |= {k: trials.results[k] for k in _KNOWN if k in trials.results}
    frame = pd.DataFrame(columns)
    frame.attrs = {
        "metric": trials.metric,
        "metrics": trials.metrics,
        "parameters": parameters,
    }
    return frame


_EXTRA = ("iter", "n_resources")
_KNOWN = ("diverged", "n_epochs")


def best_hyperparameters(
    search: Any, k: int = 1, *, metric: str | None = None
) -> list[dict[str, Any]]:
    """Return the parameters of the best candidates of a search.

    Parameters
    ----------
    search : object
        A fitted search, as :func:`trials_frame` takes it.
    k : int, default=1
        How many candidates.
    metric : str, default=None
        What they are judged by, where the search has several metrics; None: the one
        that it refitted by.

    Returns
    -------
    list of dict
        Parameters of ``k`` different candidates as plain Python values, the best
        first; without ``metric``, that is the one that the search itself chose.
        Candidates that were pruned, eliminated by successive halving or without a
        finite score are left out, and so are parameters of layers that a candidate
        does not have.

    Raises
    ------
    NotFittedError
        If the search is not fitted.
    ValueError
        If there are fewer than ``k`` such candidates, or there is no such metric.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sknnopt import OptimizedMLPClassifier
    >>> from sknnopt.datasets import load_pima
    >>> from sknnopt.search import best_hyperparameters
    >>> X, y = load_pima(return_X_y=True)
    >>> model = OptimizedMLPClassifier(n_members=1, max_epochs=3, random_state=0)
    >>> search = GridSearchCV(model, {"n_units": [2, 8, 16]}, cv=2).fit(X, y)
    >>> best_hyperparameters(search) == [search.best_params_]
    True
    """
    trials = read_trials(search, metric)
    rows = trials.finished(k, own_choice=metric is None)
    return [trials.params[row] for row in rows]


def _typed(values: Sequence[Any]) -> pd.Series:
    """Return a column in the type that all values have, of objects if they differ."""
    kinds = {type(value) for value in values if value is not _ABSENT}
    dtype = _DTYPES.get(kinds.pop(), "object") if len(kinds) == 1 else "object"
    cells = [pd.NA if value is _ABSENT else value for value in values]
    if dtype == "float64":
        cells = [np.nan if cell is pd.NA else cell for cell in cells]
    try:
        return pd.Series(cells, dtype=dtype)
    except OverflowError:  # an integer of more than 64 bits
        return pd.Series(cells, dtype="object")


def _score_columns(trials: Trials) -> dict[str, np.ndarray]:
    """Return the scores of all metrics: folds, mean and deviation."""
    columns: dict[str, np.ndarray] = {}
    for part in ("test", "train"):
        for metric in trials.metrics:
            pattern = re.compile(rf"(split\d+|mean|std)_{part}_{re.escape(metric)}")
            found = filter(pattern.fullmatch, trials.results)
            columns |= {name: trials.results[name] for name in found}
    if len(trials.metrics) > 1:
        ranks = [f"rank_test_{metric}" for metric in trials.metrics]
        columns |= {name: trials.results[name] for name in ranks}
    return columns


def _ranks(trials: Trials) -> list[int | None]:
    if trials.metric is None:
        return [None] * len(trials.numbers)
    places = trials.places()
    first = {place: i for i, place in reversed([*enumerate(sorted(places), start=1)])}
    return [first[place] for place in places]
