"""The training loop against plain PyTorch, and members against themselves alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import (
    LOSS_PARAMETERS,
    TORCH_OPTIMIZERS,
    PlainTrainer,
    assert_same_member,
    duplicate,
    history_of,
    make_job,
    make_kind,
    make_rows,
    plain_forward,
    plain_loss,
    plain_network,
    start,
    train,
)

from sknnopt._feed import Epochs, Feed
from sknnopt._job import Table, fresh_slots
from sknnopt._loop import Loop
from sknnopt._network import Layout, MemberNetwork
from sknnopt._scores import evaluate
from sknnopt.activations import ACTIVATIONS
from sknnopt.losses import LOSSES
from sknnopt.optimizers import OPTIMIZERS
from sknnopt.schedules import SCHEDULES

DTYPES = [np.float32, np.float64]
NORMALIZATIONS = [None, "batch", "layer"]
CLOSE = {"rtol": 1e-9, "atol": 1e-12}


def _compare(job, record=None, n_epochs=3):
    """Train a job and each of its members plainly; assert that they agree."""
    record = start(job) if record is None else record
    plain = [
        PlainTrainer(job, record, member).train(n_epochs) for member in range(len(job))
    ]
    result, history = train(job, duplicate(record))
    for member, run in enumerate(plain):
        torch.testing.assert_close(result.weights[member], run.weights, **CLOSE)
        columns = history_of(history, member)
        np.testing.assert_allclose(columns["train_loss"], run.losses, rtol=1e-9)
        per_epoch = len(run.norms) // n_epochs
        last = slice(per_epoch - 1, None, per_epoch)
        np.testing.assert_allclose(columns["gradient_norm"], run.norms[last], rtol=1e-8)
        np.testing.assert_allclose(
            columns["learning_rate"], run.rates[last], rtol=1e-12
        )
        if "penalty" in columns:
            np.testing.assert_allclose(columns["penalty"], run.penalties, rtol=1e-9)
    return result, history, plain


def _take(job, record, member):
    """Return the job and a copy of the record of one member."""
    one = np.array([member])
    return job.take(one), duplicate(record.take(one))


def _alone(job, record):
    """Train every member by itself; return records and histories."""
    return [train(*_take(job, record, member)) for member in range(len(job))]


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


# ---------------------------------------------------------------- plain PyTorch


def test_oracles():
    """Every optimizer of the registry is compared with torch.optim."""
    assert set(TORCH_OPTIMIZERS) == set(OPTIMIZERS)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_plain_loop(optimizer, loss, weighted):
    """Two members, of 20 and 13 rows, train as by a plain loop, penalties included."""
    kind = make_kind(optimizer=optimizer, loss=loss)
    job = make_job(
        kind,
        (20, 13),
        weighted=weighted,
        l1=[[1e-3, 0.0, 2e-3], [0.0, 0.0, 0.0]],
        l2=[[0.0, 1e-2, 1e-3], [1e-3, 1e-2, 0.0]],
        learning_rate=[0.01, 0.02],
    )
    _compare(job)


@pytest.mark.parametrize("per_tensor", [False, True])
@pytest.mark.parametrize(
    ("clip_norm", "clip_value"), [(0.05, np.inf), (np.inf, 0.02), (0.08, 0.03)]
)
def test_clipping(clip_norm, clip_value, per_tensor):
    """Gradients are clipped by value first and by norm then, penalties included."""
    kind = make_kind(optimizer="sgd", clip_per_tensor=per_tensor)
    limits = {"clip_norm": [clip_norm, np.inf], "clip_value": [clip_value, np.inf]}
    job = make_job(kind, (20, 20), l1=0.01, l2=0.02, **limits)
    _, _, (clipped, free) = _compare(job)
    # Both limits are at work, and the norm is that before clipping.
    assert min(clipped.norms) > 0.1
    assert not torch.equal(clipped.weights, free.weights)


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum(nesterov):
    """Stochastic gradient descent has torch's momentum, every member its own."""
    kind = make_kind(optimizer="sgd", nesterov=nesterov)
    job = make_job(kind, (20, 20, 13), momentum=[0.0, 0.5, 0.95])
    _compare(job)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_weight_decay(optimizer):
    """Decoupled decay shrinks weights, not biases, by the learning rate's share."""
    job = make_job(
        make_kind(optimizer=optimizer), (20, 20), weight_decay=[0.0, 0.5]
    )
    _, _, (plain, decayed) = _compare(job)
    assert not torch.equal(plain.weights, decayed.weights)


