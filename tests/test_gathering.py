"""Whatever runs on joblib gathers its fits: joblib and scikit-learn themselves."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from types import SimpleNamespace
from unittest.mock import Mock
from weakref import ref

import joblib
import numpy as np
import pytest
from gathering import (
    INTERRUPTED,
    OFTEN_INTERRUPTED,
    FakeNet,
    Rounds,
    gather_in_loky,
)
from joblib import Parallel, delayed, parallel_config
from joblib._parallel_backends import FallbackToBackend, SequentialBackend
from schedules import Ledger, check_outcome, random_plan, run_joblib_call, watched
from sklearn.ensemble import (
    BaggingClassifier,
    RandomForestClassifier,
    StackingClassifier,
)
from sklearn.exceptions import FitFailedWarning
from sklearn.experimental import enable_halving_search_cv
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    HalvingRandomSearchCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skopt import BayesSearchCV
from skopt.space import Real

from sknnopt import _batching, _gathering
from sknnopt._gathering import GatheringBackend
from sknnopt._rendezvous import TaskCancelledError, current, exchange
from sknnopt._rungs import Rungs
from sknnopt._tasks import ordinal

assert enable_halving_search_cv

#: A guard against hanging, far above what a test takes.
LONG = 60
BIASES = {"bias": [0.0, 1.0, 2.0, 3.0]}


@pytest.fixture
def rounds(monkeypatch):
    """Note how many fits train together."""
    rounds = Rounds()
    monkeypatch.setattr(_batching, "train_together", rounds)
    return rounds


@pytest.fixture
def echo(monkeypatch):
    """Answer each payload with itself; return the list of rounds."""
    seen = []

    def train_together(payloads, is_cancelled, **options):
        seen.append(list(payloads))
        return payloads

    monkeypatch.setattr(_batching, "train_together", train_together)
    return seen


@pytest.fixture
def until_cancelled(monkeypatch):
    """Let a round last until it is cancelled; return an event for its beginning."""
    began = threading.Event()

    def train_together(payloads, is_cancelled, **options):
        began.set()
        while not is_cancelled():
            time.sleep(0.001)
        return payloads

    monkeypatch.setattr(_batching, "train_together", train_together)
    return began


@pytest.fixture
def gathering():
    """Make the backend the active one."""
    with parallel_config(backend="sknnopt"):
        yield


@pytest.fixture(autouse=True)
def no_threads_left():
    """Fail if a thread of the backend is left after the test."""
    gc.freeze()  # what has been there before is not looked at
    yield
    gc.collect()
    deadline = time.monotonic() + 10
    while (left := _own_threads()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not left


def _own_threads():
    return [t.name for t in threading.enumerate() if t.name.startswith("sknnopt")]


def hand_over(value):
    """Be a task that exchanges one payload."""
    return exchange(value, 1)


# ------------------------------------------------------------------- scikit-learn


@pytest.mark.usefixtures("gathering")
def test_grid_search(rounds, table):
    """All fits of a grid search meet; the refit, outside of joblib, is alone."""
    net = make_pipeline(StandardScaler(), FakeNet())
    search = GridSearchCV(net, {"fakenet__bias": list(range(12))}, cv=5).fit(*table)
    assert rounds.sizes == [60]
    assert search.best_estimator_[-1].is_alone_


@pytest.mark.usefixtures("gathering")
def test_halving_search(rounds, table):
    """Each iteration of a halving search is one round."""
    search = HalvingRandomSearchCV(
        FakeNet(), {"bias": np.arange(100)}, n_candidates=9, cv=3, min_resources=12
    ).fit(*table)
    assert len(search.n_candidates_) >= 2
    assert rounds.sizes == [3 * n for n in search.n_candidates_]


@pytest.mark.usefixtures("gathering")
def test_bayes_search(rounds, table):
    """The candidates of one step of a Bayesian search meet."""
    BayesSearchCV(
        FakeNet(), {"bias": Real(0, 1)}, n_iter=8, n_points=4, n_jobs=-1, cv=3
    ).fit(*table)
    assert rounds.sizes == [12, 12]


@pytest.mark.usefixtures("gathering")
@pytest.mark.parametrize("validate", [cross_validate, cross_val_predict])
def test_cross_validation(rounds, table, validate):
    """The folds of a cross-validation meet."""
    validate(FakeNet(), *table, cv=5)
    assert rounds.sizes == [5]


@pytest.mark.usefixtures("gathering")
def test_nested_cross_validation(rounds, table):
    """All inner fits of all outer folds meet, and then the refits of the folds."""
    cross_val_score(GridSearchCV(FakeNet(), BIASES, cv=5), *table, cv=3)
    assert rounds.sizes == [60, 3]


@pytest.mark.usefixtures("gathering")
def test_bagging(rounds, table):
    """The estimators of a bag meet."""
    BaggingClassifier(FakeNet(), n_estimators=10).fit(*table)
    assert rounds.sizes == [10]


@pytest.mark.usefixtures("gathering")
def test_search_over_bags(rounds, table):
    """The estimators of all bags of a search meet."""
    search = GridSearchCV(
        BaggingClassifier(FakeNet()), {"n_estimators": [2, 3]}, cv=4, refit=False
    )
    search.fit(*table)
    assert rounds.sizes == [20]


@pytest.mark.usefixtures("gathering")
def test_one_vs_rest(rounds, table):
    """The classifiers of all classes meet."""
    X = table[0]
    OneVsRestClassifier(FakeNet()).fit(X, np.arange(len(X)) % 3)
    assert rounds.sizes == [3]


@pytest.mark.usefixtures("gathering")
def test_stacking(rounds, table):
    """The base estimators of a stack meet, and so do all their folds."""
    nets = [(f"net{i}", FakeNet(float(i))) for i in range(3)]
    StackingClassifier(nets, LogisticRegression(), cv=5).fit(*table)
    assert rounds.sizes == [3, 15]


@pytest.mark.usefixtures("gathering")
def test_mixed_with_other_estimators(rounds, table):
    """Other estimators simply run, also with parallel parts of their own."""
    others = [LogisticRegression(), RandomForestClassifier(n_estimators=5)]
    net = make_pipeline(StandardScaler(), FakeNet())
    search = GridSearchCV(net, {"fakenet": [FakeNet(), *others, FakeNet()]}, cv=5)
    search.fit(*table)
    assert rounds.sizes == [10]
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.usefixtures("gathering")
def test_results_equal_those_without_the_backend(rounds, table):
    """The backend changes no score."""
    search = GridSearchCV(FakeNet(), BIASES, cv=5, return_train_score=True)
    gathered = search.fit(*table).cv_results_["mean_train_score"]
    with parallel_config(backend="threading", n_jobs=1):
        alone = search.fit(*table).cv_results_["mean_train_score"]
    np.testing.assert_array_equal(gathered, alone)


@pytest.mark.usefixtures("gathering", "rounds")
def test_a_failing_fit_fails_alone(table):
    """With a numeric ``error_score`` only the scores of the failing fits have it."""
    search = GridSearchCV(FakeNet(), {"fails": [False, True]}, cv=5, error_score=-1)
    with pytest.warns(FitFailedWarning):
        search.fit(*table)
    assert search.cv_results_["mean_test_score"][0] > 0
    assert search.cv_results_["mean_test_score"][1] == -1


@pytest.mark.usefixtures("gathering", "rounds")
def test_a_failing_fit_raises(table):
    """With ``error_score="raise"`` the error of the fit comes out, with its origin."""
    search = GridSearchCV(FakeNet(), {"fails": [False, True]}, error_score="raise")
    with pytest.raises(ValueError, match="no network comes of this") as caught:
        search.fit(*table)
    assert any("in fit" in note for note in caught.value.__notes__)


# --------------------------------------------------------------- how many at a time


@pytest.mark.parametrize(
    ("n_jobs", "expected"), [(None, 7), (-1, 7), (-3, 5), (-99, 1), (3, 3), (99, 7)]
)
def test_effective_n_jobs(n_jobs, expected):
    """-1 and None mean the width, and no number means more."""
    with parallel_config(backend="sknnopt", width=7):
        assert joblib.effective_n_jobs(n_jobs) == expected


def test_default_width():
    """Without options 256 fits are held at a time."""
    with parallel_config(backend="sknnopt"):
        assert joblib.effective_n_jobs() == 256


def test_zero_jobs():
    """No job at all has no meaning, as in joblib."""
    with pytest.raises(ValueError, match="n_jobs == 0"):
        GatheringBackend().effective_n_jobs(0)


@pytest.mark.parametrize(
    ("options", "n_jobs", "sizes"),
    [
        ({}, None, [10]),
        ({}, 4, [4, 4, 2]),
        ({"width": 4}, -1, [4, 4, 2]),
        ({"width": 4}, 9, [4, 4, 2]),
        ({"width": 9}, 4, [4, 4, 2]),
    ],
)
def test_width_and_n_jobs(echo, options, n_jobs, sizes):
    """The width and an explicit ``n_jobs`` bound the rounds."""
    with parallel_config(backend="sknnopt", **options):
        result = Parallel(n_jobs=n_jobs)(delayed(hand_over)(i) for i in range(10))
    assert result == [*range(10)]
    assert [len(payloads) for payloads in echo] == sizes


def test_memory_bounds_rounds(echo, monkeypatch):
    """Fits are held while their bytes stay within the memory."""
    monkeypatch.setattr(_gathering, "n_cores", lambda: 1)
    with parallel_config(backend="sknnopt", memory=4):
        Parallel()(delayed(hand_over)(i) for i in range(10))
    assert [len(payloads) for payloads in echo] == [4, 4, 2]


def test_default_memory(echo, monkeypatch):
    """Without the option a third of what is free bounds the rounds."""
    monkeypatch.setattr(_gathering, "n_cores", lambda: 1)
    monkeypatch.setattr(_gathering, "free_memory", lambda: 12)
    with parallel_config(backend="sknnopt"):
        Parallel()(delayed(hand_over)(i) for i in range(10))
    assert [len(payloads) for payloads in echo] == [4, 4, 2]


def test_more_tasks_than_are_dispatched_at_once(echo):
    """Where tasks are dispatched as others end, rounds are still full."""
    with parallel_config(backend="sknnopt", width=8):
        Parallel()(delayed(hand_over)(i) for i in range(40))
        Parallel(pre_dispatch="n_jobs")(delayed(hand_over)(i) for i in range(40))
    assert [len(payloads) for payloads in echo] == [8] * 10


@pytest.mark.parametrize("width", [0, -1, 2.0, True, "8", None])
def test_wrong_width(width):
    """A width that is no count is refused at once."""
    with pytest.raises(ValueError, match=f"width={width!r} .*whole number"):
        parallel_config(backend="sknnopt", width=width)


@pytest.mark.parametrize("memory", [0, -1, float("nan"), True, "1G"])
def test_wrong_memory(memory):
    """A memory that is no number of bytes is refused at once."""
    with pytest.raises(ValueError, match=f"memory={memory!r} .*bytes"):
        parallel_config(backend="sknnopt", memory=memory)


@pytest.mark.parametrize(("told", "n_workers"), [("1", 1), ("64", joblib.cpu_count())])
def test_cores_of_a_process(monkeypatch, told, n_workers):
    """Threads that train are no more than the process's share of the cores."""
    monkeypatch.setenv("OMP_NUM_THREADS", told)
    asked = []

    def train_together(payloads, is_cancelled, **options):
        asked.append(options["n_workers"])
        return payloads

    monkeypatch.setattr(_batching, "train_together", train_together)
    with parallel_config(backend="sknnopt"):
        Parallel()(delayed(hand_over)(i) for i in range(3))
    assert asked == [n_workers]


