"""Whether the parts of a fitted estimator that comes from outside fit each other.

Arrays that do not would broadcast to something much larger than themselves.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sknnopt._base import BaseOptimizedMLP
from sknnopt._inputs import Inputs
from sknnopt._layout import Layout


def check_parts(network: BaseOptimizedMLP) -> None:
    """Compare the sizes of all that a prediction reads, before any of it is computed.

    Parameters
    ----------
    network : BaseOptimizedMLP
        Fitted, or made of what a file says.

    Raises
    ------
    ValueError
        If a size is another than the others say.
    AttributeError, TypeError, LookupError
        If a part is missing, or something else.
    """
    n_features = network.n_features_in_
    _check_inputs(network._inputs, n_features)
    names = getattr(network, "feature_names_in_", np.empty(n_features))
    _check("feature_names_in_", names, n_features)
    weights = network._record["weights"]
    _check("weights", weights, len(weights), Layout.of(network._architecture).n_columns)
    for name, values in getattr(network, "_target", {}).items():
        _check(f"target's {name}", values, network.n_outputs_)


def _check_inputs(inputs: Inputs, n_features: int) -> None:
    n_numbers, n_categorical = len(inputs.mean_), len(inputs.categories_)
    if n_features != n_numbers + n_categorical:
        raise ValueError(f"n_features_in_ is {n_features!r}, which its inputs are not")
    for name in ("mean_", "scale_", "is_missing_"):
        _check(name, getattr(inputs, name), n_numbers)
    if inputs.is_categorical_ is not None:
        _check("is_categorical_", inputs.is_categorical_, n_features)
    for name, values in inputs.bins_.items():
        _check(f"bins' {name}", values, len(inputs.bins_["low"]))
    n_bins, n_missing = len(inputs.bins_.get("low", ())), int(inputs.is_missing_.sum())
    found = n_numbers + n_bins + n_missing + sum(map(len, inputs.categories_))
    if inputs.n_columns_ != found:
        raise ValueError(f"its networks have {inputs.n_columns_!r} inputs, not {found}")


def _check(name: str, values: np.ndarray, *shape: Any) -> None:
    """Refuse an array of another shape."""
    if not isinstance(values, np.ndarray) or values.shape != shape:
        raise ValueError(f"its {name} must have the shape {shape}")