def test_weight_decay_as_adamw():
    """With adamw, decay of the weights is torch.optim.AdamW's."""
    job = make_job(make_kind(optimizer="adamw"), (20,), weight_decay=0.3)
    record = start(job)
    trainer = PlainTrainer(job, record)
    trainer.settings.weight_decay[:] = 0.0
    linears = trainer.linears
    others = [p for p in trainer.network.parameters() if all(p is not w for w in linears)]
    trainer.optimizer = torch.optim.AdamW(
        [
            {"params": linears, "weight_decay": 0.3},
            {"params": others, "weight_decay": 0.0},
        ]
    )
    expected = trainer.train(3).weights
    result, _ = train(job, record)
    torch.testing.assert_close(result.weights[0], expected, **CLOSE)


@pytest.mark.parametrize("warmup", [0.0, 0.5, 1.5])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_schedule(schedule, warmup):
    """The learning rate follows the schedule and the warm-up step by step."""
    kind = make_kind(optimizer="sgd", lr_schedule=schedule)
    job = make_job(
        kind,
        (20, 13, 20),
        warmup=[warmup, warmup, 0.0],
        lr_decay=[0.1, 0.3, 0.5],
        max_epochs=3,
    )
    _compare(job)


def test_schedule_against_torch():
    """A cosine is that of torch's scheduler, stepped with every update."""
    job = make_job(make_kind(lr_schedule="cosine", batch_size=20), max_epochs=7)
    _, history = train(job)
    parameter = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([parameter], lr=0.01)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 7)
    expected = []
    for _ in range(7):
        expected.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    rates = history_of(history, 0)["learning_rate"]
    np.testing.assert_allclose(rates, expected, rtol=1e-12)


@pytest.mark.parametrize("n_epochs", [2, 5])
def test_horizon_of_the_schedule(n_epochs):
    """Epochs asked for now do not move the horizon, which is max_epochs."""
    job = make_job(make_kind(lr_schedule="exponential"), max_epochs=10)
    _, whole = train(job)
    result, part = train(replace(job, n_epochs=n_epochs))
    expected = history_of(whole, 0)["learning_rate"][:n_epochs]
    assert np.array_equal(history_of(part, 0)["learning_rate"], expected)
    assert result.epochs.tolist() == [n_epochs]


@pytest.mark.parametrize("normalization", ["batch", "layer"])
@pytest.mark.parametrize("sizes", [(24,), (24, 16, 24)])
def test_normalization(normalization, sizes):
    """Normalized networks train as nn.BatchNorm1d and nn.LayerNorm have it."""
    kind = make_kind(optimizer="sgd", normalization=normalization)
    job = make_job(kind, sizes, l1=1e-3, l2=1e-2, learning_rate=0.05)
    _compare(job)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activation(activation):
    """Networks of every activation train as plain ones."""
    kind = make_kind(activations=activation, optimizer="sgd")
    _compare(make_job(kind, (20, 13), learning_rate=0.02))


@pytest.mark.parametrize("hidden", [(), (6,), (4, 4, 4, 4)])
def test_depth(hidden):
    """Networks of any depth train as plain ones, a linear model too."""
    _compare(make_job(make_kind(hidden=hidden), (20, 13), l2=1e-3))


@pytest.mark.parametrize("batch_size", [1, 7, 20, 100])
@pytest.mark.parametrize("shuffle", [False, True])
def test_batch_size(batch_size, shuffle):
    """Batches of any size, up to all rows at once, train as by a plain loop."""
    kind = make_kind(batch_size=batch_size, shuffle=shuffle)
    _compare(make_job(kind, (20, 13), weighted=True))


def test_dropout():
    """With dropout, training equals a plain loop that is given the same masks."""
    job = make_job(make_kind(optimizer="sgd"), (20,), dropout=[[0.5, 0.25]])
    record = start(job)
    trainer = PlainTrainer(job, record)
    generators = duplicate(record.generators)
    network, epochs = trainer.network, Epochs(job)
    for _ in range(3):
        for _, batch in epochs(generators):
            raw = plain_forward(network, batch.X[0], [m[0] for m in batch.masks])
            trainer.optimizer.zero_grad()
            plain_loss("squared_error", raw, batch.target[0], 0.0).mean().backward()
            trainer.optimizer.param_groups[0]["lr"] = 0.01
            trainer.optimizer.step()
    result, _ = train(job, record)
    expected = trainer.train(0).weights
    torch.testing.assert_close(result.weights[0], expected, **CLOSE)


