"""Strategies for whatever a user may hand over as a table, a target or weights.

Values are drawn from short lists and spread over the rows at random: that is quick, and
puts the odd value among many that are well.
"""

from __future__ import annotations

import datetime
import functools
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import torch
from hypothesis import strategies as st
from scipy import sparse

FLOATS = [0.0, -0.0, 1.0, -1.5, 0.25, 3.0, 1e-3, 1e4]
EXTREME = [1e308, -1e308, 1e39, -1e20, 5e-324, 1e-300, 65504.0]
NOT_FINITE = [np.nan, np.inf, -np.inf]
WORDS = ["a", "b", "", "ä€", "1.5", "nan", "None", "a longer text", "\x00"]
OBJECTS = [
    None,
    1,
    2.5,
    True,
    "a",
    pd.NA,
    pd.NaT,
    np.nan,
    Decimal("1.5"),
    Fraction(1, 3),
]
ODD_OBJECTS = [2**70, 10**400, b"a", (1, 2), [1], {"a": 1}, object(), 1j, np.float16(1)]
DAYS = [datetime.date(2020, 1, 1), datetime.datetime(2021, 5, 5, 12), pd.Timestamp(0)]
NUMBER_TYPES = "f2 f4 f8 f8 f8 >f8 longdouble i1 i2 i4 i8 i8 >i4 u1 u2 u4 u8 ?"


def words(text):
    """Draw one of some words, of which one that comes twice is drawn more often."""
    return st.sampled_from(text.split())


def values_of(dtype):
    """Return the values from which an array of this type is drawn."""
    if dtype.kind == "f":
        return st.one_of(
            st.just(FLOATS), st.just(FLOATS + EXTREME), st.just(FLOATS + NOT_FINITE)
        )
    if dtype.kind in "iu":
        ends = np.iinfo(dtype)
        return st.sampled_from([[0, 1, 2, 3], [ends.min, ends.max, 0, 1]])
    return st.just([True, False])


@st.composite
def number_arrays(draw, shape):
    """Draw an array of numbers or booleans of any type."""
    dtype = np.dtype(draw(words(NUMBER_TYPES)))
    pool = draw(values_of(dtype))
    some = draw(st.lists(st.sampled_from(pool), min_size=1, max_size=5))
    rng = draw(generators())
    with np.errstate(all="ignore"):
        array = np.array(some)[rng.integers(len(some), size=shape)].astype(dtype)
        if dtype.kind == "f" and draw(st.booleans()):
            array = (array + rng.normal(size=shape)).astype(dtype)
    return array


def generators():
    """Draw a numpy Generator."""
    return st.integers(0, 2**32 - 1).map(np.random.default_rng)


@st.composite
def object_arrays(draw, shape, pool=None):
    """Draw an array of Python objects of any kinds."""
    pools = [OBJECTS, OBJECTS + ODD_OBJECTS, WORDS, [*WORDS, None], [1, 2.5, 0], DAYS]
    pool = draw(st.sampled_from(pools)) if pool is None else pool
    some = draw(st.lists(st.sampled_from(pool), min_size=1, max_size=4))
    chosen = draw(generators()).integers(len(some), size=shape)
    array = np.empty(shape, dtype=object)
    for place in np.ndindex(*array.shape):
        array[place] = some[chosen[place]]
    return array


@st.composite
def other_arrays(draw, shape):
    """Draw an array of anything but numbers."""
    kind = draw(words("U3 S3 c16 c8 M8[ns] m8[s] void"))
    counts = draw(generators()).integers(-1, 4, size=shape)
    if kind == "void":
        return np.zeros(shape, dtype=[("a", "f8"), ("b", "i4")])
    if kind.startswith(("M8", "m8")):
        times = counts.astype("i8").astype(kind)
        return np.where(counts < 0, np.array("NaT", dtype=kind), times)
    return counts.astype(kind)


def arrays(shape):
    """Draw an array of any type, mostly numbers."""
    numbers = number_arrays(shape)
    return st.one_of(numbers, numbers, object_arrays(shape), other_arrays(shape))


