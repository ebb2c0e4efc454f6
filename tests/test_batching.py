"""Fits that train together: how they are cut into batches, and what comes of them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import cycle

import numpy as np
import pytest
import torch
from helpers import (
    combined,
    history_of,
    make_job,
    make_kind,
    start,
    train,
)

from sknnopt import _advancing, _fits
from sknnopt._batching import train_together
from sknnopt._fits import Fit, cut
from sknnopt._loop import CancelledError, Loop
from sknnopt._progress import SearchProgress
from sknnopt._threads import n_torch_threads
from sknnopt.activations import ACTIVATIONS
from sknnopt.optimizers import OPTIMIZERS


def never(index=None):
    """Say that a result is wanted."""
    return False


@pytest.fixture(autouse=True)
def _without_autograd():
    with torch.no_grad():
        yield


def make_fits(*kinds, **settings):
    """Return one fit of two members for each kind, on tables of their own."""
    fits = []
    for seed, kind in enumerate(kinds):
        job = make_job(kind, (20, 17), valid=(6, 9), **settings)
        fits.append(Fit(job, partial(start, job, first_seed=10 * seed)))
    return fits


def fit_of(job):
    """Return a fit that begins with new networks."""
    return Fit(job, partial(start, job))


def assert_as_alone(fits, outcomes):
    """Assert that each fit's record and history are those of the fit alone."""
    for fit, (arrays, history) in zip(fits, outcomes, strict=True):
        alone, lines = train(fit.job, fit.start())
        dumped = alone.to_arrays()
        assert set(arrays) == set(dumped)
        for name, values in dumped.items():
            np.testing.assert_array_equal(arrays[name], values, name)
        for member in range(len(fit.job)):
            expected = history_of(lines, member)
            is_own = history["member"] == member
            assert set(expected) == set(history)
            for name, values in expected.items():
                np.testing.assert_array_equal(history[name][is_own], values, name)


@pytest.mark.parametrize("n_workers", [1, 2])
def test_fits_of_one_kind_are_one_batch(n_workers):
    """Fits of a kind train together and end as they do alone."""
    kind = make_kind(restore_best=True, activations="sigmoid")
    fits = make_fits(kind, kind, kind, dropout=0.2, max_epochs=4)
    assert sorted(cut(fits, n_workers)[0]) == [0, 1, 2]
    outcomes = train_together(fits, never, n_workers=n_workers)
    assert_as_alone(fits, outcomes)


@pytest.mark.parametrize("n_workers", [1, 2, 5])
def test_fits_of_many_kinds(n_workers, monkeypatch):
    """Fits of other kinds train in batches of their own, on any number of threads."""
    # Any step is worth a thread.
    monkeypatch.setattr(_fits, "_WORTH_A_THREAD", 1e3)
    kinds = [
        make_kind(restore_best=True),
        make_kind(restore_best=True, hidden=(7,), activations="relu"),
        make_kind(restore_best=True, batch_size=5),
        make_kind(restore_best=True),
        make_kind(restore_best=True, loss="binary_cross_entropy"),
    ]
    fits = make_fits(*kinds, max_epochs=3)
    parts = cut(fits, n_workers)
    assert sorted(map(sorted, parts)) == [[0, 3], [1], [2], [4]]
    assert_as_alone(fits, train_together(fits, never, n_workers=n_workers))


#: Derivatives of these do not read the input, and none but zero answers zero.
IN_PLACE = ["relu", "tanh", "identity", "leaky_relu", "elu"]


@combined(
    activations=[IN_PLACE, list(ACTIVATIONS)],
    normalization=[None, "batch", "layer"],
    dtype=[np.float32, np.float64],
)
def test_activations_and_rules_share_a_batch(activations, normalization, dtype):
    """Fits of one shape train as one batch, each with its own functions and rule."""
    turns = zip(cycle(activations), cycle(reversed(activations)), strict=True)
    fits = []
    for seed, (optimizer, (first, second)) in enumerate(
        zip(2 * list(OPTIMIZERS), turns, strict=False)
    ):
        kind = make_kind(
            restore_best=True,
            optimizer=optimizer,
            hidden=(7, 6),
            batch_size=5,
            activations=(first, second),
            normalization=normalization,
            dtype=np.dtype(dtype),
        )
        # Epochs of four and of five steps, and ends at different times.
        job = make_job(
            kind,
            (20 + seed % 4,),
            valid=(6 + seed % 3,),
            max_epochs=3 + seed % 3,
            dropout=0.2 * (seed % 2),
            weight_decay=1e-2 * (seed % 2),
        )
        fits.append(Fit(job, partial(start, job, first_seed=seed)))
    assert [sorted(part) for part in cut(fits, 2)] == [list(range(len(fits)))]
    assert_as_alone(fits, train_together(fits, never))


def test_members_that_diverge_forget_their_own_rule():
    """Where some diverge, their rule begins anew and the others' goes on."""
    fits = []
    for optimizer, rate in (("sgd", 1e200), ("nadam", 1e200), ("adam", 1e-3)):
        job = make_job(make_kind(optimizer=optimizer), (20,), learning_rate=rate)
        fits.append(fit_of(job))
    outcomes = train_together(fits, never)
    assert [bool(arrays["diverged"][0]) for arrays, _ in outcomes] == [
        True,
        True,
        False,
    ]
    assert_as_alone(fits, outcomes)


