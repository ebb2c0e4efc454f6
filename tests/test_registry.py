"""What every option of every registry must offer."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from sknnopt._registry import Option
from sknnopt.activations import ACTIVATIONS
from sknnopt.initializers import INITIALIZERS
from sknnopt.losses import LOSSES
from sknnopt.optimizers import OPTIMIZERS, initial_slots
from sknnopt.schedules import SCHEDULES

PRESETS = {"small", "standard", "regularization", "guide"}


def _activate(name, option):
    return option.make(torch.ones((2, 3), dtype=torch.float64)).shape == (2, 3)


def _initialize(name, option):
    return option.make(np.random.default_rng(0), 2, 3, 1.0).shape == (2, 3)


def _lose(name, option):
    raw = torch.ones((2, 3, 1), dtype=torch.float64)
    integer = name == "categorical_cross_entropy"
    target = torch.zeros((2, 3, 1), dtype=torch.int64 if integer else torch.float64)
    parameter = torch.full((2, 1, 1), 0.5, dtype=torch.float64)
    return option.make(raw, target, parameter).shape == (2, 3)


def _direct(name, option):
    gradient = torch.ones((2, 3), dtype=torch.float64)
    column = torch.zeros((2, 1), dtype=torch.float64)
    slots = initial_slots(name, gradient)
    direction, factor = option.make(gradient, slots, column, False)
    return direction.shape == (2, 3) and (factor is None or factor.shape == (2, 1))


def _schedule(name, option):
    return option.make(np.arange(5.0), 5, 0.5).shape == (5,)


REGISTRIES = [
    (ACTIVATIONS, _activate),
    (INITIALIZERS, _initialize),
    (LOSSES, _lose),
    (OPTIMIZERS, _direct),
    (SCHEDULES, _schedule),
]
ENTRIES = [
    pytest.param(name, option, run, id=f"{run.__name__[1:]}-{name}")
    for registry, run in REGISTRIES
    for name, option in registry.items()
]


@pytest.mark.parametrize(("name", "option", "run"), ENTRIES)
def test_entry_is_described_and_runs(name, option, run):
    """Every option has a summary and a reference of one line, and its function runs."""
    assert isinstance(option, Option)
    assert option.summary.endswith(".")
    for text in (option.summary, option.reference):
        assert text.strip() == text != ""
        assert "\n" not in text
    assert option.presets <= PRESETS
    assert run(name, option)


@pytest.mark.parametrize(
    ("registry", "names"),
    [
        (OPTIMIZERS, {"adam", "sgd", "rmsprop", "adadelta"}),
        (ACTIVATIONS, {"relu", "tanh", "sigmoid"}),
    ],
    ids=["optimizers", "activations"],
)
def test_guide_preset(registry, names):
    """The preset of the optimization guide holds the options that the guide names."""
    assert {name for name, o in registry.items() if "guide" in o.presets} == names


def test_options_cannot_be_changed():
    """Options are shared by all estimators, and so refuse assignment."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        ACTIVATIONS["relu"].make = torch.tanh
