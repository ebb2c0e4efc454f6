"""Penalties against closed forms, finite differences and autograd."""

from __future__ import annotations

import pytest
import torch

from sknnopt.penalties import (
    add_l1_gradient,
    add_l2_gradient,
    l1_penalty,
    l2_penalty,
)

PENALTIES = [
    pytest.param(l1_penalty, add_l1_gradient, id="l1"),
    pytest.param(l2_penalty, add_l2_gradient, id="l2"),
]


def _alone(add, weights, strength):
    """Return what is added to a gradient of zero."""
    return add(torch.zeros_like(weights), weights, strength)


@pytest.fixture
def weights():
    """Return weights of three members, none of them within 0.1 of 0."""
    generator = torch.Generator().manual_seed(0)
    normal = torch.randn((3, 11), generator=generator, dtype=torch.float64)
    return normal + 0.1 * normal.sign()


@pytest.fixture
def strength():
    """Return strengths that differ between members and weights, 0 at the biases."""
    strength = torch.linspace(0.0, 2.0, 33, dtype=torch.float64).reshape(3, 11)
    strength[:, -3:] = 0.0
    return strength


def test_l1_value(weights, strength):
    """The L1 penalty is the weighted sum of absolute values, member by member."""
    expected = [
        sum(s * abs(w) for s, w in zip(*rows, strict=True))
        for rows in zip(strength.tolist(), weights.tolist(), strict=True)
    ]
    assert l1_penalty(weights, strength).tolist() == pytest.approx(expected, rel=1e-13)


def test_l2_value(weights, strength):
    """The L2 penalty is the weighted sum of squares, without a factor 1/2."""
    expected = [
        sum(s * w**2 for s, w in zip(*rows, strict=True))
        for rows in zip(strength.tolist(), weights.tolist(), strict=True)
    ]
    assert l2_penalty(weights, strength).tolist() == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize(("penalty", "add"), PENALTIES)
def test_gradient_by_autograd(penalty, add, weights, strength):
    """The gradient equals autograd's, at a weight of exactly 0 too."""
    weights[:, 4] = 0.0
    leaf = weights.clone().requires_grad_()
    (expected,) = torch.autograd.grad(penalty(leaf, strength).sum(), leaf)
    gradient = _alone(add, weights, strength)
    torch.testing.assert_close(gradient, expected, rtol=0, atol=0)


@pytest.mark.parametrize(("penalty", "add"), PENALTIES)
def test_gradient_by_finite_differences(penalty, add, weights, strength):
    """The gradient equals central differences of the penalty."""
    actual, h = _alone(add, weights, strength), 1e-6
    for j in range(weights.shape[1]):
        shift = torch.zeros_like(weights)
        shift[:, j] = h
        above, below = (penalty(weights + s, strength) for s in (shift, -shift))
        difference = (above - below) / (2 * h)
        torch.testing.assert_close(actual[:, j], difference, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize(("penalty", "add"), PENALTIES)
def test_no_pull_at_zero_or_on_biases(penalty, add, weights, strength):
    """A weight of 0 and a weight without strength have gradient 0."""
    weights[:, 4] = 0.0
    actual = _alone(add, weights, strength)
    assert not actual[:, 4].any()
    assert not actual[:, -3:].any()
    assert actual[2, 5] != 0


def test_l1_optimality(strength):
    """Soft thresholding minimizes (w - z)^2 / 2 plus the L1 penalty."""
    generator = torch.Generator().manual_seed(1)
    z = torch.randn((3, 11), generator=generator, dtype=torch.float64)
    w = z.sign() * (z.abs() - strength).clamp(min=0.0)
    residual = add_l1_gradient(w - z, w, strength)
    moved, rest = w != 0, w == 0
    assert moved.any()
    assert rest.any()
    torch.testing.assert_close(
        residual[moved], torch.zeros_like(z)[moved], rtol=0, atol=1e-14
    )
    assert (residual[rest].abs() <= strength[rest]).all()


@pytest.mark.parametrize(("penalty", "add"), PENALTIES)
def test_addition_in_place(penalty, add, weights, strength):
    """The gradient is added to what is there, in place, and no weight is touched."""
    before, gradient = weights.clone(), weights.flip(0).clone()
    result = add(gradient, weights, strength)
    assert result is gradient
    expected = weights.flip(0) + _alone(add, weights, strength)
    torch.testing.assert_close(gradient, expected, rtol=1e-15, atol=1e-15)
    assert torch.equal(weights, before)