def laid_out(array, how):
    """Return the same values in another place of memory, or another kind of array."""
    if how == "broadcast" and not len(array):
        return array
    makers = {
        "plain": lambda: array,
        "fortran": lambda: np.asfortranarray(array),
        "strided": lambda: np.repeat(array, 2, axis=0)[::2],
        "reversed": lambda: np.ascontiguousarray(array[::-1])[::-1],
        "read-only": lambda: np.broadcast_to(array, array.shape),
        "broadcast": lambda: np.broadcast_to(array[:1], array.shape),
        "masked": lambda: np.ma.masked_array(array, mask=np.zeros(array.shape, bool)),
    }
    return makers[how]()


LAYOUTS = words("plain plain fortran strided reversed read-only broadcast masked")


class ArrayLike:
    """An object that numpy can make an array of."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.array, dtype=dtype)


class Unreadable:
    """An object that says it is an array and raises when it is read."""

    shape, ndim, dtype = (5, 2), 2, np.dtype(float)

    def __len__(self):
        return 5

    def __array__(self, dtype=None, copy=None):
        raise ValueError("nothing to read")


@st.composite
def columns(draw, n_rows):
    """Draw a column of a frame."""
    rng = draw(generators())
    code = rng.integers(0, 3, size=n_rows)
    gaps = rng.random(n_rows) < draw(st.sampled_from([0.0, 0.0, 0.3, 1.0]))
    text = np.array(["a", "b", "c"], dtype=object)[code]
    text[gaps] = None
    kind = draw(
        words(
            "numbers numbers normal category category_of_numbers ordered words "
            "string Int64 UInt8 Float64 boolean object datetime zoned timedelta "
            "period interval complex sparse decimal empty"
        )
    )
    if kind == "numbers":
        return pd.Series(draw(number_arrays(n_rows).filter(_is_native)))
    if kind == "object":
        return pd.Series(draw(object_arrays(n_rows)), dtype=object)
    makers = {
        "normal": lambda: rng.normal(size=n_rows),
        "category": lambda: pd.Categorical(text, categories=["a", "b", "c", "d"]),
        "category_of_numbers": lambda: pd.Categorical(np.where(gaps, np.nan, code)),
        "ordered": lambda: pd.Categorical(text, ordered=True),
        "words": lambda: pd.Series(text, dtype=object),
        "string": lambda: pd.array(text, dtype=draw(st.sampled_from(STRING_TYPES))),
        "Int64": lambda: pd.arrays.IntegerArray(code.astype("i8"), gaps),
        "UInt8": lambda: pd.arrays.IntegerArray(code.astype("u1"), gaps),
        "Float64": lambda: pd.arrays.FloatingArray(code.astype("f8"), gaps),
        "boolean": lambda: pd.arrays.BooleanArray(code > 0, gaps),
        "datetime": lambda: pd.to_datetime(np.where(gaps, None, code)),
        "zoned": lambda: pd.to_datetime(code, utc=True),
        "timedelta": lambda: pd.to_timedelta(code, unit="s"),
        "period": lambda: pd.arrays.PeriodArray(code.astype("i8"), pd.PeriodDtype("D")),
        "interval": lambda: pd.arrays.IntervalArray.from_arrays(code, code + 1),
        "complex": lambda: code + 1j,
        "sparse": lambda: pd.arrays.SparseArray(np.where(gaps, 0.0, code)),
        "decimal": lambda: pd.Series([Decimal(int(c)) for c in code], dtype=object),
        "empty": lambda: pd.Series([None] * n_rows, dtype=object),
    }
    return pd.Series(makers[kind]())


def _is_native(array):
    # pandas has neither half precision in an index nor another order of bytes.
    return array.dtype.isnative and array.dtype.itemsize <= 8


def _string_types():
    types = ["string[python]", "str"]
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        return types
    return [*types, "string[pyarrow]"]


STRING_TYPES = _string_types()


@st.composite
def frames(draw, n_rows, n_columns):
    """Draw a data frame with columns, names and an index of any kind."""
    parts = [draw(columns(n_rows)) for _ in range(n_columns)]
    frame = pd.concat(parts, axis=1) if parts else pd.DataFrame(index=range(n_rows))
    names = draw(words("text text numbers same mixed levels"))
    frame.columns = _names(names, n_columns)
    index = draw(words("range range same times levels"))
    if index == "same":
        frame.index = [0] * n_rows
    elif index == "times":
        frame.index = pd.date_range("2020", periods=n_rows)
    elif index == "levels":
        frame.index = pd.MultiIndex.from_arrays([range(n_rows), ["a"] * n_rows])
    return frame


def _names(kind, n):
    if kind == "levels" and n:
        return pd.MultiIndex.from_arrays([["top"] * n, range(n)])
    text = [f"column {i}" for i in range(n)]
    mixed = [0, "b", None, 1.5, ("c", 1), "f"]
    return {"numbers": range(n), "same": ["x"] * n, "mixed": mixed[:n]}.get(kind, text)


SPARSE = [
    getattr(sparse, f"{name}_{kind}")
    for name in ("csr", "csc", "coo", "bsr", "dia", "dok", "lil")
    for kind in ("matrix", "array")
]


@st.composite
def sparse_tables(draw, n_rows, n_columns):
    """Draw a sparse matrix of any format."""
    types = words("f8 f8 f4 i8 u1 ? c16 longdouble")
    dtype = np.dtype(draw(types))
    pool = [0, 0, 1, 2]
    if dtype.kind == "f":
        pool += draw(st.sampled_from([[], [], [1e308, 5e-324], [np.nan], [np.inf]]))
    rng = draw(generators())
    dense = np.array(pool, dtype=float)[
        rng.integers(len(pool), size=(n_rows, n_columns))
    ]
    with np.errstate(all="ignore"):
        table = sparse.coo_matrix(dense.astype(dtype))
    if draw(st.booleans()) and table.nnz:
        # Entries given twice, which are added up, and zeros that are stored.
        table = sparse.coo_matrix(
            (
                np.r_[table.data, np.zeros_like(table.data)],
                (np.r_[table.row, table.row], np.r_[table.col, table.col]),
            ),
            shape=table.shape,
        )
    make = draw(st.sampled_from(SPARSE))
    made = make(table)
    if made.format in ("csr", "csc") and draw(st.booleans()):
        made.indices = made.indices.astype(np.int64)
        made.indptr = made.indptr.astype(np.int64)
    return made


@st.composite
def tensors(draw, shape):
    """Draw a torch tensor."""
    array = draw(generators()).normal(size=shape)
    dtype = draw(st.sampled_from([torch.float64, torch.float32, torch.bfloat16]))
    tensor = torch.as_tensor(array).to(dtype)
    return tensor.requires_grad_(draw(st.booleans()))


@st.composite
def lists(draw, shape):
    """Draw a list of lists, or of what else."""
    table = draw(arrays(shape)).tolist()
    kind = draw(words("list list tuple ragged arrays mixed"))
    if not isinstance(table, list) or not table or kind == "list":
        return table
    if kind == "tuple":
        return tuple(tuple(r) if isinstance(r, list) else r for r in table)
    if kind == "ragged" and isinstance(table[-1], list):
        return [*table[:-1], [*table[-1], 1]]
    if kind == "arrays":
        return [np.array(r, dtype=object) for r in table]
    return [*table[:-1], draw(st.sampled_from([None, 1, "a", [], {}]))]


NOTHING = [None, [], (), {}, set(), [[]], [[], []], np.array([]), pd.DataFrame()]
NOTHING += [np.empty((0, 3)), np.empty((3, 0)), pd.Series(dtype=float)]
NOTHING += [sparse.csr_matrix((0, 2)), sparse.csr_matrix((3, 0))]
SCALARS = [1, 1.5, "text", b"bytes", True, np.nan, 1j, Ellipsis, object(), int, len]
NO_TABLES = [{"a": [1, 2, 3]}, {1, 2}, range(5), pd.Index([1, 2]), iter([[1], [2]])]
NO_TABLES += [Unreadable(), np.array(1.0), sparse.coo_array([1, 2]), memoryview(b"abc")]
NO_TABLES += [torch.ones(3), np.ones((2, 2, 2)), datetime.date.today]
ODDITIES = st.sampled_from([*NOTHING, *SCALARS, *NO_TABLES])


@st.composite
def tables(draw, n_rows, n_columns):
    """Draw what may come as ``X``: mostly a table with so many rows and columns."""
    shape = (n_rows, n_columns)
    kind = draw(
        words(
            "array array array frame frame frame sparse list tensor like series "
            "flat deep odd"
        )
    )
    if kind == "array":
        return laid_out(draw(arrays(shape)), draw(LAYOUTS))
    makers = {
        "frame": lambda: frames(*shape),
        "sparse": lambda: sparse_tables(*shape),
        "list": lambda: lists(shape),
        "tensor": lambda: tensors(shape),
        "like": lambda: arrays(shape).map(ArrayLike),
        "series": lambda: columns(n_rows),
        "flat": lambda: arrays((n_rows,)),
        "deep": lambda: number_arrays((n_rows, n_columns, 2)),
        "odd": lambda: ODDITIES,
    }
    return draw(makers[kind]())


LABELS = {
    "two": [0, 1],
    "three": [0, 1, 2],
    "words": ["no", "yes"],
    "three words": ["x", "yy", "zzz"],
    "booleans": [True, False],
    "one": [7],
    "floats": [0.0, 1.0],
    "odd floats": [0.5, 1.5, 2.5],
    "signs": [-1, 1],
    "gaps": [0.0, 1.0, np.nan],
    "infinite": [0.0, 1.0, np.inf],
    "huge": [2**62, -(2**62), 0],
    "unsigned": np.array([2**64 - 1, 0, 1], dtype=np.uint64).tolist(),
    "beyond": [2**70, 0, 1],
    "missing": ["a", "b", None],
    "mixed": ["a", 1, 2.5],
    "mixed missing": [1, None, "a"],
    "not available": [0, 1, pd.NA],
    "bytes": [b"a", b"b"],
    "days": [*DAYS[:1], datetime.date(2021, 1, 1)],
    "tuples": [(1, 2), (3, 4)],
    "lists": [[1, 2], [3]],
    "sets": [{1}, {2, 3}],
    "complex": [1j, 2.0],
    "decimals": [Decimal(1), Decimal(2)],
    "truth and numbers": [True, 2, 0],
    "zeros": [0.0, -0.0],
    "objects": [object(), object()],
}


@st.composite
def label_lists(draw, n_rows):
    """Draw labels as a list: of one kind, each at random."""
    pool = LABELS[draw(st.sampled_from(list(LABELS)))]
    chosen = draw(generators()).integers(len(pool), size=n_rows)
    return [pool[i] for i in chosen]


def _object_vector(values):
    vector = np.empty(len(values), dtype=object)
    for place, value in enumerate(values):
        vector[place] = value
    return vector


def _native_vector(values):
    try:
        return np.array(values)
    except ValueError:  # of another length each
        return _object_vector(values)


@st.composite
def labels(draw, n_rows):
    """Draw what may come as a classifier's ``y``."""
    values = draw(label_lists(n_rows))
    kind = draw(
        words(
            "list native native object series category string column frame "
            "multilabel multilabel multiclass array sparse one_hot "
            "column_of_frame tensor odd"
        )
    )
    makers = {
        "list": lambda: values,
        "native": lambda: _native_vector(values),
        "object": lambda: _object_vector(values),
        "series": lambda: pd.Series(_object_vector(values)).infer_objects(),
        "category": lambda: pd.Series(pd.Categorical([str(v) for v in values])),
        "string": lambda: pd.Series([str(v) for v in values], dtype="string"),
        "column": lambda: _object_vector(values)[:, None],
        "frame": lambda: pd.DataFrame({"y": _object_vector(values)}).infer_objects(),
    }
    if kind in makers:
        return makers[kind]()
    n_labels = draw(st.integers(1, 3))
    if kind in ("multilabel", "multiclass", "sparse"):
        largest = 2 if kind != "multiclass" else 3
        marks = draw(generators()).integers(0, largest, size=(n_rows, n_labels))
        dtype = draw(words("i8 ? f4 u1 O"))
        if kind == "sparse":
            return draw(st.sampled_from(SPARSE))(sparse.coo_matrix(marks))
        return marks.astype(dtype)
    if kind == "one_hot":
        return np.eye(3, dtype=int)[np.arange(n_rows) % 3]
    others = {
        "array": lambda: arrays((n_rows,)),
        "column_of_frame": lambda: columns(n_rows),
        "tensor": lambda: tensors((n_rows,)),
        "odd": lambda: ODDITIES,
    }
    return draw(others[kind]())


