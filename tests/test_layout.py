"""Where numbers lie in the flat matrix, padded or not, and how they begin."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from helpers import plain_network

from sknnopt._architecture import Architecture
from sknnopt._layout import Layout, initial_weights, spread
from sknnopt.activations import ACTIVATIONS
from sknnopt.initializers import INITIALIZERS

NORMALIZATIONS = [None, "batch", "layer"]
SHAPES = [(), (4,), (5, 3), (6, 1, 4)]
#: Numbers that vector instructions process as a whole.
STRETCH = 32


def _architecture(hidden=(5, 3), normalization=None, activation="tanh", n_outputs=2):
    depth = len(hidden)
    return Architecture(4, hidden, n_outputs, (activation,) * depth, normalization)


def _flat(layout, members, rng):
    return torch.tensor(rng.normal(size=(members, layout.n_columns)))


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("hidden", SHAPES)
def test_layout_has_no_gap(hidden, normalization):
    """The parts follow each other and end at the last column."""
    layout = Layout.of(_architecture(hidden, normalization))
    stops = [0, *(segment.stop for segment in layout.segments)]
    assert [segment.start for segment in layout.segments] == stops[:-1]
    assert layout.n_columns == stops[-1]
    assert layout.n_trained == layout.trained[-1].stop
    assert all(s.stop - s.start == np.prod(s.shape) for s in layout.segments)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("hidden", SHAPES)
def test_layout_counts(hidden, normalization):
    """It has as many numbers as the plain network has parameters and buffers."""
    architecture = _architecture(hidden, normalization)
    layout = Layout.of(architecture)
    network = plain_network(architecture, torch.zeros(layout.n_columns))
    n_trained = sum(p.numel() for p in network.parameters())
    n_running = sum(b.numel() for b in network.buffers() if b.ndim > 0)
    assert layout.n_trained == n_trained
    assert layout.n_columns == n_trained + n_running
    kinds = {segment.kind for segment in layout.statistics}
    has_statistics = normalization == "batch" and hidden
    assert kinds == ({"mean", "variance"} if has_statistics else set())


def test_segment_view(rng):
    """A view of a part shares its memory with the flat matrix."""
    layout = Layout.of(_architecture())
    flat = _flat(layout, 2, rng)
    segment = layout.of_kind("weight")[1]
    view = segment.view(flat)
    assert view.shape == (2, 5, 3)
    assert torch.equal(view.reshape(2, -1), flat[:, segment.columns])
    view.fill_(7.0)
    assert (flat[:, segment.columns] == 7.0).all()


def test_of_kind():
    """The parts of a kind come first layer first."""
    layout = Layout.of(_architecture((5, 3), "batch"))
    assert [s.layer for s in layout.of_kind("weight")] == [0, 1, 2]
    assert [s.shape for s in layout.of_kind("weight")] == [(4, 5), (5, 3), (3, 2)]
    assert [s.shape for s in layout.of_kind("bias")] == [(1, 5), (1, 3), (1, 2)]
    assert [s.layer for s in layout.of_kind("variance")] == [0, 1]


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("make", [Layout.of, Layout.padded])
def test_spread(make, normalization):
    """Each layer's value stands at its weights, and zero at all else."""
    layout = make(_architecture(normalization=normalization))
    values = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    spread_out = spread(layout, values)
    assert spread_out.shape == (2, layout.n_trained)
    for segment in layout.trained:
        is_weight = segment.kind == "weight"
        expected = values[:, [segment.layer]] if is_weight else 0.0
        assert (spread_out[:, segment.columns] == expected).all()


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_initial_values(rng, normalization):
    """Biases, shifts and means start at zero; scales and variances at one."""
    architecture = _architecture(normalization=normalization)
    flat = initial_weights(architecture, ("auto",) * 3, 1.0, rng)
    ones = ("scale", "variance")
    for segment in Layout.of(architecture).segments:
        values = flat[segment.columns]
        if segment.kind == "weight":
            assert np.count_nonzero(values) == len(values)
        else:
            assert (values == (segment.kind in ones)).all()


@pytest.mark.parametrize("names", [(name,) * 3 for name in INITIALIZERS])
def test_initializer_by_name(names):
    """Weights are what the named initializer draws, layer after layer."""
    architecture = _architecture()
    flat = initial_weights(architecture, names, 0.3, np.random.default_rng(5))
    rng = np.random.default_rng(5)
    pairs = pairwise(architecture.sizes)
    layers = Layout.of(architecture).of_kind("weight")
    for segment, name, (fan_in, fan_out) in zip(layers, names, pairs, strict=True):
        expected = INITIALIZERS[name].make(rng, fan_in, fan_out, 0.3)
        assert np.array_equal(flat[segment.columns].reshape(segment.shape), expected)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_auto_initializer(activation):
    """Chosen automatically, it is the activation's own; for the output, Xavier's."""
    architecture = _architecture(activation=activation)
    suited = ACTIVATIONS[activation].initializer
    names = (suited, suited, "xavier_uniform")
    automatic, named = (
        initial_weights(architecture, choice, 1.0, np.random.default_rng(3))
        for choice in (("auto",) * 3, names)
    )
    assert np.array_equal(automatic, named)


