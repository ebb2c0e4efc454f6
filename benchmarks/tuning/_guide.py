"""The guide's combined search on the Pima table, ours beside Keras-Tuner's.

Both get the same candidates, folds, epochs and final fit; both select by accuracy.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks._settings import Settings
from benchmarks._store import Store
from benchmarks._timing import clocked, limited_threads, n_cores
from benchmarks.tuning import _keras
from benchmarks.tuning._candidates import Candidate, as_grid, draw_candidates
from benchmarks.tuning._keras_guide import search_with_keras
from benchmarks.tuning._versions import digest, keras_versions, our_versions
from sknnopt import OptimizedMLPClassifier
from sknnopt.datasets import load_pima
from sknnopt.presets import PLAIN

SIDES = ("ours", "keras")
N_SPLITS = 10
N_FOLDS = 5
EPOCHS = 30
BATCH = 32
TEST_SHARE = 0.2
#: Trials of Keras-Tuner that tell how many there will be.
N_TRIED = 20
#: Trials of a search, or if those of all splits would take Keras-Tuner more than
#: ``LIMIT`` seconds.
N_CANDIDATES, N_FEWER = 100, 30
LIMIT = 2 * 3600.0
#: Trials with which numbers of threads are compared.
N_FOR_THREADS = 5
PREFIX = "optimizedmlpclassifier__"


class Rows(NamedTuple):
    """A split of the Pima table."""

    X_train: np.ndarray
    X_test: np.ndarray
    y_train: np.ndarray
    y_test: np.ndarray


def split_pima(number: int) -> Rows:
    """Draw a split, stratified by class.

    Parameters
    ----------
    number : int
        Which.

    Returns
    -------
    Rows
        614 rows to train on, 154 to predict.
    """
    X, y = load_pima(return_X_y=True)
    rows, classes = X.to_numpy(np.float32), y.to_numpy()
    return Rows(
        *train_test_split(
            rows, classes, test_size=TEST_SHARE, stratify=classes, random_state=number
        )
    )


def folds_of(number: int) -> StratifiedKFold:
    """Return the folds of a split's training rows, the same for both sides."""
    return StratifiedKFold(N_FOLDS, shuffle=True, random_state=number)


def n_candidates(seconds: float) -> int:
    """Say how many candidates are searched.

    Parameters
    ----------
    seconds : float
        What Keras-Tuner takes for ``N_TRIED`` of them.

    Returns
    -------
    int
        100 where so many on each split take it 2 hours at most in all, else 30.
    """
    whole = seconds * N_SPLITS * N_CANDIDATES / N_TRIED
    return N_CANDIDATES if whole <= LIMIT else N_FEWER


def faster_threads(
    seconds_with: Callable[[int], float], counts: Sequence[int]
) -> tuple[int, dict[str, float]]:
    """Time a search with each number of threads.

    Parameters
    ----------
    seconds_with : callable
        Of a number of threads, returns the seconds of a search with it.
    counts : sequence of int
        Numbers of threads.

    Returns
    -------
    count : int
        The number with which it was fastest.
    seconds : dict
        By number.
    """
    seconds = {str(n): float(seconds_with(n)) for n in dict.fromkeys(counts)}
    return int(min(seconds, key=lambda n: seconds[n])), seconds


def our_model(epochs: int, seed: int) -> Any:
    """Return the pipeline whose network the candidates shape.

    Parameters
    ----------
    epochs : int
        Of each fit.
    seed : int
        Of initial weights, order of rows and dropout.

    Returns
    -------
    Pipeline
        Standardization and one network, with what Keras has for defaults.
    """
    network = OptimizedMLPClassifier(
        **{**PLAIN, "n_iter_no_change": None},
        weight_init="glorot_uniform",
        momentum=0.0,
        batch_size=BATCH,
        max_epochs=epochs,
        random_state=seed,
    )
    return make_pipeline(StandardScaler(), network)


def search_with_ours(
    X: np.ndarray,
    y: np.ndarray,
    candidates: Sequence[Candidate],
    *,
    cv: StratifiedKFold,
    epochs: int,
    seed: int,
) -> tuple[Callable[[np.ndarray], np.ndarray], float]:
    """Search by ``MLPSearchCV``, which fits the best candidate to all rows.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
        Rows.
    y : ndarray of shape (n_rows,)
        Classes 0 and 1.
    candidates : sequence of dict
        What is searched, in an order of its own.
    cv : StratifiedKFold
        Splits.
    epochs : int
        Of each fit.
    seed : int
        Of the network.

    Returns
    -------
    predict : callable
        Of rows, returns their classes.
    best : float
        Mean accuracy of the best candidate over the folds.
    """
    from sknnopt.search import MLPSearchCV

    search = MLPSearchCV(
        our_model(epochs, seed),
        [as_grid(candidate, PREFIX) for candidate in candidates],
        n_iter=len(candidates),
        sampler="random",
        pruning=None,
        scoring="accuracy",
        cv=cv,
        error_score="raise",
        random_state=seed,
    ).fit(X, y)
    # Spaces of one point each, drawn from without replacement.
    if len(search.cv_results_["params"]) != len(candidates):
        raise RuntimeError("The search has not evaluated all candidates once.")
    return search.predict, float(search.best_score_)


