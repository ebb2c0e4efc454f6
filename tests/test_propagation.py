"""The passes without autograd against the network module with it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import make_job, make_kind, start

from sknnopt._architecture import Architecture
from sknnopt._layout import Layout
from sknnopt._loop import Loop
from sknnopt._network import MemberNetwork
from sknnopt._propagation import Propagation, infer, layer_inputs, whole_tensors
from sknnopt._reduction import sum_over_rows
from sknnopt.activations import ACTIVATIONS
from sknnopt.optimizers import OPTIMIZERS

NORMALIZATIONS = [None, "batch", "layer"]
SHAPES = [(), (1,), (16,), (5, 3), (6, 1, 9)]
DTYPES = [torch.float32, torch.float64]
#: Rows of a batch, of which the last ones are padding.
N_ROWS, N_PADDED = 16, 5


def _tolerance(dtype):
    if dtype == torch.float64:
        # A bias before batch normalization has a gradient of rounding errors alone.
        return {"rtol": 1e-10, "atol": 1e-10}
    return {"rtol": 1e-3, "atol": 1e-5}


class Case:
    """Random networks and a batch; what the passes and what autograd make of them."""

    def __init__(self, rng, architecture, members=2, *, dropped=(), dtype=DTYPES[1]):
        self.architecture = architecture
        self.layout = Layout.padded(architecture)
        flat = rng.normal(size=(members, self.layout.n_columns))
        padding = np.ones(self.layout.n_columns, dtype=bool)
        padding[self.layout.index] = False
        flat[:, padding] = 0.0
        for segment in self.layout.of_kind("variance"):
            values = torch.tensor(rng.uniform(0.5, 2.0, (members, *segment.shape)))
            segment.view(torch.from_numpy(flat))[...] = values
        self.padding = torch.from_numpy(padding)
        self.weights = torch.tensor(flat, dtype=dtype)
        shape = members, N_ROWS
        self.X = torch.tensor(
            rng.normal(size=(*shape, architecture.n_inputs)), dtype=dtype
        )
        self.slope = torch.tensor(
            rng.normal(size=(*shape, architecture.n_outputs)), dtype=dtype
        )
        weight = rng.uniform(0.2, 2.0, (*shape, 1))
        weight[:, N_ROWS - N_PADDED :] = 0.0
        self.weight = torch.tensor(weight, dtype=dtype)
        self.masks = tuple(
            torch.tensor(rng.integers(0, 2, (*shape, width)) * 1.5, dtype=dtype)
            if layer in dropped
            else None
            for layer, width in enumerate(architecture.hidden)
        )

    def passes(self):
        """Return raw outputs, gradient and all numbers after both passes."""
        weights = self.weights.clone()
        gradient = torch.zeros_like(weights[:, : self.layout.n_trained])
        propagation = Propagation(
            self.architecture, self.layout, weights, gradient, N_ROWS
        )
        is_batch = self.architecture.normalization == "batch"
        weight = self.weight if is_batch else None
        masks = self.masks if any(m is not None for m in self.masks) else ()
        raw = propagation.forward(self.X, masks, weight).clone()
        propagation.backward(self.slope, self.weight)
        return raw, gradient, weights

    def autograd(self):
        """Return the same by the network module in training."""
        weights = self.weights.clone()
        module = MemberNetwork(self.architecture, weights, self.layout)
        raw = module(self.X, self.masks, self.weight[..., 0])
        loss = (raw * self.slope * self.weight).sum()
        parts = torch.autograd.grad(loss, list(module.parameters()))
        gradient = torch.zeros_like(weights[:, : self.layout.n_trained])
        for segment, part in zip(self.layout.trained, parts, strict=True):
            segment.view(gradient)[...] = part
        return raw.detach(), gradient, weights

    def check(self):
        """Assert that both agree, and that padding has a gradient of zero."""
        raw, gradient, weights = self.passes()
        tolerance = _tolerance(raw.dtype)
        expected_raw, expected_gradient, expected_weights = self.autograd()
        torch.testing.assert_close(raw, expected_raw, **tolerance)
        torch.testing.assert_close(gradient, expected_gradient, **tolerance)
        torch.testing.assert_close(weights, expected_weights, **tolerance)
        padding = self.padding[: self.layout.n_trained]
        assert (gradient[:, padding] == 0).all()
        assert (weights[:, self.padding] == 0).all()


def _architecture(hidden=(5, 3), activation="tanh", normalization=None, **sizes):
    ends = {"n_inputs": 4, "n_outputs": 2, **sizes}
    return Architecture(
        hidden=hidden,
        activations=(activation,) * len(hidden),
        normalization=normalization,
        **ends,
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(rng, activation, normalization, dtype):
    """Outputs, gradients and statistics are autograd's, whatever the activation."""
    architecture = _architecture(activation=activation, normalization=normalization)
    Case(rng, architecture, dtype=dtype).check()


@pytest.mark.parametrize("members", [1, 2, 5])
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("hidden", SHAPES)
def test_shapes(rng, hidden, normalization, members):
    """Outputs, gradients and statistics are autograd's, whatever the depth."""
    Case(rng, _architecture(hidden, normalization=normalization), members).check()


@pytest.mark.parametrize("n_outputs", [1, 2, 7])
@pytest.mark.parametrize("n_inputs", [1, 3, 20])
@pytest.mark.parametrize("hidden", [(), (5,)])
def test_ends(rng, hidden, n_inputs, n_outputs):
    """Outputs and gradients are autograd's, whatever the inputs and outputs."""
    sizes = {"n_inputs": n_inputs, "n_outputs": n_outputs}
    Case(rng, _architecture(hidden, **sizes), 3).check()


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("dropped", [(0,), (1,), (0, 1)])
def test_masks(rng, dropped, normalization, activation):
    """With dropout too, in any of the layers."""
    architecture = _architecture(activation=activation, normalization=normalization)
    Case(rng, architecture, dropped=dropped).check()


