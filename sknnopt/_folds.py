"""The folds that the members of an ensemble validate on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sknnopt._blocks import blocks
from sknnopt._feed import row_numbers
from sknnopt._splits import (
    class_counts,
    counted_labels,
    dealt,
    own_stream,
    read_splits,
    require_both_parts,
    require_rows,
)

#: Folds that a small ensemble's rows are cut into, so that a member trains on most.
_FEWEST_FOLDS = 5
#: Row numbers that are hashed at once.
_BLOCK = 1 << 16


@dataclass(frozen=True)
class Folds:
    """What each member of an ensemble trained on, where they validate on folds.

    Parameters
    ----------
    seed : int
        Seed of the partition.
    train : sequence of ndarray of int
        Row numbers, for each member.
    """

    seed: int
    train: Sequence[np.ndarray]

    def digest(self) -> str:
        """Return a short text that is the same for the same rows only."""
        hashed = hashlib.blake2b(digest_size=16)
        for rows in self.train:
            hashed.update(len(rows).to_bytes(8, "little"))
            for part in blocks(len(rows), _BLOCK):
                hashed.update(np.ascontiguousarray(rows[part], dtype="<i8").data)
        return hashed.hexdigest()


def count_folds(n_members: int, fraction: float, n_rows: int) -> int:
    """Return how many folds the rows are cut into.

    Parameters
    ----------
    n_members : int
        Networks in the ensemble.
    fraction : float
        Least share of the rows in a fold, up to rounding.
    n_rows : int
        Rows that have a weight.

    Returns
    -------
    int
        One fold for each member, but 5 at least, if the fraction allows as many; 2 at
        least.
    """
    # The inverse of a very small fraction may be infinite.
    allowed = round(min(1 / float(fraction), n_rows))
    return min(max(min(max(n_members, _FEWEST_FOLDS), allowed), 2), n_rows)


def deal(
    n_rows: int,
    n_folds: int,
    generator: np.random.Generator,
    labels: np.ndarray | None = None,
) -> np.ndarray:
    """Deal rows to folds at random, class after class as cards are dealt.

    Parameters
    ----------
    n_rows : int
        Rows.
    n_folds : int
        Folds.
    generator : numpy.random.Generator
        Source of the order.
    labels : ndarray of shape (n_rows,), default=None
        Class indices from 0 on, of any numeric type, to stratify by.

    Returns
    -------
    ndarray of int of shape (n_rows,)
        The fold of each row. Sizes differ by at most one, and so do the numbers of
        rows of any class; a class of two rows or more is in two folds or more.
    """
    fold = np.empty(n_rows, dtype=np.min_scalar_type(n_folds))
    if labels is None:
        order = row_numbers(n_rows)
        generator.shuffle(order)
        for number in range(n_folds):
            fold[order[number::n_folds]] = number
        return fold
    counts = class_counts(labels)
    n_before = np.cumsum(counts) - counts
    for rows, of_class, rank in dealt(labels, counts, generator):
        fold[rows] = (n_before[of_class] + rank) % n_folds
    return fold


def held_out_folds(
    validation_fraction: Any,
    X: Any,
    y: np.ndarray,
    counted: np.ndarray,
    *,
    stratify: bool,
    seed: int,
    n_members: int,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Split the rows once for each member, so that all are held out in turn.

    Parameters
    ----------
    validation_fraction : float or splitter
        Share of the rows in a fold, or a scikit-learn splitter.
    X : ndarray or sparse matrix of shape (n_rows, n_features)
        Features; for the splitter.
    y : ndarray of shape (n_rows,) or (n_rows, n_targets)
        Encoded target.
    counted : ndarray of int
        The rows that have a weight, ascending.
    stratify : bool
        Whether ``y`` holds class indices to stratify by.
    seed : int
        Seed of the partition.
    n_members : int
        Networks in the ensemble.

    Returns
    -------
    list of (train, valid)
        Row numbers, without those that have no weight. There are at most as many as
        members; with fewer, member ``m`` takes the one at ``m`` modulo their number.

    Raises
    ------
    ValueError
        If the splitter fails, or a part would be empty.
    """
    require_rows(counted)
    if hasattr(validation_fraction, "split"):
        splits = read_splits(validation_fraction, X, y, counted, n_members)
    else:
        n_folds = count_folds(n_members, validation_fraction, len(counted))
        labels = counted_labels(y, counted) if stratify else None
        fold = deal(len(counted), n_folds, own_stream(seed), labels)
        splits = [
            (counted[fold != number], counted[fold == number])
            for number in range(min(n_members, n_folds))
        ]
    for train, valid in splits:
        require_both_parts(validation_fraction, train, valid)
    return splits
