"""The shape of a network, read from the estimator's parameters.

Depth and width may come as ``hidden_layer_sizes`` or as ``n_layers`` and
``n_units``; a per-layer parameter may be one value, a sequence or a dict. This
module turns all of them into one value per layer, and says which is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, TypeAlias, TypeVar

import numpy as np

from sknnopt.activations import ACTIVATIONS
from sknnopt.initializers import INITIALIZERS

DEFAULT_N_LAYERS = 2
DEFAULT_N_UNITS = 100
#: Beyond anything that trains: values are kept for each layer.
MOST_LAYERS = 10_000

#: Parameters that take one value, a sequence, or a dict of layers.
PER_LAYER = ("n_units", "activation", "dropout", "weight_init", "l1", "l2")
T = TypeVar("T")
#: One value for all layers, one each, or values by index.
PerLayer: TypeAlias = T | Sequence[T] | Mapping[Any, T]

_INDEXED = re.compile(rf"({'|'.join(PER_LAYER)})__(\d+|default)")
_LARGEST = float(np.finfo(np.float64).max)
_SIZES = re.compile(r"\s*\d+(\s*-\s*\d+)*\s*")


@dataclass(frozen=True)
class Architecture:
    """What all networks of a batch have in common.

    Parameters
    ----------
    n_inputs, n_outputs : int
        Features that come in and raw outputs that leave.
    hidden : tuple of int
        Units of each hidden layer.
    activations : tuple of str
        Activation of each hidden layer.
    normalization : {"batch", "layer"} or None, default=None
        What stands between a hidden layer's linear part and its activation.
    """

    n_inputs: int
    hidden: tuple[int, ...]
    n_outputs: int
    activations: tuple[str, ...]
    normalization: str | None = None

    @property
    def sizes(self) -> tuple[int, ...]:
        """Width of every layer, the inputs first and the outputs last."""
        return (self.n_inputs, *self.hidden, self.n_outputs)


def split_indexed(
    params: Mapping[str, Any],
) -> tuple[dict[str, Any], dict[str, dict[int | str, Any]]]:
    """Separate ``dropout__0`` and its like from plain parameters.

    Parameters
    ----------
    params : mapping
        What ``set_params`` was given.

    Returns
    -------
    plain : dict
        The parameters without an index.
    indexed : dict of dict
        For each per-layer parameter, the new value of each layer.
    """
    plain: dict[str, Any] = {}
    indexed: dict[str, dict[int | str, Any]] = {}
    for key, value in params.items():
        match = _INDEXED.fullmatch(key)
        if match is None:
            plain[key] = value
        else:
            name, index = match.groups()
            layer = index if index == "default" else int(index)
            indexed.setdefault(name, {})[layer] = value
    return plain, indexed


def fold_indexed(value: Any, updates: Mapping[int | str, Any]) -> dict[Any, Any]:
    """Return the per-layer ``value`` as a new dict with ``updates`` applied.

    Parameters
    ----------
    value : object
        The parameter so far: one value, a sequence or a dict.
    updates : mapping
        New values by layer index (or ``"default"``).

    Returns
    -------
    dict
        A mapping that means the same as ``value`` for all other layers.
    """
    if isinstance(value, Mapping):
        folded = dict(value)
    elif _is_sequence(value) and len(value) > 0:
        folded = {**dict(enumerate(value)), "default": value[-1]}
    else:
        folded = {"default": value}
    folded.update(updates)
    return folded


def per_layer(name: str, value: Any, n_layers: int) -> tuple[Any, ...]:
    """Resolve a per-layer parameter to one checked value for each layer.

    Parameters
    ----------
    name : str
        The parameter, for its rule and for the error.
    value : object
        One value, a sequence (a short one repeats its last) or a dict
        ``{index: value, "default": value}``.
    n_layers : int
        How many layers there are; what is given beyond them is checked, and ignored.

    Returns
    -------
    tuple
        ``n_layers`` values.

    Raises
    ------
    ValueError
        If a value is not accepted, or none is given for a layer.
    """
    if _is_sequence(value):
        if len(value) == 0:
            raise ValueError(
                f"The {name!r} parameter is an empty sequence. Give one value, "
                "one for each layer, or a dict {index: value, 'default': value}."
            )
        given = [_checked(name, item, layer) for layer, item in enumerate(value)]
        return tuple(given[min(i, len(given) - 1)] for i in range(n_layers))
    if isinstance(value, Mapping):
        return _from_mapping(name, value, n_layers)
    return (_checked(name, value, 0),) * n_layers


def hidden_sizes(
    hidden_layer_sizes: Any, n_layers: int, n_units: Any
) -> tuple[int, ...]:
    """Resolve depth and width to the units of each hidden layer.

    Parameters
    ----------
    hidden_layer_sizes : int, sequence of int, str such as "128-64", or None
        All layers at once; excludes the two others.
    n_layers : int
        Number of hidden layers.
    n_units : int, sequence or dict
        Units, per layer.

    Returns
    -------
    tuple of int
        Units of each hidden layer.

    Raises
    ------
    ValueError
        If a size is not a positive integer, or both ways are used at once.
    """
    if hidden_layer_sizes is None:
        return per_layer("n_units", n_units, n_layers)
    for name, value, default in (
        ("n_layers", n_layers, DEFAULT_N_LAYERS),
        ("n_units", n_units, DEFAULT_N_UNITS),
    ):
        if not (isinstance(value, Integral) and value == default):
            raise ValueError(
                f"'hidden_layer_sizes' ({hidden_layer_sizes!r}) and {name!r} "
                f"({value!r}) were both given, and they describe the same layers. "
                f"Leave {name!r} at its default ({default}), or set "
                "hidden_layer_sizes=None."
            )
    return tuple(_parse_sizes(hidden_layer_sizes))


def _parse_sizes(value: Any) -> list[int]:
    """Return the units that an int, a sequence or a string stands for."""
    if isinstance(value, str):
        if not _SIZES.fullmatch(value):
            raise ValueError(
                "The 'hidden_layer_sizes' parameter as a string must be positive "
                f"integers joined by '-', such as '128-64'. Got {value!r} instead."
            )
        items: Sequence[Any] = [int(part) for part in value.split("-")]
    elif _is_sequence(value):
        items = list(value)
    else:
        items = [value]
    return [_checked("hidden_layer_sizes", item, i) for i, item in enumerate(items)]


def _is_sequence(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.ndim == 1
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _from_mapping(
    name: str, value: Mapping[Any, Any], n_layers: int
) -> tuple[Any, ...]:
    unknown = [key for key in value if key != "default" and not _is_index(key)]
    if unknown:
        raise ValueError(
            f"The {name!r} parameter is a dict with the key {unknown[0]!r}. Keys are "
            "layer indices (0 is the first hidden layer) and 'default'."
        )
    missing = [i for i in range(n_layers) if i not in value]
    if missing and "default" not in value:
        raise ValueError(
            f"The {name!r} parameter is a dict that gives no value for layer "
            f"{missing[0]} of {n_layers}. Add that index or the key 'default'. "
            f"Got {dict(value)!r}."
        )
    given = {layer: _checked(name, item, layer) for layer, item in value.items()}
    return tuple(given.get(i, given.get("default")) for i in range(n_layers))


def _is_integer(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_real(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_index(key: Any) -> bool:
    return _is_integer(key) and key >= 0


def _is_count(value: Any) -> bool:
    return _is_integer(value) and value >= 1


def _is_rate(value: Any) -> bool:
    return _is_real(value) and 0 <= value < 1


def _is_rate_or_auto(value: Any) -> bool:
    return value == "auto" if isinstance(value, str) else _is_rate(value)


def _is_strength(value: Any) -> bool:
    # numpy would take the limit for a number of the value's own, perhaps short, type.
    plain = value.item() if isinstance(value, np.generic) else value
    return _is_real(value) and bool(0 <= plain <= _LARGEST)


@dataclass(frozen=True)
class _Rule:
    """What one value of a per-layer parameter must be."""

    accepts: Callable[[Any], bool]
    words: str
    convert: Callable[[Any], Any]


def _choice(options: Sequence[str]) -> _Rule:
    return _Rule(
        lambda value: isinstance(value, str) and value in options,
        f"a str among {list(options)}",
        str,
    )


_COUNT = _Rule(_is_count, "an int in the range [1, inf)", int)
_STRENGTH = _Rule(_is_strength, "a float in the range [0.0, inf)", float)
_RULES = {
    "hidden_layer_sizes": _COUNT,
    "n_units": _COUNT,
    "activation": _choice(list(ACTIVATIONS)),
    "dropout": _Rule(
        _is_rate_or_auto,
        "'auto' or a float in the range [0.0, 1.0)",
        lambda value: value if isinstance(value, str) else float(value),
    ),
    "weight_init": _choice(["auto", *INITIALIZERS]),
    "l1": _STRENGTH,
    "l2": _STRENGTH,
}


def _checked(name: str, value: Any, layer: int | str) -> Any:
    rule = _RULES[name]
    if not rule.accepts(value):
        raise ValueError(
            f"The {name!r} parameter must be {rule.words} for every layer. "
            f"Got {value!r} for layer {layer!r} instead."
        )
    return rule.convert(value)
