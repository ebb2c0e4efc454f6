"""Make what is asked for, and write what is known."""

from __future__ import annotations

from pathlib import Path

from benchmarks._settings import Settings
from benchmarks.diagnosis._faults import PARTS as OF_TABLES
from benchmarks.diagnosis._figures import draw_scores
from benchmarks.diagnosis._labelling import measure
from benchmarks.diagnosis._remedies import measure_remedies
from benchmarks.diagnosis._report import report

#: ``runs`` are those of both ``development`` and ``final``; every part ends with
#: ``score``, the report.
PARTS = ("runs", *OF_TABLES, "remedies", "score")
#: The others take an hour: they have to be asked for.
DEFAULT_PARTS = ("score",)


def run(out: Path, settings: Settings) -> None:
    """Make and label runs, diagnose them, apply remedies; write ``diagnosis.md``.

    Numbers are kept in ``diagnosis/``; those of a smoke test in ``diagnosis-quick/``.

    Parameters
    ----------
    out : Path
        Directory of the results. Runs that are there already are not made again;
        findings and remedies are, where the package's source has changed.
    settings : Settings
        ``parts`` are some of ``PARTS``, by default ``DEFAULT_PARTS``; ``jobs`` is the
        number of processes.
    """
    asked = DEFAULT_PARTS if settings.parts is None else settings.parts
    parts = [part for part in PARTS if part in asked]
    if not parts:
        return
    directory = out / ("diagnosis-quick" if settings.quick else "diagnosis")
    directory.mkdir(parents=True, exist_ok=True)
    for part in OF_TABLES:
        if part in parts or "runs" in parts:
            measure(part, directory, settings)
    if "remedies" in parts:
        measure_remedies(directory, settings)
    write_report(directory)


def write_report(directory: Path) -> None:
    """Write the report and the picture of all that is stored.

    Parameters
    ----------
    directory : Path
        Holds the stored numbers. The report is written beside it, under its name; none
        where nothing is stored.
    """
    if not any(directory.glob("*.json")):
        print("diagnosis: nothing is stored; --parts runs makes the runs.")
        return
    text = report(directory)
    directory.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)
    draw_scores(directory, directory.with_suffix(".png"))
