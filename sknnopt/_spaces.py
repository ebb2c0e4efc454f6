"""Ready search spaces over the estimators' parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from numbers import Integral
from typing import Any, TypeAlias

import numpy as np

from sknnopt._dimensions import Dimension
from sknnopt._reading import Subspace
from sknnopt.activations import ACTIVATIONS
from sknnopt.initializers import INITIALIZERS
from sknnopt.optimizers import OPTIMIZERS
from sknnopt.schedules import SCHEDULES

Space: TypeAlias = dict[str, Any] | list[dict[str, Any]]

#: Depths of the preset ``"guide"``.
_GUIDE_DEPTHS = range(1, 11)
_WRITERS: dict[str, Callable[[Dimension], Any]] = {
    "skopt": Dimension.to_skopt,
    "sklearn": Dimension.to_scipy,
    "optuna": Dimension.to_optuna,
}


def space(
    kind: str = "skopt",
    preset: str = "small",
    *,
    depth: int | Sequence[int] | None = None,
    prefix: str = "",
) -> Space:
    """Return a search space over the parameters of the estimators.

    Parameters
    ----------
    kind : {"skopt", "sklearn", "optuna"}, default="skopt"
        Whose dimensions: of scikit-optimize for ``BayesSearchCV``; lists and
        distributions of scipy for ``RandomizedSearchCV`` and
        ``HalvingRandomSearchCV``; of Optuna for ``OptunaSearchCV``.
    preset : {"small", "standard", "regularization", "guide"}, default="small"
        ``"small"``: 8 dimensions that all layers share, for about 20 to 50 candidates.
        ``"standard"``: the same with more options each, and with initialization,
        normalization, schedule and gradient clipping. ``"regularization"``: only what
        works against overfitting. ``"guide"``: the optimizer, and width (8 to 128 in
        steps of 8), activation and dropout of each of up to 10 layers.
    depth : int, sequence of int or None, default=None
        Numbers of hidden layers to search; None: those of the preset.
    prefix : str, default=""
        What to put before each name, such as ``"mlp__"`` for the step ``mlp`` of a
        pipeline.

    Returns
    -------
    dict or list of dict
        New dimensions by parameter. For ``"guide"`` a list of subspaces, one for each
        depth, so that no search learns from layers that a network does not have; with
        an int for ``depth``, the dict of that one.

    Raises
    ------
    ValueError
        If there is no such kind, preset or depth.

    See Also
    --------
    grid : Lists of a few values each, for ``GridSearchCV``.

    Notes
    -----
    ``OptunaSearchCV`` takes no list of subspaces: give it one depth of ``"guide"``.
    In ``"guide"`` each optimizer has the learning rate that ``"auto"`` stands for.

    Examples
    --------
    >>> from sknnopt.search import space
    >>> sorted(space("sklearn", prefix="mlp__"))[:3]
    ['mlp__activation', 'mlp__batch_size', 'mlp__dropout']
    >>> [len(subspace) for subspace in space("sklearn", "guide", depth=[1, 2])]
    [5, 8]
    """
    write = _WRITERS[_one_of("kind", kind, _WRITERS)]
    return _written(preset, depth, prefix, write)


def grid(
    preset: str = "small",
    *,
    n: int = 3,
    depth: int | Sequence[int] | None = None,
    prefix: str = "",
    names: Sequence[str] | None = None,
) -> Space:
    """Return lists of values for ``GridSearchCV``.

    Parameters
    ----------
    preset : {"small", "standard", "regularization", "guide"}, default="small"
        As in :func:`space`.
    n : int, default=3
        Values of each range, from end to end, equally spaced on the scale of the range.
        Options keep all of theirs.
    depth : int, sequence of int or None, default=None
        As in :func:`space`.
    prefix : str, default=""
        As in :func:`space`.
    names : sequence of str or None, default=None
        Parameters to keep, without the prefix. A grid over all of ``"small"`` has
        thousands of points.

    Returns
    -------
    dict or list of dict
        Lists by parameter.

    Raises
    ------
    ValueError
        If an argument is wrong.

    Examples
    --------
    >>> from sknnopt.search import grid
    >>> grid("small", names=["n_units", "learning_rate"])
    {'n_units': [8, 32, 128], 'learning_rate': [0.0001, 0.0031..., 0.1]}
    """
    if not isinstance(n, Integral) or n < 2:
        raise ValueError(
            "The 'n' parameter of grid must be an int in the range [2, inf). "
            f"Got {n!r} instead."
        )
    found = _written(preset, depth, "", lambda dimension: _values(dimension, int(n)))
    parts = found if isinstance(found, list) else [found]
    known = list(dict.fromkeys(name for part in parts for name in part))
    for name in names or ():
        _one_of("names", name, known)
    kept = [
        {f"{prefix}{k}": part[k] for k in part if names is None or k in names}
        for part in parts
    ]
    return kept if isinstance(found, list) else kept[0]


def _written(
    preset: str, depth: Any, prefix: str, write: Callable[[Dimension], Any]
) -> Space:
    make = _PRESETS[_one_of("preset", preset, _PRESETS)]
    depths = _depths(depth)
    subspaces = make(depths)
    written = [
        {prefix + name: write(dimension) for name, dimension in subspace.items()}
        for subspace in subspaces
    ]
    is_list = make is _guide and not isinstance(depth, Integral)
    return written if is_list else written[0]


def _one_of(parameter: str, value: Any, known: Any) -> Any:
    if not isinstance(value, str) or value not in known:
        raise ValueError(
            f"The {parameter!r} parameter of a search space must be one of "
            f"{list(known)}. Got {value!r} instead."
        )
    return value


def _depths(depth: Any) -> list[int] | None:
    if depth is None:
        return None
    is_one = isinstance(depth, Integral)
    given = [depth] if is_one else list(depth) if np.iterable(depth) else []
    if not given or not all(map(_is_depth, given)):
        raise ValueError(
            "The 'depth' parameter of a search space must be an int in the range "
            f"[1, inf), or a sequence of such. Got {depth!r} instead."
        )
    return list(map(int, given))


def _is_depth(value: Any) -> bool:
    is_integer = isinstance(value, Integral) and not isinstance(value, bool)
    return is_integer and int(value) > 0


def _small(depths: list[int] | None) -> list[Subspace]:
    dimensions = {
        "n_layers": _integer(1, 3),
        "n_units": _integer(8, 128, log=True),
        "batch_size": _integer(32, 256, log=True),
        **_shared("small"),
    }
    return [_at_depths(dimensions, depths)]


def _standard(depths: list[int] | None) -> list[Subspace]:
    dimensions = {
        "n_layers": _integer(1, 4),
        "n_units": _integer(8, 256, log=True),
        "batch_size": _integer(32, 256, log=True),
        "weight_init": _choice(["auto", *_options(INITIALIZERS, "standard")]),
        "normalization": _choice([None, "batch", "layer"]),
        "lr_schedule": _choice(_options(SCHEDULES, "standard")),
        "clip_norm": _choice([None, 1.0, 5.0]),
        **_shared("standard"),
    }
    return [_at_depths(dimensions, depths)]


def _regularization(depths: list[int] | None) -> list[Subspace]:
    dimensions = {
        "n_units": _integer(8, 256, log=True),
        "optimizer": _choice(_options(OPTIMIZERS, "regularization")),
        "dropout": _real(0.0, 0.6),
        "l1": _real(1e-7, 1e-2, log=True),
        "l2": _real(1e-6, 1e-1, log=True),
        "weight_decay": _real(1e-5, 1e-1, log=True),
    }
    return [_at_depths(dimensions, depths)]


def _guide(depths: list[int] | None) -> list[Subspace]:
    # No learning rate: one range cannot serve adadelta, whose rate is 1, and the rest.
    optimizer = _choice(_options(OPTIMIZERS, "guide"))
    layer = {
        "n_units": _integer(8, 128, step=8),
        "activation": _choice(_options(ACTIVATIONS, "guide")),
        "dropout": _real(0.1, 0.6),
    }
    return [
        {
            "n_layers": _choice([depth]),
            "optimizer": optimizer,
            **{
                f"{name}__{index}": dimension
                for index in range(depth)
                for name, dimension in layer.items()
            },
        }
        for depth in (depths or _GUIDE_DEPTHS)
    ]


_PRESETS: Mapping[str, Callable[[list[int] | None], list[Subspace]]] = {
    "small": _small,
    "standard": _standard,
    "regularization": _regularization,
    "guide": _guide,
}
PRESETS = tuple(_PRESETS)


def _shared(preset: str) -> Subspace:
    """Return the dimensions that the general presets have in common."""
    return {
        "activation": _choice(_options(ACTIVATIONS, preset)),
        "dropout": _real(0.0, 0.5),
        "l2": _real(1e-6, 1e-1, log=True),
        "learning_rate": _real(1e-4, 1e-1, log=True),
        "optimizer": _choice(_options(OPTIMIZERS, preset)),
    }


def _at_depths(dimensions: Subspace, depths: list[int] | None) -> Subspace:
    return dimensions if depths is None else {**dimensions, "n_layers": _choice(depths)}


def _options(registry: Mapping[str, Any], preset: str) -> list[str]:
    return [name for name, option in registry.items() if preset in option.presets]


def _choice(choices: Sequence[Any]) -> Dimension:
    return Dimension("choice", choices=tuple(choices))


def _integer(
    low: int, high: int, *, log: bool = False, step: int | None = None
) -> Dimension:
    return Dimension("integer", low, high, log=log, step=step)


def _real(low: float, high: float, *, log: bool = False) -> Dimension:
    return Dimension("real", low, high, log=log)


def _values(dimension: Dimension, n: int) -> list[Any]:
    """Return a few values of a dimension, from end to end."""
    if dimension.kind == "choice":
        return list(dimension.choices)
    if dimension.step is not None:
        last = int(dimension.n_values) - 1
        positions = np.unique(np.linspace(0, last, n).round().astype(int))
        return [dimension.value_at(int(position)) for position in positions]
    spaced = np.geomspace if dimension.log else np.linspace
    numbers = spaced(dimension.low, dimension.high, n)
    if dimension.kind == "integer":
        return np.unique(numbers.round().astype(int)).tolist()
    return numbers.tolist()
