"""Columns of a data frame: which are categories, and what becomes of them."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types
from scipy import sparse

#: What columns of Python objects hold that are numbers all the same.
_NUMBERS = frozenset(
    {"boolean", "integer", "floating", "mixed-integer-float", "decimal", "empty"}
)
#: What they hold that is neither: hardly a row has the same, and there are no numbers.
_DATES = frozenset(
    {"date", "datetime", "datetime64", "period", "time", "timedelta", "timedelta64"}
)
#: A category beyond the most frequent of a column has no column of its own: it would
#: be as rare as to teach nothing.
MOST_CATEGORIES = 256


def categorical_mask(X: Any, categorical_features: Any) -> np.ndarray | None:
    """Tell which columns are categories.

    Parameters
    ----------
    X : array-like, sparse matrix or DataFrame of shape (n_rows, n_features)
        The table.
    categorical_features : "from_dtype", array-like or None
        As the estimators' parameter.

    Returns
    -------
    ndarray of bool of shape (n_features,), or None
        None if no column is.

    Raises
    ------
    ValueError
        If columns are named that are not there.
    """
    if categorical_features is None:
        return None
    if isinstance(categorical_features, str):
        if not isinstance(X, pd.DataFrame):
            return None
        mask = np.array([_holds_categories(X.iloc[:, i]) for i in range(X.shape[1])])
    elif len(np.shape(X)) == 2:
        mask = _named(X, categorical_features)
    else:
        return None  # what is no table is refused by whoever checks it
    return mask if mask.any() else None


def _holds_categories(column: pd.Series) -> bool:
    if types.is_object_dtype(column.dtype):
        kind = types.infer_dtype(column, skipna=True)
        return kind not in _NUMBERS and kind not in _DATES
    is_category = isinstance(column.dtype, pd.CategoricalDtype)
    return is_category or types.is_string_dtype(column.dtype)


def _named(X: Any, features: Any) -> np.ndarray:
    # What has no length is an array without a dimension.
    given = list(features) if getattr(features, "ndim", 1) else [features]
    n_features = np.shape(X)[1]
    names = list(X.columns) if isinstance(X, pd.DataFrame) else []
    if given and all(isinstance(item, bool | np.bool_) for item in given):
        if len(given) != n_features:
            raise ValueError(
                "The 'categorical_features' parameter as a mask must have one entry "
                f"for each of the {n_features} features. Got {len(given)} instead."
            )
        return np.array(given, dtype=bool)
    mask = np.zeros(n_features, dtype=bool)
    for item in given:
        mask[_position(item, names, n_features)] = True
    return mask


def _position(item: Any, names: list[Any], n_features: int) -> int:
    if isinstance(item, str) and item in names:
        return names.index(item)
    if isinstance(item, Integral) and -n_features <= int(item) < n_features:
        return int(item)
    known = f"the names {names}" if names else f"indices below {n_features}"
    raise ValueError(
        "The 'categorical_features' parameter must be 'from_dtype', None, a mask, or "
        f"columns of X: {known}. Got {item!r} instead."
    )


def as_frame(X: Any) -> pd.DataFrame:
    """Return a table as a data frame, without a copy where it is one."""
    if sparse.issparse(X):
        raise ValueError(
            "X is sparse and has columns that 'categorical_features' names. Give a "
            "data frame, or X.toarray()."
        )
    if isinstance(X, pd.DataFrame):
        return X
    if isinstance(X, list | tuple):
        return pd.DataFrame(X)  # whose columns have types of their own
    array = np.asarray(X)
    if array.dtype.names is not None:
        raise ValueError(
            f"X is a structured array with the fields {array.dtype.names}, which are "
            "no columns. Give a data frame."
        )
    return pd.DataFrame(array)


def read_numbers(frame: pd.DataFrame) -> np.ndarray:
    """Return columns of numbers as one array.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_numbers)
        Numbers of any types, booleans, or objects that are numbers.

    Returns
    -------
    ndarray of shape (n_rows, n_numbers)
        NaN where one is missing; without a copy if all columns are one array.

    Raises
    ------
    ValueError
        If a column cannot be read as numbers; it is named.
    """
    dtypes = frame.dtypes.tolist()
    if not dtypes:
        return np.empty((len(frame), 0))
    if all(isinstance(d, np.dtype) and d.kind in "biuf" for d in dtypes):
        return frame.to_numpy(dtype=np.result_type(*dtypes))
    is_single = all(getattr(d, "itemsize", 0) == 4 and d.kind == "f" for d in dtypes)
    numbers = np.empty(frame.shape, dtype=np.float32 if is_single else np.float64)
    for own, (_, column) in zip(numbers.T, frame.items(), strict=True):
        own[:] = _read(column, numbers.dtype)
    return numbers


def _read(column: pd.Series, dtype: np.dtype) -> np.ndarray:
    try:
        # numpy would take times as counts of their units, and half of complex numbers.
        if column.dtype.kind in "mMc":
            raise TypeError("it holds values of another kind")
        return column.to_numpy(dtype=dtype, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"Column {column.name!r} of X (dtype {column.dtype}) cannot be read as "
            f"numbers: {error}. Give numbers in its place (of a date the year, month "
            "and day, say), leave it out, or name it in 'categorical_features' if its "
            "values are categories."
        ) from error


def find_categories(column: pd.Series, weight: np.ndarray | None = None) -> np.ndarray:
    """Return the categories of a column, at most the 256 most frequent.

    Parameters
    ----------
    column : Series of shape (n_rows,)
        Values of any kind that can be hashed; missing ones are no category.
    weight : ndarray of shape (n_rows,) or None, default=None
        Weights of the rows; what only rows of weight zero have is no category.

    Returns
    -------
    ndarray of object
        In an order that the order of the rows does not change.

    Raises
    ------
    TypeError
        If a value cannot be hashed.
    """
    try:
        code, values = pd.factorize(column)
    except TypeError as error:
        raise _no_category(column, error) from error
    is_there = code >= 0
    share = None if weight is None else weight[is_there]
    totals = np.bincount(code[is_there], share, minlength=len(values))
    found_totals = zip(values.tolist(), totals.tolist(), strict=True)
    counts = {value: total for value, total in found_totals if total > 0}
    kept = heapq.nsmallest(MOST_CATEGORIES, counts, lambda v: (-counts[v], _key(v)))
    found = np.empty(len(kept), dtype=object)
    found[:] = sorted(kept, key=_key)
    return found


def _no_category(column: pd.Series, error: TypeError) -> TypeError:
    return TypeError(
        f"Column {column.name!r} of X holds values that cannot be categories: "
        f"{error}. Leave it out, or turn its values into strings."
    )


def _key(value: Any) -> tuple[int, Any, str]:
    """Return what values of any types can be sorted by."""
    if isinstance(value, int | float | np.number | np.bool_):
        return 0, value, ""
    return 1, 0, f"{type(value).__name__} {value}"


def find_places(
    columns: Sequence[pd.Series], categories: Sequence[np.ndarray]
) -> np.ndarray:
    """Return which category each value is, of those of all columns side by side.

    Parameters
    ----------
    columns : sequence of Series of shape (n_rows,)
        Values.
    categories : sequence of ndarray of object
        The categories of each.

    Returns
    -------
    ndarray of int of shape (n_rows, n_columns)
        Numbers of categories; -1 for unknown or missing values.

    Raises
    ------
    TypeError
        If a value cannot be hashed.
    """
    places = np.empty((len(columns[0]), len(columns)), dtype=np.int32)
    begin = 0
    for own, column, known in zip(places.T, columns, categories, strict=True):
        number = {value: begin + i for i, value in enumerate(known)}
        own[:] = _looked_up(column, number)
        begin += len(known)
    return places


def _looked_up(column: pd.Series, number: dict[Any, int]) -> np.ndarray:
    if isinstance(column.dtype, pd.CategoricalDtype):
        # Each category once; behind them comes what is missing, which has code -1.
        of_values = [number.get(v, -1) for v in column.dtype.categories.tolist()]
        found: np.ndarray = np.array([*of_values, -1])[column.array.codes]
        return found
    try:
        places = [number.get(value, -1) for value in column.tolist()]
    except TypeError as error:
        raise _no_category(column, error) from error
    return np.array(places, dtype=int)


def indicators(places: np.ndarray, n_categories: int, dtype: np.dtype) -> np.ndarray:
    """Return a column of zeros and ones for each category.

    Parameters
    ----------
    places : ndarray of int of shape (n_rows, n_columns)
        From `find_places`.
    n_categories : int
        Those of all columns.
    dtype : numpy dtype
        Of the result.

    Returns
    -------
    ndarray of shape (n_rows, n_categories)
        Rows of unknown or missing values have no one.
    """
    ones = np.zeros((len(places), n_categories), dtype=dtype)
    row, column = np.nonzero(places >= 0)
    ones[row, places[row, column]] = 1
    return ones
