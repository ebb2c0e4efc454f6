"""The fitted networks in what a user hands over, and the rows as they see them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from sknnopt._base import BaseOptimizedMLP


def network_of(estimator: Any) -> BaseOptimizedMLP:
    """Return the fitted estimator of networks, or the one that a pipeline ends in.

    Parameters
    ----------
    estimator : OptimizedMLPClassifier, OptimizedMLPRegressor or Pipeline
        Fitted.

    Returns
    -------
    BaseOptimizedMLP
        The estimator itself, or a pipeline's last step.

    Raises
    ------
    ValueError
        If it is none of these.
    NotFittedError
        If it is not fitted.
    """
    network = estimator[-1] if isinstance(estimator, Pipeline) else estimator
    if not isinstance(network, BaseOptimizedMLP):
        raise ValueError(
            "The 'estimator' parameter must be an OptimizedMLPClassifier, an "
            "OptimizedMLPRegressor or a Pipeline that ends in one. Got a "
            f"{type(network).__name__} at the end instead."
        )
    check_is_fitted(network)
    return network


def network_and_rows(estimator: Any, X: Any) -> tuple[BaseOptimizedMLP, Any]:
    """Return the networks of an estimator, and rows as these are given them.

    Parameters
    ----------
    estimator : OptimizedMLPClassifier, OptimizedMLPRegressor or Pipeline
        Fitted.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Rows, as the estimator predicts for them.

    Returns
    -------
    BaseOptimizedMLP
        As :func:`network_of` returns it.
    ndarray or CSR matrix of shape (n_samples, n_inputs)
        Transformed by a pipeline's other steps, checked and encoded.
    """
    network = network_of(estimator)
    if isinstance(estimator, Pipeline) and len(estimator) > 1:
        X = estimator[:-1].transform(X)
    return network, network._checked_rows(X)


def history_of(fit: Any) -> Any:
    """Return the history of a fit: its estimator's, or itself if it is one.

    Parameters
    ----------
    fit : fitted estimator, DataFrame or mapping
        As :func:`network_of` takes it, or a history.

    Returns
    -------
    DataFrame or mapping of str to array-like
        The history.
    """
    if isinstance(fit, Mapping | pd.DataFrame):
        return fit
    return network_of(fit).history_
