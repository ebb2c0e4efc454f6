"""From an estimator's parameters to kind and settings."""

from __future__ import annotations

from dataclasses import fields
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sknnopt import _plan
from sknnopt._architecture import Architecture
from sknnopt._job import Settings
from sknnopt._plan import (
    batch_size,
    check_layers,
    dropout_rates,
    epoch_limit,
    make_architecture,
    make_kind,
    make_settings,
    stops_early,
)
from sknnopt.losses import LOSSES
from sknnopt.optimizers import OPTIMIZERS

DEFAULTS = {
    "hidden_layer_sizes": None,
    "n_layers": 2,
    "n_units": 100,
    "n_members": 1,
    "activation": "relu",
    "normalization": None,
    "weight_init": "auto",
    "optimizer": "adam",
    "learning_rate": "auto",
    "momentum": 0.9,
    "nesterov": False,
    "lr_schedule": "constant",
    "lr_decay": 0.1,
    "warmup": 0,
    "dropout": 0.0,
    "l1": 0.0,
    "l2": 0.0,
    "weight_decay": "auto",
    "clip_norm": None,
    "clip_norm_per_tensor": False,
    "clip_value": None,
    "batch_size": "auto",
    "max_epochs": 200,
    "max_seconds": None,
    "shuffle": True,
    "n_iter_no_change": 10,
    "tol": 1e-4,
    "monitor": "light",
    "device": "cpu",
    "label_smoothing": 0.05,
    "huber_delta": 1.5,
    "quantile": 0.25,
}


def _estimator(**params):
    assert set(params) <= set(DEFAULTS)
    return SimpleNamespace(**{**DEFAULTS, **params})


def _settings(members=1, loss="squared_error", **params):
    estimator = _estimator(**params)
    architecture = make_architecture(estimator, 4, 1)
    return make_settings(estimator, architecture, loss, members, 1000)


def _kind(n_rows=1000, **params):
    estimator = _estimator(**params)
    architecture = make_architecture(estimator, 4, 1)
    return make_kind(
        estimator,
        architecture,
        "squared_error",
        n_rows=n_rows,
        dtype=np.dtype(np.float32),
        restore_best=True,
    )


@pytest.mark.parametrize(
    ("n_rows", "expected"),
    [
        (1, 1),
        (199, 199),
        (200, 200),
        (201, 64),
        (3200, 64),
        # 90.5 is the geometric middle between 64 and 128.
        (4525, 64),
        (4526, 128),
        (9050, 128),
        (9051, 256),
        (12800, 256),
        (10**7, 256),
    ],
)
def test_automatic_batch_size(n_rows, expected):
    """All rows up to 200, then the nearest power of two to a fiftieth of the rows."""
    size = batch_size("auto", n_rows)
    assert size == expected
    assert type(size) is int


@pytest.mark.parametrize("n_rows", np.unique(np.geomspace(201, 1e6, 60).astype(int)))
def test_automatic_batch_size_is_nearest(n_rows):
    """No other power of two between 64 and 256 is nearer, as a ratio."""
    powers = np.array([64, 128, 256])
    distance = np.abs(np.log(powers / (n_rows / 50)))
    assert batch_size("auto", int(n_rows)) == powers[distance.argmin()]


@pytest.mark.parametrize("value", [1, 7, np.int64(7), 20, 21, 1000])
def test_batch_size(value):
    """A number is taken, up to the number of rows, whatever integer it is."""
    size = batch_size(value, 20)
    assert size == min(value, 20)
    assert type(size) is int


@pytest.mark.parametrize(
    ("n_rows", "is_given", "expected"),
    [
        (99, False, False),
        (100, False, True),
        (10**6, False, True),
        (10, True, True),
        (99, True, True),
    ],
)
def test_automatic_early_stopping(n_rows, is_given, expected):
    """It is on from 100 rows, or with a validation set of the user's own."""
    assert stops_early("auto", n_rows, is_given=is_given) is expected