def test_activations_by_layer(rng):
    """Each layer has its own activation and derivative."""
    for names in (("relu", "gelu"), ("softplus", "tanh"), ("mish", "sigmoid")):
        Case(rng, Architecture(4, (5, 3), 2, names)).check()


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_passes_repeat(rng, normalization):
    """A pass leaves nothing behind that the next one would see."""
    case = Case(rng, _architecture(normalization=normalization), dropped=(0, 1))
    weights = case.weights.clone()
    gradient = torch.zeros_like(weights[:, : case.layout.n_trained])
    passes = Propagation(case.architecture, case.layout, weights, gradient, N_ROWS)
    weight = case.weight if normalization == "batch" else None
    expected, expected_gradient, _ = case.passes()
    other = torch.flip(case.X, [1])
    for X, masks in ((other, case.masks), (other, ()), (case.X, case.masks)):
        raw = passes.forward(X, masks, weight)
        passes.backward(case.slope, case.weight)
    assert torch.equal(raw, expected)
    assert torch.equal(gradient, expected_gradient)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_infer(rng, activation, normalization, dtype):
    """Trained networks answer as the module in evaluation, to own and shared rows."""
    architecture = _architecture(activation=activation, normalization=normalization)
    case = Case(rng, architecture, 3, dtype=dtype)
    before = case.weights.clone()
    module = MemberNetwork(architecture, case.weights, case.layout).eval()
    for X in (case.X, case.X[0], case.X[:, :1], case.X[0, :7]):
        with torch.no_grad():
            expected = module(X)
        raw = infer(architecture, whole_tensors(case.layout, case.weights), X)
        torch.testing.assert_close(raw, expected, **_tolerance(dtype))
    assert torch.equal(case.weights, before)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_layer_inputs(rng, normalization):
    """What a layer sees is what networks that end there put out, by identity heads."""
    case = Case(rng, _architecture((5, 4, 3), normalization=normalization))
    tensors = whole_tensors(case.layout, case.weights)
    first, *inputs = layer_inputs(case.architecture, tensors, case.X)
    assert torch.equal(first, case.X)
    assert len(inputs) == 3
    segments = {(s.kind, s.layer): s for s in case.layout.segments}
    for depth, outputs in enumerate(inputs, 1):
        hidden = case.architecture.hidden[:depth]
        cut = _architecture(hidden, normalization=normalization, n_outputs=hidden[-1])
        layout = Layout.padded(cut)
        weights = torch.zeros(2, layout.n_columns, dtype=case.weights.dtype)
        for segment in layout.segments:
            if segment.layer < depth:
                source = segments[segment.kind, segment.layer]
                segment.view(weights)[...] = source.view(case.weights)
        layout.of_kind("weight")[-1].view(weights)[...] = torch.eye(hidden[-1])
        module = MemberNetwork(cut, weights, layout).eval()
        with torch.no_grad():
            expected = module(case.X)
        torch.testing.assert_close(outputs[..., : hidden[-1]], expected)


@pytest.mark.parametrize("hidden", SHAPES)
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_infer_on_plain_numbers(rng, hidden, normalization):
    """Numbers without padding give the answers of those with."""
    architecture = _architecture(hidden, normalization=normalization)
    case = Case(rng, architecture)
    plain = case.weights[:, case.layout.index]
    raw = infer(architecture, whole_tensors(Layout.of(architecture), plain), case.X)
    expected = infer(architecture, whole_tensors(case.layout, case.weights), case.X)
    torch.testing.assert_close(raw, expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_padding_stays_zero(activation, optimizer, normalization):
    """Whatever is trained by whatever rule, padding stays exactly zero."""
    kind = make_kind(
        activations=activation, optimizer=optimizer, normalization=normalization
    )
    job = make_job(kind, (20, 9), max_epochs=2, l1=0.01, weight_decay=0.1, dropout=0.2)
    loop = Loop(job, start(job))
    loop.epoch()
    loop.epoch()
    padding = np.ones(kind.layout.n_columns, dtype=bool)
    padding[kind.layout.index] = False
    assert (loop.record.weights[:, padding] == 0).all()
    # A rule may write over the gradient, which is read in the next step.
    trained = padding[: kind.layout.n_trained]
    assert (loop.gradient[:, trained] == 0).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_rows", [8, 16, 40, 104, 392])
@pytest.mark.parametrize("shape", [(1,), (3,), (17,), (2, 5)])
def test_sum_over_rows(rng, shape, n_rows, dtype):
    """Rows of padding, and what stands beside, change no bit of a sum."""
    values = torch.tensor(rng.normal(size=(*shape, n_rows)), dtype=dtype)
    sums = sum_over_rows(values)
    torch.testing.assert_close(
        sums.double(), values.double().sum(-1), rtol=1e-5, atol=1e-5
    )
    for n_more in (8, 16, 24, 56, 400):
        longer = torch.cat([values, values.new_zeros(*shape, n_more)], -1)
        assert torch.equal(sum_over_rows(longer), sums)
    for at in range(shape[0]):
        assert torch.equal(sum_over_rows(values[at : at + 1])[0], sums[at])


def test_overflow_is_silent(rng, recwarn):
    """Numbers that overflow become infinite, as torch has it, without a warning."""
    case = Case(rng, _architecture(activation="relu"))
    case.weights *= 1e200
    raw, _, _ = case.passes()
    assert not raw.isfinite().all()
    assert not recwarn.list
