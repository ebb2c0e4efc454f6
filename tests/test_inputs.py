"""What the networks see of a table, against scikit-learn's own transformers."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from sknnopt import _columns, _inputs
from sknnopt._inputs import EncodedRows, Inputs

NUMBERS = ["real", "gaps", "whole"]
WORDS = ["word", "level"]
#: Quantiles that are values of the column.
METHOD = "inverted_cdf"
SETTINGS = [
    {},
    {"scale_inputs": False},
    {"n_bins": 4},
    {"scale_inputs": False, "n_bins": 3},
]


@pytest.fixture(name="X")
def table_of_numbers(rng):
    """Return numbers of different location and scale."""
    return rng.normal([0.0, 40.0, -3.0], [1.0, 0.1, 1e3], size=(101, 3))


@pytest.fixture
def frame(rng):
    """Return numbers and categories, some of both missing."""
    n_rows = 101
    frame = pd.DataFrame(
        {
            "real": rng.normal(size=n_rows),
            "word": rng.choice(["a", "b", "c"], size=n_rows),
            "gaps": rng.exponential(size=n_rows),
            "level": pd.Categorical(rng.integers(0, 3, size=n_rows)),
            "whole": rng.integers(0, 9, size=n_rows),
        }
    )
    frame.loc[::7, "gaps"] = np.nan
    frame.loc[::9, "word"] = None
    frame.loc[3::11, "level"] = np.nan
    return frame


def numbers_of(inputs, X):
    """Return a table's columns of numbers as an estimator hands them on."""
    return inputs.numbers(X, None) if inputs.has_columns(X) else X


def learned(X, weight=None, **settings):
    """Return Inputs that know a table."""
    inputs = Inputs(**settings).find_columns(X)
    inputs.learn(X, numbers_of(inputs, X), weight)
    return inputs


def encoded(inputs, X):
    """Return a table as the networks see it."""
    return inputs.encode(X, numbers_of(inputs, X))


def encoder_for(frame, words):
    """Return scikit-learn's encoder of the categories that are there."""
    known = [sorted(frame[name].dropna().unique()) for name in words]
    return OneHotEncoder(categories=known, handle_unknown="ignore")


def in_bins(frame, n_bins):
    """Return a transformer: how far each number reaches into each bin."""
    edges = [
        np.quantile(frame[name].dropna(), np.linspace(0, 1, n_bins + 1), method=METHOD)
        for name in NUMBERS
    ]

    def reach(X):
        columns = zip(np.asarray(X).T, map(np.unique, edges), strict=True)
        parts = [
            np.interp(column, pair, [-0.5, 0.5])
            for column, distinct in columns
            for pair in pairwise(distinct)
        ]
        return np.column_stack(parts)

    return FunctionTransformer(reach)


def transformer(frame, *, scale_inputs=True, n_bins=None):
    """Return what does the same with scikit-learn's means."""
    mean = SimpleImputer(strategy="mean")
    zero = SimpleImputer(strategy="constant", fill_value=0.0)
    numbers = make_pipeline(StandardScaler(), zero) if scale_inputs else mean
    bins = "drop" if n_bins is None else make_pipeline(mean, in_bins(frame, n_bins))
    return ColumnTransformer(
        [
            ("numbers", numbers, NUMBERS),
            ("bins", bins, NUMBERS),
            ("indicators", MissingIndicator(error_on_new=False), NUMBERS),
            ("categories", encoder_for(frame, WORDS), WORDS),
        ],
        sparse_threshold=0,
    ).fit(frame)


# ----------------------------------------------------------------------- numbers


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_are_the_scaler_s(X, dtype):
    """Numbers come on the scale of StandardScaler, in their own type."""
    X = X.astype(dtype)
    rows = encoded(learned(X, dtype=np.dtype(dtype).name), X)
    assert rows.dtype == dtype
    expected = StandardScaler().fit_transform(X.astype(np.float64))
    # float32 near 40 holds seven digits, of which the scale of 0.1 leaves five.
    atol = 1e-4 if dtype == np.float32 else 1e-11
    np.testing.assert_allclose(rows, expected, atol=atol)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("make", [sparse.csr_matrix, sparse.csr_array])