@pytest.mark.parametrize("value", [True, False, np.True_, np.False_])
@pytest.mark.parametrize("is_given", [True, False])
@pytest.mark.parametrize("n_rows", [10, 10**6])
def test_early_stopping(value, n_rows, is_given):
    """On or off is what it says, whatever the data."""
    assert stops_early(value, n_rows, is_given=is_given) is bool(value)


def test_architecture():
    """Shape, activations and normalization are read from the parameters."""
    estimator = _estimator(
        n_layers=3,
        n_units=[7, 5],
        activation={1: "tanh", "default": "relu"},
        normalization="batch",
    )
    expected = Architecture(4, (7, 5, 5), 2, ("relu", "tanh", "relu"), "batch")
    assert make_architecture(estimator, 4, 2) == expected


@pytest.mark.parametrize("sizes", [None, "7-5", (7, 5), 7])
def test_check_layers(sizes):
    """The units of each hidden layer come back."""
    expected = {None: (100, 100), 7: (7,)}.get(sizes, (7, 5))
    assert check_layers(_estimator(hidden_layer_sizes=sizes)) == expected


@pytest.mark.parametrize(
    ("name", "wrong", "first", "n_values"),
    [
        ("activation", "relux", "relu", 2),
        ("dropout", 1.0, 0.5, 2),
        ("weight_init", "best", "auto", 3),
        ("l1", -1.0, 0.0, 3),
        ("l2", np.nan, 0.0, 3),
    ],
)
def test_check_layers_checks_every_layer(name, wrong, first, n_values):
    """A wrong value of the last layer is found: with weights, that is the output."""
    values = [first] * (n_values - 1)
    check_layers(_estimator(**{name: [*values, first]}))
    message = f"'{name}' parameter.*for layer {n_values - 1} instead"
    with pytest.raises(ValueError, match=message):
        check_layers(_estimator(**{name: [*values, wrong]}))
    # Values for layers that are not built are checked too.
    with pytest.raises(ValueError, match=f"for layer {n_values} instead"):
        check_layers(_estimator(**{name: [*values, first, wrong]}))


@pytest.mark.parametrize(("name", "wrong"), [("n_units", 0), ("hidden_layer_sizes", 0)])
def test_check_layers_checks_sizes(name, wrong):
    """A wrong number of units is named."""
    with pytest.raises(ValueError, match=f"'{name}' parameter"):
        check_layers(_estimator(**{name: [3, wrong]}))


def test_kind():
    """What members share is read from the parameters."""
    kind = _kind(
        optimizer="sgd",
        lr_schedule="cosine",
        batch_size=np.int64(17),
        nesterov=True,
        shuffle=False,
        clip_norm_per_tensor=True,
        monitor="full",
    )
    assert kind.loss == "squared_error"
    assert kind.optimizer == "sgd"
    assert kind.lr_schedule == "cosine"
    assert kind.batch_size == 17
    assert (kind.nesterov, kind.shuffle, kind.clip_per_tensor) == (True, False, True)
    assert kind.monitor == "full"
    assert kind.restore_best
    assert kind.torch_dtype is torch.float32
    assert kind.device == "cpu"


@pytest.mark.parametrize("batch", ["auto", 10**9])
def test_kind_of_small_tables(batch):
    """No batch has more rows than there are."""
    assert _kind(n_rows=100, batch_size=batch).batch_size == 100


