"""Figures of the timed benchmarks; nothing is measured here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._speed_report import MEAN_BARS, means, of_part

#: The colors of Okabe and Ito, which color-blind readers can tell apart.
COLORS = {
    "sklearn": "#d55e00",
    "skorch": "#0072b2",
    "keras": "#cc79a7",
    "torch": "#009e73",
    "products": "#555555",
}
MARKERS = {"sklearn": "o", "skorch": "s", "keras": "^", "torch": "D", "products": "v"}


def new_figure(width: float, height: float) -> Any:
    """Return a figure without pyplot: no window, no state that outlives it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Any, path: Path) -> None:
    """Write a picture whose file depends on the numbers alone."""
    figure.savefig(path, dpi=150, metadata={"Software": None})


def draw_ratios(result: dict[str, Any], path: Path) -> None:
    """Draw the ratios of fits, one panel for each type and number of threads.

    Parameters
    ----------
    result : dict
        The file of the benchmark ``speed``.
    path : Path
        The picture to write.
    """
    rows = of_part(result, "fit")
    threads = _distinct(rows, "threads")
    dtypes = _distinct(rows, "dtype")
    labels = list(dict.fromkeys(r["design"]["shape"]["label"] for r in rows))
    peers = _distinct(rows, "peer")
    height = 1.6 + len(threads) * (len(labels) + 1) * 0.12 * max(3, len(peers))
    figure = new_figure(3.4 + 3.4 * len(dtypes), height)
    grid = figure.subplots(
        len(threads), len(dtypes), squeeze=False, sharex=True, sharey=True
    )
    # A mean over some of the shapes would not stand beside one over all.
    averages = [mean for mean in means(rows) if len(mean["rows"]) == len(labels)]
    for axes_row, count in zip(grid, threads, strict=True):
        for axes, dtype in zip(axes_row, dtypes, strict=True):
            names = {"threads": count, "dtype": dtype}
            here = [r for r in rows if _matches(r["design"], names)]
            _draw_panel(axes, here, labels, peers)
            _draw_means(axes, [m for m in averages if _matches(m, names)], peers)
            axes.set_title(f"{dtype}, {count} thread{'s' * (count == 'all')}")
    grid[0, 0].set_yticks(range(len(labels) + 1), ["geometric mean", *labels[::-1]])
    grid[0, 0].set_ylim(-0.5, len(labels) + 0.5)
    for axes in grid[-1]:
        axes.set_xlabel("Our wall time / the peer's")
    handles, names = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=3, frameon=False)
    save(figure, path)


def _distinct(rows: list[dict[str, Any]], name: str) -> list[str]:
    return list(dict.fromkeys(row["design"][name] for row in rows))


def _matches(entry: dict[str, Any], names: dict[str, str]) -> bool:
    return all(entry[name] == value for name, value in names.items())


def _draw_panel(
    axes: Any, rows: list[dict[str, Any]], labels: list[str], peers: list[str]
) -> None:
    from matplotlib.ticker import LogLocator

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")
    axes.axvline(1, color="black", lw=1)
    axes.spines[["top", "right"]].set_visible(False)
    axes.axhspan(-0.5, 0.5, color="black", alpha=0.06, lw=0)
    axes.grid(axis="x", alpha=0.3)
    for peer in peers:
        mine = [row for row in rows if row["design"]["peer"] == peer]
        heights = [
            len(labels) - labels.index(row["design"]["shape"]["label"]) for row in mine
        ]
        label = mine[0]["design"]["peer_label"] if mine else None
        offset = _offset(peer, peers)
        for is_valid in (True, False):
            _draw_points(
                axes,
                [row["wall"] for row in mine if row["is_valid"] is is_valid],
                [
                    height + offset
                    for row, height in zip(mine, heights, strict=True)
                    if row["is_valid"] is is_valid
                ],
                peer,
                label if is_valid else None,
                is_hollow=not is_valid,
            )


def _draw_means(axes: Any, averages: list[dict[str, Any]], peers: list[str]) -> None:
    for mean in averages:
        peer = mean["peer"]
        height = _offset(peer, peers)
        _draw_points(axes, [mean["wall"]], [height], peer, None)
        if peer in MEAN_BARS and mean["threads"] == "one":
            bar = MEAN_BARS[peer].value
            axes.vlines(bar, -0.5, 0.5, color=COLORS[peer], ls="--", lw=1.5)


def _offset(peer: str, peers: list[str]) -> float:
    """Return how far a peer's points lie above the middle of a shape's band."""
    return 0.7 * (0.5 - (peers.index(peer) + 0.5) / len(peers))


def _draw_points(
    axes: Any,
    intervals: list[dict[str, float]],
    heights: list[float],
    peer: str,
    label: str | None,
    *,
    is_hollow: bool = False,
) -> None:
    values, low, high = (
        np.array([numbers[key] for numbers in intervals])
        for key in ("value", "low", "high")
    )
    axes.errorbar(
        values,
        heights,
        xerr=[values - low, high - values],
        fmt=MARKERS[peer],
        color=COLORS[peer],
        markerfacecolor="white" if is_hollow else COLORS[peer],
        markersize=5,
        lw=1.5,
        label=label,
    )
