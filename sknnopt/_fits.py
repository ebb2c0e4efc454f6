"""What a fit hands over, and which fits train as one batch.

Fits of one kind train as one batch; their activations and update rules may differ. A
member's result does not depend on its company (see `Layout.padded`), so a batch may be
cut into parts as time and memory ask for.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from sknnopt._feed import padded_rows, rows_at_once
from sknnopt._guard import GuardOfSome
from sknnopt._job import Job
from sknnopt._record import Record

#: Members of a part have at most this ratio between their numbers of steps an epoch:
#: those with fewer stand idle in the others' last ones.
_STEP_RATIO = 1.25
#: Nanoseconds of a step, for each layer, that are worth a thread of their own. Below,
#: threads would only wait for each other's turn at the interpreter.
_WORTH_A_THREAD = 350_000.0
#: Nanoseconds of one multiplication with addition, and of passing over one number, in
#: single precision.
_PER_PRODUCT, _PER_NUMBER = 0.03, 0.3
#: How often a step passes over the weights, and over a layer's units.
_WEIGHT_PASSES, _UNIT_PASSES = 12, 8


@dataclass(frozen=True, eq=False)
class Fit:
    """What one fit hands over.

    Parameters
    ----------
    job : Job
        What to train.
    start : callable
        Makes the record that the training begins with: once, and again if a batch
        fails and its halves are tried.
    verbose : bool, default=False
        Whether it wants to be seen.
    number : int or None, default=None
        Ordinal of the outermost task that makes it; None outside of tasks.
    guard : GuardOfSome or None, default=None
        Who keeps its work from being lost.
    """

    job: Job
    start: Callable[[], Record]
    verbose: bool = False
    number: int | None = None
    guard: GuardOfSome | None = None

    @property
    def n_bytes(self) -> int:
        """Memory of the data that the fit holds, and of its training."""
        job = self.job
        rows = [*job.rows, *job.held_out]
        tables = {id(part.table): part.table for part in rows}.values()
        held = sum(_n_bytes(table.X) + table.target.nbytes for table in tables)
        # The rows were cut out of others, and scaled: they stand there more than once.
        return 2 * held + len(job) * _member_bytes(job)

    @property
    def key(self) -> tuple[Any, ...]:
        """What fits must have in common to train as one batch."""
        job = self.job
        table = job.rows[0].table
        return (
            job.kind.common,
            job.n_epochs,
            bool(job.held_out),
            # In batches of another size numbers are rounded otherwise.
            padded_rows(rows_at_once(job)),
            table.target.shape[1],
            table.target.dtype.kind,
        )

    @property
    def horizon(self) -> int:
        """Epochs that it takes if it does not end early."""
        if self.job.n_epochs is not None:
            return self.job.n_epochs
        return int(self.job.settings.max_epochs.max())

    @property
    def n_epochs(self) -> int:
        """Epochs of all its members, if none ends early."""
        return len(self.job) * self.horizon

    @property
    def n_steps(self) -> int:
        """Updates in an epoch, of the member that has most."""
        return max(-(-len(rows) // self.job.kind.batch_size) for rows in self.job.rows)

    @property
    def step_time(self) -> float:
        """Nanoseconds of arithmetic in a step, roughly."""
        kind = self.job.kind
        n_rows = padded_rows(kind.batch_size)
        sizes = np.array(kind.architecture.sizes)
        n_products = 3 * n_rows * int((sizes[:-1] * sizes[1:]).sum())
        n_passed = _WEIGHT_PASSES * kind.layout.n_columns
        n_passed += _UNIT_PASSES * n_rows * int(sizes[1:].sum())
        of_member = _PER_PRODUCT * n_products + _PER_NUMBER * n_passed
        return len(self.job) * of_member * kind.dtype.itemsize / 4

    @property
    def layer_time(self) -> float:
        """The same for each layer, on average: how long calls take."""
        return self.step_time / (len(self.job.kind.architecture.sizes) - 1)


def cut(
    fits: Sequence[Fit], n_workers: int, ladders: Sequence[Hashable] | None = None
) -> list[list[int]]:
    """Cut the fits into parts that train as one batch, the longest part first.

    In each, fits of the same activations and update rule lie side by side.

    Parameters
    ----------
    fits : sequence of Fit
        What to train.
    n_workers : int
        Threads that may compute at a time.
    ladders : sequence or None, default=None
        For each fit the epochs at which it meets others, which a part has in common.

    Returns
    -------
    list of list of int
        Numbers of the fits in each part.
    """
    kinds: dict[tuple[Any, ...], list[int]] = {}
    for number, fit in enumerate(fits):
        ladder = None if ladders is None else ladders[number]
        kinds.setdefault((fit.key, ladder), []).append(number)
    parts = [
        part
        for alike in kinds.values()
        for equal in _with_similar_steps(fits, alike)
        for part in _shared_out(fits, _by_choice(fits, equal), n_workers)
    ]

    def length(part: list[int]) -> float:
        return sum(fits[i].step_time * fits[i].n_steps * fits[i].horizon for i in part)

    return sorted(parts, key=length, reverse=True)


def halves(part: list[int]) -> tuple[list[int], list[int]]:
    """Return the halves of a part, to be tried where the whole has failed.

    Parameters
    ----------
    part : list of int
        Two or more numbers of fits.

    Returns
    -------
    tuple of list
        Neither is empty.
    """
    middle = len(part) // 2
    return part[:middle], part[middle:]


def _with_similar_steps(fits: Sequence[Fit], numbers: list[int]) -> Iterable[list[int]]:
    part: list[int] = []
    for number in sorted(numbers, key=lambda i: fits[i].n_steps):
        if part and fits[number].n_steps > _STEP_RATIO * fits[part[0]].n_steps:
            yield part
            part = []
        part.append(number)
    yield part


def _shared_out(
    fits: Sequence[Fit], numbers: list[int], n_workers: int
) -> list[list[int]]:
    """Share a batch among threads, as many as have steps that are long enough."""
    for n_parts in range(min(n_workers, len(numbers)), 1, -1):
        ends = np.linspace(0, len(numbers), n_parts + 1).astype(int).tolist()
        parts = [numbers[start:end] for start, end in pairwise(ends)]
        if all(is_worth_a_thread(fits, part) for part in parts):
            return parts
    return [numbers]


def _by_choice(fits: Sequence[Fit], numbers: list[int]) -> list[int]:
    """Put fits of the same activations and update rule side by side."""
    return sorted(numbers, key=lambda i: fits[i].job.kind.choice)


def is_worth_a_thread(fits: Sequence[Fit], part: list[int]) -> bool:
    """Tell whether a step of some of the fits is long enough for a thread.

    Parameters
    ----------
    fits : sequence of Fit
        All that train.
    part : list of int
        Numbers of those that train as one batch.

    Returns
    -------
    bool
        False where a thread would mostly wait for the interpreter.
    """
    return sum(fits[number].layer_time for number in part) >= _WORTH_A_THREAD


def _member_bytes(job: Job) -> int:
    """Memory of one member in training: weights and their kin, layers, its rows."""
    kind = job.kind
    n_rows = padded_rows(kind.batch_size)
    sizes = kind.architecture.sizes
    longest = max(len(rows) for rows in [*job.rows, *job.held_out])
    # Weights, gradients and what all rules of a batch remember, with copies at the end.
    numbers = 20 * kind.layout.n_columns + 4 * n_rows * sum(sizes)
    numbers += 2 * min(longest * sum(sizes), 1 << 20)
    return numbers * kind.dtype.itemsize + 16 * longest


def _n_bytes(X: Any) -> int:
    """Memory of a dense or CSR matrix."""
    if hasattr(X, "indptr"):
        return int(X.data.nbytes + X.indices.nbytes + X.indptr.nbytes)
    return int(X.nbytes)
