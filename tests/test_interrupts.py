"""Ctrl-C: when it ends a fit, when it is raised, and that nothing is half done."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
from estimators import ESTIMATORS, SMALL, all_weights, plain_classifier
from joblib import Parallel, delayed, parallel_config
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknnopt import _fits, _fitting
from sknnopt._guard import GuardOfSome
from sknnopt._interrupts import deferred_interrupts, noted_interrupts

LONG = {**SMALL, "max_epochs": 10**6, "n_iter_no_change": None}


@pytest.fixture(autouse=True)
def _default_handler():
    """Hear Ctrl-C as an interpreter does that a user started."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def interrupt_in(monkeypatch):
    """Return what presses Ctrl-C when the given epoch of a fit is over."""
    original = GuardOfSome.epoch_done

    def press(epoch, n_times=1):
        left = [epoch]

        def epoch_done(guard, standing):
            original(guard, standing)
            left[0] -= 1
            if left[0] == 0:
                for _ in range(n_times):
                    signal.raise_signal(signal.SIGINT)

        monkeypatch.setattr(GuardOfSome, "epoch_done", epoch_done)

    return press


# ---------------------------------------------------------------- the handler


def test_the_first_is_noted_and_the_second_raised():
    """Once means to come to an end, twice means now."""
    with noted_interrupts() as interrupt:
        assert not interrupt.is_requested
        signal.raise_signal(signal.SIGINT)
        assert interrupt.is_requested
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_deferred_until_the_end():
    """However often it is pressed, the block ends first, and what it had is there."""
    done = []

    def work():
        with deferred_interrupts():
            for _ in range(3):
                signal.raise_signal(signal.SIGINT)
            done.append("all")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["all"]


def test_an_error_passes():
    """An error in a block is that error, and Python's handler is back."""
    with pytest.raises(ZeroDivisionError), deferred_interrupts():
        1 / 0  # noqa: B018 (the error is all that is wanted)


def test_a_handler_of_the_program_stays():
    """A program that handles the signal itself goes on to do so."""
    heard = []
    signal.signal(signal.SIGINT, lambda *_: heard.append("mine"))
    try:
        with noted_interrupts() as interrupt:
            signal.raise_signal(signal.SIGINT)
        assert heard == ["mine"]
        assert not interrupt.is_requested
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def test_other_threads_change_no_handler():
    """Only the main thread may, and only it is interrupted."""
    seen = []

    def look():
        with noted_interrupts():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]


def test_raised_within_many_calls():
    """In a call of joblib's the first one is raised: it is meant for the whole."""

    def task():
        with noted_interrupts():
            signal.raise_signal(signal.SIGINT)
        return "went on"

    assert task() == "went on"
    with pytest.raises(KeyboardInterrupt):
        Parallel(n_jobs=1)([delayed(task)()])


# ---------------------------------------------------------------- fits


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_fit_keeps_what_it_has(estimator, table, interrupt_in, early_stopping):
    """It ends within the next epoch, as if that had been the last one."""
    interrupt_in(3)
    model = estimator(**LONG, early_stopping=early_stopping)
    with pytest.warns(UserWarning, match="Training was interrupted in epoch 4") as told:
        model.fit(*table)
    assert ("best epoch" in str(told[0].message)) == early_stopping
    assert told[0].filename == __file__
    assert model.n_iter_ == 4
    assert model.history_["epoch"].tolist() == [1, 2, 3, 4]
    # A batch that is the whole table has one step, which is not cut.
    expected = clone(model).set_params(max_epochs=4).fit(*table)
    np.testing.assert_array_equal(all_weights(model), all_weights(expected))


def test_a_long_epoch_is_cut_short(rng, interrupt_in, monkeypatch):
    """What an epoch has left to do is left out."""
    X = rng.normal(size=(4000, 400))
    y = X[:, 0] > 0
    model = plain_classifier(**{**LONG, "batch_size": 16, "n_units": 64})
    interrupt_in(1)
    steps = []
    step = _fitting.Loop._step
    monkeypatch.setattr(
        _fitting.Loop, "_step", lambda *given: (steps.append(given[1]), step(*given))
    )
    with pytest.warns(UserWarning, match="in epoch 2"):
        model.fit(X, y)
    assert steps[:250] == list(range(250))
    assert 0 < len(steps) - 250 < 250


