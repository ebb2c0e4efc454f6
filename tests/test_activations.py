"""Activations against PyTorch's modules, closed forms and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import special
from torch import nn

from sknnopt.activations import ACTIVATIONS
from sknnopt.initializers import INITIALIZERS

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


def _softplus(x):
    return np.logaddexp(0.0, x)


# Of each activation: PyTorch's module, and the formula in numpy.
ORACLES = {
    "relu": (nn.ReLU(), lambda x: np.maximum(x, 0.0)),
    "tanh": (nn.Tanh(), np.tanh),
    "sigmoid": (nn.Sigmoid(), special.expit),
    "leaky_relu": (nn.LeakyReLU(), lambda x: np.where(x > 0, x, 0.01 * x)),
    "elu": (nn.ELU(), lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0)))),
    "selu": (
        nn.SELU(),
        lambda x: (
            SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * np.expm1(np.minimum(x, 0)))
        ),
    ),
    "gelu": (nn.GELU(), lambda x: x * special.ndtr(x)),
    "silu": (nn.SiLU(), lambda x: x * special.expit(x)),
    "mish": (nn.Mish(), lambda x: x * np.tanh(_softplus(x))),
    "softplus": (nn.Softplus(), _softplus),
    "identity": (nn.Identity(), lambda x: x),
}
HE = ["relu", "leaky_relu", "elu", "gelu", "silu", "mish", "softplus"]
XAVIER = ["tanh", "sigmoid", "identity"]
INITIALIZER_OF = {
    **dict.fromkeys(HE, "he_uniform"),
    **dict.fromkeys(XAVIER, "xavier_uniform"),
    "selu": "lecun_normal",
}


@pytest.fixture
def grid():
    """Return points between the kinks, dense near 0 and out to 10,000."""
    wide = torch.tensor([-1e4, -750.0, -90.0, 90.0, 750.0, 1e4], dtype=torch.float64)
    return torch.cat([torch.linspace(-30.0, 30.0, 602, dtype=torch.float64), wide])


def test_names():
    """The registry offers exactly the documented activations."""
    assert set(ACTIVATIONS) == set(ORACLES)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_value_of_torch_module(name, grid):
    """An activation equals PyTorch's module with default settings, 0 included."""
    x = torch.cat([grid, torch.zeros(1, dtype=torch.float64)])
    module, _ = ORACLES[name]
    torch.testing.assert_close(ACTIVATIONS[name].make(x), module(x), rtol=0, atol=0)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_value_of_closed_form(name, grid):
    """An activation equals its formula, and leaves its argument unchanged."""
    before = grid.clone()
    value = ACTIVATIONS[name].make(grid).numpy()
    # softplus turns linear at 20, where the rest is exp(-20).
    atol = np.exp(-20.0) if name == "softplus" else 1e-15
    np.testing.assert_allclose(value, ORACLES[name][1](before.numpy()), 1e-12, atol)
    assert torch.equal(grid, before)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_derivative(name):
    """The derivative by autograd equals central differences of the formula."""
    x = torch.linspace(-15.0, 15.0, 302, dtype=torch.float64, requires_grad=True)
    (derivative,) = torch.autograd.grad(ACTIVATIONS[name].make(x).sum(), x)
    formula, at, h = ORACLES[name][1], x.detach().numpy(), 1e-5
    difference = (formula(at + h) - formula(at - h)) / (2 * h)
    np.testing.assert_allclose(derivative.numpy(), difference, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_extreme_derivative_is_finite(name, grid):
    """Far from 0 neither the value nor the derivative overflows."""
    x = grid.requires_grad_()
    value = ACTIVATIONS[name].make(x)
    (derivative,) = torch.autograd.grad(value.sum(), x)
    assert value.isfinite().all()
    assert derivative.isfinite().all()


def test_sigmoid_derivative_peaks_at_a_quarter(grid):
    """The derivative of the sigmoid is 1/4 at 0 and below elsewhere."""
    x = torch.cat([torch.zeros(1, dtype=torch.float64), grid]).requires_grad_()
    value = ACTIVATIONS["sigmoid"].make(x)
    (derivative,) = torch.autograd.grad(value.sum(), x)
    assert derivative[0] == 0.25
    assert (derivative[1:] < 0.25).all()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_initializer(name):
    """Rectifiers start from He, saturating units from Xavier, SELU from LeCun."""
    assert ACTIVATIONS[name].initializer == INITIALIZER_OF[name]
    assert ACTIVATIONS[name].initializer in INITIALIZERS


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_dtype_is_kept(name, dtype):
    """The result has the type of the argument."""
    assert ACTIVATIONS[name].make(torch.ones(3, dtype=dtype)).dtype == dtype


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_backward(name, dtype):
    """The gradient is autograd's, written in place and returned, at the kinks too."""
    option = ACTIVATIONS[name]
    generator = torch.Generator().manual_seed(0)
    x = 3 * torch.randn((2, 16, 20), generator=generator, dtype=dtype)
    x[0, 0, :3] = torch.tensor([0.0, 30.0, -30.0], dtype=dtype)
    slope = torch.randn(x.shape, generator=generator, dtype=dtype)
    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad((option.make(leaf) * slope).sum(), leaf)
    gradient, before = slope.clone(), x.clone()
    result = option.backward(gradient, x, option.make(x).clone())
    assert result is gradient
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(gradient, expected, rtol=tolerance, atol=tolerance)
    assert torch.equal(x, before)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_backward_by_finite_differences(name):
    """The derivative is that of the formula, by central differences."""
    x = torch.linspace(-15.0, 15.0, 302, dtype=torch.float64)
    y = ACTIVATIONS[name].make(x)
    derivative = ACTIVATIONS[name].backward(torch.ones_like(x), x, y)
    formula, at, h = ORACLES[name][1], x.numpy(), 1e-5
    difference = (formula(at + h) - formula(at - h)) / (2 * h)
    np.testing.assert_allclose(derivative.numpy(), difference, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_input_that_is_not_read(name, grid):
    """Unless it declares to, a derivative reads nothing of the input."""
    option = ACTIVATIONS[name]
    y = option.make(grid).clone()
    results = [
        option.backward(torch.ones_like(grid), x, y)
        for x in (grid, torch.full_like(grid, torch.nan))
    ]
    assert torch.equal(*results) != option.reads_input


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_out(name, dtype, grid):
    """Written elsewhere, or over the input, values are those returned otherwise."""
    option, x = ACTIVATIONS[name], grid[:600].reshape(3, 10, 20).to(dtype)
    expected = option.make(x).clone()
    tolerance = 1e-5 if dtype == torch.float32 else 1e-14
    close = {"rtol": tolerance, "atol": tolerance}
    out = torch.full_like(x, torch.nan)
    before = x.clone()
    assert option.make(x, out=out) is out
    torch.testing.assert_close(out, expected, **close)
    assert torch.equal(x, before)
    assert option.make(x, out=x) is x
    assert torch.equal(x, out)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_members_are_independent(name, dtype):
    """Values and derivatives of whole stretches are the same alone, bit for bit."""
    option = ACTIVATIONS[name]
    generator = torch.Generator().manual_seed(1)
    for width in (4, 12, 36):
        x = 2 * torch.randn((17, 8, width), generator=generator, dtype=dtype)
        y = option.make(x, out=torch.empty_like(x))
        gradient = option.backward(torch.ones_like(x), x, y)
        for member in (0, 7, 16):
            own = x[member : member + 1].clone()
            own_y = option.make(own, out=torch.empty_like(own))
            own_gradient = option.backward(torch.ones_like(own), own, own_y)
            assert torch.equal(own_y[0], y[member])
            assert torch.equal(own_gradient[0], gradient[member])
