"""The picture of recall and precision. Nothing is measured here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._ratio_figures import new_figure, save
from benchmarks.diagnosis._report import EACH, OVERALL
from benchmarks.diagnosis._scoring import judged, scores

_ALL = "all"
_COLORS = {"recall": "#0072b2", "precision": "#d55e00"}


def draw_scores(directory: Path, path: Path) -> None:
    """Draw recall and precision of each finding in the final part.

    Parameters
    ----------
    directory : Path
        Where rows are stored.
    path : Path
        The picture to write; none where nothing has been diagnosed.
    """
    runs = judged(directory, "final")
    if not runs:
        return
    found = scores(runs)
    rows = {**found["findings"], _ALL: found["all"]}
    figure = new_figure(8.5, 1.2 + 0.32 * len(rows))
    panels = figure.subplots(1, 2, sharey=True)
    for axes, kind in zip(panels, _COLORS, strict=True):
        _draw(axes, [each[kind] for each in rows.values()], kind)
    bars = {"recall": EACH.value, "precision": None}
    for axes, (kind, least) in zip(panels, bars.items(), strict=True):
        axes.plot(
            [OVERALL.value] * 2, [len(rows) - 1.5, len(rows) - 0.5], "k--", lw=1.2
        )
        if least is not None:
            axes.plot([least] * 2, [-0.5, len(rows) - 1.5], "k--", lw=1.2)
        axes.set(xlim=(-0.02, 1.02), xlabel=f"{kind.capitalize()}, 95 % interval")
    panels[0].set_yticks(range(len(rows)), [name.replace("_", " ") for name in rows])
    panels[0].invert_yaxis()
    save(figure, path)


def _draw(axes: Any, shares: list[dict[str, float]], kind: str) -> None:
    for place, share in enumerate(shares):
        if not np.isnan(share["value"]):
            low, high = share["value"] - share["low"], share["high"] - share["value"]
            axes.errorbar(
                [share["value"]],
                [place],
                xerr=[[low], [high]],
                fmt="o",
                color=_COLORS[kind],
                capsize=3,
            )
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", alpha=0.3)
