"""Faults: what is killed, interrupted, out of memory or crowded loses nothing.

Each test injects a few; the long ones, of ``pytest -m long``, inject many.
"""

from __future__ import annotations

import gc
import os
import random
import signal
import threading
import time
import traceback
import warnings
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from estimators import SMALL, all_weights, plain_classifier, plain_regressor
from joblib import parallel_config
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from sknnopt import OptimizedMLPClassifier, _advancing, _threads
from sknnopt.persistence import load, save

POSIX = pytest.mark.skipif(
    not hasattr(os, "fork"), reason="the system has no fork and no timer of signals"
)
FORKS = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def few_or_many(few, many):
    """Return values of a parameter: a few for every day, many where time is."""
    return [few, pytest.param(many, marks=pytest.mark.long)]


@pytest.fixture(name="rows")
def _rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 4))
    return X, (X[:, 0] + 0.5 * rng.normal(size=300) > 0).astype(int)


def in_child(function):
    """Begin a process that calls a function; return its number."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        signal.alarm(60)
        function()
        status = 0
    except BaseException:  # noqa: BLE001 (nothing may come back to the tests)
        traceback.print_exc()
    finally:
        os._exit(status)


def exit_code(pid):
    """Wait for a process; return its status, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def killed_after(pid, path, n_writes, seconds):
    """Kill a process some time after it has written a file so often; return its status.

    However busy the machine is, it has come so far.
    """
    before = _version(path)
    while n_writes > 0:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        now = _version(path)
        n_writes -= now not in (before, None)
        before = now
        time.sleep(0.0005)
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    return exit_code(pid)


def _version(path):
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


def assert_same(model, expected):
    """Assert that two fits left the same bits."""
    for name, values in expected._record.items():
        np.testing.assert_array_equal(model._record[name], values, err_msg=name)
    assert model.history_.equals(expected.history_)


# ---------------------------------------------------------------- killed


@POSIX
@FORKS
@pytest.mark.parametrize("n_kills", few_or_many(8, 300))
def test_killed_fits_go_on(rows, tmp_path, n_kills):
    """However often a fit is killed, and when, it comes to the bits of one that ran."""
    settings = {**SMALL, "max_epochs": 40, "n_members": 3, "early_stopping": True}
    expected = plain_classifier(**settings, dropout=0.1, batch_size=32).fit(*rows)
    path = tmp_path / "run"
    model = clone(expected).set_params(checkpoint=path, checkpoint_seconds=0)
    moments, killed, n_resumed = random.Random(0), 0, 0
    while killed < n_kills:
        n_resumed += path.exists()
        pid = in_child(lambda: assert_same(clone(model).fit(*rows), expected))
        n_writes, seconds = moments.randrange(4), moments.uniform(0, 0.03)
        code = killed_after(pid, path, n_writes, seconds)
        assert code in (0, -signal.SIGKILL)
        killed += code != 0
    assert n_resumed > n_kills / 3
    assert_same(model.fit(*rows), expected)
    assert list(tmp_path.iterdir()) == []


@POSIX
@FORKS
@pytest.mark.parametrize("n_kills", few_or_many(8, 300))
def test_killed_saves_leave_a_whole_file(rows, tmp_path, n_kills):
    """A file that is being replaced is the old model or the new one."""
    X, y = rows
    models = [
        plain_classifier(**{**SMALL, "random_state": i}).fit(X, y) for i in (0, 1)
    ]
    known = [model.predict_proba(X) for model in models]
    path, found = tmp_path / "model", set()
    save(models[0], path)

    def save_on_and_on():
        while True:
            for model in models:
                save(model, path)

    moments = random.Random(0)
    for _ in range(n_kills):
        pid = in_child(save_on_and_on)
        n_writes, seconds = moments.randrange(4), moments.uniform(0, 0.01)
        assert killed_after(pid, path, n_writes, seconds) == -signal.SIGKILL
        loaded = load(path).predict_proba(X)
        found.add([np.array_equal(loaded, each) for each in known].index(True))
    assert found == {0, 1}


@POSIX
@FORKS
def test_a_full_disk_is_told_before_training(rows, tmp_path):
    """Where there is no room for the checkpoint, the fit ends before its first step."""
    path = tmp_path / "run"

    def fit():
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
        model = plain_classifier(**{**SMALL, "max_epochs": 10**9}, checkpoint=path)
        with pytest.raises(OSError, match=r"'checkpoint'.*cannot be written"):
            model.fit(*rows)

    assert exit_code(in_child(fit)) == 0
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- interrupted


@contextmanager
def interrupts():
    """Give what presses Ctrl-C after so many seconds, or with 0 does not."""
    before = [
        signal.signal(signal.SIGINT, signal.default_int_handler),
        signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT)),
    ]
    try:
        yield lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGALRM, before[1])


def outcome_of(model, rows, moment):
    """Fit, and be interrupted at a moment; tell what came of it."""
    with interrupts() as press, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            press(moment)
            model.fit(*rows)
            press(0)
        except KeyboardInterrupt:
            return "raised"
    return "kept" if any("interrupted" in str(w.message) for w in told) else "missed"


def seconds_of(work):
    """Return how long a call takes."""
    began = time.monotonic()
    work()
    return time.monotonic() - began


