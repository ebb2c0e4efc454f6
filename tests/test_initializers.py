"""Initializers against closed forms, scipy's distributions and torch.nn.init."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from sknnopt.initializers import INITIALIZERS

SCALE = 0.3
SHAPES = [(7, 300), (250, 40), (64, 64)]
# Variance of a weight, from fan_in n, fan_out m and init_scale s.
NORMAL = {
    "random_normal": lambda n, m, s: s**2,
    "xavier_normal": lambda n, m, s: 2 / (n + m),
    "glorot_normal": lambda n, m, s: 2 / (n + m),
    "he_normal": lambda n, m, s: 2 / n,
    "lecun_normal": lambda n, m, s: 1 / n,
}
UNIFORM = {
    "random_uniform": lambda n, m, s: s**2 / 3,
    "xavier_uniform": lambda n, m, s: 2 / (n + m),
    "glorot_uniform": lambda n, m, s: 2 / (n + m),
    "he_uniform": lambda n, m, s: 2 / n,
    "lecun_uniform": lambda n, m, s: 1 / n,
    "xavier_fan_in": lambda n, m, s: 1 / (3 * n),
}
SCALED = ["random_normal", "random_uniform"]


def _kaiming(init, nonlinearity):
    return lambda w: init(w, mode="fan_in", nonlinearity=nonlinearity)


TORCH = {
    "random_normal": lambda w: nn.init.normal_(w, 0.0, SCALE),
    "random_uniform": lambda w: nn.init.uniform_(w, -SCALE, SCALE),
    "xavier_normal": nn.init.xavier_normal_,
    "xavier_uniform": nn.init.xavier_uniform_,
    "glorot_normal": nn.init.xavier_normal_,
    "glorot_uniform": nn.init.xavier_uniform_,
    "he_normal": _kaiming(nn.init.kaiming_normal_, "relu"),
    "he_uniform": _kaiming(nn.init.kaiming_uniform_, "relu"),
    "lecun_normal": _kaiming(nn.init.kaiming_normal_, "linear"),
    "lecun_uniform": _kaiming(nn.init.kaiming_uniform_, "linear"),
    # The default of PyTorch's linear layer.
    "xavier_fan_in": lambda w: nn.init.kaiming_uniform_(w, a=math.sqrt(5)),
}


def _draw(name, shape, seed=0, scale=SCALE):
    return INITIALIZERS[name].make(np.random.default_rng(seed), *shape, scale)


def test_names():
    """The registry offers exactly the documented initializers."""
    assert set(INITIALIZERS) == {*NORMAL, *UNIFORM, "zeros", "orthogonal"}


@pytest.mark.parametrize("shape", [*SHAPES, (1, 1), (1, 5), (5, 1)])
@pytest.mark.parametrize("name", INITIALIZERS)
def test_shape_and_type(name, shape):
    """Weights are finite float64 of shape (fan_in, fan_out), down to single units."""
    weights = _draw(name, shape)
    assert weights.shape == shape
    assert weights.dtype == np.float64
    assert weights.flags.c_contiguous
    assert np.isfinite(weights).all()


@pytest.mark.parametrize("name", INITIALIZERS)
def test_same_seed_same_weights(name):
    """A seed fixes the weights, and another seed gives others unless all are 0."""
    first = _draw(name, (6, 5))
    assert np.array_equal(first, _draw(name, (6, 5)))
    assert np.array_equal(first, _draw(name, (6, 5), seed=1)) == (name == "zeros")


@pytest.mark.parametrize("name", INITIALIZERS)
def test_scale_is_read_by_plain_initializers_only(name):
    """init_scale changes the plain normal and uniform initializers and no other."""
    same = np.array_equal(_draw(name, (6, 5)), _draw(name, (6, 5), scale=1.0))
    assert same == (name not in SCALED)


@pytest.mark.parametrize("name", INITIALIZERS)
def test_global_generators_are_untouched(name, untouched_globals):
    """Drawing weights does not move numpy's or torch's global generator."""
    assert _draw(name, (6, 5)).shape == (6, 5)


def test_zeros_draw_nothing():
    """Zeros leave the generator where it was."""
    rng = np.random.default_rng(0)
    assert not INITIALIZERS["zeros"].make(rng, 4, 3, SCALE).any()
    assert rng.random() == np.random.default_rng(0).random()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", NORMAL)
def test_normal_distribution(name, shape):
    """Normal initializers follow the normal distribution of the stated variance."""
    weights = _draw(name, shape).ravel()
    variance = NORMAL[name](*shape, SCALE)
    assert stats.kstest(weights, stats.norm(0.0, variance**0.5).cdf).pvalue > 1e-3
    # The mean square of k normal variables has relative deviation sqrt(2 / k).
    tolerance = 4 * math.sqrt(2 / weights.size)
    assert np.mean(weights**2) == pytest.approx(variance, rel=tolerance)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", UNIFORM)
def test_uniform_distribution(name, shape):
    """Uniform initializers fill their interval, whose bound gives the variance."""
    weights = _draw(name, shape).ravel()
    bound = math.sqrt(3 * UNIFORM[name](*shape, SCALE))
    assert np.abs(weights).max() <= bound
    assert np.abs(weights).max() > bound * (1 - 20 / weights.size)
    uniform = stats.uniform(-bound, 2 * bound)
    assert stats.kstest(weights, uniform.cdf).pvalue > 1e-3
    # The mean square of k such variables has relative deviation sqrt(4 / (5 k)).
    tolerance = 4 * math.sqrt(0.8 / weights.size)
    assert np.mean(weights**2) == pytest.approx(bound**2 / 3, rel=tolerance)


@pytest.mark.parametrize("name", TORCH)
def test_spread_of_torch(name):
    """Standard deviation and, if uniform, bound are those of torch.nn.init."""
    shape = (500, 200)
    weights = _draw(name, shape)
    reference = torch.empty(shape[::-1], dtype=torch.float64)  # torch stores (out, in)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        TORCH[name](reference)
    # Two estimates from 100,000 draws, 4 deviations of their ratio.
    assert weights.std() == pytest.approx(float(reference.std()), rel=0.0127)
    if name in UNIFORM:
        bound = float(reference.abs().max())
        assert np.abs(weights).max() == pytest.approx(bound, rel=2e-4)


@pytest.mark.parametrize("kind", ["uniform", "normal"])
def test_glorot_is_xavier(kind):
    """Keras's and PyTorch's names give the same weights."""
    glorot, xavier = (_draw(f"{name}_{kind}", (9, 4)) for name in ("glorot", "xavier"))
    assert np.array_equal(glorot, xavier)


@pytest.mark.parametrize("shape", [(30, 30), (40, 12), (12, 40), (1, 7), (7, 1)])
def test_orthogonal(shape):
    """The shorter side of an orthogonal matrix is orthonormal."""
    weights = _draw("orthogonal", shape)
    tall = weights if shape[0] >= shape[1] else weights.T
    np.testing.assert_allclose(tall.T @ tall, np.eye(min(shape)), rtol=0, atol=1e-13)


def test_orthogonal_is_uniform():
    """Without a preferred sign, the trace of a uniform orthogonal matrix averages 0."""
    rng = np.random.default_rng(0)
    make = INITIALIZERS["orthogonal"].make
    traces = [np.trace(make(rng, 4, 4, SCALE)) for _ in range(2000)]
    # The trace has mean 0 and variance 1 under the Haar measure.
    assert np.mean(traces) == pytest.approx(0.0, abs=4 / math.sqrt(2000))
    assert np.var(traces) == pytest.approx(1.0, rel=0.15)
