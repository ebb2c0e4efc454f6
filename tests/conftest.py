"""What every test process needs before and between tests."""

from __future__ import annotations

import gc
import os
from functools import partial
from typing import TYPE_CHECKING, Any

# Before torch and matplotlib are imported: tests run side by side, one thread each,
# and never open a window.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from nursery import Nursery

if TYPE_CHECKING:
    from collections.abc import Iterator


#: Cases of each property: the same few in every run, or with
#: ``--hypothesis-profile=long`` many others each time.
settings.register_profile(
    "default",
    max_examples=30,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "long", settings.get_profile("default"), max_examples=720, derandomize=False
)
settings.load_profile("default")


def pytest_collection_finish() -> None:
    """Let no collection of garbage look at all that has been imported, again and again.

    With some 7,000 tests in memory one takes a third of a second, and several fixtures
    and every measurement of the benchmarks collect.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture
def rng() -> np.random.Generator:
    """Return a numpy Generator with the same seed for every test."""
    return np.random.default_rng(0)


@pytest.fixture
def table(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return 60 rows whose target serves classifier and regressor alike."""
    return _draw_table(rng)


@pytest.fixture(scope="module")
def shared_table() -> tuple[np.ndarray, np.ndarray]:
    """Return the same rows, for what several tests look at and none changes."""
    return _draw_table(np.random.default_rng(0))


def _draw_table(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    X = rng.normal(size=(60, 4))
    return X, (X @ [1.0, -1.0, 0.5, 0.0] > 0).astype(int)


@pytest.fixture(scope="session")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """Return what begins programs in processes of their own."""
    if not hasattr(os, "fork"):
        pytest.skip("no process can be forked")
    opened = Nursery(tmp_path_factory.mktemp("programs"))
    yield opened
    opened.close()


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note how many fits train together in each round of the gathering backend."""
    from sknnopt import _batching

    sizes: list[int] = []
    original = _batching.train_together

    def train_together(fits: Any, is_cancelled: Any, **options: Any) -> Any:
        sizes.append(len(fits))
        return original(fits, is_cancelled, **options)

    monkeypatch.setattr(_batching, "train_together", train_together)
    return sizes


@pytest.fixture(scope="module")
def quick_baselines() -> Iterator[None]:
    """Let scikit-learn's networks, which the tune command compares with, learn less."""
    from sknnopt._cli import models

    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLPClassifier", "MLPRegressor"):
            patch.setattr(models, name, partial(getattr(models, name), max_iter=10))
        yield


@pytest.fixture
def few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a surrogate have few trees, where how well it predicts does not matter."""
    from sknnopt import _surrogate

    monkeypatch.setattr(_surrogate, "_N_TREES", 5)


@pytest.fixture
def untouched_globals() -> Iterator[None]:
    """Fail if the test changes a global generator or one of torch's defaults."""
    before = _global_state()
    yield
    after = _global_state()
    changed = [name for name, value in before.items() if after[name] != value]
    assert not changed, f"changed for the whole process: {', '.join(changed)}"


def _global_state() -> dict[str, object]:
    import torch

    name, keys, position, *_ = np.random.get_state()
    return {
        "numpy's global generator": (name, keys.tobytes(), position),
        "torch's global generator": torch.get_rng_state().numpy().tobytes(),
        "torch's default dtype": torch.get_default_dtype(),
        "torch's number of threads": torch.get_num_threads(),
        "torch's deterministic mode": torch.are_deterministic_algorithms_enabled(),
        "torch's gradient mode": torch.is_grad_enabled(),
    }
