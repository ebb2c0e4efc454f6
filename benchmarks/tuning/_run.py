"""Measure what is asked for, and write what is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks._settings import Settings
from benchmarks.tuning._budget import measure_budget
from benchmarks.tuning._comparing import read
from benchmarks.tuning._figures import draw_curves, draw_guide, draw_ratios
from benchmarks.tuning._guide import measure_guide
from benchmarks.tuning._overhead import measure_overhead
from benchmarks.tuning._pruning import measure_pruning
from benchmarks.tuning._report import report

_MEASURES: dict[str, Callable[[Path, Settings], None]] = {
    "guide": measure_guide,
    "budget": measure_budget,
    "pruning": measure_pruning,
    "overhead": measure_overhead,
}
#: What is measured, and the report, which every part ends with.
PARTS = (*_MEASURES, "report")
#: The others take hours: they have to be asked for.
DEFAULT_PARTS = ("overhead", "report")


def run(out: Path, settings: Settings) -> None:
    """Search, and write ``tuning.md`` and pictures.

    Numbers are kept in ``tuning/``; those of a smoke test in ``tuning-quick/``.

    Parameters
    ----------
    out : Path
        Directory of the results. Searches that are there already, of the same versions
        and with the same settings, are not repeated.
    settings : Settings
        What to measure: ``parts`` are some of ``PARTS``, by default ``DEFAULT_PARTS``,
        ``peers`` searches of the part ``"budget"``, ``pairs`` the number of splits or
        runs, and ``seconds`` what each search of ``"budget"`` gets.
    """
    asked = DEFAULT_PARTS if settings.parts is None else settings.parts
    parts = [part for part in PARTS if part in asked]
    if not parts:
        return
    directory = out / ("tuning-quick" if settings.quick else "tuning")
    directory.mkdir(parents=True, exist_ok=True)
    for part, measure in _MEASURES.items():
        if part in parts:
            measure(directory, settings)
    write_report(directory)


def write_report(directory: Path) -> None:
    """Write the report and the pictures of all that is stored.

    Parameters
    ----------
    directory : Path
        Holds the stored numbers. The report is written beside it, under its name.
    """
    stored = read(directory)
    text = report(stored)
    directory.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)
    for name, draw in _FIGURES.items():
        draw(stored, directory.with_name(f"{directory.name}_{name}.png"))


_FIGURES = {"guide": draw_guide, "ratios": draw_ratios, "curves": draw_curves}
