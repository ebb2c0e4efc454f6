"""Pictures of activation functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from sknnopt._activation_curves import activation_curve, check_names
from sknnopt._drawing import GRAY, legend_above, line_styles, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

#: Of derivatives, by the dashes of their functions.
_DASHES = {"-": "--", "--": ":", "-.": (0, (1, 3)), ":": (0, (6, 3))}


class ActivationFunctionDisplay:
    """Activation functions and their derivatives.

    The derivative is what a gradient is multiplied by on its way through a layer: a
    network of many sigmoids, whose derivative is nowhere above 1/4, has next to no
    gradient in its first layers.

    Make one with :meth:`from_names`, which also draws.

    Parameters
    ----------
    x : array-like of shape (n_points,)
        Where the functions are known.
    values : mapping of str to array-like of shape (n_points,)
        Each function there.
    slopes : mapping of str to array-like of shape (n_points,)
        Each function's derivative.
    steepest : mapping of str to tuple of float, default=None
        Where the derivative of a function is greatest, and how great it is there;
        None: no derivative is marked.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where the curves are.
    figure_ : matplotlib Figure
        The figure around it.
    lines_, slope_lines_ : list of matplotlib Line2D
        The functions, and their derivatives.
    marks_ : list of matplotlib Line2D
        Points at the greatest derivatives.

    Examples
    --------
    >>> from sknnopt.displays import ActivationFunctionDisplay
    >>> display = ActivationFunctionDisplay.from_names(["sigmoid", "tanh"])
    >>> display.steepest
    {'sigmoid': (0.0, 0.25), 'tanh': (0.0, 1.0)}
    """

    def __init__(
        self,
        x: Any,
        values: Mapping[str, Any],
        slopes: Mapping[str, Any],
        *,
        steepest: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        self.x = np.asarray(x, dtype=float)
        self.values = {name: np.asarray(value) for name, value in values.items()}
        self.slopes = {name: np.asarray(slope) for name, slope in slopes.items()}
        self.steepest = {} if steepest is None else dict(steepest)

    @classmethod
    def from_names(
        cls,
        names: str | Sequence[str] = ("sigmoid", "tanh", "relu"),
        ax: Axes | None = None,
        *,
        limit: float = 4.0,
    ) -> Self:
        """Compute activation functions and draw them.

        Parameters
        ----------
        names : str or sequence of str, default=("sigmoid", "tanh", "relu")
            Keys of ``sknnopt.activations.ACTIVATIONS``.
        ax : matplotlib Axes or None, default=None
            Where to draw; None: a new figure.
        limit : float, default=4.0
            They are drawn from ``-limit`` to ``limit``.

        Returns
        -------
        ActivationFunctionDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If a name is unknown, or the limit is not positive.
        """
        curves = {name: activation_curve(name, limit) for name in check_names(names)}
        display = cls(
            next(iter(curves.values())).x,
            {name: curve.value for name, curve in curves.items()},
            {name: curve.slope for name, curve in curves.items()},
            steepest={
                name: curve.steepest
                for name, curve in curves.items()
                if curve.steepest is not None
            },
        )
        return display.plot(ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw each function as a line, its derivative dashed in the same color.

        The legend has the maximum of each derivative in brackets, but for one that
        still grows at the end of the picture.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Where to draw; None: a new figure.

        Returns
        -------
        ActivationFunctionDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        ax = new_axes() if ax is None else ax
        self.ax_, self.figure_ = ax, ax.figure
        self.lines_: list[Line2D] = []
        self.slope_lines_: list[Line2D] = []
        self.marks_: list[Line2D] = []
        for zero_line in (ax.axhline, ax.axvline):
            zero_line(0, color=GRAY, linewidth=0.6)
        styles = line_styles(ax, len(self.values))
        for name, style in zip(self.values, styles, strict=True):
            self._draw(name, style)
        ax.plot(
            [],
            [],
            color=GRAY,
            linestyle="--",
            marker="o" if self.steepest else "",
            markersize=4,
            label="derivative (max)" if self.steepest else "derivative",
        )
        ax.set_xlabel("x")
        legend_above(ax)
        return self

    def _draw(self, name: str, style: Mapping[str, Any]) -> None:
        label, color = name, style["color"]
        if name in self.steepest:
            at, slope = self.steepest[name]
            label = f"{name} ({slope:.3g})"
            self.marks_ += self.ax_.plot([at], [slope], "o", color=color, markersize=4)
        self.lines_ += self.ax_.plot(self.x, self.values[name], label=label, **style)
        self.slope_lines_ += self.ax_.plot(
            self.x,
            self.slopes[name],
            color=color,
            linestyle=_DASHES[style["linestyle"]],
        )