def test_sparse_rows(rng):
    """Sparse features train as their dense copy, bit for bit."""
    from scipy import sparse

    job = make_job(make_kind(n_inputs=6), (20, 13))
    X = np.where(rng.random(job.train.X.shape) < 0.6, 0, job.train.X)
    results = [
        train(replace(job, train=Table(x, job.train.target)))[0]
        for x in (X, sparse.csr_matrix(X))
    ]
    assert torch.equal(results[0].weights, results[1].weights)


# ---------------------------------------------------------------- zero weights


def _zero_start(activation):
    kind = make_kind(
        activations=activation, n_outputs=1, optimizer="sgd", hidden=(5, 4)
    )
    job = make_job(kind, max_epochs=20, learning_rate=0.1)
    result, _ = train(job, start(job, "zeros"))
    layout = Layout.of(kind.architecture)
    return {f"{s.kind}_{s.layer}": s.view(result.weights)[0] for s in layout.trained}


def test_zeros_with_sigmoid():
    """From zero, sigmoid networks learn, but all units of a layer stay identical."""
    tensors = _zero_start("sigmoid")
    for name in ("weight_0", "weight_1", "bias_0", "bias_1"):
        columns = tensors[name]
        assert (columns != 0).all()
        torch.testing.assert_close(columns, columns[:, :1].expand_as(columns), **CLOSE)
    for name in ("weight_1", "weight_2"):
        rows = tensors[name]
        assert (rows != 0).all()
        torch.testing.assert_close(rows, rows[:1].expand_as(rows), **CLOSE)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_zeros_with_relu_or_tanh(activation):
    """From zero, nothing but the output's bias ever moves."""
    tensors = _zero_start(activation)
    assert (tensors.pop("bias_2") != 0).all()
    assert all((tensor == 0).all() for tensor in tensors.values())


# ---------------------------------------------------------------- independence

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


# ---------------------------------------------------------------- stopping


def test_stopped_member_keeps_its_weights():
    """A member that has stopped no longer changes while others go on."""
    job = make_job(make_kind(), (20, 20, 20), max_epochs=[2, 6, 4])
    loop = Loop(job, start(job))
    kept, alive = {}, []
    goes_on = True
    while goes_on:
        alive.append(loop.live.tolist())
        goes_on = loop.settle(loop.epoch())
        for member in set(alive[-1]) - set(loop.live.tolist()):
            one = np.array([member])
            kept[member] = duplicate(loop.result().take(one))
    result = loop.result()
    assert alive == [[0, 1, 2]] * 2 + [[1, 2]] * 2 + [[1]] * 2
    assert result.epochs.tolist() == [2, 6, 4]
    assert result.updates.tolist() == [6, 18, 12]
    for member in (0, 2):
        assert_same_member(result, kept[member], member)


@pytest.mark.parametrize("max_epochs", [[1, 2, 3], [3, 1, 2], [2, 3, 1], [2, 2, 2]])
def test_results_in_the_original_order(max_epochs):
    """Whoever leaves first, each result stands at its member's place."""
    job = make_job(make_kind(), (20, 20, 20), max_epochs=max_epochs)
    result, history = train(job)
    assert result.epochs.tolist() == max_epochs
    for member, n_epochs in enumerate(max_epochs):
        columns = history_of(history, member)
        assert columns["epoch"].tolist() == list(range(1, n_epochs + 1))
        alone = start(job.take(np.array([member])), first_seed=member)
        expected = PlainTrainer(job.take(np.array([member])), alone).train(n_epochs)
        torch.testing.assert_close(result.weights[member], expected.weights, **CLOSE)


def test_record_is_trained_in_place():
    """The record that went in comes back."""
    job = make_job(make_kind(), (20, 20), max_epochs=[1, 2])
    record = start(job)
    assert train(job, record)[0] is record


