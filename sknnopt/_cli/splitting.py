"""The rows of the tune command: those to search on, those held out, and the folds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold, StratifiedKFold, train_test_split

from sknnopt._cli.settings import TuneSettings
from sknnopt._cli.tables import InputError, TrainingTable


@dataclass(frozen=True)
class Rows:
    """The rows to search on and the rows held out."""

    X: pd.DataFrame
    X_test: pd.DataFrame
    y: np.ndarray
    y_test: np.ndarray


def split(table: TrainingTable, settings: TuneSettings) -> Rows:
    """Hold rows out.

    Parameters
    ----------
    table : TrainingTable
        All rows.
    settings : TuneSettings
        The options.

    Returns
    -------
    Rows
        Both parts.

    Raises
    ------
    InputError
        If there are too few.
    """
    X, y = table.X, table.y
    is_classification = table.task == "classification"
    if is_classification:
        _check_classes(table)
    try:
        X_train, X_test, y_train, y_test = train_test_split(
            X,
            y,
            test_size=settings.test_size,
            stratify=y if is_classification else None,
            random_state=settings.seed,
        )
    except ValueError as error:
        raise InputError(
            f"{len(y)} rows cannot be split with --test-size {settings.test_size:g}: "
            f"{' '.join(str(error).split())}"
        ) from error
    _check_folds(y_train, y_test, settings, is_classification=is_classification)
    return Rows(X_train, X_test, y_train, y_test)


def folds(table: TrainingTable, settings: TuneSettings) -> Any:
    """Return the folds of cross-validation.

    Parameters
    ----------
    table : TrainingTable
        Whose task is looked at.
    settings : TuneSettings
        The options.

    Returns
    -------
    KFold or StratifiedKFold
        The splitter.
    """
    kind = StratifiedKFold if table.task == "classification" else KFold
    return kind(n_splits=settings.cv, shuffle=True, random_state=settings.seed)


def _check_classes(table: TrainingTable) -> None:
    labels, counts = np.unique(table.y, return_counts=True)
    if len(labels) == 1:
        raise InputError(
            f"the target {table.target!r} has one class only, {labels[0].item()!r}; a "
            "classification needs two or more"
        )
    if counts.min() < 2:
        is_number = labels.dtype.kind in "if"
        hint = ", or use --task regression if it is a quantity" if is_number else ""
        raise InputError(
            f"the target {table.target!r} has the class "
            f"{labels[counts.argmin()].item()!r} in one row only; leave such rows out"
            f"{hint}"
        )


def _check_folds(
    y: np.ndarray,
    y_test: np.ndarray,
    settings: TuneSettings,
    *,
    is_classification: bool,
) -> None:
    if is_classification:
        labels, counts = np.unique(y, return_counts=True)
        if counts.min() < settings.cv:
            raise InputError(
                f"the class {labels[counts.argmin()].item()!r} has {counts.min()} "
                f"training rows, too few for {settings.cv} folds; use a smaller --cv "
                "or give more rows"
            )
    elif len(y) < 2 * settings.cv or len(y_test) < 2:
        raise InputError(
            f"{len(y)} training rows and {len(y_test)} held out are too few for "
            f"{settings.cv} folds of two rows or more; use a smaller --cv or give more "
            "rows"
        )
