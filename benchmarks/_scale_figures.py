"""The figure of the benchmark of growth; nothing is measured here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._ratio_figures import new_figure, save
from benchmarks._scale_report import PEAK_BAR, PRODUCTS_BAR, of_part

_BLUE, _ORANGE, _GRAY = "#0072b2", "#d55e00", "#555555"


def draw_scale(result: dict[str, Any], path: Path) -> None:
    """Draw time and memory over rows, products over width, time over networks.

    Parameters
    ----------
    result : dict
        The file of the benchmark ``scale``.
    path : Path
        The picture to write.
    """
    figure = new_figure(9, 6.5)
    figure.suptitle("On one thread", fontsize="medium")
    grid = figure.subplots(2, 2)
    for axes in grid.flat:
        axes.set_xscale("log")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
    panels = (
        (_draw_row_times, "rows"),
        (_draw_row_memory, "rows"),
        (_draw_width, "width"),
        (_draw_networks, "networks"),
    )
    for axes, (draw, part) in zip(grid.flat, panels, strict=True):
        if rows := of_part(result, part):
            draw(axes, rows)
        else:
            axes.set_axis_off()
    save(figure, path)


def _draw_row_times(axes: Any, rows: list[dict[str, Any]]) -> None:
    _curve(axes, rows, "rows", "wall", _BLUE, factor=1e6)
    axes.set_ylim(bottom=0)
    axes.set(
        xlabel="Rows", ylabel="Time per row and epoch (µs)", title="Rows: time of a fit"
    )


def _draw_row_memory(axes: Any, rows: list[dict[str, Any]]) -> None:
    _curve(axes, rows, "rows", "peak", _BLUE)
    axes.axhline(
        PEAK_BAR.value, color=_GRAY, ls="--", label="the bar, for the most rows"
    )
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("")
    axes.set(xlabel="Rows", ylabel="Peak memory / data", title="Rows: memory of a fit")
    axes.legend(frameon=False)


def _draw_width(axes: Any, rows: list[dict[str, Any]]) -> None:
    _curve(axes, rows, "width", "share", _BLUE, label="matrix products")
    axes.plot(
        [256], [PRODUCTS_BAR.value], "_", ms=18, mew=2, color=_GRAY, label="the bar"
    )
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set(
        ylim=(0, 1),
        xlabel="Units in each of two hidden layers",
        ylabel="Share of time",
        title="Width: matrix products",
    )
    axes.legend(frameon=False)


def _draw_networks(axes: Any, rows: list[dict[str, Any]]) -> None:
    for hidden, color, marker in (
        ((10, 10), _BLUE, "o"),
        ((72, 72), _ORANGE, "s"),
    ):
        mine = [row for row in rows if tuple(row["design"]["hidden"]) == hidden]
        _curve(
            axes,
            mine,
            "n_members",
            "wall",
            color,
            factor=1e3,
            label=f"hidden layers {hidden}",
            marker=marker,
        )
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set(
        xlabel="Networks in a fit",
        ylabel="Time per network and epoch (ms)",
        title="Networks: 614×8, batches of 32",
    )
    axes.legend(frameon=False)


def _curve(
    axes: Any,
    rows: list[dict[str, Any]],
    over: str,
    name: str,
    color: str,
    *,
    factor: float = 1.0,
    label: str | None = None,
    marker: str = "o",
) -> None:
    """Draw medians with a band from the lowest to the highest."""
    if not rows:
        return
    rows = sorted(rows, key=lambda row: row["design"][over])
    x = [row["design"][over] for row in rows]
    values = [np.array(row[name]) * factor for row in rows]
    low, high = [v.min() for v in values], [v.max() for v in values]
    axes.fill_between(x, low, high, color=color, alpha=0.2, lw=0)
    axes.plot(
        x, [np.median(v) for v in values], marker=marker, color=color, label=label
    )
