"""Where the numbers of a batch of networks lie in memory, and how they begin.

All numbers of a network are one row of one flat matrix; its tensors are views of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from math import prod
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from sknnopt._architecture import Architecture
from sknnopt.activations import ACTIVATIONS
from sknnopt.initializers import INITIALIZERS

#: Numbers in a stretch of memory that vector instructions process as a whole.
_STRETCH = 32

#: Kind, layer and shape of a tensor.
Part: TypeAlias = tuple[str, int, tuple[int, int]]


@dataclass(frozen=True)
class Segment:
    """A named part of the flat vector: one tensor of one layer.

    ``padded`` is the shape that it occupies; beyond ``shape`` there are zeros.
    """

    kind: str
    layer: int
    shape: tuple[int, int]
    padded: tuple[int, int]
    start: int

    @property
    def stop(self) -> int:
        """One past the last column."""
        return self.start + prod(self.padded)

    @property
    def columns(self) -> slice:
        """The columns of the flat matrix that the part occupies."""
        return slice(self.start, self.stop)

    @property
    def index(self) -> np.ndarray:
        """The columns of the numbers themselves, without padding."""
        rows, columns = np.indices(self.shape)
        return (self.start + rows * self.padded[1] + columns).ravel()

    def whole(self, flat: Tensor) -> Tensor:
        """Return the part of ``flat`` as ``(members, *padded)``, without a copy."""
        return flat[:, self.columns].view(len(flat), *self.padded)

    def view(self, flat: Tensor) -> Tensor:
        """Return the part of ``flat`` as ``(members, *shape)``, without a copy."""
        whole = self.whole(flat)
        if self.padded == self.shape:
            return whole
        return whole[:, : self.shape[0], : self.shape[1]]


@dataclass(frozen=True)
class Layout:
    """Where each tensor of a network lies in the flat vector.

    What is trained comes first, running statistics last. ``n_trained`` and
    ``n_columns`` count the columns of both, padding included.
    """

    trained: tuple[Segment, ...]
    statistics: tuple[Segment, ...]
    n_trained: int
    n_columns: int

    @staticmethod
    @lru_cache(maxsize=256)
    def of(architecture: Architecture) -> Layout:
        """Lay out the tensors of ``architecture`` without any gap."""
        return Layout._placed(architecture, lambda width: width, 1)

    @staticmethod
    @lru_cache(maxsize=256)
    def padded(architecture: Architecture) -> Layout:
        """Lay out the tensors for training: padded to what is computed as a whole.

        Parameters
        ----------
        architecture : Architecture
            Shape of the networks.

        Returns
        -------
        Layout
            Hidden layers have a multiple of four units, and each begins at a whole
            stretch of memory.

        Notes
        -----
        Libraries compute the ends of arrays by other instructions, which round
        differently. Where each member fills whole stretches, its numbers do not depend
        on who stands beside it.
        """
        return Layout._placed(architecture, lambda n_units: _up(n_units, 4), _STRETCH)

    @classmethod
    def _placed(
        cls, architecture: Architecture, width: Callable[[int], int], stretch: int
    ) -> Layout:
        hidden = map(width, architecture.hidden)
        widths = [architecture.n_inputs, *hidden, architecture.n_outputs]
        trained, end = _place(_trained(architecture), widths, stretch, 0)
        statistics, stop = _place(_statistics(architecture), widths, stretch, end)
        return cls(trained, statistics, end, stop)

    @property
    def segments(self) -> tuple[Segment, ...]:
        """All parts, in the order of the flat vector."""
        return self.trained + self.statistics

    @cached_property
    def index(self) -> np.ndarray:
        """The column of each number, in the order of the layout without padding."""
        return np.concatenate([segment.index for segment in self.segments])

    def pad(self, flat: Tensor) -> Tensor:
        """Return a copy of numbers, all or those trained, with this layout's padding.

        Parameters
        ----------
        flat : Tensor of shape (members, numbers)
            In the order of the layout.

        Returns
        -------
        Tensor of shape (members, columns) or (members, trained columns)
            Zero between the numbers.
        """
        count = flat.shape[1]
        width = self.n_columns if count == len(self.index) else self.n_trained
        wide = flat.new_zeros(len(flat), width)
        wide[:, self._places(count, flat)] = flat
        return wide

    def strip(self, flat: Tensor) -> Tensor:
        """Return a copy of what :meth:`pad` returned, without the padding."""
        count = len(self.index)
        if flat.shape[1] != self.n_columns:
            count = sum(prod(segment.shape) for segment in self.trained)
        return flat[:, self._places(count, flat)]

    def _places(self, count: int, flat: Tensor) -> Tensor:
        return torch.from_numpy(self.index[:count]).to(flat.device)

    def of_kind(self, kind: str) -> list[Segment]:
        """Return the parts of one kind, first layer first."""
        return [segment for segment in self.segments if segment.kind == kind]


def _trained(architecture: Architecture) -> list[Part]:
    parts: list[Part] = []
    for layer, (fan_in, fan_out) in enumerate(pairwise(architecture.sizes)):
        row = (1, fan_out)
        parts += [("weight", layer, (fan_in, fan_out)), ("bias", layer, row)]
        if architecture.normalization and layer < len(architecture.hidden):
            parts += [("scale", layer, row), ("shift", layer, row)]
    return parts


def _statistics(architecture: Architecture) -> list[Part]:
    if architecture.normalization != "batch":
        return []
    return [
        (kind, layer, (1, width))
        for layer, width in enumerate(architecture.hidden)
        for kind in ("mean", "variance")
    ]


def _place(
    parts: Sequence[Part], widths: Sequence[int], stretch: int, start: int
) -> tuple[tuple[Segment, ...], int]:
    """Give each part its columns; each layer's begin at a whole stretch."""
    segments: list[Segment] = []
    end = start
    for kind, layer, shape in parts:
        if segments and layer != segments[-1].layer:
            end = _up(end, stretch)
        area = (widths[layer] if kind == "weight" else 1, widths[layer + 1])
        segments.append(Segment(kind, layer, shape, area, end))
        end = segments[-1].stop
    return tuple(segments), _up(end, stretch)


