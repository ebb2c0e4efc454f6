"""What all pictures share: colors, new axes, short names."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np

from sknnopt._extras import not_installed

# Of Okabe and Ito, whose colors color-blind readers tell apart; each also stands out
# from white and from black.
BLUE = "#0072B2"
SKY = "#56B4E9"
VERMILION = "#D55E00"
GREEN = "#009E73"
PURPLE = "#CC79A7"
ORANGE = "#E69F00"
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
        raise not_installed("Drawing needs", "matplotlib", "plot") from error
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
    for patch in (ax.patch, ax.figure.patch):
        if patch.get_visible() and _opacity(patch.get_facecolor()) >= 0.5:
            return BLUE if _luminance(patch.get_facecolor()) > 0.5 else SKY
    # Nothing is behind but the page, which the labels have to stand out from too.
    return SKY if _luminance(ax.xaxis.label.get_color()) > 0.5 else BLUE


def _opacity(color: Any) -> float:
    """Return how opaque a color is, from 0 to 1."""
    from matplotlib.colors import to_rgba

    return float(to_rgba(color)[3])


def _luminance(color: Any) -> float:
    """Return how bright a color looks, from 0 to 1."""
    from matplotlib.colors import to_rgb

    return float(np.dot(to_rgb(color), [0.299, 0.587, 0.114]))


def line_styles(ax: Any, n_lines: int) -> list[dict[str, Any]]:
    """Return looks of lines that are told apart, by readers without color sense too.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    n_lines : int
        How many.

    Returns
    -------
    list of dict
        Keywords of ``plot``: colors first, then other dashes in the same colors.
    """
    colors = (blue_on(ax), VERMILION, GREEN, PURPLE, ORANGE)
    dashes = ("-", "--", "-.", ":")
    styles = itertools.cycle(itertools.product(dashes, colors))
    return [
        {"color": color, "linestyle": dash}
        for dash, color in itertools.islice(styles, n_lines)
    ]


def label_epochs(ax: Any) -> None:
    """Let the x-axis show epochs, in whole numbers.

    Parameters
    ----------
    ax : Axes
        Axes that show epochs along x.
    """
    ax.set_xlabel("Epoch")
    ax.locator_params(axis="x", integer=True)


def hide_high_curves(ax: Any, losses: Sequence[Any]) -> None:
    """Leave curves that end far above the others out of view.

    Parameters
    ----------
    ax : Axes
        What shows the curves.
    losses : sequence of array-like
        The values of each.
    """
    ranges = np.array([[np.min(loss), np.max(loss)] for loss in losses])
    hide_outliers(ax, [loss[-1] for loss in losses], ranges, below=False)


def show_range(ax: Any, values: Any, *, along: str = "y") -> None:
    """Let the view end a little beyond values.

    Parameters
    ----------
    ax : Axes
        What shows the values.
    values : array-like
        What has to be in view; what is not finite is left out.
    along : {"x", "y"}, default="y"
        The axis of the values.
    """
    ends = np.asarray(values, dtype=float)
    ends = ends[np.isfinite(ends)]
    margin = 0.05 * np.ptp(ends) if len(ends) > 0 else 0.0
    if margin > 0:
        ax.set(**{f"{along}lim": (ends.min() - margin, ends.max() + margin)})


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
    show_range(ax, np.asarray(extents)[shown], along=along)
    # Below the ticks; inside on the right, where losses that fall leave room.
    place, offset = ((0, 0), (-4, -18)) if below else ((1, 1), (-4, -3))
    ax.annotate(
        f"{n_hidden} {'below' if below else 'above'}",
        place,
        xytext=offset,
        xycoords="axes fraction",
        textcoords="offset points",
        ha="right",
        va="top",
        fontsize="small",
        color=GRAY,
    )


def legend_above(ax: Any) -> None:
    """Put a legend above axes, where it covers nothing, in as few lines as fit.

    Parameters
    ----------
    ax : Axes
        With labeled artists.
    """
    # Beside the axes there is the room of their ticks and labels.
    width = 1.2 * ax.bbox.width
    for n_columns in (4, 3, 2, 1):
        legend = ax.legend(
            loc="lower right",
            bbox_to_anchor=(1, 1),
            borderaxespad=0.2,
            columnspacing=1,
            fontsize="small",
            frameon=False,
            handlelength=1.2,
            handletextpad=0.4,
            labelspacing=0.2,
            ncols=n_columns,
        )
        excess = legend.get_window_extent().width / width
        if excess <= 1:
            break
    else:
        for text in legend.get_texts():
            longest = max(12, int(0.9 * len(text.get_text()) / excess))
            text.set_text(textwrap.fill(text.get_text(), longest))
    # A title, whenever it is set, stands above axes and the axes in them.
    strip = ax.inset_axes((0, 1, 1, 0))
    strip.set_visible(False)
    strip.set_axes_locator(_LegendPlace(ax))


class _LegendPlace:
    """Tells where the legend of axes is, in the coordinates of their figure."""

    def __init__(self, ax: Any) -> None:
        self._ax = ax

    def __call__(self, strip: Any, renderer: Any) -> Any:
        legend = self._ax.get_legend()
        box = self._ax.bbox if legend is None else legend.get_window_extent(renderer)
        return box.transformed(self._ax.figure.transSubfigure.inverted())


def layer_ticks(ax: Any, n_layers: int, *, head: bool) -> list[int]:
    """Name layers along the y-axis, as many as there is room for.

    Parameters
    ----------
    ax : Axes
        That shows layer 0 at 0, layer 1 at 1 and so on.
    n_layers : int
        How many.
    head : bool
        Whether the last of them is the head.

    Returns
    -------
    list of int
        The layers that are named, the last one among them.
    """
    from matplotlib.font_manager import FontProperties

    size = FontProperties(size="small").get_size_in_points()
    # A layout engine, which comes later, leaves small axes less than they have now.
    room = 0.85 * ax.bbox.height * 72 / ax.figure.dpi
    step = max(1, math.ceil(1.2 * size * n_layers / room))
    layers = list(range(n_layers - 1, -1, -step))[::-1]
    names = [str(layer) for layer in layers]
    if head and names:
        names[-1] = "head"
    ax.set_yticks(layers, names, fontsize="small")
    ax.set_ylabel("Layer")
    return layers


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
