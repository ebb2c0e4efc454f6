"""Tasks meet: nothing hangs, all limits hold, and rounds are as large as they allow."""

from __future__ import annotations

import os
import queue
import threading
import time
from types import SimpleNamespace

import pytest
from schedules import (
    PlannedError,
    PlannedInterrupt,
    check_plan,
    random_plan,
    run_plan,
    watched,
)

from sknnopt import _rendezvous, _tasks
from sknnopt._rendezvous import Rendezvous, TaskCancelledError, current, exchange

#: Random schedules to run; 10,000 take two minutes.
N_SCHEDULES = int(os.environ.get("SKNNOPT_SCHEDULES", "400"))
N_CHUNKS = 4


class Rounds:
    """A `process` that answers each payload with itself and notes the rounds."""

    def __init__(self):
        self.payloads = []

    def __call__(self, payloads, is_cancelled):
        """Note a round."""
        self.payloads.append(list(payloads))
        return list(payloads)

    @property
    def sizes(self):
        """Number of payloads of each round."""
        return [len(payloads) for payloads in self.payloads]


def meet(process, width=256, slots=2, budget=1e9):
    """Return a rendezvous."""
    return Rendezvous(process, width=width, slots=slots, budget=budget)


def call_all(rendezvous, functions, cap=256, ended=None):
    """Make a call with one task per function; return their results or errors."""
    call, tasks = rendezvous.open_call(cap), []
    done = threading.Event()

    def note(task):
        tasks.append(task)
        if len(tasks) == len(functions):
            done.set()

    handed = [call.submit(function, note) for function in functions]
    with call.retrieving(sleeps=True):
        assert done.wait(10)
    call.close()
    outcomes = []
    for task in handed:
        try:
            outcomes.append(task.result())
        except (Exception, TaskCancelledError) as error:  # noqa: BLE001
            outcomes.append(error)
    return outcomes


def fit(name, n_bytes=1):
    """Return a task that hands over one payload."""
    return lambda: exchange(name, n_bytes)


# ------------------------------------------------------------------ random schedules


@pytest.fixture
def no_patience_needed(monkeypatch):
    """Let nothing but the rules keep a schedule going."""
    monkeypatch.setattr(_tasks, "CALLER_PATIENCE", 1e4)
    monkeypatch.setattr(_rendezvous, "TASK_PATIENCE", 1e4)


@pytest.mark.usefixtures("no_patience_needed")
@pytest.mark.parametrize("chunk", range(N_CHUNKS))
def test_random_schedules(chunk, monkeypatch):
    """Nothing hangs, limits hold and each task gets its own result exactly once."""
    # All slots, one, or what the tasks' own times say.
    long = [0.0, float("inf"), 0.0, _rendezvous._LONG][chunk]
    monkeypatch.setattr(_rendezvous, "_LONG", long)
    for seed in range(chunk, N_SCHEDULES, N_CHUNKS):
        plan = random_plan(seed)
        check_plan(plan, *watched(lambda plan=plan: run_plan(plan), f"schedule {seed}"))


