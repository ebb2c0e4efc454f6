"""A member trains beside others as it does alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import (
    LOSS_PARAMETERS,
    assert_same_member,
    duplicate,
    history_of,
    make_job,
    make_kind,
    make_rows,
    start,
    take_member,
    train,
)

from sknnopt._network import MemberNetwork
from sknnopt.activations import ACTIVATIONS
from sknnopt.losses import LOSSES
from sknnopt.optimizers import OPTIMIZERS
from sknnopt.schedules import SCHEDULES

DTYPES = [np.float32, np.float64]
NORMALIZATIONS = [None, "batch", "layer"]


def _alone(job, record):
    """Train every member by itself; return records and histories."""
    return [train(*take_member(job, record, member)) for member in range(len(job))]


def _assert_same_history(history, member, alone, *, exact=True):
    mine, theirs = history_of(history, member), history_of(alone, 0)
    assert set(theirs) <= set(mine)
    for name, values in theirs.items():
        if name == "member":
            continue
        if exact:
            assert np.array_equal(mine[name], values), name
        else:
            np.testing.assert_allclose(mine[name], values, rtol=1e-9, err_msg=name)


#: Five members that differ in all that may differ.
DIFFERENT = {
    "learning_rate": [0.003, 0.01, 0.03, 0.1, 0.02],
    "lr_decay": [0.1, 0.5, 0.9, 0.3, 1.0],
    "warmup": [0.0, 1.0, 2.5, 0.0, 0.3],
    "momentum": [0.0, 0.5, 0.9, 0.95, 0.8],
    "weight_decay": [0.0, 0.1, 0.0, 0.01, 0.2],
    "l1": [[0, 0, 0], [1e-3, 0, 0], [0, 0, 0], [0, 1e-2, 0], [0, 0, 0]],
    "l2": [[0, 0, 0], [0, 0, 0], [1e-2, 1e-3, 0], [0, 0, 1e-3], [0, 0, 0]],
    "dropout": [[0, 0], [0.5, 0], [0, 0.3], [0, 0], [0.2, 0.2]],
    "clip_norm": [np.inf, 0.5, np.inf, 0.1, np.inf],
    "clip_value": [np.inf, np.inf, 0.02, 0.05, np.inf],
    "max_epochs": [12, 9, 4, 7, 10],
    "patience": [1, 3, 2, 100, 2],
    "tol": [0.0, 0.0, 1e-3, 0.0, 0.05],
}


def _aligned(**changes):
    """Return a Kind whose every tensor, of each member, fills whole cache lines.

    Elsewhere a library for linear algebra may round differently for a member that
    starts at another address, and so may the ends of elementwise operations.
    """
    sizes = {"n_inputs": 16, "hidden": (32, 16), "n_outputs": 16, "batch_size": 16}
    return make_kind(**{**sizes, "restore_best": True, **changes})


def _different(kind, sizes=(48,) * 5, valid=(16,) * 5, **changes):
    parameter = {}
    if kind.loss in LOSS_PARAMETERS:
        parameter["loss_parameter"] = [0.1, 0.3, 0.2, 0.4, 0.25]
    settings = {**DIFFERENT, **parameter, **changes}
    return make_job(kind, sizes, valid=valid, **settings)


def _assert_independent(job, *, exact=True):
    record = start(job)
    alone = _alone(job, record)
    together, history = train(job, duplicate(record))
    for member, (own, own_history) in enumerate(alone):
        assert_same_member(together, own, member, exact=exact)
        _assert_same_history(history, member, own_history, exact=exact)
    return together, history


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_independence(optimizer, normalization, dtype):
    """With as many rows each, members train bit for bit as they do alone."""
    kind = _aligned(
        optimizer=optimizer,
        normalization=normalization,
        dtype=np.dtype(dtype),
        monitor="full",
        lr_schedule="reduce_on_plateau",
    )
    together, _ = _assert_independent(_different(kind))
    assert len(set(together.epochs.tolist())) > 2


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_independence_of_every_activation(activation, dtype):
    """Whatever the activation, members train bit for bit as they do alone."""
    kind = _aligned(activations=activation, dtype=np.dtype(dtype))
    _assert_independent(_different(kind))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", LOSSES)
def test_independence_of_every_loss(loss, dtype):
    """Whatever the loss and its parameter, members train as they do alone."""
    kind = _aligned(loss=loss, dtype=np.dtype(dtype))
    _assert_independent(_different(kind))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_independence_of_every_schedule(schedule, dtype):
    """Whatever the schedule, with momentum and without, members train as alone."""
    kind = _aligned(
        optimizer="sgd",
        lr_schedule=schedule,
        dtype=np.dtype(dtype),
        nesterov=True,
        restore_best=False,
    )
    _assert_independent(_different(kind, valid=None))


@pytest.mark.parametrize("batch_size", [1, 26, 100])
@pytest.mark.parametrize("hidden", [(1, 1), (17, 9), (5, 64)])
def test_independence_of_every_size(hidden, batch_size):
    """Whatever the widths and the batch, members train as alone up to rounding."""
    kind = make_kind(hidden=hidden, batch_size=batch_size, restore_best=True)
    job = _different(kind, (26,) * 5, (9,) * 5, max_epochs=4)
    _assert_independent(job, exact=False)


@pytest.mark.parametrize("normalization", [None, "layer"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_independence_with_other_row_counts(optimizer, normalization):
    """With other numbers of rows and steps, members train as alone up to rounding."""
    kind = make_kind(
        optimizer=optimizer,
        normalization=normalization,
        monitor="full",
        restore_best=True,
    )
    job = _different(kind, (26, 9, 17, 8, 21), (9, 5, 1, 7, 9))
    _assert_independent(job, exact=False)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_independence_with_padded_batch_statistics(optimizer):
    """With batch normalization, padded members predict as alone up to rounding."""
    # The bias before it has no effect and no gradient but rounding errors, which an
    # adaptive optimizer enlarges: what counts is what the networks answer.
    kind = make_kind(optimizer=optimizer, normalization="batch", restore_best=True)
    job = _different(kind, (26, 9, 17, 8, 21), (9, 5, 1, 7, 9), max_epochs=6)
    record = start(job)
    together, history = train(job, duplicate(record))
    X = torch.tensor(job.train.X)
    outputs = MemberNetwork(kind.architecture, together.weights).eval()(X)
    for member, (own, own_history) in enumerate(_alone(job, record)):
        expected = MemberNetwork(kind.architecture, own.weights).eval()(X)[0]
        torch.testing.assert_close(outputs[member], expected, rtol=1e-6, atol=1e-6)
        mine, theirs = history_of(history, member), history_of(own_history, 0)
        np.testing.assert_allclose(mine["valid_loss"], theirs["valid_loss"], rtol=1e-6)
        assert together.epochs[member] == own.epochs[0]


def test_independence_with_sample_weights():
    """With sample weights, members train bit for bit as they do alone."""
    kind = _aligned(normalization="batch", restore_best=False)
    job = make_job(kind, (48,) * 3, weighted=True, max_epochs=[3, 5, 4])
    _assert_independent(job)


def test_independence_of_who_has_weights():
    """Weights of one member leave another, without any, as it is alone."""
    job = make_job(make_kind(), (26, 26), max_epochs=4)
    weighted = make_rows(36, (26, 26), weighted=True)[1]
    _assert_independent(replace(job, rows=[job.rows[0], weighted]), exact=False)


def test_independence_of_the_order():
    """Members in another order have the same results in that order."""
    job = _different(_aligned())
    record = start(job)
    order = np.array([3, 0, 4, 2, 1])
    expected, _ = train(job, duplicate(record))
    result, _ = train(job.take(order), duplicate(record.take(order)))
    for place, member in enumerate(order):
        assert_same_member(result, expected.take(np.array([member])), place)
