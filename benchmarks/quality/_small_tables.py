"""Short tables: repeated cross-validation against scikit-learn's network.

Splits of one table share rows, so that plain tests would see differences where there
are none; the corrected test of Nadeau and Bengio allows for it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from sklearn.model_selection import RepeatedKFold, RepeatedStratifiedKFold

from benchmarks._machine import commit
from benchmarks._results import plain, versions, write_json
from benchmarks._tables import paragraph, table
from benchmarks._timing import limited_threads
from benchmarks.quality._catalogue import (
    CLASSIFICATION,
    REGRESSION,
    TABLES,
    Table,
    load,
)
from benchmarks.quality._comparing import corrected_t_test, holm
from benchmarks.quality._methods import METHODS, OURS
from benchmarks.quality._scores import (
    IS_GAIN,
    classification_scores,
    regression_scores,
)

PEER = "sklearn"
#: Tables with fewer rows are short.
MOST_ROWS = 300
N_FOLDS, N_REPEATS = 5, 10
_LEVEL = 0.05
_TESTED = {CLASSIFICATION: ("log_loss", "accuracy"), REGRESSION: ("rmse",)}


def short_tables() -> list[Table]:
    """Return all installed tables of fewer than 300 rows, whatever their group."""
    installed = [table for table in TABLES.values() if table.is_installed]
    return [entry for entry in installed if len(load(entry.name)[0]) < MOST_ROWS]


def measure_short_tables(
    path: Path, tables: Sequence[Table], *, jobs: int = 1, n_repeats: int = N_REPEATS
) -> None:
    """Cross-validate both methods, test the differences, and write them.

    Parameters
    ----------
    path : Path
        The JSON file.
    tables : sequence of Table
        On which.
    jobs : int, default=1
        Processes at a time.
    n_repeats : int, default=10
        Repeats of five folds.
    """
    calls = [
        delayed(cross_validate)(entry.name, name, n_repeats)
        for entry in tables
        for name in (OURS, PEER)
    ]
    found = Parallel(n_jobs=jobs)(calls)
    rows = [
        row
        for entry, ours, peer in zip(tables, found[::2], found[1::2], strict=True)
        for row in _tests(entry, ours, peer)
    ]
    adjusted = holm([row["p"] for row in rows])
    for row, p in zip(rows, adjusted, strict=True):
        row["adjusted_p"] = p
    head = {"versions": versions(), **commit(), "repeats": n_repeats}
    write_json(path, plain({**head, "rows": rows}))


def cross_validate(
    table_name: str, name: str, n_repeats: int
) -> dict[str, list[float]]:
    """Score a method in every fold of every repeat.

    Parameters
    ----------
    table_name : str
        One of the tables.
    name : str
        One of ``METHODS``.
    n_repeats : int
        Repeats of five folds, the same for all methods.

    Returns
    -------
    dict
        A list for each score.
    """
    X, y = load(table_name)
    task = TABLES[table_name].task
    kind = RepeatedStratifiedKFold if task == CLASSIFICATION else RepeatedKFold
    folds = kind(n_splits=N_FOLDS, n_repeats=n_repeats, random_state=0)
    scores: list[dict[str, float]] = []
    with limited_threads(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, (train, test) in enumerate(folds.split(X, y)):
            model = METHODS[name].make(task, number).fit(X.iloc[train], y[train])
            if task == CLASSIFICATION:
                given = y[test], model.predict_proba(X.iloc[test])
                scores.append(classification_scores(*given))
            else:
                scores.append(regression_scores(y[test], model.predict(X.iloc[test])))
    return {key: [score[key] for score in scores] for key in scores[0]}


def _tests(
    entry: Table, ours: dict[str, list[float]], peer: dict[str, list[float]]
) -> Iterator[dict[str, Any]]:
    for metric in _TESTED[entry.task]:
        difference = np.array(ours[metric]) - np.array(peer[metric])
        worse = -difference if metric in IS_GAIN else difference
        yield {
            "table": entry.name,
            "metric": metric,
            "ours": float(np.mean(ours[metric])),
            "peer": float(np.mean(peer[metric])),
            "p": corrected_t_test(worse, 1 / (N_FOLDS - 1)),
        }


def section(result: dict[str, Any]) -> str:
    """Write the report's section.

    Parameters
    ----------
    result : dict
        The file.

    Returns
    -------
    str
        Markdown.
    """
    rows = result["rows"]
    n_worse = sum(row["adjusted_p"] < _LEVEL for row in rows)
    outcome = "**missed**" if n_worse else "met"
    used = ", ".join(f"{name} {v}" for name, v in result["versions"].items())
    words = paragraph(
        f"{result['repeats']} times {N_FOLDS} folds; the corrected test of Nadeau and "
        "Bengio asks whether ours is worse, p-values are adjusted by Holm's method. "
        f"Significantly worse at 5 %: {n_worse} of {len(rows)} (bar 0: {outcome}). "
        f"Measured at commit {result['commit'][:12]}"
        f"{' and changes' * result['is_dirty']}, with {used}."
    )
    cells = [
        [
            row["table"],
            row["metric"].replace("_", "-"),
            *(f"{row[name]:.4g}" for name in ("ours", "peer")),
            *(f"{row[name]:.3f}" for name in ("p", "adjusted_p")),
        ]
        for row in rows
    ]
    head = ["table", "score", "ours", METHODS[PEER].label, "p", "adjusted p"]
    title = f"## Tables under {MOST_ROWS} rows\n"
    return "\n".join([title, words, "", *table(head, cells), ""])
