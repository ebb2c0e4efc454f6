"""The member-batched network against torch.nn modules, one network at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import TORCH_ACTIVATIONS, flat_vector, plain_forward, plain_network
from torch.nn import functional

from sknnopt._architecture import Architecture
from sknnopt._layout import Layout
from sknnopt._network import MemberNetwork
from sknnopt.activations import ACTIVATIONS

NORMALIZATIONS = [None, "batch", "layer"]
SHAPES = [(), (4,), (5, 3), (6, 1, 4)]
EXACT = {"rtol": 1e-11, "atol": 1e-13}


def _architecture(hidden=(5, 3), normalization=None, activation="tanh"):
    return Architecture(4, hidden, 2, (activation,) * len(hidden), normalization)


def _flat(architecture, members, rng):
    """Return random numbers for everything, variances above zero."""
    layout = Layout.of(architecture)
    flat = rng.normal(size=(members, layout.n_columns))
    for segment in layout.of_kind("variance"):
        flat[:, segment.columns] = rng.uniform(0.5, 2.0, segment.shape)
    return torch.tensor(flat)


def _rows(rng, *shape):
    return torch.tensor(rng.normal(size=shape))


def _plain(architecture, flat):
    return [plain_network(architecture, row) for row in flat]


def _padded(member, n_rows, like):
    """Return weights of one member, one at its first rows and zero at the rest."""
    weight = torch.ones(like.shape[:2], dtype=like.dtype)
    weight[member, n_rows:] = 0.0
    return weight


def test_oracles():
    """Every activation of the registry is compared with a module of torch."""
    assert set(TORCH_ACTIVATIONS) == set(ACTIVATIONS)


@pytest.mark.parametrize("is_training", [False, True])
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("hidden", SHAPES)
def test_forward(rng, hidden, normalization, is_training):
    """Outputs of every member equal those of a plain network with its numbers."""
    architecture = _architecture(hidden, normalization)
    flat, X = _flat(architecture, 3, rng), _rows(rng, 3, 7, 4)
    plain = _plain(architecture, flat)
    module = MemberNetwork(architecture, flat).train(is_training)
    raw = module(X)
    assert raw.shape == (3, 7, 2)
    for member, network in enumerate(plain):
        expected = network.train(is_training)(X[member])
        torch.testing.assert_close(raw[member], expected, **EXACT)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_forward_of_every_activation(rng, activation):
    """Outputs equal those of a plain network with torch's module."""
    architecture = _architecture(activation=activation)
    flat, X = _flat(architecture, 2, rng), _rows(rng, 2, 7, 4)
    raw = MemberNetwork(architecture, flat)(X)
    for member, network in enumerate(_plain(architecture, flat)):
        torch.testing.assert_close(raw[member], network(X[member]), **EXACT)


def test_activations_by_layer(rng):
    """Each hidden layer has its own activation, in the order given."""
    architecture = Architecture(4, (5, 3), 2, ("relu", "sigmoid"))
    flat, X = _flat(architecture, 1, rng), _rows(rng, 6, 4)
    w0, b0, w1, b1, w2, b2 = (s.view(flat)[0] for s in Layout.of(architecture).trained)
    expected = torch.sigmoid(torch.relu(X @ w0 + b0) @ w1 + b1) @ w2 + b2
    raw = MemberNetwork(architecture, flat)(X)
    torch.testing.assert_close(raw[0], expected, **EXACT)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_gradients(rng, normalization):
    """Gradients of every member equal those of a plain network."""
    architecture = _architecture(normalization=normalization)
    flat, X = _flat(architecture, 3, rng), _rows(rng, 3, 7, 4)
    plain = _plain(architecture, flat)
    module = MemberNetwork(architecture, flat)
    tensors = list(module.parameters())
    gradients = torch.autograd.grad(module(X).square().sum(), tensors)
    flat_gradient = torch.cat([part.flatten(1) for part in gradients], 1)
    for member, network in enumerate(plain):
        network(X[member]).square().sum().backward()
        state = {name: p.grad for name, p in network.named_parameters()}
        network.load_state_dict(state, strict=False)
        expected = flat_vector(architecture, network)[: flat_gradient.shape[1]]
        torch.testing.assert_close(flat_gradient[member], expected, **EXACT)