@pytest.mark.parametrize("stop_at", [1, 3])
def test_stop_all(stop_at):
    """A callback's wish ends the training of every member."""
    job = make_job(make_kind(), (20, 20), max_epochs=9)
    loop = Loop(job, start(job))
    for epoch in range(1, stop_at + 1):
        goes_on = loop.settle(loop.epoch(), stop_all=epoch == stop_at)
    assert not goes_on
    assert loop.result().epochs.tolist() == [stop_at] * 2


@pytest.mark.parametrize("sizes", [(26, 26, 26), (26, 11, 20)])
def test_best_weights(sizes):
    """The weights are those of the epoch with the lowest validation loss."""
    kind = make_kind(restore_best=True)
    job = make_job(
        kind, sizes, valid=(6, 6, 6), max_epochs=25, learning_rate=[0.1, 0.03, 0.3]
    )
    loop = Loop(job, start(job))
    after = []
    goes_on = True
    while goes_on:
        line = loop.epoch()
        after.append(loop.record.weights.clone())
        goes_on = loop.settle(line)
    result = loop.result()
    for member in range(3):
        losses = history_of(loop.history, member)["valid_loss"]
        best = int(np.argmin(losses))
        assert result.best_epoch[member] == best + 1
        assert result.best_loss[member] == losses[best]
        assert torch.equal(result.weights[member], after[best][member])
        assert best < 24
    module = MemberNetwork(kind.architecture, result.weights)
    feed = Feed(kind, job.valid, job.held_out)
    nothing = torch.zeros((3, 1, 1), dtype=torch.float64)
    again, _ = evaluate(module, feed, kind.loss, nothing)
    np.testing.assert_allclose(again.numpy(), result.best_loss, rtol=1e-12)


def test_last_weights_without_early_stopping():
    """Without early stopping the weights are the last, whatever was best."""
    job = make_job(make_kind(), valid=(6,), max_epochs=10, learning_rate=0.3)
    loop = Loop(job, start(job))
    for _ in range(10):
        line = loop.epoch()
        last = loop.record.weights.clone()
        loop.settle(line)
    assert torch.equal(loop.result().weights, last)


class Scripted:
    """A loop whose epochs are made up: losses are given, and weights count epochs."""

    def __init__(self, losses, *, restore_best=True, schedule="constant", **settings):
        self.name = "valid_loss" if restore_best else "train_loss"
        self.losses = np.array(losses, dtype=float)
        members, n_epochs = self.losses.shape
        kind = make_kind(restore_best=restore_best, lr_schedule=schedule)
        job = make_job(
            kind,
            (10,) * members,
            valid=(5,) * members if restore_best else None,
            **{"max_epochs": n_epochs, **settings},
        )
        self.loop = Loop(job, start(job))
        #: The factor of the schedule after each epoch, for each member.
        self.factors = []

    def run(self):
        """Settle the epochs, as many as the loop asks for."""
        loop = self.loop
        for epoch, losses in enumerate(self.losses.T, start=1):
            record = loop.record
            loop._before = record.weights.clone()
            record.weights.fill_(epoch)
            record.epochs += 1
            of_living = losses[loop.live]
            line = {"train_loss": np.zeros(len(of_living)), self.name: of_living}
            goes_on = loop.settle(line)
            self.factors.append(record.plateau_factor.copy())
            if not goes_on:
                break
        return loop.result()


# Losses, patience, tol; then the epochs trained and the best epoch, by hand.
SEQUENCES = [
    ([5, 4, 4, 4, 4, 4, 4], 3, 0.0, 5, 2),
    ([5, 4, 4, 4, 3, 3, 3, 3], 3, 0.0, 8, 5),
    ([5, 6, 7, 8], 1, 0.0, 2, 1),
    ([5, 4, 3, 2, 1], 1, 0.0, 5, 5),
    ([5, 6, 4, 6, 3, 6, 2], 2, 0.0, 7, 7),
    # Better by less than tol: not enough to go on, but the best all the same.
    ([1.0, 0.95, 0.91, 0.9], 2, 0.1, 3, 3),
    ([1.0, 0.75, 0.5, 0.25], 1, 0.125, 4, 4),
    # Better by tol exactly, which is not enough.
    ([1.0, 0.75, 0.5, 0.25], 1, 0.25, 2, 2),
    ([1.0, 0.75, 0.5, 0.25], 3, 0.25, 4, 4),
    # Small steps, one after the other, compared with the best so far.
    ([1.0, 0.95, 0.8, 0.75, 0.7, 0.65], 2, 0.1, 5, 5),
]


