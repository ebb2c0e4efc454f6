"""Members that validate on folds, and predictions for the rows that they held out."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
from estimators import ESTIMATORS, SMALL, all_weights, plain_classifier, plain_regressor
from scipy import sparse
from scipy.special import expit, softmax
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import (
    KFold,
    LeaveOneOut,
    PredefinedSplit,
    ShuffleSplit,
)

from sknnopt._folds import held_out_folds
from sknnopt._oof import oof_score
from sknnopt._splits import held_out_rows

#: An ensemble whose members validate on folds.
FOLDED = {
    **SMALL,
    "n_members": 8,
    "early_stopping": True,
    "learning_rate": 0.02,
    "activation": "tanh",
}


class _Fixed(np.random.RandomState):
    """A generator whose draws are one number."""

    def __init__(self, number):
        super().__init__(0)
        self.number = number

    def randint(self, high, size):
        return np.full(size, self.number)


def _seeds(model):
    state = np.random.RandomState(model.random_state)
    return state.randint(np.iinfo(np.int32).max, size=model.n_members)


def _splits(model, X, y, *, stratify, counted=None):
    """Return each member's training rows and the rows it holds out."""
    counted = np.arange(len(X)) if counted is None else counted
    splits = held_out_folds(
        model.validation_fraction,
        X,
        y,
        counted,
        stratify=stratify,
        seed=int(_seeds(model)[0]),
        n_members=model.n_members,
    )
    return [splits[m % len(splits)] for m in range(model.n_members)]


def _forward(model, X):
    """Return all members' raw outputs, ``(members, rows, outputs)``, in numpy."""
    hidden = np.broadcast_to(X, (model.n_members, *X.shape))
    *inner, last = zip(model.coefs_, model.intercepts_, strict=True)
    for weight, bias in inner:
        hidden = np.tanh(hidden @ weight + bias[:, None])
    return hidden @ last[0] + last[1][:, None]


def _by_hand(response, train):
    """Return the mean over the members that did not train on a row, row by row."""
    out = np.full(response.shape[1:], np.nan)
    for row in range(response.shape[1]):
        others = [m for m, rows in enumerate(train) if row not in rows]
        if others:
            out[row] = response[others, row].mean(axis=0)
    return out


def _target(kind, X, rng):
    signal = X @ rng.normal(size=(X.shape[1], 3)) + rng.normal(size=(len(X), 3))
    return {
        "binary": np.array(["no", "yes"])[(signal[:, 0] > 0).astype(int)],
        "classes": signal.argmax(axis=1) + 5,
        "labels": (signal > 0).astype(int),
        "number": 100 + 20 * signal[:, 0],
        "numbers": [10, 100, 1000] * signal - 5,
    }[kind]


def _model(kind, **params):
    is_number = kind in ("number", "numbers")
    estimator = plain_regressor if is_number else plain_classifier
    return estimator(**{**FOLDED, **params})


def _response(model, X, y, kind):
    raw = _forward(model, X)
    if kind == "binary":
        return np.concatenate([expit(-raw), expit(raw)], axis=-1)
    if kind == "classes":
        return softmax(raw, axis=-1)
    if kind == "labels":
        return expit(raw)
    response = y.mean(axis=0) + y.std(axis=0) * raw
    return response[..., 0] if kind == "number" else response


KINDS = ["binary", "classes", "labels", "number", "numbers"]


# ------------------------------------------------------------- rotating folds


@pytest.mark.parametrize("kind", ["binary", "classes", "labels"])
def test_ensemble_is_its_members(kind, rng):
    """Each of 8 members is the network that trains alone on the rows of its fold."""
    X = rng.normal(size=(90, 4))
    y = _target(kind, X, rng)
    model = _model(kind, max_epochs=30, n_iter_no_change=5).fit(X, y)
    encoded = np.unique(y, return_inverse=True)[1] if kind != "labels" else y
    splits = _splits(model, X, encoded, stratify=kind != "labels")
    for member, (train, valid) in enumerate(splits):
        alone = clone(model)
        alone.set_params(n_members=1, random_state=_Fixed(_seeds(model)[member]))
        alone.fit(X[train], y[train], X_val=X[valid], y_val=y[valid])
        for ours, theirs in zip(model.coefs_, alone.coefs_, strict=True):
            np.testing.assert_allclose(ours[member], theirs, rtol=1e-8, atol=1e-11)
        assert model.best_epoch_[member] == alone.best_epoch_
    # Were the folds in another order, the networks would differ.
    assert len({tuple(valid) for _, valid in splits}) == 8


