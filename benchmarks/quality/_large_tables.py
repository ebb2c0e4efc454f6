"""Time and memory of fits to large made tables, at default settings."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sklearn.datasets import make_classification

from benchmarks._fresh import PeakMemory, run_fresh
from benchmarks._machine import commit, load, surroundings
from benchmarks._results import plain, write_json
from benchmarks._tables import megabytes, paragraph, provenance, table
from benchmarks._timing import Bar
from benchmarks.quality._methods import METHODS, OURS
from sknnopt import OptimizedMLPClassifier

N_FEATURES = 30
#: Minutes within which a fit must end, by rows.
BARS = {100_000: Bar(5.0), 1_000_000: Bar(40.0)}
_QUICK_ROWS = 2_000
_N_TESTED = 10_000
_DIGITS = 6


def measure_large_tables(path: Path, *, quick: bool = False) -> None:
    """Fit to each table in a fresh process, and write the times.

    Parameters
    ----------
    path : Path
        The JSON file.
    quick : bool, default=False
        Whether to fit to one short table, as a smoke test.
    """
    rows = []
    for n_rows in [_QUICK_ROWS] if quick else BARS:
        before = load()
        found = run_fresh(fit_large, n_rows=n_rows)
        head = {**commit(), "load_before": before, "load_after": load()}
        rows.append({"rows": n_rows, **head, **found})
    result = {**surroundings(), "rows": rows}
    result["versions"].update(METHODS[OURS].versions())
    write_json(path, plain(result, _DIGITS))


def fit_large(n_rows: int) -> dict[str, Any]:
    """Fit to a made table, with all that is there of cores.

    Parameters
    ----------
    n_rows : int
        Training rows.

    Returns
    -------
    dict
        Seconds, epochs, bytes beyond the table, and the accuracy on other rows.
    """
    X, y = make_classification(
        n_rows + _N_TESTED,
        N_FEATURES,
        n_informative=N_FEATURES // 2,
        n_clusters_per_class=4,
        flip_y=0.05,
        random_state=0,
    )
    memory = PeakMemory()
    model = OptimizedMLPClassifier(random_state=0)
    begun = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X[:n_rows], y[:n_rows])
    return {
        "seconds": time.perf_counter() - begun,
        "epochs": model.n_iter_,
        "bytes": memory.rise(),
        "accuracy": model.score(X[n_rows:], y[n_rows:]),
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
    cells = [_cells(row) for row in result["rows"]]
    words = (
        f"Made tables of {N_FEATURES} features in float64, two classes; a fresh "
        f"process for each, on all {result['machine']['cores']} cores. Memory is what "
        "came on top of the table."
    )
    head = ["rows", "minutes", "epochs", "memory", "accuracy", "bar"]
    lines = ["## Large tables\n", paragraph(words), "", *table(head, cells), ""]
    return "\n".join([*lines, *provenance(result), ""])


def _cells(row: dict[str, Any]) -> Sequence[str]:
    minutes = row["seconds"] / 60
    bar, outcome = BARS.get(row["rows"]), ""
    if bar is not None:
        is_met = bar.is_met({"low": minutes, "high": minutes})
        outcome = f"{bar} minutes: {'met' if is_met else '**missed**'}"
    return (
        f"{row['rows']:,}",
        f"{minutes:.3g}",
        str(row["epochs"]),
        megabytes(row["bytes"]),
        f"{row['accuracy']:.4f}",
        outcome,
    )
