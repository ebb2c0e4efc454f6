"""The summary and the report of the benchmark of single fits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks._problems import SHAPES
from benchmarks._statistics import geometric_mean
from benchmarks._tables import (
    interval,
    pairs_note,
    paragraph,
    provenance,
    seconds,
    table,
    verdict,
)
from benchmarks._timing import Bar, losses_agree, median_ratio, ratios

#: Shares of the peer's time, on one thread: of the mean over shapes, of every shape.
MEAN_BARS = {"sklearn": Bar(1.0), "skorch": Bar(0.3)}
SHAPE_BARS = {"sklearn": Bar(1.3)}
#: The same for a prediction of one row, and for the import.
ROW_BAR = Bar(2.0)
IMPORT_BAR = Bar(1.15)


def of_part(result: dict[str, Any], part: str) -> list[dict[str, Any]]:
    """Return the rows of one part of the benchmark, with their ratios.

    Parameters
    ----------
    result : dict
        The benchmark's file.
    part : {"fit", "predict", "import"}
        Which part.

    Returns
    -------
    list of dict
        Rows with ``wall`` and ``cpu``, the median paired ratios ours / peer with
        their intervals, and ``is_valid``: whether the losses agree.
    """
    return [
        {
            **row,
            "wall": median_ratio(ratios(row["pairs"], "wall")),
            "cpu": median_ratio(ratios(row["pairs"], "cpu")),
            "is_valid": losses_agree(row["pairs"]),
        }
        for row in result["rows"]
        if row["design"]["part"] == part
    ]


def means(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the geometric means over shapes.

    Parameters
    ----------
    rows : sequence of dict
        Rows of fits. Those whose losses disagree are left out.

    Returns
    -------
    list of dict
        For each number of threads, type and peer: ``wall`` and ``cpu`` with their
        intervals, the ``rows`` they are of, and the ``worst`` of them by wall time.
    """
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        if row["is_valid"]:
            design = row["design"]
            name = (design["threads"], design["dtype"], design["peer"])
            groups.setdefault(name, []).append(row)
    found = []
    for (threads, dtype, peer), group in groups.items():
        mean = {
            quantity: geometric_mean(
                [ratios(row["pairs"], quantity) for row in group],
                np.random.default_rng(0),
            )
            for quantity in ("wall", "cpu")
        }
        worst = max(group, key=lambda row: row["wall"]["high"])
        names = {"threads": threads, "dtype": dtype, "peer": peer}
        label = worst["design"]["peer_label"]
        found.append({**names, "label": label, "rows": group, "worst": worst, **mean})
    return found


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
    counts = [row["design"]["n_pairs"] for row in result["rows"]]
    lines = ["# Single fits, predictions and the import", "", *pairs_note(counts)]
    lines += [paragraph(_INTRODUCTION), ""]
    for part, section in _SECTIONS.items():
        if rows := of_part(result, part):
            lines += [*section(rows), ""]
    return "\n".join([*lines, *provenance(result)]) + "\n"


_INTRODUCTION = (
    "Ratios are our time divided by the peer's: below 1, ours is faster. Each is the "
    "median over pairs that were measured in turn in one process, after both were "
    "warm, with its 95 % bootstrap interval. A bar is met when the worse end of the "
    "interval meets it, in wall time and in CPU time. BLAS, OpenMP and PyTorch have "
    "the same number of threads on both sides."
)


def _fits(rows: list[dict[str, Any]]) -> list[str]:
    text = (
        "Adam at 0.001, relu, Glorot's initial weights, scikit-learn's default L2 "
        "penalty, no early stopping, the same epochs and batches; ours with "
        '`n_members=1, monitor="light"`. Peers many times slower have fewer epochs, on '
        "both sides. Losses are medians of the final log-loss or squared error, by "
        "one function from the predictions of the training rows; where they differ "
        "by over 5 %, the row is marked invalid and counts nowhere."
    )
    return [
        "## Fits",
        "",
        paragraph(text),
        "",
        *_mean_table(rows),
        "",
        *_fit_table(rows),
    ]


