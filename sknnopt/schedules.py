"""Learning-rate schedules: factors on the base learning rate.

Every entry of ``SCHEDULES`` is called as ``make(step, total, decay)``:

- ``step``: float64 array of updates, counted from 0;
- ``total``: number of updates in the run, at least 1;
- ``decay``: the factor of the schedules that have one, in (0, 1].

``total`` and ``decay`` are numbers, or arrays that broadcast to ``step``: columns where
``step`` has a row per member. It returns a float64 array of factors, shaped as
``step``, 1 at the highest. Steps beyond the run keep the final value.

Examples
--------
>>> import numpy as np
>>> from sknnopt.schedules import SCHEDULES
>>> SCHEDULES["step"].make(np.arange(4.0), 4, 0.1).round(3)
array([1.  , 1.  , 0.1 , 0.01])
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sknnopt._registry import Option

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Count = IntArray | int
Factor = FloatArray | float

STEP_MILESTONES = (0.5, 0.75)
ONE_CYCLE_WARMUP = 0.3
ONE_CYCLE_START = 1.0 / 25.0
ONE_CYCLE_END = ONE_CYCLE_START / 1e4


@dataclass(frozen=True, kw_only=True)
class ScheduleOption(Option):
    """A learning-rate schedule.

    Parameters
    ----------
    make : callable
        Called as ``make(step, total, decay)``; returns factors shaped as ``step``.
    summary : str
        One line for documentation tables.
    reference : str
        The paper or book that defines the option, with the equation or section.
    presets : frozenset of str, default=frozenset()
        Search spaces that include the option.
    on_plateau : bool, default=False
        Whether `reduce_on_plateau` lowers the learning rate after each epoch.
    """

    on_plateau: bool = False


def warmup(step: FloatArray, n_warmup: Factor) -> FloatArray:
    """Linear warm-up, min(1, (t + 1) / n).

    Parameters
    ----------
    step : ndarray of float64
        Updates, counted from 0.
    n_warmup : float or ndarray that broadcasts to step
        Length of the warm-up in updates; 0 means none.

    Returns
    -------
    factor : ndarray of float64
        Factors on the learning rate, shaped as ``step``.

    References
    ----------
    Goyal et al. 2017, Accurate, large minibatch SGD, section 2.2.

    Examples
    --------
    >>> import numpy as np
    >>> from sknnopt.schedules import warmup
    >>> warmup(np.arange(5.0), 4)
    array([0.25, 0.5 , 0.75, 1.  , 1.  ])
    """
    # A length below 1 ends before the first update, which is what 1 says too.
    factor: FloatArray = np.minimum(1.0, (step + 1.0) / np.maximum(n_warmup, 1.0))
    return factor


def reduce_on_plateau(
    loss: FloatArray,
    best: FloatArray,
    stale: IntArray,
    factor: FloatArray,
    *,
    patience: Count,
    decay: Factor,
    tol: Factor,
) -> tuple[FloatArray, IntArray, FloatArray]:
    """Lower the factor of every member whose loss has stopped improving.

    An epoch improves where its loss is below ``best - tol``; an undefined loss does
    not. After more than ``patience`` epochs without improvement the factor is
    multiplied by ``decay`` and the count starts again.

    Parameters
    ----------
    loss : ndarray of shape (M,)
        Loss of every member in this epoch.
    best : ndarray of shape (M,)
        Lowest loss so far, infinity before the first epoch.
    stale : ndarray of int64 of shape (M,)
        Epochs since the last improvement or reduction.
    factor : ndarray of shape (M,)
        Factors on the learning rate, 1 before the first epoch.
    patience : int or ndarray of shape (M,)
        Epochs without improvement that are tolerated.
    decay : float or ndarray of shape (M,)
        What a factor is multiplied by.
    tol : float or ndarray of shape (M,)
        Least improvement that counts.

    Returns
    -------
    best : ndarray of shape (M,)
        The new lowest loss.
    stale : ndarray of int64 of shape (M,)
        The new count of epochs.
    factor : ndarray of shape (M,)
        The new factors.

    References
    ----------
    He et al. 2016, Deep residual learning for image recognition, section 3.4.

    Examples
    --------
    >>> import numpy as np
    >>> from sknnopt.schedules import reduce_on_plateau
    >>> state = np.array([0.5, 0.5]), np.array([1, 1]), np.ones(2)
    >>> best, stale, factor = reduce_on_plateau(
    ...     np.array([0.4, 0.6]), *state, patience=1, decay=0.1, tol=1e-4)
    >>> best, stale, factor
    (array([0.4, 0.5]), array([0, 0]), array([1. , 0.1]))
    """
    improved = loss < best - tol
    waited = np.where(improved, 0, stale + 1)
    reduced = waited > patience
    return (
        np.where(improved, loss, best),
        np.where(reduced, 0, waited),
        np.where(reduced, factor * decay, factor),
    )


def _half_cosine(start: float, end: float, progress: FloatArray) -> FloatArray:
    """Go from start to end along half a cosine as progress goes from 0 to 1."""
    return end + 0.5 * (start - end) * (1.0 + np.cos(np.pi * progress))


def _constant(step: FloatArray, total: Count, decay: Factor) -> FloatArray:
    """1 throughout."""
    return np.ones_like(step)


def _exponential(step: FloatArray, total: Count, decay: Factor) -> FloatArray:
    """decay^(t / T)."""
    return np.power(decay, np.minimum(step / total, 1.0))


def _step(step: FloatArray, total: Count, decay: Factor) -> FloatArray:
    """decay^k after k milestones."""
    n_passed = np.searchsorted(STEP_MILESTONES, step / total, side="right")
    return np.power(decay, n_passed.astype(np.float64))


def _cosine(step: FloatArray, total: Count, decay: Factor) -> FloatArray:
    """(1 + cos(pi t / T)) / 2."""
    return _half_cosine(1.0, 0.0, np.minimum(step / total, 1.0))


def _one_cycle(step: FloatArray, total: Count, decay: Factor) -> FloatArray:
    """Half a cosine up to 1, then half a cosine down, the last update at the end."""
    peak = ONE_CYCLE_WARMUP * total - 1.0
    descent = np.minimum((step - peak) / (total - 1.0 - peak), 1.0)
    factor = np.where(
        step <= peak,
        _half_cosine(ONE_CYCLE_START, 1.0, step / peak),
        _half_cosine(1.0, ONE_CYCLE_END, descent),
    )
    # A cycle of one update has no room for an end.
    return np.where(np.asarray(total) > 1, factor, 1.0)


SCHEDULES: dict[str, ScheduleOption] = {
    "constant": ScheduleOption(
        make=_constant,
        summary="The same learning rate throughout.",
        reference="Bengio 2012, Practical recommendations for gradient-based training "
        "of deep architectures, section 3.1",
        presets=frozenset({"small", "standard"}),
    ),
    "exponential": ScheduleOption(
        make=_exponential,
        summary="Geometric decay, from 1 to the decay factor over the run.",
        reference="Li & Arora 2020, An exponential learning rate schedule for deep "
        "learning",
    ),
    "step": ScheduleOption(
        make=_step,
        summary="Times the decay factor after 1/2 and again after 3/4 of the run.",
        reference="He et al. 2016, Deep residual learning for image recognition, "
        "section 4.2",
    ),
    "cosine": ScheduleOption(
        make=_cosine,
        summary="Half a cosine from 1 to 0 over the run.",
        reference="Loshchilov & Hutter 2017, SGDR: stochastic gradient descent with "
        "warm restarts, eq. 5",
        presets=frozenset({"standard"}),
    ),
    "one_cycle": ScheduleOption(
        make=_one_cycle,
        summary="Up from 1/25 in the first 30 % of the run, then down to 1/250000.",
        reference="Smith & Topin 2019, Super-convergence: very fast training of neural "
        "networks using large learning rates",
        presets=frozenset({"standard"}),
    ),
    "reduce_on_plateau": ScheduleOption(
        make=_constant,
        summary="Times the decay factor whenever the monitored loss stops improving.",
        reference="He et al. 2016, Deep residual learning for image recognition, "
        "section 3.4",
        on_plateau=True,
    ),
}
