"""Criteria that look at the table: scales of columns, and classes."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.diagnosis._case import N_ERRORS, NO, Case, Verdict
from benchmarks.diagnosis._tables import REGRESSION

#: Ratio of the greatest to the least scale of columns.
_UNEQUAL = 10.0
#: Times the share of a class in a balanced table, below which it is rare.
RARE = 0.5


def unscaled_inputs(case: Case) -> Verdict:
    X = case.run.train[0].double()
    scales = torch.sqrt(X.square().mean(dim=0))
    scales = scales[scales > 0]
    ratio = float(scales.max() / scales.min())
    # Columns of one scale are unscaled, too, where it is far from one.
    is_unscaled = (
        ratio > _UNEQUAL or not 1 / _UNEQUAL < float(scales.median()) < _UNEQUAL
    )
    if not is_unscaled or not case.is_harmed:
        return False, {"scales": ratio}
    return case.is_explained(case.refit(scale_inputs=True)), {"scales": ratio}


def balanced_accuracy(is_right: np.ndarray, y: np.ndarray) -> float:
    """Return the mean over classes of the share of rows that are classified rightly.

    Parameters
    ----------
    is_right : ndarray of bool of shape (rows,)
        Which are.
    y : ndarray of int of shape (rows,)
        Classes.

    Returns
    -------
    float
        In [0, 1].
    """
    return float(np.mean([is_right[y == label].mean() for label in np.unique(y)]))


def is_less_balanced(first: np.ndarray, second: np.ndarray, y: np.ndarray) -> bool:
    """Tell whether balanced accuracy is lower by more than the noise.

    Parameters
    ----------
    first, second : ndarray of bool of shape (rows,)
        Which rows each network classifies rightly.
    y : ndarray of int of shape (rows,)
        Classes.

    Returns
    -------
    bool
        Whether the difference exceeds ``N_ERRORS`` standard errors of paired rows.
    """
    gains, squares = [], []
    for label in np.unique(y):
        gain = second[y == label].astype(float) - first[y == label]
        gains.append(gain.mean())
        squares.append(gain.var(ddof=1) / len(gain))
    error = np.sqrt(np.sum(squares)) / len(squares)
    return bool(np.mean(gains) > N_ERRORS * error)


def imbalanced_classes(case: Case) -> Verdict:
    rows = case.run.rows
    if rows.task == REGRESSION:
        return NO
    counts = np.bincount(rows.train[1])
    share = float(counts.min() / counts.sum())
    other = None
    if share * len(counts) < RARE:
        other = case.refit(class_weight="balanced")
    if other is None:
        return False, {"rarest": share}
    is_right = case.outcome.is_right, other.is_right
    y = rows.test[1]
    scores = [balanced_accuracy(each, y) for each in is_right]
    numbers = {"rarest": share, "score": scores[0], "balanced_score": scores[1]}
    return is_less_balanced(*is_right, y), numbers
