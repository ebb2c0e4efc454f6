"""Random trees of calls and tasks, what must come of them, and two ways to run them.

A task is a list of steps: hand over a payload, make an inner call, compute, or raise.
`run_call` makes a call through a small imitation of joblib's protocol;
`run_joblib_call` makes it through joblib.
"""

from __future__ import annotations

import faulthandler
import random
import tempfile
import threading
import time
from dataclasses import dataclass, field

import joblib
import pytest

from sknnopt._rendezvous import Rendezvous, exchange
from sknnopt._tasks import State

#: Seconds after which a schedule counts as hung; none takes a tenth of one.
WATCHDOG = 20.0


class PlannedError(Exception):
    """What a step raises on purpose."""


class PlannedInterrupt(BaseException):
    """What stands for Ctrl-C in the thread of an outermost caller."""


@dataclass
class Payload:
    """What a fake fit hands over."""

    name: str
    fails: bool = False
    explodes: bool = False


@dataclass
class Step:
    """One thing that a task does: "exchange", "call", "work" or "raise"."""

    kind: str
    payload: Payload | None = None
    n_bytes: int = 0
    call: CallPlan | None = None
    catches: bool = False


@dataclass
class CallPlan:
    """A call: one list of steps per task."""

    name: str
    tasks: list[list[Step]]
    n_jobs: int = -1
    pre_dispatch: int = 1
    sleeps: bool = True


@dataclass
class Plan:
    """A schedule: its outermost call and the limits of its rendezvous."""

    seed: int
    call: CallPlan
    width: int
    slots: int
    budget: float
    interrupt_after: float | None


def random_plan(seed):
    """Return the schedule of a seed."""
    rng = random.Random(seed)
    call = _random_call(rng, "c", depth=rng.choice([0, 1, 1, 2, 2]))
    return Plan(
        seed,
        call,
        width=rng.choice([1, 2, 3, 8, 256]),
        slots=rng.choice([1, 2, 2, 4]),
        budget=rng.choice([0, 3, 10, 1e9, 1e9]),
        interrupt_after=rng.random() * 0.02 if rng.random() < 0.15 else None,
    )


def _random_call(rng, name, depth):
    n_tasks = rng.choice([0, 1, 2, 3, 5, 8] if depth == 0 else [1, 2, 3, 4])
    tasks = [_random_task(rng, f"{name}.{i}", depth) for i in range(n_tasks)]
    n_jobs = rng.choice([-1, -1, -1, 1, 2, 3])
    pre_dispatch = rng.choice([1, 2, 4, 16])
    return CallPlan(name, tasks, n_jobs, pre_dispatch, sleeps=rng.random() < 0.7)


def _random_task(rng, name, depth):
    steps = []
    for i in range(rng.choice([0, 1, 1, 1, 3])):
        payload = Payload(f"{name}/{i}", rng.random() < 0.02, rng.random() < 0.004)
        steps.append(Step("exchange", payload, n_bytes=1))
    if depth and rng.random() < 0.7:
        inner = _random_call(rng, f"{name}#", depth - 1)
        steps.append(Step("call", call=inner, catches=rng.random() < 0.5))
    if rng.random() < 0.4:
        steps.append(Step("work"))
    if rng.random() < 0.02:
        steps.append(Step("raise"))
    rng.shuffle(steps)
    return steps


@dataclass
class Ledger:
    """What was seen while a schedule ran."""

    rounds: list[list[str]] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def process(self, payloads, is_cancelled, **options):
        """Answer each payload with its own name, its failure, or all by a failure."""
        self.rounds.append([payload.name for payload in payloads])
        if is_cancelled() != all(is_cancelled(i) for i in range(len(payloads))):
            time.sleep(0.01)  # unless the abort came in between
            if not is_cancelled():
                self.wrong.append("is_cancelled() contradicts is_cancelled(index)")
        if any(payload.explodes for payload in payloads):
            raise PlannedError("explosion")
        return [PlannedError(p.name) if p.fails else (p.name,) for p in payloads]


