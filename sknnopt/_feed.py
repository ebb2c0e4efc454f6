"""From rows of a table to batches of tensors.

Rows are gathered, and random numbers drawn, for a *chunk* of steps at a time: often
enough to bound memory, seldom enough to cost little beside the arithmetic.

What a member receives depends on that member alone, whoever trains beside it: batches
are padded to one size with rows of no weight, and the size of a chunk follows from
the network's shape.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from sknnopt._blocks import place
from sknnopt._dropout import Masks
from sknnopt._job import Job, Kind, Rows

#: Numbers that one member may gather or draw at once in training.
_CHUNK = 1 << 20
#: Batches and evaluations hold a multiple of this many rows, so that with widths of
#: multiples of four a member's numbers fill whole stretches of memory.
ROW_STEP = 8
#: Up to this many rows their numbers take no memory worth to be saved.
_SHORT_TABLE = 1 << 16


def row_numbers(n_rows: int) -> np.ndarray:
    """Return the numbers of the rows of a table, in their order.

    Parameters
    ----------
    n_rows : int
        Rows.

    Returns
    -------
    ndarray of int of shape (n_rows,)
        From 0 on; in a long table in 32 bits where they fit.
    """
    return np.arange(n_rows, dtype=row_number_dtype(n_rows))


def row_number_dtype(n_rows: int) -> np.dtype:
    """Return the dtype in which the rows of a table are numbered.

    Parameters
    ----------
    n_rows : int
        Rows.

    Returns
    -------
    numpy dtype
        Native integers, which index fastest; in a long table, where memory counts
        more, 32 bits if they suffice.
    """
    return np.dtype(np.int32 if _SHORT_TABLE < n_rows < 1 << 31 else np.intp)


def padded_rows(n_rows: int) -> int:
    """Return how many rows ``n_rows`` occupy in a batch.

    Parameters
    ----------
    n_rows : int
        Rows that count.

    Returns
    -------
    int
        The next multiple of eight.
    """
    return -(-n_rows // ROW_STEP) * ROW_STEP


def rows_at_once(job: Job) -> int:
    """Return how many rows a full batch of a job holds.

    Parameters
    ----------
    job : Job
        The batch size and the rows.

    Returns
    -------
    int
        The batch size, or all rows of the member that has most.
    """
    return min(job.kind.batch_size, max(len(rows) for rows in job.rows))


class Batch(NamedTuple):
    """What one step reads.

    ``X`` is ``(members, rows, features)``, ``target`` ``(members, rows, targets)``;
    ``scale`` is what each row's loss is multiplied by in the gradient, ``weight`` the
    rows' weights where they are asked for, both ``(members, rows, 1)`` and zero at
    padding; ``masks`` has one entry for each hidden layer, or none.
    """

    X: Tensor
    target: Tensor
    scale: Tensor
    weight: Tensor | None
    masks: tuple[Tensor | None, ...] = ()


@dataclass(frozen=True)
class Chunk:
    """Some consecutive steps of an epoch, for all members.

    ``X`` and ``masks`` are ``(members, steps, rows, ...)``; ``target``, ``scale`` and
    ``weight`` are ``(steps, members, rows, ...)``. ``first`` is the number of the
    first step.
    """

    first: int
    X: Tensor
    target: Tensor
    scale: Tensor
    weight: Tensor | None
    masks: tuple[Tensor | None, ...] = ()

    def batches(self) -> list[Batch]:
        """Return the steps, without a copy."""
        n_steps = len(self.target)
        nothing = (None,) * n_steps
        masks = [nothing if m is None else m.unbind(1) for m in self.masks]
        weight = nothing if self.weight is None else self.weight.unbind(0)
        parts = self.X.unbind(1), self.target.unbind(0), self.scale.unbind(0), weight
        of_step = list(zip(*masks, strict=True)) if masks else [()] * n_steps
        return [Batch(*part) for part in zip(*parts, of_step, strict=True)]


class Epochs:
    """Epoch after epoch of the training rows, in each member's own order.

    Parameters
    ----------
    job : Job
        The rows, the batch size and the dropout rates.
    batch_size : int or None, default=None
        Rows of a full batch, from `rows_at_once` of this job or one it is part of.
    reuses : bool, default=True
        Whether a chunk may be written over by the next; not if anyone keeps batches.
    """

    def __init__(
        self, job: Job, *, batch_size: int | None = None, reuses: bool = True
    ) -> None:
        self.job, self.kind, self._reuses = job, job.kind, reuses
        self.n_rows = np.array([len(rows) for rows in job.rows])
        #: Rows of a full batch; it occupies ``padded_size``.
        self.batch_size = rows_at_once(job) if batch_size is None else batch_size
        self.padded_size = padded_rows(self.batch_size)
        #: Updates of each member in an epoch.
        self.n_steps = -(-self.n_rows // self.batch_size)
        #: Updates in which every member has rows.
        self.n_common_steps = int(self.n_steps.min())
        #: Mean weight of each member's rows: by it losses are made independent of the
        #: weights' size.
        self.mean_weight = np.array([_mean_weight(rows) for rows in job.rows])
        begun = np.arange(self.n_steps.max())[:, None] * self.batch_size
        #: Rows of each step, ``(steps, members)``.
        self.rows_of_step = np.clip(self.n_rows - begun, 0, self.batch_size)
        self._is_padded = (self.rows_of_step < self.padded_size).any(axis=1).tolist()
        drawn = sum(job.kind.architecture.sizes[:-1])
        # From one network's shape alone: a member must draw the same numbers in
        # whatever company.
        self._steps_in_chunk = max(1, _CHUNK // (self.padded_size * drawn))
        self._masks = Masks(
            job.settings.dropout,
            job.kind.architecture.hidden,
            self.batch_size,
            self.padded_size,
            self.kind.dtype,
            reuses=reuses,
        )
        self._is_static = self.n_steps.max() == 1 and not self._masks.drops
        self._kept: Chunk | None = None
        self._members = [_Member(rows, self.batch_size) for rows in job.rows]
        self._is_weighted = any(rows.weight is not None for rows in job.rows)
        self._paddings: dict[bytes, Tensor] = {}
        self._weights: dict[bytes, tuple[Tensor, Tensor]] = {}
        self._arrays: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def __call__(self, generators: Sequence[np.random.Generator]) -> Iterator[Chunk]:
        """Yield the chunks of one epoch.

        Parameters
        ----------
        generators : sequence of numpy.random.Generator
            Each member's randomness: row order first, then dropout.

        Yields
        ------
        Chunk
            Steps with their rows and the masks of dropout.
        """
        if self._kept is not None:
            yield self._kept
            return
        if self.kind.shuffle:
            for member, generator in zip(self._members, generators, strict=True):
                member.shuffle(generator)
        for first in range(0, len(self.rows_of_step), self._steps_in_chunk):
            chunk = self._chunk(first, generators)
            if self._is_static:
                self._kept = chunk
            yield chunk

    def padding(self, step: int) -> Tensor | None:
        """Return where a step's batch holds no row.

        Parameters
        ----------
        step : int
            Its number in the epoch.

        Returns
        -------
        Tensor of bool, (members, rows, 1), or None
            None if all rows count.
        """
        if not self._is_padded[step]:
            return None
        counts = self.rows_of_step[step]
        key = counts.tobytes()
        if key not in self._paddings:
            beyond = np.arange(self.padded_size) >= counts[:, None]
            self._paddings[key] = _tensor(beyond[..., None], self.kind)
        return self._paddings[key]

    def _chunk(self, first: int, generators: Sequence[np.random.Generator]) -> Chunk:
        n_steps = min(self._steps_in_chunk, len(self.rows_of_step) - first)
        X, target = self._empty(n_steps)
        begin, end = first * self.batch_size, (first + n_steps) * self.batch_size
        for member, X_own, target_own in zip(self._members, X, target, strict=True):
            member.gather(begin, end, X_own, target_own)
        scale, weight = self._scaled(first, n_steps)
        n_rows = np.clip(self.n_rows - begin, 0, end - begin)
        return Chunk(
            first=first,
            X=_tensor(X, self.kind),
            target=_tensor(target, self.kind).transpose(0, 1).contiguous(),
            scale=scale,
            weight=weight if self.kind.architecture.normalization == "batch" else None,
            masks=tuple(
                None if mask is None else _tensor(mask, self.kind)
                for mask in self._masks(n_steps, n_rows, generators)
            ),
        )

    def _empty(self, n_steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Return arrays ``(members, steps, rows, ...)`` for features and target."""
        # What a shorter batch leaves behind its rows is multiplied by zero.
        if n_steps in self._arrays:
            return self._arrays[n_steps]
        shape = len(self._members), n_steps, self.padded_size
        table = self.job.rows[0].table
        X = np.zeros((*shape, table.X.shape[1]), dtype=self.kind.dtype)
        width = table.target.shape[1]
        target = np.zeros((*shape, width), dtype=target_dtype(self.kind))
        if self._reuses:
            self._arrays[n_steps] = X, target
        return X, target

    def _scaled(self, first: int, n_steps: int) -> tuple[Tensor, Tensor]:
        """Return the rows' scales and weights, ``(steps, members, rows, 1)`` each."""
        # Without weights, chunks of as many rows in each step share them.
        counts = self.rows_of_step[first : first + n_steps]
        if not self._is_weighted and (kept := self._weights.get(counts.tobytes())):
            return kept
        shape = len(self._members), n_steps, self.padded_size
        weight = np.zeros(shape)
        begin, end = first * self.batch_size, (first + n_steps) * self.batch_size
        for member, own in zip(self._members, weight, strict=True):
            member.weigh(begin, end, own)
        weight = weight.transpose(1, 0, 2)
        scale = weight / (np.maximum(counts, 1) * self.mean_weight)[..., None]
        dtype = self.kind.dtype
        pair = (
            _tensor(np.ascontiguousarray(scale, dtype)[..., None], self.kind),
            _tensor(np.ascontiguousarray(weight, dtype)[..., None], self.kind),
        )
        if not self._is_weighted:
            self._weights[counts.tobytes()] = pair
        return pair