def test_sparse_numbers_are_divided(X, dtype, make):
    """A sparse table stays sparse, on the scale of StandardScaler(with_mean=False)."""
    X = make(np.where(X > 0, X, 0.0).astype(dtype))
    rows = encoded(learned(X, dtype=np.dtype(dtype).name), X)
    assert sparse.issparse(rows)
    assert rows.dtype == dtype
    expected = StandardScaler(with_mean=False).fit_transform(X)
    rtol = 1e-5 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(rows.toarray(), expected.toarray(), rtol=rtol)


def test_weights_reach_the_scale(X):
    """With weights, location and scale are those of the weighted StandardScaler."""
    weight = np.random.default_rng(1).uniform(size=len(X))
    scaler = StandardScaler().fit(X, sample_weight=weight)
    rows = encoded(learned(X, weight), X)
    np.testing.assert_allclose(rows, scaler.transform(X), atol=1e-9)


@pytest.mark.parametrize("is_first_sparse", [True, False])
@pytest.mark.parametrize(
    "settings", [*SETTINGS, {"n_bins": 4, "impute_missing": False}]
)
def test_sparse_and_dense_tables_are_one(X, is_first_sparse, settings):
    """Whichever was learned from, a sparse and a dense table of the same rows agree."""
    dense = np.where(X > 0, X, 0.0)
    thin = sparse.csr_matrix(dense)
    inputs = learned(thin if is_first_sparse else dense, **settings)
    one, other = (encoded(inputs, table) for table in (dense, thin))
    other = other.toarray() if sparse.issparse(other) else other
    assert one.shape == (len(X), inputs.n_columns_)
    np.testing.assert_allclose(other, one, rtol=1e-14)


@pytest.mark.parametrize("value", [0.1, -7.3, 1e8 / 3])
def test_constant_of_many_rows_is_zero(value):
    """A column without spread has none by rounding: scale one, and zeros."""
    X = np.full((20_000, 3), value)
    inputs = learned(X)
    assert inputs.scale_.tolist() == [1.0] * 3
    np.testing.assert_allclose(encoded(inputs, X), 0.0, atol=1e-15 * abs(value))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", ["tiny", "smallest_subnormal", "max"])
def test_extreme_numbers_stay_finite(X, dtype, size):
    """Numbers at the ends of their type are encoded finitely, and numpy is silent."""
    end = float(getattr(np.finfo(dtype), size))
    X = (X / np.abs(X).max() * end if size == "max" else X * end).astype(dtype)
    X[:, 0] = np.resize([-end, 0.25 * end, 0.75 * end], len(X))
    with np.errstate(all="raise"):
        rows = encoded(learned(X, n_bins=4), X)
    assert np.isfinite(rows).all()


@pytest.mark.parametrize(
    ("n_rows", "settings", "expected"),
    [
        (100, {}, np.float32),
        (99, {}, np.float64),
        (100, {"scale_inputs": False}, np.float64),
        (99, {"dtype": "float32"}, np.float32),
        (100, {"dtype": "float64"}, np.float64),
    ],
)
@pytest.mark.parametrize("make", [np.asarray, sparse.csr_matrix])
def test_type_of_the_networks(n_rows, settings, expected, make):
    """From 100 rows that count, standardized inputs are single; a word decides else."""
    X = np.random.default_rng(0).normal(size=(120, 3))
    weight = np.arange(120) < n_rows
    rows = encoded(learned(make(X), weight.astype(float), **settings), make(X))
    assert rows.dtype == expected


def test_offset_is_taken_off_in_double_precision():
    """Single precision sees what is left of a number after its large mean."""
    X = 1e9 + np.random.default_rng(0).normal(size=(120, 1))
    rows = encoded(learned(X), X)
    expected = StandardScaler().fit_transform(X)
    np.testing.assert_array_equal(rows, expected.astype(np.float32))


