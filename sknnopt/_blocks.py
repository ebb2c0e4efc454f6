"""Rows, block by block: what is computed at once is bounded."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

#: Rows of a block.
BLOCK = 1 << 16


def blocks(n_rows: int, size: int = BLOCK) -> Iterator[slice]:
    """Cut rows into consecutive blocks.

    Parameters
    ----------
    n_rows : int
        Rows.
    size : int, default=65536
        Rows of a block; the last may have less.

    Yields
    ------
    slice
        One block.
    """
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))


def unique_labels(y: np.ndarray, size: int = BLOCK) -> np.ndarray:
    """Return the labels that occur, as :func:`numpy.unique` does.

    Parameters
    ----------
    y : ndarray of shape (n_rows,)
        Labels of any type that can be sorted.
    size : int, default=65536
        Rows that are sorted at once.

    Returns
    -------
    ndarray of shape (n_labels,)
        Each once, ascending.
    """
    if len(y) <= size:
        return np.unique(y)
    parts = [np.unique(y[part]) for part in blocks(len(y), size)]
    return np.unique(np.concatenate(parts))


def class_indices(
    y: np.ndarray, classes: np.ndarray, dtype: np.dtype, size: int = BLOCK
) -> np.ndarray:
    """Return the place of each label among the classes.

    Parameters
    ----------
    y : ndarray of shape (n_rows,)
        Labels, all of which occur in ``classes``.
    classes : ndarray of shape (n_classes,)
        Labels, ascending.
    dtype : numpy dtype
        Of the result.
    size : int, default=65536
        Rows that are looked up at once.

    Returns
    -------
    ndarray of shape (n_rows,)
        ``numpy.searchsorted(classes, y)``.
    """
    index = np.empty(len(y), dtype=dtype)
    for part in blocks(len(y), size):
        index[part] = np.searchsorted(classes, y[part])
    return index


def place(steps: np.ndarray, values: np.ndarray, batch_size: int) -> None:
    """Write consecutive rows into batches that may be longer than their rows.

    Parameters
    ----------
    steps : ndarray of shape (n_steps, padded_rows, ...)
        Where to write; what is beyond the rows is left as it is.
    values : ndarray of shape (n_rows, ...)
        Rows, at most ``n_steps * batch_size``.
    batch_size : int
        Rows in each step.
    """
    n_full = len(values) // batch_size
    whole = values[: n_full * batch_size]
    steps[:n_full, :batch_size] = whole.reshape(n_full, batch_size, *values.shape[1:])
    if len(values) > n_full * batch_size:
        rest = values[n_full * batch_size :]
        steps[n_full, : len(rest)] = rest
