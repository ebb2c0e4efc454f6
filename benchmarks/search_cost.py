"""What BayesSearchCV adds to each candidate, apart from training.

The optimizer of scikit-optimize is asked for candidates and told values just as
BayesSearchCV does it, with a fixed function in place of a cross-validation. A Gaussian
process costs more with each candidate, threads of the matrix library may help or
hinder it, and ``optimizer_kwargs`` can make it cheaper. (``base_estimator="GBRT"`` of
scikit-optimize 0.10.2 is missing: it needs a scikit-learn before 1.6 and a numpy that
still has ``in1d``.)
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._search_cost_report import report
from benchmarks._settings import Settings
from benchmarks._store import Store
from benchmarks._timing import limited_threads, n_cores

PARTS = ("threads", "options")
CANDIDATES = (20, 50, 100)
#: The model is fitted when the last of these is told.
QUICK_CANDIDATES = (10,)
#: Candidates of an unmeasured search: what is imported late is there afterwards.
N_WARM_UP = 12
#: Searches for each row, each with a seed of its own.
N_RUNS = 3
#: Divides each of the numbers of candidates.
N_POINTS = 10
_PACKAGES = ("scikit-optimize", "scipy")
DEFAULT = "default"
Job = tuple[str, dict[str, Any], Callable[[], dict[str, Any]]]


@dataclass(frozen=True)
class Variant:
    """A way to call BayesSearchCV.

    Parameters
    ----------
    label : str
        What the report calls it.
    kwargs : mapping, default={}
        Its ``optimizer_kwargs``.
    n_points : int, default=1
        Candidates of one step.
    surrogate : callable or None, default=None
        Makes the ``base_estimator``, where it is no name, from the dimensions and a
        seed.
    """

    label: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    n_points: int = 1
    surrogate: Callable[[list[Any], int], Any] | None = None


def _without_restarts(dimensions: list[Any], seed: int) -> Any:
    from skopt.utils import cook_estimator

    options = {"random_state": seed, "n_restarts_optimizer": 0}
    return cook_estimator("GP", space=dimensions, **options)


VARIANTS = {
    DEFAULT: Variant("as it is"),
    "points": Variant(f"`n_points={N_POINTS}`", n_points=N_POINTS),
    "ei": Variant('`acq_func="EI"`', {"acq_func": "EI"}),
    "sampling": Variant('`acq_optimizer="sampling"`', {"acq_optimizer": "sampling"}),
    "one restart": Variant(
        '`acq_optimizer_kwargs={"n_restarts_optimizer": 1}`',
        {"acq_optimizer_kwargs": {"n_restarts_optimizer": 1}},
    ),
    "gp without restarts": Variant(
        "a Gaussian process with `n_restarts_optimizer=0`", surrogate=_without_restarts
    ),
    "ei sampling points": Variant(
        f'`acq_func="EI"`, `acq_optimizer="sampling"`, `n_points={N_POINTS}`',
        {"acq_func": "EI", "acq_optimizer": "sampling"},
        n_points=N_POINTS,
    ),
    "rf": Variant('`base_estimator="RF"`', {"base_estimator": "RF"}),
    "et": Variant('`base_estimator="ET"`', {"base_estimator": "ET"}),
    "random": Variant(
        "random candidates: `n_initial_points` not reached", {"n_initial_points": 1000}
    ),
}


def run(out: Path, settings: Settings) -> None:
    """Measure, and write ``search_cost.json`` and ``.md``.

    Parameters
    ----------
    out : Path
        Directory of the results. Rows that are there already, from the same commit,
        are not measured again.
    settings : Settings
        What to measure; ``pairs`` are searches for each row here.
    """
    store = Store(out / "search_cost.json")
    for key, design, measure in _jobs(settings):
        store.add(key, design, measure)
    store.write()
    text = report(store.result())
    (out / "search_cost.md").write_text(text, encoding="utf-8")
    print(text)


def _jobs(settings: Settings) -> Iterator[Job]:
    # Both parts have the row of one thread and no options: it is measured once.
    if settings.wants("parts", "threads"):
        for threads in ("one", "all"):
            yield _job(DEFAULT, threads, settings)
    if settings.wants("parts", "options"):
        for name in VARIANTS:
            if name != DEFAULT or not settings.wants("parts", "threads"):
                yield _job(name, "one", settings)


def _job(name: str, threads: str, settings: Settings) -> Job:
    variant = VARIANTS[name]
    design = {
        "variant": name,
        "label": variant.label,
        "n_points": variant.n_points,
        "dimensions": len(space()),
        "threads": threads,
        "n_threads": 1 if threads == "one" else n_cores(),
        "candidates": QUICK_CANDIDATES if settings.quick else CANDIDATES,
        "warm_up": 0 if settings.quick else N_WARM_UP,
        "n_runs": settings.pairs or (1 if settings.quick else N_RUNS),
        "packages": {package: metadata.version(package) for package in _PACKAGES},
    }
    return f"{name} {threads}", design, lambda: measure_variant(design)


def measure_variant(design: dict[str, Any]) -> dict[str, Any]:
    """Search several times.

    Parameters
    ----------
    design : dict
        ``variant``, ``n_threads``, ``candidates``, ``warm_up`` and ``n_runs``.

    Returns
    -------
    dict
        ``wall`` and ``cpu``, seconds a candidate, and ``best``, the lowest value found;
        each a list over runs of lists over numbers of candidates.
    """
    variant, counts = VARIANTS[design["variant"]], design["candidates"]
    with limited_threads(design["n_threads"]):
        search(variant, design["warm_up"], seed=design["n_runs"])
        runs = [search(variant, max(counts), seed) for seed in range(design["n_runs"])]
    return {
        name: [[per_candidate(run, name, count) for count in counts] for run in runs]
        for name in ("wall", "cpu", "best")
    }


@dataclass(frozen=True)
class Steps:
    """What a search looked like after each of its steps.

    Parameters
    ----------
    count, wall, cpu, best : list
        Candidates, seconds from the beginning, and the lowest value so far.
    """

    count: list[int] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    best: list[float] = field(default_factory=list)


def per_candidate(steps: Steps, name: str, count: int) -> float:
    """Return a time a candidate, or the best value, of a search that ends early.

    Parameters
    ----------
    steps : Steps
        Of a search of at least so many candidates.
    name : {"wall", "cpu", "best"}
        Which number.
    count : int
        Candidates, the last ones of a step.

    Returns
    -------
    float
        Of the first ``count`` candidates.
    """
    value: float = getattr(steps, name)[steps.count.index(count)]
    return value if name == "best" else value / count


def search(variant: Variant, n_iter: int, seed: int) -> Steps:
    """Ask for candidates and tell their values, as BayesSearchCV does.

    Parameters
    ----------
    variant : Variant
        How.
    n_iter : int
        Candidates.
    seed : int
        Of the optimizer.

    Returns
    -------
    Steps
        Times without those of the objective, which takes next to none.
    """
    from skopt import Optimizer

    dimensions, kwargs = space(), dict(variant.kwargs)
    if variant.surrogate is not None:
        kwargs["base_estimator"] = variant.surrogate(space(), seed)
    cpu, wall, steps = time.process_time(), time.perf_counter(), Steps()
    optimizer = Optimizer(
        dimensions, random_state=np.random.RandomState(seed), **kwargs
    )
    done = 0
    while done < n_iter:
        n_points = min(variant.n_points, n_iter - done)
        points = optimizer.ask(n_points=n_points)
        points = [[np.array(value).item() for value in point] for point in points]
        result = optimizer.tell(points, [objective(point) for point in points])
        done += n_points
        steps.count.append(done)
        steps.wall.append(time.perf_counter() - wall)
        steps.cpu.append(time.process_time() - cpu)
        steps.best.append(float(result.fun))
    return steps


def space() -> list[Any]:
    """Return eight dimensions like those of a small network's search, new ones."""
    from skopt.space import Categorical, Integer, Real

    return [
        Categorical(["relu", "tanh", "silu"]),
        Integer(32, 128, prior="log-uniform", base=2),
        Real(0.0, 0.5),
        Real(1e-6, 1e-1, prior="log-uniform"),
        Real(1e-4, 1e-1, prior="log-uniform"),
        Integer(1, 3),
        Integer(8, 128, prior="log-uniform", base=2),
        Categorical(["adam", "sgd", "rmsprop"]),
    ]


def objective(point: list[Any]) -> float:
    """Return a loss with one minimum, at 0, and more than one valley.

    Parameters
    ----------
    point : list
        A value for each dimension of :func:`space`.

    Returns
    -------
    float
        At least 0.
    """
    activation, batch_size, dropout, l2, rate, depth, width, optimizer = point
    distances = (
        math.log2(batch_size / 64),
        (dropout - 0.2) / 0.25,
        math.log10(l2 / 1e-4) / 2,
        math.log10(rate / 3e-3),
        depth - 2,
        math.log2(width / 64) / 2,
    )
    bowl = sum(distance**2 for distance in distances)
    ripples = 0.1 * sum(1 - math.cos(2 * math.pi * each) for each in distances)
    kinds = {"relu": 0.0, "tanh": 0.3, "silu": 0.1, "adam": 0.0, "sgd": 0.6}
    return bowl + ripples + kinds.get(activation, 0.2) + kinds.get(optimizer, 0.2)
