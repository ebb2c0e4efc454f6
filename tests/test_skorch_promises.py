"""What skorch and SciKeras promise users and no other test here holds."""

from __future__ import annotations

import numpy as np
import pytest
from estimators import SMALL, all_weights, plain_classifier
from sklearn.base import clone
from sklearn.ensemble import AdaBoostClassifier
from sklearn.multioutput import MultiOutputClassifier


def test_boosting(table):
    """AdaBoost takes the classifier, weights of rows included, and learns."""
    X, y = table
    network = plain_classifier(**{**SMALL, "max_epochs": 40, "learning_rate": 0.02})
    model = AdaBoostClassifier(network, n_estimators=3, random_state=0)
    assert model.fit(X, y).score(X, y) > max(y.mean(), 1 - y.mean())


def test_several_classes_for_each_row(table):
    """Classes in columns are refused, and learned one column by one."""
    X, y = table
    columns = np.column_stack([y, np.arange(len(y)) % 3])
    network = plain_classifier(**SMALL)
    with pytest.raises(ValueError, match="y should be a 1d array"):
        network.fit(X, columns)
    predicted = MultiOutputClassifier(network).fit(X, columns).predict(X)
    assert predicted.shape == columns.shape


def test_parameters_of_a_fitted_model(table):
    """set_params on a fitted model changes the next fit, and no prediction before."""
    X, y = table
    model = plain_classifier(**SMALL).fit(X, y)
    before = model.predict_proba(X)
    model.set_params(learning_rate=0.1, n_units__0=3, activation__1="tanh")
    np.testing.assert_array_equal(model.predict_proba(X), before)
    fresh = clone(model).fit(X, y)
    np.testing.assert_array_equal(all_weights(model.fit(X, y)), all_weights(fresh))
    assert model.hidden_layer_sizes_ == (3, 8)
