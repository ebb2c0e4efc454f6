"""Depth, width and per-layer values: every form they come in, every error."""

from __future__ import annotations

import re

import numpy as np
import pytest

from sknnopt._architecture import (
    DEFAULT_N_LAYERS,
    DEFAULT_N_UNITS,
    PER_LAYER,
    Architecture,
    fold_indexed,
    hidden_sizes,
    per_layer,
    split_indexed,
)
from sknnopt.activations import ACTIVATIONS
from sknnopt.initializers import INITIALIZERS

# For every per-layer parameter two accepted values, and what each becomes.
ACCEPTED = {
    "n_units": [(3, 3), (np.int32(7), 7)],
    "activation": [("relu", "relu"), (np.str_("tanh"), "tanh")],
    "dropout": [(0.5, 0.5), (np.float32(0.25), 0.25), (0, 0.0)],
    "weight_init": [("auto", "auto"), (np.str_("zeros"), "zeros")],
    "l1": [(0.5, 0.5), (np.float32(0.25), 0.25), (7, 7.0)],
    "l2": [(0.5, 0.5), (np.float32(0.25), 0.25), (7, 7.0)],
}
TYPES = {
    "n_units": int,
    "activation": str,
    "dropout": float,
    "weight_init": str,
    "l1": float,
    "l2": float,
}
NUMBER_WORDS = {
    "n_units": "an int in the range [1, inf)",
    "hidden_layer_sizes": "an int in the range [1, inf)",
    "dropout": "'auto' or a float in the range [0.0, 1.0)",
    "l1": "a float in the range [0.0, inf)",
    "l2": "a float in the range [0.0, inf)",
}
WRONG = {
    "n_units": [0, -3, 2.0, True, "10", None, np.nan],
    "activation": ["relux", "RELU", None, 3, np.tanh],
    "dropout": [1.0, -0.1, 1, np.nan, np.inf, True, "0.5", None],
    "weight_init": ["best", None, 0.1],
    "l1": [-1e-9, np.nan, np.inf, True, "0.1", None],
    "l2": [-1e-9, np.nan, np.inf, True, "0.1", None],
}
WRONG_ITEMS = [(name, value) for name, values in WRONG.items() for value in values]


def _pair(name):
    """Return two different accepted values, as they come out."""
    return ACCEPTED[name][0][1], ACCEPTED[name][1][1]


def test_every_parameter_is_tested():
    """The tables above name every per-layer parameter."""
    assert set(PER_LAYER) == set(ACCEPTED) == set(WRONG) == set(TYPES)


def test_sizes():
    """The widths of all layers are inputs, hidden units, outputs."""
    assert Architecture(4, (7, 5), 2, ("relu",) * 2).sizes == (4, 7, 5, 2)
    assert Architecture(4, (), 2, ()).sizes == (4, 2)


# ---------------------------------------------------------------- per layer


@pytest.mark.parametrize("n_layers", [0, 1, 4])
@pytest.mark.parametrize("name", PER_LAYER)
def test_one_value(name, n_layers):
    """One value holds for all layers, in a plain Python type."""
    for value, expected in ACCEPTED[name]:
        values = per_layer(name, value, n_layers)
        assert values == (expected,) * n_layers
        assert all(type(item) is TYPES[name] for item in values)


@pytest.mark.parametrize("make", [list, tuple, np.array])
@pytest.mark.parametrize("name", PER_LAYER)
def test_sequence(name, make):
    """A sequence gives one each; a short one repeats its last, a long one is cut."""
    a, b = _pair(name)
    given = make([a, b])
    assert per_layer(name, given, 1) == (a,)
    assert per_layer(name, given, 2) == (a, b)
    assert per_layer(name, given, 4) == (a, b, b, b)
    assert {type(item) for item in per_layer(name, given, 2)} == {TYPES[name]}


