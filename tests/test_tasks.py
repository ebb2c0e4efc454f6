"""Tasks and calls by themselves, at a meeting that does nothing."""

from __future__ import annotations

import threading
import time

import pytest

from sknnopt import _tasks
from sknnopt._tasks import (
    ASLEEP,
    CALLER_PATIENCE,
    Call,
    State,
    TaskCancelledError,
    end_dropped,
    exchange,
    off_the_main_thread,
    ordinal,
    ring,
    twin_of,
)


class Nowhere:
    """A meeting that takes tasks in, and notes what else it is told."""

    def __init__(self):
        self.tasks, self.said = [], []

    def enqueue(self, task):
        """Take a task in."""
        self.tasks.append(task)

    def cancel(self):
        """Note it."""
        self.said.append("cancel")

    def begin_retrieval(self, call):
        """Note it."""
        self.said.append("begin")

    def end_retrieval(self, parent):
        """Note it."""
        self.said.append("end")


def make_call(parent=None, is_dispatching=None):
    """Return a call at a meeting of its own."""
    return Call(Nowhere(), parent, 2, is_dispatching)


def make_task(call=None, function=None, done=None):
    """Return a task that the call, or a new one, was given."""
    return (call or make_call()).submit(function or int, done or (lambda task: None))


def test_depth_of_calls():
    """The outermost call has depth 0, and each inner one is one deeper."""
    outer = make_call()
    inner = make_call(make_task(outer))
    assert [outer.depth, inner.depth, make_call(make_task(inner)).depth] == [0, 1, 2]


def test_tasks_are_numbered():
    """Tasks of a call are counted from 0, in each call anew."""
    call = make_call()
    assert [make_task(call).ordinal for _ in range(3)] == [0, 1, 2]
    assert make_task().ordinal == 0
    assert call.rendezvous.tasks[1].ordinal == 1


def test_outstanding_tasks():
    """Those that are queued and those that have begun count together."""
    call = make_call()
    call.queued.extend([make_task(), make_task(), make_task()])
    call.admitted = 2
    assert call.outstanding == 5


def test_an_inner_call_is_cancelled_with_the_outer_one():
    """Aborting a call ends those inside of it, and none around it."""
    outer = make_call()
    inner = make_call(make_task(outer))
    inner.abort()
    assert (outer.is_cancelled(), inner.is_cancelled()) == (False, True)
    other = make_call(make_task(outer))
    assert not other.is_cancelled()
    outer.abort()
    assert other.is_cancelled()
    assert outer.rendezvous.said == ["cancel"]


def test_who_is_dispatching(monkeypatch):
    """A caller that is no task hands over until it says otherwise or takes too long."""
    assert make_call().is_dispatching()
    assert not make_call(make_task()).is_dispatching()
    for answer in (True, False):
        assert (
            make_call(is_dispatching=lambda said=answer: said).is_dispatching()
            == answer
        )
    through = make_call()
    through.has_dispatched = True
    assert not through.is_dispatching()
    slow = make_call()
    begun = slow.last_submit
    monkeypatch.setattr(time, "monotonic", lambda: begun + CALLER_PATIENCE)
    assert slow.is_dispatching()
    monkeypatch.setattr(time, "monotonic", lambda: begun + CALLER_PATIENCE + 0.1)
    assert not slow.is_dispatching()


def test_results_of_a_task():
    """A task has its function's value or error, and forgets the function."""
    good, bad = make_task(function=lambda: 3), make_task(function=lambda: 1 / 0)
    for task in (good, bad):
        thread = threading.Thread(target=task.run)
        thread.start()
        thread.join()
        assert task.function is None
    assert good.result() == 3
    with pytest.raises(ZeroDivisionError):
        bad.result()


def test_a_task_of_an_aborted_call_does_not_run():
    """Its function is not called, and its error says why."""
    called = []
    task = make_task(function=lambda: called.append(1))
    task.call.abort()
    thread = threading.Thread(target=task.run)
    thread.start()
    thread.join()
    assert not called
    with pytest.raises(TaskCancelledError, match="aborted"):
        task.result()


