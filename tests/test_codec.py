"""Values become JSON and come back, and what cannot is refused by name."""

from __future__ import annotations

import json
from collections import UserList
from typing import Any

import numpy as np
import pytest

from sknnopt._codec import CodecError, Decoder, Encoder


class Subclassed(np.ndarray):
    """An array that is more than its numbers."""


@pytest.mark.parametrize(
    "value",
    [
        np.str_("word"),
        np.float32(0.1),
        np.int64,
        np.dtype("<f4"),
        np.dtype("U7"),
        slice(1, None, 2),
        (1, (2.5, None)),
        {(0, "a"): [True]},
        float("-inf"),
    ],
)
def test_value_comes_back(value: Any) -> None:
    """Value and type are what they were, after strict JSON."""
    text = json.dumps(Encoder({}).encode(value, "x"), allow_nan=False)
    found = Decoder({}, {}).decode(json.loads(text))
    assert found == value
    assert type(found) is type(value)


def test_list_of_scikit_learn_comes_back_plain() -> None:
    """A list that warns when it is read, as remainders had, is a list of its items."""
    assert Encoder({}).encode(UserList([1, "a"]), "x") == [1, "a"]


@pytest.mark.parametrize(
    "value",
    [
        np.datetime64("2026-01-01"),
        np.complex128(1j),
        np.dtype("M8[s]"),
        np.zeros(2).view(Subclassed),
        np.zeros(2, dtype=complex),
        {1, 2},
    ],
)
def test_other_values_are_refused(value: Any) -> None:
    """The error names the place and what is supported."""
    with pytest.raises(CodecError, match=r"The place cannot be saved: got .*Supported"):
        Encoder({}).encode(value, "place")