def test_threads_of_members_end(table, interrupt_in, monkeypatch):
    """Members on several threads end together, and each keeps its best."""
    monkeypatch.setattr(_fits, "_WORTH_A_THREAD", 0.0)
    monkeypatch.setattr(_fitting, "n_cores", lambda: 2)
    n_threads = threading.active_count()

    def press():
        # A signal is heard by the main thread alone, which waits for the others.
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    epoch_done = GuardOfSome.epoch_done
    left = [5]

    def pressing(guard, standing):
        epoch_done(guard, standing)
        left[0] -= 1
        if left[0] == 0:
            press()

    monkeypatch.setattr(GuardOfSome, "epoch_done", pressing)
    model = plain_classifier(**LONG, n_members=4, early_stopping=True)
    with pytest.warns(UserWarning, match="Training was interrupted"):
        model.fit(*table)
    assert threading.active_count() == n_threads
    assert model.history_["member"].nunique() == 4
    assert np.isfinite(model.predict_proba(table[0])).all()


def test_twice_changes_nothing(table, interrupt_in):
    """Pressed twice it is raised, and the estimator is as it was."""
    model = plain_classifier(**SMALL).fit(*table)
    before = dict(vars(model))
    interrupt_in(2, n_times=2)
    with pytest.raises(KeyboardInterrupt):
        model.fit(*table)
    assert vars(model) == before


def test_before_the_first_update_it_is_raised(table, monkeypatch):
    """Networks that nothing was trained of are nothing to keep."""
    make_job = _fitting.make_job

    def press(*given):
        signal.raise_signal(signal.SIGINT)
        return make_job(*given)

    monkeypatch.setattr(_fitting, "make_job", press)
    model = plain_classifier(**LONG)
    with pytest.raises(KeyboardInterrupt):
        model.fit(*table)
    assert not hasattr(model, "n_iter_")


def test_a_pipeline_is_fitted(table, interrupt_in):
    """A network that is the last step leaves a pipeline that predicts."""
    interrupt_in(2)
    model = make_pipeline(StandardScaler(), plain_classifier(**LONG))
    with pytest.warns(UserWarning, match="interrupted in epoch 3"):
        model.fit(*table)
    assert model.predict(table[0]).shape == (60,)


@pytest.mark.parametrize(
    "backend", [{"backend": "sequential"}, {"backend": "threading", "n_jobs": 1}]
)
def test_a_cross_validation_ends(table, interrupt_in, backend):
    """In the first of many fits Ctrl-C ends the whole call."""
    interrupt_in(2)
    with parallel_config(**backend), pytest.raises(KeyboardInterrupt):
        cross_val_score(plain_classifier(**LONG), *table, cv=3)


def test_a_search_keeps_its_refit(table, interrupt_in):
    """A search whose last fit is interrupted is not lost for that."""
    model = plain_classifier(**SMALL)
    interrupt_in(2 * 4 + 2)
    search = GridSearchCV(model, {"tol": [0.0]}, cv=2)
    with pytest.warns(UserWarning, match="interrupted in epoch 3"):
        search.fit(*table)
    assert search.best_estimator_.n_iter_ == 3
    assert search.predict(table[0]).shape == (60,)


def test_partial_fit_is_interrupted(table, monkeypatch):
    """A call of one epoch is one of many: Ctrl-C is raised."""
    model = plain_classifier(**SMALL).partial_fit(*table, classes=[0, 1])
    before = dict(vars(model))
    step = _fitting.Loop._step

    def press(*given):
        signal.raise_signal(signal.SIGINT)
        return step(*given)

    monkeypatch.setattr(_fitting.Loop, "_step", press)
    with pytest.raises(KeyboardInterrupt):
        model.partial_fit(*table)
    assert vars(model) == before


