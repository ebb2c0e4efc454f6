"""How the fits of concurrent tasks become batches, and batches become trained networks.

Fits of one kind train as one batch; their activations and update rules may differ. A
member's result does not depend on its company (see `Layout.padded`), so a batch may be
cut into parts as time and memory ask for.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from sknnopt._feed import padded_rows, rows_at_once
from sknnopt._history import join_lines
from sknnopt._job import Job
from sknnopt._loop import Loop
from sknnopt._network import plain_mode
from sknnopt._progress import SearchProgress
from sknnopt._record import Record, part_of
from sknnopt._threads import n_torch_threads

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

Columns = dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Fit:
    """What one fit hands over.

    Parameters
    ----------
    job : Job
        What to train.
    start : callable
        Makes the record that the training begins with: once, and again if a batch
        fails and its fits are tried alone.
    verbose : bool, default=False
        Whether it wants to be seen.
    """

    job: Job
    start: Callable[[], Record]
    verbose: bool = False

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


def train_together(
    fits: Sequence[Fit],
    is_cancelled: Callable[..., bool],
    *,
    n_workers: int = 1,
    progress: SearchProgress | None = None,
) -> list[Any]:
    """Train the networks of several fits.

    Parameters
    ----------
    fits : sequence of Fit
        One for each task that waits.
    is_cancelled : callable
        Tells whether no result is wanted any more: of any fit, or, given an index, of
        one.
    n_workers : int, default=1
        Threads that may compute at a time; each uses one thread of torch's.
    progress : SearchProgress or None, default=None
        Told of each epoch, if a fit wants to be seen.

    Returns
    -------
    list
        For each fit its record, as `Record.to_arrays` dumps it, and its history, both
        as dict of ndarray; or the exception that its training raised.
    """
    outcomes: list[Any] = [None] * len(fits)
    if progress is None or not any(fit.verbose for fit in fits):
        progress = SearchProgress()
    else:
        progress.expect(sum(_n_epochs(fit) for fit in fits))
    parts: queue.SimpleQueue[list[int]] = queue.SimpleQueue()
    made = cut(fits, n_workers)
    for part in made:
        parts.put(part)

    def work() -> None:
        with n_torch_threads(1), plain_mode("cpu", gradient=False):
            while (part := _next(parts)) is not None:
                _train_part(fits, part, is_cancelled, progress, outcomes)

    n_worth = sum(_is_worth_a_thread(fits, part) for part in made)
    helpers = [
        threading.Thread(target=work, name="sknnopt-worker", daemon=True)
        for _ in range(min(n_workers, n_worth) - 1)
    ]
    for helper in helpers:
        helper.start()
    work()
    for helper in helpers:
        helper.join()
    return outcomes


def cut(fits: Sequence[Fit], n_workers: int) -> list[list[int]]:
    """Cut the fits into parts that train as one batch, the longest part first.

    In each, fits of the same activations and update rule lie side by side.

    Parameters
    ----------
    fits : sequence of Fit
        What to train.
    n_workers : int
        Threads that may compute at a time.

    Returns
    -------
    list of list of int
        Numbers of the fits in each part.
    """
    kinds: dict[tuple[Any, ...], list[int]] = {}
    for number, fit in enumerate(fits):
        kinds.setdefault(fit.key, []).append(number)
    parts = [
        part
        for alike in kinds.values()
        for equal in _with_similar_steps(fits, alike)
        for part in _shared_out(fits, _by_choice(fits, equal), n_workers)
    ]

    def length(part: list[int]) -> float:
        return sum(
            fits[i].step_time * fits[i].n_steps * _most_epochs(fits[i].job)
            for i in part
        )

    return sorted(parts, key=length, reverse=True)


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
        if all(_is_worth_a_thread(fits, part) for part in parts):
            return parts
    return [numbers]


def _by_choice(fits: Sequence[Fit], numbers: list[int]) -> list[int]:
    """Put fits of the same activations and update rule side by side."""
    return sorted(numbers, key=lambda i: fits[i].job.kind.choice)


def _is_worth_a_thread(fits: Sequence[Fit], part: list[int]) -> bool:
    return sum(fits[number].layer_time for number in part) >= _WORTH_A_THREAD


def _next(parts: queue.SimpleQueue[list[int]]) -> list[int] | None:
    try:
        return parts.get_nowait()
    except queue.Empty:
        return None


def _train_part(
    fits: Sequence[Fit],
    part: list[int],
    is_cancelled: Callable[..., bool],
    progress: SearchProgress,
    outcomes: list[Any],
) -> None:
    """Train one batch; if that fails, each fit alone: an error is only its own."""
    if is_cancelled():
        return
    own = [fits[number] for number in part]
    trained: list[Any] = []
    try:
        trained = _train(own, _all_of(part, is_cancelled), progress)
    except BaseException as error:  # noqa: BLE001  # the fit's own task raises it
        if len(part) == 1 or is_cancelled():
            trained = [error] * len(part)
    # Out of the block, so that the failed batch is forgotten.
    if not trained:
        for number in part:
            _train_part(fits, [number], is_cancelled, progress, outcomes)
        return
    for number, outcome in zip(part, trained, strict=True):
        outcomes[number] = outcome


def _all_of(part: list[int], is_cancelled: Callable[..., bool]) -> Callable[[], bool]:
    return lambda: all(is_cancelled(number) for number in part)


def _train(
    fits: Sequence[Fit], is_cancelled: Callable[[], bool], progress: SearchProgress
) -> list[tuple[Columns, Columns]]:
    job = Job.join([fit.job for fit in fits])
    record = Record.join([fit.start() for fit in fits])
    loop = Loop(job, record, None, is_cancelled)
    remaining = sum(_n_epochs(fit) for fit in fits)
    goes_on = True
    while goes_on:
        progress.advance(len(loop.live))
        remaining -= len(loop.live)
        goes_on = loop.settle(loop.epoch())
    # Those that stopped early have left some out.
    progress.advance(remaining)
    arrays = loop.result().to_arrays()
    ends = np.cumsum([len(fit.job) for fit in fits])
    starts = ends - [len(fit.job) for fit in fits]
    columns = _columns(loop.history)
    return [
        (
            part_of(arrays, slice(start, end), fit.job.kind.optimizer),
            _history(columns, start, end, fit.job),
        )
        for fit, start, end in zip(fits, starts, ends, strict=True)
    ]


def _columns(lines: list[Columns]) -> Columns:
    """Join the lines of a history to columns, each member's rows together."""
    columns = join_lines(lines)
    order = np.lexsort((columns["epoch"], columns["member"]))
    return {name: values[order] for name, values in columns.items()}


def _history(columns: Columns, start: int, end: int, job: Job) -> Columns:
    """Return what concerns a fit's own members, as if they had been alone."""
    first, stop = np.searchsorted(columns["member"], [start, end])
    own = {name: values[first:stop].copy() for name, values in columns.items()}
    own["member"] -= start
    # In the order of epochs, as a history is written.
    order = np.argsort(own["epoch"], kind="stable")
    own = {name: values[order] for name, values in own.items()}
    if not (job.settings.l1.any() or job.settings.l2.any()):
        own.pop("penalty", None)
    return own


def _n_epochs(fit: Fit) -> int:
    """Return the epochs of all members, if none stops early."""
    return len(fit.job) * _most_epochs(fit.job)


def _most_epochs(job: Job) -> int:
    if job.n_epochs is not None:
        return job.n_epochs
    return int(job.settings.max_epochs.max())


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
