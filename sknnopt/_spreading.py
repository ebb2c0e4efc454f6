"""The members of one fit on several threads, each with some of them.

Threads of the libraries for matrices wait for each other at every product, busily: on
a machine that does other work, too, they take many times as long as one. Here each
thread has networks of its own, and waits for nobody.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from functools import partial

import numpy as np

from sknnopt._advancing import Columns
from sknnopt._batching import train_together
from sknnopt._fits import Fit, cut
from sknnopt._guard import Guard
from sknnopt._history import join_lines
from sknnopt._job import Job
from sknnopt._record import Record


def members_of(
    job: Job, start: Callable[[], Record], guard: Guard | None = None
) -> list[Fit]:
    """Return a fit for each member of a job.

    Parameters
    ----------
    job : Job
        Of several networks.
    start : callable
        Makes the record that the training begins with.
    guard : Guard or None, default=None
        Who keeps the job's work from being lost.

    Returns
    -------
    list of Fit
        In the order of the members.
    """
    record = start()
    return [
        Fit(
            job.take(own),
            partial(_begun, record, own),
            guard=None if guard is None else guard.of(own),
        )
        for own in np.arange(len(job))[:, None]
    ]


def is_worthwhile(job: Job, n_workers: int) -> bool:
    """Tell whether a job's steps are long enough for several threads.

    Parameters
    ----------
    job : Job
        What to train.
    n_workers : int
        Threads that may compute at a time.

    Returns
    -------
    bool
        False also where there is one thread or network.
    """
    if min(n_workers, len(job)) < 2:
        return False
    fits = [Fit(job.take(own), _never) for own in np.arange(len(job))[:, None]]
    return len(cut(fits, n_workers)) > 1


def train_spread(
    job: Job, start: Callable[[], Record], n_workers: int, guard: Guard | None = None
) -> tuple[Columns, Columns]:
    """Train the members of a job on several threads.

    Parameters
    ----------
    job : Job
        What to train.
    start : callable
        Makes the record that the training begins with.
    n_workers : int
        Threads that may compute at a time.
    guard : Guard or None, default=None
        Who keeps the job's work from being lost.

    Returns
    -------
    arrays : dict of ndarray
        What `Record.to_arrays` dumps of all members.
    history : dict of ndarray
        A line for each epoch and member.
    """
    fits = members_of(job, start, guard)
    is_unwanted = threading.Event()

    def is_cancelled(_: int = 0) -> bool:
        return is_unwanted.is_set()

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(train_together, fits, is_cancelled, n_workers=n_workers)
        try:
            outcomes = future.result()
        except BaseException:
            # Ctrl-C, most of all: the threads end with their next step.
            is_unwanted.set()
            raise
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    dumps, histories = zip(*outcomes, strict=True)
    arrays = {name: np.concatenate([d[name] for d in dumps]) for name in dumps[0]}
    for member, history in enumerate(histories):
        history["member"] += member
    columns = join_lines(list(histories))
    # Epoch by epoch, as members that train as one batch write it.
    order = np.argsort(columns["epoch"], kind="stable")
    return arrays, {name: values[order] for name, values in columns.items()}


def _begun(record: Record, own: np.ndarray) -> Record:
    """Return a record of some members that can be begun with more than once."""
    part = record.take(own)
    # They are the same objects in all records that are taken.
    part.generators = deepcopy(part.generators)
    return part


def _never() -> Record:
    raise AssertionError("A fit that is only judged does not start.")
