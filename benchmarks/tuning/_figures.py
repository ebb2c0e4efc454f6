"""Pictures of searches. Nothing is searched here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks._ratio_figures import new_figure, save
from benchmarks._timing import median_ratio
from benchmarks.tuning._budget import TABLES
from benchmarks.tuning._comparing import (
    Stored,
    best_until,
    budget_frame,
    guide_pairs,
    log_ratios,
    of_splits,
    ratio,
)
from benchmarks.tuning._report import AIM, FASTER, LEAST_DIFFERENCE, OURS, RIVALS
from benchmarks.tuning._searches import SEARCHES

#: Of Okabe and Ito, which color-blind readers can tell apart; with styles and markers.
_STYLES: dict[str, tuple[str, str, str]] = {
    "mlp-random": ("#d55e00", "-", "o"),
    "mlp-tpe": ("#e69f00", "-", "D"),
    "random": ("#0072b2", "-", "s"),
    "bayes": ("#56b4e9", "-", "v"),
    "bayes-gathered": ("#009e73", "-", "^"),
    "keras-random": ("#cc79a7", "--", "P"),
    "keras-hyperband": ("#882255", "--", "X"),
    "sklearn-grid": ("#555555", ":", "*"),
}
_N_TIMES = 200
_TIME_TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300)
_RATIO_TICKS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.2, 1.5, 2, 3, 5)


def draw_guide(stored: Stored, path: Path) -> None:
    """Draw times faster and differences of accuracy, split by split.

    Parameters
    ----------
    stored : dict
        Of :func:`benchmarks.tuning._comparing.read`.
    path : Path
        The picture to write; none without pairs.
    """
    pairs = guide_pairs(stored)
    if pairs.empty:
        return
    figure = new_figure(8.5, 3.6)
    left, right = figure.subplots(1, 2)
    faster = median_ratio(pairs["times_faster"].to_numpy())
    _draw_splits(left, pairs["times_faster"], faster)
    left.axhline(FASTER.value, color="black", ls="--", lw=1.2, label="the bar")
    left.axhline(AIM, color="black", ls=":", lw=1.2, label="the aim")
    left.set(ylabel="Keras-Tuner's wall time / ours", ylim=(0, None))
    difference = of_splits(pairs["difference"], np.mean)
    _draw_splits(right, pairs["difference"], difference)
    right.axhline(0, color="black", lw=0.8)
    right.axhline(LEAST_DIFFERENCE.value, color="black", ls="--", lw=1.2)
    right.set(ylabel="Test accuracy, ours less Keras-Tuner's")
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False)
    save(figure, path)


def _draw_splits(axes: Any, values: pd.Series, numbers: dict[str, float]) -> None:
    places = np.arange(len(values))
    axes.plot(places, values, "o", color="#0072b2", label="one split")
    spread = [[numbers["value"] - numbers["low"]], [numbers["high"] - numbers["value"]]]
    axes.errorbar(
        [len(values) + 0.3],
        [numbers["value"]],
        yerr=spread,
        fmt="D",
        color="#d55e00",
        capsize=4,
        label="all, 95 % interval",
    )
    # Twelve numbers are what fits.
    named = places[:: 1 + len(values) // 12]
    axes.set_xticks([*named, len(values) + 0.3], [*map(str, named), "all"])
    axes.set_xlabel("Split")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)


def draw_ratios(stored: Stored, path: Path) -> None:
    """Draw ratios of held-out log-losses, ours to each rival's.

    Parameters
    ----------
    stored : dict
        Of :func:`benchmarks.tuning._comparing.read`.
    path : Path
        The picture to write; none where nothing can be compared.
    """
    frame = budget_frame(stored)
    if frame.empty:
        return
    known = [ours for ours in OURS if any(ratio(frame, ours, r) for r in RIVALS)]
    if not known:
        return
    figure = new_figure(1.8 + 4.2 * len(known), 4)
    grid = figure.subplots(1, len(known), squeeze=False, sharey=True, sharex=True)
    for axes, ours in zip(grid[0], known, strict=True):
        for place, rival in enumerate(reversed(RIVALS)):
            numbers = ratio(frame, ours, rival)
            if numbers is not None:
                _draw_rival(axes, place, numbers, log_ratios(frame, ours, rival))
    # All panels have their points, which the shared limits follow from.
    for axes, ours in zip(grid[0], known, strict=True):
        _style_ratios(axes, SEARCHES[ours].label)
    labels = [SEARCHES[name].label for name in reversed(RIVALS)]
    grid[0, 0].set_yticks(range(len(RIVALS)), labels)
    grid[0, 0].set_ylim(-0.6, len(RIVALS) - 0.4)
    handles, names = grid[0, 0].get_legend_handles_labels()
    distinct = dict(zip(names, handles, strict=True))
    figure.legend(
        distinct.values(),
        distinct.keys(),
        loc="outside upper center",
        ncols=2,
        frameon=False,
    )
    save(figure, path)


def _draw_rival(
    axes: Any, place: int, numbers: dict[str, Any], logs: pd.DataFrame
) -> None:
    tables = np.exp(logs.mean(axis=1))
    heights = place + np.linspace(0.12, 0.3, len(tables))
    axes.plot(tables, heights, ".", color="#0072b2", alpha=0.7, label="one table")
    spread = [[numbers["value"] - numbers["low"]], [numbers["high"] - numbers["value"]]]
    axes.errorbar(
        [numbers["value"]],
        [place],
        xerr=spread,
        fmt="D",
        color="#d55e00",
        capsize=4,
        label="geometric mean of all, 95 % interval",
    )


def _style_ratios(axes: Any, title: str) -> None:
    axes.axvline(1, color="black", lw=1)
    _scale_log(axes, _RATIO_TICKS)
    axes.set_title(title, fontsize="medium")
    axes.set_xlabel("Held-out log-loss, ours / the rival's")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", alpha=0.3)


def draw_curves(stored: Stored, path: Path) -> None:
    """Draw the best log-losses against wall time, a panel for each table.

    Parameters
    ----------
    stored : dict
        Of :func:`benchmarks.tuning._comparing.read`.
    path : Path
        The picture to write; none where nothing is stored.
    """
    frame = budget_frame(stored)
    if frame.empty:
        return
    tables = [table for table in TABLES if table in set(frame["table"])]
    n_columns = min(3, len(tables))
    n_rows = -(-len(tables) // n_columns)
    figure = new_figure(1.2 + 3.6 * n_columns, 1.8 + 3 * n_rows)
    grid = figure.subplots(n_rows, n_columns, squeeze=False)
    for axes in grid.flat[len(tables) :]:
        axes.set_axis_off()
    for axes, table in zip(grid.flat, tables, strict=False):
        _draw_table(axes, frame[frame["table"] == table])
        axes.set_title(table, fontsize="medium")
    for axes in grid[:, 0]:
        axes.set_ylabel("Log-loss, mean over splits")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper center", ncols=n_columns, frameon=False
    )
    figure.supxlabel(
        "Wall time (s). Lines: the best by which models are selected, of folds or, of "
        "Keras-Tuner, on its validation rows.\nMarkers: of the selected model, on rows "
        "held out.",
        fontsize="medium",
    )
    save(figure, path)


def _draw_table(axes: Any, part: pd.DataFrame) -> None:
    longest = float(part["search_seconds"].max())
    begin = min(curve["seconds"][0] for curve in part["curve"] if curve["seconds"])
    times = np.geomspace(begin, longest, _N_TIMES)
    # Held-out losses have no time: they stand in a column of their own.
    side = axes.inset_axes((1.03, 0, 0.3, 1), sharey=axes)
    names = [name for name in SEARCHES if name in set(part["search"])]
    for place, name in enumerate(names):
        mine = part[part["search"] == name]
        color, style, marker = _STYLES[name]
        # Before all splits have a first score, a mean would be one of the easier ones.
        curves = np.array([best_until(curve, times) for curve in mine["curve"]])
        axes.plot(times, curves.mean(axis=0), style, color=color, lw=1.6)
        side.plot(place, mine["log_loss"].mean(), marker, color=color, ms=6)
        axes.plot([], [], style, marker=marker, color=color, label=SEARCHES[name].label)
    axes.set_xlim(begin, longest)
    _scale_log(axes, _TIME_TICKS)
    side.set(xlim=(-1, len(names)), xticks=[], xlabel="held out")
    side.tick_params(axis="y", left=False, labelleft=False)
    for each in (axes, side):
        each.spines[["top", "right"]].set_visible(False)
        each.grid(alpha=0.3)


def _scale_log(axes: Any, ticks: Sequence[float]) -> None:
    """Give the horizontal axis a logarithmic scale with ticks that read easily."""
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    shown = [tick for tick in ticks if low <= tick <= high]
    axes.set_xticks(shown, [f"{tick:g}" for tick in shown])
    axes.minorticks_off()
