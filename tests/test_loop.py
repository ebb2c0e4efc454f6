"""The training loop against plain PyTorch, and members against themselves alone."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
import torch
from helpers import (
    TORCH_OPTIMIZERS,
    PlainTrainer,
    assert_same_member,
    duplicate,
    history_of,
    make_job,
    make_kind,
    on_table,
    plain_forward,
    plain_loss,
    plain_network,
    start,
    take_member,
    train,
)

from sknnopt._feed import Epochs
from sknnopt._history import expanded
from sknnopt._layout import Layout
from sknnopt._propagation import infer, whole_tensors
from sknnopt._scores import Evaluation
from sknnopt._threads import n_torch_threads
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
    job = make_job(make_kind(optimizer=optimizer), (20, 20), weight_decay=[0.0, 0.5])
    _, _, (plain, decayed) = _compare(job)
    assert not torch.equal(plain.weights, decayed.weights)


def test_weight_decay_as_adamw():
    """With adamw, decay of the weights is torch.optim.AdamW's."""
    job = make_job(make_kind(optimizer="adamw"), (20,), weight_decay=0.3)
    record = start(job)
    trainer = PlainTrainer(job, record)
    trainer.settings.weight_decay[:] = 0.0
    linears = trainer.linears
    others = [
        p for p in trainer.network.parameters() if all(p is not w for w in linears)
    ]
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
        for batch in chain.from_iterable(c.batches() for c in epochs(generators)):
            n_rows = int((batch.scale[0] > 0).sum())
            masks = [mask[0, :n_rows] for mask in batch.masks]
            raw = plain_forward(network, batch.X[0, :n_rows], masks)
            target = batch.target[0, :n_rows]
            trainer.optimizer.zero_grad()
            plain_loss("squared_error", raw, target, 0.0).mean().backward()
            trainer.optimizer.param_groups[0]["lr"] = 0.01
            trainer.optimizer.step()
    result, _ = train(job, record)
    expected = trainer.train(0).weights
    torch.testing.assert_close(result.weights[0], expected, **CLOSE)


def test_sparse_rows(rng):
    """Sparse features train as their dense copy, bit for bit."""
    from scipy import sparse

    job = make_job(make_kind(n_inputs=6), (20, 13))
    X = job.rows[0].table.X
    X = np.where(rng.random(X.shape) < 0.6, 0, X)
    results = [train(on_table(job, x))[0] for x in (X, sparse.csr_matrix(X))]
    assert torch.equal(results[0].weights, results[1].weights)


def test_padding_beyond_reach():
    """Rows of padding have no say, even where the answer to them overflows."""
    kind = make_kind(loss="poisson", hidden=(), n_inputs=1, n_outputs=1)
    job = make_job(kind, (20, 13), valid=(11, 5), learning_rate=1e-4)
    table = job.rows[0].table
    job = on_table(job, 100.0 + 0.1 * table.X)
    record = start(job)
    # About zero for all rows; at a row of zeros the exponential is infinite.
    record.weights[:] = torch.tensor([-8.0, 800.0], dtype=torch.float64)
    result, history, _ = _compare(job, record)
    assert not result.diverged.any()
    assert np.isfinite([line["valid_loss"] for line in history]).all()
    assert np.isfinite([line["valid_score"] for line in history]).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("monitor", ["off", "light", "full"])
def test_idle_members_do_not_overflow(monitor, dtype):
    """Normalized networks stay finite in steps that have one of their rows, or none."""
    kind = make_kind(
        loss="poisson",
        hidden=(5,),
        activations="relu",
        normalization="batch",
        dtype=np.dtype(dtype),
        monitor=monitor,
    )
    # In its last step the first has one row, the second none.
    job = make_job(kind, (17, 8), learning_rate=1e-3)
    record = start(job)
    layout = Layout.of(kind.architecture)
    # Normalization takes it away where there are rows, and enlarges it where not.
    layout.of_kind("bias")[0].view(record.weights).fill_(50.0)
    together, history = train(job, duplicate(record))
    assert not together.diverged.any()
    for member in range(2):
        own, own_history = train(*take_member(job, record, member))
        assert_same_member(together, own, member)
        mine = expanded(history_of(history, member))
        theirs = expanded(history_of(own_history, 0))
        for name in set(theirs) - {"member"}:
            # Running statistics are far from settled, and the score tells.
            assert np.isfinite(mine[name]).all() or name == "train_score"
            assert np.array_equal(mine[name], theirs[name])


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


# ---------------------------------------------------------------- history

