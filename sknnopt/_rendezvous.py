"""Where the fits of concurrent tasks meet, so that they can train together.

Tasks are threads. One that reaches its training step hands over a payload and sleeps
(`exchange`). When no task runs and none can begin, all payloads are processed at once
and the tasks wake with their results. Nothing here knows what is in a payload.

What can be relied on:

* **Progress.** The trainer acts as soon as nothing runs; a task begins as soon as
  nothing else is there, whatever the limits say; and a task or a caller that shows no
  sign of life for long is no longer waited for. So no one can wait forever.
* **Slots.** At most ``slots`` tasks run at a time, more are pointless under the
  interpreter's lock, and one where tasks are short: they would only take the lock from
  each other. Tasks that wake precede new ones, since they give memory back.
* **Depth first.** A new task of an inner call precedes those of outer calls: an outer
  task holds data, and begins only when the inner ones do not fill the width.
* **Isolation.** A task has a thread of its own, so that thread-local state cannot
  pass from one to the next. Payloads are processed in one thread that is no task's: a
  cancelled task need not wait for it, and numerical libraries, which keep a pool of
  workers for each thread that calls them, keep one.

Only the main thread can be interrupted anywhere. It never runs as a task and never
waits here, all locks are plain (a ``Condition`` can be left locked by an interrupt),
and what it may leave half done is only its own rendezvous, which ends with the call.
"""

from __future__ import annotations

import _thread
import atexit
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

from sknnopt._tasks import (
    ASLEEP,
    Call,
    State,
    Task,
    TaskCancelledError,
    current,
    end_dropped,
    exchange,
    off_the_main_thread,
    ring,
    spawn,
    twin_of,
)

__all__ = ["Rendezvous", "TaskCancelledError", "current", "exchange"]

#: Seconds after which running tasks are not waited for, unless one was seen to run half
#: as long.
TASK_PATIENCE = 30.0
#: Seconds for which tasks must run at a stretch to run beside each other.
_LONG = 0.02
#: Seconds between two looks at a caller that does not tell when it has dispatched.
_LOOK_AGAIN = 0.01
#: Seconds given to cancelled tasks to end before a call or the interpreter ends.
ENDING_SECONDS = 0.5
#: Seconds after that, given to a cancelled round.
ROUND_SECONDS = 1.5

#: Gives one outcome per payload; an exception is raised in the payload's task. Its
#: second argument tells whether all payloads, or the one of an index, are cancelled.
Process = Callable[[list[Any], Callable[..., bool]], list[Any]]


#: Admitted tasks that count against the width.
_LEAVES = (State.RUNNING, State.WAITING, State.TRAINING, State.WOKEN)