@POSIX
@pytest.mark.parametrize("n_interrupts", few_or_many(20, 2000))
def test_interrupted_at_any_moment(rows, n_interrupts):
    """Ctrl-C leaves a model or none, and a process in which all works as before."""
    model = plain_classifier(**{**SMALL, "n_members": 3}, early_stopping=True)
    expected = clone(model).fit(*rows)  # the first fit of a process imports, too
    longest = min(seconds_of(lambda: clone(model).fit(*rows)) for _ in range(5))
    n_threads = torch.get_num_threads(), threading.active_count()
    moments, outcomes = random.Random(0), []
    for _ in range(n_interrupts):
        own = clone(model)
        outcomes.append(outcome_of(own, rows, moments.uniform(1e-6, longest)))
        if hasattr(own, "n_iter_"):
            assert np.isfinite(own.predict_proba(rows[0])).all()
    # Some come too late, but how many is a matter of the machine.
    assert "kept" in outcomes
    assert _threads._users == 0
    assert (torch.get_num_threads(), threading.active_count()) == n_threads
    assert_same(clone(model).fit(*rows), expected)


# ---------------------------------------------------------------- out of memory


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate"),
    ],
)
def test_a_batch_that_is_too_large_is_halved(rows, monkeypatch, error):
    """Where memory is enough for some of the fits, these train together."""
    most, tried = 7, []
    loop = _advancing.Loop

    def limited(job, *given):
        tried.append(len(job))
        if len(job) > most:
            raise error
        return loop(job, *given)

    grid = {"learning_rate": np.geomspace(1e-3, 1e-1, 12).tolist()}
    search = GridSearchCV(plain_classifier(**SMALL), grid, cv=2, refit=False)
    with parallel_config(backend="sknnopt"):
        expected = clone(search).fit(*rows).cv_results_["mean_test_score"]
        monkeypatch.setattr(_advancing, "Loop", limited)
        found = search.fit(*rows).cv_results_["mean_test_score"]
    np.testing.assert_array_equal(found, expected)
    assert tried == [24, 12, 6, 6, 12, 6, 6]


# ---------------------------------------------------------------- processes, threads

#: A process that used several threads forks, and its child uses the networks.
FORKING = """
import os, signal, warnings
import numpy as np, torch
from sknnopt import OptimizedMLPClassifier

warnings.simplefilter("ignore")
torch.set_num_threads(2)
rng = np.random.default_rng(0)
X = rng.normal(size=(600, 20)).astype(np.float32)
y = (X[:, 0] > 0).astype(int)
model = OptimizedMLPClassifier(
    n_members=2, max_epochs=2, n_threads=2, random_state=0, n_bins=None)
model.fit(X, y).predict(X)
big = torch.ones(400, 400)
(big @ big + big).sum()  # all of torch's threads have begun
model.set_params(n_threads=None)
expected = model.predict_proba(X), model.predict_proba(X[:10])
weights = model.coefs_
pid = os.fork()
if pid == 0:
    signal.alarm(100)
    same = np.array_equal(model.predict_proba(X), expected[0])
    same &= np.array_equal(model.predict_proba(X[:10]), expected[1])
    again = model.fit(X, y).coefs_
    pairs = zip(again, weights, strict=True)
    same &= all(np.allclose(*pair, atol=2e-7) for pair in pairs)
    os._exit(0 if same else 1)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@POSIX
def test_a_forked_child_predicts_and_fits(nursery):
    """After a fit and a product on several threads a child does not wait for them."""
    assert nursery.run(FORKING) == "0\n"


@POSIX
@FORKS
def test_a_child_of_a_fit_that_runs(rows):
    """A process that is forked while another thread fits knows of no such fit."""
    started, end = threading.Event(), threading.Event()

    def look():
        with _threads.n_torch_threads(1):
            started.set()
            assert end.wait(60)

    thread = threading.Thread(target=look)
    thread.start()
    assert started.wait(60)

    def child():
        assert _threads._users == 0
        model = plain_classifier(**SMALL).fit(*rows)
        assert np.isfinite(model.predict_proba(rows[0])).all()
        assert _threads._users == 0

    try:
        assert exit_code(in_child(child)) == 0
    finally:
        end.set()
        thread.join()


@pytest.mark.parametrize("n_rounds", few_or_many(2, 200))
def test_threads_predict_while_another_fits(rows, n_rounds):
    """Eight threads get the same bits as one, whatever else trains meanwhile."""
    X, y = rows
    model = OptimizedMLPClassifier(**SMALL, n_members=3).fit(X, y)
    expected = [model.predict_proba(part) for part in (X, X[:7])]
    is_over, answers = threading.Event(), []

    def predict():
        while True:
            is_last = is_over.is_set()
            same = [
                np.array_equal(model.predict_proba(part), known)
                for part, known in zip((X, X[:7]), expected, strict=True)
            ]
            answers.append(all(same))
            if is_last:
                return

    threads = [threading.Thread(target=predict) for _ in range(8)]
    for thread in threads:
        thread.start()
    fits = [
        plain_regressor(**SMALL, n_members=2, dropout=0.2).fit(X, y)
        for _ in range(n_rounds)
    ]
    is_over.set()
    for thread in threads:
        thread.join()
    assert len(answers) >= 8
    assert all(answers)
    alone = plain_regressor(**SMALL, n_members=2, dropout=0.2).fit(X, y)
    for fit in fits:
        np.testing.assert_array_equal(all_weights(fit), all_weights(alone))


def _resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="no such table")
@pytest.mark.parametrize("n_fits", few_or_many(25, 500))
def test_many_fits_leave_nothing_behind(table, n_fits):
    """One fit after another takes no more memory, and no threads."""
    X, y = table
    model = plain_classifier(n_units=300, max_epochs=1)

    def fit_some(n):
        for seed in range(n):
            clone(model).set_params(random_state=seed).fit(X, y).predict(X)
        gc.collect()

    fit_some(10)
    before = _resident(), threading.active_count()
    fit_some(n_fits)
    # Of each the weights and what the optimizer remembers are 2 MB.
    assert _resident() - before[0] < 20e6
    assert threading.active_count() == before[1]