def _mean_table(rows: list[dict[str, Any]]) -> list[str]:
    head = "threads", "type", "peer", "mean, wall", "mean, CPU", "worst shape", "bar"
    return table(head, (_mean_cells(mean) for mean in means(rows)))


def _mean_cells(mean: dict[str, Any]) -> list[str]:
    worst = mean["worst"]
    return [
        mean["threads"],
        mean["dtype"],
        f"{mean['label']} ({len(mean['rows'])} shapes)",
        interval(mean["wall"]),
        interval(mean["cpu"]),
        f"{interval(worst['wall'])}, {worst['design']['shape']['label']}",
        _mean_verdict(mean),
    ]


def _mean_verdict(mean: dict[str, Any]) -> str:
    """Judge the mean and all shapes, on one thread and unless a shape is missing."""
    peer = mean["peer"]
    if mean["threads"] != "one" or peer not in MEAN_BARS:
        return ""
    if len(mean["rows"]) < len(SHAPES):
        return f"undecided: {len(mean['rows'])} of {len(SHAPES)} shapes"
    words = [verdict(MEAN_BARS[peer], (mean["wall"], mean["cpu"]))]
    if peer in SHAPE_BARS:
        each = [row[name] for row in mean["rows"] for name in ("wall", "cpu")]
        words.append(f"every shape {verdict(SHAPE_BARS[peer], each)}")
    return "; ".join(words)


def _fit_table(rows: list[dict[str, Any]]) -> list[str]:
    head = (
        *("shape", "type", "threads", "peer", "epochs", "ours", "peer's", "wall"),
        *("CPU", "our loss", "peer's loss", ""),
    )
    return table(head, map(_fit_cells, rows))


def _fit_cells(row: dict[str, Any]) -> list[str]:
    design, ours, peer = row["design"], row["pairs"]["ours"], row["pairs"]["peer"]
    return [
        design["shape"]["label"],
        design["dtype"],
        design["threads"],
        design["peer_label"],
        str(design["epochs"]),
        seconds(ours["wall"]),
        seconds(peer["wall"]),
        interval(row["wall"]),
        interval(row["cpu"]),
        f"{np.median(ours['loss']):.4f}",
        f"{np.median(peer['loss']):.4f}" if "loss" in peer else "",
        "" if row["is_valid"] else "**invalid**",
    ]


def _predictions(rows: list[dict[str, Any]]) -> list[str]:
    head = "rows", "type", "threads", "ours", "scikit-learn's", "wall", "CPU", "bar"
    cells = []
    for row in rows:
        design = row["design"]
        times = [
            seconds(float(np.median(row["pairs"][side]["wall"])) / design["repeats"])
            for side in ("ours", "peer")
        ]
        bar = ROW_BAR if design["rows"] == 1 else None
        cells.append(
            [
                f"{design['rows']:,}",
                design["dtype"],
                design["threads"],
                *times,
                interval(row["wall"]),
                interval(row["cpu"]),
                verdict(bar, (row["wall"], row["cpu"])),
            ]
        )
    text = "`predict` of networks with 20 inputs and 100 hidden units."
    return ["## Predictions", "", text, "", *table(head, cells)]


def _imports(rows: list[dict[str, Any]]) -> list[str]:
    head = "ours", "reference", "ours", "reference", "wall", "CPU", "bar"
    cells = [
        [
            f"`{row['design']['ours']}`",
            f"`{row['design']['peer']}`",
            *(seconds(row["pairs"][side]["wall"]) for side in ("ours", "peer")),
            interval(row["wall"]),
            interval(row["cpu"]),
            verdict(IMPORT_BAR, (row["wall"], row["cpu"])),
        ]
        for row in rows
    ]
    text = "Each in a fresh interpreter, whose start is part of the time."
    return ["## Import", "", text, "", *table(head, cells)]


_SECTIONS = {"fit": _fits, "predict": _predictions, "import": _imports}