@pytest.mark.parametrize("name", PER_LAYER)
def test_dict(name):
    """A dict gives values by index, and a default for the layers between."""
    a, b = _pair(name)
    assert per_layer(name, {1: b, "default": a}, 3) == (a, b, a)
    assert per_layer(name, {"default": a}, 2) == (a, a)
    assert per_layer(name, {1: b, 0: a}, 2) == (a, b)
    assert per_layer(name, {np.int64(1): b, "default": a}, 2) == (a, b)


@pytest.mark.parametrize("name", PER_LAYER)
def test_layers_beyond_are_ignored(name):
    """What is given for layers that do not exist is ignored, but it must be right."""
    a, b = _pair(name)
    assert per_layer(name, [a, b, b], 2) == (a, b)
    assert per_layer(name, {0: a, 1: b, 7: a, "default": a}, 2) == (a, b)
    assert per_layer(name, a, 0) == ()
    wrong = WRONG[name][0]
    forms = ([a, b, wrong], {0: a, 1: b, 7: wrong}, {0: a, 1: b, "default": wrong})
    for value in (*forms, wrong):
        with pytest.raises(ValueError, match=f"'{name}' parameter"):
            per_layer(name, value, 0)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation(activation):
    """Every name of the registry is accepted."""
    assert per_layer("activation", activation, 1) == (activation,)


@pytest.mark.parametrize("weight_init", ["auto", *INITIALIZERS])
def test_every_initializer(weight_init):
    """Every name of the registry is accepted, and "auto"."""
    assert per_layer("weight_init", weight_init, 1) == (weight_init,)


@pytest.mark.parametrize("value", [0.0, 0.999, np.nextafter(1.0, 0.0), 0])
def test_ends_of_dropout(value):
    """Dropout goes from 0 up to, and not including, 1."""
    assert per_layer("dropout", value, 1) == (float(value),)


def _words(name):
    """Return how an error describes what is accepted."""
    if name == "activation":
        return f"a str among {list(ACTIVATIONS)}"
    if name == "weight_init":
        return f"a str among {['auto', *INITIALIZERS]}"
    return NUMBER_WORDS[name]


def _message(name, value, layer):
    return re.escape(
        f"The {name!r} parameter must be {_words(name)} for every layer. "
        f"Got {value!r} for layer {layer!r} instead."
    )


@pytest.mark.parametrize(("name", "wrong"), WRONG_ITEMS)
def test_wrong_value(name, wrong):
    """The message says parameter, accepted values, the value got and its layer."""
    a, _ = _pair(name)
    forms = [
        (wrong, 0),
        ([a, a, wrong], 2),
        ((a, wrong), 1),
        ({1: wrong, "default": a}, 1),
        ({0: a, "default": wrong}, "default"),
    ]
    for value, layer in forms:
        with pytest.raises(ValueError, match=_message(name, wrong, layer)):
            per_layer(name, value, 3)


@pytest.mark.parametrize("empty", [[], (), np.array([])])
@pytest.mark.parametrize("name", PER_LAYER)
def test_empty_sequence(name, empty):
    """An empty sequence is refused, with the forms that are accepted."""
    message = f"{name!r} parameter is an empty sequence.*one value.*dict"
    with pytest.raises(ValueError, match=message):
        per_layer(name, empty, 2)


@pytest.mark.parametrize("key", [-1, "0", 1.0, True, None, "Default"])
@pytest.mark.parametrize("name", PER_LAYER)
def test_wrong_key(name, key):
    """A key that is no layer is named, together with the keys that there are."""
    a, b = _pair(name)
    message = re.escape(
        f"The {name!r} parameter is a dict with the key {key!r}. Keys are layer "
        "indices (0 is the first hidden layer) and 'default'."
    )
    with pytest.raises(ValueError, match=message):
        per_layer(name, {key: a, "default": b}, 3)


@pytest.mark.parametrize("name", PER_LAYER)
def test_missing_layer(name):
    """A layer without a value is named, with the depth, the remedy and the dict."""
    a, b = _pair(name)
    value = {0: a, 2: b}
    message = re.escape(
        f"The {name!r} parameter is a dict that gives no value for layer 1 of 3. "
        f"Add that index or the key 'default'. Got {value!r}."
    )
    with pytest.raises(ValueError, match=message):
        per_layer(name, value, 3)
    assert per_layer(name, {0: a}, 1) == (a,)