@pytest.mark.usefixtures("no_patience_needed")
def test_random_schedules_side_by_side(monkeypatch):
    """Two searches in two threads end as each alone, whatever the other does."""
    monkeypatch.setattr(_rendezvous, "_LONG", 0.0)
    for seed in range(0, N_SCHEDULES // 2, 2):
        plans = [random_plan(seed), random_plan(seed + 1)]
        results = {}

        def run(plan, results=results):
            results[plan.seed] = run_plan(plan)

        def both(plans=plans, run=run):
            threads = [threading.Thread(target=run, args=(plan,)) for plan in plans]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        watched(both, f"schedules {seed} and {seed + 1}")
        for plan in plans:
            check_plan(plan, *results[plan.seed])


@pytest.mark.usefixtures("no_patience_needed")
def test_schedules_cover_what_can_happen():
    """The schedules contain interrupts, failures and rounds of several payloads."""
    outcomes, sizes = [], []
    for seed in range(200):
        plan = random_plan(seed)
        ledger, outcome = watched(lambda plan=plan: run_plan(plan), f"schedule {seed}")
        outcomes.append(type(outcome))
        sizes += [len(names) for names in ledger.rounds]
    assert {list, PlannedError, PlannedInterrupt} <= set(outcomes)
    assert max(sizes) >= 4


# ------------------------------------------------------------------- maximal gathering


@pytest.mark.parametrize("slots", [1, 2, 5])
def test_all_tasks_share_a_round(slots):
    """Without limits in the way one round takes the payloads of all tasks."""
    rounds = Rounds()
    names = list(range(20))
    assert call_all(meet(rounds, slots=slots), map_fits(names)) == names
    assert rounds.sizes == [20]


def map_fits(names):
    """Return one task per name."""
    return [fit(name) for name in names]


@pytest.mark.parametrize(
    ("limits", "cap", "sizes"),
    [
        ({"width": 4}, 256, [4, 4, 2]),
        ({}, 4, [4, 4, 2]),
        ({"width": 1}, 256, [1] * 10),
        ({"budget": 4, "slots": 1}, 256, [4, 4, 2]),
        ({"budget": 0, "slots": 1}, 256, [1] * 10),
    ],
)
def test_rounds_are_as_large_as_the_limits_allow(limits, cap, sizes):
    """Width, cap and memory bound each round, and nothing else does."""
    rounds = Rounds()
    assert call_all(meet(rounds, **limits), map_fits(range(10)), cap) == [*range(10)]
    assert rounds.sizes == sizes


def test_the_first_tasks_begin_before_their_size_is_known():
    """One task per slot begins blindly; then a budget of nothing lets one at a time."""
    rounds, together = Rounds(), threading.Barrier(2, timeout=10)

    def task(i):
        if i < 2:
            together.wait()
        return exchange(i, 1)

    functions = [lambda i=i: task(i) for i in range(6)]
    assert call_all(meet(rounds, budget=0), functions) == [*range(6)]
    assert rounds.sizes == [2, 1, 1, 1, 1]


def test_tasks_that_never_exchange_are_not_waited_for():
    """Tasks of both kinds in one call: the payloads of those that exchange meet."""
    rounds = Rounds()
    functions = [fit(i) if i % 2 else (lambda i=i: -i) for i in range(10)]
    assert call_all(meet(rounds), functions) == [0, 1, -2, 3, -4, 5, -6, 7, -8, 9]
    assert rounds.sizes == [5]


def test_a_task_may_exchange_several_times():
    """Tasks with one to three payloads meet in as many rounds as the longest needs."""
    rounds = Rounds()

    def task(n):
        return [exchange((n, i), 1) for i in range(n)]

    functions = [lambda n=n: task(n) for n in (1, 2, 3, 3)]
    call_all(meet(rounds), functions)
    assert rounds.sizes == [4, 3, 2]


def test_inner_calls_share_a_round():
    """The inner tasks of all outer tasks are processed at once."""
    rounds = Rounds()
    rendezvous = meet(rounds)

    def outer(i):
        return call_all(rendezvous, map_fits([(i, j) for j in range(6)]))

    result = call_all(rendezvous, [lambda i=i: outer(i) for i in range(4)])
    assert result == [[(i, j) for j in range(6)] for i in range(4)]
    assert rounds.sizes == [24]


def test_a_task_with_two_inner_calls_waits_for_the_one_it_retrieves():
    """The end of another call of the same task does not wake it."""
    rendezvous = meet(Rounds())
    retrieving, ended = threading.Event(), []

    def outer():
        calls = [rendezvous.open_call(256) for _ in range(2)]
        calls[0].submit(lambda: retrieving.wait(10), lambda task: ended.append("other"))
        calls[1].submit(inner, lambda task: ended.append("own"))
        with calls[1].retrieving(sleeps=True):
            seen = list(ended)
        for call in calls:
            call.close()
        return seen

    def inner():
        retrieving.set()
        while not ended:
            time.sleep(0.001)
        time.sleep(0.05)  # time for a wrong awakening
        return exchange(1, 1)

    outcomes = watched(lambda: call_all(rendezvous, [outer]), "two inner calls")
    assert outcomes == [["other", "own"]]


def test_inner_tasks_come_before_outer_ones():
    """An outer task begins only when the inner ones do not fill the width."""
    rounds, n_rounds_before = Rounds(), []
    rendezvous = meet(rounds, width=4, slots=1)

    def outer(i):
        n_rounds_before.append(len(rounds.sizes))
        return call_all(rendezvous, map_fits([(i, j) for j in range(4)]))

    call_all(rendezvous, [lambda i=i: outer(i) for i in range(3)])
    assert n_rounds_before == [0, 1, 2]
    assert rounds.sizes == [4, 4, 4]


def test_woken_tasks_come_before_new_ones():
    """Tasks end before others begin, so that their memory is free again."""
    order = []

    def task(i):
        order.append(("begins", i))
        exchange(i, 1)
        order.append(("ends", i))

    functions = [lambda i=i: task(i) for i in range(6)]
    call_all(meet(Rounds(), width=3, slots=1), functions)
    first, second = range(3), range(3, 6)
    assert order == [
        (what, i)
        for half in (first, second)
        for what in ("begins", "ends")
        for i in half
    ]


def test_slots(monkeypatch):
    """As many long tasks run at a time as there are slots, and never more."""
    monkeypatch.setattr(_rendezvous, "_LONG", 0.0)
    together = threading.Barrier(3, timeout=10)
    running, most, lock = [0], [0], threading.Lock()

    def task():
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        together.wait()
        with lock:
            running[0] -= 1

    assert call_all(meet(Rounds(), slots=3), [task] * 9) == [None] * 9
    assert most[0] == 3


def test_short_tasks_run_one_after_the_other(monkeypatch):
    """Tasks that are usually short do not run beside each other."""
    monkeypatch.setattr(_rendezvous, "_LONG", float("inf"))
    running, most, lock = [0], [], threading.Lock()

    def task():
        with lock:
            running[0] += 1
            most.append(running[0])
        time.sleep(0.002)
        with lock:
            running[0] -= 1

    call_all(meet(Rounds(), slots=3), [task] * 20)
    assert set(most) == {1}


def test_slots_follow_what_tasks_take():
    """Short tasks close all slots but one, and long ones open them again."""

    def compute():
        end = time.thread_time() + 0.1
        while time.thread_time() < end:
            pass

    short, long = [time.monotonic] * 30, [compute] * 3
    for tasks, n_slots in ((short, 1), (short + long, 3)):
        rendezvous = meet(Rounds(), slots=3)
        assert rendezvous._n_slots() == 3
        call_all(rendezvous, tasks)
        assert rendezvous._n_slots() == n_slots


# --------------------------------------------------------------------------- errors


def test_an_error_reaches_its_own_task():
    """An outcome that is an exception is raised where its payload came from."""

    def process(payloads, is_cancelled):
        return [ValueError(f"no {p}") if p == 2 else p for p in payloads]

    outcomes = call_all(meet(process), map_fits(range(4)))
    assert repr(outcomes.pop(2)) == "ValueError('no 2')"
    assert outcomes == [0, 1, 3]


def test_an_error_of_the_round_reaches_every_task():
    """If the processing itself fails, each task raises a copy of the error."""

    def process(payloads, is_cancelled):
        raise MemoryError("too much")

    outcomes = call_all(meet(process), map_fits(range(4)))
    assert [repr(error) for error in outcomes] == ["MemoryError('too much')"] * 4
    assert len({id(error) for error in outcomes}) == 4


class UncopyableError(Exception):
    """An exception that cannot be made from its ``args``."""

    def __init__(self, a, b):
        super().__init__(a)


class ShiftingError(Exception):
    """An exception whose copy is another one."""

    def __copy__(self):
        return ValueError("a copy")


@pytest.mark.parametrize("error", [UncopyableError("a", "b"), ShiftingError("a")])
def test_an_error_that_cannot_be_copied_reaches_every_task(error):
    """The tasks then raise the error itself."""

    def process(payloads, is_cancelled):
        raise error

    outcomes = call_all(meet(process), map_fits(range(3)))
    assert [outcome is error for outcome in outcomes] == [True] * 3


def test_a_missing_outcome_is_an_error():
    """Every payload must get an outcome."""
    outcomes = call_all(meet(lambda payloads, _: payloads[1:]), map_fits(range(3)))
    assert {str(error) for error in outcomes} == {
        "3 payloads were handed over and 2 outcomes came back."
    }


def test_exchange_needs_a_task():
    """Outside of tasks there is no one to wait for."""
    assert current() is None
    with pytest.raises(RuntimeError, match="needs a task"):
        exchange(1, 1)


# ------------------------------------------------------------------------ cancelling


class Blocked(Rounds):
    """A `process` that goes on until it is told that nothing is wanted, or for long."""

    def __init__(self):
        super().__init__()
        self.began = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, payloads, is_cancelled):
        """Begin a round and wait."""
        self.began.set()
        assert self.go_on.wait(10)
        self.cancelled = [is_cancelled(i) for i in range(len(payloads))]
        self.all_cancelled = is_cancelled()
        return super().__call__(payloads, is_cancelled)


