"""Tasks and the calls that make them: what one does, who waits for it, who ended it."""

from __future__ import annotations

import _thread
import copy
import itertools
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum, auto
from typing import Any, Protocol

#: Seconds after which a caller that hands over no further task is not waited for.
CALLER_PATIENCE = 1.0


class TaskCancelledError(BaseException):
    """Ends a task whose call was aborted; no ``except Exception`` holds it up."""


class State(Enum):
    """What a task does."""

    QUEUED = auto()
    RUNNING = auto()
    STRAGGLING = auto()  # running for so long that no one waits for it
    WAITING = auto()  # has handed over a payload
    TRAINING = auto()  # the payload is being processed
    RETRIEVING = auto()  # waits for the tasks of an inner call
    WOKEN = auto()  # could go on, and waits for a slot
    DONE = auto()


ASLEEP = {State.WAITING, State.TRAINING, State.RETRIEVING, State.WOKEN}


class _OfThread(threading.local):
    task: Task | None = None


_of_thread = _OfThread()


def current() -> Task | None:
    """Return the task that the calling thread runs, None outside of tasks."""
    return _of_thread.task


def ordinal() -> int | None:
    """Return the place of the calling thread's outermost task among those of its call.

    Returns
    -------
    int or None
        0 for the first task that the outermost call was given; None outside of tasks.
    """
    task = current()
    while task is not None and task.call.parent is not None:
        task = task.call.parent
    return None if task is None else task.ordinal


def exchange(payload: Any, n_bytes: int) -> Any:
    """Hand over a payload, wait, and return its result or raise its error.

    Parameters
    ----------
    payload : object
        What ``process`` receives.
    n_bytes : int
        Memory that the task holds and its payload needs, in bytes.

    Returns
    -------
    object
        What ``process`` returned for this payload.
    """
    task = current()
    if task is None:
        raise RuntimeError("exchange() needs a task, and this thread runs none.")
    return task.call.rendezvous.exchange(task, payload, n_bytes)


class Meeting(Protocol):
    """What a `Rendezvous` does for tasks and calls."""

    def open_call(
        self, cap: int, is_dispatching: Callable[[], bool] | None = None
    ) -> Call:
        """Begin a call."""

    def join(self, seconds: float) -> bool:
        """Wait a while for begun tasks to end."""

    def exchange(self, task: Task, payload: Any, n_bytes: int) -> Any:
        """Hand over a task's payload and wait for its result."""

    def enqueue(self, task: Task) -> None:
        """Take a new task in."""

    def begin_retrieval(self, call: Call) -> None:
        """Note that the caller waits for results from now on."""

    def end_retrieval(self, parent: Task) -> None:
        """Let a task that waited for results go on."""

    def cancel(self) -> None:
        """End what belongs to aborted calls."""

    def close(self, call: Call) -> None:
        """Forget a call."""

    def end(self) -> None:
        """Let no thread wait for more."""


class Task:
    """One function that runs in a thread of its own, the ``ordinal``-th of its call."""

    def __init__(
        self,
        call: Call,
        function: Callable[[], Any],
        done: Callable[[Task], Any],
        ordinal: int,
    ) -> None:
        self.call = call
        self.ordinal = ordinal
        self.state = State.QUEUED
        self.n_bytes = 0
        self.payload: Any = None
        self.outcome: Any = None
        self.since = 0.0
        self.awaits: Call | None = None
        self.function: Callable[[], Any] | None = function
        self.done: Callable[[Task], Any] | None = done
        self._value: Any = None
        self._error: BaseException | None = None
        self._clock = 0.0
        self._alarm = threading.Lock()
        self._alarm.acquire()

    def result(self) -> Any:
        """Return what the function returned, or raise what it raised."""
        if self._error is not None:
            raise self._error
        return self._value

    def run(self) -> None:
        """Call the function in this thread, which is the task's from now on."""
        _of_thread.task = self
        function, self.function = self.function, None
        try:
            self.raise_if_cancelled()
            self._value = None if function is None else function()
        except BaseException as error:  # noqa: BLE001  # the task's caller gets it
            self._error = error

    def tell(self) -> bool:
        """Call ``done``; return whether the caller gives the other tasks up."""
        done, self.done = self.done, None
        return done is None or bool(done(self))

    def clock(self) -> float:
        """Return for how long its thread, this one, computed since the last call."""
        before, self._clock = self._clock, time.thread_time()
        return self._clock - before

    def fail(self, error: BaseException) -> None:
        """End the task with an error, without running it."""
        self.function, self._error = None, error

    def raise_if_cancelled(self) -> None:
        """End the task where its call, or one further out, was aborted."""
        if self.call.is_cancelled():
            raise TaskCancelledError("The call of this task was aborted.")

    def sleep(self) -> None:
        """Wait for a slot to go on."""
        while self.state in ASLEEP:
            self._alarm.acquire()

    def wake(self) -> None:
        """Let the thread look at its state; harmless if it does not sleep."""
        ring(self._alarm)