@st.composite
def targets(draw, n_rows):
    """Draw what may come as a regressor's ``y``."""
    n_targets = draw(st.integers(1, 3))
    shape = draw(st.sampled_from([(n_rows,), (n_rows,), (n_rows, n_targets)]))
    kind = draw(words("number number number any list series frame labels odd"))
    if kind == "number":
        return laid_out(draw(number_arrays(shape)), draw(LAYOUTS))
    makers = {
        "any": lambda: arrays(shape),
        "list": lambda: lists(shape),
        "series": lambda: columns(n_rows),
        "frame": lambda: frames(n_rows, n_targets),
        "labels": lambda: labels(n_rows),
        "odd": lambda: ODDITIES,
    }
    return draw(makers[kind]())


@st.composite
def weights(draw, n_rows):
    """Draw what may come as ``sample_weight``."""
    kind = draw(
        words(
            "none none uniform uniform zero some_zero negative huge tiny gap "
            "infinite short column series any sparse odd scalar text"
        )
    )
    some = draw(generators()).random(n_rows)
    first = np.arange(n_rows) == 0
    makers = {
        "none": lambda: None,
        "uniform": lambda: some,
        "zero": lambda: some * 0,
        "some_zero": lambda: np.where(some < 0.5, 0.0, some),
        "negative": lambda: some - 0.5,
        "huge": lambda: some * 1e308,
        "tiny": lambda: some * 1e-320,
        "gap": lambda: np.where(first, np.nan, some),
        "infinite": lambda: np.where(first, np.inf, some),
        "short": lambda: some[1:],
        "column": lambda: some[:, None],
        "series": lambda: pd.Series(some, index=range(5, 5 + n_rows), dtype="Float64"),
        "sparse": lambda: sparse.csr_matrix(some),
        "scalar": lambda: draw(st.sampled_from([1, 2.5, 0, -1, np.nan, True])),
        "text": lambda: ["a"] * n_rows,
    }
    if kind in makers:
        return makers[kind]()
    return draw(arrays((n_rows,)) if kind == "any" else ODDITIES)


