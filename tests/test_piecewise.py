"""Piecewise-linear encoding in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from sknnopt._piecewise import bin_count, find_bins


def test_edges_are_quantiles():
    """Bins of equal numbers of rows begin and end at values of the column."""
    X = np.arange(101.0)[:, None]
    bins = find_bins(X, 4, None)
    assert bins.low.tolist() == [0.0, 25.0, 50.0, 75.0]
    assert bins.width.tolist() == [25.0] * 4
    assert bins.column.tolist() == [0] * 4


def test_encoding_in_closed_form():
    """A number fills the bins below it, its own in part, and none above."""
    bins = find_bins(np.arange(101.0)[:, None], 4, None)
    encoded = bins.encode(np.array([[-5.0], [0.0], [30.0], [100.0], [400.0]]))
    expected = [
        [0.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0],
        [1.0, 0.2, 0.0, 0.0],
        [1.0, 1.0, 1.0, 1.0],
        [1.0, 1.0, 1.0, 1.0],
    ]
    np.testing.assert_allclose(encoded + 0.5, expected, atol=1e-15)


def test_sum_is_the_number():
    """Within the edges, widths times reaches add up to the number."""
    X = np.random.default_rng(0).normal(size=(300, 1))
    bins = find_bins(X, 8, None)
    reach = bins.encode(X) + 0.5
    np.testing.assert_allclose(reach @ bins.width + bins.low[0], X[:, 0], atol=1e-12)


def test_few_values_few_bins():
    """Quantiles that coincide make one edge; a column of two values has no bin."""
    X = np.column_stack([np.arange(30) % 3, np.arange(30) % 2, np.zeros(30)])
    bins = find_bins(X, 16, None)
    assert bins.column.tolist() == [0, 0]
    assert bins.low.tolist() == [0.0, 1.0]


@pytest.mark.parametrize("n_bins", [2, 5, 16])
def test_weights_are_repeats(n_bins):
    """A row of weight two counts as two rows, one of weight zero as none."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2)).round(1)
    weight = rng.integers(0, 4, size=60)
    weighted = find_bins(X, n_bins, weight.astype(float))
    repeated = find_bins(np.repeat(X, weight, axis=0), n_bins, None)
    for name, value in vars(weighted).items():
        np.testing.assert_array_equal(value, getattr(repeated, name))


def test_missing_numbers_have_no_quantile():
    """NaN does not count, and a column of nothing else has no bin."""
    X = np.arange(40.0).reshape(20, 2)
    X[::2, 0] = np.nan
    X[:, 1] = np.nan
    bins = find_bins(X, 2, None)
    assert bins.column.tolist() == [0, 0]
    assert bins.low[0] == 2.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_type_is_kept(dtype):
    """The encoding is of the type of the numbers."""
    X = np.linspace(0, 1, 20, dtype=dtype)[:, None]
    assert find_bins(X, 4, None).encode(X).dtype == dtype


@pytest.mark.parametrize(
    ("n_rows", "n_columns", "n_bins"),
    [
        (10, 3, 4),
        (600, 3, 4),
        (1500, 3, 10),
        (2400, 3, 16),
        (2400, 0, 16),
        (2400, 256, 8),
        (10**6, 784, 2),
        (10**6, 3000, 0),
    ],
)
def test_automatic_bins(n_rows, n_columns, n_bins):
    """Automatic bins grow with the rows between two limits; numbers are kept."""
    assert bin_count("auto", n_rows, n_columns) == n_bins
    assert bin_count(3, n_rows, n_columns) == 3


def test_one_bin_is_none():
    """A column cut into less than two bins is not encoded."""
    X = np.arange(20.0)[:, None]
    for n_bins in (0, 1):
        assert len(find_bins(X, n_bins, None).low) == 0
