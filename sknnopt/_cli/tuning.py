"""The computation of the tune command: search, comparison, final fit."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, log_loss, r2_score, root_mean_squared_error
from sklearn.model_selection import (
    KFold,
    StratifiedKFold,
    cross_validate,
    train_test_split,
)
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from threadpoolctl import threadpool_limits

from sknnopt._cli.results import (
    Candidate,
    DataSummary,
    Measured,
    ModelScores,
    TuneResult,
)
from sknnopt._cli.tables import InputError, TrainingTable
from sknnopt._version import __version__
from sknnopt.classifier import OptimizedMLPClassifier
from sknnopt.presets import PLAIN
from sknnopt.regressor import OptimizedMLPRegressor
from sknnopt.search import space

#: Called with the number of candidates done and the best score so far.
Progress = Callable[[int, float], None]
_STEP = "mlp"
_LIBRARIES = ("numpy", "scikit-learn", "scikit-optimize", "skorch", "torch")


@dataclass(frozen=True)
class TuneSettings:
    """Options of the tune command.

    Parameters
    ----------
    n_iter : int, default=20
        Candidates to try.
    cv : int, default=5
        Folds.
    test_size : float, default=0.2
        Share of the rows to hold out.
    seed : int, default=0
        Seed of all that is drawn.
    max_epochs : int, default=200
        Epochs that a fit may take at most.
    n_jobs : int, default=1
        Processes.
    """

    n_iter: int = 20
    cv: int = 5
    test_size: float = 0.2
    seed: int = 0
    max_epochs: int = 200
    n_jobs: int = 1


@dataclass(frozen=True)
class _Rows:
    """The rows to search on and the rows held out."""

    X: pd.DataFrame
    X_test: pd.DataFrame
    y: np.ndarray
    y_test: np.ndarray


def tune(
    table: TrainingTable, settings: TuneSettings, progress: Progress | None = None
) -> tuple[TuneResult, Pipeline]:
    """Search hyperparameters, and compare the best with two baselines.

    Parameters
    ----------
    table : TrainingTable
        Features and target.
    settings : TuneSettings
        The options.
    progress : callable or None, default=None
        Called after each candidate.

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
    rows = _split(table, settings)
    folds = _folds(table, settings)
    model = Pipeline([preparation(table), (_STEP, _network(table.task, settings))])
    with _quiet(), threadpool_limits(limits=1):
        candidates = _search(model, rows, folds, settings, progress)
        best = max(candidates, key=lambda candidate: candidate.mean)
        found = {f"{_STEP}__{name}": value for name, value in best.params.items()}
        model.set_params(**found, **{f"{_STEP}__monitor": "full"})
        models = {"sknnopt, tuned": model, **_baselines(table, settings)}
        scores = tuple(
            _scores(
                name, each.fit(rows.X, rows.y), rows, folds, table.task, settings.n_jobs
            )
            for name, each in models.items()
        )
        predicted = model.predict(rows.X_test)
    network = model[-1]
    result = TuneResult(
        data=_summary(table, rows),
        settings=asdict(settings),
        candidates=tuple(candidates),
        best=best,
        scores=scores,
        history={name: col.to_numpy() for name, col in network.history_.items()},
        best_epoch=np.atleast_1d(network.best_epoch_),
        truth=rows.y_test,
        predicted=predicted,
        labels=tuple(getattr(network, "classes_", np.empty(0)).tolist()),
        seconds=time.perf_counter() - began,
        versions=library_versions(),
    )
    return result, model


def preparation(table: TrainingTable) -> tuple[str, Any]:
    """Return the step that makes a table fit for a network.

    Parameters
    ----------
    table : TrainingTable
        Whose columns are looked at.

    Returns
    -------
    name : str
        ``"scaler"`` or ``"prepare"``.
    step : transformer
        Numbers are standardized, missing ones imputed first; text is one-hot encoded.
    """
    numeric: Any = StandardScaler()
    if table.n_missing:
        imputer = SimpleImputer(strategy="median", keep_empty_features=True)
        numeric = Pipeline([("imputer", imputer), ("scaler", numeric)])
    if not table.text:
        return ("prepare" if table.n_missing else "scaler"), numeric
    text = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    parts = [("text", text, list(table.text))]
    if table.numeric:
        parts.insert(0, ("numeric", numeric, list(table.numeric)))
    return "prepare", ColumnTransformer(parts)


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


def _network(task: str, settings: TuneSettings) -> Any:
    is_classification = task == "classification"
    kind = OptimizedMLPClassifier if is_classification else OptimizedMLPRegressor
    # A single plain network: what is searched is what helps it. Named here, so that
    # the folds of a small table train as the whole table does.
    parameters: dict[str, Any] = {
        **PLAIN,
        "early_stopping": True,
        "validation_fraction": 0.15,
        "max_epochs": settings.max_epochs,
        "monitor": "light",
        "n_threads": 1,
        "random_state": settings.seed,
    }
    return kind(**parameters)