class _Member:
    """One member's rows, in the order of the epoch."""

    def __init__(self, rows: Rows, batch_size: int) -> None:
        self._rows, self._batch_size = rows, batch_size
        # Numbers of the table's rows; where there are weights, which have places of
        # their own, positions among the member's rows.
        self._is_weighted = rows.weight is not None
        self._start = row_numbers(len(rows)) if self._is_weighted else rows.index
        self._order = self._start

    def shuffle(self, generator: np.random.Generator) -> None:
        # Order is of no consequence where all rows are one batch.
        if len(self._start) <= self._batch_size:
            return
        # Anew from the rows' own order: a run that is continued has no other.
        if self._order is self._start:
            self._order = self._start.copy()
        else:
            self._order[:] = self._start
        generator.shuffle(self._order)

    def gather(self, begin: int, end: int, X: np.ndarray, target: np.ndarray) -> None:
        """Write some rows into arrays of ``(steps, padded rows, ...)``."""
        table, index = self._rows.table, self._order[begin:end]
        if self._is_weighted:
            index = self._rows.index[index]
        for values, steps in ((table.X, X), (table.target, target)):
            is_alike = (
                steps.shape[1] == self._batch_size and values.dtype == steps.dtype
            )
            if is_alike and isinstance(values, np.ndarray):
                flat = steps.reshape(-1, steps.shape[-1])[: len(index)]
                # Clipping spares a copy; no index is out of bounds.
                values.take(index, axis=0, out=flat, mode="clip")
            else:
                place(steps, gathered(values, index), self._batch_size)

    def weigh(self, begin: int, end: int, weight: np.ndarray) -> None:
        """Write the weights of the same rows into ``(steps, padded rows)``."""
        positions = self._order[begin:end]
        given = self._rows.weight
        values = np.ones(len(positions)) if given is None else given[positions]
        place(weight, values, self._batch_size)


