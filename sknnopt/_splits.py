"""The rows that are held out for early stopping."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit


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
        The rows that have a weight; a splitter sees all of them, so that its indices
        mean what its maker meant.
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
        positions = _shuffled(validation_fraction, y[counted], stratify, seed)
        train, valid = (np.sort(counted[part]) for part in positions)
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


def _shuffled(
    fraction: float, y: np.ndarray, stratify: bool, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    n_valid = int(np.clip(round(fraction * len(y)), 1, len(y) - 1))
    splitter = ShuffleSplit
    if stratify:
        counts = np.bincount(y)
        n_classes = np.count_nonzero(counts)
        # A search may hand over a fold that cannot be stratified, and must not fail.
        fits = counts[counts > 0].min() >= 2 and n_classes > 1
        if fits and n_classes <= min(n_valid, len(y) - n_valid):
            splitter = StratifiedShuffleSplit
    split = splitter(n_splits=1, test_size=n_valid, random_state=seed)
    train, valid = next(iter(split.split(np.empty((len(y), 1)), y)))
    return train, valid
