"""Keras on torch, and Keras-Tuner. Imported only where both are installed."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from benchmarks._peers import import_keras

PACKAGES = ("keras", "keras-tuner")
#: What :data:`PACKAGES` are imported as.
MODULES = ("keras", "keras_tuner")


def missing() -> list[str]:
    """Return those of the packages that are not installed."""
    pairs = zip(PACKAGES, MODULES, strict=True)
    return [name for name, module in pairs if find_spec(module) is None]


def import_tuner() -> tuple[Any, Any]:
    """Return the modules ``keras``, with torch below it, and ``keras_tuner``."""
    keras = import_keras()
    with _quiet():
        import keras_tuner

    return keras, keras_tuner


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what its code is warned of: it asks for deprecated names of Python."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def searching() -> Iterator[str]:
    """Give a search a directory of its own, which is removed afterwards.

    Yields
    ------
    str
        The directory.
    """
    with tempfile.TemporaryDirectory() as directory, _quiet():
        yield directory


def make_optimizer(keras: Any, name: str, rate: float, momentum: float = 0.0) -> Any:
    """Return an optimizer of Keras with the constants of ours.

    Parameters
    ----------
    keras : module
        Keras.
    name : str
        One of our optimizers, of those that are searched.
    rate : float
        Learning rate.
    momentum : float, default=0.0
        Of ``"sgd"``.

    Returns
    -------
    keras.optimizers.Optimizer
        A new one.
    """
    from sknnopt import optimizers as ours

    adam = {"epsilon": ours.ADAM_EPSILON}
    decay = ours.OPTIMIZERS["adamw"].weight_decay
    constants: dict[str, dict[str, float]] = {
        "adam": adam,
        "adamw": {**adam, "weight_decay": decay},
        "sgd": {"momentum": momentum},
        "rmsprop": {"rho": ours.RMSPROP_ALPHA, "epsilon": ours.RMSPROP_EPSILON},
        "adadelta": {"rho": ours.ADADELTA_RHO, "epsilon": ours.ADADELTA_EPSILON},
    }
    kinds = {
        "adam": keras.optimizers.Adam,
        "adamw": keras.optimizers.AdamW,
        "sgd": keras.optimizers.SGD,
        "rmsprop": keras.optimizers.RMSprop,
        "adadelta": keras.optimizers.Adadelta,
    }
    return kinds[name](rate, **constants[name])
