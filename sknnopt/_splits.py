"""The rows that are held out for early stopping."""

from __future__ import annotations

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
    if len(counted) < 2:
        raise ValueError(
            f"Early stopping needs rows to hold out, got n_samples={len(counted)}. Set "
            "early_stopping=False, or give more rows."
        )
    if hasattr(validation_fraction, "split"):
        train, valid = _first_split(validation_fraction, X, y, counted)
    else:
        positions = _shuffled(validation_fraction, y[counted], stratify, seed)
        train, valid = (counted[part] for part in positions)
    if len(train) == 0 or len(valid) == 0:
        raise ValueError(
            f"The 'validation_fraction' parameter ({validation_fraction!r}) leaves "
            f"{len(train)} rows to train and {len(valid)} to validate on; both must "
            "have at least one."
        )
    return np.sort(train), np.sort(valid)


def _first_split(
    splitter: Any, X: Any, y: np.ndarray, counted: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Take a splitter's first split, as row numbers."""
    n_rows = X.shape[0]
    first = next(iter(splitter.split(X, y)), None)
    if first is None:
        raise ValueError(
            f"The 'validation_fraction' parameter ({splitter!r}) gives no split of "
            f"{n_rows} rows."
        )
    parts = [np.asarray(part) for part in first]
    parts = [np.flatnonzero(part) if part.dtype == bool else part for part in parts]
    largest = max((int(part.max()) for part in parts if len(part)), default=0)
    if largest >= n_rows:
        raise ValueError(
            f"The 'validation_fraction' parameter ({splitter!r}) gives row {largest} "
            f"of a table with {n_rows}; it was made for other rows."
        )
    train, valid = (part[np.isin(part, counted)] for part in parts)
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
