"""Moments of columns against numpy and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.preprocessing import StandardScaler

from sknnopt._moments import column_moments


@pytest.fixture(name="X")
def table():
    """Return columns of very different location and scale."""
    rng = np.random.default_rng(0)
    return rng.normal([0.0, 1e6, -3.0], [1.0, 0.01, 1e5], size=(101, 3))


@pytest.mark.parametrize("size", [1, 7, 101, 1000])
def test_moments_are_numpy_s(X, size):
    """Mean and standard deviation are numpy's, whatever is read at once."""
    moments = column_moments(X, size=size)
    np.testing.assert_allclose(moments.mean, X.mean(axis=0), rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(moments.scale, X.std(axis=0), rtol=1e-6)
    assert not moments.is_missing.any()


@pytest.mark.parametrize("size", [3, 1000])
def test_weights_are_repeats(X, size):
    """A row of weight two counts as two rows, one of weight zero as none."""
    weight = np.arange(len(X)) % 3
    moments = column_moments(X, weight.astype(float), size=size)
    repeated = column_moments(np.repeat(X, weight, axis=0))
    np.testing.assert_allclose(moments.mean, repeated.mean, rtol=1e-12)
    np.testing.assert_allclose(moments.scale, repeated.scale, rtol=1e-9)


def test_moments_are_the_scaler_s(X):
    """With weights, they are those of scikit-learn's StandardScaler."""
    weight = np.random.default_rng(1).uniform(size=len(X))
    scaler = StandardScaler().fit(X, sample_weight=weight)
    moments = column_moments(X, weight)
    np.testing.assert_allclose(moments.mean, scaler.mean_, rtol=1e-9)
    np.testing.assert_allclose(moments.scale, scaler.scale_, rtol=1e-6)


@pytest.mark.parametrize("size", [2, 1000])
def test_missing_numbers_do_not_count(X, size):
    """NaN is left out of its own column's moments, and is told of."""
    X[::4, 1] = np.nan
    moments = column_moments(X, size=size)
    np.testing.assert_allclose(moments.mean, np.nanmean(X, axis=0), rtol=1e-12)
    np.testing.assert_allclose(moments.scale, np.nanstd(X, axis=0), rtol=1e-6)
    assert moments.is_missing.tolist() == [False, True, False]


def test_missing_without_weight_is_not_missing(X):
    """NaN in a row of weight zero is none."""
    X[0, 1] = np.nan
    weight = np.ones(len(X))
    weight[0] = 0.0
    moments = column_moments(X, weight)
    assert not moments.is_missing.any()
    np.testing.assert_allclose(moments.mean, X[1:].mean(axis=0), rtol=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.1, -1e8, 1e300])
def test_constant_column_has_scale_one(value):
    """What has no spread, or one that overflows, is divided by one."""
    X = np.full((50, 1), value)
    assert column_moments(X, size=7).scale.tolist() == [1.0]


def test_column_without_numbers():
    """A column in which all is missing has mean zero and scale one."""
    moments = column_moments(np.full((5, 1), np.nan))
    assert (moments.mean[0], moments.scale[0]) == (0.0, 1.0)
    assert moments.is_missing[0]


def test_sparse_moments_are_dense(X):
    """A sparse matrix has the moments of the same numbers."""
    X[X < 0] = 0.0
    weight = np.random.default_rng(1).uniform(size=len(X))
    dense, thin = (
        column_moments(X, weight),
        column_moments(sparse.csr_matrix(X), weight),
    )
    np.testing.assert_allclose(thin.mean, dense.mean, rtol=1e-9)
    np.testing.assert_allclose(thin.scale, dense.scale, rtol=1e-5)


@pytest.mark.parametrize("n_columns", [1, 2, 5, 30])
@pytest.mark.parametrize("is_weighted", [False, True])
def test_order_in_memory_does_not_matter(rng, n_columns, is_weighted):
    """Moments are the same bits whether rows or columns lie together in memory."""
    X = 3 * rng.normal(size=(1000, n_columns)) + 5
    weight = rng.uniform(size=1000) if is_weighted else None
    rows, columns = (
        column_moments(X, weight),
        column_moments(np.asfortranarray(X), weight),
    )
    assert columns.mean.tolist() == rows.mean.tolist()
    assert columns.scale.tolist() == rows.scale.tolist()
