"""From checked data and an estimator's parameters to what is to be trained.

Nothing is trained or drawn here, but for the rows that members hold out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sknnopt._architecture import Architecture
from sknnopt._feed import row_number_dtype, row_numbers
from sknnopt._folds import held_out_folds
from sknnopt._job import Job, Rows, Table
from sknnopt._plan import make_kind, make_settings, stops_early
from sknnopt._splits import held_out_rows
from sknnopt.losses import LOSSES

#: Range of the largest sample weight within which weights are used as they are.
_MODERATE = (1e-20, 1e20)


@dataclass(frozen=True)
class Data:
    """Checked features, encoded target and weights (None: one each).

    The target is in the type of training, or class indices. ``weight`` counts in
    training; ``sample_weight`` is without the classes' weights.
    """

    X: Any
    target: np.ndarray
    weight: np.ndarray | None = None
    sample_weight: np.ndarray | None = None

    @cached_property
    def counted(self) -> np.ndarray:
        """The rows that have a weight, ascending."""
        n_rows = self.X.shape[0]
        if self.weight is None:
            return row_numbers(n_rows)
        counted = np.flatnonzero(self.weight).astype(row_number_dtype(n_rows))
        if len(counted) == 0:
            raise ValueError(
                "All rows have weight zero, by sample_weight or by class_weight. At "
                "least one must count."
            )
        return counted

    def rows(self, index: np.ndarray) -> Rows:
        """Return some of the rows for a member."""
        weight = None if self.weight is None else self.weight[index]
        return Rows(self.table, index, weight)

    @cached_property
    def table(self) -> Table:
        """All rows, for members to draw from."""
        return Table(self.X, self.target)


def make_job(
    estimator: Any,
    architecture: Architecture,
    loss: str,
    data: Data,
    valid: Data | None,
    seed: int,
    n_epochs: int | None,
) -> Job:
    """Return what is to be trained.

    Parameters
    ----------
    estimator : estimator
        Whose parameters are read.
    architecture : Architecture
        Shape of the networks.
    loss : str
        Name of the loss.
    data : Data
        Rows to train on.
    valid : Data or None
        The user's own validation rows.
    seed : int
        Of the partition that the members validate on.
    n_epochs : int or None
        Epochs of a partial fit, which holds no rows out; None: a whole fit.

    Returns
    -------
    Job
        With a member for each network.
    """
    restore_best = n_epochs is None and stops_early(
        estimator.early_stopping, len(data.counted), is_given=valid is not None
    )
    rows, held_out = _rows(estimator, loss, data, valid, seed, restore_best)
    kind = make_kind(
        estimator,
        architecture,
        loss,
        n_rows=max(len(r) for r in rows),
        dtype=data.X.dtype,
        restore_best=restore_best,
    )
    return Job(
        kind=kind,
        settings=make_settings(
            estimator, architecture, loss, len(rows), len(data.counted)
        ),
        rows=rows,
        held_out=held_out,
        n_epochs=n_epochs,
    )


def _rows(
    estimator: Any,
    loss: str,
    data: Data,
    valid: Data | None,
    seed: int,
    is_split: bool,
) -> tuple[list[Rows], list[Rows]]:
    """Return the rows that each member trains on, and those it is validated on."""
    members = int(estimator.n_members)
    counted = data.counted
    if valid is not None:
        held_out = [valid.rows(valid.counted)] * members
        return [data.rows(counted)] * members, held_out
    if not is_split:
        return [data.rows(counted)] * members, []
    is_classification = LOSSES[loss].task == "classification"
    y = data.target
    is_single = y.shape[1] == 1
    if is_single:
        y = y[:, 0]
        if is_classification and hasattr(estimator.validation_fraction, "split"):
            y = y.astype(np.int64)
    given = (estimator.validation_fraction, data.X, y, counted)
    stratify = is_classification and is_single
    if members == 1:
        splits = [held_out_rows(*given, stratify=stratify, seed=seed)]
    else:
        splits = held_out_folds(*given, stratify=stratify, seed=seed, n_members=members)
    # Members that hold out the same rows share them.
    parts = [(data.rows(train), data.rows(valid)) for train, valid in splits]
    pairs = [parts[member % len(parts)] for member in range(members)]
    return [train for train, _ in pairs], [valid for _, valid in pairs]


def rescaled(weight: np.ndarray) -> np.ndarray:
    """Bring weights that single precision would lose into range.

    Their scale is of no consequence, but for the counts of batch normalization.

    Parameters
    ----------
    weight : ndarray of shape (n_rows,)
        Weights of the rows, zero or more.

    Returns
    -------
    ndarray of shape (n_rows,)
        The same, divided by the largest where that is extreme.
    """
    largest = weight.max()
    is_moderate = _MODERATE[0] < largest < _MODERATE[1]
    return weight if is_moderate or largest == 0 else weight / largest
