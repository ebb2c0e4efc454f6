"""Activation functions and their derivatives, as numbers to draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sknnopt.activations import ACTIVATIONS

#: Steps at either side of zero, which is a point itself.
_N_STEPS = 1000


@dataclass(frozen=True)
class ActivationCurve:
    """An activation function over a range.

    Parameters
    ----------
    x : ndarray of shape (n_points,)
        Where.
    value, slope : ndarray of shape (n_points,)
        The function and its derivative there.
    steepest : tuple of float or None
        Where the derivative is greatest, nearest to zero if at several points, and
        how great; None where it still grows at an end of the range.
    """

    x: np.ndarray
    value: np.ndarray
    slope: np.ndarray
    steepest: tuple[float, float] | None


def activation_curve(name: str, limit: float) -> ActivationCurve:
    """Compute an activation function as networks do, in float64.

    Parameters
    ----------
    name : str
        A key of ``ACTIVATIONS``.
    limit : float
        The range is from ``-limit`` to ``limit``.

    Returns
    -------
    ActivationCurve
        The curve.

    Raises
    ------
    ValueError
        If the limit is not positive and finite.
    """
    if not 0 < limit < np.inf:
        raise ValueError(
            f"The 'limit' parameter must be a positive number. Got {limit!r} instead."
        )
    option = ACTIVATIONS[name]
    steps = torch.arange(-_N_STEPS, _N_STEPS + 1, dtype=torch.float64)
    x = steps * (limit / _N_STEPS)
    with torch.no_grad():
        value = option.make(x).clone()
        slope = option.backward(torch.ones_like(x), x, value)
    curve = x.numpy(), value.numpy(), slope.numpy()
    return ActivationCurve(*curve, _steepest(curve[0], curve[2]))


def _steepest(x: np.ndarray, slope: np.ndarray) -> tuple[float, float] | None:
    highest = np.flatnonzero(np.isclose(slope, slope.max(), rtol=1e-12, atol=0))
    at = highest[np.argmin(np.abs(x[highest]))]
    if at in {0, len(x) - 1}:
        return None
    return float(x[at]), float(slope[at])


def check_names(names: Any) -> Sequence[str]:
    """Return names of activation functions as a sequence, once each.

    Parameters
    ----------
    names : str or iterable of str
        Keys of ``ACTIVATIONS``.

    Returns
    -------
    list of str
        The names.

    Raises
    ------
    ValueError
        If there is none, or an unknown one.
    """
    known = [names] if isinstance(names, str) else list(dict.fromkeys(names))
    unknown = [name for name in known if name not in ACTIVATIONS]
    if unknown or not known:
        raise ValueError(
            f"The 'names' parameter must be one or more of {list(ACTIVATIONS)}. Got "
            f"{names!r} instead."
        )
    return known
