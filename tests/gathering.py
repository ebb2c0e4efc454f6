"""A stand-in for a network: an estimator whose fit hands over a payload."""

from __future__ import annotations

import numpy as np
from joblib import Parallel, delayed, parallel_config
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import cross_validate
from sklearn.utils.validation import validate_data

import sknnopt
from sknnopt import _batching
from sknnopt._rendezvous import current, exchange

assert sknnopt  # which makes the backend's name known


class FakeNet(ClassifierMixin, BaseEstimator):
    """Predict the most frequent class, counted where networks would be trained."""

    def __init__(self, bias=0.0, fails=False):
        self.bias = bias
        self.fails = fails

    def fit(self, X, y):
        """Hand over the target, or count alone outside of the backend."""
        X, y = validate_data(self, X, y)
        self.classes_ = np.unique(y)
        payload = Payload(y, self.fails)
        self.is_alone_ = current() is None
        result = payload() if self.is_alone_ else exchange(payload, y.nbytes)
        self.most_frequent_, self.n_together_ = result
        return self

    def predict(self, X):
        """Return one class for all rows."""
        return np.full(len(X), self.most_frequent_)

    def predict_proba(self, X):
        """Return certainty."""
        row = (self.classes_ == self.most_frequent_).astype(float)
        return np.tile(row, (len(X), 1))


class Payload:
    """What is done when the round comes."""

    def __init__(self, y, fails):
        self.y, self.fails = y, fails
        self.n_together = 1

    def __call__(self):
        """Return the most frequent class and the number of payloads of the round."""
        if self.fails:
            raise ValueError("no network comes of this")
        values, counts = np.unique(self.y, return_counts=True)
        return values[counts.argmax()], self.n_together


class Rounds:
    """A replacement of `train_together` that notes how many payloads come at once."""

    def __init__(self):
        self.sizes = []

    def __call__(self, payloads, is_cancelled, **options):
        """Note the round and process it."""
        self.sizes.append(len(payloads))
        for payload in payloads:
            payload.n_together = len(payloads)
        return [_outcome(payload) for payload in payloads]


def _outcome(payload):
    try:
        return payload()
    except ValueError as error:
        return error


def search_in_worker(seed):
    """Cross-validate with the backend; return how many fits met."""
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(40, 2)), np.arange(40) % 2
    with parallel_config(backend="sknnopt"):
        result = cross_validate(FakeNet(), X, y, cv=4, return_estimator=True)
    return [estimator.n_together_ for estimator in result["estimator"]]


def note_rounds_in_worker(seed):
    """Do the same where the process has not been prepared."""
    _batching.train_together = Rounds()
    return search_in_worker(seed)


#: A program that searches until it is interrupted, and tells what is left.
INTERRUPTED = """
import signal, sys, threading, time
import numpy as np
from joblib import parallel_config
from sklearn.model_selection import GridSearchCV
from gathering import FakeNet
from sknnopt import _batching

def train_until_cancelled(payloads, is_cancelled, **options):
    print("training", flush=True)
    while not is_cancelled():
        time.sleep(0.001)
    return [None] * len(payloads)

_batching.train_together = train_until_cancelled
X, y = np.zeros((40, 2)), np.arange(40) % 2
try:
    with parallel_config(backend="sknnopt"):
        GridSearchCV(FakeNet(), {"bias": list(range(20))}, cv=5).fit(X, y)
except KeyboardInterrupt:
    for thread in threading.enumerate():
        if thread is not threading.main_thread():
            thread.join(1)
    print("interrupted, threads left:", threading.active_count() - 1, flush=True)
"""

#: A program that is interrupted at many moments and must be able to go on each time.
OFTEN_INTERRUPTED = """
import gc, random, signal, sys, threading, time
from joblib import Parallel, delayed, parallel_config
from gathering import exchange
import sknnopt
from sknnopt import _batching

_batching.train_together = lambda payloads, is_cancelled, **options: payloads

def inner(i):
    return exchange(i, 1)

def task(i):
    if i % 5:
        return inner(i)
    return sum(Parallel()(delayed(inner)(j) for j in (1, 2, 3)))

def interrupt(signum, frame):
    raise KeyboardInterrupt

signal.signal(signal.SIGALRM, interrupt)
expected = [6 if i % 5 == 0 else i for i in range(40)]
n_interrupts, times = 0, []
rng = random.Random(0)
with parallel_config(backend="sknnopt", width=16):
    for _ in range(3):
        begun = time.perf_counter()
        assert Parallel()(delayed(task)(i) for i in range(40)) == expected
        times.append(time.perf_counter() - begun)
    took = min(times)  # after a slow one, most interrupts would come too late
    for _ in range(int(sys.argv[1])):
        try:
            signal.setitimer(signal.ITIMER_REAL, rng.uniform(1e-4, took))
            Parallel()(delayed(task)(i) for i in range(40))
        except KeyboardInterrupt:
            n_interrupts += 1
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        assert Parallel()(delayed(task)(i) for i in range(40)) == expected
deadline = time.monotonic() + 10
gc.collect()
while threading.active_count() > 1 and time.monotonic() < deadline:
    time.sleep(0.01)
print("interrupts:", n_interrupts, "threads left:", threading.active_count() - 1)
"""


def gather_in_loky(seeds):
    """Search in two worker processes."""
    parallel = Parallel(n_jobs=2, backend="loky")
    return parallel(delayed(note_rounds_in_worker)(seed) for seed in seeds)
