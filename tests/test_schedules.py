"""Schedules against torch.optim.lr_scheduler."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler

from sknnopt.schedules import SCHEDULES, reduce_on_plateau, warmup

BASE = 0.3


def _optimizer():
    weight = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    return torch.optim.SGD([weight], lr=BASE)


def _factors(make, n_steps):
    """Return the factors that a scheduler of PyTorch applies to the learning rate."""
    optimizer = _optimizer()
    scheduler = make(optimizer)
    factors = []
    for _ in range(n_steps):
        factors.append(optimizer.param_groups[0]["lr"] / BASE)
        optimizer.step()
        scheduler.step()
    return np.array(factors)


# PyTorch's scheduler of a run of n steps with decay d.
ORACLES = {
    "constant": lambda n, d: lambda o: lr_scheduler.ConstantLR(o, factor=1.0),
    "exponential": lambda n, d: lambda o: lr_scheduler.ExponentialLR(o, d ** (1 / n)),
    "step": lambda n, d: (
        lambda o: lr_scheduler.MultiStepLR(o, [-(-n // 2), -(-3 * n // 4)], d)
    ),
    "cosine": lambda n, d: lambda o: lr_scheduler.CosineAnnealingLR(o, n),
    "one_cycle": lambda n, d: (
        lambda o: lr_scheduler.OneCycleLR(o, max_lr=BASE, total_steps=n)
    ),
}


def test_names():
    """The registry offers exactly the documented schedules, one of them adaptive."""
    assert set(SCHEDULES) == {*ORACLES, "reduce_on_plateau"}
    assert [n for n, o in SCHEDULES.items() if o.on_plateau] == ["reduce_on_plateau"]


@pytest.mark.parametrize("decay", [0.1, 0.7])
@pytest.mark.parametrize("total", [1, 2, 3, 4, 7, 10, 40, 101])
@pytest.mark.parametrize("name", ORACLES)
def test_factors(name, total, decay):
    """Every update of a run, however short, has the factor of PyTorch's scheduler."""
    factors = SCHEDULES[name].make(np.arange(float(total)), total, decay)
    expected = _factors(ORACLES[name](total, decay), total)
    if (name, total) == ("one_cycle", 1):
        # PyTorch's single update is the cycle's end: it would train nothing.
        expected = np.ones(1)
    assert factors.dtype == np.float64
    np.testing.assert_allclose(factors, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "final"),
    [
        ("constant", 1.0),
        ("exponential", 0.2),
        ("step", 0.2**2),
        ("cosine", 0.0),
        ("one_cycle", 1 / 25e4),
        ("reduce_on_plateau", 1.0),
    ],
)
def test_final_value_stays(name, final):
    """From the end of the run on, a schedule keeps its final value."""
    factors = SCHEDULES[name].make(np.array([20.0, 21.0, 1e6]), 20, 0.2)
    np.testing.assert_allclose(factors, final, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_part_of_the_run(name):
    """A schedule depends on the number of the update alone, not on its neighbors."""
    make, steps = SCHEDULES[name].make, np.arange(30.0)
    whole = make(steps, 30, 0.3)
    assert np.array_equal(make(steps[11:17], 30, 0.3), whole[11:17])
    assert whole.max() <= 1.0
    assert whole.min() >= 0.0


@pytest.mark.parametrize("n_warmup", [1, 5, 8])
def test_warmup(n_warmup):
    """The warm-up is PyTorch's linear schedule from 1/n over n - 1 steps."""
    steps = np.arange(12.0)
    expected = np.ones(12)
    if n_warmup > 1:
        arguments = {"start_factor": 1 / n_warmup, "total_iters": n_warmup - 1}
        expected = _factors(lambda o: lr_scheduler.LinearLR(o, **arguments), 12)
    np.testing.assert_allclose(warmup(steps, n_warmup), expected, rtol=1e-12)


def test_no_warmup():
    """A warm-up of at most one update changes nothing, and never divides by 0."""
    lengths = np.array([[0.0], [0.7], [1.0]])
    with np.errstate(all="raise"):
        assert np.array_equal(warmup(np.arange(3.0), 0), np.ones(3))
        assert np.array_equal(warmup(np.arange(3.0), lengths), np.ones((3, 3)))


@pytest.mark.parametrize("n_steps", [1, 3, 101])
@pytest.mark.parametrize("name", SCHEDULES)
def test_members_are_independent(name, n_steps):
    """Runs as rows of one array have bit for bit the factors that each has alone."""
    rng = np.random.default_rng(0)
    total = rng.integers(1, 300, (67, 1)) * n_steps
    decay = rng.uniform(0.05, 1.0, (67, 1))
    steps = np.arange(float(n_steps)) + n_steps * rng.integers(0, 300, (67, 1))
    together = SCHEDULES[name].make(steps, total, decay)
    together = together * warmup(steps, total / 5)
    for member in range(67):
        run = int(total[member, 0])
        alone = SCHEDULES[name].make(steps[member], run, float(decay[member, 0]))
        alone = alone * warmup(steps[member], run / 5)
        assert np.array_equal(alone, together[member])


def test_fractional_warmup():
    """A warm-up of 2.5 updates passes through 1/2.5 and 2/2.5 before 1."""
    np.testing.assert_allclose(warmup(np.arange(4.0), 2.5), [0.4, 0.8, 1.0, 1.0])


def _losses():
    """Return a loss per epoch and member: noise on a floor, NaN now and then."""
    rng = np.random.default_rng(0)
    losses = np.exp(-np.arange(60.0) / 8)[:, None] + 0.1 * rng.random((60, 4))
    losses[rng.random((60, 4)) < 0.1] = np.nan
    losses[0, 0] = np.nan
    losses[3, 1] = np.inf
    return losses


@pytest.mark.parametrize("tol", [0.0, 0.02])
def test_reduce_on_plateau(tol):
    """Members with their own patience and decay follow PyTorch's ReduceLROnPlateau."""
    losses, patience, decay = _losses(), [0, 1, 3, 7], [0.5, 0.1, 0.9, 0.3]
    state = np.full(4, np.inf), np.zeros(4, np.int64), np.ones(4)
    arguments = {"patience": np.array(patience), "decay": np.array(decay), "tol": tol}
    factors = []
    for loss in losses:
        state = reduce_on_plateau(loss, *state, **arguments)
        factors.append(state[2])
    for member in range(4):
        optimizer = _optimizer()
        scheduler = lr_scheduler.ReduceLROnPlateau(
            optimizer,
            factor=decay[member],
            patience=patience[member],
            threshold=tol,
            threshold_mode="abs",
            eps=0.0,
        )
        expected = []
        for loss in losses[:, member]:
            scheduler.step(loss)
            expected.append(optimizer.param_groups[0]["lr"] / BASE)
        assert expected[-1] < 1.0
        actual = np.array(factors)[:, member]
        np.testing.assert_allclose(actual, expected, rtol=1e-12)


def test_reduce_on_plateau_leaves_its_arguments():
    """The state that is handed over is not changed, and its types are kept."""
    state = np.array([1.0, 1.0]), np.array([0, 3]), np.array([1.0, 0.5])
    before = [array.copy() for array in state]
    after = reduce_on_plateau(
        np.array([0.5, 2.0]), *state, patience=3, decay=0.1, tol=0.0
    )
    for old, copy, new in zip(state, before, after, strict=True):
        assert np.array_equal(old, copy)
        assert new.dtype == old.dtype
        assert not np.array_equal(new, old) or old is state[1]
