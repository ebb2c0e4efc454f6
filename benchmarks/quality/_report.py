"""The report on quality, in Markdown. Nothing is fitted or drawn here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from benchmarks._tables import interval, paragraph, table
from benchmarks._timing import Bar
from benchmarks.quality._catalogue import CLASSIFICATION, REGRESSION
from benchmarks.quality._comparing import (
    FLOOR,
    against_best,
    against_peers,
    incomplete,
    ranks,
    score_matrix,
    wins,
)
from benchmarks.quality._methods import METHODS, OURS
from benchmarks.quality._scores import (
    CLASSIFICATION_SCORES,
    REGRESSION_SCORES,
)
from benchmarks.quality._splits import CAP, TEST_SHARE

SCORES = {CLASSIFICATION: CLASSIFICATION_SCORES, REGRESSION: REGRESSION_SCORES}
WORDS = {
    "accuracy": "accuracy",
    "log_loss": "log-loss",
    "auc": "AUC",
    "calibration_error": "calibration error",
    "rmse": "RMSE",
    "mae": "MAE",
    "fit_seconds": "fit, s",
    "predict_seconds": "predict, s",
}
_TITLES = {
    "held-out": "Held-out tables",
    "development": "Development tables",
    "seen": "Tables that a prototype had seen",
}
_TIMES = ("fit_seconds", "predict_seconds")
_LOSS_RATIO = Bar(0.92)
_BELOW_ONE = Bar(1.0)
_LEAST_ACCURACY = Bar(-0.005, at_most=False)
_BOOSTING_RATIO = Bar(1.05)
#: As many tables are named on which a peer is ahead.
_N_LOST = 10


def report(scores: pd.DataFrame, *, cap: int | None = CAP) -> str:
    """Write the report on scores; other measurements have sections of their own.

    Parameters
    ----------
    scores : DataFrame
        Of :func:`benchmarks.quality._comparing.read_scores`.
    cap : int or None, default=3000
        Rows of a table that were used; None: all.

    Returns
    -------
    str
        Markdown.
    """
    return "\n".join(_lines(scores, cap))


def _lines(scores: pd.DataFrame, cap: int | None) -> Iterator[str]:
    yield "# Quality at default settings\n"
    rows = "All rows of a table are used" if cap is None else _CAPPED.format(cap)
    yield paragraph(_INTRODUCTION.format(rows=rows))
    yield ""
    for group in ("held-out", "development", "seen"):
        for task in (CLASSIFICATION, REGRESSION):
            part = scores[(scores["group"] == group) & (scores["task"] == task)]
            if not part.empty:
                yield f"## {_TITLES[group]}: {task}\n"
                yield from _means(part, group, task)
                yield from _versus(part, group, task)
                yield from _losses(part, group, task)


#: Of a table's rows.
_PREDICTED = f"{100 * TEST_SHARE:.0f} %"
_CAPPED = "Of longer tables {:,} rows are used, others in each split"
_INTRODUCTION = (
    "Every method has its default settings, but for the number of threads: one. "
    f"{{rows}}; {_PREDICTED} of them are predicted. The splits, at random and "
    "stratified by class, are the same for all. Methods that want numbers get them "
    "standardized, with a column for each category and medians for what is missing; "
    "scikit-learn's network and skorch learn a standardized target. Scores are means "
    "over splits, then over tables; times are medians over tables, taken while other "
    "fits ran beside. Brackets hold 95 % intervals from a paired bootstrap over tables."
)


def versions_section(versions: dict[str, dict[str, str]]) -> str:
    """Write what the methods are.

    Parameters
    ----------
    versions : dict
        Of :func:`benchmarks.quality._comparing.read_versions`.

    Returns
    -------
    str
        Markdown.
    """
    rows = [
        [METHODS[name].label, ", ".join(f"{key} {v}" for key, v in found.items())]
        for name, found in versions.items()
    ]
    return "\n".join(["## The methods\n", *table(["method", "versions"], rows), ""])


def _means(part: pd.DataFrame, group: str, task: str) -> Iterator[str]:
    """Yield a table with a line for each method."""
    matrices = {metric: score_matrix(part, group, metric) for metric in SCORES[task]}
    first = matrices[SCORES[task][0]]
    text = f"Means over the {len(first)} tables to which these methods were fitted."
    if task == REGRESSION:
        text += " Errors are relative to the lowest one of a table."
    missing = incomplete(part, group, SCORES[task][0])
    if missing:
        names = ", ".join(f"{METHODS[n].label} ({k})" for n, k in missing.items())
        text += f" Not fitted to all of them, and left out: {names}."
    yield paragraph(text)
    yield ""
    ranked = SCORES[task][:2]
    head = ["method", *(WORDS[metric] for metric in matrices)]
    head += [f"mean rank, {WORDS[metric]}" for metric in ranked]
    head += [f"wins, {WORDS[metric]}" for metric in ranked]
    head += [WORDS[name] for name in _TIMES]
    yield from table(head, (_line(part, group, matrices, n, ranked) for n in first))
    yield ""


def _line(
    part: pd.DataFrame,
    group: str,
    matrices: dict[str, pd.DataFrame],
    name: str,
    ranked: Sequence[str],
) -> list[str]:
    """Return the cells of a method."""
    means = [
        # Errors in the targets' own units have no mean.
        (_relative(matrix) if metric in REGRESSION_SCORES else matrix)[name].mean()
        for metric, matrix in matrices.items()
    ]
    places = [ranks(matrices[metric], metric)[name].mean() for metric in ranked]
    counts = [wins(matrices[metric], metric)[name] for metric in ranked]
    times = [score_matrix(part, group, metric)[name].median() for metric in _TIMES]
    return [
        METHODS[name].label,
        *(f"{mean:.4f}" for mean in means),
        *(f"{place:.2f}" for place in places),
        *(str(count) for count in counts),
        *(f"{time:.3g}" for time in times),
    ]


def _relative(matrix: pd.DataFrame) -> pd.DataFrame:
    return matrix.div(matrix.min(axis=1), axis=0)


def _versus(part: pd.DataFrame, group: str, task: str) -> Iterator[str]:
    """Yield a table that holds ours against each peer, and on held-out ones bars."""
    found = {metric: against_peers(part, group, metric) for metric in SCORES[task]}
    peers = found[SCORES[task][0]]
    if not peers:
        return
    yield paragraph(_VERSUS[task])
    yield ""
    is_judged = group == "held-out"
    head = ["peer", "tables", *(WORDS[metric] for metric in found)]
    rows = []
    for peer, numbers in peers.items():
        cells = [METHODS[peer].label, str(numbers["n_tables"])]
        cells += [interval(found[metric][peer]) for metric in found]
        rows.append([*cells, _verdict(found, peer, task)] if is_judged else cells)
    yield from table([*head, "bars"] if is_judged else head, rows)
    yield ""
    if task == REGRESSION:
        yield from _best_peers(part, group)


_VERSUS = {
    CLASSIFICATION: (
        "Ours against each peer: differences, ours less the peer's, of accuracy, AUC "
        "and calibration error; geometric means of ratios, ours to the peer's, of "
        f"log-losses, of which none counts as less than {FLOOR:g}."
    ),
    REGRESSION: (
        "Ours against each peer: geometric means of ratios of errors, ours to the "
        "peer's."
    ),
}


def _verdict(found: dict[str, dict[str, Any]], peer: str, task: str) -> str:
    """Write which bars of a comparison on held-out tables are met."""
    if task == REGRESSION:
        if METHODS[peer].family == "boosting":
            is_met = _BOOSTING_RATIO.is_met(found["rmse"][peer])
            return f"RMSE {_BOOSTING_RATIO}: {_met(is_met)}"
        # Of networks and linear models the best counts; who is ahead of it is of all.
        return f"RMSE below 1: {_met(found['rmse'][peer]['high'] < 1)}"
    loss, accuracy = found["log_loss"][peer], found["accuracy"][peer]
    is_met = loss["value"] <= _LOSS_RATIO.value and loss["high"] < _BELOW_ONE.value
    return (
        f"log-loss {_LOSS_RATIO}, below 1: {_met(is_met)}; accuracy "
        f"{_LEAST_ACCURACY}: {_met(_LEAST_ACCURACY.is_met(accuracy))}"
    )


def _met(is_met: bool) -> str:
    return "met" if is_met else "**missed**"


def _best_peers(part: pd.DataFrame, group: str) -> Iterator[str]:
    """Yield ours against whichever peer is the best on a table."""
    for families in (("network", "linear"), ("boosting",)):
        best = against_best(part, group, "rmse", families)
        if best is not None:
            words = " or ".join(families)
            yield paragraph(
                f"RMSE to that of the {words} peer that is best on a table, another on "
                f"each: {interval(best)}, {best['n_tables']} tables."
            )
            yield ""


def _losses(part: pd.DataFrame, group: str, task: str) -> Iterator[str]:
    """Yield where a peer is furthest ahead."""
    metric = "log_loss" if task == CLASSIFICATION else "rmse"
    matrix = score_matrix(part, group, metric)
    if OURS not in matrix or len(matrix.columns) < 2:
        return
    peers = matrix.drop(columns=OURS)
    best = peers.min(axis=1)
    floor = FLOOR if task == CLASSIFICATION else 0.0
    ratio = matrix[OURS].clip(lower=floor) / best.clip(lower=floor)
    lost = ratio[ratio > 1].sort_values(ascending=False)
    yield paragraph(
        f"A peer has the lower {WORDS[metric]} on {len(lost)} of {len(matrix)} tables"
        + (", most of all on:" if len(lost) else ".")
    )
    yield ""
    if not len(lost):
        return
    winners = peers.idxmin(axis=1)
    rows = [
        [
            name,
            *(_number(losses[name]) for losses in (matrix[OURS], best)),
            METHODS[winners[name]].label,
            f"{value:.3f}",
        ]
        for name, value in lost.head(_N_LOST).items()
    ]
    yield from table(["table", "ours", "best peer's", "peer", "ratio"], rows)
    yield ""


def _number(value: float) -> str:
    """Write a loss, also one in a large unit, without an exponent."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"