def test_an_aborted_call_ends_at_once():
    """Waiting tasks raise while their round goes on, queued ones never begin."""
    process, ended, begun = Blocked(), queue.SimpleQueue(), []
    rendezvous = meet(process, width=2)
    call = rendezvous.open_call(256)

    def task(i):
        begun.append(i)
        exchange(i, 1)

    for i in range(5):
        call.submit(lambda i=i: task(i), ended.put)
    with call.retrieving(sleeps=True):
        assert process.began.wait(10)
    call.abort()
    assert rendezvous.join(10)
    call.close()
    process.go_on.set()
    rendezvous._trainer.join(10)
    assert sorted(begun) == [0, 1]
    assert process.all_cancelled
    for _ in range(5):
        with pytest.raises(TaskCancelledError):
            ended.get(timeout=10).result()
    assert ended.empty()


def test_the_end_of_the_interpreter_cancels_what_trains(monkeypatch):
    """No round goes on computing for tasks that can have no use for it."""
    process, ended = Blocked(), queue.SimpleQueue()
    rendezvous = meet(process)
    monkeypatch.setattr(_rendezvous, "_open", {rendezvous})
    call = rendezvous.open_call(256)
    call.submit(fit("in training"), ended.put)
    with call.retrieving(sleeps=True):
        assert process.began.wait(10)
    threading.Timer(0.01, process.go_on.set).start()
    _rendezvous._end_all()
    with pytest.raises(TaskCancelledError):
        ended.get(timeout=10).result()
    call.close()
    rendezvous._trainer.join(10)
    assert process.all_cancelled


