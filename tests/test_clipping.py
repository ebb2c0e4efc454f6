"""Clipping against torch.nn.utils, member by member."""

from __future__ import annotations

import pytest
import torch

from sknnopt.clipping import (
    clip_by_norm,
    clip_by_norm_per_tensor,
    clip_by_value,
    gradient_norm,
)

SLICES = [slice(0, 6), slice(6, 8), slice(8, 20), slice(20, 23)]
# Tight for some members, loose for one, none for the last.
LIMITS = torch.tensor([[0.01], [0.8], [1.5], [1e6], [torch.inf]], dtype=torch.float64)
INF, NAN = float("inf"), float("nan")


@pytest.fixture
def gradient():
    """Return the gradients of five members."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn((5, 23), generator=generator, dtype=torch.float64)


def _parameter(gradient):
    parameter = torch.zeros_like(gradient).requires_grad_()
    parameter.grad = gradient.clone()
    return parameter


def _clip_norm(gradient, limit):
    parameter = _parameter(gradient)
    torch.nn.utils.clip_grad_norm_([parameter], float(limit))
    return parameter.grad


def _clip_value(gradient, limit):
    parameter = _parameter(gradient)
    torch.nn.utils.clip_grad_value_([parameter], float(limit))
    return parameter.grad


def _clip_each_tensor(gradient, limit):
    return torch.cat([_clip_norm(gradient[part], limit) for part in SLICES])


CASES = [
    pytest.param(clip_by_norm, _clip_norm, id="norm"),
    pytest.param(
        lambda g, limit: clip_by_norm_per_tensor(g, limit, SLICES),
        _clip_each_tensor,
        id="norm_per_tensor",
    ),
    pytest.param(clip_by_value, _clip_value, id="value"),
]


def test_gradient_norm(gradient):
    """The norm is the root of the sum of squares over all tensors of a member."""
    expected = gradient.square().sum(dim=1, keepdim=True).sqrt()
    torch.testing.assert_close(gradient_norm(gradient), expected, rtol=1e-14, atol=0)


@pytest.mark.parametrize(("clip", "oracle"), CASES)
def test_clipped_gradient(clip, oracle, gradient):
    """Every member is clipped in place to its own threshold as by PyTorch."""
    expected = [oracle(g, c) for g, c in zip(gradient, LIMITS, strict=True)]
    before = gradient.clone()
    assert clip(gradient, LIMITS) is gradient
    torch.testing.assert_close(gradient, torch.stack(expected), rtol=1e-10, atol=0)
    assert not torch.equal(gradient[0], before[0])
    assert torch.equal(gradient[3:], before[3:])


def test_norm_handed_over(gradient):
    """A norm that is known is used instead of being computed."""
    double = 2 * gradient_norm(gradient)
    expected = clip_by_norm(gradient.clone(), LIMITS / 2)
    clip_by_norm(gradient, LIMITS, norm=double)
    torch.testing.assert_close(gradient[:3], expected[:3], rtol=1e-5, atol=0)


@pytest.mark.parametrize(("clip", "oracle"), CASES)
@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_infinity_never_touches_a_member(clip, oracle, bad, gradient):
    """Without a threshold even a gradient that is not finite stays as it is."""
    gradient[-1, 3] = bad
    before = gradient[-1].clone()
    clip(gradient, LIMITS)
    torch.testing.assert_close(gradient[-1], before, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize(("clip", "oracle"), CASES)
@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_gradient_that_is_not_finite(clip, oracle, bad, gradient):
    """A bad entry raises nothing, gives what PyTorch gives, and stays in its member."""
    gradient[1, 3] = bad
    expected = [oracle(g, c) for g, c in zip(gradient, LIMITS, strict=True)]
    clip(gradient, LIMITS)
    torch.testing.assert_close(
        gradient, torch.stack(expected), rtol=1e-10, atol=0, equal_nan=True
    )
    assert gradient[[0, 2, 3, 4]].isfinite().all()


@pytest.mark.parametrize(("clip", "oracle"), CASES)
def test_zero_gradient(clip, oracle):
    """A gradient of 0 stays 0, with a threshold of 0 too."""
    gradient = torch.zeros((2, 23), dtype=torch.float64)
    clip(gradient, torch.tensor([[0.0], [1.0]], dtype=torch.float64))
    assert torch.equal(gradient, torch.zeros_like(gradient))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("clip", "oracle"), CASES)
def test_members_are_independent(clip, oracle, dtype, gradient):
    """A member is clipped bit for bit as it is alone."""
    gradient, limits = gradient.to(dtype), LIMITS.to(dtype)
    alone = [clip(gradient[i : i + 1].clone(), limits[i : i + 1]) for i in range(5)]
    assert torch.equal(clip(gradient, limits), torch.cat(alone))
