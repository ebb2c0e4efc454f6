"""What networks do before their first step."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from sknnopt._feed import padded_rows, some_rows
from sknnopt._history import STATISTICS
from sknnopt._job import Kind
from sknnopt._layout import Layout
from sknnopt._monitoring import OutputReader, layer_squares, layer_starts
from sknnopt._network import plain_mode
from sknnopt._propagation import Propagation
from sknnopt._record import Record

#: Rows that are looked at.
N_ROWS = 512


def initial_statistics(kind: Kind, record: Record, X: Any) -> np.ndarray:
    """Read the layers of networks as they were drawn.

    Parameters
    ----------
    kind : Kind
        What the networks share.
    record : Record
        Their weights.
    X : ndarray or sparse matrix of shape (n_rows, n_features)
        Rows; of many, a part at equal steps is looked at.

    Returns
    -------
    ndarray of shape (statistics, layers)
        Means over the networks. Nothing has been predicted yet that a loss could
        judge: gradients are those of random derivatives of the loss by the outputs,
        independent and of unit variance. There is no update yet: NaN.
    """
    rows = some_rows(X, N_ROWS)
    n_rows, members = len(rows), len(record.weights)
    layout = Layout.of(kind.architecture)
    # Explicit device: the user may have set another default.
    of_type: dict[str, Any] = {"dtype": kind.torch_dtype, "device": "cpu"}
    gradient = torch.zeros((members, layout.n_trained), **of_type)
    found = np.full(
        (members, len(STATISTICS), len(kind.architecture.sizes) - 1), np.nan
    )
    inputs = torch.zeros((members, padded_rows(n_rows), rows.shape[1]), **of_type)
    inputs[:, :n_rows] = torch.tensor(rows, **of_type)
    scale = torch.zeros((members, inputs.shape[1], 1), **of_type)
    scale[:, :n_rows] = 1.0 / n_rows
    with plain_mode("cpu", gradient=False):
        passes = Propagation(
            kind.architecture, layout, record.weights.clone(), gradient, inputs.shape[1]
        )
        raw = passes.forward(inputs, weight=scale * n_rows)
        slopes = np.random.default_rng(0).normal(size=raw.shape)
        passes.backward(torch.tensor(slopes, **of_type), scale)
    reader = OutputReader(
        [kind.architecture.activations] * members, kind.architecture.hidden
    )
    outputs = [output[:, :n_rows].numpy() for output in passes.activations]
    if outputs:  # a linear model has no hidden layer
        found[:, 2:, :-1] = reader(np.concatenate(outputs, axis=2))
    with np.errstate(over="ignore", invalid="ignore"):  # as torch
        squares = layer_squares(gradient.numpy(), layer_starts(layout))
    found[:, 0] = np.sqrt(squares)
    means: np.ndarray = found.mean(axis=0)
    return means
