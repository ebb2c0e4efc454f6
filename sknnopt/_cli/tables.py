"""Tables of the command line: read, checked, and split into features and target.

All refusals are :class:`InputError` with one line of text for the user.
"""

from __future__ import annotations

import csv
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np
import pandas as pd

#: A target of whole numbers with more values than this is taken for a quantity.
_MOST_CLASSES = 10
#: Text with more values than this, in over half of the rows, tells rows apart and
#: teaches nothing.
_MOST_LEVELS = 20
#: A number beyond this overflows when it is squared or summed.
_LARGEST = 1e100
#: Whole labels from here on do not fit into 64 bits with a sign.
_LARGEST_LABEL = 2**63


class InputError(ValueError):
    """The user's input cannot be used; the message says why in one line."""


@dataclass(frozen=True)
class TrainingTable:
    """Features and target of a table.

    Parameters
    ----------
    name, target : str
        Of the table and of its target column.
    X : DataFrame of shape (n_rows, n_features)
        Numbers as float64, all else text.
    y : ndarray of shape (n_rows,)
        Labels or numbers.
    task : {"classification", "regression"}
        What is predicted.
    reason : str
        Why this task.
    notes : tuple of str
        What was done to the table, a sentence each.
    """

    name: str
    target: str
    X: pd.DataFrame
    y: np.ndarray
    task: str
    reason: str
    notes: tuple[str, ...] = ()

    @property
    def numeric(self) -> tuple[str, ...]:
        """Names of the columns that hold numbers."""
        return tuple(self.X.columns[self.X.dtypes == np.float64])

    @property
    def text(self) -> tuple[str, ...]:
        """Names of the columns that hold text."""
        return tuple(self.X.columns[self.X.dtypes != np.float64])

    @property
    def n_missing(self) -> int:
        """How many numbers are missing."""
        return int(self.X[list(self.numeric)].isna().to_numpy().sum())


def read_table(path: str | Path, *, text: Iterable[str] = ()) -> pd.DataFrame:
    """Read a comma-separated table with a header.

    Parameters
    ----------
    path : str or Path
        The file.
    text : iterable of str, default=()
        Columns to read as text, whatever they hold.

    Returns
    -------
    DataFrame
        At least one row.

    Raises
    ------
    InputError
        If there is no such file, or no such table in it.
    """
    try:
        # Opened here, as pandas would also fetch what looks like an address.
        with Path(path).open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                file,
                dtype=dict.fromkeys(text, str),
                index_col=False,
                low_memory=False,
                skipinitialspace=True,
            )
    except FileNotFoundError:
        raise InputError(f"there is no file {path}") from None
    except pd.errors.EmptyDataError:
        raise InputError(f"{path} is empty") from None
    except pd.errors.ParserWarning:
        raise InputError(f"{path} has rows with more fields than its header") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not a text file in UTF-8") from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {one_line(error)}") from error
    if len(frame) == 0:
        raise InputError(f"{path} has a header but no rows")
    _check_header(path)
    return frame


def _check_header(path: str | Path) -> None:
    """Refuse names that stand twice, which pandas would number silently."""
    with Path(path).open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file, skipinitialspace=True)
        names = next((row for row in rows if row), [])
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(f"{path} has more than one column {twice[0]!r}")


def training_table(
    frame: pd.DataFrame, target: str, *, task: str = "auto", name: str = "table"
) -> TrainingTable:
    """Split a table into features and target, and check both.

    Parameters
    ----------
    frame : DataFrame
        The table.
    target : str
        The column to predict.
    task : {"auto", "classification", "regression"}, default="auto"
        What to predict.
    name : str, default="table"
        Name of the table.

    Returns
    -------
    TrainingTable
        Features and target.

    Raises
    ------
    InputError
        If the table cannot be learned from.
    """
    if target not in frame.columns:
        only = str(frame.columns[0]) if frame.shape[1] == 1 else ""
        hint = "; is the table separated by commas?" if set(only) & set(";\t|") else ""
        raise InputError(
            f"there is no column {target!r}; the columns are {_listed(frame.columns)}"
            f"{hint}"
        )
    column = frame[target]
    n_missing = int(column.isna().sum())
    if n_missing:
        raise InputError(
            f"the target {target!r} is missing in {n_missing} of {len(frame)} rows (an "
            "empty cell reads as missing, and so do NA, None, null and nan); fill "
            "these in or leave them out"
        )
    task, reason = decide_task(column, task)
    y = _labels(column) if task == "classification" else _quantities(column)
    X, notes = _features(frame.drop(columns=target))
    return TrainingTable(name, target, X, y, task, reason, tuple(notes))


def decide_task(column: pd.Series, asked: str = "auto") -> tuple[str, str]:
    """Decide whether to predict classes or numbers.

    Parameters
    ----------
    column : Series
        The target.
    asked : {"auto", "classification", "regression"}, default="auto"
        What the user asked for.

    Returns
    -------
    task : {"classification", "regression"}
        What to predict.
    reason : str
        Why.
    """
    n_values = column.nunique()
    reason = f"the target has {n_values} distinct values"
    if asked != "auto":
        return asked, "as asked for"
    if not pd.api.types.is_numeric_dtype(column):
        return "classification", f"the target is text with {n_values} distinct values"
    is_whole = pd.api.types.is_bool_dtype(column) or (column % 1 == 0).all()
    if n_values <= 2 or (is_whole and n_values <= _MOST_CLASSES):
        return "classification", reason
    return "regression", reason


