"""What all pictures share: colors, new axes, short names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

# Of Okabe and Ito, whose colors color-blind readers tell apart; each also stands out
# from white and from black.
BLUE = "#0072B2"
SKY = "#56B4E9"
VERMILION = "#D55E00"
GRAY = "0.5"


def new_axes(height: float | None = None) -> Any:
    """Return the axes of a new figure.

    Parameters
    ----------
    height : float or None, default=None
        Of the figure, in inches; None: matplotlib's own.

    Returns
    -------
    Axes
        The axes.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(
            "Drawing needs matplotlib: pip install sknnopt[plot]"
        ) from error
    figure, ax = pyplot.subplots(layout="constrained")
    if height is not None:
        figure.set_figheight(height)
    return ax


def blue_on(ax: Any) -> str:
    """Return the blue that stands out from the background of axes.

    Parameters
    ----------
    ax : Axes
        Where to draw.

    Returns
    -------
    str
        A color.
    """
    from matplotlib.colors import to_rgb

    luminance = float(np.dot(to_rgb(ax.get_facecolor()), [0.299, 0.587, 0.114]))
    return BLUE if luminance > 0.5 else SKY


def hide_outliers(ax: Any, values: np.ndarray, *, below: bool) -> None:
    """Leave values far from all others out of view, and say how many.

    Parameters
    ----------
    ax : Axes
        What shows the values along its y-axis.
    values : ndarray
        What is shown.
    below : bool
        Whether outliers are looked for below the others, or above.
    """
    values = values[np.isfinite(values)] * (1 if below else -1)
    if len(values) == 0:
        return
    low, high = np.quantile(values, [0.25, 0.75])
    shown = values[values >= low - 3 * (high - low)]
    if high == low or len(shown) == len(values):
        return
    ends = np.array([shown.min(), values.max()]) * (1 if below else -1)
    margin = 0.05 * np.ptp(ends)
    ax.set_ylim(ends.min() - margin, ends.max() + margin)
    where = "below" if below else "above"
    ax.annotate(
        f"{len(values) - len(shown)} {where}",
        (0.02, 0.02 if below else 0.98),
        xycoords="axes fraction",
        va="bottom" if below else "top",
        fontsize="small",
        color=GRAY,
    )


def spread_labels(figure: Any, rows: Sequence[Sequence[Any]]) -> None:
    """Move labels that would overlap in their row to a second line, or hide them.

    Parameters
    ----------
    figure : Figure
        What they are in.
    rows : sequence of sequence of matplotlib Annotation
        Labels from left to right, each below a point.
    """
    figure.draw_without_rendering()
    for labels in rows:
        ends = [-np.inf, -np.inf]
        # The ends of an axis say most: they keep their places in the first line.
        limit = labels[-1].get_window_extent().x0 if labels else np.inf
        for label in labels:
            box = label.get_window_extent()
            gap = 0.4 * box.height
            last = label is labels[-1]
            fits = [box.x0 > end + gap for end in ends]
            if fits[0] and (last or box.x1 + gap < limit):
                line = 0
            elif fits[1]:
                line = 1
                label.xyann = (0, label.xyann[1] - label.get_fontsize())
            else:
                label.set_visible(False)
                continue
            ends[line] = box.x1


def tick_numbers(ax: Any, values: np.ndarray) -> None:
    """Give the x-axis whole numbers for integers, and few but enough on a log scale.

    Parameters
    ----------
    ax : Axes
        Axes that show the values along x, in their scale.
    values : ndarray
        The values.
    """
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    if ax.get_xscale() == "linear":
        ax.locator_params(axis="x", nbins=5, integer=values.dtype.kind == "i")
    elif values.max() < 100 * values.min():
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        ax.xaxis.set_minor_locator(NullLocator())


def short_names(names: Sequence[str]) -> list[str]:
    """Return names without the steps of a pipeline that all of them begin with.

    Parameters
    ----------
    names : sequence of str
        Names of parameters.

    Returns
    -------
    list of str
        ``["n_units", "dropout"]`` for ``["mlp__n_units", "mlp__dropout"]``.
    """
    parts = [name.split("__") for name in names]
    n_shared = 0
    # A name keeps its last part, and "n_units__3" what is before its index.
    longest = min((len(p) - 1 - p[-1].isdigit() for p in parts), default=0)
    while n_shared < longest and len({p[n_shared] for p in parts}) == 1:
        n_shared += 1
    return ["__".join(part[n_shared:]) for part in parts]
