"""The masks of dropout at the ends of the range of rates."""

from __future__ import annotations

import numpy as np
import pytest

from sknnopt._dropout import Masks

#: Sixteen random bits decide on each unit.
LEVELS = 1 << 16


def _mask(rate, *, n_rows=4000, batch_size=8):
    masks = Masks(np.array([[rate]]), (6,), batch_size, 8, np.dtype("f8"), reuses=False)
    n_steps = -(-n_rows // batch_size)
    generators = [np.random.default_rng(0)]
    (mask,) = masks(n_steps, np.array([n_rows]), generators)
    return mask[0, :, :batch_size]


@pytest.mark.parametrize("batch_size", [8, 5])
@pytest.mark.parametrize("rate", [np.nextafter(1.0, 0.0), 1 - 1 / LEVELS, 0.5, 0.2])
def test_units_are_kept_with_the_inverse_of_their_share(rate, batch_size):
    """A unit is dropped, or multiplied by what its expected value takes to be one.

    The rate is one of the multiples of 2 to the -16 below 1: some unit may be left.
    """
    mask = _mask(rate, batch_size=batch_size)
    threshold = min(round(rate * LEVELS), LEVELS - 1)
    inverse = LEVELS / (LEVELS - threshold)
    assert set(np.unique(mask)) <= {0.0, inverse}
    assert mask.mean() == pytest.approx(1.0, abs=5 * np.sqrt(inverse / mask.size))


def test_no_masks_without_dropout():
    """Where no unit of a network is dropped there is no mask, and nothing is drawn."""
    masks = Masks(np.zeros((2, 2)), (6, 5), 8, 8, np.dtype("f8"), reuses=False)
    assert not masks.drops
    assert masks(1, np.array([8, 8]), [None, None]) == []
