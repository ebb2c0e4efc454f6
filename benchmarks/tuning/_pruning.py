"""What pruning saves, and what it costs: the same candidates, pruned and not."""

from __future__ import annotations

import gc
import math
import warnings
from pathlib import Path
from typing import Any

from benchmarks._settings import Settings
from benchmarks._store import Store
from benchmarks.quality._catalogue import TABLES as KNOWN
from benchmarks.quality._scores import classification_scores
from benchmarks.quality._splits import split
from benchmarks.tuning._budget import installed_tables, rotated
from benchmarks.tuning._searches import N_FOLDS, N_MEMBERS, Problem, mlp_search
from benchmarks.tuning._versions import our_versions

#: How candidates leave; the first, by which none does, is what others are compared to.
RULES: dict[str, str | None] = {
    "none": None,
    "halving": "halving",
    "hyperband": "hyperband",
}
#: They train as one batch.
N_CANDIDATES = 40
N_SPLITS = 3


def measure_pruning(directory: Path, settings: Settings) -> None:
    """Search with each rule on each split of each table, but for what is known.

    Parameters
    ----------
    directory : Path
        Holds ``pruning.json``.
    settings : Settings
        ``pairs`` is the number of splits (3 by default).
    """
    store = Store(directory / "pruning.json", our_versions())
    installed = installed_tables(settings)
    n_candidates = 4 if settings.quick else N_CANDIDATES
    for number in range(settings.pairs or (1 if settings.quick else N_SPLITS)):
        for table in installed:
            design = {
                "n_candidates": n_candidates,
                "n_folds": N_FOLDS,
                "n_members": N_MEMBERS,
                "table": table,
                "split": number,
            }
            store.add(f"{table} {number}", design, lambda d=design: _measure(d))


def _measure(design: dict[str, Any]) -> dict[str, Any]:
    """Search with all rules, each time with another one first."""
    rows, number = split(KNOWN[design["table"]], design["split"]), design["split"]
    problem = Problem(rows, math.inf, number)
    search_once(problem, "none", 2)  # what is imported is no time of a search
    return {
        rule: search_once(problem, rule, design["n_candidates"])
        for rule in rotated(list(RULES), number)
    }


def search_once(problem: Problem, rule: str, n_candidates: int) -> dict[str, float]:
    """Search for a model and fit it.

    Parameters
    ----------
    problem : Problem
        Rows, folds and seed; candidates are the same for all rules.
    rule : str
        One of ``RULES``.
    n_candidates : int
        How many.

    Returns
    -------
    dict
        ``seconds`` without the final fit, ``best_loss`` of the folds, ``log_loss`` on
        the rows held out, and ``n_finished``: candidates that were not pruned.
    """
    rows = problem.rows
    gc.collect()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = mlp_search(problem, "random", pruning=RULES[rule], n_iter=n_candidates)
        scores = classification_scores(rows.y_test, found.predict_proba(rows.X_test))
    return {
        "seconds": found.seconds,
        "best_loss": found.best_loss,
        "log_loss": scores["log_loss"],
        "n_finished": found.n_candidates - found.extra["n_pruned"],
    }
