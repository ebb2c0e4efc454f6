"""Times of fits at default settings, ours and two peers in turn."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._machine import commit, load, surroundings
from benchmarks._results import plain, write_json
from benchmarks._tables import paragraph, provenance, seconds, table
from benchmarks._timing import Bar, limited_threads
from benchmarks.quality._catalogue import TABLES, Table
from benchmarks.quality._methods import METHODS, OURS
from benchmarks.quality._splits import CAP, split

#: Development tables, short and long, of few and of many classes and features.
TIMED = [
    TABLES[name]
    for name in (
        "pima",
        "vehicle",
        "german",
        "phoneme",
        "spambase",
        "letter",
        "vowel",
        "MASS/Boston",
        "Ecdat/Computers",
        "ggplot2/diamonds",
    )
]
#: First fits load what later ones find loaded, for each task.
_WARM_UP = ("iris", "diabetes")
#: What the median over tables of the ratio to a peer must reach.
BARS = {"sklearn": Bar(3.0), "realmlp-s": Bar(0.25)}
N_ROUNDS = 3
_DIGITS = 6


def measure_fit_times(
    path: Path,
    tables: Sequence[Table],
    peers: Sequence[str],
    *,
    cap: int | None = CAP,
    n_rounds: int = N_ROUNDS,
) -> None:
    """Time all fits, in turn, and write them.

    Parameters
    ----------
    path : Path
        The JSON file.
    tables : sequence of Table
        On which.
    peers : sequence of str
        Of ``BARS``.
    cap : int or None, default=3000
        Rows of a table that are used; None takes all.
    n_rounds : int, default=3
        Splits of each table, each fitted once by each method.
    """
    names = [OURS, *peers]
    for name in _WARM_UP:
        if TABLES[name].is_installed:
            time_fits(TABLES[name], names, 0)
    rows = []
    for entry in tables:
        before = load()
        times = [time_fits(entry, names, number, cap) for number in range(n_rounds)]
        found = {name: [each[name] for each in times] for name in names}
        head = {**commit(), "load_before": before, "load_after": load()}
        rows.append({"table": entry.name, **head, "seconds": found})
    result = {**surroundings(), "rows": rows}
    for name in names:
        result["versions"].update(METHODS[name].versions())
    write_json(path, plain(result, _DIGITS))


def time_fits(
    entry: Table, names: Sequence[str], number: int, cap: int | None = CAP
) -> dict[str, float]:
    """Fit methods to one split, beginning with another one each time.

    Parameters
    ----------
    entry : Table
        What is split.
    names : sequence of str
        Of ``METHODS``.
    number : int
        Which split.
    cap : int or None, default=3000
        Rows of a table that are used; None takes all.

    Returns
    -------
    dict
        Seconds by method.
    """
    rows = split(entry, number, cap)
    first = number % len(names)
    found = {}
    with limited_threads(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in [*names[first:], *names[:first]]:
            model = METHODS[name].make(entry.task, number)
            begun = time.perf_counter()
            model.fit(rows.X_train, rows.y_train)
            found[name] = time.perf_counter() - begun
    return found


def section(result: dict[str, Any]) -> str:
    """Write the report's section.

    Parameters
    ----------
    result : dict
        The file.

    Returns
    -------
    str
        Markdown.
    """
    rows = result["rows"]
    names = list(rows[0]["seconds"])
    peers = names[1:]
    verdicts = " ".join(_verdict(rows, peer) for peer in peers)
    cells = [
        [
            row["table"],
            *(seconds(row["seconds"][name]) for name in names),
            *(f"{_ratio(row, peer):.3g}" for peer in peers),
        ]
        for row in rows
    ]
    head = ["table", *(METHODS[name].label for name in names)]
    head += [f"ratio to {METHODS[name].label}" for name in peers]
    words = paragraph(f"One thread, in turn; medians over splits. {verdicts}")
    lines = ["## Time of a fit\n", words, "", *table(head, cells), ""]
    return "\n".join([*lines, *provenance(result), ""])


def _verdict(rows: list[dict[str, Any]], peer: str) -> str:
    value = float(np.median([_ratio(row, peer) for row in rows]))
    outcome = BARS[peer].is_met({"low": value, "high": value})
    return (
        f"Median over tables of the ratio to {METHODS[peer].label}: {value:.3g} "
        f"(bar {BARS[peer]}: {'met' if outcome else '**missed**'})."
    )


def _ratio(row: dict[str, Any], peer: str) -> float:
    """Return the median over splits of our time to the peer's."""
    ours, other = (np.array(row["seconds"][name]) for name in (OURS, peer))
    return float(np.median(ours / other))
