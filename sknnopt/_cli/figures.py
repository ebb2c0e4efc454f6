"""The report's pictures, as SVG that follows the page's colors."""

from __future__ import annotations

import html
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

import pandas as pd

from sknnopt._cli.results import TuneResult
from sknnopt.displays import (
    ParameterImportanceDisplay,
    SearchConvergenceDisplay,
    SearchCurvesDisplay,
    TrainingHistoryDisplay,
)

_INK = "#010203"
_BLUE, _RED, _GRAY = "#0072b2", "#d55e00", "#808080"
#: Colors that stand for a variable of the page's style sheet while it is drawn.
_VARIABLES = {
    _INK: "currentColor",
    _BLUE: "var(--blue)",
    _RED: "var(--vermilion)",
    _GRAY: "var(--soft)",
}
_STYLE: Any = {
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 10,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "text.color": _INK,
    # A column's name is no formula.
    "text.parse_math": False,
    "xtick.color": _INK,
    "ytick.color": _INK,
}
_WIDTH, _HEIGHT = 5.0, 3.2
_MOST_BARS = 15


def history_svg(result: TuneResult, metric: str) -> str:
    """Draw the tuned model's curves.

    Parameters
    ----------
    result : TuneResult
        What was found.
    metric : {"loss", "score"}
        What to draw.

    Returns
    -------
    str
        An ``svg`` element.
    """
    name = result.measure if metric == "score" else "loss"
    text = f"{name.capitalize()} of the tuned model over the epochs"
    with _canvas(text) as (ax, svg):
        TrainingHistoryDisplay(
            result.history,
            best_epoch=result.best_epoch,
            score_name=name.capitalize(),
        ).plot(ax, metric=metric)
    return svg[0]


def convergence_svg(result: TuneResult) -> str:
    """Draw each candidate's score, and the best so far.

    Parameters
    ----------
    result : TuneResult
        What was found.

    Returns
    -------
    str
        An ``svg`` element.
    """
    search = result.search
    with _canvas("Score of each candidate and the best so far") as (ax, svg):
        SearchConvergenceDisplay(
            search.trials["candidate"],
            search.trials["mean_test_score"],
            search.best_so_far,
            pruned=search.trials["pruned"],
            score_name=f"Mean {result.measure} over the folds",
        ).plot(ax)
    return svg[0]


def curves_svg(result: TuneResult) -> str:
    """Draw the learning curves of the candidates.

    Parameters
    ----------
    result : TuneResult
        What was found, with at least one curve.

    Returns
    -------
    str
        An ``svg`` element.
    """
    search = result.search
    pruned = search.trials.loc[search.trials["pruned"], "candidate"]
    text = "Validation loss of the best candidate and of the others over the epochs"
    with _canvas(text) as (ax, svg):
        SearchCurvesDisplay(
            search.curves,
            search.number,
            pruned=pruned.tolist(),
            loss_name="Validation loss",
        ).plot(ax)
    return svg[0]


def importance_svg(importance: pd.DataFrame) -> str:
    """Draw how much the score depends on each parameter.

    Parameters
    ----------
    importance : DataFrame
        As in `SearchSummary`.

    Returns
    -------
    str
        An ``svg`` element.
    """
    height = max(1.6, 0.3 * min(len(importance), _MOST_BARS) + 0.9)
    with _canvas("Importance of each parameter", height) as (ax, svg):
        display = ParameterImportanceDisplay(importance)
        display.plot(ax, n_parameters=_MOST_BARS)
    return svg[0]


def prediction_svg(result: TuneResult) -> str:
    """Draw predicted against true targets of a regression.

    Parameters
    ----------
    result : TuneResult
        What was found.

    Returns
    -------
    str
        An ``svg`` element.
    """
    truth, predicted = result.truth, result.predicted
    ends = [min(truth.min(), predicted.min()), max(truth.max(), predicted.max())]
    with _canvas("Predicted against true targets of the held-out rows") as (ax, svg):
        ax.plot(ends, ends, color=_RED, linewidth=1, label="perfect")
        ax.plot(
            truth, predicted, "o", color=_BLUE, markersize=3, alpha=0.6, label="row"
        )
        ax.set_xlabel(f"True {result.data.target}")
        ax.set_ylabel(f"Predicted {result.data.target}")
        ax.legend(loc="upper left")
    return svg[0]


@contextmanager
def _canvas(text: str, height: float = _HEIGHT) -> Iterator[tuple[Any, list[str]]]:
    """Give axes to draw on; afterwards the list holds the picture."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    svg: list[str] = []
    # The salt makes the ids of each picture its own, and the same in every run.
    with (
        mpl.rc_context({**_STYLE, "svg.hashsalt": text}),
        warnings.catch_warnings(),
    ):
        # The page's own fonts have what matplotlib's lack.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        yield figure.subplots(), svg
        out = StringIO()
        figure.savefig(
            out,
            format="svg",
            transparent=True,
            metadata={"Date": None, "Creator": None},
        )
    svg.append(_for_page(out.getvalue(), text))


def _for_page(document: str, text: str) -> str:
    """Cut the element out of an SVG file, and let it take the page's colors."""
    element = document[document.index("<svg") :].strip()
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    # Names of groups, such as "axes_1", would be the same in every picture.
    element = re.sub(r'<g id="[^"]*">', "<g>", element)
    for color, variable in _VARIABLES.items():
        element = re.sub(color, variable, element, flags=re.IGNORECASE)
    label = f'<svg role="img" aria-label="{html.escape(text)}"'
    element = re.sub(r'\s(width|height)="[\d.]+pt"', "", element, count=2)
    return element.replace("<svg", label, 1)
