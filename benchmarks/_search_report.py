"""The summary and the report of the benchmark of searches."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks._tables import (
    interval,
    megabytes,
    pairs_note,
    paragraph,
    provenance,
    seconds,
    table,
    verdict,
)
from benchmarks._timing import Bar, losses_agree, median_ratio, ratios

LABELS = {
    "ours": "sknnopt",
    "sklearn": "scikit-learn's MLP, all cores",
    "skorch": "skorch, one after the other",
}
#: Times faster than the peer, by network.
GRID_BARS = {
    "sklearn": {"10-10": 8, "72": 6, "64-64-64": 4},
    "skorch": {"10-10": 30, "72": 20, "64-64-64": 12},
}
GROWTH_BAR = Bar(1.0)
MEMBERS_BAR = Bar(2.0)


def of_part(result: dict[str, Any], part: str) -> list[dict[str, Any]]:
    """Return the rows of one part of the benchmark, with what follows from them.

    Parameters
    ----------
    result : dict
        The benchmark's file.
    part : str
        Which part.

    Returns
    -------
    list of dict
        Rows; those with pairs have ``wall`` and ``cpu``, median paired ratios with
        intervals. A grid's are times faster, all others are shares of the time.
    """
    found = []
    for row in result["rows"]:
        if row["design"]["part"] == part:
            numbers: dict[str, Any] = {}
            if "pairs" in row:
                for quantity in ("wall", "cpu"):
                    each = ratios(row["pairs"], quantity, speedup=part == "grid")
                    numbers[quantity] = median_ratio(each)
                numbers["is_valid"] = losses_agree(row["pairs"])
            found.append({**row, **numbers})
    return found


def grid_bar(design: dict[str, Any]) -> Bar | None:
    """Return the bar of a grid."""
    name = "-".join(map(str, design["hidden"]))
    value = GRID_BARS[design["peer"]].get(name)
    return None if value is None else Bar(value, at_most=False)


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
    designs = [row["design"] for row in result["rows"]]
    counts = [design["n_pairs"] for design in designs if "n_pairs" in design]
    lines = ["# Searches", "", *pairs_note(counts), paragraph(_INTRODUCTION), ""]
    used = sorted({d["backend"] for d in designs if "backend" in d})
    lines += [f"Our searches run with the joblib backend {', '.join(used)}.", ""]
    for part, section in _SECTIONS.items():
        if rows := of_part(result, part):
            lines += [*section(rows), ""]
    return "\n".join([*lines, *provenance(result)]) + "\n"


_INTRODUCTION = (
    "`GridSearchCV` over learning rates on the 768 rows of the Pima table, a Pipeline "
    "with a StandardScaler, stratified folds, scored by log-loss, without the final "
    "fit on all rows; every fit has 30 epochs of batches of 32, Adam, relu, float32. "
    "Measured in turn after both were warm, pools of processes alive. Brackets hold "
    "95 % bootstrap intervals of the median over pairs."
)


def _grids(rows: list[dict[str, Any]]) -> list[str]:
    text = (
        "Times faster is the peer's wall time divided by ours. CPU time includes that "
        "of worker processes. Losses are means of the training log-loss over all fits, "
        "from five draws of initial weights (skorch's fits draw one each); where they "
        "differ by over 5 %, the row is invalid."
    )
    head = (
        *("network", "fits", "peer", "ours", "peer's", "times faster, wall", "CPU"),
        *("our loss", "peer's loss", "bar"),
    )
    return ["## Grid", "", paragraph(text), "", *table(head, map(_grid_cells, rows))]


def _grid_cells(row: dict[str, Any]) -> list[str]:
    design, pairs = row["design"], row["pairs"]
    bar = verdict(grid_bar(design), [row["wall"]])
    return [
        str(tuple(design["hidden"])),
        str(design["size"]["n_fits"]),
        LABELS[design["peer"]],
        *(seconds(pairs[side]["wall"]) for side in ("ours", "peer")),
        interval(row["wall"]),
        interval(row["cpu"]),
        *(f"{np.median(pairs[side]['loss']):.4f}" for side in ("ours", "peer")),
        bar if row["is_valid"] else "**invalid**",
    ]


def _growth(rows: list[dict[str, Any]]) -> list[str]:
    small = rows[0]["design"]["small"]["n_fits"]
    head = (
        *("fits", f"time per fit of {small}", "time per fit", "ratio, wall"),
        *("ratio, CPU", "bar"),
    )
    cells = [
        [
            f"{row['design']['size']['n_fits']:,}",
            seconds(row["pairs"]["peer"]["wall"]),
            seconds(row["pairs"]["ours"]["wall"]),
            interval(row["wall"]),
            interval(row["cpu"]),
            verdict(GROWTH_BAR, [row["wall"]]),
        ]
        for row in rows
    ]
    return ["## Larger searches", "", *table(head, cells)]


def _references(rows: list[dict[str, Any]]) -> list[str]:
    head = "fits", "time per fit", "runs"
    cells = [
        [
            f"{row['design']['size']['n_fits']:,}",
            seconds(row["wall"]),
            str(row["design"]["n_runs"]),
        ]
        for row in rows
    ]
    text = (
        "scikit-learn's network on all cores, alone and in few runs, since each takes "
        "long; medians."
    )
    return ["", paragraph(text), "", *table(head, cells)]


def _memories(rows: list[dict[str, Any]]) -> list[str]:
    head = "fits", "peak memory"
    cells = [
        [f"{row['design']['size']['n_fits']:,}", megabytes(row["peak"])] for row in rows
    ]
    text = "Of a fresh process with our search, less what it has after the imports."
    return ["## Memory", "", text, "", *table(head, cells)]


def _members(rows: list[dict[str, Any]]) -> list[str]:
    head = "threads", "members", "ours", "one member", "ratio, wall", "CPU", "bar"
    cells = [
        [
            row["design"]["threads"],
            str(row["design"]["n_members"]),
            seconds(row["pairs"]["ours"]["wall"]),
            seconds(row["pairs"]["peer"]["wall"]),
            interval(row["wall"]),
            interval(row["cpu"]),
            verdict(MEMBERS_BAR, [row["wall"]]),
        ]
        for row in rows
    ]
    text = "`n_members`, on 614×8 (72, 72) batch 32, beside a single network."
    return ["## Members", "", text, "", *table(head, cells)]


_SECTIONS = {
    "grid": _grids,
    "growth": _growth,
    "reference": _references,
    "memory": _memories,
    "members": _members,
}
