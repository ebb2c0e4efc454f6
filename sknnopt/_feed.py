"""From rows of a table to batches of tensors, and the masks of dropout.

Rows are gathered, and random numbers drawn, for a *chunk* of steps at a time: often
enough to bound memory, seldom enough to cost little beside the arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from sknnopt._job import Job, Kind, Rows, Table

#: Numbers that one member may gather or draw at once in training.
_CHUNK = 1 << 21
#: The same where it is measured: all members pass together, each layer in memory.
_MEASURED_CHUNK = 1 << 17


@dataclass(frozen=True)
class Chunk:
    """Some consecutive rows of an epoch, for all members.

    ``X`` is ``(members, rows, features)``, ``target`` ``(members, rows, targets)``,
    ``weight`` ``(members, rows)``, zero at padding, or None where every row counts one;
    ``masks`` has one entry for each hidden layer.
    """

    X: Tensor
    target: Tensor
    weight: Tensor | None
    masks: tuple[Tensor | None, ...] = ()

    def batch(self, rows: slice) -> Chunk:
        """Return some of the rows, without a copy."""
        return Chunk(
            X=self.X[:, rows],
            target=self.target[:, rows],
            weight=None if self.weight is None else self.weight[:, rows],
            masks=tuple(m if m is None else m[:, rows] for m in self.masks),
        )


class Feed:
    """The rows of all members, side by side and ready to be gathered.

    Parameters
    ----------
    kind : Kind
        Dtype and device of the tensors.
    table : Table
        Where the rows are.
    rows : sequence of Rows
        One for each member; shorter ones are padded with rows of no weight.
    """

    def __init__(self, kind: Kind, table: Table, rows: Sequence[Rows]) -> None:
        self.kind, self.table = kind, table
        self.n_rows = np.array([len(r) for r in rows])
        longest = int(self.n_rows.max())
        self.index = np.stack([_padded(r.index, longest) for r in rows])
        is_padded = bool((self.n_rows < longest).any())
        is_weighted = any(r.weight is not None for r in rows)
        self.weight = _weights(rows, longest) if is_weighted or is_padded else None
        # All losses are sums over rows divided by this, per row.
        self.mean_weight = (
            np.ones(len(rows))
            if self.weight is None
            else self.weight.sum(axis=1) / self.n_rows
        )

    @cached_property
    def target_mean(self) -> Tensor:
        """Each member's weighted mean of the target, ``(members, 1, targets)``."""
        target = self.table.target[self.index]
        weight = np.ones(self.index.shape) if self.weight is None else self.weight
        total = weight.sum(axis=1)[:, None, None]
        return self._tensor((target * weight[..., None]).sum(1, keepdims=True) / total)

    def chunk(self, order: np.ndarray) -> Chunk:
        """Gather the rows at positions ``order`` of shape (members, n)."""
        index = np.take_along_axis(self.index, order, axis=1)
        weight = None
        if self.weight is not None:
            weight = self._tensor(np.take_along_axis(self.weight, order, axis=1))
        target = self.table.target[index]
        keep_type = target.dtype == np.int64
        return Chunk(
            X=self._tensor(_gathered(self.table.X, index)),
            target=self._tensor(target, target.dtype if keep_type else None),
            weight=weight,
        )

    def in_order(self) -> Iterator[Chunk]:
        """Yield all rows as they come, in chunks."""
        longest = self.index.shape[1]
        # From one network's shape alone: a loss is summed in the same parts in
        # whatever company.
        rows = max(1, _MEASURED_CHUNK // max(self.kind.architecture.sizes))
        order = np.broadcast_to(np.arange(longest), self.index.shape)
        for start in range(0, longest, rows):
            yield self.chunk(order[:, start : start + rows])

    def _tensor(self, array: np.ndarray, dtype: np.dtype | None = None) -> Tensor:
        array = np.ascontiguousarray(array, dtype=dtype or self.kind.dtype)
        return torch.from_numpy(array).to(self.kind.device)


class Epochs:
    """Epoch after epoch of the training rows, in each member's own order.

    Parameters
    ----------
    job : Job
        The rows, the batch size and the dropout rates.
    """

    def __init__(self, job: Job) -> None:
        self.job, self.kind = job, job.kind
        self.feed = Feed(job.kind, job.train, job.rows)
        self.batch_size = min(job.kind.batch_size, self.feed.index.shape[1])
        #: Updates of each member in an epoch.
        self.n_steps = -(-self.feed.n_rows // self.batch_size)
        #: Updates in which every member has rows.
        self.n_common_steps = int(self.n_steps.min())
        drawn = sum(job.kind.architecture.sizes[:-1])
        # From one network's shape alone: a member must draw the same numbers in
        # whatever company.
        self._steps_in_chunk = max(1, _CHUNK // (self.batch_size * drawn))
        self._is_static = self.n_steps.max() == 1 and not self._rates().any()
        self._kept: Chunk | None = None

    def __call__(
        self, generators: Sequence[np.random.Generator]
    ) -> Iterator[tuple[int, Chunk]]:
        """Yield ``(step, batch)`` for one epoch.

        Parameters
        ----------
        generators : sequence of numpy.random.Generator
            Each member's randomness: row order first, then dropout.

        Yields
        ------
        step : int
            Counted from zero.
        batch : Chunk
            The rows of that step, with the masks of dropout.
        """
        if self._is_static and self._kept is not None:
            yield 0, self._kept
            return
        order = self._order(generators)
        size, stride = self.batch_size, self.batch_size * self._steps_in_chunk
        for start in range(0, order.shape[1], stride):
            chunk = self._drawn(order[:, start : start + stride], generators)
            rows = chunk.X.shape[1]
            if self._is_static:
                self._kept = chunk
            for at in range(0, rows, size):
                batch = chunk if rows <= size else chunk.batch(slice(at, at + size))
                yield (start + at) // size, batch

    def _order(self, generators: Sequence[np.random.Generator]) -> np.ndarray:
        members, longest = self.feed.index.shape
        order = np.empty((members, longest), dtype=np.intp)
        for member, generator in enumerate(generators):
            n_rows = self.feed.n_rows[member]
            order[member] = np.arange(longest)
            # Order is of no consequence where all rows are one batch.
            if self.kind.shuffle and n_rows > self.batch_size:
                order[member, :n_rows] = generator.permutation(n_rows)
        return order

    def _drawn(
        self, order: np.ndarray, generators: Sequence[np.random.Generator]
    ) -> Chunk:
        chunk = self.feed.chunk(order)
        rates = self._rates()
        if not rates.any():
            return chunk
        masks = tuple(
            self._mask(rates[:, layer], width, order, generators)
            for layer, width in enumerate(self.kind.architecture.hidden)
        )
        return Chunk(chunk.X, chunk.target, chunk.weight, masks)

    def _mask(
        self,
        rates: np.ndarray,
        width: int,
        order: np.ndarray,
        generators: Sequence[np.random.Generator],
    ) -> Tensor | None:
        """Draw zeros at the dropped units and ``1 / (1 - rate)`` at the others."""
        if not rates.any():
            return None
        mask = np.ones((*order.shape, width), dtype=self.kind.dtype)
        for member, (rate, generator) in enumerate(zip(rates, generators, strict=True)):
            if rate > 0:
                is_real = order[member] < self.feed.n_rows[member]
                size = (int(is_real.sum()), width)
                kept = generator.random(size, dtype=np.float32) >= rate
                mask[member, is_real] = kept / (1 - rate)
        return torch.from_numpy(mask).to(self.kind.device)

    def _rates(self) -> np.ndarray:
        return self.job.settings.dropout


def _padded(index: np.ndarray, length: int) -> np.ndarray:
    return np.pad(index, (0, length - len(index)), mode="edge")


def _weights(rows: Sequence[Rows], length: int) -> np.ndarray:
    weight = np.zeros((len(rows), length))
    for member, r in enumerate(rows):
        weight[member, : len(r)] = 1.0 if r.weight is None else r.weight
    return weight


def _gathered(X: Any, index: np.ndarray) -> np.ndarray:
    if not sparse.issparse(X):
        return np.take(X, index, axis=0)
    dense = X[index.ravel()].toarray()
    return dense.reshape(*index.shape, -1)
