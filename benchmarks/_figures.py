"""Figures of the results; nothing is computed here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_LINES = {
    "raw": ("raw input", "#d55e00"),
    "scaled": ("standardized input", "#0072b2"),
}


def draw_losses(result: dict[str, Any], path: Path) -> None:
    """Draw the training losses of the normalization benchmark.

    Parameters
    ----------
    result : dict
        What ``normalization.measure`` returned, or its file.
    path : Path
        The picture to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Without pyplot: no window, and no state that outlives the figure.
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name, (label, color) in _LINES.items():
        _draw_curve(axes, result["curves"][name], label, color)
    _mark_level(axes, result)
    design = result["design"]
    n_runs = len(design["splits"]) * design["n_seeds"]
    axes.set(
        xscale="log",
        xlim=(1, design["long"]),
        ylim=(0.3, 1.0),
        xlabel="Epoch",
        ylabel="Training loss (binary cross-entropy)",
        title=f"Pima table: median of {n_runs} runs and the middle 80 %",
    )
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper right")
    # Without the software's name, the file depends on the numbers alone.
    figure.savefig(path, dpi=150, metadata={"Software": None})


def _draw_curve(axes: Any, curve: dict[str, Any], label: str, color: str) -> None:
    axes.fill_between(
        curve["epoch"], curve["low"], curve["high"], color=color, alpha=0.2, lw=0
    )
    axes.plot(curve["epoch"], curve["median"], color=color, lw=2, label=label)


def _mark_level(axes: Any, result: dict[str, Any]) -> None:
    """Extend where standardized input ends to where raw input ends."""
    design, curve = result["design"], result["curves"]["scaled"]
    level, color = curve["median"][-1], _LINES["scaled"][1]
    axes.hlines(level, design["short"], design["long"], color=color, ls=":", lw=1.5)
    axes.plot(design["short"], level, "o", color=color)
    axes.annotate(
        f"epoch {design['short']:,}",
        (design["short"], level),
        (0, -14),
        textcoords="offset points",
        ha="center",
        color=color,
    )
