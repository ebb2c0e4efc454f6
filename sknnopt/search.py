"""Search spaces over the estimators' parameters."""

from __future__ import annotations

from typing import Any

from sknnopt._best_models import best_models, ensemble_of_best
from sknnopt._surrogate import parameter_importance, partial_dependence
from sknnopt._trials import best_hyperparameters, trials_frame
from sknnopt.activations import ACTIVATIONS
from sknnopt.initializers import INITIALIZERS
from sknnopt.optimizers import OPTIMIZERS
from sknnopt.schedules import SCHEDULES

__all__ = [
    "PRESETS",
    "best_hyperparameters",
    "best_models",
    "ensemble_of_best",
    "parameter_importance",
    "partial_dependence",
    "space",
    "trials_frame",
]

PRESETS = ("small", "standard", "regularization", "guide")
#: Hidden layers up to which the preset ``"guide"`` gives each layer values of its own.
_GUIDE_LAYERS = 10


def space(preset: str = "small", *, prefix: str = "") -> dict[str, Any]:
    """Return a search space for ``BayesSearchCV``.

    Parameters
    ----------
    preset : {"small", "standard", "regularization", "guide"}, default="small"
        ``"small"``: 8 dimensions that all layers share, for about 20 to 50 candidates.
        ``"standard"``: the same with more options each, and with initialization,
        normalization, schedule and gradient clipping. ``"regularization"``: only what
        works against overfitting. ``"guide"``: width, activation and dropout of each
        of up to 10 layers, 33 dimensions.
    prefix : str, default=""
        What to put before each name, such as ``"mlp__"`` for the step ``mlp`` of a
        pipeline.

    Returns
    -------
    dict of str to dimension
        A new dict of new dimensions of scikit-optimize, by parameter.

    Raises
    ------
    ValueError
        If there is no such preset.

    Examples
    --------
    >>> from sknnopt.search import space
    >>> sorted(space(prefix="mlp__"))[:3]
    ['mlp__activation', 'mlp__batch_size', 'mlp__dropout']
    """
    makers = {
        "small": _small,
        "standard": _standard,
        "regularization": _regularization,
        "guide": _guide,
    }
    if preset not in makers:
        raise ValueError(
            f"The 'preset' parameter of space must be one of {list(makers)}. "
            f"Got {preset!r} instead."
        )
    return {prefix + name: dimension for name, dimension in makers[preset]().items()}


def _small() -> dict[str, Any]:
    return {
        "n_layers": _integer(1, 3),
        "n_units": _log_integer(8, 128),
        "batch_size": _log_integer(32, 128),
        **_shared("small"),
    }


def _standard() -> dict[str, Any]:
    from skopt.space import Categorical

    return {
        "n_layers": _integer(1, 4),
        "n_units": _log_integer(8, 256),
        "batch_size": _log_integer(32, 256),
        "weight_init": Categorical(["auto", *_names(INITIALIZERS, "standard")]),
        "normalization": Categorical([None, "batch", "layer"]),
        "lr_schedule": Categorical(_names(SCHEDULES, "standard")),
        "clip_norm": Categorical([None, 1.0, 5.0]),
        **_shared("standard"),
    }


def _regularization() -> dict[str, Any]:
    from skopt.space import Categorical

    return {
        "n_units": _log_integer(8, 256),
        "optimizer": Categorical(_names(OPTIMIZERS, "regularization")),
        "dropout": _real(0.0, 0.6),
        "l1": _log_real(1e-7, 1e-2),
        "l2": _log_real(1e-6, 1e-1),
        "weight_decay": _log_real(1e-5, 1e-1),
    }


def _guide() -> dict[str, Any]:
    from skopt.space import Categorical

    dimensions: dict[str, Any] = {
        "n_layers": _integer(1, _GUIDE_LAYERS),
        "optimizer": Categorical(_names(OPTIMIZERS, "guide")),
        "learning_rate": _log_real(1e-4, 1e-1),
    }
    for layer in range(_GUIDE_LAYERS):
        dimensions[f"n_units__{layer}"] = _integer(8, 128)
        dimensions[f"activation__{layer}"] = Categorical(_names(ACTIVATIONS, "guide"))
        dimensions[f"dropout__{layer}"] = _real(0.0, 0.5)
    return dimensions


def _shared(preset: str) -> dict[str, Any]:
    """Return the dimensions that the general presets have in common."""
    from skopt.space import Categorical

    return {
        "activation": Categorical(_names(ACTIVATIONS, preset)),
        "dropout": _real(0.0, 0.5),
        "l2": _log_real(1e-6, 1e-1),
        "learning_rate": _log_real(1e-4, 1e-1),
        "optimizer": Categorical(_names(OPTIMIZERS, preset)),
    }


def _names(options: Any, preset: str) -> list[str]:
    return [name for name, option in options.items() if preset in option.presets]


def _real(low: float, high: float) -> Any:
    from skopt.space import Real

    return Real(low, high)


def _log_real(low: float, high: float) -> Any:
    from skopt.space import Real

    return Real(low, high, prior="log-uniform")


def _integer(low: int, high: int) -> Any:
    from skopt.space import Integer

    return Integer(low, high)


def _log_integer(low: int, high: int) -> Any:
    from skopt.space import Integer

    return Integer(low, high, prior="log-uniform", base=2)
