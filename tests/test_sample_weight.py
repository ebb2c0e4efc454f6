"""Weights and repetitions where they cannot be equal bit for bit: equal on average."""

from __future__ import annotations

import numpy as np
import pytest
from estimators import plain_classifier, plain_regressor
from joblib import Parallel, delayed, parallel_config

N_SEEDS = 30
PLAIN = {
    "n_layers": 1,
    "n_units": 8,
    "learning_rate": 0.02,
    "lr_schedule": "cosine",
    "l2": 0.01,
    "early_stopping": False,
    "n_iter_no_change": None,
    "max_epochs": 60,
}


@pytest.fixture
def table(rng):
    """Return rows, whole weights, targets of both kinds and rows to predict."""
    X = rng.normal(size=(60, 3))
    noise = rng.normal(size=60)
    # Rows with high targets weigh more, so that a weight left out shows.
    weight = np.where(noise > 0, 4, rng.integers(0, 2, size=60))
    signal = X @ [1.0, -1.0, 0.5] + noise
    targets = {
        plain_classifier: (signal > 0).astype(int),
        plain_regressor: signal,
    }
    return X, weight, targets, rng.normal(size=(20, 3))


def _predictions(estimator, settings, X, y, weight, X_new, first_seed):
    def predicted(seed):
        model = estimator(random_state=seed, **settings).fit(X, y, weight)
        is_classifier = hasattr(model, "predict_proba")
        return (
            model.predict_proba(X_new)[:, 1] if is_classifier else model.predict(X_new)
        )

    # All seeds train together, each as it does alone (see test_together.py).
    seeds = range(first_seed, first_seed + N_SEEDS)
    with parallel_config(backend="sknnopt"):
        return np.array(Parallel()(delayed(predicted)(seed) for seed in seeds))


def _distance(one, other):
    """Return the difference of the means in standard errors."""
    error = np.sqrt((one.var(axis=0, ddof=1) + other.var(axis=0, ddof=1)) / N_SEEDS)
    return np.abs(one.mean(axis=0) - other.mean(axis=0)) / error


@pytest.mark.parametrize("own", [{"dropout": 0.2}, {"early_stopping": True}])
@pytest.mark.parametrize("estimator", [plain_classifier, plain_regressor])
def test_mean_prediction(table, estimator, own):
    """Over 30 seeds, weighted and repeated rows predict the same within 3 errors."""
    X, weight, targets, X_new = table
    y, settings = targets[estimator], {**PLAIN, **own}
    weighted = _predictions(estimator, settings, X, y, weight, X_new, 0)
    repeated = _predictions(
        estimator, settings, X.repeat(weight, 0), y.repeat(weight), None, X_new, 1000
    )
    assert _distance(weighted, repeated).max() < 3
    # Not for want of power: without the weights the difference shows.
    ignored = _predictions(estimator, settings, X, y, None, X_new, 2000)
    assert _distance(ignored, repeated).max() > 3


@pytest.mark.parametrize("estimator", [plain_classifier, plain_regressor])
def test_mean_prediction_of_small_batches(table, estimator):
    """The same holds for the mean over rows with mini-batches, at as many updates."""
    X, weight, targets, X_new = table
    y = targets[estimator]
    X_many, y_many = X.repeat(weight, 0), y.repeat(weight)
    n_few = -(-np.count_nonzero(weight) // 8)
    n_many = -(-len(y_many) // 8)
    few = {**PLAIN, "batch_size": 8, "max_epochs": 4 * n_many}
    many = {**PLAIN, "batch_size": 8, "max_epochs": 4 * n_few}
    weighted = _predictions(estimator, few, X, y, weight, X_new, 0).mean(axis=1)
    repeated = _predictions(estimator, many, X_many, y_many, None, X_new, 1000)
    assert _distance(weighted, repeated.mean(axis=1)) < 3


@pytest.mark.parametrize("normalization", [None, "layer", "batch"])
def test_equality_of_full_batches(table, normalization):
    """With one batch of all rows equality is exact, batch normalization included."""
    X, weight, targets, X_new = table
    y = targets[plain_regressor]
    model = plain_regressor(
        **{**PLAIN, "normalization": normalization, "random_state": 0}
    )
    weighted = model.fit(X, y, weight).predict(X_new)
    repeated = model.fit(X.repeat(weight, 0), y.repeat(weight)).predict(X_new)
    np.testing.assert_allclose(weighted, repeated, rtol=1e-7)
