"""Which columns are categories, and how they are encoded."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.preprocessing import OneHotEncoder

from sknnopt._columns import (
    MOST_CATEGORIES,
    as_frame,
    categorical_mask,
    find_categories,
    find_places,
    indicators,
)


@pytest.fixture
def frame():
    """Return a frame with a column of each kind."""
    return pd.DataFrame(
        {
            "number": [1.0, 2.0, np.nan],
            "whole": pd.array([1, None, 3], dtype="Int64"),
            "flag": [True, False, True],
            "word": ["a", "b", None],
            "string": pd.array(["x", "y", "x"], dtype="string"),
            "category": pd.Categorical([3, 1, 3]),
            "object": np.array([1, 2.5, None], dtype=object),
        }
    )


def test_from_dtype(frame):
    """Words and categories are categories; numbers and flags are numbers."""
    mask = categorical_mask(frame, "from_dtype")
    assert frame.columns[mask].tolist() == ["word", "string", "category"]


@pytest.mark.parametrize(
    "given",
    [["flag", "word"], [2, 3], [-5, -4], [False, False, True, True] + [False] * 3],
)
def test_named(frame, given):
    """Names, indices and a mask say the same."""
    mask = categorical_mask(frame, given)
    assert frame.columns[mask].tolist() == ["flag", "word"]


@pytest.mark.parametrize("given", ["from_dtype", None])
def test_array_has_no_categories(given):
    """A plain array is numbers alone unless columns are named."""
    assert categorical_mask(np.zeros((3, 2)), given) is None
    assert categorical_mask([[1, 2], [3, 4]], given) is None


def test_no_column_is_none(frame):
    """Without a category there is no mask."""
    assert categorical_mask(frame[["number"]], "from_dtype") is None
    assert categorical_mask(frame, None) is None


@pytest.mark.parametrize("given", [["nothing"], [7], [1.5]])
def test_unknown_column_is_refused(frame, given):
    """A column that is not there is named, with those that are."""
    with pytest.raises(ValueError, match=r"categorical_features.*number"):
        categorical_mask(frame, given)


def test_mask_of_another_length_is_refused(frame):
    """A mask must have an entry for each feature."""
    with pytest.raises(ValueError, match="each of the 7 features"):
        categorical_mask(frame, [True, False])


def test_sparse_table_is_refused():
    """A sparse matrix has no categories."""
    with pytest.raises(ValueError, match="sparse"):
        as_frame(sparse.csr_matrix((2, 2)))


def test_structured_array_is_refused():
    """The fields of a structured array are no columns."""
    with pytest.raises(ValueError, match=r"structured array.*'age'"):
        as_frame(np.zeros((4, 3), dtype=[("age", "f8"), ("size", "i4")]))


@pytest.mark.parametrize(
    "values", [["b", "a", "b"], [3, 1, 10, 2], [True, False], ["b", None, "a"]]
)
def test_indicators_are_the_encoder_s(values):
    """Categories and columns are those of scikit-learn's OneHotEncoder."""
    column = pd.Series(values, dtype=object)
    known = find_categories(column)
    encoder = OneHotEncoder(sparse_output=False).fit(column.to_frame())
    there = [c for c in encoder.categories_[0] if c is not None]
    assert known.tolist() == there
    encoded = encoder.transform(column.to_frame())[:, : len(there)]
    places = find_places([column], [known])
    dtype = np.dtype(np.float32)
    np.testing.assert_array_equal(indicators(places, len(known), dtype), encoded)


def test_unknown_and_missing_have_no_indicator():
    """What was not there in the fit, or is missing now, is all zeros."""
    known = [find_categories(pd.Series(["a", "b"]))]
    places = find_places([pd.Series(["c", None, "b"])], known)
    rows = indicators(places, 2, np.dtype(float))
    assert rows.tolist() == [[0, 0], [0, 0], [0, 1]]


def test_order_of_rows_is_of_no_consequence():
    """Categories come in an order of their own, of whatever types."""
    values = ["b", 2, "a", 10, 2.5, ("t", 1), "b"]
    column = pd.Series(values, dtype=object)
    known = find_categories(column)
    assert known[:3].tolist() == [2, 2.5, 10]
    assert find_categories(column[::-1]).tolist() == known.tolist()


def test_rare_categories_are_left_out():
    """Of many categories the most frequent are kept."""
    values = [*range(400), *range(300, 400)]
    known = find_categories(pd.Series(values))
    assert len(known) == MOST_CATEGORIES
    assert set(range(300, 400)) <= set(known.tolist())