# ------------------------------------------------------------------ numbers and rungs


@pytest.mark.usefixtures("gathering", "echo")
def test_tasks_know_their_place():
    """A task, and what it calls, knows the how-manieth of the outermost call it is."""

    def inner(i):
        return ordinal(), i

    def outer(i):
        exchange(i, 1)
        return ordinal(), Parallel()(delayed(inner)(j) for j in range(2))

    assert ordinal() is None
    for pre_dispatch in ("all", 3):
        parallel = Parallel(pre_dispatch=pre_dispatch)
        found = parallel(delayed(outer)(i) for i in range(20))
        assert found == [(i, [(i, 0), (i, 1)]) for i in range(20)]


@pytest.fixture
def rungs_of_rounds(monkeypatch):
    """Note which rungs are handed on in each round."""
    seen = []

    def train_together(payloads, is_cancelled, *, rungs, **options):
        seen.append(rungs)
        return payloads

    monkeypatch.setattr(_batching, "train_together", train_together)
    return seen


def test_rungs_serve_one_call(rungs_of_rounds):
    """All rounds of the first call have the rungs, those of later calls have none."""
    rungs = Rungs(2)
    with parallel_config(backend="sknnopt", width=4, rungs=rungs):
        Parallel()(delayed(abs)(i) for i in range(3))  # trains nothing
        for _ in range(2):
            Parallel()(delayed(hand_over)(i) for i in range(8))
    assert rungs_of_rounds == [rungs, rungs, None, None]
    with parallel_config(backend="sknnopt"):
        Parallel()(delayed(hand_over)(i) for i in range(2))
    assert rungs_of_rounds[4:] == [None]


