"""Make what is asked for, and write what is known."""

from __future__ import annotations

from pathlib import Path

from benchmarks._settings import Settings
from benchmarks.diagnosis._faults import PARTS as OF_TABLES
from benchmarks.diagnosis._labelling import measure

#: ``runs`` are those of both ``development`` and ``final``.
PARTS = ("runs", *OF_TABLES)


def run(out: Path, settings: Settings) -> None:
    """Make and label runs.

    Numbers are kept in ``diagnosis/``; those of a smoke test in ``diagnosis-quick/``.

    Parameters
    ----------
    out : Path
        Directory of the results. Runs that are there already are not made again.
    settings : Settings
        ``parts`` are some of ``PARTS``.
    """
    parts = settings.parts or PARTS
    directory = out / ("diagnosis-quick" if settings.quick else "diagnosis")
    for part in OF_TABLES:
        if part in parts or "runs" in parts:
            directory.mkdir(parents=True, exist_ok=True)
            measure(part, directory, settings)