def test_running_statistics(rng):
    """After several batches they are those of nn.BatchNorm1d, and so are outputs."""
    architecture = _architecture(normalization="batch")
    flat = _flat(architecture, 3, rng)
    plain = _plain(architecture, flat)
    module = MemberNetwork(architecture, flat)
    for n_rows in (7, 12, 3):
        X = 2.0 + _rows(rng, 3, n_rows, 4)
        module.train()(X)
        for member, network in enumerate(plain):
            network.train()(X[member])
    assert not any(buffer.requires_grad for buffer in module.buffers())
    X = _rows(rng, 5, 4)
    raw = module.eval()(X)
    for member, network in enumerate(plain):
        expected = flat_vector(architecture, network)
        torch.testing.assert_close(flat[member], expected, **EXACT)
        torch.testing.assert_close(raw[member], network.eval()(X), **EXACT)


def test_running_statistics_ignore_the_default_dtype(rng, untouched_globals):
    """They are the same bit for bit, whatever dtype torch uses by default."""
    architecture = _architecture(normalization="batch")
    flat, X = _flat(architecture, 2, rng), _rows(rng, 2, 9, 4)
    weight = torch.tensor(rng.uniform(0.5, 2.0, (2, 9)))
    results = []
    for dtype in (torch.float32, torch.float64):
        torch.set_default_dtype(dtype)
        try:
            mine = flat.clone()
            module = MemberNetwork(architecture, mine)
            module(X)
            module(X, (), weight)
            results.append(mine)
        finally:
            torch.set_default_dtype(torch.float32)
    assert torch.equal(*results)


def test_running_statistics_at_rest(rng):
    """Evaluation neither moves them nor reads the statistics of the batch."""
    architecture = _architecture(normalization="batch")
    flat = _flat(architecture, 2, rng)
    before = flat.clone()
    module = MemberNetwork(architecture, flat).eval()
    X = _rows(rng, 6, 4)
    together = module(X)
    one_by_one = torch.cat([module(X[i : i + 1]) for i in range(6)], 1)
    assert torch.equal(flat, before)
    torch.testing.assert_close(together, one_by_one, **EXACT)


def test_single_row(rng):
    """A batch of one row has no variance: its output is finite, statistics too."""
    architecture = _architecture(normalization="batch")
    flat = _flat(architecture, 2, rng)
    before = flat.clone()
    module, layout = MemberNetwork(architecture, flat), Layout.of(architecture)
    X = _rows(rng, 2, 1, 4)
    assert module(X).isfinite().all()
    first = layout.of_kind("mean")[0]
    expected = 0.9 * first.view(before) + 0.1 * (X @ module.weight_0 + module.bias_0)
    torch.testing.assert_close(first.view(flat), expected.detach(), **EXACT)
    variance = layout.of_kind("variance")[0]
    expected = 0.9 * variance.view(before)
    torch.testing.assert_close(variance.view(flat), expected, **EXACT)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("is_training", [False, True])
def test_shared_rows(rng, normalization, is_training):
    """Rows without a member axis are seen by every member."""
    architecture = _architecture(normalization=normalization)
    X = _rows(rng, 6, 4)
    outputs = []
    for rows in (X, torch.stack([X, X, X])):
        flat = _flat(architecture, 3, np.random.default_rng(1))
        outputs.append(MemberNetwork(architecture, flat).train(is_training)(rows))
    torch.testing.assert_close(*outputs, **EXACT)


def test_padding_is_invisible(rng):
    """Batch normalization gives a padded member what its own rows give alone."""
    architecture = _architecture(normalization="batch")
    flat = _flat(architecture, 2, rng)
    expected_flat = flat[1:].clone()
    X = _rows(rng, 2, 9, 4)
    weight = _padded(1, 5, X)
    raw = MemberNetwork(architecture, flat)(X, (), weight)
    alone = MemberNetwork(architecture, expected_flat)(X[1:, :5])
    torch.testing.assert_close(raw[1:, :5], alone, **EXACT)
    torch.testing.assert_close(flat[1:], expected_flat, **EXACT)


