"""All searches with the same wall time, on several tables and splits."""

from __future__ import annotations

import gc
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._settings import Settings
from benchmarks._store import Store
from benchmarks.quality._catalogue import CLASSIFICATION, DEVELOPMENT, load
from benchmarks.quality._catalogue import TABLES as KNOWN
from benchmarks.quality._scores import classification_scores
from benchmarks.quality._splits import split
from benchmarks.tuning._searches import (
    N_FOLDS,
    N_MEMBERS,
    SEARCHES,
    Found,
    Problem,
    Search,
)

SECONDS = 60.0
N_SPLITS = 10
#: Pima, and what :func:`chosen_tables` returns.
TABLES = ("pima", "australian", "german", "splice", "phoneme", "letter")
_FEWEST_ROWS = 500
#: Points of a stored curve at most.
_N_POINTS = 60
QUICK_TABLES = ("pima", "australian")
QUICK_SECONDS = 2.0
#: Of the searches by which each is made ready.
_WARM_SECONDS = 0.5


def chosen_tables() -> list[str]:
    """Choose the tables by their numbers of rows alone.

    Returns
    -------
    list of str
        Of the classification tables for development that have at least 500 rows, Pima
        apart, five at equal steps through their order by rows.
    """
    names = [t.name for t in DEVELOPMENT if t.task == CLASSIFICATION]
    rows = {name: len(load(name)[0]) for name in names if name != "pima"}
    long = sorted((n, name) for name, n in rows.items() if n >= _FEWEST_ROWS)
    places = np.linspace(0, len(long) - 1, len(TABLES) - 1).round().astype(int)
    return [long[place][1] for place in places]


def measure_budget(
    directory: Path, settings: Settings, searches: Mapping[str, Search] = SEARCHES
) -> None:
    """Search on each split of each table, but for what is known.

    Parameters
    ----------
    directory : Path
        Holds a file ``budget-NAME.json`` for each search.
    settings : Settings
        ``peers`` are searches, ``pairs`` the number of splits (10 by default),
        ``seconds`` the wall time (60 by default).
    searches : mapping of str to Search, default=SEARCHES
        Which there are.
    """
    wanted = _wanted(settings, searches)
    installed = installed_tables(settings)
    stores = {
        name: Store(directory / f"budget-{name}.json", search.versions())
        for name, search in wanted.items()
    }
    warm: set[str] = set()
    for number in range(settings.pairs or (1 if settings.quick else N_SPLITS)):
        for table in installed:
            # In turn, so that no search has the busier hours; each begins once.
            for name in rotated(list(wanted), number):
                design = {**_design(settings), "table": table, "split": number}
                stores[name].add(
                    f"{name} {table} {number}",
                    design,
                    lambda n=name, d=design: _measure(wanted[n], n, d, warm),
                )


def _wanted(settings: Settings, searches: Mapping[str, Search]) -> dict[str, Search]:
    """Return the searches that are asked for and can run here."""
    asked = {n: s for n, s in searches.items() if settings.wants("peers", n)}
    for search in asked.values():
        if search.missing:
            print(f"{search.label} is left out: it needs {', '.join(search.missing)}.")
    return {name: search for name, search in asked.items() if not search.missing}


def installed_tables(settings: Settings) -> list[str]:
    """Return the tables that are wanted and there; tell if some are not.

    Parameters
    ----------
    settings : Settings
        Whether it is a smoke test, which has tables of its own.

    Returns
    -------
    list of str
        Names.
    """
    names = QUICK_TABLES if settings.quick else TABLES
    installed = [name for name in names if KNOWN[name].is_installed]
    if len(installed) < len(names):
        print("Tables are left out: make setup-quality installs them.")
    return installed


def rotated(names: list[str], by: int) -> list[str]:
    """Return names in another order, each as often the first as any other.

    Parameters
    ----------
    names : list of str
        Which.
    by : int
        How many of the first are put last.

    Returns
    -------
    list of str
        All of them.
    """
    by %= max(1, len(names))
    return names[by:] + names[:by]


def _design(settings: Settings) -> dict[str, Any]:
    default = QUICK_SECONDS if settings.quick else SECONDS
    return {
        "seconds": settings.seconds or default,
        "n_folds": N_FOLDS,
        "n_members": N_MEMBERS,
    }


def _measure(
    search: Search, name: str, design: dict[str, Any], warm: set[str]
) -> dict[str, Any]:
    """Search once, after a short search of its kind in this process."""
    rows = split(KNOWN[design["table"]], design["split"])
    seed = design["split"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name not in warm:
            search.run(Problem(rows, _WARM_SECONDS, seed))
            warm.add(name)
        gc.collect()  # no search pays for what the one before has left
        begun = time.perf_counter()
        found = search.run(Problem(rows, design["seconds"], seed))
        spent = time.perf_counter() - begun
        scores = classification_scores(rows.y_test, found.predict_proba(rows.X_test))
    return {
        **{key: scores[key] for key in ("log_loss", "accuracy")},
        "wall_seconds": spent,
        "search_seconds": found.seconds,
        "refit_seconds": found.refit_seconds,
        "best_loss": found.best_loss,
        "n_candidates": found.n_candidates,
        **found.extra,
        "curve": thinned(found),
    }


def thinned(found: Found) -> dict[str, list[float]]:
    """Return where a search's curve falls.

    Parameters
    ----------
    found : Found
        Whose curve.

    Returns
    -------
    dict
        ``seconds`` and ``loss``, in lists: each first time of a new best, of many of
        them some.
    """
    falls: list[tuple[float, float]] = []
    for seconds, loss in found.curve:
        if np.isfinite(loss) and (not falls or loss < falls[-1][1]):
            falls.append((seconds, loss))
    count = min(len(falls), _N_POINTS)
    places = np.linspace(0, len(falls) - 1, count).round().astype(int)
    kept = [falls[place] for place in places]
    return {"seconds": [s for s, _ in kept], "loss": [loss for _, loss in kept]}