NORMS = {"gradient_norm", "gradient_norm_0", "gradient_norm_1", "gradient_norm_2"}
SEEN = {"gradient_norm", "layers"}
ALWAYS = {"member", "epoch", "train_loss", "learning_rate"}


@pytest.mark.parametrize("valid", [None, (6, 6)])
@pytest.mark.parametrize(
    ("monitor", "more"),
    [("off", set()), ("light", SEEN), ("full", {*SEEN, "train_score"})],
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
        self.rows.append(int((batch.scale[0] > 0).sum()))

    def gradient(self, gradient, batch):
        """Scale the gradient and keep a copy."""
        gradient *= self.factor
        self.gradients.append(gradient.clone())

    def end(self, batch, raw, loss):
        """Keep the loss."""
        self.losses.append(loss)


def _norms(gradient, layout):
    """Return the norms of the network's gradient and of each layer's, by name."""
    parts = [(s.layer, s.view(gradient[None]).flatten()) for s in layout.trained]
    whole = torch.cat([part for _, part in parts])
    norms = {"gradient_norm": torch.linalg.vector_norm(whole)}
    for layer in range(3):
        own = [part for of_layer, part in parts if of_layer == layer]
        norms[f"gradient_norm_{layer}"] = torch.linalg.vector_norm(torch.cat(own))
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
    recorder, layout = Recorder(), kind.layout
    _, history = train(job, hooks=recorder)
    for epoch, line in enumerate(history):
        for member, n_steps in enumerate((3, 2, 1)):
            steps = recorder.gradients[3 * epoch :][:n_steps]
            norms = [_norms(gradient[member], layout) for gradient in steps]
            norms = norms if monitor == "full" else norms[-1:]
            for name in NORMS:
                expected = np.mean([norm[name] for norm in norms])
                assert expanded(line)[name][member] == pytest.approx(
                    expected, rel=1e-12
                )


def test_train_score():
    """The training score of an epoch is that of the weights it ends with."""
    kind = make_kind(monitor="full")
    job = make_job(kind, (20, 13), max_epochs=1)
    result, history = train(job)
    nothing = torch.zeros((2, 1, 1), dtype=torch.float64)
    _, score = Evaluation(kind, job.rows, nothing)(result.padded(kind).weights)
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
        table = rows.table
        X, y = (torch.tensor(a[rows.index]) for a in (table.X, table.target))
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
    # Mean losses of the steps, times their rows, add up to the epoch's.
    losses = torch.stack(recorder.losses).view(3, 3, 2).numpy()
    n_rows = [[8, 8], [8, 5], [4, 0]]
    for line, steps in zip(history, losses, strict=True):
        sums = (steps * n_rows).sum(0)
        np.testing.assert_allclose(line["train_loss"] * [20, 13], sums, rtol=1e-12)


def test_hooks_may_keep_what_they_are_shown():
    """Batches, raw outputs and losses of a step outlive the following ones."""
    kept, copies = [], []

    class Keeper(Recorder):
        def end(self, batch, raw, loss):
            parts = [batch.X, batch.target, batch.scale, raw, loss, *batch.masks]
            kept.append(parts)
            copies.append([part.clone() for part in parts])

    train(make_job(make_kind(), (20, 13), dropout=0.3), hooks=Keeper())
    assert len(kept) == 9
    for parts, values in zip(kept, copies, strict=True):
        assert all(map(torch.equal, parts, values))


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


def test_numbers_of_threads():
    """On two threads, 30 epochs in double precision end where those on one do."""
    kind = make_kind(
        n_inputs=30,
        hidden=(64, 40),
        normalization="batch",
        batch_size=256,
    )
    # Large enough to be shared among threads, by torch and by numpy's products.
    job = make_job(
        kind, (256,) * 2, valid=(200,) * 2, max_epochs=30, learning_rate=1e-3
    )
    record = start(job)
    results = []
    for n_threads in (1, 2):
        with n_torch_threads(n_threads):
            results.append(train(job, duplicate(record)))
    (one, of_one), (two, of_two) = results
    X = torch.tensor(job.rows[0].table.X)
    outputs = [
        infer(
            kind.architecture,
            whole_tensors(Layout.of(kind.architecture), result.weights),
            X,
        )
        for result in (one, two)
    ]
    torch.testing.assert_close(*outputs, rtol=1e-6, atol=1e-6)
    for a, b in zip(of_one, of_two, strict=True):
        for name in ("train_loss", "valid_loss", "valid_score"):
            np.testing.assert_allclose(a[name], b[name], rtol=1e-6, atol=1e-6)
