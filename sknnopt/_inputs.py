"""What the networks see of a table: numbers on one scale, and nothing missing.

A plain array of numbers passes as it is, standardized if asked for. A data frame's
categories become columns of zeros and ones, missing numbers the mean, with a column
that says so. Long tables are encoded when their rows are read.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_array

from sknnopt._auto import MANY_ROWS
from sknnopt._blocks import blocks
from sknnopt._columns import (
    as_frame,
    categorical_mask,
    find_categories,
    find_places,
    indicators,
    read_numbers,
)
from sknnopt._moments import column_moments
from sknnopt._piecewise import Bins, bin_count, find_bins

FLOATS = (np.float64, np.float32)
#: Up to this many numbers a table is encoded at once: its rows are read faster.
_WORTH_A_COPY = 1 << 24
#: Numbers that are encoded at once where all are.
_AT_ONCE = 1 << 20


class Inputs(BaseEstimator):
    """How a table becomes what the networks see; learned from the training rows.

    Parameters
    ----------
    categorical_features : "from_dtype", array-like or None, default="from_dtype"
        Which columns are categories.
    impute_missing : bool, default=True
        Whether numbers may be missing.
    scale_inputs : bool, default=True
        Whether numbers are standardized.
    n_bins : int, "auto" or None, default=None
        Bins of a number's piecewise-linear encoding, which is added to it.
    dtype : {"auto", "float32", "float64"}, default="auto"
        Type of what the networks see.

    Attributes
    ----------
    is_categorical_ : ndarray of bool of shape (n_features,), or None
        None where no column is.
    categories_ : list of ndarray
        Categories of each such column.
    mean_, scale_ : ndarray of shape (n_numbers,)
        Of the columns of numbers, weighted.
    is_sparse_ : bool
        Whether the training table was sparse: its numbers are divided alone, and so
        are those of a dense table that follows.
    is_missing_ : ndarray of bool of shape (n_numbers,)
        Columns with missing numbers, which get an indicator.
    bins_ : dict of ndarray
        As `Bins`; empty without the encoding.
    dtype_ : numpy dtype
        What ``dtype`` is resolved to.
    n_columns_ : int
        What the networks have as inputs: numbers, bins, indicators, categories.
    """

    def __init__(
        self,
        categorical_features: Any = "from_dtype",
        impute_missing: bool = True,
        scale_inputs: bool = True,
        n_bins: int | str | None = None,
        dtype: str = "auto",
    ) -> None:
        self.categorical_features = categorical_features
        self.impute_missing = impute_missing
        self.scale_inputs = scale_inputs
        self.n_bins = n_bins
        self.dtype = dtype

    def find_columns(self, X: Any) -> Inputs:
        """Learn which columns are categories.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_rows, n_features)
            The training table as it was given.

        Returns
        -------
        self : Inputs
            Ready to learn the rest.
        """
        self.is_categorical_: Any = categorical_mask(X, self.categorical_features)
        self.categories_: list[np.ndarray] = []
        return self

    @property
    def is_plain(self) -> bool:
        """Tell whether all columns are numbers."""
        return self.is_categorical_ is None

    def has_columns(self, X: Any) -> bool:
        """Tell whether a table is more to us than to scikit-learn: a block of numbers.

        Parameters
        ----------
        X : object
            What was given as a table.

        Returns
        -------
        bool
            True for a data frame, and for a table in which columns are categories.
        """
        return isinstance(X, pd.DataFrame) or not (self.is_plain or np.ndim(X) != 2)

    def finite(self, X: Any) -> bool | str:
        """Return scikit-learn's word for which numbers a table may have.

        Parameters
        ----------
        X : object
            What was given as a table.

        Returns
        -------
        bool or str
            As check_array's ``ensure_all_finite``.
        """
        # What is sparse has no place for an indicator.
        is_sparse = sparse.issparse(X) or _is_sparse_frame(X)
        return "allow-nan" if self.impute_missing and not is_sparse else True

    def numbers(self, X: Any, estimator: Any) -> Any:
        """Return the columns of numbers of a table that `has_columns`.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_rows, n_features)
            Rows.
        estimator : estimator
            Whom errors speak of.

        Returns
        -------
        ndarray or CSR matrix of shape (n_rows, n_numbers)
            NaN where one is missing; sparse if all columns are.

        Raises
        ------
        ValueError
            If a column cannot be read as numbers, which is named, or a number is not
            finite.
        """
        some = as_frame(X)
        if not self.is_plain:
            some = some.loc[:, ~self.is_categorical_]
        is_sparse = self.is_plain and _is_sparse_frame(some)
        return check_array(
            some if is_sparse else read_numbers(some),
            accept_sparse="csr",
            dtype=FLOATS,
            ensure_all_finite=self.finite(X),
            ensure_min_features=1 if self.is_plain else 0,
            estimator=estimator,
            input_name="X",
        )

    def learn(self, X: Any, numbers: Any, weight: np.ndarray | None) -> None:
        """Learn categories, moments and bins from the training rows.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_rows, n_features)
            The table as it was given.
        numbers : ndarray or CSR matrix of shape (n_rows, n_numbers)
            Its columns of numbers, checked.
        weight : ndarray of shape (n_rows,) or None
            Weights of the rows; those of weight zero do not count.
        """
        if not self.is_plain:
            columns = self._categorical(as_frame(X))
            self.categories_ = [find_categories(c, weight) for c in columns]
        moments = column_moments(numbers, weight)
        self.mean_, self.scale_ = moments.mean, moments.scale
        self.is_missing_ = moments.is_missing
        self.is_sparse_ = bool(sparse.issparse(numbers))
        self.bins_: dict[str, np.ndarray] = {}
        n_rows = numbers.shape[0] if weight is None else int(np.count_nonzero(weight))
        self.dtype_ = self._resolve_dtype(numbers.dtype, n_rows)
        if self.n_bins is not None and not self.is_sparse_:
            n_bins = bin_count(self.n_bins, n_rows, numbers.shape[1])
            bins = find_bins(numbers, n_bins, weight)
            self.bins_ = vars(bins) if len(bins.low) else {}
        n_more = len(self.bins_.get("low", ())) + int(self.is_missing_.sum())
        self.n_columns_ = numbers.shape[1] + n_more + self._n_categories
        if self.n_columns_ == 0:
            raise ValueError(
                "X has nothing for the networks to see: all its columns are categories "
                "('categorical_features'), and no row that counts has any."
            )

    def _resolve_dtype(self, given: np.dtype, n_rows: int) -> np.dtype:
        """Return the type of what the networks see, and so of their training."""
        if self.dtype != "auto":
            return np.dtype(self.dtype)
        # Numbers on one scale lose nothing that training would find.
        is_single = self.scale_inputs and n_rows >= MANY_ROWS
        return np.dtype(np.float32) if is_single else given

    @property
    def _n_categories(self) -> int:
        return sum(map(len, self.categories_))

    def encode(self, X: Any, numbers: Any) -> Any:
        """Return what the networks see.

        Parameters
        ----------
        X : array-like, sparse matrix or DataFrame of shape (n_rows, n_features)
            The table as it was given; read only where it has categories.
        numbers : ndarray or CSR matrix of shape (n_rows, n_numbers)
            Its columns of numbers, checked.

        Returns
        -------
        ndarray, CSR matrix or EncodedRows of shape (n_rows, n_columns)
            Of type ``dtype_``; sparse where the training table was. ``numbers``
            itself where there is nothing to do.
        """
        is_same = not self.scale_inputs and self.n_columns_ == numbers.shape[1]
        is_same = is_same and numbers.dtype == self.dtype_
        if is_same and not self._is_any_missing(numbers):
            return numbers
        if self.is_sparse_ and sparse.issparse(numbers):
            return self._divided(numbers)
        places = None
        if not self.is_plain:
            places = find_places(self._categorical(as_frame(X)), self.categories_)
        rows = EncodedRows(self, numbers, places)
        return rows if rows.size > _WORTH_A_COPY else np.asarray(rows)

    def _divided(self, X: Any) -> Any:
        """Return a sparse matrix divided by the scales alone, so that zeros stay."""
        divided = X.copy()
        if self.scale_inputs:
            divided.data *= self.factor(X.dtype)[X.indices]
        divided.data = self._in_dtype(divided.data)
        return divided

    def factor(self, dtype: np.dtype) -> np.ndarray:
        """Return what numbers are multiplied by to have scale one.

        Parameters
        ----------
        dtype : numpy dtype
            Of the numbers.

        Returns
        -------
        ndarray of shape (n_numbers,)
            One where a scale is too small for that type.
        """
        with np.errstate(all="ignore"):
            factor = (1.0 / self.scale_).astype(dtype)
        factor[np.isinf(factor)] = 1.0
        return factor

    def encode_block(
        self, numbers: np.ndarray, places: np.ndarray | None
    ) -> np.ndarray:
        """Encode some rows.

        Parameters
        ----------
        numbers : ndarray of shape (n_rows, n_numbers)
            Numbers.
        places : ndarray of int of shape (n_rows, n_columns) or None
            Which category each other column has.

        Returns
        -------
        ndarray of shape (n_rows, n_columns)
            What the networks see, of type ``dtype_``; ``numbers`` itself where there
            is nothing to do.
        """
        # A table may hold anything, and the caller may have told numpy to raise.
        with np.errstate(all="ignore"):
            mean = self.mean_.astype(numbers.dtype)
            missing = self._missing(numbers)
            if missing is not None:
                numbers = np.where(missing, mean, numbers)
            parts = self._parts(numbers, missing, places)
            if self.scale_inputs:
                numbers = numbers.copy() if self.is_sparse_ else numbers - mean
                numbers *= self.factor(numbers.dtype)
            rows = np.hstack([numbers, *parts]) if parts else numbers
            return self._in_dtype(rows)

    def _in_dtype(self, rows: np.ndarray) -> np.ndarray:
        """Return rows in the type of training, and what it has no number for nearby."""
        if rows.dtype == self.dtype_:
            return rows
        if rows.dtype.itemsize > self.dtype_.itemsize:
            largest = np.finfo(self.dtype_).max
            rows = np.clip(rows, -largest, largest)
        return rows.astype(self.dtype_)

    def _parts(
        self, numbers: np.ndarray, missing: np.ndarray | None, places: np.ndarray | None
    ) -> list[np.ndarray]:
        """Return what stands beside the numbers: bins, indicators, categories."""
        parts = []
        if self.bins_:
            parts.append(Bins(**self.bins_).encode(numbers))
        if self.is_missing_.any():
            absent = np.zeros(numbers.shape, dtype=bool) if missing is None else missing
            parts.append(absent[:, self.is_missing_].astype(numbers.dtype))
        if places is not None:
            parts.append(indicators(places, self._n_categories, numbers.dtype))
        return parts

    def _missing(self, numbers: np.ndarray) -> np.ndarray | None:
        """Return where numbers are missing, or None."""
        # A sum is quicker than a look at each; it may be NaN for other reasons.
        if not self.impute_missing or not np.isnan(numbers.sum()):
            return None
        missing = np.isnan(numbers)
        return missing if missing.any() else None

    def _is_any_missing(self, numbers: Any) -> bool:
        if not self.impute_missing or sparse.issparse(numbers):
            return False
        with np.errstate(all="ignore"):
            parts = blocks(len(numbers), _rows_at_once(numbers.shape[1]))
            return any(self._missing(numbers[part]) is not None for part in parts)

    def _categorical(self, frame: pd.DataFrame) -> list[pd.Series]:
        return [frame.iloc[:, i] for i in np.flatnonzero(self.is_categorical_)]


def _is_sparse_frame(X: Any) -> bool:
    # pandas takes a frame without columns for one.
    return isinstance(X, pd.DataFrame) and X.shape[1] > 0 and hasattr(X, "sparse")


def _rows_at_once(n_columns: int) -> int:
    return max(1, _AT_ONCE // max(1, n_columns))


class EncodedRows:
    """A view of a table as the networks see it, encoded as its rows are read.

    Parameters
    ----------
    inputs : Inputs
        How a row is encoded.
    numbers : ndarray or CSR matrix of shape (n_rows, n_numbers)
        Numbers.
    places : ndarray of int of shape (n_rows, n_columns) or None
        Which category each other column has.
    """

    def __init__(self, inputs: Inputs, numbers: Any, places: np.ndarray | None) -> None:
        self._inputs, self._numbers, self._places = inputs, numbers, places
        self.shape = numbers.shape[0], inputs.n_columns_
        self.dtype, self.ndim = inputs.dtype_, 2
        self.size = self.shape[0] * self.shape[1]

    @property
    def nbytes(self) -> int:
        """Memory of what is encoded, without small change."""
        given = self._numbers.data if sparse.issparse(self._numbers) else self._numbers
        held = 0 if self._places is None else self._places.nbytes
        return int(given.nbytes) + held

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> np.ndarray:
        """Return some of the rows, by a slice or by their numbers."""
        numbers = self._numbers[index]
        if sparse.issparse(numbers):
            numbers = numbers.toarray()
        places = None if self._places is None else self._places[index]
        return self._inputs.encode_block(numbers, places)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        size = _rows_at_once(self.shape[1])
        if len(self) <= size:
            return self[:].astype(dtype or self.dtype, copy=False)
        whole = np.empty(self.shape, dtype=dtype or self.dtype)
        for part in blocks(len(self), size):
            whole[part] = self[part]
        return whole


def make_inputs(estimator: Any) -> Inputs:
    """Return what turns tables into an estimator's inputs, before any was seen.

    Parameters
    ----------
    estimator : estimator
        Whose parameters are read.

    Returns
    -------
    Inputs
        It has learned nothing yet.
    """
    return Inputs(
        categorical_features=estimator.categorical_features,
        impute_missing=estimator.impute_missing,
        scale_inputs=estimator.scale_inputs,
        n_bins=estimator.n_bins,
        dtype=estimator.dtype,
    )
