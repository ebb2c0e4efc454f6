"""The network module: a batch of multilayer perceptrons of one architecture.

Every array carries a leading *member* axis, so that a single network is a batch
of one. All numbers of a member lie in one row of one flat matrix; the layers are
views of it. An update rule, a penalty or a clip is then a handful of operations on
that matrix, whatever the depth.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sknnopt._architecture import Architecture
from sknnopt.activations import ACTIVATIONS
from sknnopt.initializers import INITIALIZERS

#: Weight of the newest batch in the running statistics, and the variance's floor:
#: the constants of ``torch.nn.BatchNorm1d`` and ``LayerNorm``.
_RUNNING_RATE = 0.1
_EPSILON = 1e-5


@contextmanager
def plain_mode(device: str, *, gradient: bool) -> Iterator[None]:
    """Compute as if the caller had set no mode of torch's.

    Parameters
    ----------
    device : str
        Where the arithmetic runs.
    gradient : bool
        Whether autograd records.

    Yields
    ------
    None
        Control, outside of inference mode and autocast.
    """
    kind = torch.device(device).type
    with (
        torch.inference_mode(False),
        torch.set_grad_enabled(gradient),
        torch.autocast(kind, enabled=False),
    ):
        yield


#: A module's parameters and buffers by name; torch types them as optional.
Tensors = dict[str, Any]


@dataclass(frozen=True)
class Segment:
    """A named part of the flat vector: one tensor of one layer."""

    kind: str
    layer: int
    shape: tuple[int, int]
    start: int

    @property
    def stop(self) -> int:
        """One past the last column."""
        return self.start + prod(self.shape)

    @property
    def columns(self) -> slice:
        """The columns of the flat matrix that the part occupies."""
        return slice(self.start, self.stop)

    def view(self, flat: Tensor) -> Tensor:
        """Return the part of ``flat`` as ``(members, *shape)``, without a copy."""
        return flat[:, self.columns].view(len(flat), *self.shape)


@dataclass(frozen=True)
class Layout:
    """Where each tensor of a network lies in the flat vector.

    What is trained comes first, running statistics last.
    """

    trained: tuple[Segment, ...]
    statistics: tuple[Segment, ...]

    @classmethod
    def of(cls, architecture: Architecture) -> Layout:
        """Lay out the tensors of ``architecture``."""
        sizes = architecture.sizes
        trained: list[tuple[str, int, tuple[int, int]]] = []
        statistics: list[tuple[str, int, tuple[int, int]]] = []
        for layer, (fan_in, fan_out) in enumerate(pairwise(sizes)):
            row = (1, fan_out)
            trained += [("weight", layer, (fan_in, fan_out)), ("bias", layer, row)]
            if architecture.normalization and layer < len(architecture.hidden):
                trained += [("scale", layer, row), ("shift", layer, row)]
                if architecture.normalization == "batch":
                    statistics += [("mean", layer, row), ("variance", layer, row)]
        placed = _place(trained + statistics)
        return cls(placed[: len(trained)], placed[len(trained) :])

    @property
    def segments(self) -> tuple[Segment, ...]:
        """All parts, in the order of the flat vector."""
        return self.trained + self.statistics

    @property
    def n_trained(self) -> int:
        """How many numbers of a member are trained."""
        return self.trained[-1].stop

    @property
    def n_columns(self) -> int:
        """How many numbers a member has, running statistics included."""
        return self.segments[-1].stop

    def of_kind(self, kind: str) -> list[Segment]:
        """Return the parts of one kind, first layer first."""
        return [segment for segment in self.segments if segment.kind == kind]


def _place(parts: Sequence[tuple[str, int, tuple[int, int]]]) -> tuple[Segment, ...]:
    placed = []
    start = 0
    for kind, layer, shape in parts:
        placed.append(Segment(kind, layer, shape, start))
        start = placed[-1].stop
    return tuple(placed)


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


class MemberNetwork(nn.Module):
    """A batch of networks that share one architecture.

    Parameters
    ----------
    architecture : Architecture
        Their shape.
    flat : Tensor of shape (members, columns)
        All their numbers. The module's parameters are views of it: an update of
        ``flat`` in place is an update of the module.

    Notes
    -----
    Input of shape ``(members, rows, features)``, or ``(rows, features)`` where all
    members see the same rows; output of shape ``(members, rows, outputs)``, raw:
    before the sigmoid or softmax.

    Examples
    --------
    >>> import torch
    >>> from sknnopt._architecture import Architecture
    >>> from sknnopt._network import Layout, MemberNetwork
    >>> shape = Architecture(4, (10,), 1, ("relu",))
    >>> flat = torch.zeros(3, Layout.of(shape).n_columns)
    >>> MemberNetwork(shape, flat)(torch.ones(5, 4)).shape
    torch.Size([3, 5, 1])
    """

    def __init__(self, architecture: Architecture, flat: Tensor) -> None:
        super().__init__()
        self.architecture = architecture
        layout = Layout.of(architecture)
        # `data`, so that each view counts its own changes: autograd would otherwise
        # take a running mean that moves for a change of the weights.
        for segment in layout.trained:
            name = f"{segment.kind}_{segment.layer}"
            self.register_parameter(name, nn.Parameter(segment.view(flat).data))
        for segment in layout.statistics:
            name = f"{segment.kind}_{segment.layer}"
            self.register_buffer(name, segment.view(flat).data)
        self._functions = [ACTIVATIONS[name].make for name in architecture.activations]

    def forward(
        self,
        X: Tensor,
        masks: Sequence[Tensor | None] = (),
        weight: Tensor | None = None,
    ) -> Tensor:
        """Return the raw outputs.

        Parameters
        ----------
        X : Tensor of shape (members, rows, features) or (rows, features)
            The rows of the batch.
        masks : sequence of Tensor or None, default=()
            For each hidden layer what its units are multiplied by: dropout.
        weight : Tensor of shape (members, rows) or None, default=None
            Sample weights, zero at padding: batch normalization counts a row of weight
            two as two rows.

        Returns
        -------
        Tensor of shape (members, rows, outputs)
            Raw outputs.
        """
        tensors: Tensors = {**self._parameters, **self._buffers}
        members = len(tensors["weight_0"])
        hidden = X if X.ndim == 3 else X.expand(members, *X.shape)
        for layer, function in enumerate(self._functions):
            hidden = _linear(tensors, layer, hidden)
            if self.architecture.normalization:
                hidden = self._normalized(tensors, layer, hidden, weight)
            hidden = function(hidden)
            if masks and masks[layer] is not None:
                hidden = hidden * masks[layer]
        return _linear(tensors, len(self._functions), hidden)

    def _normalized(
        self, tensors: Tensors, layer: int, hidden: Tensor, weight: Tensor | None
    ) -> Tensor:
        if self.architecture.normalization == "layer":
            centre = hidden.mean(-1, keepdim=True)
            variance = hidden.var(-1, keepdim=True, correction=0)
        elif self.training:
            centre, variance, count = _moments(hidden, weight)
            self._remember(tensors, layer, centre, variance, count)
        else:
            centre, variance = tensors[f"mean_{layer}"], tensors[f"variance_{layer}"]
        standard = (hidden - centre) * torch.rsqrt(variance + _EPSILON)
        return torch.addcmul(
            tensors[f"shift_{layer}"], standard, tensors[f"scale_{layer}"]
        )

    @torch.no_grad()
    def _remember(
        self,
        tensors: Tensors,
        layer: int,
        mean: Tensor,
        variance: Tensor,
        count: Tensor,
    ) -> None:
        """Move the running statistics towards those of this batch."""
        # As for `count` rows; weights may add up to less than two.
        unbiased = variance * (count.clamp(min=1) / (count - 1).clamp(min=1))
        # A member without a row in this batch keeps what it has.
        rate = _RUNNING_RATE * (count > 0).to(mean.dtype)
        for kind, value in (("mean", mean), ("variance", unbiased)):
            running = tensors[f"{kind}_{layer}"]
            running.add_(rate * (value - running))


def _linear(tensors: Tensors, layer: int, hidden: Tensor) -> Tensor:
    return torch.baddbmm(tensors[f"bias_{layer}"], hidden, tensors[f"weight_{layer}"])


def _moments(hidden: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean and (biased) variance over the rows, and how many rows count."""
    if weight is None:
        count = hidden.new_tensor(hidden.shape[1])
        mean = hidden.mean(1, keepdim=True)
        return mean, hidden.var(1, keepdim=True, correction=0), count
    count = weight.sum(1)[:, None, None]
    share = weight[..., None] / torch.where(count > 0, count, 1.0)
    mean = (hidden * share).sum(1, keepdim=True)
    variance = ((hidden - mean).square() * share).sum(1, keepdim=True)
    return mean, variance, count
