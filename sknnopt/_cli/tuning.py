"""The computation of the tune command: search, comparison, final fit."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from joblib import parallel_config
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, log_loss, r2_score, root_mean_squared_error
from sklearn.model_selection import cross_validate
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from sknnopt._cli.models import STEP, baselines, untuned
from sknnopt._cli.results import DataSummary, Measured, ModelScores, TuneResult
from sknnopt._cli.searching import run_search
from sknnopt._cli.settings import TuneSettings
from sknnopt._cli.splitting import Rows, folds, split
from sknnopt._cli.tables import TrainingTable
from sknnopt._version import __version__

_LIBRARIES = ("numpy", "scikit-learn", "scikit-optimize", "skorch", "torch")


def tune(
    table: TrainingTable, settings: TuneSettings, *, verbose: bool = False
) -> tuple[TuneResult, Pipeline]:
    """Search hyperparameters, and compare the best with two baselines.

    Parameters
    ----------
    table : TrainingTable
        Features and target.
    settings : TuneSettings
        The options.
    verbose : bool, default=False
        Whether to show on standard error how far the search is.

    Returns
    -------
    result : TuneResult
        What was found.
    model : Pipeline
        The best candidate, fitted on all rows but those held out.

    Raises
    ------
    InputError
        If the table has too few rows.
    """
    began = time.perf_counter()
    rows, splitter = split(table, settings), folds(table, settings)
    model = untuned(table, settings)
    with _quiet(), threadpool_limits(limits=1):
        search = run_search(model, rows, splitter, settings, verbose=verbose)
        searched = time.perf_counter() - began
        found = {f"{STEP}__{name}": value for name, value in search.params.items()}
        model.set_params(**found, **{f"{STEP}__monitor": "full"})
        measured = _Comparison(rows, splitter, table.task)
        with parallel_config(backend="sknnopt", n_jobs=settings.n_jobs):
            scores = [measured("sknnopt, tuned", model)]
        others = baselines(table, settings)
        scores += [measured(name, each) for name, each in others.items()]
        predicted = model.predict(rows.X_test)
    network = model[-1]
    result = TuneResult(
        data=_summary(table, rows),
        settings=settings.listed(),
        search=search,
        scores=tuple(scores),
        history={name: col.to_numpy() for name, col in network.history_.items()},
        diagnosis=network.diagnose(),
        best_epoch=np.atleast_1d(network.best_epoch_),
        truth=rows.y_test,
        predicted=predicted,
        labels=tuple(getattr(network, "classes_", np.empty(0)).tolist()),
        seconds=time.perf_counter() - began,
        search_seconds=searched,
        versions=library_versions(),
    )
    return result, model


def library_versions() -> dict[str, str]:
    """Return the versions of this package and of those that it computes with.

    Returns
    -------
    dict of str to str
        Versions by name.
    """
    versions = {"sknnopt": __version__}
    for name in _LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


@dataclass(frozen=True)
class _Comparison:
    """Fits models, and measures them on the folds and on the rows held out."""

    rows: Rows
    folds: Any
    task: str

    def __call__(self, name: str, model: Pipeline) -> ModelScores:
        rows, scorer = self.rows, _Scorer(self.task)
        table = cross_validate(
            clone(model),
            rows.X,
            rows.y,
            cv=self.folds,
            scoring=scorer,
            error_score="raise",
        )
        held_out = scorer(model.fit(rows.X, rows.y), rows.X_test, rows.y_test)
        measures = {
            measure: Measured(
                float(table[f"test_{measure}"].mean()),
                float(table[f"test_{measure}"].std()),
                value,
            )
            for measure, value in held_out.items()
        }
        return ModelScores(name, measures)


@dataclass(frozen=True)
class _Scorer:
    """Measures a fitted model; for several measures at once."""

    task: str

    def __call__(self, model: Any, X: Any, y: Any) -> dict[str, float]:
        predicted = model.predict(X)
        if self.task == "classification":
            # Rare classes may be absent from a part of the rows.
            loss = log_loss(y, model.predict_proba(X), labels=model.classes_)
            return {"accuracy": float(accuracy_score(y, predicted)), "log-loss": loss}
        error = root_mean_squared_error(y, predicted)
        return {"R²": float(r2_score(y, predicted)), "RMSE": float(error)}


def _summary(table: TrainingTable, rows: Rows) -> DataSummary:
    classes: dict[str, int] = {}
    target_range = None
    if table.task == "classification":
        labels, counts = np.unique(table.y, return_counts=True)
        classes = dict(zip(labels.astype(str).tolist(), counts.tolist(), strict=True))
    else:
        target_range = float(table.y.min()), float(table.y.max())
    return DataSummary(
        name=table.name,
        target=table.target,
        task=table.task,
        reason=table.reason,
        n_train=len(rows.y),
        n_test=len(rows.y_test),
        numeric=table.numeric,
        text=table.text,
        n_missing=table.n_missing,
        classes=classes,
        target_range=target_range,
        notes=table.notes,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to ourselves what a search expects: networks that fail to converge."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", message="The objective has been evaluated")
        # scikit-learn's network takes Ctrl-C for the wish to stop its own training.
        interrupted = "Training interrupted by user"
        warnings.filterwarnings("error", message=interrupted)
        try:
            yield
        except UserWarning as warning:
            if interrupted in str(warning):
                raise KeyboardInterrupt from warning
            raise