class Call:
    """Tasks that one caller hands over, and what it then does.

    Parameters
    ----------
    rendezvous : Meeting
        Where its tasks meet others.
    parent : Task or None
        The task that makes the call; None where the caller is not a task.
    cap : int
        Number of its tasks that may have begun and not ended.
    is_dispatching : callable or None
        Tells whether a caller that is no task still hands over tasks, where it will
        not say so by ``retrieving``.
    """

    def __init__(
        self,
        rendezvous: Meeting,
        parent: Task | None,
        cap: int,
        is_dispatching: Callable[[], bool] | None = None,
    ) -> None:
        self.rendezvous = rendezvous
        self.parent = parent
        self.cap = cap
        self.depth: int = 0 if parent is None else parent.call.depth + 1
        self.queued: deque[Task] = deque()
        self.admitted = 0
        self.aborted = False
        self.has_dispatched = False
        self.is_given_up = False
        self.last_submit = time.monotonic()
        self._is_dispatching = is_dispatching
        self._ordinals = itertools.count()

    @property
    def outstanding(self) -> int:
        """Number of tasks handed over and not ended."""
        return len(self.queued) + self.admitted

    def is_cancelled(self) -> bool:
        """Tell whether this call, or one around it, was aborted."""
        call: Call | None = self
        while call is not None:
            if call.aborted:
                return True
            call = call.parent.call if call.parent else None
        return False

    def is_dispatching(self) -> bool:
        """Tell whether more tasks are about to come from a caller that is no task."""
        if self.parent is not None or self.has_dispatched:
            return False
        if time.monotonic() - self.last_submit > CALLER_PATIENCE:
            return False
        return self._is_dispatching is None or self._is_dispatching()

    def submit(self, function: Callable[[], Any], done: Callable[[Task], Any]) -> Task:
        """Hand over a function.

        Parameters
        ----------
        function : callable
            Called without arguments in a thread of its own.
        done : callable
            Called in the same thread with the ended task. It may hand over further
            tasks. Returns true if the caller should not wait for the others.

        Returns
        -------
        Task
            What ``done`` will receive.
        """
        task = Task(self, function, done, next(self._ordinals))
        self.rendezvous.enqueue(task)
        return task

    @contextmanager
    def retrieving(self, *, sleeps: bool) -> Iterator[None]:
        """Wait for the results in this block.

        Parameters
        ----------
        sleeps : bool
            Whether a task that makes the call sleeps at the block's beginning until
            its inner tasks have ended or are given up, which spares it from polling.

        Yields
        ------
        None
            Control, after the waiting if ``sleeps``.
        """
        self.rendezvous.begin_retrieval(self)
        if self.parent is None:
            yield
            return
        if sleeps:
            self.parent.sleep()
            self.parent.raise_if_cancelled()
        try:
            yield
        finally:
            self.rendezvous.end_retrieval(self.parent)

    def abort(self) -> None:
        """Drop what has not begun and end what waits; can be repeated."""
        self.aborted = True
        self.rendezvous.cancel()

    def close(self) -> None:
        """Say that the caller is through."""
        self.rendezvous.close(self)


def ring(bell: threading.Lock) -> None:
    """Let one thread pass that waits for the lock now or later."""
    with suppress(RuntimeError):  # it rings already
        bell.release()


def spawn(name: str, function: Callable[..., None], *args: Any) -> threading.Thread:
    """Start a thread that does not keep the interpreter from ending."""
    thread = threading.Thread(target=function, args=args, name=name, daemon=True)
    thread.start()
    return thread


def off_the_main_thread(function: Callable[..., None], *args: Any) -> None:
    """Call a function that is not safe from interrupts, such as to start threads."""
    if threading.get_ident() == threading.main_thread().ident:
        _thread.start_new_thread(function, args)
    else:
        function(*args)


def end_dropped(tasks: list[Task]) -> None:
    """Tell the callers of tasks that will never begin."""
    for task in tasks:
        task.fail(TaskCancelledError("The call of this task was aborted."))
        task.tell()


def twin_of(error: BaseException) -> BaseException:
    """Return a copy, so that threads do not write into one traceback."""
    try:
        twin = copy.copy(error)
    except Exception:  # noqa: BLE001  # an exception may refuse to be copied
        return error
    if type(twin) is not type(error):
        return error
    twin.__cause__, twin.__context__ = error.__cause__, error.__context__
    return twin.with_traceback(error.__traceback__)


def _forget_task() -> None:
    """Make a forked child train alone: no other thread is there to wait for."""
    _of_thread.task = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_task)
