"""From rows of a table to batches of tensors, and the masks of dropout.

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

from sknnopt._job import Job, Kind, Rows

#: Numbers that one member may gather or draw at once in training.
_CHUNK = 1 << 20
#: Batches and evaluations hold a multiple of this many rows, so that with widths of
#: multiples of four a member's numbers fill whole stretches of memory.
ROW_STEP = 8


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
    """

    def __init__(self, job: Job) -> None:
        self.job, self.kind, self.rows = job, job.kind, job.rows
        self.n_rows = np.array([len(rows) for rows in job.rows])
        #: Rows of a full batch; it occupies ``padded_size``.
        self.batch_size = min(job.kind.batch_size, int(self.n_rows.max()))
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
        drawn = sum(job.kind.architecture.sizes[:-1])
        # From one network's shape alone: a member must draw the same numbers in
        # whatever company.
        self._steps_in_chunk = max(1, _CHUNK // (self.padded_size * drawn))
        self._drops = job.settings.dropout.any(axis=0)
        self._is_static = self.n_steps.max() == 1 and not self._drops.any()
        self._kept: Chunk | None = None
        self._order = [_numbers(len(rows)) for rows in job.rows]

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
        order = self._shuffled(generators)
        for first in range(0, len(self.rows_of_step), self._steps_in_chunk):
            chunk = self._chunk(first, order, generators)
            if self._is_static:
                self._kept = chunk
            yield chunk

    def _shuffled(self, generators: Sequence[np.random.Generator]) -> list[np.ndarray]:
        for numbers, generator in zip(self._order, generators, strict=True):
            # Order is of no consequence where all rows are one batch.
            if self.kind.shuffle and len(numbers) > self.batch_size:
                # Anew from the rows' own order: a run that is continued has no other.
                numbers[:] = np.arange(len(numbers), dtype=numbers.dtype)
                generator.shuffle(numbers)
        return self._order

    def _chunk(
        self,
        first: int,
        order: list[np.ndarray],
        generators: Sequence[np.random.Generator],
    ) -> Chunk:
        kind, members = self.kind, len(self.rows)
        n_steps = min(self._steps_in_chunk, len(self.rows_of_step) - first)
        begin, end = first * self.batch_size, (first + n_steps) * self.batch_size
        shape = n_steps, self.padded_size
        table = self.rows[0].table
        X = np.zeros((members, *shape, table.X.shape[1]), dtype=kind.dtype)
        targets = np.zeros(
            (n_steps, members, self.padded_size, table.target.shape[1]),
            dtype=target_dtype(kind),
        )
        weight = np.zeros((n_steps, members, self.padded_size), dtype=np.float64)
        for member, rows in enumerate(self.rows):
            positions = order[member][begin:end]
            index = rows.index[positions]
            self._place(X[member], _gathered(rows.table.X, index))
            self._place(targets[:, member], rows.table.target[index])
            given = 1.0 if rows.weight is None else rows.weight[positions]
            self._place(weight[:, member], np.broadcast_to(given, len(positions)))
        counts = np.maximum(self.rows_of_step[first : first + n_steps], 1)
        scale = weight / (counts * self.mean_weight)[..., None]
        is_weighted = kind.architecture.normalization == "batch"
        return Chunk(
            first=first,
            X=_tensor(X, kind),
            target=_tensor(targets, kind),
            scale=_tensor(scale.astype(kind.dtype)[..., None], kind),
            weight=_tensor(weight.astype(kind.dtype)[..., None], kind)
            if is_weighted
            else None,
            masks=self._masks(first, n_steps, generators),
        )

    def _place(self, steps: np.ndarray, values: np.ndarray) -> None:
        """Write values of consecutive rows into ``(steps, padded rows, ...)``."""
        size = self.batch_size
        n_full = len(values) // size
        whole = values[: n_full * size]
        steps[:n_full, :size] = whole.reshape(n_full, size, *values.shape[1:])
        if len(values) > n_full * size:
            rest = values[n_full * size :]
            steps[n_full, : len(rest)] = rest

    def _masks(
        self, first: int, n_steps: int, generators: Sequence[np.random.Generator]
    ) -> tuple[Tensor | None, ...]:
        if not self._drops.any():
            return ()
        begin, end = first * self.batch_size, (first + n_steps) * self.batch_size
        n_rows = np.clip(self.n_rows - begin, 0, end - begin)
        masks: list[Tensor | None] = []
        for layer, width in enumerate(self.kind.architecture.hidden):
            rates = self.job.settings.dropout[:, layer]
            if not rates.any():
                masks.append(None)
                continue
            shape = len(self.rows), n_steps, self.padded_size, width
            mask = np.ones(shape, dtype=self.kind.dtype)
            for member, rate in enumerate(rates):
                if rate > 0:
                    drawn = generators[member].random(
                        (int(n_rows[member]), width), dtype=np.float32
                    )
                    self._place(mask[member], (drawn >= rate) / (1 - rate))
            masks.append(_tensor(mask, self.kind))
        return tuple(masks)


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
        X[member, :n_rows] = _gathered(of_member.table.X, index)
        target[member, :n_rows] = of_member.table.target[index]
        given = of_member.weight
        weight[member, :n_rows, 0] = 1.0 if given is None else given[part]
    return Batch(_tensor(X, kind), _tensor(target, kind), _tensor(weight, kind), None)


def _mean_weight(rows: Rows) -> float:
    return 1.0 if rows.weight is None else float(rows.weight.sum()) / len(rows)


def _numbers(n: int) -> np.ndarray:
    return np.arange(n, dtype=np.int32 if n < 1 << 31 else np.int64)


def _gathered(X: Any, index: np.ndarray) -> np.ndarray:
    if sparse.issparse(X):
        return X[index].toarray()
    return np.take(X, index, axis=0)


def _tensor(array: np.ndarray, kind: Kind) -> Tensor:
    return torch.from_numpy(array).to(kind.device)