def sizes():
    """Draw numbers of rows and of columns."""
    n_rows = st.one_of(st.integers(0, 6), st.integers(5, 30))
    return st.tuples(n_rows, st.one_of(st.integers(1, 4), st.integers(0, 6)))


#: What decides how tables are read, at its defaults and off, and what divides the rows.
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "scale_inputs": st.just(False),
        "categorical_features": st.sampled_from(
            [None, [0], [True, False], ["x"], [-1]]
        ),
        "impute_missing": st.just(False),
        "n_bins": st.sampled_from([None, 2]),
        "early_stopping": st.just(True),
        "batch_size": st.just(4),
        "dtype": st.sampled_from(["float32", "float64"]),
        "normalization": st.sampled_from(["batch", "layer"]),
        "n_members": st.just(2),
    },
)
OF_CLASSIFIER = {
    "class_weight": st.sampled_from(["balanced", {0: 2.0}]),
    "loss": st.sampled_from(["binary_cross_entropy", "categorical_cross_entropy"]),
}
OF_REGRESSOR = {"loss": st.sampled_from(["poisson", "huber", "quantile"])}


@functools.cache
def settings_of(is_classifier):
    """Draw parameters of an estimator."""
    own = OF_CLASSIFIER if is_classifier else OF_REGRESSOR
    return st.builds(
        lambda shared, own: {**shared, **own},
        SETTINGS,
        st.fixed_dictionaries({}, optional=own),
    )