def _up(number: int, step: int) -> int:
    """Round up to a multiple of ``step``."""
    return -(-number // step) * step


def spread(layout: Layout, values: np.ndarray) -> np.ndarray:
    """Spread one value per layer over that layer's weights.

    Parameters
    ----------
    layout : Layout
        Where the weights are.
    values : ndarray of shape (members, layers)
        Such as the strength of a penalty; the last layer is the output's.

    Returns
    -------
    ndarray of shape (members, trained columns)
        The values at the weights and zero elsewhere: biases are never penalized.
    """
    spread_out = np.zeros((len(values), layout.n_trained))
    for segment in layout.of_kind("weight"):
        spread_out[:, segment.columns] = values[:, segment.layer, None]
    return spread_out


def initial_weights(
    architecture: Architecture,
    weight_init: Sequence[str],
    scale: float,
    generator: np.random.Generator,
) -> np.ndarray:
    """Draw the flat vector of one new network.

    Parameters
    ----------
    architecture : Architecture
        The network's shape.
    weight_init : sequence of str
        The initializer of each layer, the output's last; ``"auto"`` is what suits
        the layer's activation (for the output, Xavier).
    scale : float
        Standard deviation of ``random_normal``, half-width of ``random_uniform``.
    generator : numpy.random.Generator
        The member's own source of randomness.

    Returns
    -------
    ndarray of shape (columns,)
        Weights as drawn, scales and variances one, all else zero.
    """
    layout = Layout.of(architecture)
    flat = np.zeros(layout.n_columns)
    for segment in layout.segments:
        if segment.kind == "weight":
            name = weight_init[segment.layer]
            if name == "auto":
                name = _suited_initializer(architecture, segment.layer)
            draw = INITIALIZERS[name].make
            flat[segment.columns] = draw(generator, *segment.shape, scale).ravel()
        elif segment.kind in ("scale", "variance"):
            flat[segment.columns] = 1.0
    return flat


def _suited_initializer(architecture: Architecture, layer: int) -> str:
    if layer == len(architecture.hidden):
        return "xavier_uniform"
    return ACTIVATIONS[architecture.activations[layer]].initializer