def test_an_aborted_inner_call_does_not_disturb_others():
    """Only the payloads of the aborted call are cancelled, the others get results."""
    process = Blocked()
    rendezvous = meet(process)

    def aborting():
        call = rendezvous.open_call(256)
        call.submit(fit("inner"), lambda task: None)
        exchange("before", 1)
        call.abort()
        call.close()
        return exchange("after", 1)

    def watch():
        assert process.began.wait(10)
        process.go_on.set()

    threading.Thread(target=watch).start()
    assert call_all(rendezvous, [aborting, fit("other")]) == ["after", "other"]
    assert sorted(process.payloads[0]) == ["before", "inner", "other"]
    assert process.payloads[1:] == [["after"]]


def test_is_cancelled_tells_payloads_apart():
    """An index asks for one payload, no index for all of the round."""
    process, calls = Blocked(), []
    rendezvous = meet(process)

    def outer(name):
        calls.append(rendezvous.open_call(256))
        calls[-1].submit(fit(name), lambda task: True)
        with calls[-1].retrieving(sleeps=True):
            pass

    def abort_one():
        assert process.began.wait(10)
        calls[0].abort()
        process.go_on.set()

    threading.Thread(target=abort_one).start()
    call_all(rendezvous, [lambda: outer("a"), lambda: outer("b")])
    assert sorted(process.cancelled) == [False, True]
    assert not process.all_cancelled


def test_cancellation_passes_through_error_handling():
    """``except Exception``, as scikit-learn has it, does not hold a cancelled task."""
    assert not issubclass(TaskCancelledError, Exception)


# ------------------------------------------------------------ what rules cannot see


def test_a_caller_that_pauses_is_looked_at_again(monkeypatch):
    """A caller that ceases to hand over while tasks still run is not waited for."""
    monkeypatch.setattr(_tasks, "CALLER_PATIENCE", 0.05)
    rounds, go_on, ended = Rounds(), threading.Event(), threading.Event()
    rendezvous = meet(rounds)

    def slow():
        assert go_on.wait(10)
        return exchange("slow", 1)

    def run():
        call = rendezvous.open_call(256)
        call.submit(fit("fast"), lambda task: None)
        call.submit(slow, lambda task: ended.set())
        threading.Timer(0.2, go_on.set).start()
        assert ended.wait(10)
        call.close()

    watched(run, "a caller that pauses")
    assert sorted(rounds.payloads[0]) == ["fast", "slow"]


