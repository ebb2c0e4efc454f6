"""Keras-Tuner's searches within a time, with one validation split as it is used."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from benchmarks.quality._methods import prepared
from benchmarks.tuning._keras import import_tuner, make_optimizer, searching
from benchmarks.tuning._searches import NO_LIMIT, Found, Problem

VALID_SHARE = 0.2
#: Epochs of a fit, and without progress: those of ours at its defaults.
EPOCHS, PATIENCE = 200, 15
#: Of stochastic gradient descent, as in ours.
MOMENTUM = 0.9
LOSS = "val_log_loss"


def search_with_keras(
    problem: Problem, kind: str, dimensions: Mapping[str, Any]
) -> Found:
    """Search, and fit the best candidate to all rows, for its best number of epochs.

    Parameters
    ----------
    problem : Problem
        What is searched, and how long.
    kind : {"random", "hyperband"}
        Which of its tuners.
    dimensions : dict
        scikit-optimize's dimensions by our parameters.

    Returns
    -------
    Found
        Its log-losses are those on the rows held out for validation.
    """
    keras, kt = import_tuner()
    keras.utils.set_random_seed(problem.seed)
    X, y = problem.rows.X_train, problem.rows.y_train
    n_classes = len(np.unique(y))
    with searching() as directory:
        begun = time.monotonic()
        X_train, X_valid, y_train, y_valid = train_test_split(
            X, y, test_size=VALID_SHARE, stratify=y, random_state=problem.seed
        )
        columns = prepared("passthrough").fit(X_train, y_train)
        train, valid = map(_numbers(columns), (X_train, X_valid))
        model = _model_class(keras, kt)(dimensions, train.shape[1], n_classes)
        tuner = _tuner(kt, kind, model, problem.seed, directory)
        stop = _stopper(keras, tuner, begun + problem.seconds)
        patience = keras.callbacks.EarlyStopping(LOSS, mode="min", patience=PATIENCE)
        tuner.search(
            train,
            y_train,
            validation_data=(valid, y_valid),
            epochs=EPOCHS,
            callbacks=[patience, stop],
            verbose=0,
        )
        spent = time.monotonic() - begun
        # It goes on after errors in a trial. Diverged ones leave no message.
        if messages := [t.message for t in tuner.oracle.trials.values() if t.message]:
            raise RuntimeError(f"A trial of Keras-Tuner has failed: {messages[0]}")
        (trial,) = tuner.oracle.get_best_trials(1)
        begun = time.monotonic()
        predict_proba = _refitted(model, trial, X, y)
        refit_seconds = time.monotonic() - begun
        return Found(
            predict_proba=predict_proba,
            seconds=spent,
            refit_seconds=refit_seconds,
            best_loss=float(trial.score),
            n_candidates=len(tuner.oracle.trials),
            curve=tuner.curve,
        )


def _numbers(columns: Any) -> Callable[[pd.DataFrame], np.ndarray]:
    return lambda frame: columns.transform(frame).astype(np.float32)


def _refitted(
    model: Any, trial: Any, X: pd.DataFrame, y: np.ndarray
) -> Callable[[pd.DataFrame], np.ndarray]:
    """Fit the best candidate to all rows, those held out before included."""
    numbers = _numbers(prepared("passthrough").fit(X, y))
    hp = trial.hyperparameters
    # Steps are epochs of its last fit; Hyperband's begin where an earlier one ended.
    epochs = hp.values.get("tuner/initial_epoch", 0) + int(trial.best_step) + 1
    rows = numbers(X)
    # Among all rows there may be categories that were held out before.
    model.n_features = rows.shape[1]
    network = model.build(hp)
    model.fit(hp, network, rows, y, epochs=epochs, verbose=0)
    return lambda frame: np.asarray(network.predict(numbers(frame), verbose=0))


def _model_class(keras: Any, kt: Any) -> type:
    class Model(kt.HyperModel):
        """Our space, as Keras and Keras-Tuner have it."""

        def __init__(
            self, dimensions: Mapping[str, Any], n_features: int, n_classes: int
        ) -> None:
            super().__init__()
            self.dimensions = dict(dimensions)
            self.n_features, self.n_classes = n_features, n_classes

        def build(self, hp: Any) -> Any:
            values = {
                name: ask(hp, name, dimension)
                for name, dimension in self.dimensions.items()
            }
            penalty = {"kernel_regularizer": keras.regularizers.L2(values["l2"])}
            layers = [keras.Input((self.n_features,))]
            for _ in range(values["n_layers"]):
                units, kind = values["n_units"], values["activation"]
                layers.append(keras.layers.Dense(units, kind, **penalty))
                layers.append(keras.layers.Dropout(values["dropout"]))
            last = keras.layers.Dense(self.n_classes, "softmax", **penalty)
            network = keras.Sequential([*layers, last])
            rate = values["learning_rate"]
            # Its validation loss includes the penalty, which others do not select by.
            metric = keras.metrics.SparseCategoricalCrossentropy(name="log_loss")
            network.compile(
                make_optimizer(keras, values["optimizer"], rate, MOMENTUM),
                loss="sparse_categorical_crossentropy",
                metrics=[metric],
            )
            return network

        def fit(self, hp: Any, model: Any, *rows: Any, **options: Any) -> Any:
            batch = ask(hp, "batch_size", self.dimensions["batch_size"])
            return model.fit(*rows, batch_size=batch, **options)

    return Model


def ask(hp: Any, name: str, dimension: Any) -> Any:
    """Ask Keras-Tuner for the value of a dimension of scikit-optimize.

    Parameters
    ----------
    hp : keras_tuner.HyperParameters
        What is asked.
    name : str
        The hyperparameter.
    dimension : skopt.space.Dimension
        Its values.

    Returns
    -------
    object
        The value.
    """
    from skopt.space import Categorical, Integer

    if isinstance(dimension, Categorical):
        return hp.Choice(name, list(dimension.categories))
    sampling = "log" if dimension.prior == "log-uniform" else "linear"
    low, high = dimension.low, dimension.high
    kind = hp.Int if isinstance(dimension, Integer) else hp.Float
    return kind(name, low, high, sampling=sampling)


def _tuner(kt: Any, kind: str, model: Any, seed: int, directory: str) -> Any:
    base = {"random": kt.RandomSearch, "hyperband": kt.Hyperband}[kind]

    class Noting(base):
        """Notes the best score after each trial."""

        def on_search_begin(self) -> None:
            super().on_search_begin()
            self.curve: list[tuple[float, float]] = []
            self.begun = time.monotonic()

        def on_trial_end(self, trial: Any) -> None:
            super().on_trial_end(trial)
            (best,) = self.oracle.get_best_trials(1)
            if best.score is not None:
                spent = time.monotonic() - self.begun
                self.curve.append((spent, float(best.score)))

    # Both go on until time is up.
    limit = {
        "random": {"max_trials": NO_LIMIT},
        "hyperband": {"hyperband_iterations": None},
    }[kind]
    objective = kt.Objective(LOSS, "min")
    # A seed of 0 would count as none.
    return Noting(model, objective, seed=seed + 1, directory=directory, **limit)


def _stopper(keras: Any, tuner: Any, deadline: float) -> Any:
    """Return what ends a fit, and with it the search, when time is up."""

    class Stopper(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if time.monotonic() >= deadline:
                self.model.stop_training = True
                # The oracle then gives no further trial.
                tuner.oracle.max_trials = 1

        def __deepcopy__(self, memo: dict[int, Any]) -> Any:
            # Each trial copies its callbacks, but this one's tuner must stay the same.
            return self

    return Stopper()
