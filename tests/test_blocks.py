"""Long columns, block by block."""

from __future__ import annotations

import numpy as np
import pytest

from sknnopt._blocks import blocks, class_indices, unique_labels

_NAMES = ["no", "yes", "no", "perhaps", "yes", "a", "no", "b", "b", "a", ""]
LABELS = {
    "int": np.array([3, -1, 7, 7, 3, 0, 12, 3, 3, -1, 5]),
    "small": np.array([3, 1, 7, 7, 3, 0, 12, 3, 3, 1, 5], dtype=np.uint8),
    "float": np.array([0.0, 2.0, 2.0, -1.0, 0.0, 5.0, 2.0, 0.0, 1.0, 2.0, 3.0]),
    "bool": np.arange(11) % 3 == 1,
    "text": np.array(_NAMES),
    "object": np.array(_NAMES, dtype=object),
}


@pytest.mark.parametrize("size", [1, 3, 11, 12])
@pytest.mark.parametrize("n_rows", [0, 1, 11])
def test_blocks(n_rows, size):
    """Blocks follow each other, none is larger than asked, and all rows are in one."""
    rows = np.arange(n_rows)
    parts = [rows[part] for part in blocks(n_rows, size)]
    assert np.array_equal(np.concatenate([rows[:0], *parts]), rows)
    assert all(0 < len(part) <= size for part in parts)


@pytest.mark.parametrize("size", [1, 4, 10, 11, 1 << 16])
@pytest.mark.parametrize("kind", LABELS)
def test_unique_labels(kind, size):
    """The labels are those of numpy's unique, in the same type."""
    labels = LABELS[kind]
    found, expected = unique_labels(labels, size), np.unique(labels)
    assert found.dtype == expected.dtype
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("size", [1, 4, 10, 11, 1 << 16])
@pytest.mark.parametrize("kind", LABELS)
def test_class_indices(kind, size):
    """The places are those of numpy's searchsorted, and lead back to the labels."""
    labels, classes = LABELS[kind], np.unique(LABELS[kind])
    index = class_indices(labels, classes, np.dtype(np.int32), size)
    assert index.dtype == np.int32
    assert np.array_equal(index, np.searchsorted(classes, labels))
    assert np.array_equal(classes[index], labels)
