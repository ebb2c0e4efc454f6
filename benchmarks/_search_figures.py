"""The figure of the benchmark of searches; nothing is measured here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._ratio_figures import COLORS, MARKERS, new_figure, save
from benchmarks._search_report import LABELS, grid_bar, of_part

OUR_COLOR = "#009e73"


def draw_searches(result: dict[str, Any], path: Path) -> None:
    """Draw how much faster grids are, and the time per fit of larger searches.

    Parameters
    ----------
    result : dict
        The file of the benchmark ``search``.
    path : Path
        The picture to write.
    """
    figure = new_figure(9.5, 4)
    left, right = figure.subplots(1, 2)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.3)
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
    _draw_grids(left, of_part(result, "grid"))
    _draw_growth(right, result)
    # Both panels have the same colors and markers; ours is on the right alone.
    handles, labels = right.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
    save(figure, path)


def _draw_grids(axes: Any, rows: list[dict[str, Any]]) -> None:
    networks = list(dict.fromkeys(tuple(row["design"]["hidden"]) for row in rows))
    for row in rows:
        design, peer = row["design"], row["design"]["peer"]
        place = (
            networks.index(tuple(design["hidden"])) + (-0.15, 0.15)[peer == "skorch"]
        )
        numbers = row["wall"]
        spread = [
            [numbers["value"] - numbers["low"]],
            [numbers["high"] - numbers["value"]],
        ]
        axes.errorbar(
            [place],
            [numbers["value"]],
            yerr=spread,
            fmt=MARKERS[peer],
            color=COLORS[peer],
            markerfacecolor=COLORS[peer] if row["is_valid"] else "white",
        )
        if (bar := grid_bar(design)) is not None:
            axes.hlines(
                bar.value, place - 0.12, place + 0.12, color=COLORS[peer], ls="--"
            )
    axes.axhline(1, color="black", lw=1)
    axes.set_xticks(range(len(networks)), [str(network) for network in networks])
    axes.set_xlim(-0.5, max(len(networks) - 0.5, 0.5))
    axes.set(
        xlabel="Hidden layers",
        ylabel="Peer's wall time / ours",
        title="60 fits; dashed: the bar",
    )


def _draw_growth(axes: Any, result: dict[str, Any]) -> None:
    for who, points in _curves(result).items():
        counts = sorted(points)
        axes.plot(
            counts,
            [np.median(points[count]) * 1e3 for count in counts],
            marker=MARKERS.get(who, "D"),
            color=COLORS.get(who, OUR_COLOR),
            label=LABELS[who],
        )
    axes.set(
        xscale="log",
        xlabel="Fits in the search",
        ylabel="Wall time per fit (ms)",
        title="Hidden layers (10, 10)",
    )
    counts = sorted({count for points in _curves(result).values() for count in points})
    axes.set_xticks(counts, [f"{count:,}" for count in counts])
    axes.minorticks_off()


def _curves(result: dict[str, Any]) -> dict[str, dict[int, list[float]]]:
    """Return times per fit by the number of fits, for ours and the peers."""
    found: dict[str, dict[int, list[float]]] = {}
    for row in of_part(result, "grid"):
        design = row["design"]
        if tuple(design["hidden"]) == (10, 10):
            count = design["size"]["n_fits"]
            for who, side in (("ours", "ours"), (design["peer"], "peer")):
                times = [wall / count for wall in row["pairs"][side]["wall"]]
                found.setdefault(who, {}).setdefault(count, []).extend(times)
    for row in of_part(result, "growth"):
        count = row["design"]["size"]["n_fits"]
        found.setdefault("ours", {})[count] = row["pairs"]["ours"]["wall"]
    for row in of_part(result, "reference"):
        count = row["design"]["size"]["n_fits"]
        found.setdefault("sklearn", {})[count] = row["wall"]
    return found
