"""The report of the benchmark of what BayesSearchCV costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks._tables import paragraph, provenance, seconds, table

DEFAULT = "default"
_THREADS = {"one": "one thread", "all": "all cores"}


def report(result: dict[str, Any]) -> str:
    """Write a result as Markdown.

    Parameters
    ----------
    result : dict
        The benchmark's file.

    Returns
    -------
    str
        Markdown.
    """
    text = (
        "What `BayesSearchCV` takes for each candidate beside the fits: its optimizer, "
        "asked for candidates and told the values of a fixed function, which takes "
        "next to no time. Times are means over the candidates of a search, the first "
        "ten of which are random and cost next to nothing. Medians over searches, with "
        "the lowest and the highest in brackets."
    )
    rows = result["rows"]
    lines = ["# What BayesSearchCV costs", "", paragraph(text), ""]
    if rows:
        design = rows[0]["design"]
        counts = {row["design"]["n_runs"] for row in rows}
        used = ", ".join(f"{name} {v}" for name, v in design["packages"].items())
        size = (
            f"{design['dimensions']} dimensions; at least {min(counts)} searches for "
            f"each row; {used}."
        )
        lines += [paragraph(size), ""]
    lines += [*_threads(rows), *_options(rows)]
    return "\n".join([*lines, *provenance(result)]) + "\n"


def _threads(rows: list[dict[str, Any]]) -> list[str]:
    mine = [row for row in rows if row["design"]["variant"] == DEFAULT]
    if not mine:
        return []
    head = "threads", "candidates", "wall time a candidate", "CPU time a candidate"
    cells = [
        [
            f"{_THREADS[row['design']['threads']]} ({row['design']['n_threads']})",
            str(count),
            _spread(_at(row, "wall", place)),
            _spread(_at(row, "cpu", place)),
        ]
        for place, count in enumerate(mine[0]["design"]["candidates"])
        for row in mine
    ]
    text = "Threads of the library for matrices, with the options as they are."
    return ["## Threads", "", text, "", *table(head, cells), ""]


def _options(rows: list[dict[str, Any]]) -> list[str]:
    mine = [row for row in rows if row["design"]["threads"] == "one"]
    if not mine:
        return []
    counts = mine[0]["design"]["candidates"]
    head = [
        "options",
        *(f"wall time a candidate, of {count}" for count in counts),
        f"CPU time a candidate, of {counts[-1]}",
        "lowest value found",
    ]
    cells = [
        [
            row["design"]["label"],
            *(_spread(_at(row, "wall", place)) for place in range(len(counts))),
            _spread(_at(row, "cpu", -1)),
            _value_spread(_at(row, "best", -1)),
        ]
        for row in mine
    ]
    text = (
        "On one thread. The lowest value, of a function whose minimum is 0, tells "
        "whether an option costs more than time; it is one function, and no ranking "
        "for others."
    )
    return ["## Options", "", paragraph(text), "", *table(head, cells), ""]


def _at(row: dict[str, Any], name: str, place: int) -> list[float]:
    """Return a number of each run, at one number of candidates."""
    return [run[place] for run in row[name]]


def _spread(values: Sequence[float]) -> str:
    return f"{seconds(values)} [{seconds(min(values))}, {seconds(max(values))}]"


def _value_spread(values: Sequence[float]) -> str:
    return f"{np.median(values):.3g} [{min(values):.3g}, {max(values):.3g}]"
