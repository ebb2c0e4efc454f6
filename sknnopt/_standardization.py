"""Location, scale and range of a target of numbers, however long its columns."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sknnopt._blocks import BLOCK, blocks


def statistics(
    y: np.ndarray, weight: np.ndarray | None, scaling: str, size: int = BLOCK
) -> dict[str, np.ndarray]:
    """Return location, scale and range of each column of the target.

    Parameters
    ----------
    y : ndarray of shape (n_rows, n_targets)
        Target.
    weight : ndarray of shape (n_rows,) or None
        Weights of the rows, of which those of weight zero are left out.
    scaling : {"standardize", "mean"}
        Whether to center, and divide by the standard deviation, or to divide by the
        mean alone.
    size : int, default=65536
        Rows that are read at once.

    Returns
    -------
    dict of ndarray of shape (n_targets,)
        ``mean`` and ``scale``, by which the target is standardized, and ``low`` and
        ``high``, its range.
    """
    low, high = value_range(y, weight, size)
    total = float(len(y) if weight is None else weight.sum())
    parts = [share @ rows for rows, share in _shares(y, weight, total, size)]
    mean = np.sum(parts, axis=0)
    # Divided by the largest distance first, so that no square overflows.
    largest = np.maximum(high - mean, mean - low)
    largest[largest == 0] = 1.0
    parts = [
        share @ ((rows - mean) / largest) ** 2
        for rows, share in _shares(y, weight, total, size)
    ]
    scale = largest * np.sqrt(np.sum(parts, axis=0))
    if scaling == "mean":
        mean, scale = np.zeros_like(mean), mean
    # A constant column has nothing to scale.
    negligible = 10 * np.finfo(np.float64).eps * np.abs(mean)
    scale = np.where(scale > negligible, scale, 1.0)
    return {"mean": mean, "scale": scale, "low": low, "high": high}


def value_range(
    y: np.ndarray, weight: np.ndarray | None, size: int = BLOCK
) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and the greatest value of each column.

    Parameters
    ----------
    y : ndarray of shape (n_rows, n_targets)
        Target.
    weight : ndarray of shape (n_rows,) or None
        Weights of the rows, of which those of weight zero are left out.
    size : int, default=65536
        Rows that are read at once.

    Returns
    -------
    low, high : ndarray of shape (n_targets,)
        The range, in float64.
    """
    parts = [rows for rows, _ in _shares(y, weight, 1.0, size) if len(rows)]
    low = np.min([rows.min(axis=0) for rows in parts], axis=0)
    high = np.max([rows.max(axis=0) for rows in parts], axis=0)
    return low, high


def standardized(
    y: np.ndarray,
    mean: np.ndarray,
    scale: np.ndarray,
    dtype: np.dtype,
    size: int = BLOCK,
) -> np.ndarray:
    """Return the target as networks learn it.

    Parameters
    ----------
    y : ndarray of shape (n_rows, n_targets)
        Target.
    mean, scale : ndarray of shape (n_targets,)
        What is subtracted, and what it is then divided by.
    dtype : numpy dtype
        Of the result; the arithmetic is in float64.
    size : int, default=65536
        Rows that are computed at once.

    Returns
    -------
    ndarray of shape (n_rows, n_targets)
        ``(y - mean) / scale``.
    """
    values = np.empty(y.shape, dtype=dtype)
    for part in blocks(len(y), size):
        values[part] = (y[part].astype(np.float64) - mean) / scale
    return values


def _shares(
    y: np.ndarray, weight: np.ndarray | None, total: float, size: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield blocks of the rows that count, in float64, and their shares of all."""
    for part in blocks(len(y), size):
        rows = y[part].astype(np.float64)
        if weight is None:
            yield rows, np.full(len(rows), 1 / total)
        else:
            counted = weight[part] > 0
            yield rows[counted], weight[part][counted] / total
