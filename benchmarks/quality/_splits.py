"""Random splits of a table, the same for all methods."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from benchmarks.quality._catalogue import CLASSIFICATION, Table, load

#: Rows of a table, training and test together, unless all are asked for.
CAP = 3_000
TEST_SHARE = 0.25
_WANTED_ROWS = 6_000
_FEWEST, _MOST = 3, 20


class Split(NamedTuple):
    """Rows to train on, and rows to predict."""

    X_train: pd.DataFrame
    X_test: pd.DataFrame
    y_train: np.ndarray
    y_test: np.ndarray


def n_splits(n_rows: int) -> int:
    """Return how many splits a table of ``n_rows`` has.

    Parameters
    ----------
    n_rows : int
        Rows before any cap.

    Returns
    -------
    int
        3 for long tables to 20 for short ones.
    """
    return int(np.clip(-(-_WANTED_ROWS // n_rows), _FEWEST, _MOST))


def split(table: Table, number: int, cap: int | None = CAP) -> Split:
    """Draw a split.

    Parameters
    ----------
    table : Table
        What is split, stratified by class.
    number : int
        Which split.
    cap : int or None, default=3000
        Rows that are drawn from longer tables first, others in each split.

    Returns
    -------
    Split
        Three quarters of the rows to train on.
    """
    X, y = load(table.name)
    is_classification = table.task == CLASSIFICATION
    rows = np.arange(len(X))
    if cap is not None and len(rows) > cap:
        strata = y if is_classification else None
        rows, _ = train_test_split(
            rows, train_size=cap, stratify=strata, random_state=number
        )
    train, test = train_test_split(
        rows,
        test_size=TEST_SHARE,
        stratify=y[rows] if is_classification else None,
        random_state=number,
    )
    return Split(X.iloc[train], X.iloc[test], y[train], y[test])
