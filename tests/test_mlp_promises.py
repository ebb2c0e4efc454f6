"""What scikit-learn's tests of its own networks promise users, held to ours.

docs/trust.rst has the table of all of them, and where else they are tested.
"""

from __future__ import annotations

import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
from estimators import ESTIMATORS, plain_classifier, plain_regressor
from sklearn.datasets import (
    load_digits,
    load_iris,
    make_multilabel_classification,
    make_regression,
)
from sklearn.linear_model import PoissonRegressor
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import minmax_scale

from sknnopt.activations import ACTIVATIONS


@pytest.fixture(scope="module")
def digits():
    """Return 240 digits from 0 to 2, between zero and one."""
    X, y = load_digits(n_class=3, return_X_y=True)
    return minmax_scale(X)[:240], y[:240]


@pytest.fixture(scope="module")
def iris():
    """Return the 150 flowers of three kinds."""
    return load_iris(return_X_y=True)


LEARNING = {"n_units": 20, "n_layers": 1, "learning_rate": 0.02, "random_state": 1}


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("activation", list(ACTIVATIONS))
def test_digits_are_learned(digits, n_classes, activation):
    """Every activation learns to tell digits, two or three of them."""
    X, y = digits
    X, y = X[y < n_classes], y[y < n_classes]
    model = plain_classifier(**LEARNING, activation=activation, max_epochs=60)
    model.fit(X[:120], y[:120])
    assert model.score(X[:120], y[:120]) > 0.95
    predicted = model.predict(X[120:])
    assert (len(predicted), predicted.dtype) == (len(X) - 120, y.dtype)


def test_curves_beat_the_line():
    """What is not linear fits a curve that a linear network cannot."""
    X, _ = make_regression(150, n_features=3, random_state=1)
    y = np.sin(X[:, 0]) + X[:, 1] ** 2
    scores = {}
    for activation in ("identity", "tanh", "relu"):
        model = plain_regressor(**LEARNING, activation=activation, max_epochs=400)
        scores[activation] = model.fit(X, y).score(X, y)
    assert min(scores["tanh"], scores["relu"]) > 0.97
    assert scores["identity"] < 0.5


def test_penalty_shrinks_every_layer(digits):
    """A stronger penalty leaves smaller weights in each layer."""
    sums = [
        [
            np.abs(layer).sum()
            for layer in plain_classifier(**LEARNING, l2=l2, max_epochs=50)
            .fit(*digits)
            .coefs_
        ]
        for l2 in (0.0, 0.01, 0.1)
    ]
    assert (np.diff(sums, axis=0) < 0).all()


def test_multilabel():
    """Labels side by side are learned by fit, by partial_fit, and with early stopping.

    Their probabilities do not sum to one.
    """
    X, y = make_multilabel_classification(50, random_state=0)
    settings = {**LEARNING, "scale_inputs": True}
    model = plain_classifier(**settings, max_epochs=150).fit(X, y)
    assert model.score(X, y) > 0.97
    probability = model.predict_proba(X)
    np.testing.assert_array_equal(probability > 0.5, y)
    assert np.abs(probability.sum(axis=1) - 1).max() > 0.1
    parts = plain_classifier(**settings)
    for _ in range(150):
        parts.partial_fit(X, y, classes=np.arange(5))
    assert parts.score(X, y) > 0.9
    early = plain_classifier(**settings, max_epochs=2, early_stopping=True)
    assert early.fit(X, y).predict(X).shape == y.shape


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_parts_are_epochs(iris, momentum, optimizer):
    """As many calls of partial_fit as epochs lead where fit does."""
    X, y = iris
    settings = {**LEARNING, "optimizer": optimizer, "momentum": momentum}
    for make in ESTIMATORS:
        whole = make(**settings, max_epochs=8).fit(X, y)
        parts = make(**settings)
        known = {"classes": [0, 1, 2]} if make is plain_classifier else {}
        for _ in range(8):
            parts.partial_fit(X, y, **known)
        np.testing.assert_allclose(whole.coefs_[0], parts.coefs_[0], rtol=1e-10)
        np.testing.assert_allclose(whole.predict(X), parts.predict(X), rtol=1e-10)


