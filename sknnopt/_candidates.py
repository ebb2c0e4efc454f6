"""The candidates of a fitted search, read from the searches of several libraries."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from sknnopt._architecture import PER_LAYER, hidden_sizes
from sknnopt._parameters import MLPParameters

_LAYER = re.compile(rf"(.*__)?(?:{'|'.join(PER_LAYER)})__(\d+)")


@dataclass(frozen=True)
class Trials:
    """The candidates of a search, in the order in which they were tried.

    Parameters
    ----------
    numbers : list of int
        Number of each candidate in its search.
    params : list of dict
        Parameters of each as plain values, without those of layers it does not have.
    results : mapping of str to ndarray of shape (n_candidates,)
        Scores, times and marks under scikit-learn's names.
    metrics : list of str
        What was measured; ``["score"]`` where there is a single unnamed metric.
    metric : str or None
        Which of them decides; None: neither caller nor search has said.
    resource : str or None, default=None
        The parameter that successive halving raised from one iteration to the next.
    best : int or None, default=None
        Position of the candidate that the search itself chose.
    """

    numbers: list[int]
    params: list[dict[str, Any]]
    results: Mapping[str, np.ndarray]
    metrics: list[str]
    metric: str | None
    resource: str | None = None
    best: int | None = None
    keys: list[str] = field(init=False)

    def __post_init__(self) -> None:
        """Note what tells candidates apart."""
        keys = [repr(sorted(self.searched(params).items())) for params in self.params]
        object.__setattr__(self, "keys", keys)

    def searched(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters that the search drew."""
        return {k: value for k, value in params.items() if k != self.resource}

    @property
    def names(self) -> list[str]:
        """All searched parameters, in the order in which they first occur."""
        searched = [name for params in self.params for name in self.searched(params)]
        return list(dict.fromkeys(searched))

    @property
    def score(self) -> np.ndarray:
        """Mean score by the metric that decides; greater is better."""
        if self.metric is None:
            raise ValueError(
                "The search has several metrics and chose none of them (its 'refit' "
                "is no metric's name). Got metric=None. Give the 'metric' parameter, "
                f"one of {self.metrics}."
            )
        return self.results[f"mean_test_{self.metric}"]

    @property
    def iteration(self) -> np.ndarray:
        """Iteration of successive halving, 0 for other searches."""
        return self.results.get("iter", np.zeros(len(self.numbers), dtype=int))

    @property
    def pruned(self) -> np.ndarray:
        """Whether each was given up before its end."""
        if "iter" not in self.results:
            return self.results.get("pruned", np.zeros(len(self.numbers), dtype=bool))
        iteration = self.iteration
        later = set(zip(self.keys, iteration, strict=True))
        goes_on = [
            (key, i + 1) in later for key, i in zip(self.keys, iteration, strict=True)
        ]
        return (iteration < iteration.max()) & ~np.array(goes_on)

    @property
    def superseded(self) -> np.ndarray:
        """Whether successive halving has tried the same again with more resources."""
        return (self.iteration < self.iteration.max(initial=0)) & ~self.pruned

    def places(self) -> list[tuple[int, bool, float]]:
        """Return for each candidate what sorts it: the best is the least.

        The last iteration of successive halving stands before all others, what has
        run to its end before what was pruned, and a score that is not finite is last.
        """
        loss = -np.where(np.isfinite(self.score), self.score, -np.inf)
        rows = zip(-self.iteration, self.pruned, loss, strict=True)
        return [(int(i), bool(pruned), float(x)) for i, pruned, x in rows]

    def order(self) -> list[int]:
        """Return the positions of all candidates, the best first."""
        places = self.places()
        return sorted(range(len(places)), key=places.__getitem__)

    def finished(self, k: int, *, own_choice: bool) -> list[int]:
        """Return the positions of the k best that ran to their end, none twice."""
        order = self.order()
        if own_choice and self.best is not None:
            order = [self.best, *(row for row in order if row != self.best)]
        good = ~self.pruned & ~self.superseded & np.isfinite(self.score)
        first = {self.keys[row]: row for row in reversed(order) if good[row]}
        rows = sorted(first.values(), key=order.index)
        _check_count(k, len(rows))
        return rows[:k]


def read_trials(search: Any, metric: str | None = None) -> Trials:
    """Return the candidates of a fitted search of any of the libraries.

    Parameters
    ----------
    search : object
        A fitted search.
    metric : str, default=None
        The metric that decides; None: the one that the search refitted by.

    Returns
    -------
    Trials
        What it has tried.
    """
    fitted = getattr(search, "__dict__", {})
    if "params" in fitted.get("cv_results_", {}):
        numbers, params, results = _from_results(fitted["cv_results_"])
    elif "study_" in fitted:
        numbers, params, results = _from_study(search)
    else:
        raise _no_results(search)
    metrics = [k.removeprefix("mean_test_") for k in results if "mean_test_" in k]
    if metric is not None and metric not in metrics:
        raise ValueError(
            f"The 'metric' parameter must be one of {metrics}, what the search "
            f"measured, or None for what it refitted by. Got {metric!r} instead."
        )
    if metric is None:
        refit = getattr(search, "refit", None)
        named = isinstance(refit, str) and refit in metrics
        metric = metrics[0] if len(metrics) == 1 else refit if named else None
    resource = fitted.get("resource") if "iter" in results else None
    params = [_active(search.estimator, plain(candidate)) for candidate in params]
    best = _own_choice(search, numbers)
    return Trials(numbers, params, results, metrics, metric, resource, best)


