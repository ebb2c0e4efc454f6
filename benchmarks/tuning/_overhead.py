"""What a search takes beside training and scoring.

A search of 100 candidates on the Pima table. The time in which any network trains or
any score is computed is taken off its wall time; what remains is the sampler, the study
on disk, scikit-learn's and joblib's own work and the preparation of rows. For
comparison the same candidates run in the same rounds through a plain search of
scikit-learn behind the gathering backend: what the search takes longer is its own.
"""

from __future__ import annotations

import gc
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from joblib import parallel_config
from sklearn.metrics import get_scorer
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks._settings import Settings
from benchmarks._store import Store
from benchmarks._timing import Bar
from benchmarks.tuning._guide import split_pima
from benchmarks.tuning._searches import PREFIX, our_space
from benchmarks.tuning._versions import our_versions
from benchmarks.tuning._watching import Replay, watched
from sknnopt import OptimizedMLPClassifier
from sknnopt.presets import PLAIN

N_CANDIDATES = 100
EPOCHS = 20
N_RUNS = 5
Interval = tuple[float, float]


@dataclass(frozen=True)
class Kind:
    """A search whose overhead is measured.

    Parameters
    ----------
    label : str
        What reports call it.
    sampler : str
        Of ``MLPSearchCV``.
    on_disk : bool, default=False
        Whether it keeps a study on SQLite.
    bar : Bar or None, default=None
        Milliseconds for a candidate; None: only reported.
    n_runs : int, default=5
        How often it is measured.
    packages : tuple of str, default=()
        What it needs beyond the project's own dependencies.
    """

    label: str
    sampler: str
    on_disk: bool = False
    bar: Bar | None = None
    n_runs: int = N_RUNS
    packages: tuple[str, ...] = ()


KINDS: dict[str, Kind] = {
    "random": Kind("random", "random", bar=Bar(50)),
    "tpe": Kind("TPE", "tpe", bar=Bar(50), packages=("optuna",)),
    "tpe-sqlite": Kind(
        "TPE, study on SQLite", "tpe", True, Bar(100), packages=("optuna",)
    ),
    # Its Gaussian process takes minutes.
    "bayes": Kind("bayes", "bayes", n_runs=1),
}


def measure_overhead(directory: Path, settings: Settings) -> None:
    """Measure each kind of search, but for what is known.

    Parameters
    ----------
    directory : Path
        Holds ``overhead.json``.
    settings : Settings
        ``pairs`` is the number of runs.
    """
    from importlib.util import find_spec

    store = Store(directory / "overhead.json", our_versions("scikit-optimize"))
    for name, kind in KINDS.items():
        if any(find_spec(package) is None for package in kind.packages):
            print(f"The search {name} is left out: it needs {kind.packages}.")
            continue
        design = {
            "kind": name,
            "n_candidates": 4 if settings.quick else N_CANDIDATES,
            "epochs": 2 if settings.quick else EPOCHS,
            "n_runs": settings.pairs or (1 if settings.quick else kind.n_runs),
        }
        store.add(name, design, lambda k=kind, d=design: _measure(k, d))


def _measure(kind: Kind, design: dict[str, Any]) -> dict[str, Any]:
    # What it is the first to import is no overhead of a candidate.
    _run_once(kind, {**design, "n_candidates": 2}, 0)
    runs = [_run_once(kind, design, seed) for seed in range(design["n_runs"])]
    return {name: [run[name] for run in runs] for name in runs[0]}


def _run_once(kind: Kind, design: dict[str, Any], seed: int) -> dict[str, float]:
    """Search, and evaluate the same rounds plainly; seconds of both."""
    with tempfile.TemporaryDirectory() as directory, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = Path(directory) / "study.db" if kind.on_disk else None
        search = _search(kind, design, seed, study)
        busy = Busy()
        search.scoring = busy.scorer("neg_log_loss")
        with busy.training():
            wall = _seconds(search, seed)
    replay = Replay(
        _model(design, seed), {}, scoring="neg_log_loss", cv=_cv(seed), refit=False
    )
    replay.rounds = tuple(search.rounds_)
    with warnings.catch_warnings(), parallel_config(backend="sknnopt"):
        warnings.simplefilter("ignore")
        plain = _seconds(replay, seed)
    # A trainer that could not be watched would leave everything to the search.
    if not busy.n_trainings:
        raise RuntimeError("No training was seen; is train_together still its name?")
    return {
        "wall": wall,
        "busy": covered(busy.intervals),
        "replay": plain,
        "n_candidates": len(search.cv_results_["params"]),
        "n_rounds": len(search.rounds_),
    }


def _search(kind: Kind, design: dict[str, Any], seed: int, study: Any) -> Any:
    from sknnopt.search import MLPSearchCV

    return watched(MLPSearchCV)(
        _model(design, seed),
        our_space("sklearn", PREFIX),
        n_iter=design["n_candidates"],
        sampler=kind.sampler,
        study=study,
        cv=_cv(seed),
        refit=False,
        error_score="raise",
        random_state=seed,
    )


def _model(design: dict[str, Any], seed: int) -> Any:
    network = OptimizedMLPClassifier(
        **PLAIN, max_epochs=design["epochs"], random_state=seed
    )
    return make_pipeline(StandardScaler(), network)


def _cv(seed: int) -> StratifiedKFold:
    return StratifiedKFold(5, shuffle=True, random_state=seed)


def _seconds(search: Any, number: int) -> float:
    rows = split_pima(number)
    gc.collect()
    begun = time.perf_counter()
    search.fit(rows.X_train, rows.y_train)
    return time.perf_counter() - begun


class Busy:
    """Notes when networks train and when scores are computed."""

    def __init__(self) -> None:
        self.intervals: list[Interval] = []
        self.n_trainings = 0

    @contextmanager
    def training(self) -> Iterator[None]:
        """Watch the function that trains gathered networks.

        Yields
        ------
        None
            Control, while it is watched.
        """
        from sknnopt import _batching

        trainer = _batching.train_together

        def watched_trainer(*arguments: Any, **options: Any) -> Any:
            self.n_trainings += 1
            return self._timed(trainer, *arguments, **options)

        _batching.train_together = watched_trainer
        try:
            yield
        finally:
            _batching.train_together = trainer

    def scorer(self, name: str) -> Callable[..., float]:
        """Return a scorer that is watched.

        Parameters
        ----------
        name : str
            One of scikit-learn's.

        Returns
        -------
        callable
            Of a fitted estimator, rows and targets.
        """
        score = get_scorer(name)
        return lambda *arguments: self._timed(score, *arguments)

    def _timed(self, work: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        begun = time.perf_counter()
        try:
            return work(*arguments, **options)
        finally:
            self.intervals.append((begun, time.perf_counter()))


def covered(intervals: Sequence[Interval]) -> float:
    """Return the length of the union of intervals.

    Parameters
    ----------
    intervals : sequence of (float, float)
        Beginnings and ends, in any order; they may overlap.

    Returns
    -------
    float
        What they cover together.
    """
    total, reached = 0.0, -np.inf
    for begin, end in sorted(intervals):
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return float(total)
