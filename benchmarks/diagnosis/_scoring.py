"""Recall and precision of findings over labelled runs, with Wilson intervals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._statistics import wilson
from benchmarks.diagnosis._criteria import LABELS
from benchmarks.diagnosis._faults import FAULTS, HEALTHY
from benchmarks.diagnosis._labelling import is_kept, stored

SEVERE = "severe"


@dataclass(frozen=True)
class Judged:
    """A run of the set: what it was made for, what it deserves, what was found."""

    fault: str
    labels: frozenset[str]
    findings: Sequence[Sequence[Any]]

    @property
    def names(self) -> frozenset[str]:
        """Return the names of the findings."""
        return frozenset(name for name, *_ in self.findings)

    @property
    def is_healthy(self) -> bool:
        """Tell whether the run deserves no finding."""
        return not self.labels

    @property
    def is_accused(self) -> bool:
        """Tell whether anything severe was found."""
        return any(severity == SEVERE for _, severity, _ in self.findings)


def judged(directory: Path, part: str) -> list[Judged]:
    """Return the runs of a part that are in the set and have been diagnosed.

    Parameters
    ----------
    directory : Path
        Where rows are stored.
    part : {"development", "final"}
        Which.

    Returns
    -------
    list of Judged
        Runs.
    """
    found = {_name(row): row["findings"] for row in stored(directory, "findings", part)}
    return [
        Judged(row["design"]["fault"], frozenset(row["labels"]), found[_name(row)])
        for row in stored(directory, "labels", part)
        if is_kept(row) and _name(row) in found
    ]


def _name(row: dict[str, Any]) -> str:
    # With the design: findings of a run that has changed since are of another run.
    return f"{row['key']} {row['design']}"


def scores(runs: Sequence[Judged]) -> dict[str, Any]:
    """Return recall and precision of each finding and of all.

    Parameters
    ----------
    runs : sequence of Judged
        The set.

    Returns
    -------
    dict
        ``findings``, for each name ``recall``, ``precision`` and their counts, ``all``
        the same over all of them together, ``accused``, the share of healthy runs of
        which something severe was found, and ``any``, of which anything was.
    """
    counts = {name: _counts(runs, name) for name in LABELS}
    total: Counter[str] = sum(counts.values(), Counter())
    healthy = [run for run in runs if run.is_healthy]
    n_accused = sum(run.is_accused for run in healthy)
    n_any = sum(bool(run.findings) for run in healthy)
    return {
        "findings": {name: _rates(each) for name, each in counts.items()},
        "all": _rates(total),
        "accused": {**wilson(n_accused, len(healthy)), "count": n_accused},
        "any": {**wilson(n_any, len(healthy)), "count": n_any},
        "n_healthy": len(healthy),
        "n_faulty": len(runs) - len(healthy),
    }


def _counts(runs: Iterable[Judged], name: str) -> Counter[str]:
    counts: Counter[str] = Counter()
    for run in runs:
        is_due, is_found = name in run.labels, name in run.names
        counts["due"] += is_due
        counts["found"] += is_found
        counts["right"] += is_due and is_found
    return counts


def _rates(counts: Counter[str]) -> dict[str, Any]:
    return {
        **{name: counts[name] for name in ("due", "found", "right")},
        "recall": wilson(counts["right"], counts["due"]),
        "precision": wilson(counts["right"], counts["found"]),
    }


def census(directory: Path, part: str) -> dict[str, dict[str, Any]]:
    """Count what became of the runs that were made.

    Parameters
    ----------
    directory : Path
        Where rows are stored.
    part : {"development", "final"}
        Which.

    Returns
    -------
    dict
        For each fault, and for the healthy: ``made``, ``kept`` (with the injected
        fault's label, or healthy without any), ``labels`` of the runs in the set, and
        the median ``seconds`` of labelling one.
    """
    rows = stored(directory, "labels", part)
    found = {}
    for fault in [*FAULTS, HEALTHY]:
        mine = [row for row in rows if row["design"]["fault"] == fault]
        in_set = [row for row in mine if is_kept(row)]
        is_meant = [_is_as_meant(row) for row in mine]
        found[fault] = {
            "made": len(mine),
            "kept": sum(is_meant),
            "labels": Counter(name for row in in_set for name in row["labels"]),
            "seconds": float(np.median([row["seconds"] for row in mine] or [0.0])),
        }
    return found


def _is_as_meant(row: dict[str, Any]) -> bool:
    fault = row["design"]["fault"]
    return not row["labels"] if fault == HEALTHY else fault in row["labels"]


def remedy_shares(directory: Path) -> dict[str, Any]:
    """Return in how many runs the remedy, and each control, improved the metric.

    Parameters
    ----------
    directory : Path
        Where rows are stored.

    Returns
    -------
    dict
        ``remedy``, ``seed`` and ``epochs`` with Wilson intervals, ``count``, and
        ``findings``: for each name the remedy's share and its ``count``.
    """
    rows = stored(directory, "remedies", "final")
    names = {row["design"]["finding"] for row in rows}
    of_names = {
        name: [row for row in rows if row["design"]["finding"] == name]
        for name in LABELS
        if name in names
    }
    return {
        "count": len(rows),
        **{kind: _improved(rows, kind) for kind in ("remedy", "seed", "epochs")},
        "findings": {
            name: {"count": len(some), **_improved(some, "remedy")}
            for name, some in of_names.items()
        },
    }


def _improved(rows: Sequence[dict[str, Any]], kind: str) -> dict[str, float]:
    return wilson(sum(row["is_improved"][kind] for row in rows), len(rows))