@pytest.mark.parametrize(("answer", "is_given_up"), [(None, False), (1, True)])
def test_done_is_told_once(answer, is_given_up):
    """Its answer says whether others are given up; without it nobody waits for them."""
    told = []

    def done(task):
        told.append(task)
        return answer

    task = make_task(done=done)
    assert [task.tell(), task.tell()] == [is_given_up, True]
    assert told == [task]


def test_sleep_ends_with_the_state():
    """A task sleeps once for each ring, until it is in a state that goes on."""
    task = make_task()
    states = iter([State.TRAINING, State.WOKEN, State.RUNNING])
    slept = []

    class Alarm:
        def acquire(self):
            slept.append(task.state)
            task.state = next(states)

    task.state, task._alarm = State.WAITING, Alarm()
    task.sleep()
    assert slept == [State.WAITING, State.TRAINING, State.WOKEN]
    assert set(slept) < ASLEEP
    task.sleep()
    assert len(slept) == 3


def test_rings_do_not_add_up():
    """However often it is rung, one thread passes."""
    bell = threading.Lock()
    bell.acquire()
    ring(bell)
    ring(bell)
    assert bell.acquire(blocking=False)
    assert not bell.acquire(blocking=False)


def test_outside_of_tasks():
    """A thread that runs no task has no ordinal, and no one to exchange with."""
    assert ordinal() is None
    with pytest.raises(RuntimeError, match="runs none"):
        exchange(1, 8)


def test_ordinal_of_the_outermost_task(monkeypatch):
    """Tasks inside of others have the ordinal of the one that is in no other."""
    outer = make_call()
    make_task(outer)
    second = make_task(outer)
    innermost = make_task(make_call(make_task(make_call(second))))
    monkeypatch.setattr(_tasks._of_thread, "task", innermost, raising=False)
    assert ordinal() == 1


def test_off_the_main_thread():
    """From the main thread a function goes to another; elsewhere it stays."""
    ran = []
    has_run = threading.Event()

    def note(name):
        ran.append((name, threading.get_ident()))
        has_run.set()

    off_the_main_thread(note, "main")
    assert has_run.wait(30)
    other = threading.Thread(target=off_the_main_thread, args=(note, "other"))
    other.start()
    other.join()
    (main, first), (name, second) = ran
    assert (main, name) == ("main", "other")
    assert first != threading.main_thread().ident
    assert second == other.ident


def test_dropped_tasks_tell_their_callers():
    """A task that never begins is done, with an error."""
    told = []
    tasks = [make_task(done=told.append) for _ in range(2)]
    end_dropped(tasks)
    assert told == tasks
    for task in tasks:
        assert task.function is None
        with pytest.raises(TaskCancelledError):
            task.result()


def test_twins_of_errors():
    """A twin is another error that says the same; what refuses is its own twin."""

    class UniqueError(Exception):
        def __copy__(self):
            raise TypeError

    class ShyError(ValueError):
        def __copy__(self):
            return ValueError("another")

    try:
        raise ValueError("words") from KeyError("cause")
    except ValueError as caught:
        error = caught
    twin = twin_of(error)
    assert twin is not error
    assert (type(twin), twin.args) == (ValueError, ("words",))
    assert twin.__cause__ is error.__cause__
    assert twin.__traceback__ is error.__traceback__
    for single in (UniqueError(), ShyError()):
        assert twin_of(single) is single


@pytest.mark.parametrize("sleeps", [True, False])
def test_a_task_that_retrieves(sleeps, monkeypatch):
    """A caller that is a task sleeps if it is to, and goes on when it is through."""
    slept = []
    parent = make_task()
    monkeypatch.setattr(parent, "sleep", lambda: slept.append(parent))
    call = make_call(parent)
    with call.retrieving(sleeps=sleeps):
        assert call.rendezvous.said == ["begin"]
    assert call.rendezvous.said == ["begin", "end"]
    assert slept == [parent] * sleeps


def test_a_caller_that_is_no_task_retrieves():
    """It is not put to sleep, and nothing is to go on."""
    call = make_call()
    with call.retrieving(sleeps=True):
        assert call.rendezvous.said == ["begin"]
    assert call.rendezvous.said == ["begin"]
