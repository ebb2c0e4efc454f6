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


def hide_outliers(
    ax: Any, values: Any, extents: Any = None, *, below: bool = True, along: str = "y"
) -> None:
    """Leave what is far from all else out of view, and say how many are.

    Parameters
    ----------
    ax : Axes
        What shows the values.
    values : array-like of shape (n_items,)
        One value for each item that is shown.
    extents : array-like of shape (n_items, 2) or None, default=None
        Least and greatest that an item shows; None: its value.
    below : bool, default=True
        Whether outliers are looked for below the others, or above.
    along : {"x", "y"}, default="y"
        The axis of the values.
    """
    sign = 1 if below else -1
    values = sign * np.asarray(values, dtype=float)
    extents = np.stack([sign * values] * 2, axis=1) if extents is None else extents
    finite = np.isfinite(values)
    if not finite.any():
        return
    low, high = np.quantile(values[finite], [0.25, 0.75])
    shown = values >= low - 3 * (high - low)
    n_hidden = int(np.sum(finite & ~shown))
    if high == low or n_hidden == 0:
        return
    ends = np.asarray(extents)[shown]
    margin = 0.05 * np.ptp(ends)
    ax.set(**{f"{along}lim": (ends.min() - margin, ends.max() + margin)})
    ax.annotate(
        f"{n_hidden} {'below' if below else 'above'}",
        (0, 0 if below else 1),
        xytext=(-4, -18 if below else 4),
        xycoords="axes fraction",
        textcoords="offset points",
        ha="right",
        va="top" if below else "bottom",
        fontsize="small",
        color=GRAY,
    )


def legend_above(ax: Any) -> None:
    """Put a legend in one line above axes, where it covers nothing.

    Parameters
    ----------
    ax : Axes
        With labeled artists.
    """
    ax.legend(
        loc="lower right",
        bbox_to_anchor=(1, 1),
        borderaxespad=0.2,
        columnspacing=1,
        fontsize="small",
        frameon=False,
        handlelength=1.2,
        handletextpad=0.4,
        ncols=4,
    )


def spread_labels(figure: Any, rows: Sequence[Sequence[Any]]) -> None:
    """Move labels that would overlap in their row to further lines, or hide them.

    Parameters
    ----------
    figure : Figure
        What they are in.
    rows : sequence of sequence of matplotlib Annotation
        Labels from left to right, each below a point.
    """
    figure.draw_without_rendering()
    for labels in rows:
        ends = [-np.inf] * 3
        # The ends of an axis say most: they keep their places in the first line.
        limit = labels[-1].get_window_extent().x0 if labels else np.inf
        for label in labels:
            box = label.get_window_extent()
            gap = 0.4 * box.height
            lines = [i for i, end in enumerate(ends) if box.x0 > end + gap]
            if label is not labels[-1] and box.x1 + gap > limit:
                lines = [line for line in lines if line > 0]
            if not lines:
                label.set_visible(False)
                continue
            x, y = label.xyann
            label.xyann = (x, y - 1.3 * lines[0] * label.get_fontsize())
            ends[lines[0]] = box.x1


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
