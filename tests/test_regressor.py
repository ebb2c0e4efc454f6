"""The regressor: units of the target, losses, bounds."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from estimators import plain_regressor
from scipy import sparse
from sklearn.base import clone
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknnopt.losses import LOSSES

REGRESSION = [name for name, option in LOSSES.items() if option.task == "regression"]
LONG = {
    "n_layers": 0,
    "learning_rate": 0.05,
    "lr_schedule": "cosine",
    "max_epochs": 500,
    "n_iter_no_change": None,
    "random_state": 0,
}


@pytest.mark.parametrize("loss", REGRESSION)
def test_constant_that_minimizes_the_loss(rng, loss):
    """Without informative features each loss finds its own statistic of the target."""
    y = rng.gamma(2.0, 10.0, size=101)
    model = plain_regressor(**LONG, loss=loss, quantile=0.8, huber_delta=0.5)
    prediction = model.fit(np.zeros((101, 1)), y).predict([[0.0]])[0]
    if loss == "huber":
        # The derivative of Huber's loss in standard deviations vanishes there.
        clipped = np.clip((y - prediction) / y.std(), -0.5, 0.5)
        assert abs(clipped.mean()) < 1e-3
        return
    expected = {
        "squared_error": y.mean(),
        "poisson": y.mean(),
        "absolute_error": np.median(y),
        "quantile": np.quantile(y, 0.8),
    }[loss]
    assert prediction == pytest.approx(expected, rel=5e-3)


def test_least_squares(rng):
    """A linear model without penalty finds the least-squares solution."""
    X = rng.normal(size=(50, 3))
    y = 100 + 10 * (X @ [1.0, -2.0, 0.5] + 0.1 * rng.normal(size=50))
    model = plain_regressor(**LONG).fit(X, y)
    design = np.c_[np.ones(50), X]
    expected = design @ np.linalg.lstsq(design, y, rcond=None)[0]
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-5)


def test_units_do_not_matter(rng):
    """Shifting and scaling the target shifts and scales the predictions."""
    X = rng.normal(size=(50, 3))
    y = rng.normal(size=50)
    model = plain_regressor(n_units=8, max_epochs=20, random_state=0)
    plain = clone(model).fit(X, y).predict(X)
    moved = clone(model).fit(X, 1e6 + 1e3 * y).predict(X)
    np.testing.assert_allclose(moved, 1e6 + 1e3 * plain, rtol=1e-9)


def test_many_targets(rng):
    """Each of several targets is standardized on its own, and scored like R squared."""
    X = rng.normal(size=(60, 3))
    y = X @ rng.normal(size=(3, 2)) * [1.0, 1e4] + [0.0, 1e5]
    model = plain_regressor(
        n_units=16, max_epochs=200, learning_rate=0.01, random_state=0
    )
    model.fit(X, y, X_val=X, y_val=y)
    prediction = model.predict(X)
    assert prediction.shape == y.shape
    assert r2_score(y, prediction) > 0.95
    best = model.history_.set_index("epoch").valid_score[model.best_epoch_]
    assert best == pytest.approx(r2_score(y, prediction))


def test_shape_of_the_target_comes_back(rng):
    """A target of one column as a matrix is predicted as a matrix."""
    X = rng.normal(size=(30, 2))
    model = plain_regressor(n_units=4, max_epochs=2, random_state=0)
    assert model.fit(X, X[:, 0]).predict(X).shape == (30,)
    assert model.fit(X, X[:, :1]).predict(X).shape == (30, 1)


@pytest.mark.parametrize("value", [0.0, -3.25, 1e300])
def test_constant_target(rng, value):
    """A constant target is predicted exactly."""
    X = rng.normal(size=(30, 2))
    model = plain_regressor(n_units=4, max_epochs=2, random_state=0)
    np.testing.assert_array_equal(model.fit(X, np.full(30, value)).predict(X), value)


def test_huge_target_is_finite(rng):
    """A target near the largest number is fitted and predicted finitely."""
    X = rng.normal(size=(40, 2))
    y = 1e308 * np.sign(X[:, 0])
    model = plain_regressor(
        n_units=8, max_epochs=100, learning_rate=0.02, random_state=0
    )
    # scikit-learn's own check for finite numbers adds them up.
    with np.errstate(invalid="ignore"):
        prediction = model.fit(X, y).predict(X)
    assert np.isfinite(prediction).all()
    assert (np.sign(prediction) == np.sign(y)).mean() > 0.9


def test_predictions_are_bounded(rng):
    """No prediction leaves the target's range by more than that range."""
    X = rng.normal(size=(40, 2))
    y = X[:, 0]
    model = plain_regressor(n_units=8, max_epochs=20, random_state=0).fit(X, y)
    span = y.max() - y.min()
    far = model.predict(1e6 * X)
    assert far.min() == pytest.approx(y.min() - span)
    assert far.max() == pytest.approx(y.max() + span)


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
@pytest.mark.parametrize("n_targets", [0, 1, 2])
def test_spread_of_the_members(rng, loss, n_targets):
    """return_std gives the standard deviation between members, in the target's units.

    A member alone is the ensemble without the weights of the others.
    """
    X = rng.normal(size=(40, 3))
    y = rng.gamma(2.0, 50.0, size=(40, n_targets) if n_targets else 40)
    model = plain_regressor(
        loss=loss, n_units=8, max_epochs=5, n_members=4, random_state=0
    ).fit(X, y)
    alone = []
    for member in range(4):
        single = copy.copy(model)
        weights = model._record["weights"][member : member + 1]
        single._record = {**model._record, "weights": weights}
        # Far away too, where predictions meet their bounds.
        alone.append(single.predict(np.r_[X, 1e6 * X]))
    mean, std = model.predict(np.r_[X, 1e6 * X], return_std=True)
    assert mean.shape == std.shape == (80, *y.shape[1:])
    np.testing.assert_array_equal(mean, model.predict(np.r_[X, 1e6 * X]))
    np.testing.assert_allclose(std, np.std(alone, axis=0), rtol=1e-9, atol=1e-9)
    assert (std[:40] > 0).all()