def test_classes_of_partial_fit():
    """Classes may come later, but no others than were told of in the first call."""
    model = plain_classifier(**LEARNING)
    X = np.array([[1.0], [2.0], [3.0], [4.0]])
    model.partial_fit(X[:3], ["a", "b", "c"], classes=["a", "b", "c", "d"])
    for _ in range(200):
        model.partial_fit(X, ["a", "b", "c", "d"])
    assert model.score(X, ["a", "b", "c", "d"]) > 0.4
    with pytest.raises(ValueError, match="'classes' parameter"):
        model.partial_fit(X[:1], ["a"], classes=["a", "e"])
    with pytest.raises(ValueError, match=r"y has labels .*\['e'\]"):
        model.partial_fit(X[:1], ["e"])
    with pytest.raises(ValueError, match=r"y has labels .*\[0\]"):
        plain_classifier().partial_fit(X[:2], [1, 0], classes=[1])


@pytest.mark.parametrize("n_classes", [2, 3])
def test_probabilities(digits, n_classes):
    """Logarithms are those of the probabilities, and these rank the rows."""
    X, y = digits
    X, y = X[y < n_classes], y[y < n_classes]
    model = plain_classifier(**LEARNING, max_epochs=60).fit(X, y)
    probability = model.predict_proba(X)
    assert probability.shape == (len(X), n_classes)
    np.testing.assert_allclose(model.predict_log_proba(X), np.log(probability))
    np.testing.assert_array_equal(model.predict(X), probability.argmax(axis=1))
    score = probability[:, 1] if n_classes == 2 else probability
    assert roc_auc_score(y, score, multi_class="ovr") > 0.999


def test_shuffle():
    """The order of rows decides the weights, and the seed decides the order."""
    X, y = make_regression(50, n_features=5, random_state=0)
    settings = {"n_units": 3, "max_epochs": 1, "batch_size": 1, "random_state": 0}
    settings["activation"] = "tanh"
    weights = [
        plain_regressor(**settings, shuffle=shuffle).fit(X, y).coefs_[0]
        for shuffle in (True, True, False, False)
    ]
    np.testing.assert_array_equal(weights[0], weights[1])
    np.testing.assert_array_equal(weights[2], weights[3])
    assert not np.array_equal(weights[0], weights[2])


@pytest.mark.parametrize(
    "y", [[0] * 75 + [1] * 75, [0, 1, 3] * 50, [0, 1, 2, 3, 4] * 30], ids=len
)
def test_warm_start_has_the_same_classes(iris, y):
    """A warm start takes classes that were there, and no other."""
    X, before = iris
    model = plain_classifier(**LEARNING, warm_start=True, max_epochs=2).fit(X, before)
    if set(y) <= {0, 1, 2}:
        assert model.fit(X, y).classes_.tolist() == [0, 1, 2]
        return
    with pytest.raises(ValueError, match="y has labels"):
        model.fit(X, y)


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_warm_start_runs_its_epochs(iris, estimator, early_stopping):
    """A warm start trains max_epochs again, at the same rate, and the history grows."""
    settings = {**LEARNING, "early_stopping": early_stopping, "n_iter_no_change": None}
    model = estimator(**settings, warm_start=True, max_epochs=3).fit(*iris)
    assert (model.n_iter_, len(model.history_)) == (3, 3)
    model.set_params(max_epochs=4).fit(*iris)
    assert len(model.history_) == 7
    assert model.history_["learning_rate"].nunique() == 1
    assert ("valid_score" in model.history_) == early_stopping


def test_no_patience_means_all_epochs(iris):
    """With ``n_iter_no_change=None`` no tolerance ends a run."""
    settings = {**LEARNING, "tol": 1e9, "max_epochs": 40}
    assert plain_classifier(**settings, n_iter_no_change=None).fit(*iris).n_iter_ == 40
    assert plain_classifier(**settings, n_iter_no_change=5).fit(*iris).n_iter_ < 40


