"""Batch and layer normalization against torch's modules, and against autograd."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from sknnopt._normalization import (
    EPSILON,
    RUNNING_RATE,
    Normalization,
    batch_moments,
    normalized,
    remember,
)

DTYPES = [torch.float32, torch.float64]
M, B, W = 3, 16, 5
_NAMES = ("scale", "shift")


def _tensor(rng, *shape, dtype=torch.float64):
    return torch.tensor(rng.normal(size=shape), dtype=dtype)


def _normalization(rng, kind, dtype=torch.float64, members=M):
    """Return a normalization with random numbers, gradients that are NaN so far."""
    shape = members, 1, W
    tensors = {name: _tensor(rng, *shape, dtype=dtype) for name in _NAMES}
    if kind == "batch":
        tensors["mean"] = _tensor(rng, *shape, dtype=dtype)
        tensors["variance"] = _tensor(rng, *shape, dtype=dtype).square() + 0.5
    gradients = {
        n: torch.full_like(tensors["scale"], np.nan) for n in ("scale", "shift")
    }
    return Normalization(kind, tensors, gradients)


def _module(kind, tensors, member):
    """Return torch's module with one member's numbers."""
    module = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}[kind](W)
    module = module.to(tensors["scale"].dtype)
    state = module.state_dict()
    names = {
        "scale": "weight",
        "shift": "bias",
        "mean": "running_mean",
        "variance": "running_var",
    }
    for name, tensor in tensors.items():
        state[names[name]] = tensor[member, 0].clone()
    module.load_state_dict(state)
    return module


def _tolerance(dtype):
    if dtype == torch.float64:
        return {"rtol": 1e-11, "atol": 1e-12}
    return {"rtol": 1e-4, "atol": 1e-5}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["batch", "layer"])
def test_against_torch(rng, kind, dtype):
    """Outputs, gradients and running statistics are those of torch's modules."""
    own = _normalization(rng, kind, dtype)
    modules = [_module(kind, own.tensors, member) for member in range(M)]
    weight = torch.ones(M, B, 1, dtype=dtype) if kind == "batch" else None
    tolerance = _tolerance(dtype)
    for _ in range(3):
        X = 2.0 + _tensor(rng, M, B, W, dtype=dtype)
        slope = _tensor(rng, M, B, W, dtype=dtype)
        hidden, gradient = X.clone(), slope.clone()
        output = own.forward(hidden, weight)
        assert output is hidden
        output = output.clone()
        assert own.backward(gradient) is gradient
        for member, module in enumerate(modules):
            leaf = X[member].clone().requires_grad_()
            expected = module(leaf)
            module.zero_grad()
            expected.backward(slope[member])
            torch.testing.assert_close(output[member], expected.detach(), **tolerance)
            torch.testing.assert_close(gradient[member], leaf.grad, **tolerance)
            for name, parameter in (("scale", module.weight), ("shift", module.bias)):
                mine = own.gradients[name][member, 0]
                torch.testing.assert_close(mine, parameter.grad, **tolerance)
            if kind == "batch":
                for name, buffer in (
                    ("mean", module.running_mean),
                    ("variance", module.running_var),
                ):
                    mine = own.tensors[name][member, 0]
                    torch.testing.assert_close(mine, buffer, **tolerance)


def test_constants():
    """The newest batch's share and the number under the root are torch's defaults."""
    module = nn.BatchNorm1d(1)
    assert (module.momentum, module.eps) == (RUNNING_RATE, EPSILON)
    assert nn.LayerNorm(1).eps == EPSILON