def score_name(search: Any, metric: str | None) -> str:
    """Return what to call the score of a search.

    Parameters
    ----------
    search : object
        The search.
    metric : str or None
        The metric.

    Returns
    -------
    str
        The metric, or the search's ``scoring`` where that is a name, else "Score".
    """
    if metric not in {None, "score"}:
        return str(metric)
    scoring = getattr(search, "scoring", None)
    return scoring if isinstance(scoring, str) else "Score"


def _no_results(search: Any) -> Exception:
    name = type(search).__name__
    if hasattr(search, "fit") and hasattr(search, "estimator"):
        return NotFittedError(
            "The 'search' parameter must be a fitted search. Got a "
            f"{name} that is not fitted. Call its fit(X, y) first."
        )
    return ValueError(
        "The 'search' parameter must be a fitted search with cv_results_, such as "
        "GridSearchCV, BayesSearchCV or MLPSearchCV, or an OptunaSearchCV. Got a "
        f"{name} instead."
    )


def _from_results(results: Mapping[str, Any]) -> tuple[Any, Any, dict[str, np.ndarray]]:
    params = results["params"]
    kept = {
        name: np.asarray(column)
        for name, column in results.items()
        if name != "params" and not name.startswith("param_")
    }
    return list(range(len(params))), params, kept


def _from_study(search: Any) -> tuple[Any, Any, dict[str, np.ndarray]]:
    """Read the ended trials of an Optuna study, failed ones included."""
    states = {"COMPLETE", "PRUNED", "FAIL"}
    trials = [t for t in search.study_.trials if t.state.name in states]
    names = [name for trial in trials for name in trial.user_attrs]
    scores = [n for n in dict.fromkeys(names) if n.endswith(("_score", "_time"))]
    results = {
        name: np.array([t.user_attrs.get(name, np.nan) for t in trials], dtype=float)
        for name in scores
    }
    # A study that others have used too has trials with a value and no folds.
    values = [np.nan if t.value is None else t.value for t in trials]
    folds = results.get("mean_test_score", np.full(len(trials), np.nan))
    results["mean_test_score"] = np.where(np.isnan(folds), values, folds)
    results["pruned"] = np.array([t.state.name == "PRUNED" for t in trials], dtype=bool)
    if search.enable_pruning:
        results["n_epochs"] = np.array([len(t.intermediate_values) for t in trials])
    return [t.number for t in trials], [t.params for t in trials], results


def _own_choice(search: Any, numbers: list[int]) -> int | None:
    try:
        best = int(search.best_index_)
    except (AttributeError, ValueError):  # Optuna: no trial has come to its end
        return None
    return numbers.index(best) if best in numbers else None


def plain(value: Any) -> Any:
    """Return a value without numpy's types.

    Parameters
    ----------
    value : object
        A scalar, an array, a container of these, or anything else.

    Returns
    -------
    object
        The same as Python's own types; what is none of these stays as it is.
    """
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    if type(value) in {list, tuple}:
        return type(value)(plain(item) for item in value)
    return value


def _active(estimator: Any, params: dict[str, Any]) -> dict[str, Any]:
    """Leave out the parameters of layers that the candidate does not have."""
    layers = {name: _LAYER.fullmatch(name) for name in params}
    prefixes = {match[1] or "" for match in layers.values() if match}
    if not prefixes:
        return params
    try:
        model = clone(estimator).set_params(**clone(params, safe=False))
    except ValueError:  # a candidate whose fits have failed for it
        return params
    depths = {prefix: _depth(model, prefix) for prefix in prefixes}
    return {
        name: params[name]
        for name, match in layers.items()
        if match is None or int(match[2]) < depths[match[1] or ""]
    }


def _depth(model: Any, prefix: str) -> float:
    if prefix:
        model = model.get_params().get(prefix.removesuffix("__"))
    if not isinstance(model, MLPParameters):
        return np.inf
    try:
        sizes = hidden_sizes(model.hidden_layer_sizes, model.n_layers, model.n_units)
    except ValueError:
        return np.inf
    return len(sizes)


def _check_count(k: Any, n_finished: int) -> None:
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise ValueError(
            f"The 'k' parameter must be an int in the range [1, {n_finished}]. "
            f"Got {k!r} instead."
        )
    if k > n_finished:
        raise ValueError(
            f"The 'k' parameter must be at most {n_finished}: so many different "
            "candidates ran to their end with a finite score. Got "
            f"{k} instead. Ask for fewer, or search more candidates or prune less."
        )
