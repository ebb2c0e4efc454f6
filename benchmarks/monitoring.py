"""What light monitoring costs: fits with it and without, in turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._peers import our_parameters
from benchmarks._problems import SHAPES, Shape, load
from benchmarks._settings import Settings
from benchmarks._statistics import geometric_mean
from benchmarks._store import Store
from benchmarks._tables import paragraph, provenance, table, verdict
from benchmarks._timing import Bar, limited_threads, measure_pairs, ratios
from sknnopt import OptimizedMLPClassifier, OptimizedMLPRegressor

N_PAIRS = 20
#: Fits of half a second on either side of a pair, in turn: one alone is longer than the
#: next by a tenth and more, for no reason of its own.
N_ROUNDS = 10
BAR, AIM = Bar(1.05), 1.03


def run(out: Path, settings: Settings) -> None:
    """Measure, and write ``monitoring.json`` and ``monitoring.md``.

    Parameters
    ----------
    out : Path
        Directory of the results. Rows that are there already, from the same commit,
        are not measured again.
    settings : Settings
        ``pairs`` is the number of pairs for each shape, 20 by default.
    """
    store = Store(out / "monitoring.json")
    n_pairs = settings.pairs or (2 if settings.quick else N_PAIRS)
    for shape in SHAPES:
        if not settings.wants("shapes", shape.name):
            continue
        size = shape.brief() if settings.quick else shape
        design = {
            "shape": {**asdict(size), "label": shape.label},
            "epochs": size.epochs,
            "n_pairs": n_pairs,
            "n_rounds": 1 if settings.quick else N_ROUNDS,
        }
        store.add(shape.name, design, lambda d=design, s=size: _measure(d, s))
    store.write()
    text = report(store.result())
    (out / "monitoring.md").write_text(text, encoding="utf-8")
    print(text)


def _measure(design: dict[str, Any], shape: Shape) -> dict[str, Any]:
    X, y = load(shape.rows, shape.features, shape.task, "float32")
    is_regression = shape.task == "regression"
    kind = OptimizedMLPRegressor if is_regression else OptimizedMLPClassifier
    parameters = our_parameters(shape, design["epochs"])

    def fit(monitor: str) -> Callable[[int], Any]:
        settings = {**parameters, "monitor": monitor}
        return lambda seed: kind(**settings, random_state=seed).fit(X, y)

    with limited_threads(1):
        pairs = measure_pairs(
            fit("light"),
            fit("off"),
            design["n_pairs"],
            n_rounds=design["n_rounds"],
        )
    return {"pairs": pairs}


def report(result: dict[str, Any]) -> str:
    """Write a result as Markdown.

    Parameters
    ----------
    result : dict
        The benchmark's file.

    Returns
    -------
    str
        Markdown.
    """
    text = (
        'Wall time of a fit with `monitor="light"` by that with `monitor="off"`, one '
        "network in float32 on one thread. Medians over pairs."
    )
    lines = ["# What light monitoring costs", "", paragraph(text), ""]
    rows = result["rows"]
    if not rows:
        return "\n".join(lines) + "\n"
    found = [ratios(row["pairs"]) for row in rows]
    cells = [
        [row["design"]["shape"]["label"], f"{np.median(each):.3f}"]
        for row, each in zip(rows, found, strict=True)
    ]
    lines += [*table(("shape", "ratio"), cells), ""]
    mean = geometric_mean(found, np.random.default_rng(0))
    lines += [
        paragraph(
            f"Geometric mean over {len(rows)} shapes, {rows[0]['design']['n_pairs']} "
            f"pairs each of {rows[0]['design']['n_rounds']} fits on either side in "
            f"turn: {mean['value']:.3f} [{mean['low']:.3f}, {mean['high']:.3f}]. "
            f"Bar: {BAR} ({verdict(BAR, [mean])}); aim: {AIM}."
        ),
        "",
    ]
    return "\n".join([*lines, *provenance(result)]) + "\n"
