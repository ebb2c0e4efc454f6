"""The configurations among which the defaults were chosen.

They are fitted to the development tables alone, two splits of each, in the order in
which they were thought of.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._results import write_json
from benchmarks._tables import paragraph, table
from benchmarks.quality._catalogue import CLASSIFICATION, DEVELOPMENT, TABLES
from benchmarks.quality._comparing import FLOOR
from benchmarks.quality._methods import OURS_FAMILY, Method, choose
from benchmarks.quality._running import run_method
from benchmarks.quality._splits import CAP
from sknnopt import OptimizedMLPClassifier, OptimizedMLPRegressor

N_SPLITS = 2
#: What the others are compared with.
PROTOTYPE = "prototype"
_BASE: dict[str, Any] = {
    "hidden_layer_sizes": (100, 100),
    "n_members": 8,
    "dropout": 0.1,
    "optimizer": "adamw",
    "learning_rate": 3e-3,
    "weight_decay": 0.02,
    "batch_size": "auto",
    "max_epochs": 200,
    "early_stopping": True,
    "n_iter_no_change": 20,
    "n_bins": None,
}
_LATEST = {"n_bins": "auto", "n_iter_no_change": 15, "learning_rate": 5e-3}
_CHANGES: dict[str, tuple[str, dict[str, Any]]] = {
    PROTOTYPE: ("the prototype, with batches of 64 or more", {}),
    "bins-8": ("8 bins", {"n_bins": 8}),
    "bins-4": ("4 bins", {"n_bins": 4}),
    "bins-16": ("16 bins", {"n_bins": 16}),
    "rate": ("8 bins, learning rate 0.001", {"n_bins": 8, "learning_rate": 1e-3}),
    "dropout": ("8 bins, dropout 0.2", {"n_bins": 8, "dropout": 0.2}),
    "silu": ("8 bins, silu", {"n_bins": 8, "activation": "silu"}),
    "wide": ("8 bins, (256, 256)", {"n_bins": 8, "hidden_layer_sizes": (256, 256)}),
    "patience": ("16 bins, patience 12", {"n_bins": 16, "n_iter_no_change": 12}),
    "cosine": (
        "16 bins, a cosine over 40 epochs",
        {"n_bins": 16, "lr_schedule": "cosine", "max_epochs": 40},
    ),
    "layer": ("16 bins, layer normalization", {"n_bins": 16, "normalization": "layer"}),
    "one-layer": ("16 bins, (200)", {"n_bins": 16, "hidden_layer_sizes": (200,)}),
    "first": (
        "bins by rows, patience 15",
        {"n_bins": "auto", "n_iter_no_change": 15},
    ),
    "batch": (
        "the same, batches of 128 or more, learning rate 0.005",
        {**_LATEST, "batch_size": 128},
    ),
    "no-dropout": (
        "the same, batches of 64 or more, no dropout",
        {**_LATEST, "dropout": 0.0},
    ),
    "defaults": (
        "bins by rows, patience 15, learning rate 0.005: the defaults",
        _LATEST,
    ),
}


def _method(label: str, changes: dict[str, Any]) -> Method:
    def make(task: str, seed: int) -> Any:
        kinds = OptimizedMLPClassifier, OptimizedMLPRegressor
        parameters = {**_BASE, **changes, "n_threads": 1, "random_state": seed}
        return choose(task, *kinds, **parameters)

    return Method(label, make, ("torch", "scikit-learn"), OURS_FAMILY)


CONFIGURATIONS = {name: _method(*change) for name, change in _CHANGES.items()}


def measure_choice(directory: Path, *, jobs: int = 1, quick: bool = False) -> None:
    """Fit all configurations that are not known yet, and summarize them.

    Parameters
    ----------
    directory : Path
        Holds the file of summaries, and a folder with one for each configuration.
    jobs : int, default=1
        Processes at a time.
    quick : bool, default=False
        Whether to fit two of them to one table, as a smoke test.
    """
    names = [PROTOTYPE, "bins-4"] if quick else list(CONFIGURATIONS)
    tables = [t for t in DEVELOPMENT if t.is_installed]
    if quick:
        tables = [t for t in tables if t.name == "diabetes"]
    folder = directory / "choice"
    folder.mkdir(exist_ok=True)
    for name in names:
        method = CONFIGURATIONS[name]
        run_method(
            name,
            tables,
            folder,
            method=method,
            cap=None if quick else CAP,
            most_splits=1 if quick else N_SPLITS,
            jobs=jobs,
        )
    known = {name: _read(folder / f"{name}.json") for name in names}
    rows = [_summary(name, known) for name in names]
    write_json(directory / "choice.json", {"rows": rows})


def _read(path: Path) -> dict[str, dict[str, list[float]]]:
    tables: dict[str, dict[str, list[float]]]
    tables = json.loads(path.read_text(encoding="utf-8"))["tables"]
    return tables


def _summary(name: str, known: dict[str, Any]) -> dict[str, Any]:
    mine, base = known[name], known[PROTOTYPE]
    found: dict[str, Any] = {"name": name, "label": CONFIGURATIONS[name].label}
    found["n_tables"] = len(mine)
    is_class = {t: TABLES[t].task == CLASSIFICATION for t in mine}
    accuracies = [np.mean(mine[t]["accuracy"]) for t in mine if is_class[t]]
    found["accuracy"] = float(np.mean(accuracies)) if accuracies else None
    for metric, floor in (("log_loss", FLOOR), ("rmse", 0.0)):
        logs = [
            np.log(max(np.mean(mine[t][metric]), floor))
            - np.log(max(np.mean(base[t][metric]), floor))
            for t in mine
            if metric in mine[t]
        ]
        found[metric] = float(np.exp(np.mean(logs))) if logs else None
    return found


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
    words = paragraph(
        f"{len(rows)} configurations were tried, on {rows[0]['n_tables']} development "
        f"tables, {N_SPLITS} splits of each: mean accuracy, and geometric means over "
        "tables of log-loss and RMSE relative to the first. The last were made the "
        "defaults."
    )
    cells = [
        [row["label"], *(_cell(row[name]) for name in ("accuracy", "log_loss", "rmse"))]
        for row in rows
    ]
    head = ["configuration", "accuracy", "log-loss", "RMSE"]
    lines = ["## How the defaults were chosen\n", words, "", *table(head, cells), ""]
    return "\n".join(lines)


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