def test_auto_initializer_by_layer():
    """Some of the layers may be chosen automatically, and others named."""
    architecture = Architecture(4, (5, 3), 2, ("relu", "selu"))
    first, second = (
        initial_weights(architecture, names, 1.0, np.random.default_rng(3))
        for names in (
            ("orthogonal", "auto", "zeros"),
            ("orthogonal", "lecun_normal", "zeros"),
        )
    )
    assert np.array_equal(first, second)


def test_layers_beyond_the_depth_draw_nothing():
    """Names for layers that do not exist change nothing, the generator neither."""
    architecture = _architecture()
    results = []
    for names in (("he_normal",) * 3, ("he_normal",) * 9):
        generator = np.random.default_rng(4)
        flat = initial_weights(architecture, names, 1.0, generator)
        results.append((flat, generator.random()))
    assert np.array_equal(results[0][0], results[1][0])
    assert results[0][1] == results[1][1]
    n_weights = 4 * 5 + 5 * 3 + 3 * 2
    generator = np.random.default_rng(4)
    generator.standard_normal(n_weights)
    assert generator.random() == results[0][1]


@pytest.mark.parametrize("n_outputs", [1, 2, 7])
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("hidden", [*SHAPES, (1,), (16, 33)])
def test_padded_widths(hidden, normalization, n_outputs):
    """Hidden units come in fours; features and outputs stay as they are."""
    architecture = _architecture(hidden, normalization, n_outputs=n_outputs)
    plain, padded = Layout.of(architecture), Layout.padded(architecture)
    assert [s.shape for s in padded.segments] == [s.shape for s in plain.segments]
    for segment in padded.segments:
        fan_in, fan_out = segment.shape
        rows, columns = segment.padded
        is_output = segment.layer == len(hidden)
        assert columns == (fan_out if is_output else -(-fan_out // 4) * 4)
        if segment.kind == "weight" and segment.layer > 0:
            assert rows == -(-fan_in // 4) * 4
        else:
            assert rows == fan_in


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("hidden", SHAPES)
def test_padded_starts(hidden, normalization):
    """Each layer begins at a whole stretch, and so does each member."""
    layout = Layout.padded(_architecture(hidden, normalization))
    for segment in layout.of_kind("weight"):
        assert segment.start % STRETCH == 0
    assert layout.n_trained % STRETCH == 0
    assert layout.n_columns % STRETCH == 0
    ends = [(s.start, s.stop) for s in layout.segments]
    for (_, stop), (start, _) in pairwise(ends):
        assert stop <= start < stop + STRETCH
    assert max(s.stop for s in layout.trained) <= layout.n_trained
    assert all(s.start >= layout.n_trained for s in layout.statistics)
    assert ends[-1][1] <= layout.n_columns


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("hidden", SHAPES)
def test_index(rng, hidden, normalization):
    """Plain numbers written at the index are what the padded views show."""
    architecture = _architecture(hidden, normalization)
    plain, padded = Layout.of(architecture), Layout.padded(architecture)
    assert np.array_equal(plain.index, np.arange(plain.n_columns))
    assert len(padded.index) == plain.n_columns
    flat = _flat(plain, 2, rng)
    wide = torch.zeros(2, padded.n_columns, dtype=flat.dtype)
    wide[:, padded.index] = flat
    for a, b in zip(plain.segments, padded.segments, strict=True):
        assert torch.equal(a.view(flat), b.view(wide))
        rest = b.whole(wide).clone()
        assert rest.shape[1:] == b.padded
        rest[:, : b.shape[0], : b.shape[1]] = 0.0
        assert not rest.any()


def test_whole_and_view(rng):
    """Both are views of the flat matrix: the whole area, and the numbers in it."""
    layout = Layout.padded(_architecture())
    flat = _flat(layout, 2, rng)
    segment = layout.of_kind("weight")[1]
    assert segment.whole(flat).shape == (2, 8, 4)
    assert segment.view(flat).shape == (2, 5, 3)
    segment.whole(flat).fill_(3.0)
    segment.view(flat).fill_(7.0)
    values, counts = flat[:, segment.columns].unique(return_counts=True)
    assert values.tolist() == [3.0, 7.0]
    assert counts.tolist() == [2 * (32 - 15), 2 * 15]
