"""Tables as they come: from a data frame with gaps to predictions, end to end."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from estimators import ESTIMATORS, SMALL, all_weights, plain_classifier, plain_regressor
from joblib import parallel_config
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import check_estimators_nan_inf

from sknnopt import OptimizedMLPClassifier, OptimizedMLPRegressor, _inputs
from sknnopt._inputs import EncodedRows, Inputs
from sknnopt.persistence import load, save

N_ROWS = 90
NUMBERS = ["real", "flag", "whole", "object"]
WORDS = ["word", "string", "level"]
#: float64 throughout, one batch and few steps: rounding stays rounding.
RTOL = 1e-9
BOTH = pytest.mark.parametrize("estimator", ESTIMATORS)
SCALED = {**SMALL, "scale_inputs": True}


@pytest.fixture
def frame(rng):
    """Return a table with a column of each kind, most of them with gaps."""
    frame = pd.DataFrame(
        {
            "word": rng.choice(["a", "b", "c"], size=N_ROWS).astype(object),
            "real": rng.normal(5.0, 3.0, size=N_ROWS),
            "flag": rng.normal(size=N_ROWS) > 0,
            "string": pd.array(rng.choice(["x", "y"], size=N_ROWS), dtype="string"),
            "whole": pd.array(rng.integers(0, 9, size=N_ROWS), dtype="Int64"),
            "level": pd.Categorical(rng.integers(1, 4, size=N_ROWS)),
            "object": rng.integers(0, 5, size=N_ROWS).astype(object),
        }
    )
    for place, name in enumerate(["word", "real", "string", "whole", "level"]):
        frame.loc[place :: 7 + place, name] = None
    frame.loc[::13, "object"] = None
    return frame


@pytest.fixture
def y(frame):
    """Return a target that serves classifier and regressor alike."""
    signal = frame["real"].fillna(5.0) + 4 * (frame["word"] == "a") - 3 * frame["flag"]
    return (signal > signal.median()).to_numpy().astype(int)


@pytest.fixture(name="X")
def table_of_numbers(rng):
    """Return numbers alone, of different location and scale."""
    return rng.normal([0.0, 40.0, -3.0], [1.0, 0.1, 1e3], size=(N_ROWS, 3))


def prepare(frame, *, scale_inputs=True):
    """Return the ColumnTransformer that a frame would otherwise need."""
    mean = SimpleImputer(strategy="mean")
    zero = SimpleImputer(strategy="constant", fill_value=0.0)
    known = [sorted(frame[name].dropna().unique()) for name in WORDS]
    return ColumnTransformer(
        [
            (
                "n",
                make_pipeline(StandardScaler(), zero) if scale_inputs else mean,
                NUMBERS,
            ),
            ("gaps", MissingIndicator(error_on_new=False), NUMBERS),
            ("words", OneHotEncoder(categories=known, handle_unknown="ignore"), WORDS),
        ],
        sparse_threshold=0,
    )


def as_floats(frame):
    """Return the frame as scikit-learn's transformers can read it."""
    numbers = frame[NUMBERS].astype("Float64").astype(np.float64)
    words = frame[WORDS].astype(object)
    return pd.concat([numbers, words.where(words.notna(), np.nan)], axis=1)


def answers(model, X):
    """Return what a model predicts, as numbers."""
    return getattr(model, "predict_proba", model.predict)(X)


# -------------------------------------------------------------------- fit, predict


@pytest.mark.parametrize("estimator", [OptimizedMLPClassifier, OptimizedMLPRegressor])
@pytest.mark.parametrize("n_bins", [None, 4])
def test_whatever_comes_is_predicted(estimator, frame, y, n_bins):
    """A frame with gaps is learned and predicted finitely, rows of gaps alone too."""
    model = estimator(**SMALL, n_bins=n_bins, n_members=2).fit(frame, y)
    assert model.n_features_in_ == frame.shape[1]
    assert model.feature_names_in_.tolist() == list(frame.columns)
    nothing = frame.reindex(range(N_ROWS, N_ROWS + 3))
    for rows in (frame, nothing, frame[:1]):
        assert np.isfinite(answers(model, rows)).all()
        assert len(model.predict(rows)) == len(rows)