# ----------------------------------------------------------------------- missing


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_missing_numbers_are_the_imputer_s(X, dtype):
    """NaN becomes the mean, and where a column had any is said beside the numbers."""
    X = X.astype(dtype)
    X[::4, 1] = np.nan
    X[3, 2] = np.nan
    inputs = learned(X, scale_inputs=False)
    imputer = SimpleImputer(strategy="mean", add_indicator=True)
    expected = imputer.fit_transform(X.astype(np.float64))
    rows = encoded(inputs, X)
    assert rows.dtype == dtype
    np.testing.assert_allclose(
        rows, expected, rtol=1e-6 if dtype == np.float32 else 1e-12
    )


def test_columns_without_any_number(X):
    """What is missing in every row is zero, with an indicator of ones alone."""
    X[:, 1] = np.nan
    rows = encoded(learned(X, n_bins=4), X)
    n_bins = rows.shape[1] - 4
    assert n_bins == 8
    np.testing.assert_array_equal(rows[:, 1], 0.0)
    np.testing.assert_array_equal(rows[:, -1], 1.0)


def test_missing_where_none_was(X):
    """NaN in a column that was complete is its mean, without an input of its own."""
    inputs = learned(X, n_bins=4)
    at_mean = X[:5].copy()
    at_mean[:, 1] = X[:, 1].mean()
    X[:5, 1] = np.nan
    rows = encoded(inputs, X[:5])
    assert rows.shape[1] == inputs.n_columns_
    np.testing.assert_allclose(rows, encoded(inputs, at_mean), atol=1e-10)
    np.testing.assert_array_equal(rows[:, 1], 0.0)


def test_nothing_missing_where_some_was(X):
    """Without NaN the indicators of the training rows are zeros."""
    gaps = X.copy()
    gaps[::4, 1] = np.nan
    rows = encoded(learned(gaps), X)
    assert rows.shape[1] == 4
    np.testing.assert_array_equal(rows[:, 3], 0.0)


@pytest.mark.parametrize("impute_missing", [True, False])
def test_which_numbers_are_accepted(X, impute_missing):
    """NaN is accepted where it can be imputed: never in what is sparse."""
    inputs = learned(X, impute_missing=impute_missing)
    thin = sparse.csr_matrix(X)
    for table in (X, pd.DataFrame(X)):
        assert inputs.finite(table) == ("allow-nan" if impute_missing else True)
    for table in (thin, pd.DataFrame.sparse.from_spmatrix(thin)):
        assert inputs.finite(table) is True


# -------------------------------------------------------------------- data frames


@pytest.mark.parametrize("settings", SETTINGS)
def test_frame_is_the_column_transformer_s(frame, settings):
    """A frame is numbers, bins, indicators and categories, as of scikit-learn."""
    expected = transformer(frame, **settings).transform(frame)
    rows = encoded(learned(frame, **settings), frame)
    np.testing.assert_allclose(rows, expected, atol=1e-12)


@pytest.mark.parametrize("settings", SETTINGS)
def test_other_rows_are_the_column_transformer_s(frame, settings):
    """Rows that come later, with other values, are seen as they taught."""
    first, later = frame[:60], frame[60:].copy()
    later["word"] = later["word"].replace("a", "unknown")
    later.loc[60:63, "real"] = np.nan
    expected = transformer(first, **settings).transform(later)
    rows = encoded(learned(first, **settings), later)
    np.testing.assert_allclose(rows, expected, atol=1e-12)


def test_frame_of_categories_alone(frame):
    """A frame without a number is the categories of OneHotEncoder."""
    words = frame[WORDS]
    expected = encoder_for(frame, WORDS).fit_transform(words).toarray()
    np.testing.assert_array_equal(encoded(learned(words, n_bins=4), words), expected)