def test_matrix_is_no_sequence():
    """An array of two axes is not one value a layer, and is refused."""
    with pytest.raises(ValueError, match="'dropout' parameter must be 'auto'"):
        per_layer("dropout", np.full((2, 2), 0.5), 2)


# ---------------------------------------------------------------- hidden sizes


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (7, (7,)),
        (np.int64(7), (7,)),
        ((7, 5), (7, 5)),
        ([7, 5, 5], (7, 5, 5)),
        (np.array([7, 5]), (7, 5)),
        ("7", (7,)),
        ("128-64", (128, 64)),
        ("128-64-32", (128, 64, 32)),
        (" 128 - 64 ", (128, 64)),
        ((), ()),
    ],
)
def test_hidden_layer_sizes(value, expected):
    """An int, a sequence or a string gives the units of all layers, as int."""
    sizes = hidden_sizes(value, DEFAULT_N_LAYERS, DEFAULT_N_UNITS)
    assert sizes == expected
    assert all(type(size) is int for size in sizes)


@pytest.mark.parametrize(
    ("n_layers", "n_units", "expected"),
    [
        (DEFAULT_N_LAYERS, DEFAULT_N_UNITS, (100, 100)),
        (0, 7, ()),
        (3, 7, (7, 7, 7)),
        (3, [7, 5], (7, 5, 5)),
        (2, {1: 5, "default": 7}, (7, 5)),
        (np.int64(2), np.int64(7), (7, 7)),
    ],
)
def test_depth_and_width(n_layers, n_units, expected):
    """Without hidden_layer_sizes, depth and width give the units."""
    assert hidden_sizes(None, n_layers, n_units) == expected


@pytest.mark.parametrize(
    "value",
    ["", "-", "128-", "-64", "128--64", "128,64", "1.5", "a-b", "12 8", "128-64 x"],
)
def test_wrong_string(value):
    """A string that is not sizes joined by '-' is shown, with an example."""
    message = re.escape(
        "The 'hidden_layer_sizes' parameter as a string must be positive integers "
        f"joined by '-', such as '128-64'. Got {value!r} instead."
    )
    with pytest.raises(ValueError, match=message):
        hidden_sizes(value, DEFAULT_N_LAYERS, DEFAULT_N_UNITS)


@pytest.mark.parametrize(
    ("value", "wrong", "layer"),
    [
        (0, 0, 0),
        (-2, -2, 0),
        (7.0, 7.0, 0),
        (True, True, 0),
        ((7, 0), 0, 1),
        ([7, 5, 2.5], 2.5, 2),
        ((7, "5"), "5", 1),
        ((7, (5, 3)), (5, 3), 1),
        ((7, None), None, 1),
        ("7-0", 0, 1),
        ("0", 0, 0),
    ],
)
def test_wrong_size(value, wrong, layer):
    """A size that is no positive integer is named, with its layer."""
    message = _message("hidden_layer_sizes", wrong, layer)
    with pytest.raises(ValueError, match=message):
        hidden_sizes(value, DEFAULT_N_LAYERS, DEFAULT_N_UNITS)


@pytest.mark.parametrize(
    ("n_layers", "n_units", "name", "value", "default"),
    [
        (3, 100, "n_layers", 3, 2),
        (2, 50, "n_units", 50, 100),
        (2, [100], "n_units", [100], 100),
        (2, {"default": 100}, "n_units", {"default": 100}, 100),
        (3, 50, "n_layers", 3, 2),
    ],
)
def test_conflict(n_layers, n_units, name, value, default):
    """Sizes given in both ways are refused, with both values and the remedy."""
    message = re.escape(
        f"'hidden_layer_sizes' ('7-5') and {name!r} ({value!r}) were both given, and "
        f"they describe the same layers. Leave {name!r} at its default ({default}), "
        "or set hidden_layer_sizes=None."
    )
    with pytest.raises(ValueError, match=message):
        hidden_sizes("7-5", n_layers, n_units)


