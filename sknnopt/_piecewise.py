"""Piecewise-linear encoding: a number as how far it reaches into each bin.

A network bends a function of one number only where its units bend. Inputs that each
cover one stretch of the number's range let even the first layer treat stretches apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sknnopt._blocks import blocks

#: Rows that edges are learned from; of more, every so many.
_MOST_ROWS = 1 << 18
#: Automatic numbers of bins, and the rows that each of them takes.
_FEWEST_BINS, _MOST_BINS, _ROWS_PER_BIN = 4, 16, 150
#: Automatic bins of all columns: more would outgrow the numbers in time and memory.
_MOST_IN_ALL = 2048
#: Numbers that are looked at at once.
_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class Bins:
    """The bins of all columns, side by side.

    Parameters
    ----------
    column : ndarray of int of shape (n_bins,)
        Which column a bin is of.
    low : ndarray of shape (n_bins,)
        Where it begins.
    width : ndarray of shape (n_bins,)
        How wide it is.
    """

    column: np.ndarray
    low: np.ndarray
    width: np.ndarray

    def encode(self, X: np.ndarray) -> np.ndarray:
        """Return how far each number reaches into each bin, from -1/2 to 1/2.

        Parameters
        ----------
        X : ndarray of shape (n_rows, n_columns)
            Numbers, none missing.

        Returns
        -------
        ndarray of shape (n_rows, n_bins)
            ``clip((x - low) / width, 0, 1) - 1/2``, in the type of ``X``.

        References
        ----------
        Gorishniy, Rubachev and Babenko 2022, On embeddings for numerical features in
        tabular deep learning, piecewise linear encoding; here it ends at the outer
        edges, too, and is centred.
        """
        reach = X[:, self.column] - self.low.astype(X.dtype)
        reach *= (1.0 / self.width).astype(X.dtype)
        np.clip(reach, 0.0, 1.0, out=reach)
        reach -= 0.5
        return reach


def bin_count(value: int | str, n_rows: int, n_columns: int) -> int:
    """Resolve ``n_bins``; ``"auto"`` grows with the table.

    Parameters
    ----------
    value : int or "auto"
        The parameter.
    n_rows : int
        Training rows that have a weight.
    n_columns : int
        Columns of numbers.

    Returns
    -------
    int
        One bin for 150 rows, between 4 and 16, but not more than 2,048 in all columns;
        less than 2 stand for none.
    """
    if not isinstance(value, str):
        return min(int(value), _MOST_ROWS)
    n_bins = int(np.clip(n_rows // _ROWS_PER_BIN, _FEWEST_BINS, _MOST_BINS))
    return min(n_bins, _MOST_IN_ALL // max(1, n_columns))


def find_bins(X: np.ndarray, n_bins: int, weight: np.ndarray | None) -> Bins:
    """Cut each column at its quantiles.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_columns)
        Numbers; NaN where one is missing.
    n_bins : int
        Bins of a column; fewer where quantiles coincide, and none where there is only
        one, which the number itself covers.
    weight : ndarray of shape (n_rows,) or None
        Weights of the rows; those of weight zero do not count.

    Returns
    -------
    Bins
        Of all columns, in their order.
    """
    step = max(1, -(-len(X) // _MOST_ROWS))
    some, share = X[::step], None if weight is None else weight[::step]
    column, low, width = [], [], []
    n_at_once = max(1, _AT_ONCE // max(1, len(some)))
    for part in blocks(X.shape[1], n_at_once):
        columns = some[:, part].astype(np.float64).T
        for number, values in enumerate(columns, part.start):
            edges = _quantiles(values, n_bins, share)
            widths = _widths(edges, X.dtype)
            column += [number] * len(widths)
            low += edges[: len(widths)].tolist()
            width += widths.tolist()
    return Bins(np.array(column, dtype=np.intp), np.array(low), np.array(width))


def _widths(edges: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return the widths of a column's bins, none where one is of no use."""
    if len(edges) <= 2:
        return np.empty(0)
    with np.errstate(all="ignore"):
        widths = np.diff(edges)
        # Neither may what is divided by overflow, nor the quotient.
        is_usable = np.isfinite(widths) & np.isfinite((1.0 / widths).astype(dtype))
    return widths if is_usable.all() else np.empty(0)


def _quantiles(
    values: np.ndarray, n_bins: int, weight: np.ndarray | None
) -> np.ndarray:
    """Return the distinct quantiles that cut a column into bins of like weight.

    They are values of the column, so that a row of weight two counts as two rows do.
    """
    counts = ~np.isnan(values)
    if weight is None:
        values = np.sort(values[counts])
        reached = np.arange(1.0, len(values) + 1)
    else:
        counts &= weight > 0
        order = np.argsort(values[counts])
        values = values[counts][order]
        reached = np.cumsum(weight[counts][order])
    if len(values) == 0:
        return values
    wanted = np.linspace(0.0, 1.0, n_bins + 1) * reached[-1]
    # What is reached but for rounding is reached.
    place = np.searchsorted(reached * (1 + 1e-12), wanted)
    return np.unique(values[np.minimum(place, len(values) - 1)])