def test_list_with_named_categories():
    """In a list of rows numbers stay numbers beside a column of words."""
    rows = [[1.0, "a", True], [3.0, "b", False]]
    inputs = learned(rows, categorical_features=[1])
    assert encoded(inputs, rows).tolist() == [[-1.0, 1, 1, 0], [1.0, -1, 0, 1]]


def test_categories_without_rows_have_no_input(frame):
    """A category that no row has, and a column that has none, are no inputs."""
    frame["level"] = frame["level"].cat.add_categories([7, 8])
    frame["empty"] = pd.array([None] * len(frame), dtype="string")
    inputs = learned(frame)
    assert [len(known) for known in inputs.categories_] == [3, 3, 0]
    later = frame.assign(empty="now", level=8)
    np.testing.assert_array_equal(encoded(inputs, later)[:, -3:], 0.0)


def test_nothing_to_see_is_refused():
    """A frame without columns, or of one that has no category, is refused as such."""
    with pytest.raises(ValueError, match=r"0 feature\(s\)"):
        learned(pd.DataFrame(index=range(3)))
    words = pd.DataFrame({"word": pd.array([None, None], dtype="string")})
    with pytest.raises(ValueError, match="nothing for the networks to see"):
        learned(words)


def test_large_whole_numbers_have_an_order():
    """Categories that no float tells apart come in the same order all the same."""
    ids = [2**53 + 1, 2**53, 2**53 + 2]
    one, other = (
        learned(pd.DataFrame({"id": given}), categorical_features=["id"])
        for given in (ids, ids[::-1])
    )
    assert one.categories_[0].tolist() == other.categories_[0].tolist() == sorted(ids)


def test_one_key_is_one_category():
    """Values that are equal are one category, whatever their types."""
    mixed = pd.DataFrame({"mixed": pd.Series([True, 1, 1.0, "1"], dtype=object)})
    rows = encoded(learned(mixed), mixed)
    assert rows.tolist() == [[1, 0], [1, 0], [1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (np.array([1, 2], dtype=np.float32), np.float32),
        (pd.array([1.5, None], dtype="Float32"), np.float32),
        (np.array([True, False]), np.float32),
        (pd.array([1, None], dtype="Int64"), np.float64),
        (pd.array([True, None], dtype="boolean"), np.float64),
        (np.array([1, pd.NA], dtype=object), np.float64),
        (np.array([None, None], dtype=object), np.float64),
        (pd.arrays.SparseArray([0.0, 1.0]), np.float64),
    ],
)
def test_kinds_of_numbers(column, kind):
    """Whatever is a number is read as one, and floats of 32 bits stay such."""
    single = np.array([0.5, 2.0], dtype=np.float32)
    frame = pd.DataFrame({"other": single, "column": column, "word": ["a", "b"]})
    numbers = numbers_of(Inputs().find_columns(frame), frame)
    assert numbers.dtype == kind
    values = pd.Series(column).astype(object)
    expected = values.where(values.notna(), np.nan).to_numpy(dtype=float)
    np.testing.assert_array_equal(numbers[:, 1], expected)


@pytest.mark.parametrize(
    "column",
    [
        pd.date_range("2020", periods=3),
        pd.date_range("2020", periods=3, tz="UTC"),
        pd.timedelta_range("1D", periods=3),
        pd.period_range("2020", periods=3, freq="D"),
        pd.date_range("2020", periods=3).date,
        np.array([1j, 2.0, 0.0]),
        pd.arrays.IntervalArray.from_breaks(range(4)),
    ],
)
@pytest.mark.parametrize("others", [[], ["number"], ["number", "word"]])
def test_columns_of_another_kind_are_refused(column, others):
    """Dates and the like are refused by name, with what to do; not if named."""
    frame = pd.DataFrame({"number": [0.5, 1.5, 2.5], "word": list("aba")})[others]
    frame["strange"] = column
    with pytest.raises(ValueError, match=r"'strange' of X.*year.*categorical_features"):
        learned(frame)
    inputs = learned(frame, categorical_features=["strange", *others[1:]])
    assert len(inputs.categories_[-1]) == 3


