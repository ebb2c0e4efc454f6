"""What the command line shows: results as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sknnopt._cli.results import SearchSummary, TuneResult


def left_early(search: SearchSummary) -> str:
    """Say how many candidates were pruned.

    Parameters
    ----------
    search : SearchSummary
        What was tried.

    Returns
    -------
    str
        A part of a sentence, empty if none was.
    """
    n_pruned = search.n_pruned
    return f"{n_pruned} of them left early" if n_pruned else ""


def result_text(result: TuneResult, files: Mapping[str, Any]) -> str:
    """Write a result as text for the terminal.

    Parameters
    ----------
    result : TuneResult
        What was found.
    files : mapping of str to path
        What was written, by kind.

    Returns
    -------
    str
        Several lines.
    """
    search = result.search
    number_and_left = filter(None, [f"number {search.number}", left_early(search)])
    title = f"Best of {len(search.trials)} candidates ({'; '.join(number_and_left)}):"
    head = [
        "",
        title,
        *_aligned([[f"  {k}", number(v)] for k, v in search.params.items()]),
        "",
    ]
    names = list(result.scores[0].measures)
    n_folds = result.settings["cv"]
    table = [["  model"]]
    for name in names:
        table[0] += [f"{name}, {n_folds}-fold", "held-out"]
    for scores in result.scores:
        row = [f"  {scores.name}"]
        for measured in scores.measures.values():
            row += [
                f"{measured.cv_mean:.4f} +/- {measured.cv_sd:.4f}",
                f"{measured.held_out:.4f}",
            ]
        table.append(row)
    scored = ["Scores (mean +/- standard deviation over the folds):", *_aligned(table)]
    written = _aligned([[f"  {kind}", str(path)] for kind, path in files.items()])
    return "\n".join([*head, *scored, "", "Written:", *written])


def number(value: Any) -> str:
    """Write a value briefly.

    Parameters
    ----------
    value : object
        A hyperparameter or score.

    Returns
    -------
    str
        Floats with three significant digits.
    """
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _aligned(rows: Iterable[Sequence[str]]) -> list[str]:
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]
