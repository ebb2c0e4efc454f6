"""Ranges of numbers that parameters may have."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from sknnopt._intervals import RealInterval


@pytest.mark.parametrize("number", [1, 0.5, Fraction(1, 3), np.float32(1), np.uint8(1)])
def test_numbers_of_all_types(number):
    """A number of any real type is in the range if its float is."""
    assert RealInterval(0, 1, closed="right").is_satisfied_by(number)
    assert not RealInterval(None, 0, closed="right").is_satisfied_by(number)


@pytest.mark.parametrize("value", [np.nan, 10**400, -(10**400), "0.5", None, 1j])
def test_no_number_of_the_range(value):
    """NaN, integers that no float can hold, and what is no real number are outside."""
    assert not RealInterval(None, None, closed="neither").is_satisfied_by(value)


@pytest.mark.parametrize(
    ("closed", "expected"),
    [("both", (True, True)), ("left", (True, False)), ("neither", (False, False))],
)
def test_ends(closed, expected):
    """The ends belong to the range as ``closed`` says."""
    interval = RealInterval(0, 1, closed=closed)
    assert (Fraction(0) in interval, Fraction(1) in interval) == expected