@pytest.mark.parametrize("restore_best", [True, False])
@pytest.mark.parametrize(("losses", "patience", "tol", "n_epochs", "best"), SEQUENCES)
def test_patience(losses, patience, tol, n_epochs, best, restore_best):
    """Training ends after so many epochs in a row without improvement by tol."""
    settings = {"patience": patience, "tol": tol, "restore_best": restore_best}
    result = Scripted([losses], **settings).run()
    assert result.epochs.tolist() == [n_epochs]
    assert result.best_epoch.tolist() == [best]
    assert result.best_loss.tolist() == [losses[best - 1]]
    assert (result.weights == (best if restore_best else n_epochs)).all()


def test_patience_of_each_member():
    """Side by side, every member stops and is restored by its own sequence."""
    length = max(len(losses) for losses, *_ in SEQUENCES)
    padded = [[*s[0], *[np.nan] * (length - len(s[0]))] for s in SEQUENCES]
    result = Scripted(
        padded,
        patience=[s[1] for s in SEQUENCES],
        tol=[s[2] for s in SEQUENCES],
        max_epochs=[len(s[0]) for s in SEQUENCES],
    ).run()
    assert result.epochs.tolist() == [s[3] for s in SEQUENCES]
    assert result.best_epoch.tolist() == [s[4] for s in SEQUENCES]
    assert not result.diverged.any()
    for member, (*_, best) in enumerate(SEQUENCES):
        assert (result.weights[member] == best).all()


def test_penalty_is_monitored():
    """Without early stopping the monitored loss is training loss and penalty."""
    job = make_job(make_kind(), l1=0.05, l2=0.1, max_epochs=5)
    result, history = train(job)
    columns = history_of(history, 0)
    monitored = columns["train_loss"] + columns["penalty"]
    assert result.best_loss[0] == monitored.min()
    assert result.best_epoch[0] == monitored.argmin() + 1


def test_continued_run():
    """A second call goes on counting epochs, updates and patience."""
    job = make_job(make_kind(), (20, 20), max_epochs=8)
    record = start(job)
    whole, history = train(job, duplicate(record))
    first, one = train(replace(job, n_epochs=3), record)
    second, two = train(replace(job, n_epochs=5), first)
    for member in range(2):
        assert_same_member(second, whole.take(np.array([member])), member)
        columns = history_of([*one, *two], member)
        for name, values in history_of(history, member).items():
            assert np.array_equal(columns[name], values)


# ---------------------------------------------------------------- plateau


def test_plateau():
    """The factor falls once the loss has been stale for more than half the patience."""
    losses = [[9, 8, 8, 8, 8, 8, 8, 8, 8], [9, 8, 7, 6, 5, 4, 3, 2, 1]]
    scripted = Scripted(
        losses, schedule="reduce_on_plateau", patience=4, lr_decay=[0.5, 0.1]
    )
    scripted.run()
    # Half of 4 is 2: epochs 3 and 4 are tolerated, the next is not; 6 is the end.
    factors = [row.tolist() for row in scripted.factors]
    assert factors == [[1, 1]] * 4 + [[0.5, 1]] * 2 + [[1]] * 3


@pytest.mark.parametrize(
    ("patience", "tolerated"), [(3, 1), (8, 4), (20, 10), (100, 10), (10**18, 10)]
)
def test_patience_of_the_plateau(patience, tolerated):
    """The schedule waits for half the patience, at most 10 epochs, and starts again."""
    n_epochs = 1 + 2 * (tolerated + 1)
    scripted = Scripted(
        [[1.0] * (n_epochs + 5)],
        schedule="reduce_on_plateau",
        patience=patience,
        lr_decay=0.5,
    )
    scripted.run()
    factors = np.concatenate(scripted.factors)
    first = 1 + tolerated
    assert (factors[:first] == 1).all()
    assert factors[first] == 0.5
    if patience > n_epochs:
        assert (factors[first : n_epochs - 1] == 0.5).all()
        assert factors[n_epochs - 1] == 0.25