@BOTH
@pytest.mark.parametrize("scale_inputs", [True, False])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"n_members": 3, "early_stopping": True},
        {"batch_size": 32, "dropout": 0.1, "early_stopping": True},
    ],
)
def test_frame_is_a_pipeline(estimator, frame, y, scale_inputs, settings):
    """The network does what a ColumnTransformer before a plain network does."""
    settings = {**SMALL, **settings}
    model = estimator(**settings, scale_inputs=scale_inputs).fit(frame, y)
    table = as_floats(frame)
    before = prepare(table, scale_inputs=scale_inputs)
    pipeline = make_pipeline(before, estimator(**settings)).fit(table, y)
    np.testing.assert_allclose(answers(model, frame), answers(pipeline, table), RTOL)
    expected = pipeline[-1].history_
    np.testing.assert_allclose(model.history_, expected, rtol=RTOL)


@BOTH
def test_validation_set_is_a_frame(estimator, frame, y):
    """X_val is seen as X taught, whatever values it has."""
    X_val, y_val = frame[60:].assign(word="unknown"), y[60:]
    model = estimator(**SCALED).fit(frame[:60], y[:60], X_val=X_val, y_val=y_val)
    before = prepare(as_floats(frame[:60])).fit(as_floats(frame[:60]))
    rows, valid = (before.transform(as_floats(part)) for part in (frame[:60], X_val))
    expected = estimator(**SMALL).fit(rows, y[:60], X_val=valid, y_val=y_val)
    np.testing.assert_allclose(
        model.history_.valid_loss, expected.history_.valid_loss, rtol=RTOL
    )


@BOTH
def test_unknown_and_missing_categories_are_none(estimator, frame, y):
    """A category that was not there in fit counts as a missing one does."""
    model = estimator(**SCALED).fit(frame, y)
    unknown, missing, known = (
        answers(model, frame.assign(word=word)) for word in ("unknown", None, "a")
    )
    np.testing.assert_array_equal(unknown, missing)
    assert not np.allclose(unknown, known)


@BOTH
def test_rows_of_weight_zero_do_not_count(estimator, frame, y):
    """A frame whose odd rows have no weight trains what the other rows do."""
    odd = frame[:20].assign(word="odd", real=1e6)
    both = pd.concat([frame, odd], ignore_index=True)
    weight = np.append(np.linspace(0.5, 1.5, N_ROWS), np.zeros(20))
    model = estimator(**SCALED).fit(both, np.append(y, y[:20]), weight)
    expected = estimator(**SCALED).fit(frame, y, weight[:N_ROWS])
    np.testing.assert_allclose(answers(model, frame), answers(expected, frame), RTOL)


@BOTH
def test_named_columns_of_an_array(estimator, X, y):
    """In an array the columns that are named are categories: here as in a frame."""
    X[:, 2] = np.arange(N_ROWS) % 3
    model = estimator(**SCALED, categorical_features=[2]).fit(X, y)
    frame = pd.DataFrame(X, columns=list("abc")).astype({"c": "category"})
    expected = estimator(**SCALED).fit(frame, y)
    np.testing.assert_array_equal(answers(model, X), answers(expected, frame))


# ----------------------------------------------------------------------- numbers


@BOTH
def test_numbers_in_a_frame_are_an_array(estimator, X, y):
    """A frame of numbers is its array, bit for bit, and gaps that may be are none."""
    array, frame = (
        all_weights(estimator(**SMALL).fit(table, y)) for table in (X, pd.DataFrame(X))
    )
    np.testing.assert_array_equal(frame, array)
    strict = estimator(**SMALL, impute_missing=False).fit(X, y)
    np.testing.assert_array_equal(all_weights(strict), array)
    assert strict.coefs_[0].shape == (X.shape[1], 8)