def test_words_among_numbers_are_refused_by_name(frame):
    """A column of words that is to be numbers is named, when it is learned or later."""
    inputs = learned(frame)
    told = rf"'word' of X \(dtype {frame['word'].dtype}\).*'[abc]'"
    with pytest.raises(ValueError, match=told):
        learned(frame, categorical_features=["level"])
    with pytest.raises(ValueError, match=r"'real' of X.*'much'"):
        encoded(inputs, frame.assign(real="much"))


def test_values_that_cannot_be_categories_are_refused():
    """Lists in a column are refused by its name."""
    frame = pd.DataFrame({"lists": [[1], [2]]})
    inputs = learned(pd.DataFrame({"lists": ["one", "two"]}))
    for read in (learned, lambda X: encoded(inputs, X)):
        with pytest.raises(TypeError, match=r"'lists' of X.*unhashable"):
            read(frame)


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinity_is_refused(frame, value):
    """A number that is not finite and not missing is refused."""
    with pytest.raises(ValueError, match="X contains infinity"):
        learned(frame.assign(real=value))


# ------------------------------------------------------------------------ weights


@pytest.mark.parametrize("settings", SETTINGS)
def test_weights_are_repeats(frame, settings, monkeypatch):
    """A row of weight two teaches what two rows do, the choice of categories too."""
    monkeypatch.setattr(_columns, "MOST_CATEGORIES", 2)
    weight = np.random.default_rng(2).integers(1, 5, size=len(frame))
    # Without weights "c" is the rarest word; with them it is the most frequent.
    frame["word"] = ["a", "a", "b", "b", "c"] * 20 + ["a"]
    weight[frame["word"] == "c"] *= 8
    weighted = learned(frame, weight.astype(float), **settings)
    repeated = learned(frame.iloc[np.repeat(np.arange(len(frame)), weight)], **settings)
    assert "c" in weighted.categories_[0]
    for one, other in zip(weighted.categories_, repeated.categories_, strict=True):
        assert one.tolist() == other.tolist()
    rows = encoded(weighted, frame)
    np.testing.assert_allclose(rows, encoded(repeated, frame), atol=1e-12)


@pytest.mark.parametrize("settings", SETTINGS)
def test_rows_of_weight_zero_are_invisible(frame, settings):
    """They teach no number, no missing value and no category, but are encoded."""
    odd = pd.DataFrame(
        {"real": 1e9, "word": "odd", "gaps": 1e9, "level": [1], "whole": np.nan}
    ).astype({"level": frame["level"].dtype})
    both = pd.concat([frame, odd], ignore_index=True)
    weight = np.append(np.ones(len(frame)), 0.0)
    weighted, without = learned(both, weight, **settings), learned(frame, **settings)
    assert weighted.is_missing_.tolist() == [False, True, False]
    assert weighted.n_columns_ == without.n_columns_
    rows = encoded(weighted, both)
    np.testing.assert_allclose(rows[:-1], encoded(without, frame), atol=1e-12)
    assert np.isfinite(rows[-1]).all()


# -------------------------------------------------------------------- long tables


@pytest.fixture
def long_frame(frame, monkeypatch):
    """Return the frame in a world where it is long."""
    monkeypatch.setattr(_inputs, "_WORTH_A_COPY", 0)
    monkeypatch.setattr(_inputs, "_AT_ONCE", 200)
    return frame


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize(
    "index",
    [
        slice(None),
        slice(5, 40, 3),
        slice(100, 200),
        np.array([7, 3, 3, 100], dtype=np.int32),
        np.arange(0),
        np.arange(101) % 5 == 0,
    ],
)
def test_rows_are_those_of_the_whole(frame, settings, index, request):
    """A long table is encoded where it is read, and no otherwise than a short one."""
    whole = encoded(learned(frame, **settings), frame)
    assert isinstance(whole, np.ndarray)
    rows = encoded(learned(request.getfixturevalue("long_frame"), **settings), frame)
    assert isinstance(rows, EncodedRows)
    assert rows.shape == whole.shape
    assert (len(rows), rows.size, rows.ndim) == (len(whole), whole.size, whole.ndim)
    assert rows.dtype == whole.dtype
    np.testing.assert_array_equal(rows[index], whole[index])