def test_weights_count_rows(rng):
    """A row of weight three counts as three rows, in outputs, gradient and memory."""
    count = torch.tensor([1, 2, 0, 3, 1, 1, 0, 2])
    X, slope = _tensor(rng, 1, 8, W), _tensor(rng, 1, 8, W)
    weighted, repeated = (
        _normalization(np.random.default_rng(1), "batch", members=1) for _ in range(2)
    )
    output = weighted.forward(X.clone(), count.double()[None, :, None])
    copies = torch.repeat_interleave(X, count, dim=1)
    expected = repeated.forward(copies, torch.ones(1, 10, 1, dtype=X.dtype))
    output = torch.repeat_interleave(output, count, dim=1)
    torch.testing.assert_close(output, expected, **_tolerance(X.dtype))
    # The loss of a row counts as often, too.
    gradient = weighted.backward(slope * count[:, None])
    of_copies = repeated.backward(torch.repeat_interleave(slope, count, dim=1))
    summed = torch.zeros_like(gradient)
    summed.index_add_(1, torch.repeat_interleave(torch.arange(8), count), of_copies)
    torch.testing.assert_close(gradient, summed, **_tolerance(X.dtype))
    for name in ("mean", "variance"):
        mine, theirs = weighted.tensors[name], repeated.tensors[name]
        torch.testing.assert_close(mine, theirs, **_tolerance(X.dtype))
    for name in _NAMES:
        mine, theirs = weighted.gradients[name], repeated.gradients[name]
        torch.testing.assert_close(mine, theirs, **_tolerance(X.dtype))


def test_gradient_with_weights(rng):
    """With any weights the gradient is that of the weighted moments by autograd."""
    own = _normalization(rng, "batch")
    X, slope = _tensor(rng, M, B, W), _tensor(rng, M, B, W)
    weight = torch.tensor(rng.uniform(0.1, 2.0, (M, B, 1)))
    weight[1, 7:] = 0.0
    leaves = [t.clone().requires_grad_() for t in (X, *map(own.tensors.get, _NAMES))]
    leaf, scale, shift = leaves
    mean, variance, _, _ = batch_moments(leaf, weight)
    output = normalized(leaf, mean, variance)[0] * scale + shift
    expected = torch.autograd.grad((output * slope).sum(), leaves)
    own.forward(X.clone(), weight)
    gradient = own.backward(slope.clone())
    mine = [gradient, *map(own.gradients.get, _NAMES)]
    for a, b in zip(mine, expected, strict=True):
        torch.testing.assert_close(a, b, **_tolerance(torch.float64))


def test_moments(rng):
    """Moments are numpy's weighted ones, and shares add up to one."""
    X = _tensor(rng, M, B, W)
    weight = torch.tensor(rng.uniform(0.0, 2.0, (M, B, 1)))
    mean, variance, count, share = batch_moments(X, weight)
    for member in range(M):
        own, given = X[member].numpy(), weight[member, :, 0].numpy()
        expected = np.average(own, axis=0, weights=given)
        np.testing.assert_allclose(mean[member, 0], expected, rtol=1e-12)
        expected = np.average((own - expected) ** 2, axis=0, weights=given)
        np.testing.assert_allclose(variance[member, 0], expected, rtol=1e-12)
        assert count[member].item() == pytest.approx(given.sum(), rel=1e-14)
    np.testing.assert_allclose(share.sum(1), 1.0, rtol=1e-14)


def test_nobody_counts(rng):
    """A member without any row has finite moments, and keeps its statistics."""
    own = _normalization(rng, "batch")
    weight = torch.ones(M, B, 1, dtype=torch.float64)
    weight[1] = 0.0
    before = {name: tensor.clone() for name, tensor in own.tensors.items()}
    output = own.forward(_tensor(rng, M, B, W), weight)
    assert output.isfinite().all()
    for name in ("mean", "variance"):
        assert torch.equal(own.tensors[name][1], before[name][1])
        assert not torch.equal(own.tensors[name][0], before[name][0])


@pytest.mark.parametrize("n_rows", [1, 2, 7])
def test_remembered_variance(n_rows):
    """The variance remembered is that of a sample, for a single row the biased one."""
    ones = torch.ones(1, 1, 1, dtype=torch.float64)
    mean, variance = 3 * ones, 2 * ones
    running_mean, running_variance = ones.clone(), ones.clone()
    remember(running_mean, running_variance, mean, variance, n_rows * ones)
    unbiased = 2.0 * n_rows / max(1, n_rows - 1)
    assert running_mean.item() == pytest.approx(0.9 + 0.3, rel=1e-14)
    assert running_variance.item() == pytest.approx(0.9 + 0.1 * unbiased, rel=1e-14)
