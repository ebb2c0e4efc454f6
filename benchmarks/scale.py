"""How time and memory grow with rows, width and the number of networks.

Each point is measured in fresh processes, whose memory starts from nothing, on one
thread: with more, the load of the machine would decide.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from torch.profiler import ProfilerActivity, profile, record_function

from benchmarks._fresh import PeakMemory, run_fresh
from benchmarks._problems import load
from benchmarks._scale_figures import draw_scale
from benchmarks._scale_report import report
from benchmarks._settings import Settings
from benchmarks._store import Store
from benchmarks._timing import clocked, limited_threads
from sknnopt import OptimizedMLPClassifier
from sknnopt.presets import PLAIN

PARTS = ("rows", "width", "networks", "predict")
N_FEATURES = 28
#: Epochs of a fit, by rows: what a fit needs once must not hide what rows cost.
EPOCHS = {10_000: 40, 100_000: 8, 1_000_000: 2, 2_000_000: 2}
WIDTHS = (16, 32, 64, 128, 256, 512, 1024)
N_NETWORKS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
N_PREDICTED = 1_000_000
#: Fresh processes for each point.
N_RUNS = 5
#: Rows that are drawn at a time.
_CHUNK = 100_000
#: What the profiler shows of numpy's products.
_MARK = "numpy.matmul"
#: What multiplies matrices; torch's other operators call those of its kernels.
PRODUCTS = (_MARK, "aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm")
PARAMETERS: dict[str, Any] = {
    **PLAIN,
    "activation": "relu",
    "batch_size": 1024,
    "early_stopping": False,
    "n_iter_no_change": None,
    "monitor": "light",
    "random_state": 0,
}
Job = tuple[str, dict[str, Any], Callable[[], dict[str, Any]]]


def run(out: Path, settings: Settings) -> None:
    """Measure, and write ``scale.json``, ``.md`` and ``.png``.

    Parameters
    ----------
    out : Path
        Directory of the results. Rows that are there already, from the same commit,
        are not measured again.
    settings : Settings
        What to measure; ``pairs`` are fresh processes for each point here.
    """
    store = Store(out / "scale.json")
    jobs = {"rows": _rows, "width": _width, "networks": _networks, "predict": _predict}
    # The maps are large, and nobody needs them afterwards.
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as maps:
        for part in PARTS:
            if settings.wants("parts", part):
                for key, design, measure in jobs[part](settings, Path(maps)):
                    store.add(key, {"part": part, **design}, measure)
    store.write()
    result = store.result()
    text = report(result)
    (out / "scale.md").write_text(text, encoding="utf-8")
    draw_scale(result, out / "scale.png")
    print(text)


def _n_runs(settings: Settings) -> int:
    return settings.pairs or (1 if settings.quick else N_RUNS)


def _job(
    key: str, design: dict[str, Any], function: Callable[..., Any], **more: Any
) -> Job:
    """Return a job that calls a function in fresh processes.

    The function gets what the design says, but for the number of runs, and ``more``.
    """
    arguments = {k: v for k, v in design.items() if k != "n_runs"} | more
    return key, design, lambda: repeated(function, design["n_runs"], arguments)


def repeated(
    function: Callable[..., dict[str, Any]], n_runs: int, arguments: dict[str, Any]
) -> dict[str, list[Any]]:
    """Call a function in fresh processes.

    Parameters
    ----------
    function : callable
        Returns a dict of numbers.
    n_runs : int
        How many processes, one after the other.
    arguments : dict
        Of the function.

    Returns
    -------
    dict
        For each number the list over processes.
    """
    runs = [run_fresh(function, **arguments) for _ in range(n_runs)]
    return {name: [run[name] for run in runs] for name in runs[0]}


def _rows(settings: Settings, maps: Path) -> Iterator[Job]:
    sizes = {2000: 1, 4000: 1} if settings.quick else EPOCHS
    for rows, epochs in sizes.items():
        path = maps / f"{rows}.npy"
        design = {
            "rows": rows,
            "hidden": (64, 64),
            "epochs": epochs,
            "n_runs": _n_runs(settings),
        }
        key, design, measure = _job(f"rows {rows}", design, fit_rows, path=str(path))
        yield key, design, lambda p=path, n=rows, m=measure: _with_map(p, n, m)


def _with_map(
    path: Path, rows: int, measure: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """Measure with a map of so many rows on disk, which is removed afterwards."""
    write_map(path, rows)
    try:
        return measure()
    finally:
        path.unlink()
        labels_of(path).unlink()


def labels_of(path: Path) -> Path:
    """Return the file of the targets beside a map of rows."""
    return path.with_suffix(".labels.npy")


def write_map(path: Path, rows: int) -> None:
    """Write rows in single precision, and their classes, without holding them all.

    Parameters
    ----------
    path : Path
        The map of rows; the targets are beside it.
    rows : int
        How many.
    """
    rng = np.random.default_rng(0)
    direction = rng.standard_normal(N_FEATURES)
    X = np.lib.format.open_memmap(path, "w+", np.float32, (rows, N_FEATURES))
    y = np.empty(rows, dtype=np.int64)
    for start in range(0, rows, _CHUNK):
        chunk = X[start : start + _CHUNK]
        chunk[:] = rng.standard_normal(chunk.shape, dtype=np.float32)
        noisy = chunk @ direction + rng.standard_normal(len(chunk))
        y[start : start + _CHUNK] = noisy > 0
    X.flush()
    np.save(labels_of(path), y)


def fit_rows(path: str, rows: int, hidden: list[int], epochs: int) -> dict[str, Any]:
    """Fit the rows of a map in this process.

    Parameters
    ----------
    path : str
        The map.
    rows : int
        How many rows it has.
    hidden : list of int
        Widths of the hidden layers.
    epochs : int
        Passes over the rows.

    Returns
    -------
    dict
        ``wall``, seconds for a row and an epoch; ``peak``, the memory beyond that
        after the imports and opening the data, as a multiple of the rows' bytes.
    """
    X, y = np.load(path, mmap_mode="r"), np.load(labels_of(Path(path)))
    model = OptimizedMLPClassifier(
        **PARAMETERS, hidden_layer_sizes=hidden, max_epochs=epochs
    )
    memory = PeakMemory()
    with limited_threads(1):
        wall = clocked(lambda: model.fit(X, y))[1]
    return {"wall": wall / (rows * epochs), "peak": memory.rise() / X.nbytes}


def _width(settings: Settings, maps: Path) -> Iterator[Job]:
    for width in WIDTHS[:2] if settings.quick else WIDTHS:
        design = {
            "width": width,
            "rows": 2048 if settings.quick else 20_480,
            "epochs": 1 if settings.quick else 3,
            "n_runs": _n_runs(settings),
        }
        yield _job(f"width {width}", design, fit_width)


def fit_width(width: int, rows: int, epochs: int) -> dict[str, Any]:
    """Fit two hidden layers on one thread in this process, twice: bare and profiled.

    Parameters
    ----------
    width : int
        Units of each hidden layer.
    rows : int
        How many.
    epochs : int
        Passes over the rows.

    Returns
    -------
    dict
        ``wall``, seconds for an update, without the profiler; ``share``, that of the
        products of matrices in the time of a profiled fit.
    """
    X, y = load(rows, N_FEATURES, "classification", "float32")
    model = OptimizedMLPClassifier(
        **PARAMETERS, hidden_layer_sizes=(width, width), max_epochs=epochs
    )
    n_updates = epochs * -(-rows // PARAMETERS["batch_size"])
    with limited_threads(1):
        model.fit(X[:2048], y[:2048])
        wall = clocked(lambda: model.fit(X, y))[1]
        return {"wall": wall / n_updates, **share_of_products(lambda: model.fit(X, y))}


def share_of_products(work: Callable[[], Any]) -> dict[str, float]:
    """Return how much of the time of some work goes into products of matrices.

    Parameters
    ----------
    work : callable
        On one thread.

    Returns
    -------
    dict
        ``share`` of the wall time, by the profiler.
    """
    product = np.matmul

    def marked(*arguments: Any, **options: Any) -> Any:
        with record_function(_MARK):
            return product(*arguments, **options)

    with (
        patch.object(np, "matmul", marked),
        profile(activities=[ProfilerActivity.CPU]) as profiler,
    ):
        start = time.perf_counter()
        work()
        wall = time.perf_counter() - start
    # Microseconds, of an operator without those it calls.
    times = {e.key: e.self_cpu_time_total for e in profiler.key_averages()}
    return {"share": sum(times.get(name, 0.0) for name in PRODUCTS) / 1e6 / wall}


def _networks(settings: Settings, maps: Path) -> Iterator[Job]:
    for hidden in ((10, 10), (72, 72)):
        name = "-".join(map(str, hidden))
        for count in N_NETWORKS[:2] if settings.quick else N_NETWORKS:
            design = {
                "n_members": count,
                "hidden": hidden,
                "epochs": 1 if settings.quick else 10,
                "n_runs": _n_runs(settings),
            }
            yield _job(f"networks {name} {count}", design, fit_networks)


def fit_networks(n_members: int, hidden: list[int], epochs: int) -> dict[str, Any]:
    """Fit several networks to the Pima table in this process.

    Parameters
    ----------
    n_members : int
        How many.
    hidden : list of int
        Widths of the hidden layers.
    epochs : int
        Passes over the rows.

    Returns
    -------
    dict
        ``wall``, seconds for a network and an epoch; ``peak``, memory in bytes beyond
        that after the imports.
    """
    X, y = load(614, 8, "classification", "float32")
    parameters = {**PARAMETERS, "batch_size": 32, "hidden_layer_sizes": hidden}
    kind = OptimizedMLPClassifier
    memory = PeakMemory()
    model = kind(**{**parameters, "n_members": n_members}, max_epochs=epochs)
    with limited_threads(1):
        # The first updates of a process are slow.
        kind(**parameters, max_epochs=2).fit(X, y)
        wall = clocked(lambda: model.fit(X, y))[1]
    return {"wall": wall / (n_members * epochs), "peak": memory.rise()}


def _predict(settings: Settings, maps: Path) -> Iterator[Job]:
    rows = 5000 if settings.quick else N_PREDICTED
    path = maps / "predict.npy"
    for hidden in ((64, 64), (256, 256)):
        name = "-".join(map(str, hidden))
        design = {"rows": rows, "hidden": hidden, "n_runs": _n_runs(settings)}
        key, design, measure = _job(
            f"predict {name}", design, predict_rows, path=str(path)
        )
        yield key, design, lambda m=measure: _with_map(path, rows, m)


def predict_rows(path: str, rows: int, hidden: list[int]) -> dict[str, Any]:
    """Predict the rows of a map in this process.

    Parameters
    ----------
    path : str
        The map.
    rows : int
        How many rows it has.
    hidden : list of int
        Widths of the hidden layers.

    Returns
    -------
    dict
        ``wall``, seconds for a row; ``peak``, the memory beyond that after the fit
        and opening the map, as a multiple of the rows' bytes.
    """
    X, y = np.load(path, mmap_mode="r"), np.load(labels_of(Path(path)))
    model = OptimizedMLPClassifier(
        **PARAMETERS, hidden_layer_sizes=hidden, max_epochs=1
    )
    with limited_threads(1):
        model.fit(np.array(X[:2048]), y[:2048])
        model.predict(np.array(X[:2048]))
        memory = PeakMemory()
        wall = clocked(lambda: model.predict(X))[1]
    return {"wall": wall / rows, "peak": memory.rise() / X.nbytes}