def test_a_caller_that_waits_for_its_tasks_is_not_waited_for(monkeypatch):
    """A caller may hand over a task only when another has ended."""
    monkeypatch.setattr(_tasks, "CALLER_PATIENCE", 0.05)
    rounds = Rounds()
    rendezvous = meet(rounds)

    def run():
        call = rendezvous.open_call(256)
        for i in range(3):
            ended = threading.Event()
            call.submit(fit(i), lambda task, ended=ended: ended.set())
            assert ended.wait(10)
        call.close()

    watched(run, "a caller that waits while it dispatches")
    assert rounds.payloads == [[0], [1], [2]]


def test_a_task_that_waits_for_a_waiting_task_is_not_waited_for(monkeypatch):
    """Tasks that take turns by a lock of their own do not wait forever."""
    monkeypatch.setattr(_rendezvous, "TASK_PATIENCE", 0.05)
    lock = threading.Lock()

    def task(i):
        with lock:
            return exchange(i, 1)

    functions = [lambda i=i: task(i) for i in range(4)]
    outcomes = watched(lambda: call_all(meet(Rounds()), functions), "a lock")
    assert outcomes == [0, 1, 2, 3]


def test_a_single_payload_is_heard_of_later_too(monkeypatch):
    """After a round, too, one payload does not wait for a task that waits for it."""
    monkeypatch.setattr(_rendezvous, "TASK_PATIENCE", 0.05)
    monkeypatch.setattr(_rendezvous, "_LONG", 0.0)
    go_on, rounds = threading.Event(), Rounds()

    def blocked():
        exchange("first of the blocked", 1)
        return go_on.wait(5)

    def twice():
        exchange("first", 1)
        time.sleep(0.1)  # the trainer has gone to sleep again
        answer = exchange("second", 1)
        go_on.set()
        return answer

    rendezvous = meet(rounds)
    outcomes = watched(lambda: call_all(rendezvous, [blocked, twice]), "a later round")
    assert outcomes == [True, "second"]
    assert rounds.payloads[-1] == ["second"]


def test_too_few_threads(monkeypatch):
    """Where the system gives no more threads, tasks make do with those there are."""
    spawn, alive, lock = _rendezvous.spawn, [0], threading.Lock()

    def sparing(name, function, *args):
        if name != "sknnopt-task":
            return spawn(name, function, *args)
        with lock:
            if alive[0] == 3:
                raise RuntimeError("can't start new thread")
            alive[0] += 1

        def counted(*args):
            function(*args)
            with lock:
                alive[0] -= 1

        return spawn(name, counted, *args)

    monkeypatch.setattr(_rendezvous, "spawn", sparing)
    rounds, opened = Rounds(), []
    rendezvous = meet(rounds)
    open_call = rendezvous.open_call

    def noted(cap):
        opened.append(open_call(cap))
        return opened[-1]

    monkeypatch.setattr(rendezvous, "open_call", noted)
    outcomes = watched(lambda: call_all(rendezvous, map_fits(range(9))), "threads")
    assert outcomes == [*range(9)]
    assert max(rounds.sizes) == 3
    # Those that were taken back are not counted twice.
    assert rendezvous.join(10)
    assert [call.outstanding for call in opened] == [0]


@pytest.mark.usefixtures("no_patience_needed")
def test_a_thread_that_is_refused_wakes_the_trainer(monkeypatch):
    """What waited for a task that could not begin is trained without it."""
    monkeypatch.setattr(_rendezvous, "_LONG", 0.0)
    spawn, begun, waits = _rendezvous.spawn, [], threading.Event()

    def sparing(name, function, *args):
        if name == "sknnopt-task":
            begun.append(name)
            if len(begun) == 3:
                time.sleep(0.1)  # the trainer has looked, and gone to sleep again
                raise RuntimeError("can't start new thread")
        return spawn(name, function, *args)

    def brief():
        while not rendezvous._in[_tasks.State.WAITING]:
            time.sleep(0.001)
        assert waits.wait(10)

    monkeypatch.setattr(_rendezvous, "spawn", sparing)
    rounds = Rounds()
    rendezvous = meet(rounds, width=2)
    functions = [fit("first"), brief, fit("refused at first")]
    # The caller has dispatched all, and its wish for results wakes nobody any more.
    threading.Timer(0.1, waits.set).start()
    outcomes = watched(lambda: call_all(rendezvous, functions), "a refused thread")
    assert outcomes == ["first", None, "refused at first"]
    assert rounds.payloads == [["first"], ["refused at first"]]