class Rendezvous:
    """Where the tasks of one outermost call and of its inner calls meet.

    Parameters
    ----------
    process : callable
        See `Process`. If it raises, every payload of the round gets the error.
    width : int
        Number of tasks that may have begun and wait or run. Tasks that wait for inner
        calls do not count.
    slots : int
        Number of tasks that may run at a time, if they usually run for long.
    budget : float
        Memory in bytes. A task begins only if what all waiting ones hold, and the
        largest amount seen for each running one, leave room for one more.
    """

    def __init__(
        self, process: Process, *, width: int, slots: int, budget: float
    ) -> None:
        self._process = process
        self._width, self._slots, self._budget = width, slots, budget
        self._lock = threading.Lock()
        self._in: dict[State, dict[Task, None]] = {state: {} for state in State}
        self._calls: dict[Call, None] = {}
        self._largest = 0
        self._longest, self._usual = 0.0, 1.0
        self._last_event = time.monotonic()
        self._trainer: threading.Thread | None = None
        self._bell = threading.Lock()
        self._bell.acquire()
        self._is_processing = False
        self._closed = False
        _open.add(self)

    def open_call(
        self, cap: int, is_dispatching: Callable[[], bool] | None = None
    ) -> Call:
        """Begin a call, made by the task of the calling thread if it runs one."""
        parent = current()
        if parent is not None:
            parent.raise_if_cancelled()
        call = Call(self, parent, cap, is_dispatching)
        with self._lock:
            self._calls[call] = None
        return call

    def join(self, seconds: float) -> bool:
        """Wait a while for begun tasks to end; tell whether they have.

        A round that is cancelled ends soon, and is waited for a little longer: a thread
        must not be in a numerical library when the interpreter is taken down.
        """
        begun = [self._in[s] for s in State if s not in (State.QUEUED, State.DONE)]
        deadline = time.monotonic() + seconds
        while any(begun) and time.monotonic() < deadline:
            time.sleep(0.002)
        deadline = time.monotonic() + ROUND_SECONDS
        while self._is_processing and time.monotonic() < deadline:
            time.sleep(0.002)
        return not any(begun)

    # ------------------------------------------------- what tasks and callers do

    def enqueue(self, task: Task) -> None:
        call = task.call
        with self._lock:
            if is_late := call.is_cancelled() or self._closed:
                started = []
            else:
                call.queued.append(task)
                call.last_submit = time.monotonic()
                started = self._advance()
        if is_late:
            self._drop([task])
        self._start(started)

    def exchange(self, task: Task, payload: Any, n_bytes: int) -> Any:
        with self._lock:
            task.raise_if_cancelled()
            self._ensure_trainer()
            task.payload, task.n_bytes = payload, n_bytes
            self._largest = max(self._largest, n_bytes)
            self._move(task, State.WAITING)
            started = self._advance()
        self._start(started)
        task.sleep()
        outcome, task.outcome = task.outcome, None
        task.raise_if_cancelled()
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def begin_retrieval(self, call: Call) -> None:
        with self._lock:
            call.has_dispatched = True
            is_over = call.is_given_up or not call.outstanding or call.is_cancelled()
            if call.parent is not None and not is_over:
                call.parent.awaits = call
                self._move(call.parent, State.RETRIEVING)
            started = self._advance()
        self._start(started)

    def end_retrieval(self, parent: Task) -> None:
        with self._lock:
            if parent.state is State.RETRIEVING:
                self._move(parent, State.WOKEN)
            started = self._advance()
        self._start(started)
        parent.sleep()

    def cancel(self) -> None:
        dropped: list[Task] = []
        with self._lock:
            for call in self._calls:
                if call.is_cancelled():
                    dropped += call.queued
                    call.queued.clear()
            for task in [t for tasks in self._in.values() for t in tasks]:
                if task.call.is_cancelled():
                    if task.state in ASLEEP:
                        self._move(task, State.RUNNING)
                    task.wake()
            started = self._advance()
        self._drop(dropped)
        self._start(started)

    def end(self) -> None:
        """Let the trainer end. Takes no lock, so that a finalizer can call it."""
        self._closed = True
        ring(self._bell)

    def close(self, call: Call) -> None:
        """Forget a call; the outermost ends the rendezvous."""
        if call.parent is None:
            self.end()
        with self._lock:
            call.has_dispatched = True
            self._calls.pop(call, None)

    # ------------------------------------------------------ the threads of tasks

    def _start(self, tasks: list[Task]) -> None:
        if not tasks:
            return
        try:
            off_the_main_thread(self._start_here, tasks)
        except RuntimeError as error:  # the system gives no more threads
            for task in tasks:
                self._take_back(task, error)

    def _start_here(self, tasks: list[Task]) -> None:
        for task in tasks:
            try:
                spawn("sknnopt-task", self._run, task)
            except RuntimeError as error:  # the system gives no more threads
                self._take_back(task, error)

    def _run(self, task: Task) -> None:
        task.run()
        self._finish(task)

    def _finish(self, task: Task) -> None:
        call, is_given_up = task.call, True
        try:
            is_given_up = task.tell()
        finally:
            with self._lock:
                self._move(task, State.DONE)
                del self._in[State.DONE][task]
                call.admitted -= 1
                call.is_given_up |= is_given_up
                self._tell_parent(call)
                started = self._advance()
            self._start(started)

    def _tell_parent(self, call: Call) -> None:
        parent = call.parent
        if parent is None or parent.awaits is not call:
            return
        is_over = call.is_given_up or not call.outstanding
        if is_over and parent.state is State.RETRIEVING:
            self._move(parent, State.WOKEN)

    def _take_back(self, task: Task, error: RuntimeError) -> None:
        with self._lock:
            is_alone = self._n(*_LEAVES) == 1
            if not is_alone:
                self._move(task, State.QUEUED)
                del self._in[State.QUEUED][task]
                task.call.admitted -= 1
                task.call.queued.appendleft(task)
                self._width = self._n(*_LEAVES)
                self._advance()  # begins none
        if is_alone:
            task.fail(error)
            self._finish(task)

    def _drop(self, tasks: list[Task]) -> None:
        """Tell callers of tasks that never began, in a thread: they may hold locks."""
        if not tasks:
            return
        try:
            _thread.start_new_thread(end_dropped, (tasks,))
        except RuntimeError:  # the system gives no more threads
            end_dropped(tasks)

    # -------------------------------------------------- the rules, under the lock

    def _n(self, *states: State) -> int:
        return sum(len(self._in[state]) for state in states)

    def _move(self, task: Task, state: State) -> None:
        now = time.monotonic()
        if task.state in (State.RUNNING, State.STRAGGLING):
            stretch = now - task.since
            self._longest = max(self._longest, stretch)
            if state is not State.STRAGGLING:  # it moves itself, in its own thread
                # Of the time itself much may be spent waiting for the interpreter.
                stretch = max(task.clock(), stretch / 10)
                self._usual += (stretch - self._usual) / 2
        if state is State.RUNNING:
            task.since = now
        before = task.state
        self._in[state][task] = None  # first: an interrupt must not lose the task
        task.state = state
        if before is not state:
            self._in[before].pop(task, None)

    def _n_slots(self) -> int:
        return self._slots if self._usual > _LONG else 1

    def _advance(self) -> list[Task]:
        """Fill the slots; return the tasks whose threads are to be started."""
        self._last_event = time.monotonic()
        started: list[Task] = []
        while self._n(State.RUNNING) < self._n_slots():
            if self._in[State.WOKEN]:
                task = next(iter(self._in[State.WOKEN]))
                self._move(task, State.RUNNING)
                task.wake()
            elif call := self._next_call():
                task = call.queued.popleft()
                call.admitted += 1
                self._move(task, State.RUNNING)
                started.append(task)
            else:
                break
        if self._is_idle() or self._n(State.WAITING) == 1:
            ring(self._bell)  # to train, or to watch for those who keep it from that
        return started

    def _next_call(self) -> Call | None:
        """Return the call whose next task may begin: the deepest, then the oldest."""
        n_leaves = self._n(*_LEAVES)
        if n_leaves >= self._width or (n_leaves and not self._has_memory()):
            return None
        ready = (c for c in self._calls if c.queued and c.admitted < c.cap)
        return max(ready, key=lambda call: call.depth, default=None)

    def _has_memory(self) -> bool:
        held = sum(t.n_bytes for t in self._in[State.WAITING])
        held += sum(t.n_bytes for t in self._in[State.TRAINING])
        n_unknown = self._n(State.RUNNING, State.WOKEN) + 1
        return held + self._largest * n_unknown <= self._budget

    def _is_idle(self) -> bool:
        """Tell whether payloads wait and no task does anything about it."""
        busy = self._n(State.RUNNING, State.WOKEN, State.TRAINING)
        return bool(self._in[State.WAITING]) and not busy

    def _is_quiet(self) -> bool:
        """Tell whether payloads wait and no further one can join them."""
        return self._is_idle() and not any(c.is_dispatching() for c in self._calls)

    # ---------------------------------------------- the thread that has them trained

    def _ensure_trainer(self) -> None:
        if self._trainer is None:
            self._trainer = spawn("sknnopt-trainer", self._train_rounds)

    def _train_rounds(self) -> None:
        while True:
            with self._lock:
                started = self._set_stragglers_aside()
                tasks = list(self._in[State.WAITING]) if self._is_quiet() else []
                for task in tasks:
                    self._move(task, State.TRAINING)
                patience = self._patience()
                if self._closed and not self._in[State.WAITING] and not tasks:
                    return
            self._start(started)
            if tasks:
                self._train(tasks)
            else:
                self._bell.acquire(timeout=patience)

    def _train(self, tasks: list[Task]) -> None:
        def is_cancelled(index: int | None = None) -> bool:
            chosen = tasks if index is None else [tasks[index]]
            return all(task.call.is_cancelled() for task in chosen)

        self._is_processing = True
        try:
            outcomes = self._process([task.payload for task in tasks], is_cancelled)
            if len(outcomes) != len(tasks):
                raise RuntimeError(
                    f"{len(tasks)} payloads were handed over and {len(outcomes)} "
                    "outcomes came back."
                )
        except BaseException as error:  # noqa: BLE001  # the tasks raise it
            outcomes = [twin_of(error) for _ in tasks]
        finally:
            self._is_processing = False
        with self._lock:
            for task, outcome in zip(tasks, outcomes, strict=True):
                task.payload = None
                if task.state is State.TRAINING:  # cancelled ones have gone
                    task.outcome = outcome
                    self._move(task, State.WOKEN)
            started = self._advance()
        self._start(started)

    def _patience(self) -> float:
        """Return how long the trainer may sleep, in seconds; -1: until it is called."""
        if not self._n(State.WAITING, State.WOKEN):
            return -1
        if self._n(State.RUNNING, State.WOKEN):
            return max(_LOOK_AGAIN, self._stalls_at() - time.monotonic())
        return _LOOK_AGAIN

    def _stalls_at(self) -> float:
        return self._last_event + max(TASK_PATIENCE, 2 * self._longest)

    def _set_stragglers_aside(self) -> list[Task]:
        if not self._n(State.WAITING, State.WOKEN):
            return []
        if time.monotonic() < self._stalls_at():
            return []
        for task in list(self._in[State.RUNNING]):
            self._move(task, State.STRAGGLING)
        return self._advance()


_open: weakref.WeakSet[Rendezvous] = weakref.WeakSet()


def _end_all() -> None:
    """Let no thread compute while the interpreter is taken down."""
    remaining = [rendezvous for rendezvous in _open if rendezvous._trainer is not None]
    for rendezvous in remaining:
        for call in list(rendezvous._calls):
            call.abort()
    deadline = time.monotonic() + ENDING_SECONDS
    for rendezvous in remaining:
        rendezvous.join(deadline - time.monotonic())


atexit.register(_end_all)