def test_rungs_of_inner_calls(rungs_of_rounds):
    """What inner calls hand over belongs to the outermost call's rungs."""

    def outer(i):
        return Parallel()(delayed(hand_over)((i, j)) for j in range(2))

    rungs = Rungs(2)
    with parallel_config(backend="sknnopt", rungs=rungs):
        Parallel()(delayed(outer)(i) for i in range(4))
    assert rungs_of_rounds == [rungs]


def test_wrong_rungs():
    """What are no rungs is refused at once."""
    with pytest.raises(ValueError, match="rungs=3 of backend 'sknnopt'"):
        parallel_config(backend="sknnopt", rungs=3)


# ------------------------------------------------------------------ sequential calls


@pytest.mark.usefixtures("gathering", "echo")
def test_one_job_runs_in_the_caller():
    """``n_jobs=1`` at the outside is a loop in the caller, whose fits train alone."""
    here = threading.get_ident()
    result = Parallel(n_jobs=1)(
        delayed(lambda: (current(), threading.get_ident()))() for _ in range(3)
    )
    assert result == [(None, here)] * 3


@pytest.mark.usefixtures("gathering")
def test_sequential_inner_calls_gather_as_their_task(rounds, table):
    """A task whose inner call has one job hands over one payload after the other."""
    tasks = (delayed(cross_validate)(FakeNet(), *table, cv=4, n_jobs=1) for _ in "abc")
    Parallel()(tasks)
    assert rounds.sizes == [3, 3, 3, 3]


