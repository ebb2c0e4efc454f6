"""Forward and backward passes of a batch of networks, without autograd.

The cost of a step on small networks is the calls, not the arithmetic. Each layer here
knows its own derivative, and all intermediate values have a place of their own for the
whole of a run, so that a step is some ten calls a layer and allocates next to nothing.

Every number is computed alike whoever trains beside a network: see `Layout.padded`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from sknnopt._architecture import Architecture
from sknnopt._layout import Layout, Segment
from sknnopt._members import Activation, layer_activations
from sknnopt._normalization import Normalization, layer_moments, normalized
from sknnopt._reduction import LANED, sum_over_rows
from sknnopt.activations import ACTIVATIONS

Masks = Sequence[Tensor | None]


def _quiet() -> np.errstate:
    """Return the mode in which numpy, as torch, says nothing of an overflow."""
    return np.errstate(over="ignore", invalid="ignore")


def _native(tensor: Tensor) -> Any:
    """Return what products of matrices take: on the CPU, numpy's view of a tensor.

    numpy multiplies the small matrices of a batch one by one, which with its library
    is up to twice as fast as torch's batched product, several times where there are
    few columns. And each is rounded alike, alone and in any batch; torch's are not.
    """
    return tensor.numpy() if tensor.device.type == "cpu" else tensor


def _product_on(device: torch.device) -> Callable[..., Any]:
    """Return the function that multiplies the matrices of all members."""
    return np.matmul if device.type == "cpu" else torch.bmm


class _Natives:
    """Remembers the native view of the last tensor: mostly, it is the same again."""

    def __init__(self) -> None:
        self._tensor: Tensor | None = None
        self._view: Any = None

    def __call__(self, tensor: Tensor) -> Any:
        if tensor is not self._tensor:
            self._tensor, self._view = tensor, _native(tensor)
        return self._view


class _Linear:
    """The linear part of a layer, ``x W + b``."""

    def __init__(
        self, tensors: _Tensors, layer: int, n_rows: int, *, passes_back: bool
    ) -> None:
        weight, weight_gradient = tensors.pair("weight", layer)
        self._bias, self._bias_gradient = tensors.pair("bias", layer)
        members, fan_in, self._fan_out = weight.shape
        self.output = weight.new_zeros(members, n_rows, self._fan_out)
        self._back = weight.new_zeros(members, n_rows, fan_in) if passes_back else None
        self._product = _product_on(weight.device)
        self._turned = weight.mT
        self._natives = _native(weight), _native(weight_gradient), _native(self.output)
        if self._back is not None:
            self._natives_back = _native(self._turned), _native(self._back)
        self._native_input, self._native_gradient = _Natives(), _Natives()
        self._native_bias_gradient = None
        if weight.device.type == "cpu" and self._fan_out == 1 and n_rows <= LANED:
            self._native_bias_gradient = self._bias_gradient.numpy()[:, 0, 0]

    def forward(self, x: Tensor) -> Tensor:
        self._input = self._native_input(x)
        weight, _, output = self._natives
        self._product(self._input, weight, out=output)
        return self.output.add_(self._bias)

    def backward(self, gradient: Tensor) -> Tensor:
        native = self._native_gradient(gradient)
        self._product(self._input.swapaxes(1, 2), native, out=self._natives[1])
        self._sum_over_rows(gradient)
        if self._back is None:
            return gradient
        if self._fan_out == 1:
            # Matrices of one column and one row: libraries are slow at them.
            return torch.mul(gradient, self._turned, out=self._back)
        turned, back = self._natives_back
        self._product(native, turned, out=back)
        return self._back

    def _sum_over_rows(self, gradient: Tensor) -> None:
        if self._native_bias_gradient is not None:
            column = self._native_gradient(gradient)[..., 0]
            np.add.reduce(column, axis=1, out=self._native_bias_gradient)
        elif self._fan_out == 1:
            self._bias_gradient.copy_(sum_over_rows(gradient.mT).unsqueeze(-1))
        else:
            torch.sum(gradient, 1, True, out=self._bias_gradient)


class _Hidden:
    """A hidden layer: linear, normalization, activation, dropout."""

    def __init__(
        self,
        architecture: Architecture,
        activation: Activation,
        tensors: _Tensors,
        layer: int,
        n_rows: int,
    ) -> None:
        self._linear = _Linear(tensors, layer, n_rows, passes_back=layer > 0)
        self._activation = activation
        output = self._linear.output
        # A derivative that reads the input needs both; else one is written over.
        reads_input = self._activation.reads_input
        self._active = torch.zeros_like(output) if reads_input else output
        self._dropped: Tensor | None = None
        self._mask: Tensor | None = None
        self._normalization = None
        self._units = architecture.hidden[layer]
        #: The last pass's outputs, before dropout and without padding.
        self.active = self._active[..., : self._units]
        kind = architecture.normalization
        if kind is not None:
            self._normalization = tensors.normalization(kind, layer)

    def forward(self, x: Tensor, mask: Tensor | None, weight: Tensor | None) -> Tensor:
        linear = self._linear.forward(x)
        if self._normalization is not None:
            self._normalization.forward(linear[..., : self._units], weight)
        active = self._activation.make(linear, out=self._active)
        self._mask = mask
        if mask is None:
            return active
        if self._dropped is None:
            self._dropped = torch.zeros_like(active)
        units = self._units
        torch.mul(active[..., :units], mask, out=self._dropped[..., :units])
        return self._dropped

    def backward(self, gradient: Tensor) -> Tensor:
        units = self._units
        if self._mask is not None:
            gradient[..., :units].mul_(self._mask)
        self._activation.backward(gradient, self._linear.output, self._active)
        if self._normalization is not None:
            self._normalization.backward(gradient[..., :units])
        return self._linear.backward(gradient)


class _Tensors:
    """The tensors of all members, and where their gradients are written."""

    def __init__(self, layout: Layout, weights: Tensor, gradient: Tensor) -> None:
        self._weights, self._gradient = weights, gradient
        self._segments = {(s.kind, s.layer): s for s in layout.segments}

    def pair(self, kind: str, layer: int) -> tuple[Tensor, Tensor]:
        """Return a tensor and the place of its gradient, both padded."""
        segment = self._segments[kind, layer]
        return segment.whole(self._weights), segment.whole(self._gradient)

    def normalization(self, kind: str, layer: int) -> Normalization:
        """Return a layer's normalization, without padding."""

        def units(segment: Segment, whole: Tensor) -> Tensor:
            return whole[..., : segment.shape[1]]

        segments = {k: s for (k, at), s in self._segments.items() if at == layer}
        tensors = {
            k: units(s, s.whole(self._weights))
            for k, s in segments.items()
            if k in ("scale", "shift", "mean", "variance")
        }
        gradients = {
            k: units(segments[k], segments[k].whole(self._gradient))
            for k in ("scale", "shift")
        }
        return Normalization(kind, tensors, gradients)


