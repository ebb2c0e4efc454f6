"""The memory of a pipeline in a search: what it computes twice, and what it shares."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sknnopt._fold_memory import FoldMemory, with_memory


@pytest.fixture(name="calls")
def _calls():
    return []


@pytest.fixture(name="double")
def _double(calls):
    """Return a function that notes its calls."""

    def double(X, *, factor=2.0, label=""):
        calls.append(label)
        return factor * X

    return double


def test_equal_arguments_are_computed_once(calls, double):
    """Arguments of equal content give the very result of the first call."""
    remembered = FoldMemory(3).cache(double)
    first = remembered(np.arange(4.0), factor=3.0)
    assert remembered(np.arange(4.0), factor=3.0) is first
    np.testing.assert_array_equal(first, 3 * np.arange(4.0))
    assert len(calls) == 1
    remembered(np.arange(5.0), factor=3.0)
    remembered(np.arange(4.0))
    assert len(calls) == 3


def test_ignored_arguments_tell_nothing_apart(calls, double):
    """What a result does not depend on is not compared."""
    remembered = FoldMemory(3).cache(double, ignore=["label"])
    remembered(np.arange(4.0), label="one")
    remembered(np.arange(4.0), label="two")
    assert calls == ["one"]


def test_oldest_results_are_forgotten(calls, double):
    """Of more results than the size those stay that were used last."""
    remembered = FoldMemory(2).cache(double)
    for size in (1, 2, 1, 3, 1, 2):
        remembered(np.arange(float(size)))
    # The last call finds two forgotten: one was used after it.
    assert len(calls) == 4


def test_functions_are_told_apart(calls, double):
    """Two functions do not answer for each other."""
    memory = FoldMemory(3)

    def triple(X):
        return 3 * X

    X = np.ones(2)
    assert memory.cache(double)(X)[0] == 2
    assert memory.cache(triple)(X)[0] == 3


def test_errors_are_not_remembered():
    """A computation that failed is tried again."""
    tries = []

    def fail(X):
        tries.append(X)
        raise ValueError("no")

    remembered = FoldMemory(3).cache(fail)
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            remembered(1)
    assert tries == [1, 1]


def test_clones_share_and_processes_do_not(calls, double):
    """A clone of a pipeline has the same memory, a pickle an empty one."""
    pipeline = make_pipeline(StandardScaler(), "passthrough", memory=FoldMemory(5))
    memory = pipeline.memory
    assert clone(pipeline).memory is memory
    memory.cache(double)(1.0)
    loaded = pickle.loads(pickle.dumps(memory))
    assert loaded.size == 5
    loaded.cache(double)(1.0)
    assert len(calls) == 2


def test_who_gets_a_memory():
    """Pipelines with transformers and no memory of their own do; others stay."""
    scaled = make_pipeline(StandardScaler(), FunctionTransformer())
    found = with_memory(scaled, 5)
    assert found is not scaled
    assert scaled.memory is None
    assert found.memory.size == 2 * 5 * 1
    assert (
        with_memory(StandardScaler(), 5).get_params() == StandardScaler().get_params()
    )
    own = make_pipeline(StandardScaler(), FunctionTransformer(), memory="somewhere")
    alone = make_pipeline(FunctionTransformer())
    for estimator in (own, alone):
        assert with_memory(estimator, 5) is estimator