def _baselines(table: TrainingTable, settings: TuneSettings) -> dict[str, Pipeline]:
    seed = settings.seed
    if table.task == "classification":
        models = {
            "scikit-learn MLPClassifier": MLPClassifier(random_state=seed),
            "logistic regression": LogisticRegression(max_iter=1000),
        }
    else:
        models = {
            "scikit-learn MLPRegressor": MLPRegressor(random_state=seed),
            "ridge regression": Ridge(),
        }
    return {
        name: Pipeline([preparation(table), ("model", model)])
        for name, model in models.items()
    }


def _split(table: TrainingTable, settings: TuneSettings) -> _Rows:
    X, y = table.X, table.y
    is_classification = table.task == "classification"
    if is_classification:
        _check_classes(table)
    try:
        X_train, X_test, y_train, y_test = train_test_split(
            X,
            y,
            test_size=settings.test_size,
            stratify=y if is_classification else None,
            random_state=settings.seed,
        )
    except ValueError as error:
        raise InputError(
            f"{len(y)} rows cannot be split with --test-size {settings.test_size:g}: "
            f"{' '.join(str(error).split())}"
        ) from error
    _check_folds(y_train, y_test, settings, is_classification=is_classification)
    return _Rows(X_train, X_test, y_train, y_test)


def _check_classes(table: TrainingTable) -> None:
    labels, counts = np.unique(table.y, return_counts=True)
    if len(labels) == 1:
        raise InputError(
            f"the target {table.target!r} has one class only, {labels[0].item()!r}; a "
            "classification needs two or more"
        )
    if counts.min() < 2:
        is_number = labels.dtype.kind in "if"
        hint = ", or use --task regression if it is a quantity" if is_number else ""
        raise InputError(
            f"the target {table.target!r} has the class "
            f"{labels[counts.argmin()].item()!r} in one row only; leave such rows out"
            f"{hint}"
        )


def _check_folds(
    y: np.ndarray,
    y_test: np.ndarray,
    settings: TuneSettings,
    *,
    is_classification: bool,
) -> None:
    if is_classification:
        labels, counts = np.unique(y, return_counts=True)
        if counts.min() < settings.cv:
            raise InputError(
                f"the class {labels[counts.argmin()].item()!r} has {counts.min()} "
                f"training rows, too few for {settings.cv} folds; use a smaller --cv "
                "or give more rows"
            )
    elif len(y) < 2 * settings.cv or len(y_test) < 2:
        raise InputError(
            f"{len(y)} training rows and {len(y_test)} held out are too few for "
            f"{settings.cv} folds of two rows or more; use a smaller --cv or give more "
            "rows"
        )


def _folds(table: TrainingTable, settings: TuneSettings) -> Any:
    kind = StratifiedKFold if table.task == "classification" else KFold
    return kind(n_splits=settings.cv, shuffle=True, random_state=settings.seed)


def _search(
    model: Pipeline,
    rows: _Rows,
    folds: Any,
    settings: TuneSettings,
    progress: Progress | None,
) -> list[Candidate]:
    from skopt import BayesSearchCV

    search = BayesSearchCV(
        clone(model),
        space("skopt", "small", prefix=f"{_STEP}__"),
        n_iter=settings.n_iter,
        cv=folds,
        n_jobs=settings.n_jobs,
        random_state=settings.seed,
        refit=False,
    )

    def tell(result: Any) -> None:
        if progress is not None:
            progress(len(result.func_vals), -float(result.fun))

    search.fit(rows.X, rows.y, callback=tell)
    table = search.cv_results_
    columns = zip(
        table["params"],
        table["mean_test_score"],
        table["std_test_score"],
        table["mean_fit_time"],
        strict=True,
    )
    return [
        Candidate(number, _plain(params), float(mean), float(sd), float(seconds))
        for number, (params, mean, sd, seconds) in enumerate(columns, start=1)
    ]


def _plain(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name.removeprefix(f"{_STEP}__"): value for name, value in params.items()}


def _scores(
    name: str, model: Pipeline, rows: _Rows, folds: Any, task: str, n_jobs: int
) -> ModelScores:
    table = cross_validate(
        clone(model),
        rows.X,
        rows.y,
        cv=folds,
        scoring=_Scorer(task),
        n_jobs=n_jobs,
        error_score="raise",
    )
    held_out = _Scorer(task)(model, rows.X_test, rows.y_test)
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
    """Measures a fitted model; a class, so that other processes can receive it."""

    task: str

    def __call__(self, model: Any, X: Any, y: Any) -> dict[str, float]:
        predicted = model.predict(X)
        if self.task == "classification":
            # Rare classes may be absent from a part of the rows.
            loss = log_loss(y, model.predict_proba(X), labels=model.classes_)
            return {"accuracy": float(accuracy_score(y, predicted)), "log-loss": loss}
        error = root_mean_squared_error(y, predicted)
        return {"R²": float(r2_score(y, predicted)), "RMSE": float(error)}


def _summary(table: TrainingTable, rows: _Rows) -> DataSummary:
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