def test_regressor_is_its_members(rng):
    """Each member of a regressor is the network alone with its split."""
    X = rng.normal(size=(90, 4))
    y = _target("numbers", X, rng)
    model = _model("numbers", max_epochs=30).fit(X, y)
    for member, (_, valid) in enumerate(_splits(model, X, y, stratify=False)):
        is_held_out = np.isin(np.arange(90), valid)
        alone = clone(model).set_params(
            n_members=1,
            random_state=_Fixed(_seeds(model)[member]),
            validation_fraction=PredefinedSplit(np.where(is_held_out, 0, -1)),
        )
        alone.fit(X, y)
        for ours, theirs in zip(model.coefs_, alone.coefs_, strict=True):
            np.testing.assert_allclose(ours[member], theirs, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_rare_classes_do_not_warn(estimator, table):
    """A class with fewer rows than folds is no obstacle and no reason to warn."""
    X, y = table
    y = np.where(np.arange(60) < 3, [2, 2, 3] + [0] * 57, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = estimator(**FOLDED).fit(X, y)
    assert np.isfinite(model.oof_prediction_).all()


def test_one_member_holds_out_a_sample(table):
    """One member holds out a stratified sample, not a fold."""
    X, y = table
    model = plain_classifier(**{**FOLDED, "n_members": 1}).fit(X, y)
    rows, seed = np.arange(60), _seeds(model)[0]
    train, _ = held_out_rows(0.1, X, y, rows, stratify=True, seed=seed)
    splitter = PredefinedSplit(np.where(np.isin(rows, train), -1, 0))
    given = clone(model).set_params(validation_fraction=splitter)
    np.testing.assert_array_equal(all_weights(model), all_weights(given.fit(X, y)))


# ---------------------------------------------------- out-of-fold predictions


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_members", [2, 5, 12])
def test_by_hand(kind, n_members, rng):
    """A row is predicted by the members that did not train on it; NaN without any."""
    X = rng.normal(size=(70, 4))
    y = _target(kind, X, rng)
    model = _model(kind, n_members=n_members).fit(X, y)
    is_stratified = kind in ("binary", "classes")
    encoded = np.unique(y, return_inverse=True)[1] if is_stratified else y
    train = [t for t, _ in _splits(model, X, encoded, stratify=is_stratified)]
    expected = _by_hand(_response(model, X, y, kind), train)
    assert model.oof_prediction_.dtype == np.float64
    np.testing.assert_allclose(model.oof_prediction_, expected, rtol=1e-8, atol=1e-12)
    is_there = ~np.isnan(expected.reshape(70, -1)).any(axis=1)
    # Of five folds, two are held out by two members.
    assert is_there.sum() == (28 if n_members == 2 else 70)
    there, truth = expected[is_there], y[is_there]
    if kind in ("number", "numbers"):
        score = r2_score(truth, there)
    elif kind == "labels":
        score = accuracy_score(truth, there > 0.5)
    else:
        score = accuracy_score(truth, model.classes_[there.argmax(axis=1)])
    assert isinstance(model.oof_score_, float)
    assert model.oof_score_ == pytest.approx(score)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_net_agrees(estimator, table):
    """The members of net_ give the same predictions as oof_prediction_ is made of."""
    import torch

    X, y = table
    model = estimator(**FOLDED).fit(X, y)
    is_classifier = estimator is plain_classifier
    raw = model.net_.module_(torch.tensor(X)).detach().numpy()
    response = (
        np.concatenate([expit(-raw), expit(raw)], axis=-1)
        if is_classifier
        else (y.mean() + y.std() * raw)[..., 0]
    )
    train = [t for t, _ in _splits(model, X, y, stratify=is_classifier)]
    expected = _by_hand(response, train)
    np.testing.assert_allclose(model.oof_prediction_, expected, rtol=1e-8)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_weights(estimator, table, rng):
    """Rows of weight zero take the mean of all members; the score is weighted."""
    X, y = table
    weight = rng.integers(0, 3, 60).astype(float)
    model = estimator(**FOLDED).fit(X, y, weight)
    counted = np.flatnonzero(weight)
    is_classifier = estimator is plain_classifier
    splits = _splits(model, X, y, stratify=is_classifier, counted=counted)
    if is_classifier:
        response = _response(model, X, y, "binary")
    else:
        mean = np.average(y, weights=weight)
        scale = np.sqrt(np.average((y - mean) ** 2, weights=weight))
        response = mean + scale * _forward(model, X)[..., 0]
    expected = _by_hand(response, [train for train, _ in splits])
    np.testing.assert_allclose(model.oof_prediction_, expected, rtol=1e-8)
    of_all = response.mean(axis=0)[weight == 0]
    np.testing.assert_allclose(model.oof_prediction_[weight == 0], of_all, rtol=1e-8)
    score = (
        accuracy_score(y, expected.argmax(axis=1), sample_weight=weight)
        if is_classifier
        else r2_score(y, expected, sample_weight=weight)
    )
    assert model.oof_score_ == pytest.approx(score)


def test_class_weights_do_not_weigh_the_score(table):
    """The score counts rows by sample_weight alone, whatever class_weight says."""
    X, y = table
    model = plain_classifier(**FOLDED, class_weight={0: 9.0, 1: 0.0})
    model.fit(X, y)
    # No member trained on class 1.
    prediction = model.oof_prediction_.argmax(axis=1)
    assert model.oof_score_ == pytest.approx(accuracy_score(y, prediction))
    np.testing.assert_allclose(
        model.oof_prediction_[y == 1], model.predict_proba(X[y == 1])
    )


@pytest.mark.parametrize(
    ("splitter", "expected"),
    [
        (KFold(4), np.ones(60, dtype=bool)),
        (PredefinedSplit(np.r_[np.zeros(9), -np.ones(51)]), np.arange(60) < 9),
        (LeaveOneOut(), np.arange(60) < 8),
    ],
)
def test_splitter(table, splitter, expected):
    """A splitter's splits rotate: rows have a prediction where one holds them out."""
    X, y = table
    model = plain_classifier(**FOLDED, validation_fraction=splitter).fit(X, y)
    assert np.array_equal(np.isfinite(model.oof_prediction_[:, 0]), expected)
    train = [t for t, _ in _splits(model, X, y, stratify=True)]
    by_hand = _by_hand(_response(model, X, y, "binary"), train)
    np.testing.assert_allclose(model.oof_prediction_, by_hand, rtol=1e-8)


class _Overlapping:
    """A splitter whose held-out rows are among the training rows."""

    def split(self, X, y=None, groups=None):
        yield np.arange(len(X)), np.arange(5)

    def get_n_splits(self, X=None, y=None, groups=None):
        return 1


def test_nothing_out_of_fold(table):
    """Where all members train on all rows, predictions and their score are NaN."""
    X, y = table
    model = plain_classifier(**FOLDED, validation_fraction=_Overlapping())
    model.fit(X, y)
    assert model.oof_prediction_.shape == (60, 2)
    assert np.isnan(model.oof_prediction_).all()
    assert np.isnan(model.oof_score_)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_sparse_and_single_precision(estimator, table):
    """Sparse rows give the same as dense ones; float32 rows nearly so, in float64."""
    X, y = table
    X = np.where(np.abs(X) > 0.5, X, 0.0)
    model = estimator(**FOLDED)
    dense = clone(model).fit(X, y)
    scarce = clone(model).fit(sparse.csr_array(X), y)
    single = clone(model).fit(X.astype(np.float32), y)
    np.testing.assert_allclose(scarce.oof_prediction_, dense.oof_prediction_)
    np.testing.assert_allclose(
        single.oof_prediction_, dense.oof_prediction_, rtol=1e-3, atol=1e-4
    )
    assert single.oof_prediction_.dtype == np.float64


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_repeatable(estimator, table, untouched_globals):
    """The same random_state gives the same predictions, bit for bit."""
    X, y = table
    first, again = (estimator(**FOLDED, dropout=0.1).fit(X, y) for _ in range(2))
    np.testing.assert_array_equal(first.oof_prediction_, again.oof_prediction_)
    assert first.oof_score_ == again.oof_score_


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_diverged_members_predict_finite_numbers(estimator, table):
    """Networks that diverge have finite predictions out of fold too."""
    X, y = table
    model = estimator(
        **{**FOLDED, "optimizer": "sgd", "activation": "relu", "learning_rate": 1e200}
    )
    with pytest.warns(ConvergenceWarning):
        model.fit(X, y)
    assert model.diverged_.any()
    assert np.isfinite(model.oof_prediction_).all()


def test_oof_predictions_are_bounded(rng):
    """Each member's answer is bounded before the mean, as in predict."""
    X = rng.normal(size=(60, 2))
    X[0] = 1e9
    y = np.clip(X[:, 0], -1, 1)
    model = plain_regressor(**{**FOLDED, "activation": "relu"}).fit(X, y)
    assert np.abs(model.oof_prediction_).max() <= 3.0


# ----------------------------------------------- where it is, and where it is not


def _has_oof(model):
    names = ("oof_prediction_", "oof_score_")
    has = [hasattr(model, name) for name in names]
    assert has[0] == has[1]
    return has[0]


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize(
    ("changes", "given"),
    [
        ({"n_members": 1}, False),
        ({"early_stopping": False}, False),
        ({"early_stopping": "auto"}, False),
        ({}, True),
    ],
)
def test_refit_without_folds_drops_them(estimator, table, changes, given):
    """Without folds there is nothing out of fold, after a fit with them neither."""
    X, y = table
    model = estimator(**FOLDED).fit(X, y)
    assert _has_oof(model)
    model.set_params(**changes)
    model.fit(X, y, **({"X_val": X, "y_val": y} if given else {}))
    assert not _has_oof(model)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_partial_fit_drops_them(estimator, table):
    """partial_fit trains all members on all rows: nothing is out of fold any more."""
    X, y = table
    model = estimator(**FOLDED).fit(X, y)
    model.set_params(early_stopping="auto").partial_fit(X, y)
    assert not _has_oof(model)


@pytest.mark.parametrize("random_state", [0, None, "instance"])
def test_warm_start_keeps_the_folds(table, random_state):
    """Warm starts hold out the folds of the first fit, whatever random_state is."""
    X, y = table
    if random_state == "instance":
        random_state = np.random.RandomState(0)
    model = plain_classifier(
        **{**FOLDED, "random_state": random_state}, warm_start=True
    )
    folds = model.fit(X, y)._folds
    for _ in range(2):
        first = model.oof_prediction_
        assert model.fit(X, y)._folds == folds
        assert _has_oof(model)
        assert not np.array_equal(model.oof_prediction_, first)


@pytest.mark.parametrize(
    "first", [{"early_stopping": False}, {"validation_fraction": KFold(4)}]
)
def test_warm_start_from_other_folds(table, first):
    """Members that have trained on what they hold out now predict nothing unseen."""
    X, y = table
    model = plain_classifier(**{**FOLDED, **first}, warm_start=True).fit(X, y)
    model.set_params(early_stopping=True, validation_fraction=0.1)
    for _ in range(2):
        model.fit(X, y)
        assert "valid_loss" in model.history_
        assert not _has_oof(model)
    assert _has_oof(model.set_params(warm_start=False).fit(X, y))


def test_splitter_that_shuffles_anew(table):
    """After a warm start on another shuffle no row is called unseen."""
    X, y = table
    splitter = ShuffleSplit(8, random_state=np.random.RandomState(0))
    model = plain_classifier(**FOLDED, validation_fraction=splitter, warm_start=True)
    assert _has_oof(model.fit(X, y))
    assert not _has_oof(model.fit(X, y))


def test_failed_refit_keeps_them(table):
    """A fit that fails leaves the predictions of the last one."""
    X, y = table
    model = plain_classifier(**FOLDED).fit(X, y)
    before = model.oof_prediction_
    with pytest.raises(ValueError, match="n_samples=1"):
        model.fit(X[:1], y[:1])
    assert model.oof_prediction_ is before


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_pickle_and_clone(estimator, table):
    """A pickle keeps the predictions, a clone has none."""
    X, y = table
    model = estimator(**FOLDED).fit(X, y)
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.oof_prediction_, model.oof_prediction_)
    assert loaded.oof_score_ == model.oof_score_
    assert not _has_oof(clone(model))


# ------------------------------------------------------------------------ score


def test_score_of_a_constant():
    """Without anything to explain R squared is 1 for no error, and 0 otherwise."""
    target = np.full((4, 2), 3.0)
    assert oof_score(target, target, None, "squared_error") == 1.0
    half = target + np.array([0.0, 1.0])
    assert oof_score(half, target, None, "squared_error") == 0.5


def test_score_without_weight():
    """Where only rows without weight have a prediction, there is no score."""
    response = np.array([[np.nan], [1.0], [2.0]])
    weight = np.array([1.0, 0.0, 0.0])
    assert np.isnan(oof_score(response, response, weight, "squared_error"))
