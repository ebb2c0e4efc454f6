"""The guide's combined search: what is searched, and candidates drawn beforehand.

Ours and Keras-Tuner get the same candidates. A candidate holds the optimizer, its
learning rate and, layer by layer, width, activation and dropout.
"""

from __future__ import annotations

from typing import Any

import numpy as np

DEPTHS = range(1, 11)
UNITS = range(8, 129, 8)
ACTIVATIONS = ("relu", "tanh", "sigmoid")
DROPOUT = (0.1, 0.6)
#: The learning rates that Keras gives these optimizers, and so their users.
RATES = {"adam": 1e-3, "sgd": 1e-2, "rmsprop": 1e-3, "adadelta": 1e-3}
SEED = 0

Candidate = dict[str, Any]


def draw_candidates(n: int, seed: int = SEED) -> list[Candidate]:
    """Draw candidates, of which fewer are the first of more.

    Parameters
    ----------
    n : int
        How many.
    seed : int, default=0
        Of the draws.

    Returns
    -------
    list of dict
        ``optimizer``, ``learning_rate`` and ``layers``: of each ``units``,
        ``activation`` and ``dropout``.
    """
    rng = np.random.default_rng(seed)
    return [_draw(rng) for _ in range(n)]


def _draw(rng: np.random.Generator) -> Candidate:
    optimizer = str(rng.choice(list(RATES)))
    depth = int(rng.choice(DEPTHS))
    layers = [
        {
            "units": int(rng.choice(UNITS)),
            "activation": str(rng.choice(ACTIVATIONS)),
            "dropout": round(float(rng.uniform(*DROPOUT)), 4),
        }
        for _ in range(depth)
    ]
    rate = RATES[optimizer]
    return {"optimizer": optimizer, "learning_rate": rate, "layers": layers}


def as_grid(candidate: Candidate, prefix: str = "") -> dict[str, list[Any]]:
    """Write a candidate for our estimators, as a space of this one point.

    Parameters
    ----------
    candidate : dict
        Of :func:`draw_candidates`.
    prefix : str, default=""
        What to put before each name.

    Returns
    -------
    dict
        Lists of one value, by parameter.
    """
    values: dict[str, Any] = {
        "optimizer": candidate["optimizer"],
        "learning_rate": candidate["learning_rate"],
        "n_layers": len(candidate["layers"]),
    }
    for index, layer in enumerate(candidate["layers"]):
        values[f"n_units__{index}"] = layer["units"]
        values[f"activation__{index}"] = layer["activation"]
        values[f"dropout__{index}"] = layer["dropout"]
    return {prefix + name: [value] for name, value in values.items()}


def as_values(candidate: Candidate) -> dict[str, Any]:
    """Write a candidate as Keras-Tuner stores one.

    Parameters
    ----------
    candidate : dict
        Of :func:`draw_candidates`.

    Returns
    -------
    dict
        Values by the names that the model's ``build`` asks for; the learning rate
        follows from the optimizer.
    """
    values: dict[str, Any] = {
        "optimizer": candidate["optimizer"],
        "n_layers": len(candidate["layers"]),
    }
    for index, layer in enumerate(candidate["layers"]):
        for name, value in layer.items():
            values[f"{name}_{index}"] = value
    return values