class Propagation:
    """The passes of networks of one architecture over batches of one size.

    Parameters
    ----------
    architecture : Architecture
        Shape of the networks.
    layout : Layout
        Where the numbers lie in ``weights``.
    weights : Tensor of shape (members, columns)
        All numbers of the networks; read at every pass, and the running statistics of
        batch normalization are changed in place.
    gradient : Tensor of shape (members, trained columns)
        Where :meth:`backward` writes.
    n_rows : int
        Rows of a batch.
    activations : sequence of tuple of str, or None, default=None
        Each member's, one for each hidden layer; None: the architecture's.
    """

    def __init__(
        self,
        architecture: Architecture,
        layout: Layout,
        weights: Tensor,
        gradient: Tensor,
        n_rows: int,
        activations: Sequence[tuple[str, ...]] | None = None,
    ) -> None:
        tensors = _Tensors(layout, weights, gradient)
        depth = len(architecture.hidden)
        names = activations or [architecture.activations]
        self._hidden = [
            _Hidden(architecture, activation, tensors, layer, n_rows)
            for layer, activation in enumerate(layer_activations(names))
        ]
        self._head = _Linear(tensors, depth, n_rows, passes_back=depth > 0)
        self._slope = torch.zeros_like(self._head.output)
        self._gradient = gradient
        self._real = _real_columns(set().union(*names), layout, gradient)

    def forward(
        self, X: Tensor, masks: Masks = (), weight: Tensor | None = None
    ) -> Tensor:
        """Return the raw outputs.

        Parameters
        ----------
        X : Tensor of shape (members, rows, features)
            The rows of the batch.
        masks : sequence of Tensor or None, default=()
            For each hidden layer what its units are multiplied by: dropout.
        weight : Tensor of shape (members, rows, 1) or None, default=None
            Weights of the rows, zero at padding, for batch normalization.

        Returns
        -------
        Tensor of shape (members, rows, outputs)
            Written over by the next pass.
        """
        hidden = X
        with _quiet():
            for layer, block in enumerate(self._hidden):
                hidden = block.forward(hidden, masks[layer] if masks else None, weight)
            return self._head.forward(hidden)

    @property
    def activations(self) -> list[Tensor]:
        """Each hidden layer's outputs in the last pass, before dropout.

        Returns
        -------
        list of Tensor of shape (members, rows, units)
            Written over by the next pass.
        """
        return [block.active for block in self._hidden]

    def backward(self, slope: Tensor, scale: Tensor) -> None:
        """Write the gradient of the last pass.

        Parameters
        ----------
        slope : Tensor of shape (members, rows, outputs)
            Derivative of each row's loss by its raw outputs.
        scale : Tensor of shape (members, rows, 1)
            What each row's loss is multiplied by in the sum.
        """
        gradient = torch.mul(slope, scale, out=self._slope)
        with _quiet():
            gradient = self._head.backward(gradient)
            for block in reversed(self._hidden):
                gradient = block.backward(gradient)
        if self._real is not None:
            self._gradient.mul_(self._real)