def prediction_rows(
    frame: pd.DataFrame, columns: Iterable[str], text: Iterable[str]
) -> pd.DataFrame:
    """Take the columns that a model knows out of a table.

    Parameters
    ----------
    frame : DataFrame
        The table; further columns are ignored.
    columns : iterable of str
        The model's features, in order.
    text : iterable of str
        Those that hold text.

    Returns
    -------
    DataFrame
        The features in the model's order.

    Raises
    ------
    InputError
        If a column is missing, or holds text where the model knows numbers.
    """
    columns, text = list(columns), set(text)
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise InputError(
            f"the table lacks the {_plural('column', missing)} that the model "
            f"was trained on: {_listed(missing)}"
        )
    X = frame[columns].copy()
    for name in columns:
        X[name] = X[name].astype(object) if name in text else numbers(X[name])
    return X


def numbers(column: pd.Series) -> pd.Series:
    """Return a column as float64; what is missing is NaN.

    Parameters
    ----------
    column : Series
        Numbers, or text that reads as numbers.

    Returns
    -------
    Series of float64
        Finite or NaN.

    Raises
    ------
    InputError
        If an entry is text or infinite.
    """
    values = _parsed(column)
    bad = values.isna() & column.notna()
    if bad.any():
        entry = shorten(str(column[bad].iloc[0]), 40, placeholder="...")
        raise InputError(
            f"the column {column.name!r} must hold numbers, but row {_first(bad)} has "
            f"{entry!r} (rows like this: {int(bad.sum())}); leave a missing number "
            "empty"
        )
    if np.isinf(values).any():
        raise InputError(
            f"the column {column.name!r} holds an infinite number in row "
            f"{_first(np.isinf(values))}"
        )
    huge = values.abs() > _LARGEST
    if huge.any():
        raise InputError(
            f"the column {column.name!r} holds {values[huge].iloc[0]:g} in row "
            f"{_first(huge)}, too large to compute with; the largest is {_LARGEST:g}"
        )
    return values


def one_line(error: BaseException) -> str:
    """Return an error's message as one line.

    Parameters
    ----------
    error : BaseException
        The error.

    Returns
    -------
    str
        The message, or the error's type if there is none.
    """
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def _labels(column: pd.Series) -> np.ndarray:
    if pd.api.types.is_bool_dtype(column):
        return column.to_numpy(bool)
    if not pd.api.types.is_numeric_dtype(column):
        return column.astype(str).to_numpy().astype(np.str_)
    if (column % 1 != 0).any() and column.nunique() > 2:
        raise InputError(
            f"the target {column.name!r} holds fractions such as "
            f"{column[column % 1 != 0].iloc[0]}, which are no classes; use "
            "--task regression"
        )
    is_whole = (column % 1 == 0).all() and column.abs().max() < _LARGEST_LABEL
    return column.to_numpy(np.int64) if is_whole else column.astype(str).to_numpy(str)


def _quantities(column: pd.Series) -> np.ndarray:
    y = numbers(column).to_numpy()
    if np.ptp(y) == 0:
        raise InputError(
            f"the target {column.name!r} is {y[0]:g} in all rows: nothing to learn"
        )
    return y


def _features(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    columns, notes = {}, []
    for name, column in frame.items():
        n_values = column.nunique()
        if n_values == 0:
            notes.append(f"Column {name!r} was left out: it is empty.")
        elif not _is_text(column):
            columns[name] = numbers(column)
        elif n_values > max(_MOST_LEVELS, len(column) / 2):
            notes.append(
                f"Column {name!r} was left out: text with {n_values} distinct values "
                f"in {len(column)} rows."
            )
        else:
            columns[name] = column.astype(object)
    if not columns:
        raise InputError("the table has no column to learn from beside the target")
    return pd.DataFrame(columns), notes


def _is_text(column: pd.Series) -> bool:
    """Tell text from numbers, among which there may be slips of the pen."""
    if pd.api.types.is_numeric_dtype(column):
        return False
    known = column.dropna()
    return bool(_parsed(known).notna().mean() < 0.5)


def _parsed(column: pd.Series) -> pd.Series:
    """Read a column as float64, with NaN for what is no number."""
    try:
        return pd.to_numeric(column, errors="coerce").astype(np.float64)
    except OverflowError:
        # Whole numbers of hundreds of digits: as text they read as infinite.
        text = column.astype(str).where(column.notna())
        return pd.to_numeric(text, errors="coerce").astype(np.float64)


def _first(mask: pd.Series) -> int:
    """Return the number of the first row that is True, as a person counts."""
    return int(mask.to_numpy().argmax()) + 1


def _listed(names: Iterable[Any], most: int = 12) -> str:
    names = [str(name) for name in names]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _plural(noun: str, items: list[Any]) -> str:
    return noun if len(items) == 1 else f"{noun}s"
