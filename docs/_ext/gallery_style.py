"""How the pictures of the guide look: readable in color-blind eyes and on a phone."""

from __future__ import annotations

from typing import Any

from cycler import cycler

# Okabe and Ito's colors, strongest contrast to white first; dashes tell lines apart in
# print. Yellow is left out: it fades on white.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))

#: Five inches shrink to a phone's width with letters that can still be read.
PARAMETERS: dict[str, Any] = {
    "axes.grid": True,
    "axes.prop_cycle": cycler(color=_COLORS) + cycler(linestyle=_DASHES),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": "medium",
    "figure.constrained_layout.h_pad": 0.08,  # a title off the panel above
    "figure.constrained_layout.use": True,
    "figure.dpi": 100,
    "figure.figsize": (5.0, 3.4),
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "lines.linewidth": 2,
    "savefig.dpi": 100,
}


def apply(gallery_conf: dict[str, Any], file_name: str) -> None:
    """Set matplotlib's parameters before a chapter runs, as sphinx-gallery calls it."""
    import matplotlib as mpl

    mpl.rcParams.update(PARAMETERS)
