"""Activations and update rules of several kinds in one batch."""

from __future__ import annotations

import pytest
import torch

from sknnopt._members import Updates, layer_activations
from sknnopt.activations import ACTIVATIONS
from sknnopt.optimizers import OPTIMIZERS, initial_slots

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


def _state(names, weights):
    """Return slots for members of several rules: each has those of all."""
    slots = {}
    for name in dict.fromkeys(names):
        slots |= initial_slots(name, weights)
    return slots


def _moved(names, members, *, some=None):
    """Return the weights of some members after three updates, each by its own rule."""
    weights, gradient = (_numbers(seed)[members, 0].clone() for seed in (2, 3))
    rates = torch.tensor([[0.1], [0.2], [0.3]], dtype=torch.float64)[members]
    updates = Updates(
        [names[member] for member in members],
        _state([names[member] for member in members], weights),
        weights=weights,
        gradient=gradient,
        momentum=torch.full((len(members), 1), 0.9, dtype=torch.float64),
        weight_decay=None,
        nesterov=False,
    )
    for _ in range(3):
        gradient.copy_(_numbers(3)[members, 0])
        if some is None:
            updates(rates)
        else:
            updates.of_some(torch.tensor(some)[members], rates)
    return weights


@pytest.mark.parametrize("other", OPTIMIZERS)
def test_each_member_moves_by_its_own_rule(other):
    """In any company a member moves as it does alone, or stays if it is told to."""
    names = ["sgd", other, other]
    together = _moved(names, [0, 1, 2])
    some = _moved(names, [0, 1, 2], some=[True, False, True])
    for member in range(3):
        (alone,) = _moved(names, [member])
        torch.testing.assert_close(together[member], alone, **CLOSE)
        expected = _numbers(2)[member, 0] if member == 1 else alone
        torch.testing.assert_close(some[member], expected, **CLOSE)
        assert not torch.equal(alone, _numbers(2)[member, 0])