def test_plateau_lowers_the_learning_rate():
    """The next epoch trains with the base rate times the factor."""
    kind = make_kind(lr_schedule="reduce_on_plateau")
    job = make_job(
        kind, (20, 20), max_epochs=60, learning_rate=[0.5, 0.01], patience=6
    )
    record = start(job)
    job.settings.lr_decay[:] = 0.5
    loop = Loop(job, record)
    factors = {0: [1.0], 1: [1.0]}
    goes_on = True
    while goes_on:
        live = loop.live
        line = loop.epoch()
        for place, member in enumerate(live):
            base = job.settings.learning_rate[member]
            assert line["learning_rate"][place] == base * factors[member][-1]
        before = loop.record
        goes_on = loop.settle(line)
        for place, member in enumerate(live):
            factors[member].append(before.plateau_factor[place])
    assert min(factors[0]) < 1


def test_other_schedules_have_no_plateau():
    """Without that schedule a stale loss leaves the factor alone."""
    scripted = Scripted([[1.0] * 9], schedule="cosine")
    assert scripted.run().plateau_factor.tolist() == [1.0]


# ---------------------------------------------------------------- divergence


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_divergence(optimizer, normalization, dtype):
    """A member that diverges keeps its last finite weights; others do not notice."""
    kind = make_kind(
        optimizer=optimizer, normalization=normalization, dtype=np.dtype(dtype)
    )
    rates = [0.01, 1e200, 0.02]
    job = make_job(kind, (20, 20, 20), learning_rate=rates, max_epochs=30)
    record = start(job)
    first = record.weights.clone()
    result, history = train(job, duplicate(record))
    assert result.weights.isfinite().all()
    assert all(slot.isfinite().all() for slot in result.slots.values())
    fresh = fresh_slots(kind, first)
    if result.diverged[1]:
        for name, slot in fresh.items():
            assert torch.equal(result.slots[name][1], slot[1])
        assert result.epochs[1] == len(history_of(history, 1)["epoch"])
    assert result.diverged.tolist()[::2] == [False, False]
    for member in (0, 2):
        own, _ = train(*_take(job, record, member))
        assert_same_member(result, own, member)


@pytest.mark.parametrize("restore_best", [False, True])
def test_last_finite_weights(restore_best):
    """Weights are those after the last epoch that was finite from end to end."""
    kind = make_kind(
        optimizer="sgd", hidden=(), restore_best=restore_best, dtype=np.dtype("f4")
    )
    valid = (6,) if restore_best else None
    job = make_job(kind, valid=valid, learning_rate=30.0, max_epochs=200)
    loop = Loop(job, start(job))
    after = [loop.record.weights.clone()]
    goes_on = True
    while goes_on:
        line = loop.epoch()
        after.append(loop.record.weights.clone())
        goes_on = loop.settle(line)
    result = loop.result()
    assert result.diverged.tolist() == [True]
    assert 2 < len(loop.history) < 200
    assert result.epochs.tolist() == [len(loop.history)]
    losses = [line["train_loss"][0] for line in loop.history]
    assert np.isfinite(losses[:-1]).all()
    if restore_best:
        valid_losses = [line["valid_loss"][0] for line in loop.history]
        best = int(np.nanargmin(valid_losses))
        assert result.best_epoch.tolist() == [best + 1]
        assert torch.equal(result.weights, after[best + 1])
    else:
        assert torch.equal(result.weights, after[-2])


@pytest.mark.parametrize("restore_best", [False, True])
def test_divergence_from_the_start(restore_best):
    """If already the first epoch fails, the initial weights are kept."""
    kind = make_kind(restore_best=restore_best)
    job = make_job(kind, valid=(6,))
    job = replace(job, train=Table(job.train.X, job.train.target * 1e300))
    record = start(job)
    first = record.weights.clone()
    result, history = train(job, record)
    assert torch.equal(result.weights, first)
    assert result.diverged.tolist() == [True]
    assert result.best_epoch.tolist() == [0]
    assert result.best_loss.tolist() == [np.inf]
    assert len(history) == 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_huge_features(normalization, dtype):
    """Features near the largest number of the dtype never leave weights infinite."""
    kind = make_kind(
        hidden=(5,),
        activations="relu",
        normalization=normalization,
        dtype=np.dtype(dtype),
    )
    job = make_job(kind, (20, 20), learning_rate=0.1, max_epochs=5)
    huge = job.train.X * (np.finfo(dtype).max / 1e2)
    result, _ = train(replace(job, train=Table(huge, job.train.target)))
    assert result.weights.isfinite().all()
    assert all(slot.isfinite().all() for slot in result.slots.values())
    assert result.diverged.all() == (normalization != "layer") or result.diverged.any()


