"""Fits of a method on all splits of a table, kept in one file for each method."""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed

import sknnopt
from benchmarks._machine import commit
from benchmarks._results import plain, write_json
from benchmarks._timing import limited_threads
from benchmarks.quality._catalogue import (
    CLASSIFICATION,
    GROUPS,
    TABLES,
    Table,
    load,
)
from benchmarks.quality._comparing import FIRST
from benchmarks.quality._methods import METHODS, OURS, OURS_FAMILY, Method
from benchmarks.quality._scores import classification_scores, regression_scores
from benchmarks.quality._splits import n_splits, split

_DIGITS = 6
Scores = dict[str, list[float]]


class Store:
    """The scores of one method, written table by table.

    Parameters
    ----------
    directory : Path
        Holds a file for each method.
    name : str
        The method.
    versions : dict
        Of what its scores depend on. Scores of other versions are not kept.
    """

    def __init__(self, directory: Path, name: str, versions: dict[str, str]) -> None:
        self.path = directory / f"{name}.json"
        self._head = {"method": name, "versions": versions}
        self.tables: dict[str, Scores] = {}
        if self.path.exists():
            stored = json.loads(self.path.read_text(encoding="utf-8"))
            if all(stored.get(key) == value for key, value in self._head.items()):
                self.tables = stored["tables"]
            else:
                print(f"{self.path.name} is of other versions: starting anew.")
                keep_first(self.path, stored)

    def add(self, table: str, scores: Scores) -> None:
        """Keep the scores of a table, one number for each split."""
        self.tables[table] = plain(scores, _DIGITS)
        write_json(self.path, {**self._head, **commit(), "tables": self.tables})


def keep_first(path: Path, stored: dict[str, Any]) -> None:
    """Keep what ours was on held-out tables, unless that is kept already.

    Parameters
    ----------
    path : Path
        The file of a method, which is about to be written anew.
    stored : dict
        What is in it.
    """
    names = [table.name for table in GROUPS["held-out"]]
    tables = {n: stored["tables"][n] for n in names if n in stored["tables"]}
    first = path.with_name(FIRST)
    if path.stem == OURS and tables and not first.exists():
        write_json(first, {**stored, "tables": tables})


def run_method(
    name: str,
    tables: Sequence[Table],
    directory: Path,
    *,
    method: Method | None = None,
    cap: int | None,
    most_splits: int | None = None,
    jobs: int = 1,
) -> None:
    """Fit a method to tables, but for those whose scores are known.

    Parameters
    ----------
    name : str
        What its scores are kept under.
    tables : sequence of Table
        On which. Those of a task that the method is not for are left out.
    directory : Path
        Where scores are kept.
    method : Method or None, default=None
        None: that of ``METHODS`` by this name.
    cap : int or None
        Rows of a table that are used; None takes all.
    most_splits : int or None, default=None
        Fewer splits than a table has; for a trial.
    jobs : int, default=1
        Processes at a time.
    """
    method = METHODS[name] if method is None else method
    store = Store(directory, name, versions_of(method))
    left = [
        table
        for table in tables
        if table.name not in store.tables and method.is_for(table.task)
    ]
    # Long ones first, so that no process has to wait for the last.
    left.sort(key=lambda table: -len(load(table.name)[0]))
    work = Parallel(n_jobs=jobs, return_as="generator_unordered")
    calls = (delayed(score_table)(method, t.name, cap, most_splits) for t in left)
    for table, scores in work(calls):
        store.add(table, scores)
        print(f"{name} {table}: {_summary(scores)}", flush=True)


def versions_of(method: Method) -> dict[str, str]:
    """Return the versions of what a method's scores depend on.

    Parameters
    ----------
    method : Method
        Any.

    Returns
    -------
    dict
        Versions by package; of ours also a digest of its source, which changes more
        often than its version.
    """
    versions = method.versions()
    if method.family != OURS_FAMILY:
        return versions
    return {"sknnopt": sknnopt.__version__, **versions, "source": source_digest()}


def source_digest() -> str:
    """Return what tells whether any file of the package has changed."""
    digest = hashlib.sha256()
    root = Path(sknnopt.__file__).parent
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def score_table(
    method: Method, table_name: str, cap: int | None, most_splits: int | None = None
) -> tuple[str, Scores]:
    """Fit a method to each split of a table.

    Parameters
    ----------
    method : Method
        One that is for the table's task.
    table_name : str
        One of ``TABLES``.
    cap : int or None
        Rows of the table that are used; None takes all.
    most_splits : int or None, default=None
        Fewer splits than the table has.

    Returns
    -------
    table_name : str
        The table.
    scores : dict
        Lists over splits: the scores, and seconds of fit and prediction.
    """
    count = n_splits(len(load(table_name)[0]))
    numbers = range(count if most_splits is None else min(count, most_splits))
    rows = TABLES[table_name]
    found = [_score_split(method, rows, number, cap) for number in numbers]
    return table_name, {key: [scores[key] for scores in found] for key in found[0]}


def _score_split(
    method: Method, table: Table, number: int, cap: int | None
) -> dict[str, float]:
    rows = split(table, number, cap)
    estimator = method.make(table.task, number)
    is_classification = table.task == CLASSIFICATION
    with limited_threads(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        begun = time.perf_counter()
        estimator.fit(rows.X_train, rows.y_train)
        fitted = time.perf_counter()
        predict = estimator.predict_proba if is_classification else estimator.predict
        predicted = np.asarray(predict(rows.X_test))
        done = time.perf_counter()
    score = classification_scores if is_classification else regression_scores
    times = {"fit_seconds": fitted - begun, "predict_seconds": done - fitted}
    return {**score(rows.y_test, predicted), **times}


def _summary(scores: Scores) -> str:
    return ", ".join(f"{key} {np.mean(values):.4g}" for key, values in scores.items())
