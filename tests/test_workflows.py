"""The estimators inside the workflows of scikit-learn."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import sklearn
from estimators import plain_classifier, plain_regressor
from scipy.stats import loguniform, randint
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    RandomizedSearchCV,
    TunedThresholdClassifierCV,
    cross_val_predict,
    cross_validate,
    learning_curve,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sknnopt.datasets import load_pima

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def pima():
    """Return 150 rows of the Pima table."""
    X, y = load_pima(return_X_y=True)
    return X[:150], y[:150]


def _pipeline(**settings):
    quick = {"n_units": 8, "max_epochs": 5, "random_state": 0, **settings}
    return Pipeline([("scaler", StandardScaler()), ("mlp", plain_classifier(**quick))])


def _assert_complete(search, n_candidates):
    scores = search.cv_results_["mean_test_score"]
    assert len(scores) == n_candidates
    assert np.isfinite(scores).all()
    assert search.best_score_ == scores.max()
    assert 0 <= search.score(*search._data) <= 1


def _fit(search, pima):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        search.fit(*pima)
    search._data = pima
    return search


def test_grid_search(pima):
    """GridSearchCV tunes strings, sequences, indexed layers and a rate of 1e3."""
    grid = [
        {
            "mlp__learning_rate": [1e-2, 1e3],
            "mlp__activation": ["relu", ["tanh", "sigmoid"]],
            "mlp__dropout__0": [0.0, 0.5],
        },
        {"mlp__n_units": [100], "mlp__hidden_layer_sizes": ["8-4", (4,), 6]},
    ]
    search = _fit(GridSearchCV(_pipeline(), grid, cv=3, error_score="raise"), pima)
    _assert_complete(search, 11)


def test_randomized_search(pima):
    """RandomizedSearchCV draws depth, per-layer units and a log-uniform rate."""
    space = {
        "mlp__n_layers": randint(1, 4),
        "mlp__n_units__0": randint(4, 16),
        "mlp__n_units__2": randint(4, 16),
        "mlp__learning_rate": loguniform(1e-4, 1e3),
        "mlp__optimizer": ["adam", "sgd", "rmsprop", "adadelta"],
        "mlp__weight_init": ["zeros", "he_normal", "xavier_fan_in"],
    }
    search = RandomizedSearchCV(
        _pipeline(), space, n_iter=8, cv=3, random_state=0, error_score="raise"
    )
    _assert_complete(_fit(search, pima), 8)


def test_cross_validation(pima):
    """Scores, predictions and learning curves come out finite and repeatable."""
    X, y = pima
    scoring = ["accuracy", "neg_log_loss", "roc_auc"]
    once = cross_validate(_pipeline(), X, y, scoring=scoring, cv=3)
    twice = cross_validate(_pipeline(), X, y, scoring=scoring, cv=3, n_jobs=2)
    for name in scoring:
        assert np.isfinite(once[f"test_{name}"]).all()
        np.testing.assert_array_equal(once[f"test_{name}"], twice[f"test_{name}"])
    probability = cross_val_predict(_pipeline(), X, y, cv=3, method="predict_proba")
    np.testing.assert_allclose(probability.sum(axis=1), 1)
    _, train, _ = learning_curve(_pipeline(), X, y, cv=3, train_sizes=[0.5, 1.0])
    assert np.isfinite(train).all()


@pytest.mark.parametrize(
    "wrap",
    [
        lambda model: BaggingClassifier(model, n_estimators=3, random_state=0),
        lambda model: CalibratedClassifierCV(model, cv=3),
        OneVsRestClassifier,
        lambda model: StackingClassifier([("mlp", model)], LogisticRegression(), cv=3),
        lambda model: TunedThresholdClassifierCV(model, cv=3),
    ],
)
def test_meta_classifiers(pima, wrap):
    """scikit-learn's meta-classifiers take the estimator and do better than chance."""
    X, y = pima
    model = wrap(_pipeline(max_epochs=30, learning_rate=0.01))
    assert model.fit(X, y).score(X, y) > max(y.mean(), 1 - y.mean())


@pytest.mark.parametrize(
    "wrap",
    [
        MultiOutputRegressor,
        lambda model: TransformedTargetRegressor(
            model, func=np.exp, inverse_func=np.log
        ),
    ],
)
def test_meta_regressors(rng, wrap):
    """scikit-learn's meta-regressors take the estimator."""
    X = rng.normal(size=(80, 3))
    y = np.abs(X[:, :2])
    model = plain_regressor(
        n_units=16, max_epochs=150, learning_rate=0.01, random_state=0
    )
    assert wrap(model).fit(X, y).score(X, y) > 0.5
    voting = VotingRegressor([("one", model)]).fit(X, y[:, 0])
    assert voting.score(X, y[:, 0]) > 0.5


def test_column_transformer(pima):
    """One-hot columns, sparse or not, go in through a ColumnTransformer."""
    X, y = pima
    X = X.assign(Group=np.where(X["Age"] > 30, "old", "young"))
    prepare = ColumnTransformer(
        [("text", OneHotEncoder(), ["Group"])], remainder=StandardScaler()
    )
    model = make_pipeline(prepare, plain_classifier(max_epochs=20, random_state=0))
    assert model.fit(X, y).score(X, y) > 0.6


def test_validation_set_through_a_pipeline(pima):
    """Pipeline(transform_input=["X_val"]) scales the validation set like the rest."""
    X, y = pima
    with sklearn.config_context(enable_metadata_routing=True):
        network = plain_classifier(n_units=8, max_epochs=5, random_state=0)
        network.set_fit_request(X_val=True, y_val=True)
        pipeline = Pipeline(
            [("scaler", StandardScaler()), ("mlp", network)], transform_input=["X_val"]
        )
        pipeline.fit(X[:100], y[:100], X_val=X[100:], y_val=y[100:])
    scaler = StandardScaler().fit(X[:100])
    by_hand = plain_classifier(n_units=8, max_epochs=5, random_state=0).fit(
        scaler.transform(X[:100]),
        y[:100],
        X_val=scaler.transform(X[100:]),
        y_val=y[100:],
    )
    np.testing.assert_array_equal(
        pipeline.predict_proba(X), by_hand.predict_proba(scaler.transform(X))
    )


def test_sample_weight_is_routed(pima):
    """With metadata routing a search hands the weights to the estimator."""
    X, y = pima
    weight = np.linspace(0, 2, 150)
    with sklearn.config_context(enable_metadata_routing=True):
        network = plain_classifier(n_units=8, max_epochs=3, random_state=0)
        network.set_fit_request(sample_weight=True)
        network.set_score_request(sample_weight=True)
        search = GridSearchCV(network, {"max_epochs": [3]}, cv=3)
        routed = search.fit(X, y, sample_weight=weight).best_estimator_
    direct = plain_classifier(n_units=8, max_epochs=3, random_state=0)
    direct.fit(X, y, sample_weight=weight)
    np.testing.assert_array_equal(routed.predict_proba(X), direct.predict_proba(X))


def test_html_representation():
    """The notebook's picture of the estimator shows the parameters that were set."""
    html = plain_classifier(dropout={0: 0.25})._repr_html_()
    assert "OptimizedMLPClassifier" in html
    assert "0.25" in html


def test_set_output(pima):
    """A pipeline with set_output("pandas") hands over named columns."""
    X, y = pima
    model = _pipeline().set_output(transform="pandas").fit(X, y)
    assert model["mlp"].feature_names_in_.tolist() == X.columns.tolist()