def test_divergence_on_held_out_rows():
    """A validation loss that is not finite is a divergence too."""
    job = make_job(make_kind(restore_best=True), valid=(6,))
    job = replace(job, valid=Table(job.valid.X, job.valid.target * 1e300))
    record = start(job)
    first = record.weights.clone()
    result, history = train(job, record)
    assert result.diverged.tolist() == [True]
    assert np.isfinite(history[0]["train_loss"]).all()
    assert torch.equal(result.weights, first)


def test_scripted_divergence():
    """A member without a finite loss leaves at once; the best epoch is restored."""
    losses = [[5, 4, np.nan, 1], [5, 4, 3, 2], [5, 6, 7, np.inf]]
    result = Scripted(losses).run()
    assert result.diverged.tolist() == [True, False, True]
    assert result.epochs.tolist() == [3, 4, 4]
    assert result.best_epoch.tolist() == [2, 4, 1]
    assert result.weights[:, 0].tolist() == [2, 4, 1]


# ---------------------------------------------------------------- history

NORMS = {"gradient_norm", "gradient_norm_0", "gradient_norm_1", "gradient_norm_2"}
ALWAYS = {"member", "epoch", "train_loss", "learning_rate"}


@pytest.mark.parametrize("valid", [None, (6, 6)])
@pytest.mark.parametrize(
    ("monitor", "more"),
    [("off", set()), ("light", NORMS), ("full", {*NORMS, "train_score"})],
)
def test_columns(monitor, more, valid):
    """The history has the columns that its level of detail promises."""
    job = make_job(make_kind(monitor=monitor), (20, 20), valid=valid)
    _, history = train(job)
    held_out = set() if valid is None else {"valid_loss", "valid_score"}
    for line in history:
        assert set(line) == ALWAYS | more | held_out
        assert {len(values) for values in line.values()} == {2}


@pytest.mark.parametrize("penalty", [{"l1": 0.1}, {"l2": 0.1}, {"l1": 0.1, "l2": 0.1}])
def test_penalty_column(penalty):
    """Penalties stand in the history where there are any, weighted layer by layer."""
    job = make_job(make_kind(monitor="off"), (20, 20), **penalty)
    result, history = train(job)
    assert set(history[-1]) == {*ALWAYS, "penalty"}
    for member in range(2):
        expected = 0.0
        for segment in Layout.of(job.kind.architecture).of_kind("weight"):
            weight = result.weights[member, segment.columns]
            expected += penalty.get("l1", 0) * weight.abs().sum().item()
            expected += penalty.get("l2", 0) * weight.square().sum().item()
        assert history[-1]["penalty"][member] == pytest.approx(expected, rel=1e-12)


class Recorder:
    """Hooks that keep every gradient, and optionally change it."""

    def __init__(self, factor=1.0):
        self.factor = factor
        self.gradients, self.losses, self.rows = [], [], []

    def begin(self, batch):
        """Note how many rows there are."""
        self.rows.append(batch.X.shape[1])

    def gradient(self, gradient, batch):
        """Scale the gradient and keep a copy."""
        gradient *= self.factor
        self.gradients.append(gradient.clone())

    def end(self, batch, raw, loss):
        """Keep the loss."""
        self.losses.append(loss)


def _norms(gradient, layout):
    """Return the norms of the network's gradient and of each layer's, by name."""
    norms = {"gradient_norm": torch.linalg.vector_norm(gradient)}
    for layer in range(3):
        parts = [gradient[s.columns] for s in layout.trained if s.layer == layer]
        norms[f"gradient_norm_{layer}"] = torch.linalg.vector_norm(torch.cat(parts))
    return {name: norm.item() for name, norm in norms.items()}


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("monitor", ["light", "full"])
def test_gradient_norms(monitor, normalization):
    """Norms are those before clipping: at the last batch, or the mean over batches."""
    kind = make_kind(monitor=monitor, normalization=normalization)
    sizes = (20, 13, 7)
    job = make_job(
        kind, sizes, l1=0.01, l2=0.01, clip_norm=0.01, clip_value=0.1, max_epochs=2
    )
    recorder, layout = Recorder(), Layout.of(kind.architecture)
    _, history = train(job, hooks=recorder)
    for epoch, line in enumerate(history):
        for member, n_steps in enumerate((3, 2, 1)):
            steps = recorder.gradients[3 * epoch :][:n_steps]
            norms = [_norms(gradient[member], layout) for gradient in steps]
            norms = norms if monitor == "full" else norms[-1:]
            for name in NORMS:
                expected = np.mean([norm[name] for norm in norms])
                assert line[name][member] == pytest.approx(expected, rel=1e-12)