def test_inner_use_of_the_name_joins(echo):
    """A task that asks for the backend by its name meets the others all the same."""

    def outer(i):
        with parallel_config(backend="sknnopt", width=5):
            return Parallel()(delayed(hand_over)((i, j)) for j in range(3))

    with parallel_config(backend="sknnopt"):
        Parallel()(delayed(outer)(i) for i in range(4))
    assert [len(payloads) for payloads in echo] == [12]


def test_backend_argument(echo):
    """The backend can be named where the call is made."""
    Parallel(backend="sknnopt", n_jobs=-1)(delayed(hand_over)(i) for i in range(5))
    assert [sorted(payloads) for payloads in echo] == [[*range(5)]]


# ---------------------------------------------------------------- other ways to call


@pytest.mark.usefixtures("gathering")
@pytest.mark.parametrize("kind", ["generator", "generator_unordered"])
def test_generators(echo, kind):
    """A call that returns a generator has all its tasks in one round, too."""
    generator = Parallel(return_as=kind)(delayed(hand_over)(i) for i in range(20))
    assert sorted(generator) == [*range(20)]
    assert [len(payloads) for payloads in echo] == [20]


@pytest.mark.usefixtures("gathering")
def test_generators_work_before_they_are_consumed(monkeypatch):
    """The tasks of a generator are processed although no one asks for results yet."""
    trained = threading.Event()

    def train_together(payloads, is_cancelled, **options):
        trained.set()
        return payloads

    monkeypatch.setattr(_batching, "train_together", train_together)
    tasks = (delayed(hand_over)(i) for i in range(5))
    generator = Parallel(return_as="generator")(tasks)
    assert trained.wait(LONG)
    assert list(generator) == [*range(5)]