@BOTH
def test_scaling_is_the_scaler_s(estimator, X, y):
    """scale_inputs is a StandardScaler in front, and after one changes rounding."""
    scaler = StandardScaler()
    inside = estimator(**SCALED).fit(X, y)
    before = make_pipeline(scaler, estimator(**SMALL)).fit(X, y)
    twice = make_pipeline(scaler, estimator(**SCALED)).fit(X, y)
    expected = answers(before, X)
    np.testing.assert_allclose(answers(inside, X), expected, rtol=RTOL)
    np.testing.assert_allclose(answers(twice, X), expected, rtol=RTOL)


@BOTH
@pytest.mark.parametrize("is_first_sparse", [True, False])
def test_sparse_rows_are_dense_rows(estimator, X, y, is_first_sparse):
    """Rows have one prediction, sparse or dense, and whichever was trained on."""
    dense = np.where(X > 0, X, 0.0)
    thin = sparse.csr_matrix(dense)
    model = estimator(**SCALED, n_bins=3).fit(thin if is_first_sparse else dense, y)
    np.testing.assert_allclose(answers(model, thin), answers(model, dense), RTOL)
    frame = pd.DataFrame.sparse.from_spmatrix(thin)
    framed = estimator(**SCALED, n_bins=3).fit(frame, y)
    expected = estimator(**SCALED, n_bins=3).fit(thin, y)
    np.testing.assert_array_equal(all_weights(framed), all_weights(expected))


@BOTH
@pytest.mark.parametrize("scale_inputs", [True, False])
def test_memory_map_is_neither_copied_nor_written(
    estimator, X, y, scale_inputs, tmp_path, monkeypatch
):
    """A long map on disk is trained on and predicted from where it lies."""
    monkeypatch.setattr(_inputs, "_WORTH_A_COPY", 0)
    seen = []
    encode = Inputs.encode
    monkeypatch.setattr(
        Inputs, "encode", lambda *given: seen.append(encode(*given)) or seen[-1]
    )
    np.save(tmp_path / "X.npy", X.astype(np.float32))
    # Whoever wrote to it would fail.
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    settings = {**SMALL, "batch_size": 32, "early_stopping": True, "n_members": 5}
    model = estimator(**settings, scale_inputs=scale_inputs).fit(mapped, y)
    predicted = answers(model, mapped)
    for rows in seen:
        assert isinstance(rows, EncodedRows) == scale_inputs
        held = rows._numbers if scale_inputs else rows
        assert np.shares_memory(held, mapped)
    monkeypatch.setattr(_inputs, "_WORTH_A_COPY", 1 << 24)
    loaded = clone(model).fit(np.array(mapped), y)
    np.testing.assert_array_equal(all_weights(model), all_weights(loaded))
    np.testing.assert_array_equal(predicted, answers(loaded, np.array(mapped)))


@BOTH
def test_long_frame_is_a_short_one(estimator, frame, y, monkeypatch):
    """Rows that are encoded as they are read train the same networks, bit for bit."""
    settings = {**SCALED, "n_bins": 4, "batch_size": 16, "early_stopping": True}
    short = estimator(**settings).fit(frame, y)
    monkeypatch.setattr(_inputs, "_WORTH_A_COPY", 0)
    long = estimator(**settings).fit(frame, y)
    np.testing.assert_array_equal(all_weights(long), all_weights(short))
    np.testing.assert_array_equal(answers(long, frame), answers(short, frame))


# ------------------------------------------------------------- several calls of fit


@BOTH
def test_partial_fit_keeps_the_first_statistics(estimator, frame, y):
    """Later blocks are seen as the first one taught."""
    blocks = frame[:45], frame[45:].assign(word="later")
    known = {"classes": [0, 1]} if estimator is plain_classifier else {}
    before = prepare(as_floats(blocks[0])).fit(as_floats(blocks[0]))
    model, expected = estimator(**SCALED), estimator(**SMALL)
    for block, target in zip(blocks, (y[:45], y[45:]), strict=True):
        model.partial_fit(block, target, **known)
        expected.partial_fit(before.transform(as_floats(block)), target, **known)
    rows = before.transform(as_floats(frame))
    np.testing.assert_allclose(answers(model, frame), answers(expected, rows), RTOL)


