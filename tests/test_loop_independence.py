"""A member trains beside others as it does alone, bit for bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers import (
    LOSS_PARAMETERS,
    assert_same_member,
    combined,
    duplicate,
    history_of,
    make_job,
    make_kind,
    make_rows,
    start,
    take_member,
    train,
)

from sknnopt._feed import padded_rows, rows_at_once
from sknnopt.activations import ACTIVATIONS
from sknnopt.losses import LOSSES
from sknnopt.optimizers import OPTIMIZERS
from sknnopt.schedules import SCHEDULES

DTYPES = [np.float32, np.float64]
NORMALIZATIONS = [None, "batch", "layer"]

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
    "max_epochs": [6, 5, 2, 4, 5],
    "patience": [1, 3, 2, 100, 2],
    "tol": [0.0, 0.0, 1e-3, 0.0, 0.05],
}
#: Numbers of rows that take 4, 2, 3, 1 and 3 steps of eight, and of held-out rows.
SIZES, HELD_OUT = (26, 9, 17, 8, 21), (9, 5, 1, 7, 9)


def _kind(**changes):
    return make_kind(**{"hidden": (7, 10), "restore_best": True, **changes})


def _different(kind, sizes=SIZES, valid=HELD_OUT, **changes):
    parameter = {}
    if kind.loss in LOSS_PARAMETERS:
        parameter["loss_parameter"] = [0.1, 0.3, 0.2, 0.4, 0.25]
    settings = {**DIFFERENT, **parameter, **changes}
    return make_job(kind, sizes, valid=valid, **settings)


def _assert_independent(job, members=None):
    """Train the job, and some members alone; assert that nothing differs."""
    record = start(job)
    together, history = train(job, duplicate(record))
    for member in range(len(job)) if members is None else members:
        own, own_history = train(*take_member(job, record, member))
        assert_same_member(together, own, member)
        mine, theirs = history_of(history, member), history_of(own_history, 0)
        # What others are penalized and clipped for has no column alone.
        others = {"penalty", "clipped_share"}
        assert set(mine) - others == set(theirs) - others
        for name, values in theirs.items():
            if name != "member":
                np.testing.assert_array_equal(mine[name], values, name)
    return together


@combined(dtype=DTYPES, normalization=NORMALIZATIONS, optimizer=OPTIMIZERS)
def test_optimizers(optimizer, normalization, dtype):
    """Members of other numbers of rows, steps and settings train as alone."""
    kind = _kind(
        optimizer=optimizer,
        normalization=normalization,
        dtype=np.dtype(dtype),
        monitor="full",
        lr_schedule="reduce_on_plateau",
    )
    together = _assert_independent(_different(kind))
    assert len(set(together.epochs.tolist())) > 2


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(activation, dtype):
    """Whatever the activation, members train as alone."""
    _assert_independent(
        _different(_kind(activations=activation, dtype=np.dtype(dtype)))
    )


@combined(dtype=DTYPES, n_outputs=[1, 3, 5], loss=LOSSES)
def test_losses(loss, n_outputs, dtype):
    """Whatever the loss, its parameter and the outputs, members train as alone."""
    kind = _kind(
        loss=loss, n_outputs=n_outputs, dtype=np.dtype(dtype), activations="relu"
    )
    _assert_independent(_different(kind))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_schedules(schedule, dtype):
    """Whatever the schedule, with momentum and without, members train as alone."""
    kind = _kind(
        optimizer="sgd",
        lr_schedule=schedule,
        dtype=np.dtype(dtype),
        nesterov=True,
        restore_best=False,
    )
    _assert_independent(_different(kind, valid=None))


@combined(dtype=DTYPES, normalization=NORMALIZATIONS, width=[1, 3, 7, 9, 10, 17, 33])
def test_widths(width, normalization, dtype):
    """Whatever the width of the layers, members train as alone."""
    kind = _kind(
        hidden=(width, width), normalization=normalization, dtype=np.dtype(dtype)
    )
    _assert_independent(_different(kind, max_epochs=2))


@combined(dtype=DTYPES, n_outputs=[1, 2, 3, 5, 10, 17], n_inputs=[1, 2, 7, 30, 50])
def test_ends(n_inputs, n_outputs, dtype):
    """Whatever the numbers of inputs and outputs, members train as alone."""
    kind = _kind(n_inputs=n_inputs, n_outputs=n_outputs, dtype=np.dtype(dtype))
    _assert_independent(_different(kind, max_epochs=2))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_linear_models(n_outputs, dtype):
    """Without a hidden layer, members train as alone."""
    kind = make_kind(hidden=(), n_outputs=n_outputs, dtype=np.dtype(dtype))
    job = make_job(kind, SIZES, l1=0.01, max_epochs=[3, 5, 4, 2, 6])
    _assert_independent(job)


@combined(dtype=DTYPES, normalization=NORMALIZATIONS, batch_size=[1, 3, 8, 13, 100])
def test_batch_sizes(batch_size, normalization, dtype):
    """Whatever the batch size, up to all rows at once, members train as alone."""
    kind = _kind(
        batch_size=batch_size,
        normalization=normalization,
        dtype=np.dtype(dtype),
        n_outputs=1,
    )
    sizes = (26, 25, 32, 30, 31)
    job = _different(kind, sizes, max_epochs=2)
    whole = padded_rows(rows_at_once(job))
    alone = [job.take(np.array([member])) for member in range(5)]
    assert {padded_rows(rows_at_once(part)) for part in alone} == {whole}
    _assert_independent(job)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_members", [1, 2, 3, 17, 60])
def test_numbers_of_members(n_members, dtype):
    """In company of any size, members train as alone."""
    rng = np.random.default_rng(n_members)
    kind = _kind(n_inputs=13, n_outputs=1, dtype=np.dtype(dtype), normalization="batch")
    job = make_job(
        kind,
        rng.integers(8, 40, n_members).tolist(),
        valid=rng.integers(1, 12, n_members).tolist(),
        learning_rate=10 ** rng.uniform(-3, -1, n_members),
        dropout=rng.random((n_members, 2)) * (rng.random((n_members, 2)) < 0.5),
        max_epochs=rng.integers(2, 6, n_members),
        patience=rng.integers(1, 4, n_members),
    )
    _assert_independent(job, range(0, n_members, max(1, n_members // 5)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_wide_networks_on_long_batches(n_outputs, dtype):
    """Members of layers and batches as they are in use train as alone."""
    kind = make_kind(
        n_inputs=20,
        hidden=(100, 50),
        n_outputs=n_outputs,
        batch_size=200,
        activations="relu",
        dtype=np.dtype(dtype),
        monitor="full",
    )
    job = make_job(kind, (430, 200, 730), max_epochs=2, l2=1e-3)
    _assert_independent(job)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_sample_weights(normalization, dtype):
    """With sample weights of some members only, all members train as alone."""
    kind = _kind(normalization=normalization, dtype=np.dtype(dtype), monitor="full")
    job = _different(kind)
    table = job.rows[0].table
    weighted = make_rows(table, SIZES, weighted=True)
    measured = make_rows(table, HELD_OUT, weighted=True, seed=2)
    rows = [*job.rows[:2], *weighted[2:4], job.rows[4]]
    held_out = [measured[0], *job.held_out[1:3], *measured[3:]]
    _assert_independent(replace(job, rows=rows, held_out=held_out))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_order(optimizer):
    """Members in another order have the same results in that order."""
    job = _different(_kind(optimizer=optimizer))
    record = start(job)
    order = np.array([3, 0, 4, 2, 1])
    expected, _ = train(job, duplicate(record))
    result, _ = train(job.take(order), duplicate(record.take(order)))
    for place, member in enumerate(order):
        assert_same_member(result, expected.take(np.array([member])), place)


def test_batches_stay_when_members_leave():
    """That the member with most rows leaves does not change others' batches."""
    kind = make_kind(batch_size=100, hidden=(36,), n_outputs=1)
    job = make_job(kind, (60, 20, 24), max_epochs=[2, 8, 8])
    record = start(job)
    together, _ = train(job, duplicate(record))
    longer = replace(job.settings, max_epochs=np.array([8, 8, 8]))
    expected, _ = train(replace(job, settings=longer), record)
    for member in (1, 2):
        assert_same_member(together, expected.take(np.array([member])), member)
