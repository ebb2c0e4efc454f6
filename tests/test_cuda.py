"""What must hold on a GPU. Without one nothing here runs."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from estimators import ESTIMATORS, SMALL
from sklearn.base import clone

from sknnopt.persistence import load, save

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="there is no CUDA device"
)
#: float64 on both, sums in another order.
RTOL, ATOL = 1e-6, 1e-9
SETTINGS = [
    {},
    {"n_members": 3, "early_stopping": True},
    {"dropout": 0.2, "batch_size": 16, "optimizer": "sgd", "momentum": 0.9},
    {"normalization": "batch", "clip_norm": 1.0, "l1": 1e-3},
]


def answers(model, X):
    """Return what a model predicts, as numbers."""
    return getattr(model, "predict_proba", model.predict)(X)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("settings", SETTINGS)
def test_trains_what_the_cpu_trains(table, estimator, settings):
    """All is drawn on the CPU, so the networks differ by rounding only."""
    X, y = table
    on_cpu = estimator(**SMALL, **settings).fit(X, y)
    on_gpu = estimator(**SMALL, **settings, device="cuda").fit(X, y)
    np.testing.assert_allclose(answers(on_gpu, X), answers(on_cpu, X), RTOL, ATOL)
    for ours, theirs in zip(on_gpu.coefs_, on_cpu.coefs_, strict=True):
        np.testing.assert_allclose(ours, theirs, RTOL, ATOL)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_same_seed_same_bits(table, estimator):
    """Two fits with one seed on one device are the same."""
    model = estimator(**SMALL, device="cuda").fit(*table)
    again = clone(model).fit(*table)
    np.testing.assert_array_equal(answers(again, table[0]), answers(model, table[0]))


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_saved_models_predict_without_a_gpu(table, tmp_path, estimator):
    """State is arrays of numpy: what is read again predicts on either device."""
    model = estimator(**SMALL, device="cuda").fit(*table)
    save(model, tmp_path / "model.safetensors")
    for read in (
        load(tmp_path / "model.safetensors"),
        pickle.loads(pickle.dumps(model)),
    ):
        np.testing.assert_array_equal(answers(read, table[0]), answers(model, table[0]))
        read.set_params(device="cpu")
        np.testing.assert_allclose(
            answers(read, table[0]), answers(model, table[0]), RTOL, ATOL
        )


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_partial_fit_goes_on_there(table, estimator):
    """The optimizer's memory returns to the device and goes on from the same state."""
    models = [estimator(**SMALL, device=device) for device in ("cpu", "cuda")]
    labels = {"classes": [0, 1]} if hasattr(models[0], "predict_proba") else {}
    for _ in range(3):
        models = [model.partial_fit(*table, **labels) for model in models]
    on_cpu, on_gpu = (answers(model, table[0]) for model in models)
    np.testing.assert_allclose(on_gpu, on_cpu, RTOL, ATOL)