def test_spread_of_one_network(rng):
    """A single network has a spread of zero."""
    X = rng.normal(size=(30, 2)).astype(np.float32)
    model = plain_regressor(n_units=4, max_epochs=2, random_state=0)
    mean, std = model.fit(X, X[:, 0]).predict(X, return_std=True)
    np.testing.assert_array_equal(std, np.zeros(30))
    assert mean.dtype == std.dtype == np.float64


def test_spread_in_a_pipeline(rng):
    """A pipeline hands return_std on, and the spread of sparse rows is the same."""
    X = rng.normal(size=(30, 2))
    network = plain_regressor(n_units=4, max_epochs=2, n_members=3, random_state=0)
    model = make_pipeline(StandardScaler(), network).fit(X, X)
    mean, std = model.predict(X, return_std=True)
    scaled = sparse.csr_array(model[0].transform(X))
    np.testing.assert_array_equal(mean, model.predict(X))
    np.testing.assert_allclose(std, network.predict(scaled, return_std=True)[1])


def test_statistics_are_weighted(rng):
    """Mean and scale of the target are those of the weighted rows."""
    X = np.zeros((4, 1))
    y = np.array([0.0, 10.0, 20.0, 1e6])
    model = plain_regressor(**LONG).fit(X, y, sample_weight=[1, 2, 1, 0])
    assert model.predict([[0.0]])[0] == pytest.approx(10.0)


def test_partial_fit_keeps_the_scale(rng):
    """partial_fit keeps the first call's statistics, and widens the bounds."""
    X = rng.normal(size=(40, 2))
    model = plain_regressor(n_units=8, random_state=0, learning_rate=0.02)
    model.partial_fit(X, X[:, 0])
    for _ in range(300):
        model.partial_fit(X, 10 + X[:, 0])
    assert model.predict(X).mean() == pytest.approx(10, abs=1)
    with pytest.raises(ValueError, match="2 columns"):
        model.partial_fit(X, X)


def test_poisson_needs_counts(rng):
    """The Poisson loss refuses a negative target, naming the loss and the value."""
    X = rng.normal(size=(20, 2))
    with pytest.raises(ValueError, match=r"'poisson'.*-1\.0"):
        plain_regressor(loss="poisson").fit(X, np.full(20, -1.0))


def test_poisson_predicts_positive(rng):
    """With the Poisson loss every prediction is zero or more."""
    X = rng.normal(size=(60, 2))
    y = rng.poisson(np.exp(X[:, 0]))
    model = plain_regressor(loss="poisson", n_units=8, max_epochs=50, random_state=0)
    assert (model.fit(X, y).predict(100 * X) >= 0).all()


@pytest.mark.parametrize("outlier", [1e9, 1e200])
def test_row_without_weight_is_left_out(rng, outlier):
    """A row of weight zero changes neither scale nor bounds nor the fit."""
    X = rng.normal(size=(40, 2))
    y = X[:, 0].copy()
    y[0] = outlier
    weight = np.r_[0.0, np.ones(39)]
    model = plain_regressor(n_units=8, max_epochs=20, random_state=0)
    with_row = clone(model).fit(X, y, weight).predict(1e6 * X)
    without = clone(model).fit(X[1:], y[1:], weight[1:]).predict(1e6 * X)
    np.testing.assert_allclose(with_row, without)


def test_sparse_target(rng):
    """A sparse target is refused with the remedy."""
    X = rng.normal(size=(20, 2))
    with pytest.raises(ValueError, match=r"y is sparse.*toarray"):
        plain_regressor().fit(X, sparse.csr_matrix(X))


@pytest.mark.parametrize(
    ("loss", "settings"),
    [("huber", {"huber_delta": 0.3}), ("quantile", {"quantile": 0.9})],
)
def test_net_knows_the_loss(rng, loss, settings):
    """net_'s criterion is the loss that was trained, parameter and all."""
    X = rng.normal(size=(40, 2))
    y = rng.normal(size=40)
    model = plain_regressor(
        loss=loss, **settings, n_units=4, max_epochs=3, random_state=0
    ).fit(X, y, X_val=X, y_val=y)
    target = torch.tensor((y - y.mean()) / y.std())[None, :, None]
    raw = model.net_.module_(torch.tensor(X))
    best = model.history_.set_index("epoch").valid_loss[model.best_epoch_]
    assert model.net_.criterion_(raw, target).mean().item() == pytest.approx(best)


def test_missing_targets_among_objects(rng):
    """None in a target of Python objects is refused, and not learned as NaN."""
    y = np.array([1.0, None, 2.0, 3.0], dtype=object)
    with pytest.raises(ValueError, match="y contains NaN"):
        plain_regressor(max_epochs=1).fit(rng.normal(size=(4, 2)), y)