class CheckedRendezvous(Rendezvous):
    """A rendezvous that checks its rules after every event."""

    def __init__(self, ledger, **limits):
        super().__init__(ledger.process, **limits)
        self.ledger = ledger

    def _advance(self):
        started = super()._advance()
        tasks = {state: list(self._in[state]) for state in State}
        leaves = [
            t
            for s in ("RUNNING", "WAITING", "TRAINING", "WOKEN")
            for t in tasks[State[s]]
            if not t.call.is_cancelled()
        ]
        running = [t for t in leaves if t.state is State.RUNNING]
        queued = sum(len(call.queued) for call in self._calls)
        held = sum(t.n_bytes for t in leaves if t.state is not State.RUNNING)
        rules = {
            "more tasks run than slots": len(running) <= self._slots,
            "more tasks than the width": len(leaves) <= self._width,
            "more tasks than a cap": all(c.admitted <= c.cap for c in self._calls),
            "a slot idles": not tasks[State.WOKEN]
            or self._n_running() >= self._n_slots(),
            "a task could begin": self._n_running() >= self._n_slots()
            or self._next_call() is None,
            "nothing goes on": not queued or self._goes_on(),
            "memory": held <= max(self._budget, self._slots * self._largest),
        }
        self.ledger.wrong += [rule for rule, holds in rules.items() if not holds]
        return started

    def _n_running(self):
        return len(self._in[State.RUNNING])

    def _goes_on(self):
        states = (State.RUNNING, State.WOKEN, State.TRAINING, State.WAITING)
        return any(self._in[state] for state in states)


# ------------------------------------------------------------------ what must come


def expected_of_call(call):
    """Return the results and the names of the failures that a call may end with."""
    outcomes = [
        expected_of_task(task, f"{call.name}.{i}") for i, task in enumerate(call.tasks)
    ]
    failures = set().union(*(failures for _, failures in outcomes), set())
    values = [value for value, _ in outcomes]
    return (None if any(value is None for value in values) else values), failures


def expected_of_task(steps, name):
    """Return the value (None: it must fail) and the possible failures of a task."""
    value, failures = [], set()
    for step in steps:
        if step.kind == "exchange":
            if step.payload.fails:
                return None, failures | {step.payload.name}
            value.append((step.payload.name,))
        elif step.kind == "raise":
            return None, failures | {name}
        elif step.kind == "call":
            inner, inner_failures = expected_of_call(step.call)
            if inner is None and not step.catches:
                return None, failures | inner_failures
            value.append("caught" if inner is None else inner)
    return value, failures


def explosive(call):
    """Tell whether a payload of the call makes a whole round fail."""
    return any(
        (step.payload and step.payload.explodes) or (step.call and explosive(step.call))
        for task in call.tasks
        for step in task
    )


# ---------------------------------------------------------------------- running it


def run_task(steps, name, run_inner, ledger):
    """Do the steps of a task; return what they gave."""
    value = []
    for step in steps:
        if step.kind == "exchange":
            value.append(exchange(step.payload, step.n_bytes))
        elif step.kind == "work":
            time.sleep(0.0005)
        elif step.kind == "raise":
            raise PlannedError(name)
        else:
            try:
                value.append(run_inner(step.call))
            except PlannedError:
                if not step.catches:
                    raise
                value.append("caught")
    ledger.finished.append(name)
    return value


class Imitation:
    """One call as joblib makes it: dispatch, callbacks that dispatch, polling."""

    def __init__(self, rendezvous, plan, ledger, interrupt=None):
        self.rendezvous, self.plan, self.ledger = rendezvous, plan, ledger
        self.interrupt = interrupt
        self.lock = threading.RLock()
        self.tasks = iter(enumerate(plan.tasks))
        self.results, self.error, self.n_open, self.aborting = {}, None, 0, False

    def run(self):
        """Make the call and return its results in order."""
        cap = self.plan.n_jobs if self.plan.n_jobs > 0 else 256
        self.call = self.rendezvous.open_call(cap)
        try:
            for _ in range(self.plan.pre_dispatch):
                self.dispatch()
            with self.call.retrieving(sleeps=self.plan.sleeps):
                self.retrieve()
        except BaseException:
            self.aborting = True
            self.call.abort()
            raise
        finally:
            self.call.close()
        return [self.results[i] for i in range(len(self.plan.tasks))]

    def retrieve(self):
        """Poll as joblib does."""
        while self.n_open and not self.aborting:
            if self.interrupt and self.interrupt.is_set():
                raise PlannedInterrupt
            time.sleep(0.001)
        if self.error is not None:
            raise self.error

    def dispatch(self):
        """Hand over the next task."""
        with self.lock:
            index, steps = next(self.tasks, (None, None))
            if index is None or self.aborting:
                return
            self.n_open += 1

            def function():
                name = f"{self.plan.name}.{index}"
                return index, run_task(steps, name, self.run_inner, self.ledger)

            self.call.submit(function, self.done)

    def done(self, task):
        """Keep the result, dispatch the next task, tell whether all is over."""
        with self.lock:
            if self.aborting:
                return True
            try:
                index, value = task.result()
            except BaseException as error:  # noqa: BLE001  # raised by the caller
                self.error, self.aborting = error, True
                return True
            if index in self.results:
                self.ledger.wrong.append("a task ended twice")
            self.results[index] = value
            self.dispatch()
            self.n_open -= 1
        return False

    def run_inner(self, plan):
        """Make an inner call."""
        return run_call(self.rendezvous, plan, self.ledger)