def _real_columns(
    activations: Iterable[str], layout: Layout, gradient: Tensor
) -> Tensor | None:
    """Return ones at the weights and zeros at padding, where padding gets a gradient.

    It does behind units that answer zero by something else, as the sigmoid does.
    """
    zero = gradient.new_zeros(1)
    if not any(ACTIVATIONS[name].make(zero).item() for name in activations):
        return None
    real = gradient.new_zeros(1, layout.n_trained)
    for segment in layout.trained:
        segment.view(real).fill_(1.0)
    return real


#: The tensors of networks, by kind and layer.
Parts: TypeAlias = dict[tuple[str, int], Tensor]


def whole_tensors(layout: Layout, weights: Tensor) -> Parts:
    """Return the tensors of trained networks as :func:`infer` reads them.

    Parameters
    ----------
    layout : Layout
        Where the numbers lie in ``weights``.
    weights : Tensor of shape (members, columns)
        All numbers of the networks.

    Returns
    -------
    dict of Tensor
        Views, with their padding.
    """
    return {(s.kind, s.layer): s.whole(weights) for s in layout.segments}


def layer_inputs(
    architecture: Architecture,
    tensors: Parts,
    X: Tensor,
    activations: Sequence[Activation] | None = None,
) -> Iterator[Tensor]:
    """Yield what each layer of trained networks sees, as `infer` computes it.

    Parameters
    ----------
    architecture : Architecture
        Shape of the networks.
    tensors : dict of Tensor
        From :func:`whole_tensors`.
    X : Tensor of shape (members, rows, features) or (rows, features)
        Rows; without members, all of them see the same ones.
    activations : sequence of Activation or None, default=None
        From `layer_activations`; None: the architecture's.

    Yields
    ------
    Tensor of shape (members, rows, fan_in)
        For the first hidden layer the rows, for each next one, the head last, the
        outputs of the hidden layer before it.
    """
    members = len(tensors["weight", 0])
    hidden = X if X.ndim == 3 else X.expand(members, *X.shape)
    yield hidden
    if activations is None:
        activations = [ACTIVATIONS[name] for name in architecture.activations]
    for layer, activation in enumerate(activations):
        linear = _linear(tensors, layer, hidden)
        if architecture.normalization is not None:
            units = slice(architecture.hidden[layer])
            part = linear[..., units]
            part.copy_(_normalized_by_statistics(tensors, layer, part, units))
        hidden = activation.make(linear, out=linear)
        yield hidden


def infer(
    architecture: Architecture,
    tensors: Parts,
    X: Tensor,
    activations: Sequence[Activation] | None = None,
) -> Tensor:
    """Return the raw outputs of trained networks: no dropout, running statistics.

    Parameters
    ----------
    architecture, tensors, X, activations
        As `layer_inputs` takes them.

    Returns
    -------
    Tensor of shape (members, rows, outputs)
        Raw outputs.
    """
    inputs = layer_inputs(architecture, tensors, X, activations)
    # The head's alone; the others are let go as soon as they have been used.
    (hidden,) = deque(inputs, maxlen=1)
    return _linear(tensors, len(architecture.hidden), hidden)


def _linear(tensors: Parts, layer: int, x: Tensor) -> Tensor:
    weight, bias = tensors["weight", layer], tensors["bias", layer]
    if x.device.type != "cpu":
        return torch.baddbmm(bias, x, weight)
    with _quiet():
        product = np.matmul(x.numpy(), weight.numpy())
    return torch.from_numpy(product).add_(bias)


def _normalized_by_statistics(
    tensors: Parts, layer: int, hidden: Tensor, units: slice
) -> Tensor:
    part = {k: t[..., units] for (k, at), t in tensors.items() if at == layer}
    if "mean" in part:
        mean, variance = part["mean"], part["variance"]
    else:
        mean, variance = layer_moments(hidden)
    standard, _ = normalized(hidden, mean, variance)
    return torch.addcmul(part["shift"], standard, part["scale"])
