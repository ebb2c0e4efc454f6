from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest
import torch
from helpers import (
    history_of,
    make_job,
    make_kind,
    plain_network,
    start,
    take_member,
    train,
)

from sknnopt._feed import Epochs
from sknnopt._history import LAYERS, STATISTICS, expanded
from sknnopt._layout import Layout
from sknnopt._monitoring import Monitor, OutputReader
from sknnopt.activations import ACTIVATIONS

X = torch.linspace(-40.0, 40.0, 8001, dtype=torch.float64)


# ---------------------------------------------------------------- activations


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_what_is_cut_has_no_slope_below_zero(name):
    """``is_cut`` marks functions that are 0, with derivative 0, below 0, never less."""
    x = X.clone().requires_grad_()
    y = ACTIVATIONS[name].make(x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    below = X < 0
    is_cut = bool((y[below] == 0).all() and (slope[below] == 0).all())
    assert ACTIVATIONS[name].is_cut == is_cut
    assert not is_cut or y.min() == 0


@pytest.mark.parametrize("name", [n for n in ACTIVATIONS if ACTIVATIONS[n].limits])
def test_slope_follows_from_the_limits(name):
    """The derivative is proportional to (y - low) (high - y), and they are reached."""
    low, high = ACTIVATIONS[name].limits
    x = X.clone().requires_grad_()
    y = ACTIVATIONS[name].make(x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    product = ((y - low) * (high - y)).detach()
    torch.testing.assert_close(
        slope / slope.max(), product / product.max(), rtol=1e-6, atol=1e-12
    )
    assert y[0].item() == pytest.approx(low, abs=1e-12)
    assert y[-1].item() == pytest.approx(high, abs=1e-12)


# ---------------------------------------------------------------- one layer


@pytest.mark.parametrize(
    ("name", "values", "dead", "saturated"),
    [
        # Three rows of four units: one is dead, one silent in two rows only.
        ("relu", [[0, 1, 0, 2], [0, 2, 3, 1], [0, 1, 0, 1]], 0.25, np.nan),
        # Flat below (1 - sqrt(0.95)) / 2 = 0.0127 and above 0.9873.
        ("sigmoid", [[0.0126, 0.0128], [0.9872, 0.9874]], np.nan, 0.5),
        # Flat beyond sqrt(0.95) = 0.9747 on both sides.
        ("tanh", [[-0.975, 0.974], [0.0, 0.975], [0.1, -0.974]], np.nan, 1 / 3),
        ("gelu", [[0, 1], [2, 3]], np.nan, np.nan),
    ],
)
def test_reading_of_a_layer(name, values, dead, saturated):
    """Shares are counted, and the variance is that over rows, averaged over units."""
    outputs = np.array(values, dtype=float)
    read = OutputReader([(name,)], [outputs.shape[1]])
    found = read(outputs[None].copy())[0, :, 0]
    expected = [dead, saturated, outputs.mean(), outputs.var(axis=0).mean()]
    np.testing.assert_allclose(found, expected, rtol=1e-14)


@pytest.mark.parametrize("widths", [(5, 3), (1,)])
def test_members_with_activations_of_their_own(widths):
    """A member is read alike, bit for bit, whichever others are read beside it."""
    names = [("relu", "relu"), ("relu", "tanh"), ("tanh", "gelu"), ("sigmoid", "relu")]
    names = [own[: len(widths)] for own in names]
    rng = np.random.default_rng(0)
    outputs = rng.uniform(0, 1, (4, 11, sum(widths))).astype(np.float32)
    outputs[:2, :, :1] = 0.0
    together = OutputReader(names, widths)
    for members in (slice(None), np.array([1, 2]), np.array([0, 3])):
        found = together(outputs[members].copy(), members)
        for own, member in zip(found, np.arange(4)[members], strict=True):
            alone = OutputReader([names[member]], widths)
            (expected,) = alone(outputs[[member]])
            np.testing.assert_array_equal(own, expected)


# ---------------------------------------------------------------- steps


def _watch(kind, sizes):
    """Return a monitor, where it puts first readings, and the tensors it watches."""
    job, layout = make_job(kind, sizes), kind.layout
    initial = np.full((len(job), len(STATISTICS), 3), np.nan)
    gradient, weights = torch.zeros(2, len(job), layout.n_trained, dtype=torch.float64)
    outputs = [
        torch.zeros(len(job), 8, n, dtype=torch.float64)
        for n in kind.architecture.hidden
    ]
    watch = Monitor(
        job,
        layout,
        Epochs(job).rows_of_step,
        initial,
        gradient=gradient,
        weights=weights,
        outputs=outputs,
    )
    return watch, initial, (gradient, weights, outputs)


def _feed(watch, watched, layout, seed):
    """Show a monitor an epoch of random steps; return what it was shown."""
    rng = np.random.default_rng(seed)
    gradient, weights, outputs = watched
    real = torch.zeros(1, layout.n_trained, dtype=torch.float64)
    for segment in layout.trained:
        segment.view(real).fill_(1.0)

    def draw(place):
        place.copy_(torch.tensor(rng.normal(size=place.shape)))
        return place

    shown = []
    for step in range(max(watch.n_steps)):
        is_wanted = watch.wants(step)
        for output in outputs:
            draw(output)
        before = [draw(place).mul_(real).clone() for place in (gradient, weights)]
        if is_wanted:
            watch.before(step)
        # The clipper and the update change both.
        draw(gradient)
        after = draw(weights).mul_(real).clone()
        if is_wanted:
            watch.after(step)
        shown.append((*before, after, [output.clone() for output in outputs]))
    return shown


def _expected(shown, member, n_rows, layout):
    """Return a step's statistics of a member, (statistics, layers), by plain sums."""
    gradient, before, after, outputs = shown
    n_layers = len(outputs) + 1
    found = np.full((len(STATISTICS), n_layers), np.nan)
    for layer in range(n_layers):
        parts = [s for s in layout.trained if s.layer == layer]

        def norm(flat, parts=parts):
            pieces = [part.view(flat[[member]]).flatten() for part in parts]
            return torch.cat(pieces).norm().item()

        found[0, layer] = norm(gradient)
        found[1, layer] = norm(after - before) / norm(before)
    for layer, output in enumerate(outputs):
        values = output[member, :n_rows].numpy()
        found[3, layer] = np.mean(1 - values**2 < 0.05)
        found[4, layer] = values.mean()
        found[5, layer] = values.var(axis=0).mean()
    return found


@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
@pytest.mark.parametrize("monitor", ["light", "full"])
def test_statistics_of_an_epoch(monitor, normalization):
    """They are those of each member's last step, or means over all, of its own rows."""
    kind = make_kind(monitor=monitor, normalization=normalization)
    layout = kind.layout
    watch, initial, watched = _watch(kind, (20, 13, 7))
    rows = np.array([[8, 8, 7], [8, 5, 0], [4, 0, 0]])
    is_new = np.array([True, False, True])
    shown, columns = [], []
    for epoch in range(3):
        watch.begin(is_new if epoch == 0 else np.zeros(3, dtype=bool))
        shown.append(_feed(watch, watched, layout, seed=epoch))
        columns.append(watch.columns())
    watch.read()
    for epoch, member in product(range(3), range(3)):
        own, n_steps = shown[epoch], 3 - member
        steps = range(n_steps) if monitor == "full" else [n_steps - 1]
        read = [_expected(own[s], member, rows[s, member], layout) for s in steps]
        found = columns[epoch]
        np.testing.assert_allclose(found[LAYERS][member], np.mean(read, 0), 1e-12)
        norms = [own[step][0][member].norm().item() for step in steps]
        assert found["gradient_norm"][member] == pytest.approx(np.mean(norms))
    for member in range(3):
        first = _expected(shown[0][0], member, rows[0, member], layout)
        expected = first if is_new[member] else np.full_like(first, np.nan)
        np.testing.assert_allclose(initial[member], expected, rtol=1e-12)


def test_off_reads_nothing():
    """Without a monitor no step is asked for, and there is no column."""
    watch, _, _ = _watch(make_kind(monitor="off"), (20,))
    watch.begin(np.array([True]))
    assert not any(watch.wants(step) for step in range(3))
    assert watch.columns() == {}


# ---------------------------------------------------------------- in training


@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_training_shows_what_its_networks_do(activation, dropout):
    """Of one step an epoch, all follows from the weights before and after it."""
    kind = make_kind(batch_size=20, activations=activation, shuffle=False)
    job = make_job(kind, (20,), max_epochs=2, dropout=[[0.0, dropout]])
    weights = [start(job).weights]
    for n_epochs in (1, 2):
        result, history = train(replace(job, n_epochs=n_epochs))
        weights.append(result.weights)
    rows = torch.tensor(job.rows[0].table.X[job.rows[0].index])
    layout = Layout.of(kind.architecture)
    for line, (before, after) in zip(history, pairwise(weights), strict=True):
        network = plain_network(kind.architecture, before[0])
        with torch.no_grad():
            outputs = [network[0](rows)]
            outputs.append(network[1](outputs[0]))
        expected = _expected(
            (before, before, after, [output[None] for output in outputs]),
            0,
            20,
            layout,
        )
        found = line[LAYERS][0]
        np.testing.assert_allclose(found[[1, 4, 5]], expected[[1, 4, 5]], rtol=1e-9)
        if activation == "relu":
            dead = [np.mean((o == 0).all(0).numpy()) for o in outputs]
            assert found[2, :2].tolist() == dead
    np.testing.assert_array_equal(result.initial[0], history[0][LAYERS][0])


def test_initial_networks_are_seen_once():
    """What the first step finds stays, through epochs and a further run."""
    job = make_job(make_kind(), (20, 13), max_epochs=1)
    result, _ = train(job)
    first = result.initial.copy()
    assert np.isfinite(first[:, :2]).all()
    again, _ = train(job, result)
    np.testing.assert_array_equal(again.initial, first)


@pytest.mark.parametrize("monitor", ["light", "full"])
def test_statistics_do_not_depend_on_company(monitor):
    """Every number is, bit for bit, that of the member alone."""
    kind = make_kind(monitor=monitor, hidden=(5, 4), dtype=np.dtype(np.float32))
    job = make_job(kind, (20, 13, 7), max_epochs=2)
    _, together = train(job)
    for member in range(3):
        one, record = take_member(job, start(job), member)
        _, alone = train(one, record)
        for name, values in history_of(together, member).items():
            if name != "member":
                np.testing.assert_array_equal(values, history_of(alone, 0)[name])


@pytest.mark.parametrize("hidden", [(), (5, 4), (64, 64)])
@pytest.mark.parametrize("sizes", [(16, 16, 16), (20, 13, 7)])
def test_numbers_that_come_late_are_the_same(sizes, hidden):
    """Read at once or after many epochs, and whoever has left, they are equal."""
    kind = make_kind(hidden=hidden, dtype=np.dtype(np.float32))
    job = make_job(kind, sizes, max_epochs=[40, 21, 2])
    (_, late), (_, at_once) = train(job), train(job, at_once=True)
    for line, expected in zip(late, at_once, strict=True):
        assert line.keys() == expected.keys()
        for name, values in expected.items():
            np.testing.assert_array_equal(line[name], values)
        assert np.isfinite(line[LAYERS][:, :2]).all()


# ---------------------------------------------------------------- clipping


@pytest.mark.parametrize("per_tensor", [False, True])
@pytest.mark.parametrize(
    "limits",
    [
        {"clip_norm": [1.0, np.inf, 0.9]},
        {"clip_value": [0.6, np.inf, 0.5]},
        {"clip_norm": [1.0, np.inf, 0.9], "clip_value": [np.inf, np.inf, 0.9]},
    ],
)
def test_clipped_share_counts_the_steps_that_clipping_changed(limits, per_tensor):
    """It is exact, in light monitoring too, and NaN where nothing is clipped."""
    kind = make_kind(clip_per_tensor=per_tensor, optimizer="sgd")
    job = make_job(kind, (40, 29, 17), max_epochs=3, learning_rate=0.05, **limits)
    gradients = []

    class Keeper:
        """Hooks that keep every gradient."""

        def begin(self, batch):
            """Do nothing."""

        def gradient(self, gradient, batch):
            """Keep a copy."""
            gradients.append(gradient.clone())

        def end(self, batch, raw, loss):
            """Do nothing."""

    _, history = train(job, hooks=Keeper())
    shares = np.array([line["clipped_share"] for line in history])
    tensors = [segment.columns for segment in kind.layout.trained]
    expected = np.full((3, 3), np.nan)
    for epoch in range(3):
        for member, n_steps in ((0, 5), (2, 3)):
            norm = limits.get("clip_norm", [np.inf] * 3)[member]
            value = limits.get("clip_value", [np.inf] * 3)[member]
            own = [g[member] for g in gradients[5 * epoch :][:n_steps]]
            changed = []
            for gradient in own:
                by_value = gradient.clamp(-value, value)
                parts = [by_value[t] for t in tensors] if per_tensor else [by_value]
                is_long = any(part.norm() > norm for part in parts)
                changed.append(is_long or not torch.equal(by_value, gradient))
            expected[epoch, member] = np.mean(changed)
    np.testing.assert_array_equal(shares, expected)
    assert 0 < np.nanmean(shares) < 1


# ---------------------------------------------------------------- columns


def test_columns_of_layers():
    """Each statistic of each layer has a column, but for those without a meaning."""
    layers = np.arange(2 * 6 * 3, dtype=float).reshape(2, 6, 3)
    layers[:, 3] = np.nan  # nothing saturates
    columns = expanded({"epoch": np.array([1, 2]), LAYERS: layers})
    hidden = ("dead_share", "activation_mean", "activation_variance")
    assert set(columns) == {
        "epoch",
        "gradient_decay",
        *(
            f"{name}_{i}"
            for name in ("gradient_norm", "update_ratio")
            for i in range(3)
        ),
        *(f"{name}_{i}" for name in hidden for i in range(2)),
    }
    assert columns["activation_mean_1"].tolist() == [13.0, 31.0]
    assert columns["gradient_decay"].tolist() == [0.0, 18.0 / 20.0]