@BOTH
def test_warm_start_keeps_the_first_statistics(estimator, X, y):
    """A warm start on other rows keeps location and scale; a fresh fit does not."""
    scaler = StandardScaler().fit(X)
    model = estimator(**SCALED, warm_start=True).fit(X, y)
    expected = estimator(**SMALL, warm_start=True).fit(scaler.transform(X), y)
    for each, rows in ((model, 3 * X), (expected, scaler.transform(3 * X))):
        each.fit(rows, y)
    rows = scaler.transform(X)
    np.testing.assert_allclose(answers(model, X), answers(expected, rows), RTOL)
    fresh = model.set_params(warm_start=False).fit(3 * X, y)
    np.testing.assert_allclose(fresh._inputs.mean_, 3 * scaler.mean_)


@BOTH
def test_refit_that_fails_forgets_nothing(estimator, frame, y):
    """After a fit on another table that is refused, the old one is predicted for."""
    model = estimator(**SCALED).fit(frame, y)
    expected = answers(model, frame)
    with pytest.raises(ValueError, match="infinity"):
        model.fit(frame[["real", "word"]].assign(real=np.inf), y)
    np.testing.assert_array_equal(answers(model, frame), expected)


# ------------------------------------------------------------- scikit-learn's tools


@BOTH
def test_model_of_a_frame_comes_back(estimator, frame, y, tmp_path):
    """Pickled, or saved without pickle, a model predicts the same bits from a frame."""
    pytest.importorskip("safetensors")
    model = estimator(**SCALED, n_bins=4).fit(frame, y)
    save(model, tmp_path / "model.safetensors")
    for back in (
        pickle.loads(pickle.dumps(model)),
        load(tmp_path / "model.safetensors"),
    ):
        np.testing.assert_array_equal(answers(back, frame), answers(model, frame))
        assert back.feature_names_in_.tolist() == list(frame.columns)
        back.set_params(warm_start=True).fit(frame, y)


def test_clone_keeps_the_columns(frame):
    """A clone has the columns that were named, and nothing that was learned."""
    model = plain_classifier(**SMALL, categorical_features=["flag", "word"])
    copy = clone(model.fit(frame[["flag", "word"]], frame["flag"]))
    assert copy.categorical_features == ["flag", "word"]
    assert not hasattr(copy, "_inputs")


@BOTH
def test_searches_take_a_frame(estimator, frame, y):
    """A search over how a table is read gives the same scores alone and together."""
    grid = {"n_bins": [None, 4], "scale_inputs": [True, False]}
    search = GridSearchCV(estimator(**SMALL), grid, cv=3, error_score="raise")
    alone = clone(search).fit(frame, y)
    with parallel_config(backend="sknnopt"):
        together = clone(search).fit(frame, y)
        scores = cross_val_score(alone.best_estimator_, frame, y, cv=3)
    assert np.isfinite(scores).all()
    for name in ("mean_test_score", "std_test_score"):
        expected = alone.cv_results_[name]
        np.testing.assert_array_equal(together.cv_results_[name], expected)
    np.testing.assert_array_equal(together.predict(frame), alone.predict(frame))


@pytest.mark.parametrize("impute_missing", [True, False])
@BOTH
def test_tag_says_whether_numbers_may_be_missing(estimator, impute_missing):
    """scikit-learn learns from the tag whether NaN is taken."""
    model = estimator(**SMALL, impute_missing=impute_missing)
    assert get_tags(model).input_tags.allow_nan is impute_missing


@BOTH
def test_strict_estimator_refuses_nan_as_scikit_learn_asks(estimator):
    """With impute_missing=False scikit-learn's own check of refusals passes."""
    model = estimator(**SMALL, impute_missing=False)
    check_estimators_nan_inf(type(model).__name__, model)


# ------------------------------------------------------------------------ refusals


