"""The rows that are held out for early stopping.

A table may have many millions of rows: what is drawn takes a few bytes for each.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np

from sknnopt._blocks import BLOCK, blocks
from sknnopt._feed import row_numbers


def held_out_rows(
    validation_fraction: Any,
    X: Any,
    y: np.ndarray,
    counted: np.ndarray,
    *,
    stratify: bool,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Split the rows into those to train on and those to validate on.

    Parameters
    ----------
    validation_fraction : float or splitter
        Share of the rows to hold out, or a scikit-learn splitter whose first split
        is taken.
    X : ndarray or sparse matrix of shape (n_rows, n_features)
        Features; for the splitter.
    y : ndarray of shape (n_rows,) or (n_rows, n_targets)
        Encoded target.
    counted : ndarray of int
        The rows that have a weight, ascending; a splitter sees all of them, so that
        its indices mean what its maker meant.
    stratify : bool
        Whether ``y`` holds class indices to stratify by, where that is possible.
    seed : int
        The member's own seed.

    Returns
    -------
    train, valid : ndarray of int
        Row numbers, without those that have no weight.

    Raises
    ------
    ValueError
        If the splitter fails, or a part would be empty.
    """
    require_rows(counted)
    if hasattr(validation_fraction, "split"):
        ((train, valid),) = read_splits(validation_fraction, X, y, counted, 1)
    else:
        labels = counted_labels(y, counted)
        is_valid = _drawn(validation_fraction, labels, stratify, seed)
        train, valid = counted[~is_valid], counted[is_valid]
    require_both_parts(validation_fraction, train, valid)
    return train, valid


def require_rows(counted: np.ndarray) -> None:
    """Refuse to hold rows out where there are too few.

    Parameters
    ----------
    counted : ndarray of int
        The rows that have a weight.

    Raises
    ------
    ValueError
        If there are less than two.
    """
    if len(counted) < 2:
        raise ValueError(
            f"Early stopping needs rows to hold out, got n_samples={len(counted)}. Set "
            "early_stopping=False, or give more rows."
        )


def require_both_parts(
    validation_fraction: Any, train: np.ndarray, valid: np.ndarray
) -> None:
    """Refuse a split with an empty part.

    Parameters
    ----------
    validation_fraction : float or splitter
        Where the split comes from.
    train, valid : ndarray of int
        The two parts.

    Raises
    ------
    ValueError
        If one has no row.
    """
    if len(train) == 0 or len(valid) == 0:
        raise ValueError(
            f"The 'validation_fraction' parameter ({validation_fraction!r}) leaves "
            f"{len(train)} rows to train and {len(valid)} to validate on; both must "
            "have at least one."
        )