def run_call(rendezvous, plan, ledger, interrupt=None):
    """Make a call; with ``n_jobs=1`` the caller runs the tasks itself, like joblib."""
    if plan.n_jobs != 1:
        return Imitation(rendezvous, plan, ledger, interrupt).run()

    def inner(inner_plan):
        return run_call(rendezvous, inner_plan, ledger)

    return [
        run_task(steps, f"{plan.name}.{i}", inner, ledger)
        for i, steps in enumerate(plan.tasks)
    ]


def run_joblib_call(plan, ledger):
    """Make a call through joblib, with the active backend."""

    def inner(inner_plan):
        return run_joblib_call(inner_plan, ledger)

    parallel = joblib.Parallel(
        n_jobs=None if plan.n_jobs == -1 else plan.n_jobs,
        pre_dispatch=plan.pre_dispatch,
        timeout=None if plan.sleeps or plan.n_jobs == 1 else 100,
    )
    return parallel(
        joblib.delayed(run_task)(steps, f"{plan.name}.{i}", inner, ledger)
        for i, steps in enumerate(plan.tasks)
    )


def run_plan(plan):
    """Run a schedule in this thread; return its ledger and what came of it."""
    ledger = Ledger()
    if plan.call.n_jobs == 1:
        plan.call.n_jobs = -1  # its fits would train alone
    limits = {"width": plan.width, "slots": plan.slots, "budget": plan.budget}
    rendezvous = CheckedRendezvous(ledger, **limits)
    interrupt = threading.Event()
    timer = threading.Timer(plan.interrupt_after or 0, interrupt.set)
    if plan.interrupt_after is not None:
        timer.start()
    try:
        outcome = run_call(rendezvous, plan.call, ledger, interrupt)
    except (PlannedError, PlannedInterrupt) as error:
        outcome = error
    timer.cancel()
    ledger.rendezvous = rendezvous
    return ledger, outcome


def check_plan(plan, ledger, outcome):
    """Assert that a schedule ended as it had to."""
    where = f"schedule {plan.seed}"
    assert not ledger.wrong, f"{where}: {set(ledger.wrong)}"
    names = [name for names in ledger.rounds for name in names]
    assert len(names) == len(set(names)), f"{where}: a payload was processed twice"
    assert ledger.rendezvous.join(WATCHDOG), f"{where}: a task did not end"
    if ledger.rendezvous._trainer is not None:
        ledger.rendezvous._trainer.join(WATCHDOG)
        assert not ledger.rendezvous._trainer.is_alive(), f"{where}: trainer lives"
    check_outcome(plan.call, outcome, where, plan.interrupt_after is not None)


def check_outcome(call, outcome, where, may_be_interrupted=False):
    """Assert that an outcome is one that the call may have."""
    if isinstance(outcome, PlannedInterrupt):
        assert may_be_interrupted, where
        return
    values, failures = expected_of_call(call)
    if explosive(call):
        return  # whose payloads shared a round is a matter of time
    if values is None:
        assert isinstance(outcome, PlannedError), f"{where}: {outcome!r}"
        assert str(outcome) in failures, f"{where}: {outcome!r} not in {failures}"
    else:
        assert outcome == values, f"{where}: {outcome!r}"


def watched(function, label, seconds=WATCHDOG):
    """Return what the function returns; fail with all stacks if it hangs."""
    result = []

    def run():
        try:
            result.append((function(), None))
        except BaseException as error:  # noqa: BLE001  # raised below
            result.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        with tempfile.TemporaryFile("w+") as file:
            faulthandler.dump_traceback(file, all_threads=True)
            file.seek(0)
            pytest.fail(f"{label} hangs\n{file.read()}", pytrace=False)
    value, error = result[0]
    if error is not None:
        raise error
    return value