def test_conflict_with_an_array():
    """An array of units conflicts without an error of its own."""
    with pytest.raises(ValueError, match=r"'n_units'.*both given"):
        hidden_sizes(7, DEFAULT_N_LAYERS, np.array([100, 100]))


# ---------------------------------------------------------------- indexed


def test_split_indexed():
    """Indexed names are set apart by parameter and layer, and nothing else is."""
    plain, indexed = split_indexed(
        {
            "dropout__0": 0.1,
            "dropout__12": 0.2,
            "n_units__default": 9,
            "l1": 0.5,
            "l1__3": 0.7,
            "max_epochs": 4,
        }
    )
    assert plain == {"l1": 0.5, "max_epochs": 4}
    assert indexed == {
        "dropout": {0: 0.1, 12: 0.2},
        "n_units": {"default": 9},
        "l1": {3: 0.7},
    }


@pytest.mark.parametrize("name", PER_LAYER)
def test_split_every_parameter(name):
    """Every per-layer parameter takes an index."""
    assert split_indexed({f"{name}__2": 7}) == ({}, {name: {2: 7}})


@pytest.mark.parametrize(
    "key",
    [
        "dropout__",
        "dropout__-1",
        "dropout__x",
        "dropout__0__1",
        "dropout_0",
        "xdropout__0",
        "momentum__0",
        "n_layers__0",
        "hidden_layer_sizes__0",
        "dropout__default_",
    ],
)
def test_split_leaves_other_names(key):
    """A name that is no indexed parameter stays, to be refused as unknown."""
    assert split_indexed({key: 1}) == ({key: 1}, {})


@pytest.mark.parametrize("name", PER_LAYER)
def test_fold(name):
    """A folded value means what it meant, but for the layers that are updated."""
    a, b = _pair(name)
    forms = [a, [a, b], (b, a, a), np.array([a, b]), {0: b, 2: b, "default": a}]
    for value in forms:
        expected = list(per_layer(name, value, 6))
        for updates in ({1: b}, {0: b, 4: a}, {}):
            folded = fold_indexed(value, updates)
            for layer, new in updates.items():
                expected[layer] = new
            assert per_layer(name, folded, 6) == tuple(expected)
            expected = list(per_layer(name, value, 6))


def test_fold_default():
    """The default can be updated: it holds for all layers without their own value."""
    folded = fold_indexed({0: 0.5, "default": 0.1}, {"default": 0.2})
    assert per_layer("dropout", folded, 3) == (0.5, 0.2, 0.2)
    folded = fold_indexed(0.1, {"default": 0.2, 1: 0.3})
    assert per_layer("dropout", folded, 3) == (0.2, 0.3, 0.2)
    # A sequence gives its own layers values, so its default is what lies beyond.
    folded = fold_indexed([0.5, 0.1], {"default": 0.2})
    assert per_layer("dropout", folded, 4) == (0.5, 0.1, 0.2, 0.2)


@pytest.mark.parametrize("value", [0.1, [0.1, 0.2], {0: 0.1, "default": 0.2}])
def test_fold_makes_a_new_dict(value):
    """The parameter that was there is left as it is."""
    before = value.copy() if hasattr(value, "copy") else value
    folded = fold_indexed(value, {0: 0.9})
    assert type(folded) is dict
    assert folded is not value
    assert value == before


def test_fold_of_an_empty_sequence():
    """An empty sequence is refused after folding too, with its parameter's name."""
    folded = fold_indexed([], {0: 0.5})
    with pytest.raises(ValueError, match="'dropout' parameter"):
        per_layer("dropout", folded, 2)


def test_fold_is_repeatable():
    """To fold the same update twice is to fold it once."""
    once = fold_indexed([0.1, 0.2], {1: 0.5})
    assert fold_indexed(once, {1: 0.5}) == once