def test_train_score():
    """The training score of an epoch is that of the weights it ends with."""
    kind = make_kind(monitor="full")
    job = make_job(kind, (20, 13), max_epochs=1)
    result, history = train(job)
    module = MemberNetwork(kind.architecture, result.weights)
    feed = Feed(kind, job.train, job.rows)
    nothing = torch.zeros((2, 1, 1), dtype=torch.float64)
    _, score = evaluate(module, feed, kind.loss, nothing)
    assert history[-1]["train_score"].tolist() == score.tolist()


@pytest.mark.parametrize("weighted", [False, True])
def test_train_loss_of_a_standstill(weighted):
    """Where nothing moves, the training loss is the weighted mean over the rows."""
    kind = make_kind(optimizer="sgd")
    job = make_job(kind, (20, 13), weighted=weighted, learning_rate=0.0)
    record = start(job)
    _, history = train(job, duplicate(record))
    for member, rows in enumerate(job.rows):
        network = plain_network(kind.architecture, record.weights[member])
        X, y = (torch.tensor(a[rows.index]) for a in (job.train.X, job.train.target))
        with torch.no_grad():
            losses = plain_loss(kind.loss, network(X), y, 0.0).numpy()
        expected = np.average(losses, weights=rows.weight)
        measured = history_of(history, member)["train_loss"]
        np.testing.assert_allclose(measured, expected, rtol=1e-12)


# ---------------------------------------------------------------- hooks


def test_hooks_only_look():
    """Hooks that change nothing leave training bit for bit as it is."""
    job = make_job(make_kind(), (20, 13))
    record = start(job)
    expected, _ = train(job, duplicate(record))
    recorder = Recorder()
    result, history = train(job, duplicate(record), recorder)
    assert torch.equal(result.weights, expected.weights)
    assert recorder.rows == [8, 8, 4] * 3
    losses = torch.stack(recorder.losses).view(3, 3, 2).sum(1).numpy()
    for line, sums in zip(history, losses, strict=True):
        np.testing.assert_allclose(line["train_loss"] * [20, 13], sums, rtol=1e-12)


def test_hooks_change_the_gradient():
    """What a hook makes of the gradient is clipped and applied."""
    job = make_job(make_kind(optimizer="sgd", monitor="full"), (20,), momentum=0.0)
    record = start(job)
    doubled, _ = train(job, duplicate(record), Recorder(factor=2.0))
    job.settings.learning_rate[:] *= 2
    expected, _ = train(job, duplicate(record))
    torch.testing.assert_close(doubled.weights, expected.weights, **CLOSE)
    job.settings.clip_value[:] = 0.001
    clipped, _ = train(job, duplicate(record), Recorder(factor=1e6))
    moved = (clipped.weights - record.weights).abs().max().item()
    assert moved <= 9 * 0.02 * 0.001 * (1 + 1e-9)


def test_globals_stay(untouched_globals):
    """Training draws from no global generator and changes no default of torch."""
    kind = make_kind(restore_best=True, normalization="batch", monitor="full")
    train(make_job(kind, (20, 13), valid=(6, 6), dropout=0.5, max_epochs=2))


@pytest.mark.parametrize("default", [torch.float32, torch.float64])
def test_default_dtype_is_of_no_consequence(default):
    """Single precision stays single, and double double, by whatever default."""
    results = []
    for used in (torch.float32, default):
        torch.set_default_dtype(used)
        try:
            parts = []
            for dtype in DTYPES:
                kind = make_kind(dtype=np.dtype(dtype), normalization="batch")
                job = make_job(kind, (20, 13), dropout=0.3, l2=0.1, clip_norm=1.0)
                parts.append(train(job)[0].weights)
            results.append(parts)
        finally:
            torch.set_default_dtype(torch.float32)
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)
    assert [a.dtype for a in results[0]] == [torch.float32, torch.float64]