@pytest.mark.usefixtures("gathering")
def test_an_abandoned_generator_ends_its_tasks(until_cancelled):
    """Deleting a generator cancels what is under way."""
    generator = Parallel(return_as="generator")(delayed(hand_over)(i) for i in range(5))
    assert until_cancelled.wait(LONG)
    with pytest.warns(UserWarning, match="cancelled"):
        generator.close()


@pytest.mark.usefixtures("gathering")
def test_generators_inside_tasks(echo):
    """A task may consume a generator of an inner call and train between its items."""

    def outer(i):
        inner = Parallel(return_as="generator")(delayed(hand_over)(j) for j in range(3))
        return [(value, exchange(i, 1)) for value in inner]

    result = watched(
        lambda: Parallel(backend="sknnopt", n_jobs=-1)(
            delayed(outer)(i) for i in range(4)
        ),
        "a generator in a task",
    )
    assert result == [[(j, i) for j in range(3)] for i in range(4)]
    assert {len(payloads) for payloads in echo} == {4}


@pytest.mark.usefixtures("gathering")
def test_reused_parallel(echo):
    """One ``Parallel`` may make several calls, in a block or outside of it."""
    with Parallel() as parallel:
        for _ in range(3):
            assert parallel(delayed(hand_over)(i) for i in range(6)) == [*range(6)]
    for _ in range(2):
        assert parallel(delayed(hand_over)(i) for i in range(6)) == [*range(6)]
    assert [len(payloads) for payloads in echo] == [6] * 5


@pytest.mark.usefixtures("gathering")
@pytest.mark.parametrize("n_tasks", [0, 1])
def test_hardly_any_task(echo, n_tasks):
    """A call without tasks, or with one, ends as any other."""
    assert Parallel()(delayed(hand_over)(i) for i in range(n_tasks)) == [
        *range(n_tasks)
    ]


@pytest.mark.usefixtures("gathering", "until_cancelled")
def test_timeout():
    """``timeout`` ends a call whose networks train for too long."""
    with pytest.raises(multiprocessing.TimeoutError):
        Parallel(timeout=0.1)(delayed(hand_over)(i) for i in range(4))


@pytest.mark.usefixtures("gathering")
def test_timeout_of_an_inner_call(monkeypatch):
    """A task whose inner call takes too long gets the error and can go on."""
    inner_done = threading.Event()

    def train_together(payloads, is_cancelled, **options):
        if "inner" in payloads:
            index = payloads.index("inner")
            while not is_cancelled(index):
                time.sleep(0.001)
            inner_done.set()
        return payloads

    monkeypatch.setattr(_batching, "train_together", train_together)

    def outer():
        tasks = [delayed(hand_over)("inner"), delayed(time.sleep)(0)]
        with pytest.raises(multiprocessing.TimeoutError):
            Parallel(timeout=0.1)(tasks)
        assert inner_done.wait(LONG)
        return exchange("outer", 1)

    tasks = [delayed(outer)(), delayed(hand_over)("other")]
    assert Parallel()(tasks) == ["outer", "other"]


@pytest.mark.usefixtures("gathering", "echo")
def test_an_error_while_dispatching():
    """An error of the iterable of tasks comes out, and waiting tasks end."""

    def tasks():
        yield from (delayed(hand_over)(i) for i in range(3))
        raise PermissionError("no more")

    with pytest.raises(PermissionError, match="no more"):
        Parallel(pre_dispatch=2)(tasks())


@pytest.mark.usefixtures("gathering", "echo")
def test_an_error_of_an_inner_call():
    """The error of an inner task passes through both calls."""

    def inner(i):
        if i == 2:
            raise PermissionError("inner")
        return exchange(i, 1)

    def outer():
        return Parallel()(delayed(inner)(i) for i in range(4))

    with pytest.raises(PermissionError, match="inner"):
        Parallel()(delayed(outer)() for _ in range(3))


# -------------------------------------------------------------------- several at once