@BOTH
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_columns_in_another_order_are_refused(estimator, frame, y):
    """Columns must come as they did in the first fit, wherever a frame is given."""
    other = frame[frame.columns[::-1]]
    known = {"classes": [0, 1]} if estimator is plain_classifier else {}
    model = estimator(**SMALL).partial_fit(frame, y, **known)
    for call in (
        lambda: model.predict(other),
        lambda: model.partial_fit(other, y),
        lambda: model.fit(frame, y, X_val=other, y_val=y),
    ):
        with pytest.raises(ValueError, match="feature names should match"):
            call()
    with pytest.raises(ValueError, match="expecting 7 features"):
        model.set_params(warm_start=True).fit(frame.to_numpy()[:, :-1], y)


@BOTH
def test_missing_numbers_are_refused_where_none_may_be(estimator, frame, y):
    """With impute_missing=False numbers must be there; categories need not."""
    model = estimator(**SMALL, impute_missing=False)
    with pytest.raises(ValueError, match="contains NaN"):
        model.fit(frame, y)
    model.fit(frame[WORDS], y)
    # What a fit was told holds for its predictions, whatever is set meanwhile.
    strict = estimator(**SMALL, impute_missing=False).fit(np.eye(N_ROWS), y)
    with pytest.raises(ValueError, match="contains NaN"):
        strict.set_params(impute_missing=True).predict(np.full((1, N_ROWS), np.nan))


@BOTH
def test_sparse_gaps_are_refused(estimator, X, y):
    """NaN in a sparse matrix, or in a frame of sparse columns, is refused."""
    X[3, 1] = np.nan
    thin = sparse.csr_matrix(X)
    for table in (thin, pd.DataFrame.sparse.from_spmatrix(thin)):
        with pytest.raises(ValueError, match="contains NaN"):
            estimator(**SMALL).fit(table, y)


@BOTH
@pytest.mark.parametrize("given", [["nothing"], [9], [True, False]])
def test_columns_that_are_not_there_are_refused(estimator, frame, y, given):
    """categorical_features must name columns of the table."""
    with pytest.raises(ValueError, match="'categorical_features' parameter"):
        estimator(**SMALL, categorical_features=given).fit(frame, y)


@BOTH
def test_dates_are_refused_by_name(estimator, frame, y):
    """A column of dates is named, with what to do about it."""
    dated = frame.assign(since=pd.date_range("2020", periods=N_ROWS))
    with pytest.raises(ValueError, match=r"'since' of X.*year"):
        estimator(**SMALL).fit(dated, y)
    model = estimator(**SMALL).fit(dated.assign(since=dated["since"].dt.year), y)
    with pytest.raises(ValueError, match=r"'since' of X.*year"):
        model.predict(dated)


@BOTH
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.parametrize("names", [["real"], ["real", "word"], ["word"]])
def test_shapes_are_checked_for_every_frame(estimator, frame, y, names):
    """No row, one dimension, a target of another length or none at all: all refused."""
    table = frame[names]
    model = estimator(**SMALL).fit(table, y)
    with pytest.raises(ValueError, match="0 sample"):
        model.predict(table[:0])
    with pytest.raises(ValueError, match="Reshape your data"):
        model.predict(np.zeros(len(names)))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(table, y[:-1])
    with pytest.raises(ValueError, match="requires y to be passed"):
        model.fit(table, None)


def test_sparse_matrix_has_no_categories(X, y):
    """A sparse matrix with named categories is refused with the remedy."""
    model = plain_regressor(**SMALL, categorical_features=[0])
    with pytest.raises(ValueError, match=r"X is sparse.*toarray"):
        model.fit(sparse.csr_matrix(X), y)


def test_rows_of_a_structured_array_are_refused(X, y):
    """A structured array is refused where columns are categories, in predict too."""
    model = plain_classifier(**SMALL, categorical_features=[-1]).fit(X, y)
    fields = np.zeros((2, X.shape[1]), dtype=[("a", "f8"), ("b", "f8")])
    with pytest.raises(ValueError, match="X is a structured array"):
        model.predict(fields)