def refuse(*args):
    """Stand in for what starts a thread, where the system gives no more."""
    raise RuntimeError("can't start new thread")


def test_no_thread_at_all(monkeypatch):
    """A task that cannot begin fails with the system's error."""
    monkeypatch.setattr(_rendezvous, "spawn", refuse)
    outcomes = watched(lambda: call_all(meet(Rounds()), map_fits(range(3))), "threads")
    assert [str(error) for error in outcomes] == ["can't start new thread"] * 3


def test_no_thread_for_the_main_thread(monkeypatch):
    """The main thread, which starts none itself, hears of the system's error, too."""
    threads = SimpleNamespace(start_new_thread=refuse)
    monkeypatch.setattr(_tasks, "_thread", threads)
    outcomes = call_all(meet(Rounds()), map_fits(range(3)))
    assert [str(error) for error in outcomes] == ["can't start new thread"] * 3


def test_dropped_tasks_are_told_of_without_a_thread(monkeypatch):
    """Where the system gives no more threads, callers hear of what never began."""
    threads = SimpleNamespace(start_new_thread=refuse)
    monkeypatch.setattr(_rendezvous, "_thread", threads)
    call, told = meet(Rounds()).open_call(256), []
    call.abort()
    late = call.submit(lambda: "result", told.append)
    assert told == [late]
    with pytest.raises(TaskCancelledError, match="was aborted"):
        late.result()
    call.close()


# ------------------------------------------------------------------------- isolation


def test_thread_local_state_does_not_leak():
    """What a task leaves in its thread is not seen by the next, nor when processing."""
    local, seen = threading.local(), []

    def process(payloads, is_cancelled):
        seen.append((current(), hasattr(local, "value")))
        return payloads

    def task():
        assert not hasattr(local, "value")
        local.value = 1
        exchange(1, 1)
        return local.value

    assert call_all(meet(process, width=2), [task] * 6) == [1] * 6
    assert seen == [(None, False)] * 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_is_no_task():
    """A process forked by a task has no one to wait for, and knows it."""

    def task():
        pid = os.fork()
        if pid == 0:
            os._exit(0 if current() is None else 1)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    assert call_all(meet(Rounds()), [task]) == [0]


def test_threads_end_with_the_call():
    """No thread of a rendezvous is left when its outermost call has ended."""
    rendezvous = meet(Rounds())
    call_all(rendezvous, map_fits(range(5)))
    assert rendezvous.join(10)
    rendezvous._trainer.join(10)
    assert not rendezvous._trainer.is_alive()


@pytest.mark.parametrize(
    ("is_begun", "is_processing", "waited"),
    [
        (False, False, 0.0),
        (True, False, 0.5),
        (False, True, _rendezvous.ROUND_SECONDS),
        (True, True, 0.5 + _rendezvous.ROUND_SECONDS),
    ],
)
def test_join_waits_as_long_as_it_is_told(monkeypatch, is_begun, is_processing, waited):
    """It waits for tasks that do not end, and for a round, and says what it saw."""
    now = [100.0]

    def sleep(seconds):
        now[0] += seconds

    clock = SimpleNamespace(monotonic=lambda: now[0], sleep=sleep)
    monkeypatch.setattr(_rendezvous, "time", clock)
    rendezvous = Rendezvous(None, width=1, slots=1, budget=1.0)
    if is_begun:
        rendezvous._in[_tasks.State.RUNNING]["never ends"] = None
    rendezvous._is_processing = is_processing
    assert rendezvous.join(0.5) == (not is_begun)
    assert now[0] - 100.0 == pytest.approx(waited, abs=0.01)
