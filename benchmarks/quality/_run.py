"""Fit what is asked for, and write what is known."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks._settings import Settings
from benchmarks.quality import (
    _choice,
    _fit_times,
    _large_tables,
    _later,
    _shared_rows,
    _small_tables,
)
from benchmarks.quality._catalogue import GROUPS, TABLES, Table
from benchmarks.quality._comparing import read_scores, read_versions
from benchmarks.quality._figures import draw_against_time, draw_ranks
from benchmarks.quality._methods import METHODS, OURS
from benchmarks.quality._report import report, versions_section
from benchmarks.quality._running import run_method
from benchmarks.quality._splits import CAP

#: Groups of tables, what else is measured, and the report, which every part ends with.
PARTS = (
    *GROUPS,
    "choice",
    "tables",
    "short-tables",
    "fit-times",
    "large-tables",
    "report",
)
#: Defaults are chosen on development tables; others have to be asked for.
DEFAULT_PARTS = ("development", "report")
_QUICK_TABLES = ("iris", "diabetes")
#: Sections of the report that follow the scores, each of a file.
_SECTIONS: dict[str, Callable[[dict[str, Any]], str]] = {
    "short_tables": _small_tables.section,
    "fit_times": _fit_times.section,
    "large_tables": _large_tables.section,
    "choice": _choice.section,
    "tables": _shared_rows.section,
}


def run(out: Path, settings: Settings) -> None:
    """Fit methods to tables, and write ``quality.md`` and pictures.

    Scores are kept in ``quality/``, a file for each method. Runs whose scores cannot
    stand beside those have other names: ``quality-full``, ``quality-quick``.

    Parameters
    ----------
    out : Path
        Directory of the results. Scores that are there already, of the same versions,
        are not computed again.
    settings : Settings
        What to fit: ``peers`` are methods, ``parts`` some of ``PARTS``, by default
        ``DEFAULT_PARTS``.
    """
    asked = DEFAULT_PARTS if settings.parts is None else settings.parts
    parts = [part for part in PARTS if part in asked]
    if not parts:
        return
    directory = out / _stem(settings)
    directory.mkdir(parents=True, exist_ok=True)
    groups = [GROUPS[part] for part in parts if part in GROUPS]
    _fit_methods(directory, [table for group in groups for table in group], settings)
    for part, measure in _MEASURES.items():
        if part in parts:
            measure(directory, settings)
    write_report(directory, cap=_cap(settings))


def _stem(settings: Settings) -> str:
    words = ["quality", *["full"] * settings.full, *["quick"] * settings.quick]
    return "-".join(words)


def _cap(settings: Settings) -> int | None:
    return None if settings.full else CAP


def _fit_methods(directory: Path, tables: Sequence[Table], settings: Settings) -> None:
    tables = _available(tables, settings)
    if not tables:
        return
    for name in _installed(METHODS, settings):
        run_method(
            name,
            tables,
            directory,
            cap=_cap(settings),
            most_splits=1 if settings.quick else None,
            jobs=settings.jobs,
        )


def _available(tables: Sequence[Table], settings: Settings) -> list[Table]:
    """Return the tables that are installed, and of them but few in a smoke test."""
    if settings.quick:
        tables = [table for table in tables if table.name in _QUICK_TABLES]
    for collection in sorted({t.collection for t in tables if not t.is_installed}):
        print(f"Tables of {collection} are left out: it is not installed.")
    return [table for table in tables if table.is_installed]


def _installed(names: Iterable[str], settings: Settings) -> list[str]:
    """Return the methods that are asked for and installed."""
    asked = [name for name in names if settings.wants("peers", name)]
    for name in asked:
        if METHODS[name].missing:
            missing = ", ".join(METHODS[name].missing)
            print(f"{METHODS[name].label} is left out: it needs {missing}.")
    return [name for name in asked if not METHODS[name].missing]


def _measure_choice(directory: Path, settings: Settings) -> None:
    _choice.measure_choice(directory, jobs=settings.jobs, quick=settings.quick)


def _measure_tables(directory: Path, settings: Settings) -> None:
    tables = _available(list(TABLES.values()), settings)
    path = directory / "tables.json"
    _shared_rows.measure_tables(path, tables, cap=_cap(settings))


def _measure_short_tables(directory: Path, settings: Settings) -> None:
    tables = _available(_small_tables.short_tables(), settings)
    if not tables or not settings.wants("peers", _small_tables.PEER):
        print("No short table is installed, or the peer is not asked for.")
        return
    _small_tables.measure_short_tables(
        directory / "short_tables.json",
        tables,
        jobs=settings.jobs,
        n_repeats=1 if settings.quick else _small_tables.N_REPEATS,
    )


def _measure_fit_times(directory: Path, settings: Settings) -> None:
    quick = [TABLES[name] for name in _QUICK_TABLES]
    tables = _available(quick if settings.quick else _fit_times.TIMED, settings)
    peers = _installed(_fit_times.BARS, settings)
    if not tables or not peers:
        print("No table of which fits are timed is installed, or no peer.")
        return
    _fit_times.measure_fit_times(
        directory / "fit_times.json",
        tables,
        peers,
        cap=_cap(settings),
        n_rounds=1 if settings.quick else _fit_times.N_ROUNDS,
    )


def _measure_large_tables(directory: Path, settings: Settings) -> None:
    path = directory / "large_tables.json"
    _large_tables.measure_large_tables(path, quick=settings.quick)


_MEASURES: dict[str, Callable[[Path, Settings], None]] = {
    "choice": _measure_choice,
    "tables": _measure_tables,
    "short-tables": _measure_short_tables,
    "fit-times": _measure_fit_times,
    "large-tables": _measure_large_tables,
}


def write_report(directory: Path, *, cap: int | None = CAP) -> None:
    """Write the report and the pictures of all that is stored.

    Parameters
    ----------
    directory : Path
        Holds the stored numbers. The report is written beside it, under its name.
    cap : int or None, default=3000
        Rows of a table that were used; None: all.
    """
    scores = read_scores(directory)
    sections = [report(scores, cap=cap), _later.section(directory)]
    for name, section in _SECTIONS.items():
        path = directory / f"{name}.json"
        if path.exists():
            sections.append(section(json.loads(path.read_text(encoding="utf-8"))))
    versions = read_versions(directory)
    if versions:
        sections.append(versions_section(versions))
    text = "\n".join(filter(None, sections))
    directory.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)
    group = drawn_group(scores)
    if group is not None:
        draw_ranks(scores, group, _beside(directory, "ranks"))
        draw_against_time(scores, group, _beside(directory, "time"))


def _beside(directory: Path, name: str) -> Path:
    return directory.with_name(f"{directory.name}_{name}.png")


def drawn_group(scores: pd.DataFrame) -> str | None:
    """Return which group's scores are drawn.

    Parameters
    ----------
    scores : DataFrame
        Of :func:`benchmarks.quality._comparing.read_scores`.

    Returns
    -------
    str or None
        The held-out tables, or without ours on them the development tables; None where
        no two methods can be compared.
    """
    for group in ("held-out", "development"):
        methods = scores.loc[scores["group"] == group, "method"]
        if OURS in set(methods) and methods.nunique() > 1:
            return group
    return None
