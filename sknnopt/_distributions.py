"""Histograms of the numbers in each layer: its weights, or its activations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np

from sknnopt._fitted import network_and_rows, network_of


@dataclass(frozen=True)
class Histogram:
    """How the numbers of one layer are distributed.

    Parameters
    ----------
    counts : ndarray of int of shape (bins,)
        How many of the numbers other than zero are in each bin.
    edges : ndarray of shape (bins + 1,)
        Ends of the bins, from the least to the greatest number; all zero where
        there is no number but zeros.
    zero_share : float
        Share of exact zeros, such as a relu's at rest, which would hide all others.
    """

    counts: np.ndarray
    edges: np.ndarray
    zero_share: float


def weight_histograms(estimator: Any, *, bins: int = 40) -> list[Histogram]:
    """Return the histogram of each layer's weights, biases left out.

    Parameters
    ----------
    estimator : OptimizedMLPClassifier, OptimizedMLPRegressor or Pipeline
        Fitted; a pipeline must end in one of the two.
    bins : int, default=40
        Bins of each layer.

    Returns
    -------
    list of Histogram
        One for each layer, over all members, the head last.
    """
    weights = network_of(estimator).coefs_
    return _histograms(lambda: [weights], len(weights), bins)


def activation_histograms(estimator: Any, X: Any, *, bins: int = 40) -> list[Histogram]:
    """Return the histogram of each hidden layer's activations, in bounded memory.

    Parameters
    ----------
    estimator : OptimizedMLPClassifier, OptimizedMLPRegressor or Pipeline
        Fitted; a pipeline must end in one of the two.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Rows, which pass through the networks twice: for the range, and to count.
    bins : int, default=40
        Bins of each layer.

    Returns
    -------
    list of Histogram
        One for each hidden layer, over all rows, units and members.
    """
    network, rows = network_and_rows(estimator, X)
    responder = network._responder()
    with network._threads_for(rows):
        return _histograms(
            lambda: responder.hidden_outputs(rows),
            len(network.hidden_layer_sizes_),
            bins,
        )


def _histograms(
    read: Callable[[], Iterable[Sequence[np.ndarray]]], n_layers: int, bins: int
) -> list[Histogram]:
    """Return the histogram of each layer from what ``read`` yields, twice alike."""
    if not isinstance(bins, Integral) or bins < 1:
        raise ValueError(
            f"The 'bins' parameter must be an int of at least 1. Got {bins!r} instead."
        )
    ranges = [(np.inf, -np.inf)] * n_layers
    counts = np.zeros((n_layers, bins), dtype=int)
    n_zeros, n_numbers = np.zeros((2, n_layers))
    for chunk in read():
        for layer, numbers in enumerate(chunk):
            shown = _shown(numbers)
            low, high = ranges[layer]
            ranges[layer] = shown.min(initial=low), shown.max(initial=high)
            n_zeros[layer] += numbers.size - np.count_nonzero(numbers)
            n_numbers[layer] += numbers.size
    ranges = [r if r[0] <= r[1] else (0.0, 0.0) for r in ranges]
    for chunk in read():
        for layer, numbers in enumerate(chunk):
            counts[layer] += np.histogram(_shown(numbers), bins, ranges[layer])[0]
    return [
        Histogram(*parts)
        for parts in zip(
            counts,
            [_edges(ends, bins) for ends in ranges],
            n_zeros / n_numbers,
            strict=True,
        )
    ]


def _shown(numbers: np.ndarray) -> np.ndarray:
    """Return the numbers but for zeros and what is not finite, in float64."""
    shown = numbers[(numbers != 0) & np.isfinite(numbers)]
    return shown.astype(np.float64)


def _edges(ends: tuple[float, float], bins: int) -> np.ndarray:
    if ends == (0.0, 0.0):
        return np.zeros(bins + 1)
    return np.histogram_bin_edges([], bins, ends)
