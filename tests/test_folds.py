"""The folds that the members of an ensemble validate on."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.model_selection import KFold, PredefinedSplit, StratifiedKFold

import sknnopt._splits
from sknnopt._folds import Folds, count_folds, deal, held_out_folds


def _deal(n_rows, n_folds, labels=None, seed=0):
    return deal(n_rows, n_folds, np.random.default_rng(seed), labels)


def _split(y, n_members=5, fraction=0.1, *, stratify=True, seed=0, counted=None):
    y = np.asarray(y)
    counted = np.arange(len(y)) if counted is None else counted
    X = np.zeros((len(y), 1))
    return held_out_folds(
        fraction, X, y, counted, stratify=stratify, seed=seed, n_members=n_members
    )


@pytest.mark.parametrize(
    ("n_members", "fraction", "n_rows", "expected"),
    [
        (8, 0.1, 1000, 8),
        (20, 0.1, 1000, 10),
        (2, 0.1, 1000, 5),
        (2, 0.25, 1000, 4),
        (5, 0.1, 3, 3),
        (2, 0.9, 1000, 2),
        (2, np.float32(0.5), 2, 2),
        (30, 5e-324, 1000, 30),
        (30, 5e-324, 20, 20),
    ],
)
def test_number_of_folds(n_members, fraction, n_rows, expected):
    """One fold a member, 5 or more, as far as the fraction and the rows allow."""
    assert count_folds(n_members, fraction, n_rows) == expected


@pytest.mark.parametrize("block", [1, 64, 1 << 16])
def test_dealt_like_sorted_cards(monkeypatch, rng, block):
    """Rows are dealt one by one from a shuffled deck that is sorted by class."""
    monkeypatch.setattr(sknnopt._splits, "BLOCK", block)
    labels = rng.integers(0, 6, 300)
    deck = np.random.default_rng(0).permutation(300)
    deck = deck[np.argsort(labels[deck], kind="stable")]
    assert np.array_equal(_deal(300, 7, labels)[deck], np.arange(300) % 7)
    deck = np.random.default_rng(0).permutation(300)
    assert np.array_equal(_deal(300, 7)[deck], np.arange(300) % 7)


@pytest.mark.parametrize("n_folds", [2, 3, 7])
@pytest.mark.parametrize("n_rows", [7, 60, 101])
def test_sizes(n_rows, n_folds):
    """With or without classes, folds have as many rows as round-robin gives them."""
    expected = np.bincount(np.arange(n_rows) % n_folds)
    labels = np.arange(n_rows) ** 2 % 5
    for fold in (_deal(n_rows, n_folds), _deal(n_rows, n_folds, labels)):
        assert fold.shape == (n_rows,)
        assert np.array_equal(np.bincount(fold), expected)


@pytest.mark.parametrize(
    "counts",
    [(60, 40), (10, 20, 70), (90, 11), (25,) * 4, (31, 1), (2, 2, 2, 30), (1,) * 12],
)
@pytest.mark.parametrize("n_folds", [2, 3, 5, 10])
def test_class_counts(rng, counts, n_folds):
    """A class gives each fold its count over the folds, rounded down or up."""
    y = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    fold = _deal(len(y), n_folds, y)
    for label, count in enumerate(counts):
        in_fold = np.bincount(fold[y == label], minlength=n_folds)
        n_more = count % n_folds
        expected = [count // n_folds] * (n_folds - n_more)
        expected += [count // n_folds + 1] * n_more
        assert sorted(in_fold) == expected
        # No training part loses a class that it could keep.
        assert count < 2 or (count - in_fold >= 1).all()


@pytest.mark.parametrize("counts", [(60, 41), (11, 22, 33), (7,) * 6])
@pytest.mark.parametrize("n_folds", [2, 3, 5, 7])
def test_same_counts_as_scikit_learn(rng, counts, n_folds):
    """Each fold has as many rows of each class as StratifiedKFold gives it."""
    y = np.repeat(np.arange(len(counts)), counts)
    # StratifiedKFold numbers the classes as they appear: 0, 1, ... here as well.
    y[len(counts) :] = rng.permutation(np.delete(y, np.cumsum((0, *counts[:-1]))))
    y[: len(counts)] = np.arange(len(counts))
    fold = _deal(len(y), n_folds, y)
    splits = StratifiedKFold(n_folds).split(y, y)
    for number, (_, valid) in enumerate(splits):
        assert np.array_equal(np.bincount(y[fold == number]), np.bincount(y[valid]))


def test_many_labels(rng):
    """Labels beyond 16 bits are told apart."""
    y = rng.permutation(np.repeat([0, 1 << 16, 1 << 17], 10))
    fold = _deal(30, 5, y)
    for label in np.unique(y):
        assert np.bincount(fold[y == label]).tolist() == [2] * 5


@pytest.mark.parametrize("labels", [None, np.zeros(4, int)])
def test_any_row_may_be_in_any_fold(labels):
    """The rows of a fold are drawn at random: each has the same chance."""
    hits = sum(_deal(4, 2, labels, seed=seed) == 0 for seed in range(2000))
    # Six standard deviations of a binomial with 2000 draws.
    assert np.abs(hits - 1000).max() < 6 * np.sqrt(500)


@pytest.mark.parametrize("stratify", [False, True])
@pytest.mark.parametrize("n_members", [2, 5, 8, 20])
def test_partition(rng, n_members, stratify):
    """A member trains on all it does not hold out, and no row is held out twice."""
    y = rng.integers(0, 3, 203)
    splits = _split(y, n_members, stratify=stratify)
    n_folds = count_folds(n_members, 0.1, 203)
    assert len(splits) == min(n_members, n_folds)
    for train, valid in splits:
        assert (np.diff(train) > 0).all()
        assert (np.diff(valid) > 0).all()
        assert sorted([*train, *valid]) == list(range(203))
    held_out = np.concatenate([valid for _, valid in splits])
    assert len(np.unique(held_out)) == len(held_out)
    if n_members >= n_folds:
        assert sorted(held_out) == list(range(203))
    sizes = [len(valid) for _, valid in splits]
    assert max(sizes) - min(sizes) <= 1


def test_seed():
    """The same seed gives the same folds, another one others."""
    y = np.arange(100) % 2
    first, again, other = (_split(y, seed=seed)[0][1] for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_rows_without_weight(rng):
    """Rows without a weight are in no part."""
    y = rng.integers(0, 2, 40)
    counted = np.flatnonzero(rng.integers(0, 2, 40))
    for train, valid in _split(y, counted=counted):
        assert sorted([*train, *valid]) == counted.tolist()


@pytest.mark.parametrize("n_members", [2, 3, 5])
def test_splitter(n_members):
    """A splitter's splits are taken as they are, one for each member."""
    splits = _split(np.arange(12), n_members, KFold(3))
    expected = list(KFold(3).split(np.zeros(12)))[:n_members]
    assert len(splits) == len(expected)
    for ours, theirs in zip(splits, expected, strict=True):
        for part, rows in zip(ours, theirs, strict=True):
            assert np.array_equal(part, rows)


def test_empty_part():
    """A splitter's fold without a row of any weight is refused."""
    splitter = PredefinedSplit([0, 0, 1, 1, -1, -1])
    counted = np.array([0, 1, 4, 5])
    with pytest.raises(ValueError, match=r"'validation_fraction'.* and 0 to validate"):
        _split(np.arange(6), 2, splitter, counted=counted)


@pytest.mark.parametrize("fraction", [0.1, KFold(2)])
def test_too_few_rows(fraction):
    """With less than two rows that count, the message says how many."""
    with pytest.raises(ValueError, match=r"n_samples=1\b.*early_stopping=False"):
        _split(np.arange(3), 2, fraction, counted=np.array([1]))


def test_digest():
    """The digest tells apart who trained on what."""
    one, other = np.array([0, 1, 2]), np.array([3])
    digest = Folds(0, [one, other]).digest()
    assert digest == Folds(7, [one.astype(np.int32), other]).digest()
    for rows in ([other, one], [one], [one[:2], np.array([2, 3])]):
        assert digest != Folds(0, rows).digest()


def test_globals_stay(untouched_globals):
    """Nothing is drawn from a global generator."""
    _split(np.arange(40) % 2)