def target_dtype(kind: Kind) -> np.dtype:
    """Return the dtype in which the loss of ``kind`` reads its target.

    Parameters
    ----------
    kind : Kind
        Whose loss it is.

    Returns
    -------
    numpy dtype
        int64 for class indices, else that of the arithmetic.
    """
    if kind.loss == "categorical_cross_entropy":
        return np.dtype(np.int64)
    return kind.dtype


def gather(kind: Kind, rows: Sequence[Rows], part: slice) -> Batch:
    """Gather the same stretch of several members' rows, in their order.

    Parameters
    ----------
    kind : Kind
        Dtype and device of the tensors.
    rows : sequence of Rows
        As many for each member.
    part : slice
        Which of them.

    Returns
    -------
    Batch
        Padded; ``scale`` is the rows' weights.
    """
    n_rows = len(rows[0].index[part])
    shape = len(rows), padded_rows(n_rows)
    table = rows[0].table
    X = np.zeros((*shape, table.X.shape[1]), dtype=kind.dtype)
    target = np.zeros((*shape, table.target.shape[1]), dtype=target_dtype(kind))
    weight = np.zeros((*shape, 1), dtype=kind.dtype)
    for member, of_member in enumerate(rows):
        index = of_member.index[part]
        X[member, :n_rows] = gathered(of_member.table.X, index)
        target[member, :n_rows] = of_member.table.target[index]
        given = of_member.weight
        weight[member, :n_rows, 0] = 1.0 if given is None else given[part]
    return Batch(_tensor(X, kind), _tensor(target, kind), _tensor(weight, kind), None)


def _mean_weight(rows: Rows) -> float:
    return 1.0 if rows.weight is None else float(rows.weight.sum()) / len(rows)


def some_rows(X: Any, count: int) -> np.ndarray:
    """Return rows at equal steps, which stand for a table.

    Parameters
    ----------
    X : ndarray or sparse matrix of shape (n_rows, n_columns)
        The table.
    count : int
        Most rows.

    Returns
    -------
    ndarray of shape (at most count, n_columns)
        A dense copy.
    """
    n_rows = X.shape[0]
    return gathered(X, np.arange(0, n_rows, -(-n_rows // count)))


def gathered(X: Any, index: np.ndarray) -> np.ndarray:
    """Return a dense copy of some rows of a table, by their numbers."""
    if isinstance(X, np.ndarray):
        return np.take(X, index, axis=0)
    rows = X[index]
    dense: np.ndarray = rows.toarray() if sparse.issparse(rows) else rows
    return dense


def _tensor(array: np.ndarray, kind: Kind) -> Tensor:
    return torch.from_numpy(array).to(kind.device)
