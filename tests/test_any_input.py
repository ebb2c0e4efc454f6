"""Whatever comes is refused before training, or learned and predicted well-formed."""

from __future__ import annotations

import re
import warnings
from contextlib import contextmanager

import any_input
import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from sknnopt import OptimizedMLPClassifier, OptimizedMLPRegressor, _fitting

CLASSIFIER, REGRESSOR = OptimizedMLPClassifier, OptimizedMLPRegressor
TINY = {"n_members": 1, "max_epochs": 2, "n_layers": 1, "n_units": 3, "random_state": 0}
#: A clear error says which of the things it was given is wrong.
NAMED = re.compile(
    r"\b(X|y|X_val|y_val|sample_weight\w*|classes)\b|[Ff]eature|[Cc]olumn|sample"
    r"|class|label|target|The '\w+' parameter"
)
estimators = pytest.mark.parametrize("estimator", [CLASSIFIER, REGRESSOR])


class Training:
    """Tells whether training has begun."""

    has_begun = False


@contextmanager
def watched():
    """Note whether training begins."""
    training = Training()
    original = _fitting._run

    def run(*args, **kwargs):
        training.has_begun = True
        return original(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setattr(_fitting, "_run", run)
        warnings.simplefilter("ignore")
        yield training


def refused(function, *args, **kwargs):
    """Call, and return whether that was refused; an unclear error is a failure."""
    error = None
    with watched() as training:
        try:
            function(*args, **kwargs)
        except (ValueError, TypeError) as raised:
            error = raised
    if error is None:
        event("fitted")
        return False
    assert not training.has_begun, f"training began before the error: {error}"
    names = NAMED.search(str(error))
    assert names, f"an unclear error: {error}"
    event("refused")
    return True


def check_predictions(model, X, n_rows):
    """Assert that all that is predicted is well-formed."""
    predicted = model.predict(X)
    assert len(predicted) == n_rows
    if isinstance(model, REGRESSOR):
        assert predicted.dtype == np.float64
        assert np.isfinite(predicted).all()
        assert np.isfinite(model.predict(X, return_std=True)[1]).all()
        return
    probability = model.predict_proba(X)
    assert probability.shape == (n_rows, len(model.classes_))
    assert np.isfinite(probability).all()
    assert ((probability >= 0) & (probability <= 1)).all()
    if predicted.ndim == 2:
        assert np.isin(predicted, [0, 1]).all()
        return
    np.testing.assert_allclose(probability.sum(axis=1), 1, rtol=1e-5)
    assert predicted.dtype == model.classes_.dtype
    assert all(label in model.classes_ for label in predicted)


def target_of(estimator, n_rows):
    """Draw targets of all kinds that the estimator may be given."""
    is_classifier = estimator is CLASSIFIER
    return any_input.labels(n_rows) if is_classifier else any_input.targets(n_rows)


def settings_of(estimator):
    """Draw parameters."""
    return any_input.settings_of(estimator is CLASSIFIER)


def simple_target(estimator, n_rows):
    """Return a target that is well."""
    return np.arange(n_rows) % 2 if estimator is CLASSIFIER else np.arange(n_rows) / 7.0


@estimators
@given(data=st.data())
def test_any_table(estimator, data):
    """Any table is refused before training, or its rows get well-formed predictions."""
    n_rows, n_columns = data.draw(any_input.sizes())
    X = data.draw(any_input.tables(n_rows, n_columns))
    model = estimator(**{**TINY, **data.draw(settings_of(estimator))})
    if not refused(model.fit, X, simple_target(estimator, n_rows)):
        check_predictions(model, X, n_rows)


@estimators
@given(data=st.data())
def test_any_target(estimator, data):
    """Any target is refused before training, or learned."""
    n_rows, n_columns = data.draw(any_input.sizes())
    X = data.draw(
        st.builds(
            lambda g: g.normal(size=(n_rows, n_columns or 1)), any_input.generators()
        )
    )
    y = data.draw(target_of(estimator, n_rows))
    model = estimator(**{**TINY, **data.draw(settings_of(estimator))})
    if not refused(model.fit, X, y):
        check_predictions(model, X, n_rows)


@estimators
@given(data=st.data())
def test_any_weight(estimator, data):
    """Any weights are refused before training, or count."""
    n_rows, _ = data.draw(any_input.sizes())
    X = data.draw(any_input.generators()).normal(size=(n_rows, 2))
    weight = data.draw(any_input.weights(n_rows))
    model = estimator(**{**TINY, **data.draw(settings_of(estimator))})
    y = simple_target(estimator, n_rows)
    if not refused(model.fit, X, y, sample_weight=weight):
        check_predictions(model, X, n_rows)


@estimators
@given(data=st.data())
def test_anything_at_once(estimator, data):
    """Any table with any target and weights is refused before training, or learned."""
    n_rows, n_columns = data.draw(any_input.sizes())
    X = data.draw(any_input.tables(n_rows, n_columns))
    y = data.draw(target_of(estimator, n_rows))
    weight = data.draw(any_input.weights(n_rows))
    model = estimator(**{**TINY, **data.draw(settings_of(estimator))})
    if not refused(model.fit, X, y, sample_weight=weight):
        check_predictions(model, X, n_rows)


@estimators
@given(data=st.data())
def test_any_rows_to_predict(estimator, data):
    """Rows of any other kind are refused by predict, or get well-formed predictions."""
    n_columns = data.draw(st.integers(1, 3))
    X = data.draw(
        st.one_of(
            any_input.frames(8, n_columns), any_input.number_arrays((8, n_columns))
        )
    )
    model = estimator(**{**TINY, **data.draw(settings_of(estimator))})
    if refused(model.fit, X, simple_target(estimator, 8)):
        return
    n_rows = data.draw(st.integers(0, 6))
    other = data.draw(any_input.tables(n_rows, n_columns))
    if not refused(model.predict, other):
        check_predictions(model, other, len(model.predict(other)))


@estimators
@given(data=st.data())
def test_any_validation_set(estimator, data):
    """Any validation set is refused before training, or watched."""
    n_rows, n_columns = data.draw(any_input.sizes())
    X = data.draw(any_input.generators()).normal(size=(8, 3))
    X_val = data.draw(
        any_input.tables(n_rows, data.draw(st.sampled_from([n_columns, 3])))
    )
    valid = {
        "X_val": X_val,
        "y_val": data.draw(target_of(estimator, n_rows)),
        "sample_weight_val": data.draw(any_input.weights(n_rows)),
    }
    model = estimator(**{**TINY, **data.draw(settings_of(estimator))})
    if not refused(model.fit, X, simple_target(estimator, 8), **valid):
        check_predictions(model, X, 8)


@estimators
@given(data=st.data())
def test_any_part(estimator, data):
    """Any part for partial_fit is refused before training, or learned."""
    n_rows, n_columns = data.draw(any_input.sizes())
    parts = [
        (
            data.draw(
                any_input.tables(n_rows, data.draw(st.sampled_from([n_columns, 2])))
            ),
            data.draw(target_of(estimator, n_rows)),
        )
        for _ in range(2)
    ]
    settings = data.draw(settings_of(estimator))
    settings.pop("early_stopping", None)
    model = estimator(**{**TINY, **settings})
    known = {}
    if estimator is CLASSIFIER:
        known = {"classes": data.draw(any_input.labels(n_rows))}
    for X, y in parts:
        if not refused(model.partial_fit, X, y, **known):
            check_predictions(model, X, len(model.predict(X)))