def measure_guide(directory: Path, settings: Settings) -> None:
    """Search with both sides on each split, but for what is known.

    Parameters
    ----------
    directory : Path
        Holds ``guide-ours.json`` and ``guide-keras.json``, a row for each split.
    settings : Settings
        ``pairs`` is the number of splits, 10 by default.
    """
    if missing := _keras.missing():
        print(f"The guide's search is left out: it needs {', '.join(missing)}.")
        return
    versions = {"ours": our_versions(), "keras": keras_versions()}
    stores = {
        side: Store(directory / f"guide-{side}.json", versions[side]) for side in SIDES
    }
    design = _design(settings)
    stores["keras"].add("rule", design, lambda: _measure_rule(design))
    rule = stores["keras"]["rule"]
    count = rule["n_candidates"]
    design |= {"n_candidates": count, "candidates": digest(draw_candidates(count))}
    of_side = {"ours": {}, "keras": {"threads": rule["threads"]}}
    warm_up = _WarmUp(design, rule["threads"])
    for number in range(settings.pairs or (1 if settings.quick else N_SPLITS)):
        # Whoever comes second meets a warmer machine.
        for side in SIDES if number % 2 == 0 else SIDES[::-1]:
            stores[side].add(
                f"{side} split {number}",
                {**design, **of_side[side], "split": number},
                lambda s=side, n=number: warm_up.measured(s, n),
            )


def _design(settings: Settings) -> dict[str, Any]:
    quick = settings.quick
    return {
        "n_tried": 2 if quick else N_TRIED,
        "n_for_threads": 1 if quick else N_FOR_THREADS,
        "epochs": 1 if quick else EPOCHS,
        "batch": BATCH,
        "n_folds": N_FOLDS,
        "is_quick": quick,
    }


def _measure_rule(design: dict[str, Any]) -> dict[str, Any]:
    """Time Keras-Tuner on a few trials, and conclude how many there are."""

    def seconds(n_trials: int, threads: int) -> float:
        return _run_keras(design, 0, n_trials, threads, refit=False)["seconds"]

    seconds(1, 1)  # its code is loaded
    n_few = design["n_for_threads"]
    counts = (1, n_cores())
    threads, compared = faster_threads(lambda n: seconds(n_few, n), counts)
    spent = seconds(design["n_tried"], threads)
    count = design["n_tried"] if design["is_quick"] else n_candidates(spent)
    return {
        "threads": threads,
        "seconds_by_threads": compared,
        "seconds": spent,
        "n_candidates": count,
    }


class _WarmUp:
    """Measures searches, each side after a small one that does not count."""

    def __init__(self, design: dict[str, Any], threads: int) -> None:
        self._design, self._threads = design, threads
        self._warm: set[str] = set()

    def measured(self, side: str, number: int) -> dict[str, Any]:
        if side not in self._warm:
            self._run(side, number, 2)
            self._warm.add(side)
        return self._run(side, number, self._design["n_candidates"])

    def _run(self, side: str, number: int, count: int) -> dict[str, Any]:
        if side == "ours":
            return _run_ours(self._design, number, count)
        return _run_keras(self._design, number, count, self._threads)


def _run_ours(design: dict[str, Any], number: int, count: int) -> dict[str, Any]:
    rows = split_pima(number)

    def work() -> Any:
        return search_with_ours(
            rows.X_train,
            rows.y_train,
            draw_candidates(count),
            cv=folds_of(number),
            epochs=design["epochs"],
            seed=number,
        )

    return _clocked(work, rows)


def _run_keras(
    design: dict[str, Any],
    number: int,
    count: int,
    threads: int,
    *,
    refit: bool = True,
) -> dict[str, Any]:
    rows = split_pima(number)

    def work() -> Any:
        return search_with_keras(
            rows.X_train,
            rows.y_train,
            draw_candidates(count),
            cv=folds_of(number),
            epochs=design["epochs"],
            batch=design["batch"],
            seed=number,
            refit=refit,
        )

    with limited_threads(threads):
        return _clocked(work, rows)


def _clocked(work: Callable[[], Any], rows: Rows) -> dict[str, Any]:
    """Do a search and score the model that it selected."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (predict, best), wall, cpu = clocked(work)
    found = {"seconds": wall, "cpu_seconds": cpu, "best_score": best}
    if predict is not None:
        found["accuracy"] = float(np.mean(predict(rows.X_test) == rows.y_test))
    return found
