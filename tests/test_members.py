"""Activations and update rules of several kinds in one batch."""

from __future__ import annotations

import pytest
import torch

from sknnopt._members import layer_activations
from sknnopt.activations import ACTIVATIONS

SHAPE = (3, 5, 4)
#: Libraries compute the ends of arrays by other instructions.
CLOSE = {"rtol": 1e-12, "atol": 1e-14}


def _numbers(seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(SHAPE, generator=generator, dtype=torch.float64)


def test_one_kind_is_the_option_itself():
    """Where members of a layer agree on an activation, nothing is wrapped around it."""
    layers = layer_activations([("relu", "tanh"), ("relu", "gelu")])
    assert layers[0] is ACTIVATIONS["relu"]
    assert layers[1] is not ACTIVATIONS["tanh"]


@pytest.mark.parametrize("other", ACTIVATIONS)
def test_several_kinds_are_each_alone(other):
    """Each member's values and derivatives are those of its own activation."""
    names = ["tanh", other, other]
    (layer,) = layer_activations([(name,) for name in names])
    x, gradient = _numbers(0), _numbers(1)
    y = torch.empty_like(x)
    assert layer.make(x, out=y) is y
    changed = gradient.clone()
    assert layer.backward(changed, x, y) is changed
    options = [ACTIVATIONS[name] for name in names]
    assert layer.reads_input == any(option.reads_input for option in options)
    for member, option in enumerate(options):
        own = slice(member, member + 1)
        expected = torch.empty_like(x[own])
        option.make(x[own], out=expected)
        torch.testing.assert_close(y[own], expected, **CLOSE)
        slope = gradient[own].clone()
        option.backward(slope, x[own], expected)
        torch.testing.assert_close(changed[own], slope, **CLOSE)
