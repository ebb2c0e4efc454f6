"""Ours and its peers, each fitting a problem with the same hyperparameters.

A peer is a function of a shape, a type of numbers and a number of epochs. It prepares
what is not part of a fit, and returns the fit: a function of a seed whose result is
what predicts.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from benchmarks import _torch_peers
from benchmarks._problems import ALPHA, LEARNING_RATE, Shape, load
from sknnopt import OptimizedMLPClassifier, OptimizedMLPRegressor
from sknnopt.presets import PLAIN

Predict = Callable[[np.ndarray], np.ndarray]
Fit = Callable[[int], Predict | None]


@dataclass(frozen=True)
class Peer:
    """Something that networks are compared with.

    Parameters
    ----------
    label : str
        What reports call it.
    prepare : callable
        ``prepare(shape, dtype, epochs)`` returns the fit.
    is_slow : bool, default=False
        Whether fits have fewer epochs, on both sides.
    package : str or None, default=None
        What must be installed, beyond the project's own dependencies.
    """

    label: str
    prepare: Callable[[Shape, str, int], Fit]
    is_slow: bool = False
    package: str | None = None

    @property
    def is_installed(self) -> bool:
        """Tell whether the peer can be measured here."""
        return self.package is None or find_spec(self.package) is not None


def our_parameters(shape: Shape, epochs: int) -> dict[str, Any]:
    """Return the parameters of ours that a comparison fixes.

    Parameters
    ----------
    shape : Shape
        The problem.
    epochs : int
        Passes over the rows.

    Returns
    -------
    dict
        Keyword arguments. Glorot's initial weights and constant epochs, as
        scikit-learn's network has them.
    """
    return {
        **PLAIN,
        "hidden_layer_sizes": shape.hidden,
        "activation": "relu",
        "weight_init": "glorot_uniform",
        "optimizer": "adam",
        "learning_rate": LEARNING_RATE,
        "l2": shape.l2,
        "batch_size": shape.batch,
        "max_epochs": epochs,
        "early_stopping": False,
        "n_iter_no_change": None,
        "monitor": "light",
        "n_members": 1,
    }


def sklearn_parameters(shape: Shape, epochs: int) -> dict[str, Any]:
    """Return the same for scikit-learn's network, which must not stop early.

    Parameters
    ----------
    shape : Shape
        The problem.
    epochs : int
        Passes over the rows.

    Returns
    -------
    dict
        Keyword arguments.
    """
    return {
        "hidden_layer_sizes": shape.hidden,
        "activation": "relu",
        "solver": "adam",
        "learning_rate_init": LEARNING_RATE,
        "alpha": ALPHA,
        "batch_size": shape.batch,
        "max_iter": epochs,
        "tol": 0.0,
        "n_iter_no_change": epochs + 1,
        "early_stopping": False,
    }


def _prepare_ours(shape: Shape, dtype: str, epochs: int) -> Fit:
    X, y = load(shape.rows, shape.features, shape.task, dtype)
    parameters = our_parameters(shape, epochs)
    kind = _of_task(shape, OptimizedMLPClassifier, OptimizedMLPRegressor)

    def fit(seed: int) -> Predict:
        return predictor(kind(**parameters, random_state=seed).fit(X, y))

    return fit


def _prepare_sklearn(shape: Shape, dtype: str, epochs: int) -> Fit:
    X, y = load(shape.rows, shape.features, shape.task, dtype)
    parameters = sklearn_parameters(shape, epochs)
    kind = _of_task(shape, MLPClassifier, MLPRegressor)

    def fit(seed: int) -> Predict:
        with warnings.catch_warnings():
            # It warns because the number of epochs is what ends the training.
            warnings.simplefilter("ignore", ConvergenceWarning)
            return predictor(kind(**parameters, random_state=seed).fit(X, y))

    return fit


def _prepare_keras(shape: Shape, dtype: str, epochs: int) -> Fit:
    keras = import_keras()
    X, y = load(shape.rows, shape.features, shape.task, dtype)
    is_classifier = shape.task == "classification"
    last = 2 if is_classifier else 1

    # The wrapper calls it with the whole table, under these names.
    def build(X: np.ndarray, y: np.ndarray) -> Any:
        penalty = keras.regularizers.L2(shape.l2)
        layers = [
            keras.layers.Dense(n, "relu", kernel_regularizer=penalty, dtype=dtype)
            for n in shape.hidden
        ]
        end = "softmax" if is_classifier else None
        layers.append(
            keras.layers.Dense(last, end, kernel_regularizer=penalty, dtype=dtype)
        )
        first = keras.Input((shape.features,), dtype=dtype)
        model = keras.Sequential([first, *layers])
        model.compile(
            keras.optimizers.Adam(LEARNING_RATE, epsilon=1e-8),
            loss="categorical_crossentropy" if is_classifier else "mse",
        )
        return model

    kind = _of_task(
        shape, keras.wrappers.SKLearnClassifier, keras.wrappers.SKLearnRegressor
    )

    def fit(seed: int) -> Predict:
        keras.utils.set_random_seed(seed)
        wrapper = kind(build)
        wrapper.fit(X, y, epochs=epochs, batch_size=shape.batch, verbose=0)
        return lambda rows: wrapper.model_.predict(rows, verbose=0)[:, -1]

    return fit


def import_keras() -> Any:
    """Import Keras with torch below it, which must be chosen before."""
    os.environ["KERAS_BACKEND"] = "torch"
    import keras

    if keras.backend.backend() != "torch":
        raise RuntimeError(
            "Keras was imported with another backend before; set KERAS_BACKEND=torch."
        )
    return keras


def predictor(model: Any) -> Predict:
    """Return a fitted estimator's probabilities of class 1, or its values."""
    if hasattr(model, "predict_proba"):
        return lambda rows: model.predict_proba(rows)[:, 1]
    return model.predict


def _of_task(shape: Shape, classifier: Any, regressor: Any) -> Any:
    return classifier if shape.task == "classification" else regressor


OURS = Peer("sknnopt", _prepare_ours)
PEERS: dict[str, Peer] = {
    "sklearn": Peer("scikit-learn's MLP", _prepare_sklearn),
    "skorch": Peer("skorch", _torch_peers.prepare_skorch, is_slow=True),
    "keras": Peer("Keras on torch", _prepare_keras, is_slow=True, package="keras"),
    "torch": Peer("a PyTorch loop", _torch_peers.prepare_loop),
    "products": Peer("bare matrix products", _torch_peers.prepare_products),
}
