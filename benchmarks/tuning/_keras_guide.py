"""The guide's combined search with Keras-Tuner, over candidates drawn beforehand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler

from benchmarks.tuning._candidates import (
    ACTIVATIONS,
    DEPTHS,
    DROPOUT,
    RATES,
    UNITS,
    Candidate,
    as_values,
)
from benchmarks.tuning._keras import import_tuner, make_optimizer, searching


class Fold(NamedTuple):
    """Standardized rows to train on and to validate with."""

    X_train: np.ndarray
    y_train: np.ndarray
    X_valid: np.ndarray
    y_valid: np.ndarray


def make_folds(X: np.ndarray, y: np.ndarray, cv: StratifiedKFold) -> list[Fold]:
    """Split rows, and standardize each fold by its training rows.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
        Rows.
    y : ndarray of shape (n_rows,)
        Classes 0 and 1.
    cv : StratifiedKFold
        Splits.

    Returns
    -------
    list of Fold
        In the order of ``cv``.
    """
    folds = []
    for train, valid in cv.split(X, y):
        scaler = StandardScaler().fit(X[train])
        train_rows, valid_rows = map(scaler.transform, (X[train], X[valid]))
        folds.append(Fold(train_rows, y[train], valid_rows, y[valid]))
    return folds


def search_with_keras(
    X: np.ndarray,
    y: np.ndarray,
    candidates: Sequence[Candidate],
    *,
    cv: StratifiedKFold,
    epochs: int,
    batch: int,
    seed: int,
    refit: bool = True,
) -> tuple[Any, float]:
    """Search by Keras-Tuner's random search, and fit the best candidate to all rows.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
        Rows; they are standardized here.
    y : ndarray of shape (n_rows,)
        Classes 0 and 1.
    candidates : sequence of dict
        The trials, in this order.
    cv : StratifiedKFold
        Splits.
    epochs, batch : int
        Of each fit.
    seed : int
        Of initial weights, order of rows and dropout.
    refit : bool, default=True
        Whether the best is fitted to all rows.

    Returns
    -------
    predict : callable or None
        Of rows, returns their classes; None without ``refit``.
    best : float
        Mean accuracy of the best candidate over the folds.
    """
    keras, kt = import_tuner()
    keras.utils.set_random_seed(seed)
    fit = {"epochs": epochs, "batch_size": batch, "verbose": 0}
    with searching() as directory:
        oracle = _oracle(kt, candidates)
        tuner = _tuner_class(keras, kt)(
            oracle, _builder(keras, X.shape[1]), directory=directory
        )
        tuner.search(make_folds(X, y, cv), **fit)
        # It goes on after errors in a trial.
        if any(trial.status != "COMPLETED" for trial in oracle.trials.values()):
            raise RuntimeError("A trial of Keras-Tuner has failed.")
        (trial,) = oracle.get_best_trials(1)
        if not refit:
            return None, float(trial.score)
        scaler = StandardScaler().fit(X)
        model = tuner.hypermodel.build(trial.hyperparameters)
        model.fit(scaler.transform(X), y, **fit)

    def predict(rows: np.ndarray) -> np.ndarray:
        probability = model.predict(scaler.transform(rows), verbose=0)[:, 0]
        return (probability > 0.5).astype(y.dtype)

    return predict, float(trial.score)


def _builder(keras: Any, n_features: int) -> Any:
    """Return the guide's ``build(hp)``."""

    def build(hp: Any) -> Any:
        layers = [keras.Input((n_features,))]
        for i in range(hp.Int("n_layers", DEPTHS[0], DEPTHS[-1])):
            units = hp.Int(f"units_{i}", UNITS[0], UNITS[-1], step=UNITS.step)
            kind = hp.Choice(f"activation_{i}", list(ACTIVATIONS))
            rate = hp.Float(f"dropout_{i}", *DROPOUT)
            layers += [keras.layers.Dense(units, kind), keras.layers.Dropout(rate)]
        model = keras.Sequential([*layers, keras.layers.Dense(1, "sigmoid")])
        name = hp.Choice("optimizer", list(RATES))
        model.compile(
            make_optimizer(keras, name, RATES[name]),
            loss="binary_crossentropy",
            metrics=["accuracy"],
        )
        return model

    return build


def _oracle(kt: Any, candidates: Sequence[Candidate]) -> Any:
    """Return the oracle of a random search whose draws are given."""

    class Given(kt.oracles.RandomSearchOracle):
        def populate_space(self, trial_id: str) -> dict[str, Any]:
            return {"status": "RUNNING", "values": as_values(next(drawn))}

    drawn: Iterator[Candidate] = iter(candidates)
    objective = kt.Objective("val_accuracy", "max")
    return Given(objective=objective, max_trials=len(candidates), seed=0)


def _tuner_class(keras: Any, kt: Any) -> type:
    class CrossValidated(kt.Tuner):
        """What ``RandomSearch`` does with its oracle, with folds for each trial."""

        def run_trial(
            self, trial: Any, folds: list[Fold], **fit: Any
        ) -> dict[str, float]:
            keras.backend.clear_session(free_memory=False)
            scores = [self._score(trial, fold, fit) for fold in folds]
            return {"val_accuracy": float(np.mean(scores))}

        def _score(self, trial: Any, fold: Fold, fit: dict[str, Any]) -> float:
            model = self.hypermodel.build(trial.hyperparameters)
            model.fit(fold.X_train, fold.y_train, **fit)
            _, accuracy = model.evaluate(
                fold.X_valid, fold.y_valid, batch_size=len(fold.y_valid), verbose=0
            )
            return float(accuracy)

    return CrossValidated