@pytest.mark.parametrize("members", [1, 3])
def test_settings_of_members(members):
    """Every member has the same values, per layer where they are per layer."""
    settings = _settings(
        members,
        learning_rate=0.3,
        n_layers=2,
        l1=[0.1, 0.2],
        l2={2: 0.5, "default": 0.0},
        dropout=[0.5, 0.25, 0.9],
        clip_norm=2.0,
        clip_value=3.0,
        weight_decay=0.7,
        lr_decay=0.4,
        warmup=2,
        momentum=0.6,
        max_epochs=5,
        max_seconds=9.0,
        n_iter_no_change=4,
        tol=0.01,
    )
    expected = {
        "learning_rate": 0.3,
        "lr_decay": 0.4,
        "warmup": 2.0,
        "momentum": 0.6,
        "weight_decay": 0.7,
        "l1": [0.1, 0.2, 0.2],
        "l2": [0.0, 0.0, 0.5],
        "dropout": [0.5, 0.25],
        "clip_norm": 2.0,
        "clip_value": 3.0,
        "loss_parameter": 0.0,
        "max_epochs": 5,
        "max_seconds": 9.0,
        "patience": 4,
        "tol": 0.01,
    }
    assert set(expected) == {f.name for f in fields(Settings)}
    for name, value in expected.items():
        array = getattr(settings, name)
        assert array.tolist() == [value] * members, name


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_automatic_rates(optimizer):
    """Automatic learning rate and decay are the optimizer's; numbers are kept."""
    option = OPTIMIZERS[optimizer]
    automatic = _settings(optimizer=optimizer)
    assert automatic.learning_rate.tolist() == [option.learning_rate]
    assert automatic.weight_decay.tolist() == [option.weight_decay]
    given = _settings(optimizer=optimizer, learning_rate=0.7, weight_decay=0.0)
    assert given.learning_rate.tolist() == [0.7]
    assert given.weight_decay.tolist() == [0.0]


@pytest.mark.parametrize("loss", LOSSES)
def test_parameter_of_the_loss(loss):
    """The loss's own parameter is read, where it has one."""
    name = LOSSES[loss].parameter
    expected = 0.0 if name is None else DEFAULTS[name]
    assert _settings(loss=loss).loss_parameter.tolist() == [expected]


def test_no_limits():
    """None stands for a limit that is never reached."""
    settings = _settings(n_iter_no_change=None)
    assert settings.clip_norm.tolist() == [np.inf]
    assert settings.clip_value.tolist() == [np.inf]
    assert settings.patience.dtype == np.int64
    assert settings.patience[0] > 10**12
    # Epochs are added to it, which must not overflow.
    assert (settings.patience + 10**9 > settings.patience).all()


def test_linear_model():
    """Without a hidden layer there is nothing to drop, and one layer to penalize."""
    settings = _settings(2, n_layers=0, l1=0.1)
    assert settings.dropout.shape == (2, 0)
    assert settings.l1.tolist() == [[0.1], [0.1]]


@pytest.mark.parametrize(("n_rows", "rate"), [(99, 0.0), (100, 0.1)])
def test_automatic_dropout(n_rows, rate):
    """Automatic rates are zero where rows are few, beside others that are given."""
    assert dropout_rates("auto", 2, n_rows) == (rate, rate)
    assert dropout_rates({0: 0.5, "default": "auto"}, 2, n_rows) == (0.5, rate)
    assert dropout_rates(0.3, 1, n_rows) == (0.3,)


@pytest.mark.parametrize(
    ("n_rows", "n_epochs"),
    [(10, 200), (12_500, 200), (25_000, 100), (100_000, 25), (10_000_000, 10)],
)
def test_automatic_epochs(n_rows, n_epochs):
    """Automatic epochs fall with the rows between two limits; numbers are kept."""
    assert epoch_limit("auto", n_rows) == n_epochs
    assert epoch_limit(7, n_rows) == 7


@pytest.mark.parametrize(("n_members", "is_refused"), [(3, False), (4, True)])
def test_networks_beyond_memory(monkeypatch, n_members, is_refused):
    """Networks whose weights alone exceed free memory are refused, with what to lower.

    Of 4 inputs, a layer of 20,000,000 and 1 output, a network has 120,000,001 weights.
    """
    monkeypatch.setattr(_plan, "free_memory", lambda: 3 * 4 * 120_000_001)
    estimator = _estimator(n_layers=1, n_units=20_000_000, n_members=n_members)
    if not is_refused:
        assert make_architecture(estimator, 4, 1).hidden == (20_000_000,)
        return
    with pytest.raises(ValueError, match=r"1,831 MiB.*1,373 MiB.*'n_units'"):
        make_architecture(estimator, 4, 1)


def test_networks_that_no_float_can_count():
    """The size of absurd networks is told, too."""
    with pytest.raises(ValueError, match="'n_units'"):
        make_architecture(_estimator(n_layers=1, n_units=10**400), 4, 1)