def test_early_stopping_with_words_as_labels(iris):
    """Labels may be words where rows are held out; each epoch has a finite score."""
    X, y = iris
    words = np.array(["setosa", "versicolor", "virginica"], dtype=object)[y]
    model = plain_classifier(**LEARNING, early_stopping=True, max_epochs=5)
    scores = model.fit(X, words).history_["valid_score"]
    assert len(scores) == model.n_iter_
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_single_precision_predicts_the_same(digits, estimator):
    """Rows in single precision lead to the same predictions but for rounding."""
    X, y = digits
    settings = {**LEARNING, "max_epochs": 20}
    double = estimator(**settings).fit(X, y).predict(X)
    single = estimator(**settings).fit(X.astype(np.float32), y)
    assert single.coefs_[0].dtype == np.float32
    np.testing.assert_allclose(
        single.predict(X.astype(np.float32)), double, rtol=1e-3, atol=1e-3
    )


def test_a_model_from_a_file_goes_on(tmp_path):
    """A model that joblib dumped learns a new target by partial_fit."""
    X, y = np.array([[1.0], [2.0]]), np.array([4.0, 6.0])
    model = plain_regressor(**LEARNING, max_epochs=200).fit(X, y)
    joblib.dump(model, tmp_path / "model.pkl")
    loaded = joblib.load(tmp_path / "model.pkl")
    for _ in range(300):
        loaded.partial_fit(X, [5.0, 5.5])
    np.testing.assert_allclose(loaded.predict(X), [5.0, 5.5], atol=0.01)
    np.testing.assert_allclose(model.predict(X), [4.0, 6.0], atol=0.1)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_names_of_columns_give_no_warning(rng, estimator):
    """Held-out rows of a frame keep its names: nothing warns of them."""
    X = pd.DataFrame(rng.normal(size=(10, 2)), columns=["first", "second"])
    model = estimator(early_stopping=True, validation_fraction=0.2, max_epochs=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model.fit(X, pd.Series(np.ones(10), name="target")).predict(X)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_partial_fit_and_early_stopping(iris, estimator):
    """After a fit with early stopping, partial_fit is not there and says why."""
    model = estimator(**LEARNING, early_stopping=True, max_epochs=2).fit(*iris)
    assert not hasattr(model, "partial_fit")
    with pytest.raises(AttributeError) as caught:
        _ = model.partial_fit
    assert "early_stopping=True" in str(caught.value.__cause__)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_weights_of_one_hold_out_the_same_rows(iris, estimator):
    """Weights that are all one are no weights, where rows are held out too."""
    model = estimator(**LEARNING, early_stopping=True, batch_size=10, max_epochs=5)
    without = model.fit(*iris).predict(iris[0])
    ones = model.fit(*iris, sample_weight=np.ones(150)).predict(iris[0])
    np.testing.assert_allclose(ones, without)


def test_poisson_without_hidden_layers_is_the_linear_model():
    """Without a hidden layer the Poisson loss leads to the generalized linear model."""
    X = np.linspace(0, 1, 100)[:, None]
    y = np.random.default_rng(0).poisson(np.exp(X[:, 0] + 1))
    expected = PoissonRegressor(alpha=0, tol=1e-8).fit(X, y).predict(X)
    model = plain_regressor(
        loss="poisson", n_layers=0, learning_rate=0.05, max_epochs=2000, tol=0
    )
    model.set_params(random_state=0, n_iter_no_change=None, lr_schedule="cosine")
    np.testing.assert_allclose(model.fit(X, y).predict(X), expected, rtol=1e-4)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_fewest_rows_with_early_stopping(estimator):
    """Two rows can be divided, one cannot, which is said."""
    model = estimator(early_stopping=True, max_epochs=2, random_state=0)
    X = np.array([[0.0], [1.0]])
    assert len(model.fit(X, [0, 1]).predict(X)) == 2
    with pytest.raises(ValueError, match="early_stopping=False"):
        model.fit(X[:1], [0])


def test_largest_numbers(rng):
    """Rows near the largest float give finite predictions, where theirs raises."""
    X = np.finfo(np.float64).max * rng.uniform(size=(10, 2))
    y = rng.normal(size=10)
    for model in (plain_regressor(max_epochs=3), plain_regressor(scale_inputs=True)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert np.isfinite(model.fit(X, y).predict(X)).all()
