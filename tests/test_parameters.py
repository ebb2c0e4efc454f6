"""The parameters: what is accepted, per layer and from searches."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from estimators import ESTIMATORS, SMALL, all_weights, plain_classifier
from sklearn.base import clone


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("hidden_layer_sizes", "12-x"),
        ("hidden_layer_sizes", (10, 0)),
        ("n_layers", -1),
        ("n_layers", 2**63),
        ("n_units", 0),
        ("n_units", [8, 2.5]),
        ("n_units", {"default": 8, "first": 3}),
        ("activation", "rellu"),
        ("activation", ["relu", "nope"]),
        ("normalization", "instance"),
        ("weight_init", "heavy"),
        ("init_scale", np.inf),
        ("loss", "hinge"),
        ("optimizer", "adamm"),
        ("learning_rate", 0.0),
        ("learning_rate", "fast"),
        ("learning_rate", 10**400),
        ("tol", 10**400),
        ("momentum", 1.0),
        ("nesterov", "yes"),
        ("lr_schedule", "linear"),
        ("lr_decay", 0.0),
        ("warmup", -1),
        ("dropout", 1.0),
        ("dropout", [0.1, -0.1]),
        ("dropout", {1: 0.2}),
        ("l1", -1e-3),
        ("l1", [0.0, 10**400]),
        ("l2", np.nan),
        ("weight_decay", -1.0),
        ("clip_norm", 0.0),
        ("clip_norm_per_tensor", "no"),
        ("clip_value", -1.0),
        ("batch_size", 0),
        ("max_epochs", 0),
        ("shuffle", "sometimes"),
        ("early_stopping", "perhaps"),
        ("validation_fraction", 1.0),
        ("n_iter_no_change", 0),
        ("tol", -1.0),
        ("n_members", 0),
        ("warm_start", "maybe"),
        ("random_state", "seed"),
        ("verbose", "loud"),
        ("monitor", "heavy"),
        ("callbacks", 3),
        ("callbacks", [None]),
        ("callbacks", [("alone",)]),
        ("device", "abacus"),
        ("n_threads", 0),
        ("n_threads", 2**63),
    ],
)
def test_bad_parameter(estimator, table, name, bad):
    """A bad value is refused by fit, in words that name parameter and value."""
    model = estimator(**{name: bad})
    with pytest.raises(ValueError, match=f"'{name}' parameter") as caught:
        model.fit(*table)
    culprits = bad if isinstance(bad, list | tuple | dict) else [bad]
    assert any(repr(culprit) in str(caught.value) for culprit in culprits)
    assert not hasattr(model, "n_features_in_")


@pytest.mark.parametrize("name", ["n_layers", "n_units"])
def test_sizes_exclude_depth_and_width(table, name):
    """hidden_layer_sizes beside n_layers or n_units is refused, naming both."""
    model = plain_classifier(hidden_layer_sizes=(8,), **{name: 3})
    with pytest.raises(ValueError, match=f"hidden_layer_sizes.*{name}"):
        model.fit(*table)


def test_indexed_parameters():
    """dropout__0 and its like are folded into a new dict, after plain parameters."""
    model = plain_classifier(dropout=0.1)
    model.set_params(dropout__0=0.5, dropout=0.2, n_units__3=7, activation__1="tanh")
    assert model.dropout == {"default": 0.2, 0: 0.5}
    assert model.n_units == {"default": 100, 3: 7}
    assert model.activation == {"default": "relu", 1: "tanh"}
    before = model.dropout
    model.set_params(dropout__1=0.3, dropout__default=0.0)
    assert before == {"default": 0.2, 0: 0.5}
    assert model.dropout == {"default": 0.0, 0: 0.5, 1: 0.3}


def test_indexed_parameters_survive_clone(table):
    """A clone of a model with per-layer values builds the same network."""
    model = plain_classifier(**SMALL).set_params(
        n_layers=3, n_units__1=5, dropout__2=0.25, activation__0="tanh", l2__3=0.1
    )
    fitted = clone(clone(model)).fit(*table)
    assert fitted.hidden_layer_sizes_ == (8, 5, 8)
    assert fitted.dropouts_ == (0.0, 0.0, 0.25)
    assert fitted.activations_ == ("tanh", "relu", "relu")
    assert fitted.get_params() == model.get_params()


@pytest.mark.parametrize(
    "typo", ["dropout__x", "drop_out__0", "optimizer__lr", "depth"]
)
def test_misspelled_parameter(typo):
    """A misspelled or invented parameter is refused by set_params."""
    with pytest.raises(ValueError, match=f"Invalid parameter '{typo.split('__')[0]}"):
        plain_classifier().set_params(**{typo: 0.1})


def test_layers_beyond_depth_change_nothing(table):
    """Values for layers that are not built are ignored, and consume no randomness."""
    model = plain_classifier(**SMALL, n_layers=1, dropout={0: 0.2, "default": 0})
    plain = all_weights(model.fit(*table))
    model.set_params(n_units__5=3, dropout__4=0.9, weight_init__7="zeros")
    np.testing.assert_array_equal(all_weights(model.fit(*table)), plain)


@pytest.mark.parametrize(
    ("name", "value", "same"),
    [
        ("learning_rate", Fraction(1, 100), 0.01),
        ("tol", Fraction(0), 0.0),
        ("n_iter_no_change", 10**400, None),
        ("n_bins", 2**63, 60),
    ],
)
def test_unusual_numbers(table, name, value, same):
    """Fractions, and counts beyond any limit, mean what they say."""
    settings = {**SMALL, "early_stopping": True}
    model = plain_classifier(**{**settings, name: value}).fit(*table)
    usual = plain_classifier(**{**settings, name: same}).fit(*table)
    np.testing.assert_array_equal(all_weights(model), all_weights(usual))


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_callbacks_are_checked_before_the_data(estimator):
    """What is no callback is refused before any row is looked at."""
    with pytest.raises(ValueError, match="'callbacks' parameter"):
        estimator(callbacks=[1]).fit(None, None)


def test_numpy_scalars(table):
    """The numpy scalars that searches hand over are as good as Python's."""
    model = plain_classifier(
        hidden_layer_sizes=np.str_("8-4"),
        optimizer=np.str_("sgd"),
        learning_rate=np.float32(0.1),
        batch_size=np.int64(16),
        max_epochs=np.int32(3),
        nesterov=np.bool_(True),
        dropout=np.float64(0.1),
        early_stopping=np.bool_(False),
        random_state=0,
    )
    assert model.fit(*table).hidden_layer_sizes_ == (8, 4)
