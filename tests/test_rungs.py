"""The rule of pruning, against one that looks at whole courses of losses."""

from __future__ import annotations

import threading
import time
from collections import Counter
from itertools import permutations
from math import inf, nan

import numpy as np
import pytest
from pruning import Course, brackets_of, expected_pruning, rungs_of

from sknnopt._rungs import RULES, Rungs, Standing


def random_courses(rng, n_candidates, n_splits, horizons=(30, 81, 100)):
    """Return courses with ties, early ends and losses that are not finite."""
    courses = {}
    for candidate in range(n_candidates):
        horizon = int(rng.choice(horizons))
        for fold in range(n_splits):
            n_epochs = horizon
            if rng.random() < 0.3:
                n_epochs = int(rng.integers(1, horizon))
            # Quarters: the mean of a few is exact, in whatever order.
            losses = rng.integers(0, 40, n_epochs) / 4
            best = np.minimum.accumulate(losses).tolist()
            if rng.random() < 0.05:
                best[-1] = float(rng.choice([nan, inf]))
            courses[candidate * n_splits + fold] = Course(best, horizon)
    return courses


def climb(rungs, courses, numbers):
    """Take the fits of one gathering from rung to rung; return the decisions."""
    epochs = {n: rungs.epochs(courses[n].horizon) for n in numbers}
    gone, decisions = set(), []
    for rung in range(max(map(len, epochs.values()), default=0), 0, -1):
        standings = []
        for n in numbers:
            if rung > len(epochs[n]):
                continue
            course, epoch = courses[n], epochs[n][rung - 1]
            is_live = n not in gone and course.goes_on_after(epoch)
            standings.append(Standing(n, epoch, course.at(epoch), is_live))
        leaving = rungs.judge(rung, standings)
        gone |= {n for n in numbers if n // rungs.n_splits in leaving}
        decisions.append(leaving)
    return decisions


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("seed", range(20))
def test_halving(seed, factor):
    """At each rung the best go on, as reckoned from the whole courses."""
    rng = np.random.default_rng(seed)
    n_splits = int(rng.choice([1, 2, 4]))
    courses = random_courses(rng, int(rng.integers(1, 60)), n_splits)
    rungs = Rungs(n_splits, reduction_factor=factor, min_epochs=2)
    climb(rungs, courses, list(courses))
    expected = expected_pruning(courses, n_splits, factor=factor, min_epochs=2)
    assert rungs.pruned == expected


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("seed", range(20))
def test_gatherings(seed, rule):
    """Those that come later are compared with all that came to a rung before."""
    rng = np.random.default_rng(seed)
    n_splits = int(rng.choice([1, 2, 4]))
    courses = random_courses(rng, 40, n_splits, horizons=(81,))
    ends = np.sort(rng.integers(0, len(courses), 3))
    # Where a cut goes through a candidate, its first folds decide.
    gatherings = [part.tolist() for part in np.split(np.arange(len(courses)), ends)]
    rungs = Rungs(n_splits, rule=rule, min_epochs=3)
    for numbers in gatherings:
        climb(rungs, courses, numbers)
    brackets = brackets_of(3, 3, 40) if rule == "hyperband" else None
    assert rungs.pruned == expected_pruning(
        courses, n_splits, min_epochs=3, gatherings=gatherings, brackets=brackets
    )


@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("seed", range(10))
def test_hyperband(seed, factor):
    """Each bracket is a successive halving of its own candidates."""
    rng = np.random.default_rng(seed)
    courses = random_courses(rng, 70, 2, horizons=(81,))
    rungs = Rungs(2, rule="hyperband", reduction_factor=factor, min_epochs=3)
    climb(rungs, courses, list(courses))
    brackets = brackets_of(len(rungs.epochs(81)), factor, 70)
    expected = expected_pruning(
        courses, 2, factor=factor, min_epochs=3, brackets=brackets
    )
    assert rungs.pruned == expected
    assert all(brackets[candidate] > 0 for candidate in rungs.pruned)


def test_brackets_of_the_paper():
    """The sizes are those of Algorithm 1 for R = 81 and eta = 3, worked by hand."""
    rungs = Rungs(1, rule="hyperband", min_epochs=1)
    assert rungs.epochs(81) == (27, 9, 3, 1)
    # 81, 135/4, 45/3, 15/2 and 5, rounded up.
    sizes = {4: 81, 3: 34, 2: 15, 1: 8, 0: 5}
    # With equal losses the first in number are the best.
    courses = {n: Course([1.0] * 81, 81) for n in range(sum(sizes.values()))}
    climb(rungs, courses, list(courses))
    # Thirds go on: 81 -> 27 -> 9 -> 3 -> 1, 34 -> 12 -> 4 -> 2, 15 -> 5 -> 2, 8 -> 3.
    assert Counter(rungs.pruned.values()) == {
        1: 54,
        3: 18 + 22,
        9: 6 + 8 + 10,
        27: 2 + 2 + 3 + 5,
    }


def test_any_number_of_candidates_is_divided_in_proportion():
    """After each candidate, brackets have their shares, to less than one."""
    brackets = brackets_of(4, 3, 300)
    shares = np.array([81, 34, 15, 8, 5]) / 143
    for n_candidates in range(1, 301):
        counts = Counter(brackets[:n_candidates])
        dealt = np.array([counts[s] for s in range(4, -1, -1)])
        assert (abs(dealt - n_candidates * shares) < 1).all()


@pytest.mark.parametrize("factor", [2, 3, 5])
@pytest.mark.parametrize("min_epochs", [1, 5])
def test_epochs(factor, min_epochs):
    """Rungs are at parts of the horizon, rounded up, from the fewest epochs on."""
    rungs = Rungs(1, reduction_factor=factor, min_epochs=min_epochs)
    for horizon in range(1, 300):
        expected = rungs_of(horizon, factor, min_epochs)
        assert rungs.epochs(horizon) == tuple(expected.values())
    assert Rungs(1).epochs(200) == (67, 23, 8)
    assert Rungs(1, rule=None).epochs(200) == ()


def test_candidates_without_a_finite_loss_go_first():
    """Who diverged leaves before the worst; ties go by number."""
    losses = [2.0, nan, 9.0, 2.0, inf, 1.0]
    courses = {n: Course([loss] * 15, 15) for n, loss in enumerate(losses)}
    rungs = Rungs(1, reduction_factor=2, min_epochs=3)
    assert climb(rungs, courses, list(courses)) == [{1, 2, 4}, {3}]
    assert rungs.pruned == {1: 4, 2: 4, 4: 4, 3: 8}


def test_one_fold_without_a_finite_loss():
    """A candidate of which one fold diverged is worse than any other."""
    courses = {n: Course([float(n)] * 15, 15) for n in range(4)}
    courses[0] = Course([0.0, inf], 15)
    rungs = Rungs(2, min_epochs=5)
    climb(rungs, courses, list(courses))
    assert rungs.pruned == {0: 5}


def test_who_has_ended_is_compared_but_stays():
    """A candidate that ended by itself takes a place while it is among the best."""
    courses = {n: Course([float(n)] * 90, 90) for n in range(9)}
    courses[0], courses[8] = Course([0.0] * 4, 90), Course([8.0] * 4, 90)
    rungs = Rungs(1)
    climb(rungs, courses, list(courses))
    # Three of nine go on at epoch 10: 0, which has ended, 1 and 2; then one of three.
    assert rungs.pruned == {**dict.fromkeys(range(3, 8), 10), 1: 30, 2: 30}


def test_curves():
    """Epoch and mean loss of a candidate are kept at each of its rungs."""
    courses = {
        0: Course([4.0, 3.0, 2.0] + [1.0] * 24, 27),
        1: Course([2.0, 1.0, 0.0] + [0.0] * 24, 27),
        2: Course([9.0] * 27, 27),
        3: Course([9.0] * 27, 27),
        4: Course([0.0] * 2, 27),
        5: Course([7.0] * 2, 27),
    }
    rungs = Rungs(2, min_epochs=3)
    climb(rungs, courses, list(courses))
    # The last one has ended before.
    assert rungs.curves == {0: [(3, 1.0), (9, 0.5)], 1: [(3, 9.0)]}


def test_folds_that_come_later_share_the_fate():
    """Folds of a candidate that was judged without them leave where it left."""
    courses = {n: Course([float(n < 2)] * 81, 81) for n in range(6)}
    rungs = Rungs(2, min_epochs=9)
    climb(rungs, courses, [0, 2, 4])
    assert rungs.pruned == {0: 9, 2: 9}
    courses[1] = courses[5] = Course([-9.0] * 81, 81)
    courses[3] = Course([99.0] * 81, 81)
    assert climb(rungs, courses, [1, 3, 5]) == [{0, 2}, set()]
    assert rungs.pruned == {0: 9, 2: 9}


def test_deadline():
    """It is late from the deadline on; fits that left are noted by candidate."""
    assert not Rungs(2).is_late()
    assert not Rungs(2, deadline=time.monotonic() + 1000).is_late()
    rungs = Rungs(2, deadline=time.monotonic())
    assert rungs.is_late()
    rungs.leave_late(3, 7)
    rungs.leave_late(2, 5)
    rungs.leave_late(5, 1)
    assert rungs.pruned == {1: 7, 2: 1}


def test_one_caller_is_served():
    """Rungs are for the first that asks, however often it does."""
    rungs, first, second = Rungs(2), object(), object()
    assert [rungs.serves(x) for x in (first, second, first)] == [True, False, True]


def test_from_several_threads():
    """Gatherings that are judged in threads are judged one after another."""

    def judge(rungs, first):
        rungs.judge(1, [Standing(n, 9, float(n), True) for n in range(first, 200, 4)])

    orders = []
    for order in permutations(range(4)):
        orders.append(Rungs(1))
        for first in order:
            judge(orders[-1], first)
    for _ in range(20):
        rungs, together = Rungs(1), threading.Barrier(4, timeout=60)

        def work(first, rungs=rungs, together=together):
            together.wait()
            judge(rungs, first)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(rungs.curves) == 200
        assert rungs.pruned in [each.pruned for each in orders]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_splits": 0}, "n_splits=0 must be a whole number from 1"),
        ({"n_splits": True}, "n_splits=True"),
        ({"reduction_factor": 1}, "reduction_factor=1 .* from 2"),
        ({"reduction_factor": 3.0}, "reduction_factor=3.0"),
        ({"min_epochs": 0}, "min_epochs=0"),
        ({"rule": "sha"}, "rule='sha' must be one of"),
    ],
)
def test_wrong_options(options, message):
    """What cannot be meant is refused with the name of the option."""
    with pytest.raises(ValueError, match=message):
        Rungs(**{"n_splits": 5, **options})
