"""Rows held out for early stopping."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.model_selection import (
    KFold,
    PredefinedSplit,
    ShuffleSplit,
    StratifiedShuffleSplit,
)

from sknnopt._splits import held_out_rows


def _split(y, fraction=0.1, *, stratify=True, seed=0, X=None):
    y = np.asarray(y)
    X = np.zeros((len(y), 2)) if X is None else X
    rows = np.arange(len(y))
    return held_out_rows(fraction, X, y, rows, stratify=stratify, seed=seed)


def _assert_partition(train, valid, n_rows):
    """Assert that both parts are sorted and together have every row once."""
    assert (np.diff(train) > 0).all()
    assert (np.diff(valid) > 0).all()
    assert sorted([*train, *valid]) == list(range(n_rows))


@pytest.mark.parametrize("stratify", [False, True])
@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.25, 0.5, 0.99])
@pytest.mark.parametrize("n_rows", [2, 3, 10, 101])
def test_partition(n_rows, fraction, stratify):
    """Every row is on one side; the held-out share is rounded, at least one row."""
    train, valid = _split(np.arange(n_rows) % 2, fraction, stratify=stratify)
    _assert_partition(train, valid, n_rows)
    expected = min(max(round(fraction * n_rows), 1), n_rows - 1)
    assert len(valid) == expected


@pytest.mark.parametrize("counts", [(60, 40), (10, 20, 70), (90, 10), (25,) * 4])
@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.5])
def test_stratified_counts(rng, counts, fraction):
    """With shares that are whole numbers, each class gives exactly its share."""
    y = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    train, valid = _split(y, fraction)
    n_valid = np.bincount(y[valid], minlength=len(counts))
    # A class of 25 gives 2 or 3 to a tenth: within one of its share.
    exact = fraction * np.array(counts)
    assert (np.abs(n_valid - exact) < 1).all()
    assert n_valid.sum() == round(fraction * len(y))
    assert np.array_equal(n_valid + np.bincount(y[train]), counts)


@pytest.mark.parametrize("seed", [0, 1, 17])
def test_same_as_scikit_learn(rng, seed):
    """The rows are those of scikit-learn's own splitters with the member's seed."""
    y = rng.integers(0, 3, 80)
    for stratify, splitter in ((True, StratifiedShuffleSplit), (False, ShuffleSplit)):
        splits = splitter(n_splits=1, test_size=8, random_state=seed).split(y, y)
        expected = next(splits)
        parts = _split(y, stratify=stratify, seed=seed)
        for part, rows in zip(parts, expected, strict=True):
            assert np.array_equal(part, np.sort(rows))


def test_seed():
    """The same seed holds out the same rows, another one others."""
    y = np.arange(100) % 2
    first, again, other = (_split(y, seed=seed)[1] for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    "y",
    [
        [0] * 30 + [1],  # a class with a single row
        [0] * 31,  # one class
        [0, 0, 2, 2] + [3] * 26 + [7],  # labels with gaps, one of them single
        list(range(15)) * 2 + [0],  # more classes than rows to hold out
        [0, 0, 1, 1, 2, 2],  # a tenth is one row
    ],
)
def test_fallback(y):
    """Where classes cannot fall on both sides, rows are drawn regardless of class."""
    parts = _split(y)
    _assert_partition(*parts, len(y))
    for part, expected in zip(parts, _split(y, stratify=False), strict=True):
        assert np.array_equal(part, expected)


def test_labels_with_gaps():
    """Labels that do not occur are no class, and do not prevent stratification."""
    y = np.repeat([0, 5], [50, 50])
    for seed in range(10):
        _, valid = _split(y, 0.2, seed=seed)
        assert np.bincount(y[valid])[[0, 5]].tolist() == [10, 10]


def test_numbers_are_not_stratified():
    """A target of numbers, of one or more columns, is split regardless of it."""
    for y in (np.linspace(0, 1, 40), np.zeros((40, 3))):
        _assert_partition(*_split(y, stratify=False), 40)


@pytest.mark.parametrize(
    "X", [np.zeros((12, 2)), sparse.csr_matrix((12, 2)), sparse.csr_array((12, 2))]
)
def test_splitter(X):
    """Of a splitter the first split is taken, in sorted order."""
    fold = np.array([1, 0, -1, 0, 1, 1, 0, 0, -1, 1, 1, 1])
    train, valid = _split(np.zeros(12, int), PredefinedSplit(fold), X=X)
    assert valid.tolist() == [1, 3, 6, 7]
    assert train.tolist() == [0, 2, 4, 5, 8, 9, 10, 11]


def test_splitter_sees_the_data():
    """A splitter is given the features and the target, whatever stratify says."""
    seen = []

    class Splitter(KFold):
        def split(self, X, y=None, groups=None):
            seen.append((X, y))
            return super().split(X, y, groups)

    X, y = np.ones((8, 2)), np.arange(8)
    _, valid = held_out_rows(Splitter(4), X, y, y, stratify=False, seed=0)
    assert seen[0][0] is X
    assert seen[0][1] is y
    assert valid.tolist() == [0, 1]


@pytest.mark.parametrize("n_rows", [0, 1])
@pytest.mark.parametrize("fraction", [0.5, KFold(2)])
def test_too_few_rows(n_rows, fraction):
    """With less than two rows the message says how many, and what to do."""
    with pytest.raises(ValueError, match=rf"n_samples={n_rows}\b.*early_stopping=Fal"):
        _split(np.zeros(n_rows, int), fraction)


class Empty:
    """A splitter with one side empty."""

    def __init__(self, train, valid):
        self.sides = train, valid

    def split(self, X, y=None):
        """Yield the sides."""
        yield tuple(np.array(side, dtype=int) for side in self.sides)

    def __repr__(self):
        return "Empty()"


@pytest.mark.parametrize(
    ("sides", "words"),
    [
        (([0, 1, 2], []), "3 rows to train and 0"),
        (([], [0, 1]), "0 rows to train and 2"),
    ],
)
def test_empty_side(sides, words):
    """A splitter that leaves a side empty is named, with both numbers of rows."""
    message = rf"'validation_fraction' parameter \(Empty\(\)\) leaves {words}"
    with pytest.raises(ValueError, match=message):
        _split(np.zeros(3, int), Empty(*sides))


def test_globals_stay(untouched_globals):
    """Nothing is drawn from a global generator."""
    _split(np.arange(40) % 2)
    _split(np.arange(40.0), stratify=False)


class _Fixed:
    """A splitter whose one split is given."""

    def __init__(self, *split):
        self.splits = [split] if split else []

    def split(self, X, y=None, groups=None):
        return iter(self.splits)


def test_masks():
    """A splitter may give masks instead of indices."""
    mask = np.arange(8) < 3
    train, valid = _split(np.arange(8), _Fixed(~mask, mask), stratify=False)
    assert train.tolist() == [3, 4, 5, 6, 7]
    assert valid.tolist() == [0, 1, 2]


def test_rows_without_weight():
    """A splitter sees all rows; those without a weight are then left out."""
    X, y = np.zeros((8, 1)), np.arange(8)
    counted = np.array([1, 2, 5, 6, 7])
    splitter = PredefinedSplit([0, 0, 0, -1, -1, -1, -1, -1])
    train, valid = held_out_rows(splitter, X, y, counted, stratify=False, seed=0)
    assert train.tolist() == [5, 6, 7]
    assert valid.tolist() == [1, 2]
    train, valid = held_out_rows(0.4, X, y, counted, stratify=False, seed=0)
    assert sorted([*train, *valid]) == counted.tolist()
    assert len(valid) == 2


@pytest.mark.parametrize(
    ("splitter", "message"),
    [
        (_Fixed(), "gives no split of 8 rows"),
        (PredefinedSplit([-1] * 8), "gives no split of 8 rows"),
        (_Fixed([0, 1], [2, 9]), "gives row 9 of a table with 8"),
    ],
)
def test_splitter_for_other_rows(splitter, message):
    """A splitter that does not fit the rows is refused, naming the parameter."""
    with pytest.raises(ValueError, match=f"'validation_fraction'.*{message}"):
        _split(np.arange(8), splitter, stratify=False)
