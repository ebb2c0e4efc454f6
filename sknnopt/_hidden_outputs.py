"""What the hidden layers of a fitted estimator put out for rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from sknnopt._fitted import network_and_rows


def hidden_outputs(estimator: Any, X: Any) -> list[np.ndarray]:
    """Return the activations of each hidden layer, as a prediction computes them.

    Parameters
    ----------
    estimator : OptimizedMLPClassifier, OptimizedMLPRegressor or Pipeline
        Fitted; a pipeline must end in one of the two.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Rows.

    Returns
    -------
    list of ndarray of shape (n_members, n_samples, n_units)
        One for each hidden layer, without dropout, the first layer first.
    """
    network, rows = network_and_rows(estimator, X)
    with network._threads_for(rows):
        chunks = list(network._responder().hidden_outputs(rows))
    return [np.concatenate(parts, axis=1) for parts in zip(*chunks, strict=True)]
