"""The report of the benchmark of growth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks._tables import megabytes, paragraph, provenance, seconds, table
from benchmarks._timing import Bar

#: Peak memory of the largest fit, as a multiple of its data.
PEAK_BAR = Bar(1.3)
#: Share of a fit that goes into matrix products, for layers of this width.
PRODUCTS_BAR = Bar(0.6, at_most=False)
BAR_WIDTH = 256


def of_part(result: dict[str, Any], part: str) -> list[dict[str, Any]]:
    """Return the rows of one part of the benchmark."""
    return [row for row in result["rows"] if row["design"]["part"] == part]


def exponent(rows: Sequence[dict[str, Any]]) -> float:
    """Return the power of the number of rows that the time of an epoch grows with.

    Parameters
    ----------
    rows : sequence of dict
        Of the part ``"rows"``, two or more.

    Returns
    -------
    float
        1 where time is linear; the least-squares slope of logarithms.
    """
    count = np.log([row["design"]["rows"] for row in rows])
    time = np.log([np.median(row["wall"]) for row in rows]) + count
    return float(np.polyfit(count, time, 1)[0])


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
        "Each point is the median over fresh processes on one thread, with the lowest "
        "and the highest in brackets; a bar is met when the worse of the two meets it. "
        "Memory is the highest that a process reaches, resident pages of the map "
        "included, less what it has after the imports and after opening the data."
    )
    lines = ["# Rows, width and networks", "", paragraph(text), ""]
    for part, section in _SECTIONS.items():
        if rows := of_part(result, part):
            lines += [*section(rows), ""]
    return "\n".join([*lines, *provenance(result)]) + "\n"


def _spread(values: Sequence[float]) -> str:
    return f"{np.median(values):.3g} [{min(values):.3g}, {max(values):.3g}]"


def _time_spread(values: Sequence[float]) -> str:
    return f"{seconds(values)} [{seconds(min(values))}, {seconds(max(values))}]"


def _judged(bar: Bar, values: Sequence[float]) -> str:
    is_met = bar.is_met({"low": min(values), "high": max(values)})
    return f"{bar}: {'met' if is_met else '**missed**'}"


def _rows(rows: list[dict[str, Any]]) -> list[str]:
    head = (
        "rows",
        "epochs",
        "processes",
        "time per row and epoch",
        "peak memory / data",
        "bar",
    )
    largest = max(row["design"]["rows"] for row in rows)
    cells = [
        [
            f"{row['design']['rows']:,}",
            str(row["design"]["epochs"]),
            str(row["design"]["n_runs"]),
            _time_spread(row["wall"]),
            _spread(row["peak"]),
            _judged(PEAK_BAR, row["peak"]) if row["design"]["rows"] == largest else "",
        ]
        for row in rows
    ]
    design = rows[0]["design"]
    text = (
        "Fits of rows of 28 numbers in single precision from a memory map: hidden "
        f"layers {tuple(design['hidden'])}, batches of 1,024. Small data are "
        "outweighed by what any fit needs."
    )
    lines = ["## Rows", "", paragraph(text), "", *table(head, cells)]
    if len(rows) > 1:
        grows = (
            f"The time of an epoch grows with rows to the power {exponent(rows):.2f}."
        )
        lines += ["", grows]
    return lines


def _width(rows: list[dict[str, Any]]) -> list[str]:
    head = "hidden layers", "time per update", "products / wall time", "bar"
    cells = []
    for row in rows:
        width = row["design"]["width"]
        is_judged = width == BAR_WIDTH
        cells.append(
            [
                f"({width}, {width})",
                _time_spread(row["wall"]),
                _spread(row["share"]),
                _judged(PRODUCTS_BAR, row["share"]) if is_judged else "",
            ]
        )
    text = (
        f"Fits of {rows[0]['design']['rows']:,} rows of 28 numbers, batches of "
        "1,024. How much of the wall time goes into matrix products is from a profiled "
        "fit, which is slower; time per update is from one without the profiler."
    )
    return ["## Width", "", paragraph(text), "", *table(head, cells)]


def _networks(rows: list[dict[str, Any]]) -> list[str]:
    head = "hidden layers", "networks", "time per network and epoch", "peak memory"
    cells = [
        [
            str(tuple(row["design"]["hidden"])),
            str(row["design"]["n_members"]),
            _time_spread(row["wall"]),
            megabytes(float(np.median(row["peak"]))),
        ]
        for row in rows
    ]
    text = "`n_members` networks in one fit, on 614×8 rows in batches of 32."
    return ["## Networks", "", text, "", *table(head, cells)]


def _predict(rows: list[dict[str, Any]]) -> list[str]:
    head = "hidden layers", "rows", "time", "peak memory / data"
    cells = [
        [
            str(tuple(row["design"]["hidden"])),
            f"{row['design']['rows']:,}",
            _time_spread([wall * row["design"]["rows"] for wall in row["wall"]]),
            _spread(row["peak"]),
        ]
        for row in rows
    ]
    text = "`predict` of rows of 28 numbers from a memory map."
    return ["## Predictions", "", text, "", *table(head, cells)]


_SECTIONS = {
    "rows": _rows,
    "width": _width,
    "networks": _networks,
    "predict": _predict,
}
