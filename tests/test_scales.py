from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sknnopt._scales import Axis, distinct, label_of, scale_of, scales_of


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([1e-4, 3e-3, 1e-1], "log"),
        ([1e-3, 3e-3, 1e-2], "log"),
        ([8, 32, 128], "log"),
        ([0.01, 0.3, 0.6], "linear"),
        ([0.0, 0.001, 10.0], "linear"),
        ([-1.0, 1.0], "linear"),
        ([1, 2, 3], "linear"),
        ([1e-4, 0.09, 0.1], "log"),
        ([1.0, None], "category"),
        ([True, False], "category"),
        (["a"], "category"),
        ([], "category"),
    ],
)
def test_scale_is_that_of_the_values(values: list[Any], scale: str) -> None:
    """Decades are logarithmic, other numbers linear, all else categories."""
    assert scale_of(values) == scale


def test_layers_share_their_scale() -> None:
    """The scale of a layer's parameter is that of all layers together."""
    columns = {"n__0": [1.0, 30.0, 60.0], "n__1": [1.0, 5.0, 60.0], "m": [1e-3, 1.0]}
    assert scale_of(columns["n__1"]) == "log"
    together = scale_of(columns["n__0"] + columns["n__1"])
    assert scales_of(columns) == {"n__0": together, "n__1": together, "m": "log"}


@pytest.mark.parametrize(
    ("value", "label"),
    [(0.12345, "0.123"), (12, "12"), ((8, 4), "8-4"), (None, "None"), ("x", "x")],
)
def test_labels_are_short(value: Any, label: str) -> None:
    """Numbers have three digits, sizes are joined."""
    assert label_of(value) == label


def test_distinct_values_are_in_order() -> None:
    """Numbers come first in order, then the rest by what is written."""
    values = ["b", 2, None, 1.5, "a", 2, [1]]
    assert distinct(values) == [1.5, 2, [1], None, "a", "b"]


def test_places_are_between_the_ends() -> None:
    """Linear and logarithmic places by hand, categories in even steps."""
    linear = Axis.of("x", [0, 1, 4])
    np.testing.assert_allclose(
        linear.places([0, 1, Axis.MISSING, 4]), [0, 0.25, np.nan, 1]
    )
    assert linear.ticks == ((0.0, "0"), (0.5, "2"), (1.0, "4"))
    log = Axis.of("x", [1e-4, 1e-3, 1e-2, 1e-1])
    np.testing.assert_allclose(log.places([1e-4, 1e-3, 1e-1]), [0, 1 / 3, 1])
    assert [label for _, label in log.ticks] == ["0.0001", "0.00316", "0.1"]
    category = Axis.of("x", ["relu", None, "elu"])
    assert category.ticks == ((0.0, "None"), (0.5, "elu"), (1.0, "relu"))
    np.testing.assert_array_equal(category.places(["relu", None]), [1, 0])
    single = Axis.of("x", [5, 5])
    assert single.ticks == ((0.5, "5"),)
    assert single.places([5]).tolist() == [0.5]
