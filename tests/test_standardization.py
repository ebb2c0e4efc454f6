"""Location, scale and range of a target of numbers."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from sknnopt._standardization import standardized, statistics, value_range


@pytest.mark.parametrize("size", [1, 7, 50, 1 << 16])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
@pytest.mark.parametrize("is_weighted", [False, True])
def test_same_as_scikit_learn(rng, size, dtype, is_weighted):
    """Location and scale are StandardScaler's, whatever is read at once."""
    y = (100 * rng.normal(size=(50, 2)) + 30).astype(dtype)
    weight = rng.integers(0, 3, 50).astype(float) if is_weighted else None
    scaler = StandardScaler().fit(y.astype(float), sample_weight=weight)
    found = statistics(y, weight, "standardize", size)
    np.testing.assert_allclose(found["mean"], scaler.mean_, rtol=1e-12)
    np.testing.assert_allclose(found["scale"], scaler.scale_, rtol=1e-12)
    target = standardized(y, found["mean"], found["scale"], np.dtype(float), size)
    np.testing.assert_allclose(target, scaler.transform(y.astype(float)), atol=1e-12)


@pytest.mark.parametrize("size", [1, 7, 1 << 16])
def test_range_of_what_counts(rng, size):
    """The range is that of the rows with a weight, even if a block has none."""
    y = rng.normal(size=(40, 3))
    weight = np.r_[np.zeros(15), np.ones(25)]
    for given, rows in ((None, y), (weight, y[15:])):
        low, high = value_range(y, given, size)
        assert np.array_equal(low, rows.min(axis=0))
        assert np.array_equal(high, rows.max(axis=0))
        found = statistics(y, given, "standardize", size)
        assert np.array_equal(found["low"], low)
        assert np.array_equal(found["high"], high)


@pytest.mark.parametrize("size", [1, 7, 1 << 16])
def test_scaled_by_the_mean(rng, size):
    """Counts are divided by their mean and not centered."""
    y = rng.poisson(4.0, size=(40, 1))
    found = statistics(y, None, "mean", size)
    assert found["mean"].tolist() == [0.0]
    np.testing.assert_allclose(found["scale"], y.mean(axis=0), rtol=1e-14)


@pytest.mark.parametrize("size", [1, 7, 1 << 16])
def test_extremes(size):
    """A constant column is not scaled; squares of huge numbers do not overflow."""
    y = np.stack([np.full(40, 0.1), np.r_[np.full(20, 1e300), np.zeros(20)]], axis=1)
    found = statistics(y, None, "standardize", size)
    assert found["scale"][0] == 1.0
    np.testing.assert_allclose(found["scale"][1], 5e299, rtol=1e-14)


@pytest.mark.parametrize("size", [1, 7, 1 << 16])
def test_rounded_once(rng, size):
    """In single precision, values are those of double precision, rounded."""
    y = rng.normal(size=(20, 2))
    mean, scale = y.mean(axis=0), y.std(axis=0)
    values = standardized(y, mean, scale, np.dtype(np.float32), size)
    assert values.dtype == np.float32
    assert np.array_equal(values, ((y - mean) / scale).astype(np.float32))
