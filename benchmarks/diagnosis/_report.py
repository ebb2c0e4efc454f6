"""The report on diagnoses, in Markdown. Nothing is trained or drawn here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._tables import (
    interval,
    paragraph,
    provenance,
    table,
    trial_note,
    verdict,
)
from benchmarks._timing import Bar
from benchmarks.diagnosis._criteria import LABELS
from benchmarks.diagnosis._faults import FAULTS, HEALTHY, PARTS
from benchmarks.diagnosis._remedies import N_SEEDS
from benchmarks.diagnosis._scoring import census, judged, remedy_shares, scores

OVERALL = Bar(0.9, at_most=False)
EACH = Bar(0.75, at_most=False)
ACCUSED = Bar(0.02)
IMPROVED = Bar(0.8, at_most=False)
MARGIN = Bar(0.4, at_most=False)
LEAST_FAULTY, LEAST_HEALTHY = 20, 300
NOT_MEASURED = "not measured"

_INTRODUCTION = (
    "Runs with injected faults and healthy ones are labelled by their outcome: by the "
    "weights after each epoch (autograd and forward passes), and by the losses of rows "
    "apart beside two healthy twins (the same rows, two seeds, sensible settings) and "
    "beside the same run with one thing changed. A run whose injected fault does no "
    "harm is dropped. The development part and the final part share no table and no "
    "strength of a fault; thresholds are chosen on the former. Brackets hold 95 % "
    "Wilson intervals; a bar is judged by the share itself."
)
_HARM = (
    "Harm is a test loss above that of both twins, by 2 standard errors of paired rows "
    "and by 2 % of the loss of a constant response."
)


def report(directory: Path) -> str:
    """Write what is stored as Markdown.

    Parameters
    ----------
    directory : Path
        Where rows are stored.

    Returns
    -------
    str
        Markdown.
    """
    lines = ["# Diagnoses of training runs", "", paragraph(_INTRODUCTION), ""]
    for part in reversed(PARTS):
        lines += _part(directory, part)
    lines += [*_remedies(directory), *_criteria(), *_provenance(directory)]
    return "\n".join(lines)


def _part(directory: Path, part: str) -> Iterator[str]:
    counted = census(directory, part)
    if not any(each["made"] for each in counted.values()):
        return
    runs = judged(directory, part)
    found = scores(runs)
    yield f"## The {part} part\n"
    if runs:
        yield from _trial_note(found, part)
        yield from table(["", "share", "bar"], _bars(found))
    else:
        yield "`diagnose()` has not been asked."
    yield ""
    yield from table(*_findings(counted, found))
    yield ""
    healthy = counted[HEALTHY]
    yield paragraph(
        f"Of {healthy['made']} runs with sensible settings {healthy['kept']} carry no "
        f"label; the others count among the faulty."
    )
    yield ""


def _trial_note(found: dict[str, Any], part: str) -> Iterator[str]:
    fewest = min(each["due"] for each in found["findings"].values())
    if part == "final":
        yield from trial_note(
            "as few as {} runs of a fault and {} healthy ones",
            (fewest, LEAST_FAULTY),
            (found["n_healthy"], LEAST_HEALTHY),
        )


def _bars(found: dict[str, Any]) -> list[list[str]]:
    recalls = {n: each["recall"] for n, each in found["findings"].items()}
    name = min(recalls, key=lambda n: _value(recalls[n]))
    worst = {"least recall of a finding": (recalls[name], EACH)}
    rows = {
        "recall, all findings": (found["all"]["recall"], OVERALL),
        "precision, all findings": (found["all"]["precision"], OVERALL),
        **worst,
        f"healthy runs accused of anything severe, of {found['n_healthy']}": (
            found["accused"],
            ACCUSED,
        ),
        "healthy runs with any finding": (found["any"], None),
    }
    return [
        [
            text + (f" ({name})" if text in worst else ""),
            _share(share),
            judge(bar, share),
        ]
        for text, (share, bar) in rows.items()
    ]


def judge(bar: Bar | None, share: dict[str, float]) -> str:
    """Judge a share by itself, whatever its interval.

    Parameters
    ----------
    bar : Bar or None
        None where no bar is set.
    share : dict
        Of :func:`benchmarks._statistics.wilson`.

    Returns
    -------
    str
        The bar, and whether it is met.
    """
    if share["value"] != share["value"]:
        return NOT_MEASURED
    return verdict(bar, [dict.fromkeys(share, share["value"])])


def _value(share: dict[str, float]) -> float:
    """Return a share to find the least by: what has none comes last."""
    return 2.0 if np.isnan(share["value"]) else share["value"]


def _share(share: dict[str, float]) -> str:
    return NOT_MEASURED if np.isnan(share["value"]) else interval(share)


def _findings(
    counted: dict[str, Any], found: dict[str, Any]
) -> tuple[list[str], list[list[str]]]:
    head = [
        *("finding", "injected", "kept", "runs with the label", "found", "rightly"),
        *("recall", "precision", "seconds a run"),
    ]
    rows = []
    for name in FAULTS:
        made, each = counted[name], found["findings"][name]
        with_label = sum(one["labels"][name] for one in counted.values())
        rows.append(
            [
                name,
                *map(str, (made["made"], made["kept"], with_label)),
                *map(str, (each["found"], each["right"])),
                *(_share(each[kind]) for kind in ("recall", "precision")),
                f"{made['seconds']:.2g}",
            ]
        )
    return head, rows


_REMEDIES = (
    "Of each faulty final run the first finding that is right and has keywords for a "
    "remedy is applied, on the same rows and from {seeds} seeds. It improves the run "
    "if the mean paired gain in the metric that the finding names exceeds twice its "
    "standard error. The controls are another seed, and the epochs that the remedy "
    "adds, alone (which improve nothing where it adds none)."
)


def _remedies(directory: Path) -> Iterator[str]:
    shares = remedy_shares(directory)
    if not shares["count"]:
        return
    yield "## Remedies\n"
    yield paragraph(_REMEDIES.format(seeds=N_SEEDS))
    yield ""
    best = max(shares[kind]["value"] for kind in ("seed", "epochs"))
    margin = shares["remedy"]["value"] - best
    of_margin = dict.fromkeys(("value", "low", "high"), margin)
    text = f"improved, of {shares['count']} runs"
    yield from table(
        ["", text, "bar"],
        [
            [
                "the first remedy",
                interval(shares["remedy"]),
                judge(IMPROVED, shares["remedy"]),
            ],
            ["another seed", interval(shares["seed"]), ""],
            ["extra epochs alone", interval(shares["epochs"]), ""],
            ["above the better control", f"{margin:.3g}", judge(MARGIN, of_margin)],
        ],
    )
    yield ""
    yield from table(
        ["finding", "runs", "improved", "metric"],
        [
            [name, str(each["count"]), interval(each), LABELS[name].metric]
            for name, each in shares["findings"].items()
        ],
    )
    yield ""


def _criteria() -> Iterator[str]:
    yield "## What a run is labelled by\n"
    yield paragraph(_HARM)
    yield ""
    yield from table(
        ["label", "criterion", "metric"],
        [[name, each.summary, each.metric] for name, each in LABELS.items()],
    )
    yield ""


def _provenance(directory: Path) -> Iterator[str]:
    files = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(directory.glob("*.json"))
    ]
    rows = [row for file in files for row in file["rows"]]
    if not rows:
        return
    versions: dict[str, str] = {}
    for file in files:
        versions |= file["versions"]
    yield "## What was measured\n"
    yield from provenance(
        {"machine": files[0]["machine"], "versions": versions, "rows": rows}
    )
    yield ""
