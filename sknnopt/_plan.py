"""From an estimator's parameters to what a training run needs.

Every ``"auto"`` is resolved here, and here only.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from sknnopt._architecture import Architecture, hidden_sizes, per_layer
from sknnopt._auto import MANY_ROWS
from sknnopt._job import Kind, Settings
from sknnopt._memory import free_memory
from sknnopt.losses import LOSSES
from sknnopt.optimizers import OPTIMIZERS

#: Up to this many rows, ``batch_size="auto"`` is the full batch.
FULL_BATCH_ROWS = 200
#: The rate of ``dropout="auto"``.
_DROPOUT = 0.1
_SMALLEST_BATCH, _LARGEST_BATCH = 64, 256
_ROWS_PER_BATCH_ROW = 50
_MOST_ROWS_SEEN = 2_500_000
_FEWEST_EPOCHS, _MOST_EPOCHS = 10, 200
#: Stands for "no limit" where a number of epochs is asked for.
_FOREVER = np.iinfo(np.int64).max // 4
#: Bytes of a weight, and of networks that memory is asked about.
_LEAST_BYTES, _LARGE = 4, 1 << 28


def check_layers(estimator: Any) -> tuple[int, ...]:
    """Check all per-layer parameters, before any data are looked at.

    Parameters
    ----------
    estimator : estimator
        Whose parameters are read.

    Returns
    -------
    tuple of int
        Units of each hidden layer.

    Raises
    ------
    ValueError
        If one is wrong; the message names it.
    """
    sizes = _sizes(estimator)
    for name in ("activation", "dropout"):
        per_layer(name, getattr(estimator, name), len(sizes))
    for name in ("weight_init", "l1", "l2"):
        per_layer(name, getattr(estimator, name), len(sizes) + 1)
    return sizes


def _sizes(estimator: Any) -> tuple[int, ...]:
    return hidden_sizes(
        estimator.hidden_layer_sizes, estimator.n_layers, estimator.n_units
    )


def batch_size(value: Any, n_rows: int) -> int:
    """Resolve ``batch_size``; ``"auto"`` grows with the table.

    Parameters
    ----------
    value : int or "auto"
        The parameter.
    n_rows : int
        Training rows.

    Returns
    -------
    int
        All rows up to 200; beyond, the power of two nearest to a fiftieth of the
        rows, between 64 and 256.
    """
    if not isinstance(value, str):
        return min(int(value), n_rows)
    if n_rows <= FULL_BATCH_ROWS:
        return n_rows
    nearest = 2 ** round(np.log2(n_rows / _ROWS_PER_BATCH_ROW))
    return int(np.clip(nearest, _SMALLEST_BATCH, _LARGEST_BATCH))


def stops_early(value: Any, n_rows: int, *, is_given: bool) -> bool:
    """Resolve ``early_stopping``.

    Parameters
    ----------
    value : bool or "auto"
        The parameter.
    n_rows : int
        Rows given to ``fit`` that have a weight.
    is_given : bool
        Whether the user gave a validation set.

    Returns
    -------
    bool
        ``"auto"`` is on from 100 rows, or with a validation set.
    """
    if isinstance(value, str):
        return is_given or n_rows >= MANY_ROWS
    return bool(value)


def epoch_limit(value: Any, n_rows: int) -> int:
    """Resolve ``max_epochs``; ``"auto"`` falls as tables grow.

    Parameters
    ----------
    value : int or "auto"
        The parameter.
    n_rows : int
        Rows given to ``fit`` that have a weight.

    Returns
    -------
    int
        200 up to 12,500 rows; beyond, so many that 2,500,000 rows are seen, but 10 at
        least.
    """
    if not isinstance(value, str):
        return min(int(value), _FOREVER)
    return int(np.clip(_MOST_ROWS_SEEN // n_rows, _FEWEST_EPOCHS, _MOST_EPOCHS))


def dropout_rates(value: Any, depth: int, n_rows: int) -> tuple[float, ...]:
    """Resolve ``dropout``.

    Parameters
    ----------
    value : float, "auto", sequence or dict
        The parameter.
    depth : int
        Hidden layers.
    n_rows : int
        Rows given to ``fit`` that have a weight.

    Returns
    -------
    tuple of float
        Rate of each hidden layer; ``"auto"`` is 0.1 from 100 rows, and 0 below.
    """
    automatic = _DROPOUT if n_rows >= MANY_ROWS else 0.0
    given = per_layer("dropout", value, depth)
    return tuple(automatic if isinstance(rate, str) else rate for rate in given)


def make_architecture(estimator: Any, n_inputs: int, n_outputs: int) -> Architecture:
    """Return the shape of the networks that ``estimator`` describes.

    Parameters
    ----------
    estimator : estimator
        Whose parameters are read.
    n_inputs, n_outputs : int
        Features in, raw outputs out.

    Returns
    -------
    Architecture
        The shape.

    Raises
    ------
    ValueError
        If the networks do not fit into memory.
    """
    sizes = _sizes(estimator)
    activations = per_layer("activation", estimator.activation, len(sizes))
    architecture = Architecture(
        n_inputs, sizes, n_outputs, activations, estimator.normalization
    )
    _check_memory(architecture, int(estimator.n_members))
    return architecture


def _check_memory(architecture: Architecture, members: int) -> None:
    """Refuse networks of which not even the weights fit into memory."""
    layers = pairwise(architecture.sizes)
    size = _LEAST_BYTES * members * sum((n + 1) * units for n, units in layers)
    if size < _LARGE:
        return
    free = free_memory()
    if size > free:
        raise ValueError(
            f"The weights of {members} networks with layers {architecture.sizes} take "
            f"{size >> 20:,} MiB at least, and {free >> 20:,} MiB are free. "
            "Lower 'n_units' (or 'hidden_layer_sizes'), 'n_layers' or 'n_members'."
        )


def make_kind(
    estimator: Any,
    architecture: Architecture,
    loss: str,
    *,
    n_rows: int,
    dtype: np.dtype,
    restore_best: bool,
) -> Kind:
    """Return what all members of the estimator's batch share.

    Parameters
    ----------
    estimator : estimator
        Whose parameters are read.
    architecture : Architecture
        Shape of the networks.
    loss : str
        The resolved loss.
    n_rows : int
        Training rows, for ``batch_size="auto"``.
    dtype : numpy dtype
        Of the features, and so of all arithmetic.
    restore_best : bool
        Whether members stop on their validation loss.

    Returns
    -------
    Kind
        The common part of the job.
    """
    return Kind(
        architecture=architecture,
        loss=loss,
        optimizer=str(estimator.optimizer),
        lr_schedule=str(estimator.lr_schedule),
        batch_size=batch_size(estimator.batch_size, n_rows),
        nesterov=bool(estimator.nesterov),
        shuffle=bool(estimator.shuffle),
        clip_per_tensor=bool(estimator.clip_norm_per_tensor),
        monitor=str(estimator.monitor),
        restore_best=restore_best,
        dtype=np.dtype(dtype),
        device=str(estimator.device),
    )


def make_settings(
    estimator: Any, architecture: Architecture, loss: str, members: int, n_rows: int
) -> Settings:
    """Return what may differ between members, here the same for each.

    Parameters
    ----------
    estimator : estimator
        Whose parameters are read.
    architecture : Architecture
        Shape of the networks.
    loss : str
        The resolved loss.
    members : int
        How many networks.
    n_rows : int
        Rows given to ``fit`` that have a weight.

    Returns
    -------
    Settings
        Arrays with a leading member axis.
    """
    optimizer = OPTIMIZERS[estimator.optimizer]
    parameter = LOSSES[loss].parameter
    depth = len(architecture.hidden)
    patience = estimator.n_iter_no_change
    return Settings.repeat(
        members,
        learning_rate=_or_auto(estimator.learning_rate, optimizer.learning_rate),
        lr_decay=float(estimator.lr_decay),
        warmup=float(estimator.warmup),
        momentum=float(estimator.momentum),
        weight_decay=_or_auto(estimator.weight_decay, optimizer.weight_decay),
        l1=np.array(per_layer("l1", estimator.l1, depth + 1), dtype=float),
        l2=np.array(per_layer("l2", estimator.l2, depth + 1), dtype=float),
        dropout=np.array(dropout_rates(estimator.dropout, depth, n_rows), dtype=float),
        clip_norm=_limit(estimator.clip_norm),
        clip_value=_limit(estimator.clip_value),
        loss_parameter=0.0
        if parameter is None
        else float(getattr(estimator, parameter)),
        max_epochs=epoch_limit(estimator.max_epochs, n_rows),
        max_seconds=_limit(estimator.max_seconds),
        patience=_FOREVER if patience is None else min(int(patience), _FOREVER),
        tol=float(estimator.tol),
    )


def _or_auto(value: Any, automatic: float) -> float:
    return automatic if isinstance(value, str) else float(value)


def _limit(value: float | None) -> float:
    return np.inf if value is None else float(value)
