"""How long single fits, predictions and the import take, beside peers.

Every row is measured in pairs, ours and the peer in turn, in one process, with the
same number of threads. Training losses are compared, so that nobody wins by training
less.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier

from benchmarks._peers import (
    OURS,
    PEERS,
    Fit,
    Peer,
    our_parameters,
    sklearn_parameters,
)
from benchmarks._problems import SHAPES, Shape, draw, load, mean_loss
from benchmarks._ratio_figures import draw_ratios
from benchmarks._results import ROOT
from benchmarks._settings import Settings
from benchmarks._speed_report import report
from benchmarks._store import Store
from benchmarks._timing import limited_threads, measure_pairs, n_cores
from sknnopt import OptimizedMLPClassifier

PARTS = ("fit", "predict", "import")
THREADS = ("one", "all")
DTYPES = ("float32", "float64")
#: Rows of a prediction, and how many predictions are timed as one.
PREDICTIONS = {1: 500, 100_000: 2}
QUICK_PREDICTIONS = {1: 2, 1000: 2}
_REFERENCE_IMPORT = "import torch, sklearn, skorch"
IMPORTS = {
    "package": "import sknnopt",
    # The package loads what it offers when it is asked for.
    "estimator": "from sknnopt import OptimizedMLPClassifier",
}


def run(out: Path, settings: Settings) -> None:
    """Measure, and write ``speed.json``, ``.md`` and ``.png``.

    Parameters
    ----------
    out : Path
        Directory of the results. Rows that are there already, from the same commit,
        are not measured again.
    settings : Settings
        What to measure.
    """
    store = Store(out / "speed.json")
    measures = {"fit": _fits, "predict": _predictions, "import": _imports}
    for part in PARTS:
        if settings.wants("parts", part):
            for key, design, measure in measures[part](settings):
                store.add(key, {"part": part, **design}, measure)
    store.write()
    result = store.result()
    text = report(result)
    (out / "speed.md").write_text(text, encoding="utf-8")
    if any(row["design"]["part"] == "fit" for row in result["rows"]):
        draw_ratios(result, out / "speed.png")
    print(text)


Job = tuple[str, dict[str, Any], Callable[[], dict[str, Any]]]


def _fits(settings: Settings) -> Iterator[Job]:
    for shape, dtype, threads, name in _cases(settings):
        peer, size = PEERS[name], shape.brief() if settings.quick else shape
        epochs = size.slow_epochs if peer.is_slow else size.epochs
        design = {
            "shape": {**asdict(size), "name": shape.name, "label": size.label},
            "dtype": dtype,
            "threads": threads,
            "peer": name,
            "peer_label": peer.label,
            "epochs": epochs,
            "n_pairs": settings.n_pairs,
        }
        yield (
            f"fit {shape.name} {dtype} {threads} {name}",
            design,
            lambda d=design, s=size, p=peer: measure_fits(d, s, p),
        )


def _cases(settings: Settings) -> Iterator[tuple[Shape, str, str, str]]:
    """Yield what is asked for and can be measured here."""
    shapes = [shape for shape in SHAPES if settings.wants("shapes", shape.name)]
    peers = available_peers(settings)
    for threads, dtype, shape, name in product(*_kinds(settings), shapes, peers):
        yield shape, dtype, threads, name


def available_peers(settings: Settings) -> list[str]:
    """Return the peers that are asked for and installed; name those that are not.

    Parameters
    ----------
    settings : Settings
        Of which ``peers`` are read.

    Returns
    -------
    list of str
        Keys of ``PEERS``.
    """
    wanted = [name for name in PEERS if settings.wants("peers", name)]
    for name in wanted:
        if not PEERS[name].is_installed:
            missing = PEERS[name].package
            print(f"{PEERS[name].label} is left out: {missing} is not installed.")
    return [name for name in wanted if PEERS[name].is_installed]


def _kinds(settings: Settings) -> tuple[Sequence[str], Sequence[str]]:
    """Return numbers of threads and types of numbers."""
    if settings.quick:
        return THREADS[:1], DTYPES[:1]
    return THREADS, DTYPES


def measure_fits(design: dict[str, Any], shape: Shape, peer: Peer) -> dict[str, Any]:
    """Fit ours and a peer in pairs.

    Parameters
    ----------
    design : dict
        ``dtype``, ``threads``, ``epochs`` and ``n_pairs``.
    shape : Shape
        The problem.
    peer : Peer
        What ours is compared with.

    Returns
    -------
    dict
        ``pairs``, see :func:`benchmarks._timing.measure_pairs`.
    """
    X, y = load(shape.rows, shape.features, shape.task, design["dtype"])

    def final_loss(predict: Any) -> float | None:
        return None if predict is None else mean_loss(shape.task, y, predict(X))

    with limited_threads(_count(design["threads"])):
        ours, theirs = (
            side.prepare(shape, design["dtype"], design["epochs"])
            for side in (OURS, peer)
        )
        return {"pairs": measure_pairs(ours, theirs, design["n_pairs"], final_loss)}


def _count(threads: str) -> int:
    return 1 if threads == "one" else n_cores()


def _predictions(settings: Settings) -> Iterator[Job]:
    shape = Shape(5000, 20, (100,), 200, epochs=5, slow_epochs=5)
    if settings.quick:
        shape = shape.brief()
    repeats = QUICK_PREDICTIONS if settings.quick else PREDICTIONS
    for threads, dtype, rows in product(*_kinds(settings), repeats):
        design = {
            "shape": asdict(shape),
            "dtype": dtype,
            "threads": threads,
            "rows": rows,
            "repeats": repeats[rows],
            "n_pairs": settings.n_pairs,
        }
        yield (
            f"predict {rows} {dtype} {threads}",
            design,
            lambda d=design: measure_predictions(d, shape),
        )


def measure_predictions(design: dict[str, Any], shape: Shape) -> dict[str, Any]:
    """Predict classes with ours and scikit-learn's network in pairs.

    Parameters
    ----------
    design : dict
        ``dtype``, ``threads``, ``rows``, ``repeats`` and ``n_pairs``.
    shape : Shape
        What the networks are fitted to.

    Returns
    -------
    dict
        ``pairs``.
    """
    X, y = load(shape.rows, shape.features, shape.task, design["dtype"])
    rng = np.random.default_rng(1)
    new = draw(design["rows"], shape.features, shape.task, rng)[0].astype(X.dtype)
    ours = OptimizedMLPClassifier(**our_parameters(shape, shape.epochs), random_state=0)
    theirs = MLPClassifier(
        **{**sklearn_parameters(shape, 200), "tol": 1.0, "n_iter_no_change": 5},
        random_state=0,
    )

    def repeated(model: Any) -> Fit:
        def work(seed: int) -> None:
            for _ in range(design["repeats"]):
                model.predict(new)

        return work

    with limited_threads(_count(design["threads"])):
        works = [repeated(model.fit(X, y)) for model in (ours, theirs)]
        return {"pairs": measure_pairs(*works, design["n_pairs"])}


def _imports(settings: Settings) -> Iterator[Job]:
    for name, statement in IMPORTS.items():
        design = {
            "ours": statement,
            "peer": _REFERENCE_IMPORT,
            "n_pairs": settings.n_pairs,
        }
        yield f"import {name}", design, lambda d=design: measure_imports(d)


def measure_imports(design: dict[str, Any]) -> dict[str, Any]:
    """Import in fresh interpreters, in pairs.

    Parameters
    ----------
    design : dict
        ``ours`` and ``peer``, statements, and ``n_pairs``.

    Returns
    -------
    dict
        ``pairs``.
    """

    def fresh(statement: str) -> Fit:
        def work(seed: int) -> None:
            subprocess.run([sys.executable, "-c", statement], cwd=ROOT, check=True)

        return work

    works = [fresh(design[side]) for side in ("ours", "peer")]
    return {"pairs": measure_pairs(*works, design["n_pairs"])}
