"""Summaries of runs that come in groups, with their intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.stats import binomtest

N_RESAMPLES = 10_000
LEVEL = 0.95


def order_statistic(values: np.ndarray, position: float, *, up: bool) -> float:
    """Return the order statistic next to a quantile's position.

    Unlike an interpolated quantile it is defined where values are infinite.

    Parameters
    ----------
    values : ndarray of shape (n,)
        Numbers; infinity stands for "never".
    position : float
        Probability of the quantile, in [0, 1].
    up : bool
        Whether a position between two values takes the upper one.

    Returns
    -------
    float
        One of ``values``.
    """
    rank = position * (len(values) - 1)
    index = int(np.ceil(rank) if up else np.floor(rank))
    return float(np.sort(values)[index])


def censored_median(values: np.ndarray, axis: int) -> np.ndarray:
    """Return the smallest value that at least half of the runs do not exceed.

    Where no run is censored and their number is even, this is the lower one of the
    two middle values.

    Parameters
    ----------
    values : ndarray
        Numbers of epochs; infinity stands for "not within the epochs trained".
    axis : int
        Axis of the runs.

    Returns
    -------
    ndarray
        Infinite where fewer than half of the runs are finite.

    References
    ----------
    Kaplan and Meier 1958, Nonparametric estimation from incomplete observations,
    section 2; all runs are censored at one epoch here.
    """
    middle = (values.shape[axis] + 1) // 2 - 1
    median: np.ndarray = np.sort(values, axis=axis).take(middle, axis=axis)
    return median


def estimate(
    values: np.ndarray,
    statistic: Callable[..., np.ndarray],
    rng: np.random.Generator,
) -> dict[str, float]:
    """Return a statistic of all runs with its 95 % interval.

    The interval is a percentile bootstrap that draws whole clusters with replacement:
    runs of one cluster share their data and are no independent evidence.

    Parameters
    ----------
    values : ndarray of shape (clusters, runs)
        One number for each run; infinity stands for "never".
    statistic : callable
        Such as ``np.median``; called with ``axis``.
    rng : numpy.random.Generator
        Draws the clusters.

    Returns
    -------
    dict
        ``value``, ``low`` and ``high``.

    References
    ----------
    Davison and Hinkley 1997, Bootstrap methods and their application, section 3.8.
    """
    clusters = len(values)
    drawn = rng.integers(clusters, size=(N_RESAMPLES, clusters))
    resampled = statistic(values[drawn].reshape(N_RESAMPLES, -1), axis=1)
    tail = (1 - LEVEL) / 2
    return {
        "value": float(statistic(values.ravel(), axis=0)),
        "low": order_statistic(resampled, tail, up=False),
        "high": order_statistic(resampled, 1 - tail, up=True),
    }


def geometric_mean(
    groups: Sequence[np.ndarray], rng: np.random.Generator
) -> dict[str, float]:
    """Return the geometric mean of the groups' medians with its 95 % interval.

    The percentile bootstrap draws within each group: the groups are the whole of what
    the mean speaks about, their values are a sample.

    Parameters
    ----------
    groups : sequence of ndarray of shape (n,)
        Positive numbers, such as the paired ratios of each shape.
    rng : numpy.random.Generator
        Draws the values.

    Returns
    -------
    dict
        ``value``, ``low`` and ``high``.
    """
    value = np.mean([np.log(np.median(values)) for values in groups])
    resampled = np.zeros(N_RESAMPLES)
    for values in groups:
        drawn = rng.integers(len(values), size=(N_RESAMPLES, len(values)))
        resampled += np.log(np.median(values[drawn], axis=1)) / len(groups)
    tail = (1 - LEVEL) / 2
    return {
        "value": float(np.exp(value)),
        "low": float(np.exp(order_statistic(resampled, tail, up=False))),
        "high": float(np.exp(order_statistic(resampled, 1 - tail, up=True))),
    }


def wilson(count: int, total: int) -> dict[str, float]:
    """Return a share with its 95 % interval.

    Parameters
    ----------
    count, total : int
        How many of how many.

    Returns
    -------
    dict
        ``value``, ``low`` and ``high``; NaN, 0 and 1 of none.

    References
    ----------
    Wilson 1927, Probable inference, the law of succession, and statistical inference,
    Journal of the American Statistical Association 22.
    """
    if not total:
        return {"value": float("nan"), "low": 0.0, "high": 1.0}
    interval = binomtest(count, total).proportion_ci(LEVEL, "wilson")
    return {
        "value": count / total,
        "low": float(interval.low),
        "high": float(interval.high),
    }