def test_padding_alone(rng):
    """A member with nothing but padding keeps its statistics, and others go on."""
    architecture = _architecture(normalization="batch")
    flat = _flat(architecture, 2, rng)
    before = flat.clone()
    X = _rows(rng, 2, 4, 4)
    raw = MemberNetwork(architecture, flat)(X, (), _padded(1, 0, X))
    assert torch.equal(flat[1], before[1])
    assert not torch.equal(flat[0], before[0])
    assert raw.isfinite().all()


def test_sample_weights_count_rows(rng):
    """Batch normalization takes a row of weight two for two rows."""
    architecture = _architecture(normalization="batch")
    flat = _flat(architecture, 1, rng)
    repeated_flat = flat.clone()
    X = _rows(rng, 1, 4, 4)
    count = torch.tensor([1, 2, 0, 3])
    raw = MemberNetwork(architecture, flat)(X, (), count[None].double())
    repeated = torch.repeat_interleave(X, count, dim=1)
    expected = MemberNetwork(architecture, repeated_flat)(repeated)
    raw = torch.repeat_interleave(raw, count, dim=1)
    torch.testing.assert_close(raw, expected, **EXACT)
    torch.testing.assert_close(flat, repeated_flat, **EXACT)


@pytest.mark.parametrize("normalization", [None, "layer"])
def test_sample_weights_elsewhere(rng, normalization):
    """Without batch normalization, outputs do not depend on sample weights."""
    architecture = _architecture(normalization=normalization)
    module = MemberNetwork(architecture, _flat(architecture, 2, rng))
    X, weight = _rows(rng, 2, 6, 4), torch.tensor(rng.uniform(size=(2, 6)))
    assert torch.equal(module(X), module(X, (), weight))


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_masks(rng, normalization):
    """Masks multiply what leaves the activation; None leaves a layer alone."""
    architecture = _architecture(normalization=normalization)
    flat, X = _flat(architecture, 2, rng), _rows(rng, 2, 7, 4)
    plain = _plain(architecture, flat)
    masks = (None, _rows(rng, 2, 7, 3))
    raw = MemberNetwork(architecture, flat)(X, masks)
    for member, network in enumerate(plain):
        expected = plain_forward(network, X[member], (None, masks[1][member]))
        torch.testing.assert_close(raw[member], expected, **EXACT)


def test_masks_of_all_layers(rng):
    """With a mask for every hidden layer, each unit is scaled by its own factor."""
    architecture = _architecture(activation="relu")
    flat, X = _flat(architecture, 1, rng), _rows(rng, 1, 7, 4)
    masks = _rows(rng, 1, 7, 5), _rows(rng, 1, 7, 3)
    raw = MemberNetwork(architecture, flat)(X, masks)
    (network,) = _plain(architecture, flat)
    expected = plain_forward(network, X[0], [mask[0] for mask in masks])
    torch.testing.assert_close(raw[0], expected, **EXACT)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_views(rng, normalization):
    """A change of the flat numbers in place is a change of the network."""
    architecture = _architecture(normalization=normalization)
    flat, X = _flat(architecture, 2, rng), _rows(rng, 5, 4)
    module = MemberNetwork(architecture, flat).eval()
    flat.copy_(_flat(architecture, 2, rng))
    for member, network in enumerate(_plain(architecture, flat)):
        expected = network.eval()(X)
        torch.testing.assert_close(module(X)[member], expected, **EXACT)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_dtype(rng, untouched_globals, dtype, normalization):
    """Outputs and gradients have the dtype of the numbers."""
    architecture = _architecture(normalization=normalization)
    module = MemberNetwork(architecture, _flat(architecture, 2, rng).to(dtype))
    raw = module(_rows(rng, 2, 6, 4).to(dtype))
    loss = functional.mse_loss(raw, torch.zeros_like(raw))
    gradients = torch.autograd.grad(loss, list(module.parameters()))
    assert {raw.dtype, *(part.dtype for part in gradients)} == {dtype}