def test_a_checkpoint_stays(table, tmp_path, interrupt_in, monkeypatch):
    """An interrupted fit has a model, and can still go on bit for bit."""
    path = tmp_path / "run"
    expected = plain_classifier(**{**SMALL, "max_epochs": 8}).fit(*table)
    model = clone(expected).set_params(checkpoint=path, checkpoint_seconds=0)
    interrupt_in(3)
    with pytest.warns(UserWarning, match="goes on from it"):
        model.fit(*table)
    assert model.n_iter_ == 4
    assert path.exists()
    model.fit(*table)
    assert not path.exists()
    np.testing.assert_array_equal(all_weights(model), all_weights(expected))
    assert model.history_.equals(expected.history_)


# ---------------------------------------------------------------- searches

#: A program that interrupts searches at random moments, and searches again each time.
SEARCHING = """
import gc, random, signal, sys, threading, time, warnings
import numpy as np
from joblib import parallel_config
from sklearn.model_selection import GridSearchCV
from estimators import SMALL, plain_classifier
from sknnopt.search import MLPSearchCV

warnings.simplefilter("ignore")
X = np.random.default_rng(0).normal(size=(60, 3))
y = (X[:, 0] > 0).astype(int)
network = plain_classifier(**SMALL)
space = {"learning_rate": [0.001, 0.01, 0.1], "n_units": [2, 3]}

def ours():
    return MLPSearchCV(network, space, n_iter=6, cv=2, random_state=0).fit(X, y)

def grid():
    with parallel_config(backend="sknnopt"):
        return GridSearchCV(network, space, cv=2).fit(X, y)

def press(*_):
    signal.raise_signal(signal.SIGINT)

signal.signal(signal.SIGALRM, press)
moments = random.Random(0)
for search in (ours, grid):
    times = []
    for _ in range(3):
        begun = time.perf_counter()
        expected = search().cv_results_["mean_test_score"].tolist()
        times.append(time.perf_counter() - begun)
    took = min(times)  # after a slow one, most interrupts would come too late
    n_raised = 0
    for _ in range(int(sys.argv[1])):
        try:
            signal.setitimer(signal.ITIMER_REAL, moments.uniform(0.001, took))
            search()
        except KeyboardInterrupt:
            n_raised += 1
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert search().cv_results_["mean_test_score"].tolist() == expected
    deadline = time.monotonic() + 10
    gc.collect()
    while threading.active_count() > 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    print(n_raised, threading.active_count() - 1)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no timers of signals")
@pytest.mark.parametrize("n_times", ["8", pytest.param("250", marks=pytest.mark.long)])
def test_searches_are_interrupted_at_any_moment(nursery, n_times):
    """Ctrl-C in a search is raised; no thread is left, and the next search is whole."""
    lines = nursery.run(SEARCHING, n_times).splitlines()
    assert len(lines) == 2
    for line in lines:
        n_raised, n_threads = line.split()
        assert int(n_raised) > int(n_times) // 4
        assert n_threads == "0"


# ---------------------------------------------------------------- imports

#: A program that is interrupted again and again while it imports torch.
IMPORTING = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
import sknnopt
n_pressed = [0]

def press(*_):
    n_pressed[0] += 1
    signal.raise_signal(signal.SIGINT)

signal.signal(signal.SIGALRM, press)
signal.setitimer(signal.ITIMER_REAL, 0.01, 0.02)
try:
    from sknnopt import OptimizedMLPClassifier
except KeyboardInterrupt:
    signal.setitimer(signal.ITIMER_REAL, 0)
    print("interrupted", n_pressed[0])
from sknnopt import OptimizedMLPClassifier, OptimizedMLPRegressor
X, y = [[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1]
for kind in (OptimizedMLPClassifier, OptimizedMLPRegressor):
    assert len(kind(max_epochs=2).fit(X, y).predict(X)) == 4
print("works")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no timers of signals")
def test_interrupted_imports_leave_a_working_process():
    """Ctrl-C while the first estimator is imported is raised when that is done."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTING], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    first, last = done.stdout.splitlines()
    assert first.split()[0] == "interrupted"
    assert int(first.split()[1]) > 5
    assert last == "works"
