"""Pieces of reports in Markdown that the timed benchmarks share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import fill
from typing import Any

import numpy as np

from benchmarks._timing import N_PAIRS, Bar


def paragraph(text: str, indent: str = "") -> str:
    """Wrap a paragraph at 88 columns."""
    return fill(text, 88, subsequent_indent=indent, break_on_hyphens=False)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table.

    Parameters
    ----------
    head : sequence of str
        Names of the columns.
    rows : iterable of sequence of str
        Cells.

    Returns
    -------
    list of str
        Lines.
    """
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def interval(numbers: dict[str, float]) -> str:
    """Write an estimate and its 95 % interval."""
    value, low, high = (f"{numbers[key]:.3g}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def seconds(values: float | Sequence[float]) -> str:
    """Write a time, or the median of times, in a fitting unit."""
    value = float(np.median(values))
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value / 1e-6:.3g} µs"


def megabytes(count: float) -> str:
    """Write a number of bytes in millions."""
    return f"{count / 1e6:,.0f} MB"


def verdict(bar: Bar | None, numbers: Sequence[dict[str, float]]) -> str:
    """Write whether the intervals meet a bar, all of them.

    Parameters
    ----------
    bar : Bar or None
        None where no bar is set.
    numbers : sequence of dict
        Intervals.

    Returns
    -------
    str
        Empty without a bar.
    """
    if bar is None:
        return ""
    is_met = all(bar.is_met(each) for each in numbers)
    return f"{bar}: {'met' if is_met else '**missed**'}"


def provenance(result: dict[str, Any]) -> list[str]:
    """Write what a result was measured with and on.

    Parameters
    ----------
    result : dict
        What a :class:`benchmarks._store.Store` holds.

    Returns
    -------
    list of str
        Paragraphs, with blank lines between them.
    """
    machine, rows = result["machine"], result["rows"]
    used = ", ".join(f"{name} {v}" for name, v in result["versions"].items())
    loads = [
        row[name]
        for row in rows
        for name in ("load_before", "load_after")
        if row[name] is not None
    ]
    busy = f"; load average {min(loads):g} to {max(loads):g}" if loads else ""
    commits = sorted(
        {row["commit"][:12] + " and changes" * row["is_dirty"] for row in rows}
    )
    return [
        paragraph(
            f"Measured on {machine['processor']}, {machine['cores']} cores, "
            f"{machine['system']}, {machine['vector_instructions']}{busy}; at commit "
            f"{', '.join(commits)}."
        ),
        "",
        paragraph(f"Versions: {used}."),
    ]


def trial_note(told: str, *numbers: tuple[float, float]) -> list[str]:
    """Warn of less than a verdict needs.

    Parameters
    ----------
    told : str
        What there is, with a field of a format for each number.
    *numbers : tuple of (float, float)
        Each with how much of it is needed.

    Returns
    -------
    list of str
        Empty where nothing is short.
    """
    if all(found >= needed for found, needed in numbers):
        return []
    there = told.format(*(found for found, _ in numbers))
    *others, last = [f"{needed:g}" for _, needed in numbers]
    wanted = f"{', '.join(others)} and {last}" if others else last
    return [paragraph(f"**A trial: {there}, where {wanted} are needed.**"), ""]


def pairs_note(counts: Iterable[int]) -> list[str]:
    """Warn of rows with fewer pairs than a verdict needs."""
    return trial_note("as few as {} pairs", (min(counts, default=N_PAIRS), N_PAIRS))