@pytest.mark.parametrize("dtype", [None, np.float64])
def test_long_table_becomes_an_array(long_frame, dtype, monkeypatch):
    """numpy gets all rows, block by block, in the type that it asks for."""
    rows = encoded(learned(long_frame, n_bins=4), long_frame)
    sizes = []
    encode_block = Inputs.encode_block
    monkeypatch.setattr(
        Inputs,
        "encode_block",
        lambda *given: sizes.append(len(given[1])) or encode_block(*given),
    )
    array = np.asarray(rows, dtype=dtype)
    assert array.dtype == (dtype or np.float32)
    assert max(sizes) * rows.shape[1] <= 200
    np.testing.assert_array_equal(array, rows[:].astype(array.dtype))


def test_memory_of_a_long_table(long_frame):
    """A long table says what it holds: numbers, and which category a row has."""
    rows = encoded(learned(long_frame, n_bins=4), long_frame)
    assert rows.nbytes == len(long_frame) * (len(NUMBERS) * 8 + len(WORDS) * 4)
    dense = np.eye(9)
    rows = encoded(learned(dense), sparse.csr_matrix(dense))
    assert rows.nbytes == 9 * 8


@pytest.mark.parametrize("is_long", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nothing_to_do_is_the_table_itself(X, is_long, dtype, monkeypatch):
    """Numbers that need nothing are handed on, not copied or looked at row by row."""
    monkeypatch.setattr(_inputs, "_WORTH_A_COPY", 0 if is_long else 1 << 24)
    X = X.astype(dtype)
    for table in (X, sparse.csr_matrix(X)):
        inputs = learned(table, scale_inputs=False)
        assert inputs.encode(table, table) is table
    gap = X.copy()
    gap[50, 1] = np.nan
    assert np.isfinite(np.asarray(inputs.encode(gap, gap))).all()


def test_memory_map_is_not_read_into_memory(X, tmp_path, monkeypatch):
    """A long memory map is encoded where it is read, and the file stays as it is."""
    monkeypatch.setattr(_inputs, "_WORTH_A_COPY", 0)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    rows = encoded(learned(mapped), mapped)
    assert rows._numbers is mapped
    np.testing.assert_array_equal(rows[:], encoded(learned(X), X)[:])
    np.testing.assert_array_equal(np.load(tmp_path / "X.npy"), X)


# --------------------------------------------------------------- the given table


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("kind", ["array", "frame", "categories", "sparse"])
def test_table_is_never_written_to(X, frame, settings, kind):
    """Whatever is computed, the table that was given stays as it is."""
    X[::5, 2] = np.nan
    given = {
        "array": X,
        "frame": pd.DataFrame(X),
        "categories": frame,
        "sparse": sparse.csr_matrix(np.nan_to_num(X)),
    }[kind]
    before = given.copy()
    rows = encoded(learned(given, np.ones(len(X)), **settings), given)
    if isinstance(given, pd.DataFrame):
        pd.testing.assert_frame_equal(given, before)
    elif sparse.issparse(given):
        assert (given != before).nnz == 0
    else:
        np.testing.assert_array_equal(given, before)
    assert np.isfinite(rows.data if sparse.issparse(rows) else rows).all()


def test_table_that_cannot_be_written_to(X):
    """A read-only table is encoded like any other."""
    expected = encoded(learned(X, n_bins=4), X)
    X.flags.writeable = False
    np.testing.assert_array_equal(encoded(learned(X, n_bins=4), X), expected)
