"""How fits that wait become batches, and batches become trained networks."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from sknnopt._advancing import Ascent, Batch, Columns
from sknnopt._fits import Fit, cut, halves, is_worth_a_thread
from sknnopt._network import plain_mode
from sknnopt._progress import SearchProgress
from sknnopt._rungs import Rungs
from sknnopt._threads import n_torch_threads


def train_together(
    fits: Sequence[Fit],
    is_cancelled: Callable[..., bool],
    *,
    n_workers: int = 1,
    progress: SearchProgress | None = None,
    rungs: Rungs | None = None,
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
    rungs : Rungs or None, default=None
        Where the fits are compared, and who leaves there: all batches then advance
        side by side. None: each trains to its end before the next begins.

    Returns
    -------
    list
        For each fit its record, as `Record.to_arrays` dumps it, and its history, both
        as dict of ndarray; or the exception that its training raised. With a rule of
        pruning that is a ValueError for fits that hold no rows out.
    """
    if progress is None or not any(fit.verbose for fit in fits):
        progress = SearchProgress()
    else:
        progress.expect(sum(fit.n_epochs for fit in fits))
    if rungs is not None:
        ascent = Ascent(fits, n_workers, rungs, is_cancelled, progress)
        n_threads = _n_threads(fits, ascent.parts, n_workers)
        for tasks in ascent.stages():
            _do(tasks, n_threads)
        return ascent.outcomes
    outcomes: list[Any] = [None] * len(fits)
    parts = cut(fits, n_workers)
    tasks = [
        partial(_train_part, fits, part, is_cancelled, progress, outcomes)
        for part in parts
    ]
    _do(tasks, _n_threads(fits, parts, n_workers))
    return outcomes


def _n_threads(fits: Sequence[Fit], parts: list[list[int]], n_workers: int) -> int:
    return min(n_workers, sum(is_worth_a_thread(fits, part) for part in parts))


def _do(tasks: Sequence[Callable[[], None]], n_threads: int) -> None:
    """Do all tasks in this thread and, where there shall be more, in others."""
    waiting: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
    for task in tasks:
        waiting.put(task)

    def work() -> None:
        with n_torch_threads(1), plain_mode("cpu", gradient=False):
            while (task := _next(waiting)) is not None:
                task()

    helpers = [
        threading.Thread(target=work, name="sknnopt-worker", daemon=True)
        for _ in range(min(n_threads, len(tasks)) - 1)
    ]
    for helper in helpers:
        helper.start()
    work()
    for helper in helpers:
        helper.join()


def _next(waiting: queue.SimpleQueue[Callable[[], None]]) -> Callable[[], None] | None:
    try:
        return waiting.get_nowait()
    except queue.Empty:
        return None


def _train_part(
    fits: Sequence[Fit],
    part: list[int],
    is_cancelled: Callable[..., bool],
    progress: SearchProgress,
    outcomes: list[Any],
) -> None:
    """Train one batch; if that fails, its halves.

    So memory that is too small for all is enough for some, and an error is in the end
    only its own fit's.
    """
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
        for half in halves(part):
            _train_part(fits, half, is_cancelled, progress, outcomes)
        return
    for number, outcome in zip(part, trained, strict=True):
        outcomes[number] = outcome


def _all_of(part: list[int], is_cancelled: Callable[..., bool]) -> Callable[[], bool]:
    return lambda: all(is_cancelled(number) for number in part)


def _train(
    fits: Sequence[Fit], is_cancelled: Callable[[], bool], progress: SearchProgress
) -> list[tuple[Columns, Columns]]:
    batch = Batch(fits, is_cancelled, progress)
    while not batch.is_over:
        batch.advance()
    return batch.outcomes()
