"""Pictures of gradients on their way through the layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from sknnopt._drawing import GRAY, label_epochs, layer_ticks, new_axes
from sknnopt._fitted import network_of
from sknnopt._history_curves import gradient_flow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh
    from matplotlib.colorbar import Colorbar
    from matplotlib.colors import LogNorm


class GradientFlowDisplay:
    """Gradient norms of each layer over the epochs, as a map of colors.

    Where gradients vanish, the colors of the first layers, at the bottom, are darker
    than those of the head by many powers of ten.

    Make one with :meth:`from_estimator` or :meth:`from_history`, which also draw.

    Parameters
    ----------
    epoch : array-like of shape (n_epochs,)
        The epochs, in their order.
    gradient_norm : array-like of shape (n_layers, n_epochs)
        Euclidean norms of the gradient before clipping, layer 0 first, the head last.
        What is not positive and finite has no color and is drawn gray.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where the map is.
    figure_ : matplotlib Figure
        The figure around it.
    mesh_ : matplotlib QuadMesh
        The map.
    colorbar_ : matplotlib Colorbar or None
        Its scale.

    Examples
    --------
    >>> from sknnopt import OptimizedMLPClassifier
    >>> from sknnopt.datasets import load_pima
    >>> from sknnopt.displays import GradientFlowDisplay
    >>> X, y = load_pima(return_X_y=True)
    >>> model = OptimizedMLPClassifier(
    ...     n_members=1, n_layers=4, n_units=8, activation="sigmoid", max_epochs=5,
    ...     random_state=0).fit(X, y)
    >>> display = GradientFlowDisplay.from_estimator(model)
    >>> display.gradient_norm.shape
    (5, 5)
    >>> display.gradient_norm[0, 0] < 0.1 * display.gradient_norm[-1, 0]
    np.True_
    """

    def __init__(self, epoch: Any, gradient_norm: Any) -> None:
        self.epoch = np.asarray(epoch)
        self.gradient_norm = np.asarray(gradient_norm, dtype=float)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        ax: Axes | None = None,
        *,
        colorbar: bool = True,
        vmin: float | None = None,
        vmax: float | None = None,
    ) -> Self:
        """Draw the gradient norms of a fitted estimator, means over its members.

        Parameters
        ----------
        estimator : OptimizedMLPClassifier, OptimizedMLPRegressor or Pipeline
            Fitted; a pipeline must end in one of the two.
        ax : matplotlib Axes or None, default=None
            Where to draw; None: a new figure.
        colorbar : bool, default=True
            Whether the scale of the colors is drawn.
        vmin, vmax : float or None, default=None
            Norms at the ends of the scale, so that pictures can be compared; None:
            the least and the greatest that there is.

        Returns
        -------
        GradientFlowDisplay
            The display, drawn.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If the estimator is none of these, or its ``monitor`` was ``"off"``.
        """
        history = network_of(estimator).history_
        return cls.from_history(history, ax, colorbar=colorbar, vmin=vmin, vmax=vmax)

    @classmethod
    def from_history(
        cls,
        history: Mapping[str, Any],
        ax: Axes | None = None,
        *,
        colorbar: bool = True,
        vmin: float | None = None,
        vmax: float | None = None,
    ) -> Self:
        """Draw the gradient norms of a history, such as ``history_`` of an estimator.

        Parameters
        ----------
        history : DataFrame or mapping of str to array-like
            Columns ``epoch``, ``gradient_norm_0``, ``gradient_norm_1`` and so on, and
            ``member`` where there are several.
        ax : matplotlib Axes or None, default=None
            Where to draw; None: a new figure.
        colorbar : bool, default=True
            Whether the scale of the colors is drawn.
        vmin, vmax : float or None, default=None
            Norms at the ends of the scale, so that pictures can be compared; None:
            the least and the greatest that there is.

        Returns
        -------
        GradientFlowDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the history has no epochs, or no gradient norms of layers.
        """
        display = cls(*gradient_flow(history))
        return display.plot(ax, colorbar=colorbar, vmin=vmin, vmax=vmax)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        colorbar: bool = True,
        vmin: float | None = None,
        vmax: float | None = None,
    ) -> Self:
        """Draw a field for each layer and epoch, in colors of a logarithmic scale.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Where to draw; None: a new figure.
        colorbar : bool, default=True
            Whether the scale of the colors is drawn.
        vmin, vmax : float or None, default=None
            Norms at the ends of the scale, so that pictures can be compared; None:
            the least and the greatest that there is.

        Returns
        -------
        GradientFlowDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        ax = new_axes() if ax is None else ax
        self.ax_, self.figure_ = ax, ax.figure
        n_layers = len(self.gradient_norm)
        usable = np.isfinite(self.gradient_norm) & (self.gradient_norm > 0)
        ax.set_facecolor(GRAY)
        self.mesh_: QuadMesh = ax.pcolormesh(
            _borders(self.epoch),
            np.arange(n_layers + 1) - 0.5,
            np.ma.masked_array(self.gradient_norm, ~usable),
            cmap="viridis",
            norm=_log_scale(self.gradient_norm[usable], vmin, vmax),
            # Vector graphics would show the background between the fields.
            rasterized=True,
        )
        self.colorbar_: Colorbar | None = None
        if colorbar:
            self.colorbar_ = ax.figure.colorbar(
                self.mesh_, ax=ax, label="Gradient norm", pad=0.02
            )
            self.colorbar_.ax.tick_params(labelsize="small")
        label_epochs(ax)
        layer_ticks(ax, n_layers, head=True)
        return self


def _borders(epoch: np.ndarray) -> np.ndarray:
    """Return where the fields of epochs begin and end."""
    middles = (epoch[1:] + epoch[:-1]) / 2
    return np.concatenate([epoch[:1] - 0.5, middles, epoch[-1:] + 0.5])


def _log_scale(norms: np.ndarray, vmin: float | None, vmax: float | None) -> LogNorm:
    """Return the scale of colors, with two ends whatever the norms are."""
    from matplotlib.colors import LogNorm

    low = norms.min(initial=np.inf) if vmin is None else vmin
    high = norms.max(initial=0.0) if vmax is None else vmax
    if not np.isfinite(low) or high == 0:
        low, high = 0.1, 1.0
    return LogNorm(low, high) if low < high else LogNorm(low / 2, high * 2)
