"""partial_fit over the blocks of a table that does not fit into memory."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from estimators import plain_classifier, plain_regressor

N_ROWS, SIZE = 400, 50


@pytest.fixture
def file(tmp_path, rng):
    """Return the path of a float32 table whose last column is a target of 0 and 1."""
    X = rng.normal(size=(N_ROWS, 4)).astype(np.float32)
    path = tmp_path / "table.npy"
    np.save(path, np.column_stack([X, X[:, 0] > 0]).astype(np.float32))
    return path


def network(estimator):
    """Return a small network, and what its first call needs besides rows."""
    model = estimator(hidden_layer_sizes=(5,), batch_size=16, random_state=0)
    known = {"classes": [0, 1]} if estimator is plain_classifier else {}
    return model, known


def streamed(estimator, table, rounds=1):
    """Train on a table block by block."""
    model, known = network(estimator)
    for _ in range(rounds):
        for start in range(0, N_ROWS, SIZE):
            rows = slice(start, start + SIZE)
            model.partial_fit(table[rows, :-1], table[rows, -1], **known)
    return model


BOTH = pytest.mark.parametrize("estimator", [plain_classifier, plain_regressor])


@BOTH
def test_a_map_is_as_good_as_memory(estimator, file):
    """Blocks of a memory map train the same float32 networks as arrays in memory."""
    mapped = streamed(estimator, np.load(file, mmap_mode="r"))
    loaded = streamed(estimator, np.load(file))
    for ours, theirs in zip(mapped.coefs_, loaded.coefs_, strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_array_equal(ours, theirs)


@BOTH
def test_blocks_are_let_go(estimator, file):
    """After a call nothing holds the block: neither rows nor target."""
    table = np.load(file)
    model, known = network(estimator)
    for start in range(0, N_ROWS, SIZE):
        X = table[start : start + SIZE, :-1].copy()
        y = table[start : start + SIZE, -1].copy()
        model.partial_fit(X, y, **known)
        model.predict(X)
        held = weakref.ref(X), weakref.ref(y)
        del X, y
        gc.collect()
        assert all(reference() is None for reference in held)


def sizes(estimator):
    """Return the bytes of each array that a fitted estimator holds, by its place."""
    found = {}

    def visit(value, place):
        if isinstance(value, np.ndarray):
            found[place] = value.nbytes
        elif isinstance(value, dict):
            for name, part in value.items():
                visit(part, f"{place}.{name}")
        elif isinstance(value, (list, tuple)):
            for number, part in enumerate(value):
                visit(part, f"{place}.{number}")

    visit(vars(estimator), "")
    return found


@BOTH
def test_state_grows_by_the_lines_of_history_alone(estimator, file):
    """Of eight times the calls, only the history is eight times as long."""
    table = np.load(file)
    short, long = (sizes(streamed(estimator, table, rounds)) for rounds in (1, 8))
    assert short.keys() == long.keys()
    grown = {place for place, size in long.items() if size != short[place]}
    assert grown == {place for place in long if place.startswith("._history.")}
    assert all(long[place] == 8 * short[place] for place in grown)
