"""Pictures of the numbers in a network's layers: activations and weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from sknnopt._distributions import (
    Histogram,
    activation_histograms,
    weight_histograms,
)
from sknnopt._drawing import GRAY, blue_on, layer_ticks, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.patches import StepPatch
    from matplotlib.text import Text

#: Height of the highest bin, where the distance of two layers is one.
_HEIGHT = 0.8


class _RidgeDisplay:
    """Histograms of layers, one above the other, on one x-axis."""

    _x_name: str
    _has_head: bool

    def __init__(self, counts: Any, edges: Any, *, zero_share: Any = None) -> None:
        self.counts = np.asarray(counts)
        self.edges = np.asarray(edges, dtype=float)
        none = np.zeros(len(self.counts))
        self.zero_share = none if zero_share is None else np.asarray(zero_share)

    @classmethod
    def _of(cls, histograms: Sequence[Histogram]) -> Self:
        return cls(
            [histogram.counts for histogram in histograms],
            [histogram.edges for histogram in histograms],
            zero_share=[histogram.zero_share for histogram in histograms],
        )

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw the histograms, layer 0 at the bottom.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Where to draw; None: a new figure.

        Returns
        -------
        ActivationHistogramDisplay or WeightDistributionDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        ax = new_axes() if ax is None else ax
        self.ax_, self.figure_ = ax, ax.figure
        n_layers = len(self.counts)
        self.steps_ = [self._draw_layer(layer) for layer in range(n_layers)]
        named = layer_ticks(ax, n_layers, head=self._has_head)
        room = named[-1] - named[-2] if len(named) > 1 else 1
        self.texts_ = [self._write_zeros(layer, layer + 0.4 * room) for layer in named]
        for layer in named:
            ax.axhline(layer, color=GRAY, linewidth=0.6, zorder=1)
        ax.set_ylim(-0.15, n_layers - 1 + 0.95 * room)
        ax.set_xlabel(self._x_name)
        ax.locator_params(axis="x", nbins=6)
        return self

    def _draw_layer(self, layer: int) -> StepPatch:
        from matplotlib.colors import to_rgba

        color = blue_on(self.ax_)
        counts = self.counts[layer]
        return self.ax_.stairs(
            layer + _HEIGHT * counts / max(counts.max(initial=0), 1),
            self.edges[layer],
            baseline=layer,
            fill=True,
            facecolor=to_rgba(color, 0.4),
            # A layer whose numbers are much alike is a line, and still to be seen.
            edgecolor=color,
            linewidth=0.8,
            zorder=2,
        )

    def _write_zeros(self, layer: int, height: float) -> Text:
        share = 100 * self.zero_share[layer]
        text = "< 1" if share < 0.5 else f"{share:.0f}"
        return self.ax_.annotate(
            f"{text} % zero" if share > 0 else "",
            (1, height),
            xytext=(-3, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize="x-small",
        )


class ActivationHistogramDisplay(_RidgeDisplay):
    """Histograms of each hidden layer's activations, one above the other.

    Each is as high as its highest bin. Exact zeros, such as those of a relu unit at
    rest, are left out and counted beside.

    Make one with :meth:`from_estimator`, which also draws.

    Parameters
    ----------
    counts : array-like of shape (n_layers, n_bins)
        How many activations each bin has, layer 0 first.
    edges : array-like of shape (n_layers, n_bins + 1)
        Ends of each layer's bins.
    zero_share : array-like of shape (n_layers,), default=None
        Share of each layer's activations that are exactly zero; None: none.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where the histograms are.
    figure_ : matplotlib Figure
        The figure around it.
    steps_ : list of matplotlib StepPatch
        A histogram for each layer.
    texts_ : list of matplotlib Text
        The shares of zeros of the layers that the y-axis names.

    Examples
    --------
    >>> from sknnopt import OptimizedMLPClassifier
    >>> from sknnopt.datasets import load_pima
    >>> from sknnopt.displays import ActivationHistogramDisplay
    >>> X, y = load_pima(return_X_y=True)
    >>> model = OptimizedMLPClassifier(
    ...     n_members=1, n_layers=3, n_units=8, activation="tanh", max_epochs=5,
    ...     random_state=0).fit(X, y)
    >>> display = ActivationHistogramDisplay.from_estimator(model, X)
    >>> display.counts.sum(axis=1) == 8 * len(X)
    array([ True,  True,  True])
    """

    _x_name = "Activation"
    _has_head = False

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, ax: Axes | None = None, *, bins: int = 40
    ) -> Self:
        """Compute the activations of a fitted estimator for rows, and draw them.

        Parameters
        ----------
        estimator : OptimizedMLPClassifier, OptimizedMLPRegressor or Pipeline
            Fitted; a pipeline must end in one of the two.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows, as the estimator predicts for them.
        ax : matplotlib Axes or None, default=None
            Where to draw; None: a new figure.
        bins : int, default=40
            Bins of each layer, from its least activation to its greatest.

        Returns
        -------
        ActivationHistogramDisplay
            The display, drawn.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If the estimator is none of these, or has no hidden layer.
        """
        return cls._of(activation_histograms(estimator, X, bins=bins)).plot(ax)


class WeightDistributionDisplay(_RidgeDisplay):
    """Histograms of each layer's weights, one above the other.

    Each is as high as its highest bin; weights that are exactly zero are left out and
    counted beside. Biases do not count.

    Make one with :meth:`from_estimator`, which also draws.

    Parameters
    ----------
    counts : array-like of shape (n_layers, n_bins)
        How many weights each bin has, layer 0 first, the head last.
    edges : array-like of shape (n_layers, n_bins + 1)
        Ends of each layer's bins.
    zero_share : array-like of shape (n_layers,), default=None
        Share of each layer's weights that are exactly zero; None: none.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where the histograms are.
    figure_ : matplotlib Figure
        The figure around it.
    steps_ : list of matplotlib StepPatch
        A histogram for each layer.
    texts_ : list of matplotlib Text
        The shares of zeros of the layers that the y-axis names.

    Examples
    --------
    >>> from sknnopt import OptimizedMLPClassifier
    >>> from sknnopt.datasets import load_pima
    >>> from sknnopt.displays import WeightDistributionDisplay
    >>> X, y = load_pima(return_X_y=True)
    >>> model = OptimizedMLPClassifier(
    ...     n_members=1, n_layers=2, n_units=8, n_bins=None, max_epochs=5,
    ...     random_state=0).fit(X, y)
    >>> display = WeightDistributionDisplay.from_estimator(model)
    >>> display.counts.sum(axis=1).tolist()
    [64, 64, 8]
    """

    _x_name = "Weight"
    _has_head = True

    @classmethod
    def from_estimator(
        cls, estimator: Any, ax: Axes | None = None, *, bins: int = 40
    ) -> Self:
        """Draw the weights of a fitted estimator, of all its members together.

        Parameters
        ----------
        estimator : OptimizedMLPClassifier, OptimizedMLPRegressor or Pipeline
            Fitted; a pipeline must end in one of the two.
        ax : matplotlib Axes or None, default=None
            Where to draw; None: a new figure.
        bins : int, default=40
            Bins of each layer, from its least weight to its greatest.

        Returns
        -------
        WeightDistributionDisplay
            The display, drawn.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If the estimator is none of these.
        """
        return cls._of(weight_histograms(estimator, bins=bins)).plot(ax)
