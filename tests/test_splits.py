"""Rows held out for early stopping."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.model_selection import KFold, PredefinedSplit

import sknnopt._feed
import sknnopt._splits
from sknnopt._splits import class_counts, dealt, held_out_rows


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


@pytest.mark.parametrize("counts", [(5, 5, 11, 3), (2, 2, 2, 19), (13, 12)])
@pytest.mark.parametrize("fraction", [0.2, 0.35, 0.6])
def test_every_row_is_as_likely(counts, fraction):
    """Over seeds, each row is held out as often as any other, whatever its class."""
    y = np.repeat(np.arange(len(counts)), counts)
    n_seeds, n_valid = 2000, round(fraction * len(y))
    hits = np.zeros(len(y))
    for seed in range(n_seeds):
        hits[_split(y, fraction, seed=seed)[1]] += 1
    share = n_valid / len(y)
    # Five standard deviations of a binomial.
    tolerance = 5 * np.sqrt(share * (1 - share) / n_seeds)
    np.testing.assert_allclose(hits / n_seeds, share, atol=tolerance)


@pytest.mark.parametrize("stratify", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32, np.float64])
def test_types_of_labels(rng, dtype, stratify):
    """Labels in any numeric type, and row numbers in any, hold out the same rows."""
    y = rng.integers(0, 4, 300)
    expected = _split(y, 0.3, stratify=stratify)
    X, rows = np.zeros((300, 1)), np.arange(300, dtype=np.int32)
    options = {"stratify": stratify, "seed": 0}
    parts = held_out_rows(0.3, X, y.astype(dtype), rows, **options)
    for part, rows_expected in zip(parts, expected, strict=True):
        assert part.dtype == np.int32
        assert np.array_equal(part, rows_expected)


@pytest.mark.parametrize("stratify", [False, True])
def test_long_table(monkeypatch, rng, stratify):
    """Rows numbered in 32 bits, and dealt in blocks, are held out all the same."""
    y = rng.integers(0, 3, 500)
    expected = _split(y, 0.2, stratify=stratify)
    monkeypatch.setattr(sknnopt._feed, "_SHORT_TABLE", 10)
    monkeypatch.setattr(sknnopt._splits, "BLOCK", 64)
    for part, rows in zip(_split(y, 0.2, stratify=stratify), expected, strict=True):
        assert np.array_equal(part, rows)


@pytest.mark.parametrize("block", [1, 7, 64, 1000])
def test_dealt(monkeypatch, rng, block):
    """Rows come in random order, each with its place among the rows of its class."""
    monkeypatch.setattr(sknnopt._splits, "BLOCK", block)
    labels = rng.integers(0, 5, 200)
    order = np.random.default_rng(3).permutation(200)
    parts = list(dealt(labels, np.bincount(labels), np.random.default_rng(3)))
    assert len(parts) == -(-200 // max(block, 5))
    rows, of_class, rank = (np.concatenate(part) for part in zip(*parts, strict=True))
    assert np.array_equal(rows, order)
    assert np.array_equal(of_class, labels[order])
    for label in range(5):
        assert np.array_equal(
            rank[of_class == label], np.arange((labels == label).sum())
        )


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_class_counts(monkeypatch, rng, block):
    """Counts are those of bincount, however the labels are stored and read."""
    monkeypatch.setattr(sknnopt._splits, "BLOCK", block)
    labels = rng.integers(0, 9, 40)
    for dtype in (np.uint8, np.int64, np.float32):
        counts = class_counts(labels.astype(dtype))
        assert np.array_equal(counts, np.bincount(labels))
    assert class_counts(np.array([], dtype=int)).tolist() == []


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
