"""Pictures of quality. Nothing is fitted or computed here but places on paper."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks._ratio_figures import new_figure, save
from benchmarks.quality._catalogue import CLASSIFICATION, REGRESSION
from benchmarks.quality._comparing import critical_difference, ranks, score_matrix
from benchmarks.quality._methods import METHODS
from benchmarks.quality._report import WORDS

#: By family, of Okabe and Ito, which color-blind readers can tell apart; with words.
_COLORS = {
    "ours": "#d55e00",
    "network": "#0072b2",
    "boosting": "#009e73",
    "linear": "#555555",
}
_FAMILIES = {
    "ours": "ours",
    "network": "other networks",
    "boosting": "boosted trees",
    "linear": "linear models",
}
#: Scores whose ranks are drawn.
_RANKED = ("accuracy", "log_loss", "rmse", "mae")
#: Height of a line of text, as a share of a panel's.
_LINE = 0.055


def draw_ranks(scores: pd.DataFrame, group: str, path: Path) -> None:
    """Draw mean ranks, and how far they must lie apart to differ.

    Parameters
    ----------
    scores : DataFrame
        Of :func:`benchmarks.quality._comparing.read_scores`.
    group : str
        Which tables. Scores that fewer than two methods have are left out.
    path : Path
        The picture to write.
    """
    matrices = {metric: score_matrix(scores, group, metric) for metric in _RANKED}
    known = {metric: m for metric, m in matrices.items() if len(m.columns) > 1}
    n_rows = max(1, -(-len(known) // 2))
    figure = new_figure(10, 0.7 + 3.2 * n_rows)
    grid = figure.subplots(n_rows, 2, squeeze=False)
    for axes in grid.flat[len(known) :]:
        axes.set_axis_off()
    for axes, (metric, matrix) in zip(grid.flat, known.items(), strict=False):
        _draw_rank_panel(axes, matrix, metric)
        axes.set_title(_title(metric, matrix, group), fontsize="medium")
    _add_legend(figure)
    figure.supxlabel(
        "Mean rank, 1 is best. Where the bars of two methods do not overlap, their "
        "ranks differ (Nemenyi's test, 5 %).",
        fontsize="medium",
    )
    save(figure, path)


def _draw_rank_panel(axes: Any, matrix: pd.DataFrame, metric: str) -> None:
    from matplotlib.ticker import MaxNLocator

    means = ranks(matrix, metric).mean().sort_values(ascending=False)
    half = critical_difference(len(means), len(matrix)) / 2
    for place, (name, rank) in enumerate(means.items()):
        color = _COLORS[METHODS[name].family]
        axes.errorbar(rank, place, xerr=half, fmt="o", color=color, capsize=3, lw=1.5)
    axes.set_yticks(range(len(means)), [METHODS[name].label for name in means.index])
    axes.set_ylim(-0.7, len(means) - 0.3)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", alpha=0.3)


def _title(metric: str, matrix: pd.DataFrame, group: str) -> str:
    count = len(matrix)
    return f"{WORDS[metric]}, {count} {group} table{'s' * (count != 1)}"


def _add_legend(figure: Any) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], marker="o", ls="", color=_COLORS[family], label=words)
        for family, words in _FAMILIES.items()
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=4, frameon=False)
    figure.get_layout_engine().set(w_pad=0.1)


def draw_against_time(scores: pd.DataFrame, group: str, path: Path) -> None:
    """Draw quality against the time of a fit.

    Parameters
    ----------
    scores : DataFrame
        Of :func:`benchmarks.quality._comparing.read_scores`.
    group : str
        Which tables.
    path : Path
        The picture to write.
    """
    figure = new_figure(11, 4.4)
    panels = ((CLASSIFICATION, "log_loss"), (REGRESSION, "rmse"))
    for axes, (task, metric) in zip(figure.subplots(1, 2), panels, strict=True):
        part = scores[scores["task"] == task]
        matrix = score_matrix(part, group, metric)
        if matrix.empty:
            axes.set_axis_off()
            continue
        means = ranks(matrix, metric).mean()
        times = score_matrix(part, group, "fit_seconds").median()
        _draw_time_panel(axes, means, times)
        axes.set_title(_title(metric, matrix, group), fontsize="medium")
    _add_legend(figure)
    save(figure, path)


def _draw_time_panel(axes: Any, means: pd.Series, times: pd.Series) -> None:
    low, high = 0.5, len(means) + 0.5
    heights = spread(means.to_numpy(), _LINE * (high - low), low, high)
    # Names stand in a column beside the panel, where they cannot meet.
    for name, height in zip(means.index, heights, strict=True):
        color = _COLORS[METHODS[name].family]
        axes.plot(times[name], means[name], "o", color=color, zorder=3)
        axes.annotate(
            METHODS[name].label,
            xy=(times[name], means[name]),
            xytext=(1.03, height),
            textcoords=axes.get_yaxis_transform(),
            va="center",
            fontsize="small",
            color=color,
            arrowprops={
                "arrowstyle": "-",
                "color": color,
                "alpha": 0.35,
                "lw": 0.8,
                # To the middle of the left edge: the line must not cross the words.
                "relpos": (0, 0.5),
            },
            annotation_clip=False,
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")
    axes.set(
        xlabel="Median time of a fit (s)",
        ylabel="Mean rank, 1 is best",
        ylim=(high, low),
    )
    axes.margins(x=0.1)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)


def spread(places: np.ndarray, gap: float, low: float, high: float) -> np.ndarray:
    """Move places apart, so that labels there do not meet.

    Parameters
    ----------
    places : ndarray of shape (n,)
        Where labels should be.
    gap : float
        How far they must lie apart.
    low, high : float
        Between which, if they fit.

    Returns
    -------
    ndarray of shape (n,)
        Places in the same order; those that are far enough apart stay.
    """
    order = np.argsort(places, kind="stable")
    moved = np.maximum(places[order].astype(float), low)
    for i in range(1, len(moved)):
        moved[i] = max(moved[i], moved[i - 1] + gap)
    moved[-1:] = np.minimum(moved[-1:], high)
    for i in reversed(range(len(moved) - 1)):
        moved[i] = min(moved[i], moved[i + 1] - gap)
    result: np.ndarray = np.empty_like(moved)
    result[order] = moved
    return result
