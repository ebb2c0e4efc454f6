"""The best candidates of a search as models, and as one ensemble."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from joblib import Parallel, delayed, parallel_config
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.ensemble import VotingClassifier, VotingRegressor

from sknnopt._candidates import Trials, read_trials

#: The whole width of the backend, whatever number of jobs the caller's context has.
_TOGETHER = {"backend": "sknnopt", "n_jobs": -1}


def best_models(
    search: Any,
    k: int,
    X: Any = None,
    y: Any = None,
    *,
    metric: str | None = None,
    **fit_params: Any,
) -> list[Any]:
    """Return models with the parameters of the best candidates, fitted.

    All that have to be fitted train as one batch, in the joblib backend
    ``"sknnopt"``.

    Parameters
    ----------
    search : object
        A fitted search, as :func:`trials_frame` takes it.
    k : int
        How many models.
    X : array-like of shape (n_samples, n_features), default=None
        What to fit on: as a rule what the search was fitted on. Not needed for a
        single model that the search has refitted.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        The target.
    metric : str, default=None
        What they are judged by, where the search has several metrics; None: the one
        that it refitted by.
    **fit_params : dict
        What ``fit`` takes beside X and y, such as ``sample_weight``.

    Returns
    -------
    list of estimators
        The best first. The one that the search chose is its ``best_estimator_``
        itself, if it has refitted that.

    Raises
    ------
    NotFittedError
        If the search is not fitted.
    ValueError
        If there are fewer than ``k`` finished candidates, X is missing, or there is
        no such metric.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sknnopt import OptimizedMLPClassifier
    >>> from sknnopt.datasets import load_pima
    >>> from sknnopt.search import best_models
    >>> X, y = load_pima(return_X_y=True)
    >>> model = OptimizedMLPClassifier(n_members=1, max_epochs=3, random_state=0)
    >>> search = GridSearchCV(model, {"n_units": [2, 8, 16]}, cv=2).fit(X, y)
    >>> first, second = best_models(search, 2, X, y)
    >>> first is search.best_estimator_
    True
    """
    trials = read_trials(search, metric)
    rows = trials.finished(k, own_choice=metric is None)
    models = [_model(search, trials, row) for row in rows]
    own = getattr(search, "best_estimator_", None)
    if own is not None and trials.best is not None:
        keys, key = [trials.keys[row] for row in rows], trials.keys[trials.best]
        models = [own if k == key else m for k, m in zip(keys, models, strict=True)]
    new = [model for model in models if model is not own]
    if new and X is None:
        raise ValueError(
            "The 'X' parameter must be the table to fit on, and 'y' its target: "
            f"{len(new)} of the {k} models are not fitted yet. Got X=None. Give what "
            "the search was fitted on."
        )
    with parallel_config(**_TOGETHER):
        Parallel()(delayed(model.fit)(X, y, **fit_params) for model in new)
    return models


def ensemble_of_best(
    search: Any,
    k: int,
    X: Any,
    y: Any,
    *,
    weights: Sequence[float] | None = None,
    metric: str | None = None,
    **fit_params: Any,
) -> VotingClassifier | VotingRegressor:
    """Return scikit-learn's voting ensemble of the best candidates, fitted.

    All models train as one batch, in the joblib backend ``"sknnopt"``.

    Parameters
    ----------
    search : object
        A fitted search, as :func:`trials_frame` takes it.
    k : int
        How many models.
    X : array-like of shape (n_samples, n_features)
        What to fit on: as a rule what the search was fitted on.
    y : array-like of shape (n_samples,)
        The target.
    weights : array-like of shape (k,), default=None
        Weight of each model, the best first; None: all count the same.
    metric : str, default=None
        What they are judged by, where the search has several metrics; None: the one
        that it refitted by.
    **fit_params : dict
        What ``fit`` takes beside X and y, such as ``sample_weight``.

    Returns
    -------
    VotingClassifier or VotingRegressor
        It predicts the (weighted) mean of the models' probabilities, or of their
        predictions. Each is named after its candidate, such as ``"candidate_7"``.

    Raises
    ------
    NotFittedError
        If the search is not fitted.
    ValueError
        If there are fewer than ``k`` finished candidates, there is no such metric, or
        the estimator is neither a classifier nor a regressor.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sknnopt import OptimizedMLPClassifier
    >>> from sknnopt.datasets import load_pima
    >>> from sknnopt.search import ensemble_of_best
    >>> X, y = load_pima(return_X_y=True)
    >>> model = OptimizedMLPClassifier(n_members=1, max_epochs=3, random_state=0)
    >>> search = GridSearchCV(model, {"n_units": [2, 8, 16]}, cv=2).fit(X, y)
    >>> ensemble_of_best(search, 2, X, y).predict_proba(X).shape
    (768, 2)
    """
    trials = read_trials(search, metric)
    rows = trials.finished(k, own_choice=metric is None)
    models = [
        (f"candidate_{trials.numbers[row]}", _model(search, trials, row))
        for row in rows
    ]
    if is_classifier(search.estimator):
        ensemble = VotingClassifier(models, voting="soft", weights=weights)
    elif is_regressor(search.estimator):
        ensemble = VotingRegressor(models, weights=weights)
    else:
        raise ValueError(
            "The 'search' parameter must be a search over a classifier or a "
            f"regressor. Got one over a {type(search.estimator).__name__} instead, "
            "which has nothing to vote on: see best_models."
        )
    with parallel_config(**_TOGETHER):
        return ensemble.fit(X, y, **fit_params)


def _model(search: Any, trials: Trials, row: int) -> Any:
    """Return a model that is not fitted, with a candidate's parameters."""
    params = clone(trials.params[row], safe=False)
    return clone(search.estimator).set_params(**params)
