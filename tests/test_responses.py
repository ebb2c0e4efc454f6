"""What trained networks answer, chunk by chunk."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse

import sknnopt._responses
from sknnopt._architecture import Architecture
from sknnopt._network import Layout
from sknnopt._responses import Responder

SHAPE = Architecture(4, (6,), 2, ("tanh",))


def _responder(rng, members=3, dtype=np.float64, limits=(), scale=1.0):
    weights = scale * rng.normal(size=(members, Layout.of(SHAPE).n_columns))
    return Responder(SHAPE, weights.astype(dtype), "squared_error", limits, "cpu")


def _answers(responder, X):
    """Return each member's answers, one member at a time."""
    members = range(len(responder.weights))
    nobody = [np.arange(len(X))] * len(members)
    return np.stack(
        [
            responder.out_of_fold(X, [*nobody[:m], np.array([], int), *nobody[m + 1 :]])
            for m in members
        ]
    )


@pytest.mark.parametrize("chunk", [1, 40, 1 << 22])
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_chunks(monkeypatch, rng, chunk, kind):
    """Whatever passes at once, mean, spread and out-of-fold answers are the same."""
    responder, X = _responder(rng), rng.normal(size=(23, 4))
    train = [rng.choice(23, size=15, replace=False) for _ in range(3)]
    before = responder.mean_and_std(X), responder.out_of_fold(X, train)
    monkeypatch.setattr(sknnopt._responses, "_CHUNK", chunk)
    mean, std = responder.mean_and_std(kind(X))
    np.testing.assert_allclose(responder.mean(kind(X)), before[0][0], rtol=1e-12)
    np.testing.assert_allclose(mean, before[0][0], rtol=1e-12)
    np.testing.assert_allclose(std, before[0][1], rtol=1e-12)
    np.testing.assert_allclose(
        responder.out_of_fold(kind(X), train), before[1], rtol=1e-12
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_mean_and_std(rng, dtype):
    """Mean and standard deviation are those of the members' answers."""
    responder, X = _responder(rng, dtype=dtype), rng.normal(size=(9, 4))
    answers = _answers(responder, X)
    mean, std = responder.mean_and_std(X)
    np.testing.assert_array_equal(mean, responder.mean(X))
    np.testing.assert_allclose(mean, answers.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(std, answers.std(axis=0), rtol=1e-5)
    assert (mean.dtype, std.dtype) == (dtype, np.float64)


def test_limits_come_first(rng):
    """Each member's answer is limited before mean and spread are taken."""
    limits = (np.array([-0.1, -np.inf]), np.array([0.2, 0.3]))
    free = _responder(rng, scale=3.0)
    bound = Responder(SHAPE, free.weights, free.loss, limits, "cpu")
    X = rng.normal(size=(9, 4))
    clipped = np.clip(_answers(free, X), *limits)
    assert (clipped != _answers(free, X)).any()
    mean, std = bound.mean_and_std(X)
    np.testing.assert_allclose(mean, clipped.mean(axis=0))
    np.testing.assert_allclose(std, clipped.std(axis=0), atol=1e-15)


def test_finite(rng):
    """Weights beyond all measure give finite answers."""
    responder, X = _responder(rng, scale=1e300), rng.normal(size=(9, 4))
    for answer in (*responder.mean_and_std(X), responder.out_of_fold(X, [[]] * 3)):
        assert np.isfinite(answer).all()


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.enable_grad])
def test_modes_of_the_caller(rng, mode):
    """The caller's mode of torch makes no difference."""
    responder, X = _responder(rng), rng.normal(size=(9, 4))
    expected = responder.mean_and_std(X)
    with mode():
        for ours, theirs in zip(responder.mean_and_std(X), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)