def read_splits(
    splitter: Any, X: Any, y: np.ndarray, counted: np.ndarray, n_splits: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Take a splitter's first splits.

    Parameters
    ----------
    splitter : splitter
        Of scikit-learn's kind.
    X : ndarray or sparse matrix of shape (n_rows, n_features)
        Features.
    y : ndarray of shape (n_rows,) or (n_rows, n_targets)
        Encoded target.
    counted : ndarray of int
        The rows that have a weight.
    n_splits : int
        How many to take; there may be fewer.

    Returns
    -------
    list of (train, valid)
        Row numbers, ascending, without those that have no weight.

    Raises
    ------
    ValueError
        If there is no split, or it is one of other rows.
    """
    splits = [
        _row_numbers(splitter, split, X.shape[0], counted)
        for split in islice(splitter.split(X, y), n_splits)
    ]
    if not splits:
        raise ValueError(
            f"The 'validation_fraction' parameter ({splitter!r}) gives no split of "
            f"{X.shape[0]} rows."
        )
    return splits


def _row_numbers(
    splitter: Any, split: Any, n_rows: int, counted: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return both parts of a split as row numbers that have a weight."""
    parts = [np.asarray(part) for part in split]
    parts = [np.flatnonzero(part) if part.dtype == bool else part for part in parts]
    largest = max((int(part.max()) for part in parts if len(part)), default=0)
    if largest >= n_rows:
        raise ValueError(
            f"The 'validation_fraction' parameter ({splitter!r}) gives row {largest} "
            f"of a table with {n_rows}; it was made for other rows."
        )
    train, valid = (np.sort(part[np.isin(part, counted)]) for part in parts)
    return train, valid


def _drawn(
    fraction: float, labels: np.ndarray, is_stratified: bool, seed: int
) -> np.ndarray:
    """Draw the rows to hold out, as a mask."""
    n_rows = len(labels)
    n_valid = int(np.clip(round(fraction * n_rows), 1, n_rows - 1))
    generator = own_stream(seed)
    if is_stratified:
        counts = class_counts(labels)
        n_classes = np.count_nonzero(counts)
        # A search may hand over a fold that cannot be stratified, and must not fail.
        fits = counts[counts > 0].min() >= 2 and n_classes > 1
        if fits and n_classes <= min(n_valid, n_rows - n_valid):
            return _first_of_each_class(labels, counts, n_valid, generator)
    order = row_numbers(n_rows)
    generator.shuffle(order)
    is_valid = np.zeros(n_rows, dtype=bool)
    is_valid[order[:n_valid]] = True
    return is_valid


def _first_of_each_class(
    labels: np.ndarray,
    counts: np.ndarray,
    n_valid: int,
    generator: np.random.Generator,
) -> np.ndarray:
    """Draw from each class its share, rounded up or down so that the sum is right."""
    # Systematic sampling: every n-th of the rows, class after class, from a random one.
    n_rows = len(labels)
    start = int(generator.integers(n_rows))
    reached = (np.cumsum(counts) * n_valid + start) // n_rows
    wanted = np.diff(reached, prepend=0)
    is_valid = np.zeros(n_rows, dtype=bool)
    left = n_valid
    for rows, of_class, rank in dealt(labels, counts, generator):
        taken = rows[rank < wanted[of_class]]
        is_valid[taken] = True
        left -= len(taken)
        if not left:
            break
    return is_valid


def dealt(
    labels: np.ndarray, counts: np.ndarray, generator: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Walk the rows in random order, and count them by class.

    Parameters
    ----------
    labels : ndarray of shape (n_rows,)
        Class indices from 0 on, of any numeric type.
    counts : ndarray of int of shape (n_classes,)
        How often each occurs.
    generator : numpy.random.Generator
        Source of the order.

    Yields
    ------
    rows, of_class, rank : ndarray of int
        Some rows, their classes, and how many rows of that class came before each.
    """
    order = row_numbers(len(labels))
    generator.shuffle(order)
    n_before = np.zeros(len(counts), dtype=np.int64)
    for part in blocks(len(order), max(BLOCK, len(counts))):
        rows = order[part]
        of_class = labels[rows].astype(np.intp)
        here = np.bincount(of_class, minlength=len(counts))
        first = np.cumsum(here) - here
        by_class = np.argsort(of_class, kind="stable")
        rank = np.empty(len(rows), dtype=np.intp)
        rank[by_class] = np.arange(len(rows))
        yield rows, of_class, rank + (n_before - first)[of_class]
        n_before += here


def class_counts(labels: np.ndarray) -> np.ndarray:
    """Return how often each class occurs.

    Parameters
    ----------
    labels : ndarray of shape (n_rows,)
        Class indices from 0 on, of any numeric type.

    Returns
    -------
    ndarray of int of shape (n_classes,)
        One entry for each index up to the largest.
    """
    counts = np.zeros(int(labels.max()) + 1 if len(labels) else 0, dtype=np.int64)
    for part in blocks(len(labels), max(BLOCK, len(counts))):
        counts += np.bincount(labels[part].astype(np.intp), minlength=len(counts))
    return counts


def own_stream(seed: int) -> np.random.Generator:
    """Return the source of randomness of a partition.

    Parameters
    ----------
    seed : int
        The (first) member's seed.

    Returns
    -------
    numpy.random.Generator
        Not the stream that the member itself draws from.
    """
    sequence = np.random.SeedSequence(seed, spawn_key=(1,))
    return np.random.Generator(np.random.PCG64(sequence))


def counted_labels(y: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Return the labels of the rows that have a weight.

    Parameters
    ----------
    y : ndarray of shape (n_rows,) or (n_rows, n_targets)
        Encoded target.
    counted : ndarray of int
        The rows that have a weight, ascending.

    Returns
    -------
    ndarray of shape (len(counted),) or (len(counted), n_targets)
        A view where all rows have one.
    """
    return y if len(counted) == len(y) else y[counted]
