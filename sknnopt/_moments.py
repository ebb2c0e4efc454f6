"""Means and standard deviations of the columns of a table, in one pass over it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from scipy import sparse
from sklearn.utils.sparsefuncs import mean_variance_axis

from sknnopt._blocks import blocks

#: A spread of so many rounding errors of the mean is none.
_NEGLIGIBLE = 10 * np.finfo(np.float64).eps
#: Numbers that are read at once.
_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Moments:
    """What is known of each column of a table.

    Parameters
    ----------
    mean : ndarray of shape (n_columns,)
        Weighted mean of the values that are there; zero where none is.
    scale : ndarray of shape (n_columns,)
        Standard deviation; one for a constant column.
    is_missing : ndarray of bool of shape (n_columns,)
        Whether any value of a row that counts is missing.
    """

    mean: np.ndarray
    scale: np.ndarray
    is_missing: np.ndarray


def column_moments(
    X: Any, weight: np.ndarray | None = None, size: int | None = None
) -> Moments:
    """Return the moments of each column.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_rows, n_columns)
        Numbers; NaN where one is missing, which a sparse matrix has nowhere.
    weight : ndarray of shape (n_rows,) or None, default=None
        Weights of the rows; those of weight zero do not count.
    size : int or None, default=None
        Rows that are read at once; None: as many as hold about a million numbers.

    Returns
    -------
    Moments
        In float64.

    References
    ----------
    Chan, Golub and LeVeque 1983, Algorithms for computing the sample variance: the
    pairwise algorithm.
    """
    with np.errstate(all="ignore"):
        if sparse.issparse(X):
            return _usable(*_of_sparse(X, weight))
        size = max(1, _AT_ONCE // max(1, X.shape[1])) if size is None else size
        return _usable(*_of_dense(X, weight, size))


_Parts: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray]


def _of_dense(X: np.ndarray, weight: np.ndarray | None, size: int) -> _Parts:
    """Return mean, standard deviation and where any number is missing."""
    total, mean, square = np.zeros((3, X.shape[1]))
    is_missing = np.zeros(X.shape[1], dtype=bool)
    for part in blocks(X.shape[0], size):
        of_part = None if weight is None else weight[part]
        rows, share, gone = _block(X[part], of_part)
        is_missing |= gone
        # Of this block; then both are merged.
        own, centre, spread = _of_block(rows, share)
        both = total + own
        step = centre - mean
        square += spread + step**2 * _divided(total * own, both)
        mean = mean + step * _divided(own, both)
        total = both
    return mean, np.sqrt(_divided(square, total)), is_missing


def _block(rows: np.ndarray, weight: np.ndarray | None) -> _Parts:
    """Return a copy without NaN, the weight of each number, and where it has any."""
    # In one order: sums of rows that lie otherwise in memory may round otherwise.
    rows = rows.astype(np.float64, order="C")
    if weight is not None:
        rows, weight = rows[weight > 0], weight[weight > 0]
    missing = np.isnan(rows)
    share = np.ones((len(rows), 1)) if weight is None else weight[:, None]
    gone = missing.any(axis=0)
    if not gone.any():
        # One column of weights serves all.
        return rows, np.broadcast_to(share, rows.shape), gone
    rows[missing] = 0.0
    return rows, share * ~missing, gone


def _of_block(rows: np.ndarray, share: np.ndarray) -> _Parts:
    """Return the sum of weights, mean and sum of squares about it; ``rows`` change."""
    own = share.sum(axis=0)
    centre = np.zeros(rows.shape[1])
    # Twice: the sum of many equal numbers is not quite a multiple of them.
    for _ in range(2):
        step = _divided(np.einsum("ij,ij->j", share, rows), own)
        rows -= step
        centre += step
    return own, centre, np.einsum("ij,ij,ij->j", share, rows, rows)


def _of_sparse(X: Any, weight: np.ndarray | None) -> _Parts:
    given = None if weight is None else weight.astype(X.dtype)
    mean, variance = mean_variance_axis(X, axis=0, weights=given)
    scale = np.sqrt(variance.astype(np.float64))
    return mean.astype(np.float64), scale, np.zeros(X.shape[1], dtype=bool)


def _divided(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Return the quotient, zero where nothing is divided by."""
    none = denominator == 0
    quotient: np.ndarray = numerator / np.where(none, 1.0, denominator)
    return np.where(none, 0.0, quotient)


def _usable(mean: np.ndarray, scale: np.ndarray, is_missing: np.ndarray) -> Moments:
    """Return what can be computed with: scale one if a column is constant or absurd."""
    is_usable = np.isfinite(scale) & (scale > _NEGLIGIBLE * np.abs(mean))
    mean = np.where(np.isfinite(mean), mean, 0.0)
    return Moments(mean, np.where(is_usable, scale, 1.0), is_missing)
