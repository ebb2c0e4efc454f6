"""What the command line shows: progress on standard error, results as text."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sknnopt._cli.results import TuneResult


@contextmanager
def search_progress(
    n_iter: int, measure: str
) -> Iterator[Callable[[int, float], None]]:
    """Show how far a search has come.

    Parameters
    ----------
    n_iter : int
        Candidates in all.
    measure : str
        What the score measures.

    Yields
    ------
    callable
        To be called with the number of candidates done and the best score so far.
    """
    try:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
        )
    except ImportError:
        yield _line_teller(n_iter, measure)
        return
    console = Console(file=sys.stderr)
    if not console.is_terminal:
        yield _line_teller(n_iter, measure)
        return
    columns = (
        TextColumn("candidates"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=n_iter)

        def tell(done: int, best: float) -> None:
            text = f"best {measure} {best:.4f}"
            bar.update(task, completed=done, description=text)

        yield tell


def _line_teller(n_iter: int, measure: str) -> Callable[[int, float], None]:
    def tell(done: int, best: float) -> None:
        sys.stderr.write(f"candidate {done}/{n_iter}  best {measure} {best:.4f}\n")
        sys.stderr.flush()

    return tell


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
    best = result.best
    head = [
        "",
        f"Best of {len(result.candidates)} candidates (number {best.number}):",
        *_aligned([[f"  {k}", number(v)] for k, v in sorted(best.params.items())]),
        "",
    ]
    names = list(result.scores[0].measures)
    n_folds = result.settings["cv"]
    table = [["  model"]]
    for name in names:
        table[0] += [f"{name}, {n_folds:.0f}-fold", "held-out"]
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
