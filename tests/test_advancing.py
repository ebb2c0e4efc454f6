"""Fits that are compared on their way: who leaves, and what all of them end with."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import cache, partial

import numpy as np
import pytest
import torch
from helpers import history_of, make_job, make_kind, start, train
from pruning import Course, brackets_of, expected_pruning

from sknnopt import _advancing, _fits
from sknnopt._batching import train_together
from sknnopt._fits import Fit
from sknnopt._loop import CancelledError
from sknnopt._progress import SearchProgress
from sknnopt._rungs import RULES, Rungs

N_SPLITS = 2


def never(index=None):
    """Say that a result is wanted."""
    return False


@pytest.fixture(autouse=True)
def _without_autograd():
    with torch.no_grad():
        yield


@pytest.fixture
def threads(monkeypatch):
    """Let any step be worth a thread."""
    monkeypatch.setattr(_fits, "_WORTH_A_THREAD", 1e3)


def make_search(*candidates, n_members=1):
    """Return the fits of all folds of candidates, each ``(kind, settings)``."""
    fits = []
    for candidate, (kind, settings) in enumerate(candidates):
        for fold in range(N_SPLITS):
            number = candidate * N_SPLITS + fold
            job = make_job(
                kind,
                (20 + fold,) * n_members,
                valid=(9 - fold,) * n_members,
                **settings,
            )
            begin = partial(start, job, first_seed=10 * number)
            fits.append(Fit(job, begin, number=number))
    return fits


def of_rates(n_candidates, kind=None, **settings):
    """Return candidates that differ in their learning rates."""
    kind = kind or make_kind(restore_best=True)
    rates = np.geomspace(1e-4, 1.0, n_candidates)
    rates = np.random.default_rng(0).permutation(rates)
    return [(kind, {"max_epochs": 27, "learning_rate": r, **settings}) for r in rates]


@cache
def train_alone(fit):
    """Return record and history of a fit alone."""
    return train(fit.job, fit.start())


@cache
def train_until(fit, epoch, *, restore_best=False):
    """Return record and history of a fit of so many epochs."""
    job = replace(
        fit.job,
        kind=replace(fit.job.kind, restore_best=restore_best),
        settings=replace(fit.job.settings, patience=np.full(len(fit.job), 10**6)),
        n_epochs=epoch,
    )
    return train(job, fit.start())


def course_of(fit):
    """Return the course of a fit that is trained alone to its end."""
    record, lines = train_alone(fit)
    courses = []
    for member in range(len(fit.job)):
        losses = history_of(lines, member)["valid_loss"]
        own = np.full(len(lines), losses[-1])
        own[: len(losses)] = losses
        if record.diverged[member]:
            own[len(losses) - 1 :] = np.inf
        courses.append(own)
    return Course(np.mean(courses, axis=0).tolist(), fit.horizon)


def assert_whole(fit, outcome):
    """Assert that a fit ended as it does alone."""
    record, lines = train_alone(fit)
    _assert_equal(outcome, record.to_arrays(), lines)


def assert_left(fit, outcome, epoch):
    """Assert that a fit ended as one of so many epochs that keeps its last weights."""
    record, lines = train_until(fit, epoch)
    expected = record.to_arrays()
    for name in ("best_loss", "best_epoch", "stale"):  # of another loss
        del expected[name]
    _assert_equal(outcome, expected, lines)
    assert (outcome[0]["best_epoch"] == epoch).all()


def _assert_equal(outcome, arrays, lines):
    found, history = outcome
    for name, values in arrays.items():
        np.testing.assert_array_equal(found[name], values, name)
    for member in range(len(arrays["weights"])):
        is_own = history["member"] == member
        for name, values in history_of(lines, member).items():
            np.testing.assert_array_equal(history[name][is_own], values, name)


def assert_search(fits, outcomes, pruned):
    """Assert that those left who were pruned, at their rung, and no one else."""
    for fit, outcome in zip(fits, outcomes, strict=True):
        candidate = fit.number // N_SPLITS
        epoch = pruned.get(candidate)
        if epoch is None or not course_of(fit).goes_on_after(epoch):
            assert_whole(fit, outcome)
        else:
            assert_left(fit, outcome, epoch)


def expected_of(fits, **options):
    """Return who must leave when, from the courses of the fits alone."""
    courses = {fit.number: course_of(fit) for fit in fits}
    return expected_pruning(courses, N_SPLITS, **options)


# ---------------------------------------------------------------- who leaves


@pytest.mark.parametrize(
    ("schedule", "dtype"),
    [
        ("constant", np.float32),
        ("cosine", np.float64),
        pytest.param("constant", np.float64, marks=pytest.mark.long),
        pytest.param("cosine", np.float32, marks=pytest.mark.long),
    ],
)
def test_of_one_kind(schedule, dtype):
    """Folds leave together at a rung, with the last weights; others do not notice."""
    kind = make_kind(restore_best=True, lr_schedule=schedule, dtype=np.dtype(dtype))
    fits = make_search(*of_rates(9, kind, dropout=0.1))
    rungs = Rungs(N_SPLITS, min_epochs=3)
    outcomes = train_together(fits, never, rungs=rungs)
    assert rungs.pruned == expected_of(fits, min_epochs=3)
    assert sorted(rungs.pruned.values()) == [3] * 6 + [9] * 2
    assert_search(fits, outcomes, rungs.pruned)
    assert {c: len(curve) for c, curve in rungs.curves.items()} == {
        c: {3: 1, 9: 2}.get(rungs.pruned.get(c), 2) for c in range(9)
    }


@cache
def search_across_kinds():
    """Return the fits of 16 candidates, and thereby the same for several tests."""
    kinds = [
        make_kind(restore_best=True),
        make_kind(restore_best=True, hidden=(7,), activations="relu"),
        make_kind(restore_best=True, batch_size=5, optimizer="sgd"),
        make_kind(restore_best=True, hidden=()),
    ]
    candidates = [
        (kind, {**settings, "max_epochs": max_epochs, "patience": 4})
        for max_epochs in (18, 30)
        for kind in kinds
        for _, settings in of_rates(2)
    ]
    return make_search(*candidates, n_members=2)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("n_workers", [1, 2, 5])
@pytest.mark.usefixtures("threads")
def test_across_kinds(n_workers, rule):
    """Candidates of any architecture and horizon are compared with each other."""
    fits = search_across_kinds()
    rungs = Rungs(N_SPLITS, rule=rule, min_epochs=2)
    outcomes = train_together(fits, never, n_workers=n_workers, rungs=rungs)
    # Of 18 epochs two rungs are left, of 30 three: 4 is the lowest.
    n_rungs = len(rungs.epochs(30))
    brackets = brackets_of(n_rungs, 3, len(fits) // N_SPLITS)
    expected = expected_of(
        fits, min_epochs=2, brackets=brackets if rule == "hyperband" else None
    )
    assert rungs.pruned == expected
    assert len(set(expected.values())) > 1
    assert_search(fits, outcomes, rungs.pruned)


def test_who_ends_early():
    """A candidate that ends by itself is compared, and returns to its best."""
    candidates = of_rates(9, patience=2, max_epochs=81)
    fits = make_search(*candidates)
    rungs = Rungs(N_SPLITS, min_epochs=3)
    outcomes = train_together(fits, never, rungs=rungs)
    assert rungs.pruned == expected_of(fits, min_epochs=3)
    assert_search(fits, outcomes, rungs.pruned)
    whole = [c for c in range(9) if c not in rungs.pruned]
    early = [c for c in whole if len(outcomes[2 * c][1]["epoch"]) < 81]
    assert early


def test_who_diverges():
    """A candidate that diverges on one fold leaves first on the others."""
    kind = make_kind(restore_best=True, optimizer="sgd")
    fits = make_search(*[(kind, {"max_epochs": 12}) for _ in range(3)])
    settings = fits[0].job.settings
    huge = replace(settings, learning_rate=np.array([1e200]))
    job = replace(fits[0].job, settings=huge)
    fits[0] = Fit(job, fits[0].start, number=0)
    rungs = Rungs(N_SPLITS, reduction_factor=2, min_epochs=6)
    outcomes = train_together(fits, never, rungs=rungs)
    assert rungs.pruned == {0: 6}
    assert outcomes[0][0]["diverged"].all()
    assert_search(fits, outcomes, rungs.pruned)


def test_losses_of_the_epoch_decide():
    """Candidates are compared by the losses that they have, not by their lowest."""
    kind = make_kind(restore_best=True)
    rates = np.random.default_rng(0).permutation(np.geomspace(1e-3, 1.0, 9))
    settings = {"max_epochs": 27, "patience": 10**6}
    fits = make_search(*[(kind, {"learning_rate": r, **settings}) for r in rates])
    rungs = Rungs(N_SPLITS, min_epochs=3)
    train_together(fits, never, rungs=rungs)
    assert rungs.pruned == expected_of(fits, min_epochs=3)
    lowest = {
        fit.number: Course(np.minimum.accumulate(course_of(fit).losses), fit.horizon)
        for fit in fits
    }
    assert rungs.pruned != expected_pruning(lowest, N_SPLITS, min_epochs=3)


@pytest.mark.parametrize("min_epochs", [10, 28])
def test_without_a_rung(min_epochs):
    """Fits too short for a rung train as without any."""
    fits = make_search(*of_rates(3))
    rungs = Rungs(N_SPLITS, min_epochs=min_epochs)
    outcomes = train_together(fits, never, rungs=rungs)
    assert rungs.pruned == rungs.curves == {}
    assert_search(fits, outcomes, {})


def test_folds_of_other_horizons():
    """A candidate is compared at the rungs that all its folds have."""
    fits = make_search(*of_rates(4))
    settings = replace(fits[0].job.settings, max_epochs=np.array([26]))
    fits[0] = replace(fits[0], job=replace(fits[0].job, settings=settings))
    rungs = Rungs(N_SPLITS, min_epochs=9)
    assert len(rungs.epochs(26)) == 1
    settings = replace(fits[3].job.settings, max_epochs=np.array([24]))
    fits[3] = replace(fits[3], job=replace(fits[3].job, settings=settings))
    outcomes = train_together(fits, never, rungs=rungs)
    assert rungs.pruned == expected_of(fits, min_epochs=9)
    assert 1 not in rungs.curves
    assert_search(fits, outcomes, rungs.pruned)


def test_fits_without_a_number():
    """Fits that belong to no search train beside others to their end."""
    fits = make_search(*of_rates(4))
    job = make_job(make_kind(), (20,), max_epochs=12)
    others = [replace(fits[0], number=None), Fit(job, partial(start, job))]
    rungs = Rungs(N_SPLITS)
    outcomes = train_together([*others, *fits], never, rungs=rungs)
    assert rungs.pruned == expected_of(fits)
    assert_whole(others[0], outcomes[0])
    assert outcomes[1][0]["epochs"].tolist() == [12]
    assert_search(fits, outcomes[2:], rungs.pruned)


def test_in_two_gatherings():
    """Candidates of a later gathering are compared with the earlier ones, too."""
    # The first are the worst, but one of them is the best as long as they are alone.
    candidates = sorted(of_rates(9), key=lambda own: own[1]["learning_rate"])
    fits = make_search(*candidates)
    rungs = Rungs(N_SPLITS, min_epochs=3)
    halves = fits[:5], fits[5:]
    outcomes = [o for half in halves for o in train_together(half, never, rungs=rungs)]
    numbers = [[fit.number for fit in half] for half in halves]
    expected = expected_of(fits, min_epochs=3, gatherings=numbers)
    assert rungs.pruned == expected != expected_of(fits, min_epochs=3)
    assert_search(fits, outcomes, rungs.pruned)


# ---------------------------------------------------------------- errors, ends


@pytest.mark.parametrize("rule", RULES)
def test_without_held_out_rows(rule):
    """Fits that hold nothing out are refused; others are not."""
    fits = make_search(*of_rates(4))
    job = replace(fits[2].job, held_out=[])
    fits[2:4] = [replace(fit, job=job) for fit in fits[2:4]]
    outcomes = train_together(fits, never, rungs=Rungs(N_SPLITS, rule=rule))
    for error in outcomes[2:4]:
        assert isinstance(error, ValueError)
        assert "validation loss" in str(error)
        assert "early_stopping=True" in str(error)
    assert all(isinstance(outcome, tuple) for outcome in outcomes[:2] + outcomes[4:])


def test_a_deadline_needs_no_held_out_rows():
    """Without a rule nothing is compared, and nothing need be held out."""
    fits = make_search(*of_rates(2))
    fits = [replace(fit, job=replace(fit.job, held_out=[])) for fit in fits]
    fits = [
        replace(f, job=replace(f.job, kind=replace(f.job.kind, restore_best=False)))
        for f in fits
    ]
    rungs = Rungs(N_SPLITS, rule=None, deadline=time.monotonic() + 1000)
    outcomes = train_together(fits, never, rungs=rungs)
    assert_search(fits, outcomes, {})


def failing(fit, epoch):
    """Return the fit with a generator that fails at the beginning of an epoch."""

    class Fails(np.random.Generator):
        n_calls = 0

        def shuffle(self, x, axis=0):
            self.n_calls += 1
            if self.n_calls == epoch:
                raise OverflowError
            super().shuffle(x, axis)

    def begin():
        record = fit.start()
        record.generators[0] = Fails(np.random.PCG64(0))
        return record

    return replace(fit, start=begin)


@cache
def search_of_two_kinds():
    """Return the fits of ten candidates, and thereby the same for several tests."""
    kinds = [make_kind(restore_best=True), make_kind(restore_best=True, hidden=(6,))]
    return make_search(*[(k, own) for _, own in of_rates(5) for k in kinds])


@pytest.mark.parametrize(
    ("epoch", "n_workers"), [(1, 1), (2, 3), (3, 1), (5, 3), (9, 1), (20, 3)]
)
@pytest.mark.usefixtures("threads")
def test_an_error_is_its_own_fits(epoch, n_workers):
    """Whenever a fit fails, those beside it are compared and trained as ever."""
    fits = list(search_of_two_kinds())
    whole = expected_of(fits, min_epochs=3)
    best = min(set(range(len(fits) // N_SPLITS)) - set(whole))
    failed = best * N_SPLITS + 1
    courses = {fit.number: course_of(fit) for fit in fits}
    before = courses[failed].losses[: epoch - 1]
    courses[failed] = Course([*before, np.inf], 27)
    fits[failed] = failing(fits[failed], epoch)
    rungs = Rungs(N_SPLITS, min_epochs=3)
    outcomes = train_together(fits, never, n_workers=n_workers, rungs=rungs)
    assert isinstance(outcomes[failed], OverflowError)
    assert rungs.pruned == expected_pruning(courses, N_SPLITS, min_epochs=3)
    assert (best in rungs.pruned) == (epoch <= 9)
    del fits[failed], outcomes[failed]
    assert_search(fits, outcomes, rungs.pruned)


def test_an_error_at_the_end(monkeypatch):
    """A batch that fails where its results are taken is tried fit by fit."""
    outcomes_of = _advancing.Batch.outcomes

    def fail(batch):
        trained = outcomes_of(batch)
        if len(trained) > 1:
            raise MemoryError
        return trained

    monkeypatch.setattr(_advancing.Batch, "outcomes", fail)
    fits = make_search(*of_rates(6))
    rungs = Rungs(N_SPLITS)
    outcomes = train_together(fits, never, rungs=rungs)
    assert rungs.pruned == expected_of(fits)
    assert_search(fits, outcomes, rungs.pruned)


@pytest.mark.parametrize("n_asked", [1, 30, 200])
def test_cancelled_rounds_end(n_asked):
    """Where no result is wanted any more, all batches end at their next step."""
    asked = []

    def after_some(index=None):
        asked.append(index)
        return len(asked) > n_asked

    kinds = [make_kind(restore_best=True), make_kind(restore_best=True, hidden=(6,))]
    fits = make_search(*[(kind, {"max_epochs": 10**6}) for kind in kinds])
    rungs = Rungs(N_SPLITS, min_epochs=9)
    outcomes = train_together(fits, after_some, rungs=rungs)
    for fit, outcome in zip(fits, outcomes, strict=True):
        if fit.number // N_SPLITS not in rungs.pruned:
            assert outcome is None or isinstance(outcome, CancelledError)


def test_cancelled_fits():
    """Fits that nobody wants end; their candidate is the worst, the others go on."""
    kinds = [make_kind(restore_best=True), make_kind(restore_best=True, hidden=(6,))]
    candidates = [(kinds[i == 2], {"max_epochs": 12}) for i in range(4)]
    fits = make_search(*candidates)
    rungs = Rungs(N_SPLITS, reduction_factor=2, min_epochs=6)
    outcomes = train_together(fits, lambda i=None: i in (4, 5), rungs=rungs)
    assert [type(outcome) for outcome in outcomes[4:6]] == [CancelledError] * 2
    courses = {fit.number: course_of(fit) for fit in fits}
    courses[4] = courses[5] = Course([np.inf], 12)
    assert rungs.pruned == expected_pruning(courses, N_SPLITS, factor=2, min_epochs=6)
    assert_search(fits[:4] + fits[6:], outcomes[:4] + outcomes[6:], rungs.pruned)


# ---------------------------------------------------------------- deadline


@pytest.mark.parametrize("rule", [None, *RULES])
def test_after_the_deadline(rule):
    """Fits that begin too late train one epoch."""
    kinds = [make_kind(restore_best=True), make_kind(restore_best=True, hidden=(6,))]
    fits = make_search(*[(kind, {"max_epochs": 30}) for kind in kinds])
    rungs = Rungs(N_SPLITS, rule=rule, deadline=time.monotonic())
    outcomes = train_together(fits, never, rungs=rungs)
    assert rungs.pruned == {0: 1, 1: 1}
    assert_search(fits, outcomes, rungs.pruned)


class LateAfter(Rungs):
    """Rungs whose deadline comes when they have been asked so many times."""

    n_asked, n_times = 0, 7

    def is_late(self):
        """Count the question, one for each epoch of a batch and each of its stages."""
        self.n_asked += 1
        return self.n_asked > self.n_times


def test_deadline_on_the_way():
    """Who trains leaves at the deadline as it is; who has left or ended stays so."""
    fits = make_search(*of_rates(9, patience=2, max_epochs=81))
    rungs = LateAfter(N_SPLITS, min_epochs=3)
    outcomes = train_together(fits, never, rungs=rungs)
    # After three epochs, at the rung, after three more, and then too late.
    late = 7
    expected = {c: at for c, at in expected_of(fits, min_epochs=3).items() if at == 3}
    courses = [course_of(fit) for fit in fits]
    for fit, course in zip(fits, courses, strict=True):
        if course.goes_on_after(late):
            expected.setdefault(fit.number // N_SPLITS, late)
    assert rungs.pruned == expected
    assert sorted(set(expected.values())) == [3, 7]
    assert len(expected) < 9
    assert_search(fits, outcomes, rungs.pruned)


@pytest.mark.parametrize("late", [9, 13])
def test_deadline_after_the_last_comparison(late):
    """Who has come through all comparisons ends at its best, and is not pruned."""
    fits = make_search(*of_rates(9, patience=10**6))
    rungs = LateAfter(N_SPLITS, min_epochs=3)
    # Of three epochs, of six more, and of those that follow, each stage's first
    # question being one without an epoch; before the very first there is none.
    rungs.n_times = 3 + 7 + (late - 9)
    outcomes = train_together(fits, never, rungs=rungs)
    assert rungs.pruned == expected_of(fits, min_epochs=3)
    for fit, outcome in zip(fits, outcomes, strict=True):
        at = rungs.pruned.get(fit.number // N_SPLITS)
        if at is not None:
            assert_left(fit, outcome, at)
            continue
        record, lines = train_until(fit, late, restore_best=True)
        _assert_equal(outcome, record.to_arrays(), lines)


def test_a_fit_begun_anew_is_too_late_for_its_best(monkeypatch):
    """A fit that failed after its comparisons, and begins anew, is pruned if late."""
    fits = make_search(*of_rates(1, max_epochs=27, patience=10**6))
    rungs = LateAfter(N_SPLITS)
    rungs.n_times = 10**6
    advance = _advancing.Batch.advance

    def failing_once(batch):
        if batch.n_epochs == 12 and len(batch.living()) == N_SPLITS:
            rungs.n_times = 0
            raise OverflowError
        advance(batch)

    monkeypatch.setattr(_advancing.Batch, "advance", failing_once)
    outcomes = train_together(fits, never, rungs=rungs)
    assert rungs.pruned == {0: 1}
    for fit, outcome in zip(fits, outcomes, strict=True):
        assert_left(fit, outcome, 1)


def test_progress_counts_all_epochs():
    """The bar is told of the epochs of all members, those left out included."""
    told = {"expected": 0, "done": 0}

    class Progress(SearchProgress):
        def expect(self, n_epochs):
            told["expected"] += n_epochs

        def advance(self, n_epochs):
            told["done"] += n_epochs

    fits = [replace(fit, verbose=True) for fit in make_search(*of_rates(9))]
    train_together(fits, never, progress=Progress(), rungs=Rungs(N_SPLITS))
    assert told == {"expected": 9 * 2 * 27, "done": 9 * 2 * 27}


def test_parts_that_are_over_are_given_up(monkeypatch):
    """A batch is held no longer than until its last fit has ended."""
    held = []
    advance = _advancing.Ascent._advance

    def watched(ascent, part, rung):
        advance(ascent, part, rung)
        held.append((rung, len(ascent._climbing)))

    monkeypatch.setattr(_advancing.Ascent, "_advance", watched)
    kinds = [make_kind(restore_best=True), make_kind(restore_best=True, hidden=(6,))]
    good = (kinds[0], {"max_epochs": 27, "learning_rate": 0.01})
    bad = (kinds[1], {"max_epochs": 27, "learning_rate": 1e-6})
    rungs = Rungs(N_SPLITS)
    train_together(make_search(good, bad), never, rungs=rungs)
    assert rungs.pruned == {1: 9}
    assert [n for rung, n in held if rung == 1] == [1, 2]
    assert [n for rung, n in held if rung == 0] == [0, 0]