def test_two_searches_in_two_threads(echo):
    """Searches in different threads do not wait for each other, nor share a round."""
    both = threading.Barrier(2, timeout=LONG)
    results = {}

    def search(name):
        both.wait()
        with parallel_config(backend="sknnopt"):
            tasks = (delayed(hand_over)((name, i)) for i in range(10))
            results[name] = Parallel()(tasks)

    threads = [threading.Thread(target=search, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert results == {name: [(name, i) for i in range(10)] for name in "ab"}
    assert sorted(sorted(payloads) for payloads in echo) == [
        [(name, i) for i in range(10)] for name in "ab"
    ]


def test_one_instance_in_two_threads(echo):
    """A backend given as an instance serves calls of several threads."""
    backend = GatheringBackend()
    results = {}

    def search(name):
        tasks = (delayed(hand_over)((name, i)) for i in range(10))
        results[name] = Parallel(n_jobs=-1, backend=backend)(tasks)

    threads = [threading.Thread(target=search, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert results == {name: [(name, i) for i in range(10)] for name in "ab"}
    assert [len(payloads) for payloads in echo] == [10, 10]


def test_in_loky_workers():
    """Each worker process gathers what it runs."""
    assert gather_in_loky([0, 1]) == [[4] * 4] * 2


@pytest.mark.filterwarnings("ignore:Loky-backed parallel loops cannot be nested")
def test_processes_inside_tasks(rounds, table):
    """joblib lets no thread start processes: the task runs the loop itself."""

    def in_processes():
        parallel = Parallel(n_jobs=2, backend="loky")
        return parallel(delayed(FakeNet().fit)(*table) for _ in range(2))

    with parallel_config(backend="sknnopt"):
        Parallel()([delayed(in_processes)(), delayed(FakeNet().fit)(*table)])
    assert rounds.sizes == [2, 1]


@pytest.mark.parametrize("chunk", range(2))
def test_random_schedules_through_joblib(chunk, monkeypatch):
    """The random schedules end through joblib as they do through an imitation of it."""
    for seed in range(chunk, int(os.environ.get("SKNNOPT_SCHEDULES", "400")) // 5, 2):
        plan, ledger = random_plan(seed), Ledger()
        monkeypatch.setattr(_batching, "train_together", ledger.process)
        monkeypatch.setattr(_gathering, "n_cores", lambda plan=plan: plan.slots)
        if plan.call.n_jobs == 1:
            plan.call.n_jobs = -1
        if plan.width == 1:
            plan.width = 2  # one job is a loop in the caller

        def run(plan=plan, ledger=ledger):
            memory = plan.budget or 0.5
            with parallel_config(backend="sknnopt", width=plan.width, memory=memory):
                try:
                    return run_joblib_call(plan.call, ledger)
                except (Exception, TaskCancelledError) as error:  # noqa: BLE001
                    return error

        check_outcome(plan.call, watched(run, f"schedule {seed}"), f"schedule {seed}")
        assert not ledger.wrong


# ----------------------------------------------------------------------------- Ctrl-C


def test_ctrl_c_ends_everything(nursery):
    """An interrupt while networks train ends the search and all its threads."""
    with nursery.begin(INTERRUPTED) as program:
        assert program.wait_for_line() == "training"
        os.kill(program.pid, signal.SIGINT)
        assert program.wait() == 0, program.err
    assert program.out.splitlines()[1:] == ["interrupted, threads left: 0"]


@pytest.mark.parametrize("n_times", ["20", pytest.param("400", marks=pytest.mark.long)])
def test_ctrl_c_at_any_moment(nursery, n_times):
    """After an interrupt at whatever moment the backend works as before."""
    out = nursery.run(OFTEN_INTERRUPTED, n_times)
    n_interrupts, n_threads = out.split()[1], out.split()[-1]
    assert int(n_interrupts) > int(n_times) // 4
    assert n_threads == "0"


# --------------------------------------------------------------- state of the process


def leave_in_disorder(enter, leave, i):
    """Be the first or second of two tasks of which the first to enter leaves first."""
    if i == 1:
        assert enter[0].wait(LONG)
    with warnings.catch_warnings():
        warnings.simplefilter("error", category=ResourceWarning)
        enter[i].set()
        assert (leave if i == 1 else enter[1]).wait(LONG)
    leave.set()


@pytest.mark.usefixtures("gathering")
def test_filters_of_warnings_are_brought_back(monkeypatch):
    """Tasks that interleave `catch_warnings` leave the filters as they were."""
    monkeypatch.setattr(_gathering, "n_cores", lambda: 2)
    enter, leave = (threading.Event(), threading.Event()), threading.Event()
    filters, copies = warnings.filters, list(warnings.filters)
    shown = warnings.showwarning
    Parallel()(delayed(leave_in_disorder)(enter, leave, i) for i in range(2))
    assert warnings.filters is filters
    assert list(warnings.filters) == copies
    assert warnings.showwarning is shown


@pytest.mark.usefixtures("gathering")
def test_recorded_warnings_are_kept(monkeypatch):
    """A block that records warnings around a search still records after it."""
    monkeypatch.setattr(_gathering, "n_cores", lambda: 2)
    enter, leave = (threading.Event(), threading.Event()), threading.Event()
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        Parallel()(delayed(leave_in_disorder)(enter, leave, i) for i in range(2))
        warnings.warn("recorded", stacklevel=1)
    assert [str(warning.message) for warning in record] == ["recorded"]


def test_the_name_is_known_cheaply():
    """Importing the package makes the backend known and imports nothing for it."""
    source = """
import sys
import sknnopt
from joblib.parallel import BACKENDS
assert "sknnopt" in BACKENDS
heavy = [name for name in ("torch", "sklearn", "sknnopt._gathering")
         if name in sys.modules]
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", source], check=True)


def test_alone_without_the_backend(table):
    """Without the backend a fit finds no task and trains alone."""
    assert FakeNet().fit(*table).is_alone_


def test_old_and_new_names_of_submit():
    """joblib before 1.5 calls ``apply_async`` what is now ``submit``."""
    assert GatheringBackend.apply_async is GatheringBackend.submit


def test_one_job_is_no_gathering():
    """A call of one job, which is the default of joblib's backends, runs in order."""
    for options in ({}, {"n_jobs": 1}):
        with pytest.raises(FallbackToBackend) as caught:
            GatheringBackend(width=3).configure(**options)
        assert isinstance(caught.value.backend, SequentialBackend)
    backend = GatheringBackend(width=3)
    assert [backend.configure(n_jobs=n_jobs) for n_jobs in (2, 9, -1, -2)] == [
        2,
        3,
        3,
        2,
    ]


@pytest.mark.parametrize(
    ("aborted", "is_outermost"), [(True, True), (True, False), (False, True)]
)
def test_an_aborted_call_is_aborted_again_at_its_end(aborted, is_outermost):
    """An interrupt may have cut it short; the tasks that have begun are waited for."""
    said = []
    call = SimpleNamespace(
        aborted=aborted,
        parent=None if is_outermost else object(),
        abort=lambda: said.append("abort"),
        close=lambda: said.append("close"),
        rendezvous=Mock(join=lambda seconds: said.append("join")),
    )
    backend = GatheringBackend()
    backend._call = call
    backend._finalizer = SimpleNamespace(detach=lambda: said.append("detach"))
    backend.stop_call()
    expected = ["abort", "join"] if aborted and is_outermost else []
    assert said == [*expected, "close", *["detach"] * is_outermost]
    backend.stop_call()
    assert said.count("close") == 1


def test_a_generator_that_runs_is_dispatching():
    """A call that returns a generator hands over tasks only while that runs."""
    seen = []

    class Call:
        _call_ref = None

    def generate():
        seen.append(_gathering._is_dispatching(ref(call)))
        yield

    call = Call()
    assert not _gathering._is_dispatching(ref(call))
    generator = generate()
    call._call_ref = ref(generator)
    seen.append(_gathering._is_dispatching(ref(call)))
    next(generator)
    seen.append(_gathering._is_dispatching(ref(call)))
    assert seen == [False, True, False]
    del generator
    gc.collect()
    assert not _gathering._is_dispatching(ref(call))
    assert not _gathering._is_dispatching(lambda: None)