def test_long_steps_are_shared_among_threads():
    """A batch of long steps is cut into as many parts as threads compute."""
    kind = make_kind(hidden=(256, 256), batch_size=200)
    fits = make_fits(*[kind] * 12)
    assert [len(part) for part in cut(fits, 3)] == [4, 4, 4]
    assert sorted(i for part in cut(fits, 3) for i in part) == list(range(12))
    assert len(cut(make_fits(*[make_kind()] * 12), 3)) == 1


def test_fits_with_other_numbers_of_steps():
    """Fits whose epochs differ much in length do not wait for each other."""
    fits = []
    for n_rows in (16, 80, 17, 88):
        job = make_job(make_kind(), (n_rows,))
        fits.append(fit_of(job))
    assert sorted(map(sorted, cut(fits, 1))) == [[0], [1, 3], [2]]


def test_what_separates_fits():
    """Validation rows, the number of epochs and the target's type keep fits apart."""
    kind = make_kind()
    plain = make_job(kind, (20,))
    jobs = [plain, replace(plain, n_epochs=1), make_job(kind, (20,), valid=(5,))]
    keys = [fit_of(job).key for job in jobs]
    assert len(set(keys)) == len(keys)
    other = make_job(kind, (20,), learning_rate=0.5, dropout=0.3, max_epochs=7)
    assert fit_of(other).key == keys[0]


def test_an_error_is_its_own_fits():
    """A fit that cannot be trained gets its error; those beside it their results."""

    class FailsLater(np.random.Generator):
        n_calls = 0

        def shuffle(self, x, axis=0):
            self.n_calls += 1
            if self.n_calls % 2 == 0:
                raise OverflowError
            super().shuffle(x, axis)

    fits = make_fits(*[make_kind(restore_best=True)] * 3, max_epochs=3)

    def start_to_fail():
        record = start(fits[1].job)
        record.generators[0] = FailsLater(np.random.PCG64(0))
        return record

    fits[1] = replace(fits[1], start=start_to_fail)
    outcomes = train_together(fits, never)
    assert isinstance(outcomes[1], OverflowError)
    assert_as_alone([fits[0], fits[2]], [outcomes[0], outcomes[2]])


def test_penalty_only_where_there_is_one():
    """A fit without penalties has no such column, whoever trains beside it."""
    kind = make_kind()
    jobs = [make_job(kind, (20,), l2=value) for value in (0.0, 1e-3)]
    fits = [fit_of(job) for job in jobs]
    (_, without), (_, with_penalty) = train_together(fits, never)
    assert "penalty" not in without
    assert (with_penalty["penalty"] > 0).all()


def test_a_penalized_fit_may_leave_first(monkeypatch):
    """A batch trains on as one when the only fit with a penalty has ended."""
    begun = []

    class Counted(Loop):
        def __init__(self, job, *rest):
            begun.append(len(job))
            super().__init__(job, *rest)

    kind = make_kind(restore_best=True)
    jobs = [
        make_job(kind, (20,), valid=(6,), l2=l2, max_epochs=max_epochs)
        for l2, max_epochs in ((1e-3, 1), (0.0, 3))
    ]
    fits = [fit_of(job) for job in jobs]
    monkeypatch.setattr(_advancing, "Loop", Counted)
    outcomes = train_together(fits, never)
    assert begun == [2]
    assert_as_alone(fits, outcomes)


def test_cancelled_rounds_end():
    """Where no result of a batch is wanted any more, its training ends at a step."""
    asked = []

    def after_some(index=None):
        asked.append(index)
        return len(asked) > 20

    fits = make_fits(make_kind(), max_epochs=10**6)
    (outcome,) = train_together(fits, after_some)
    assert isinstance(outcome, CancelledError)


def test_progress_counts_all_epochs():
    """The bar is told of the epochs of all members, early ends included."""
    told = {"expected": 0, "done": 0}

    class Progress(SearchProgress):
        def expect(self, n_epochs):
            told["expected"] += n_epochs

        def advance(self, n_epochs):
            told["done"] += n_epochs

    fits = make_fits(*[make_kind(restore_best=True)] * 2, max_epochs=9, patience=1)
    seen = [replace(fit, verbose=True) for fit in fits]
    train_together(seen, never, progress=Progress())
    assert told == {"expected": 36, "done": 36}


def test_bytes_count_each_table_once():
    """Memory of a fit grows by its members, not by their common table."""
    job = make_job(make_kind(), (20, 20))
    one = Fit(job.take(np.array([0])), None).n_bytes
    two = Fit(job, None).n_bytes
    table = job.rows[0].table
    assert two < 2 * one
    assert one > 2 * (table.X.nbytes + table.target.nbytes)


def test_a_batch_computes_on_one_thread():
    """Whatever torch was set to before, a batch trains on one thread of it."""
    job = make_job(make_kind(), max_epochs=1)
    seen = []

    def begin():
        seen.append(torch.get_num_threads())
        return start(job)

    with n_torch_threads(3):
        train_together([Fit(job, begin)], never)
    assert seen == [1]
