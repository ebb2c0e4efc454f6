"""The network module: a batch of multilayer perceptrons of one architecture.

Every array carries a leading *member* axis, so that a single network is a batch
of one. All numbers of a member lie in one row of one flat matrix; the layers are
views of it. An update rule, a penalty or a clip is then a handful of operations on
that matrix, whatever the depth.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from sknnopt._architecture import Architecture
from sknnopt._layout import Layout
from sknnopt._normalization import (
    batch_moments,
    layer_moments,
    normalized,
    remember,
)
from sknnopt.activations import ACTIVATIONS


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


class MemberNetwork(nn.Module):
    """A batch of networks that share one architecture.

    Parameters
    ----------
    architecture : Architecture
        Their shape.
    flat : Tensor of shape (members, columns)
        All their numbers. The module's parameters are views of it: an update of
        ``flat`` in place is an update of the module.
    layout : Layout or None, default=None
        Where they lie in ``flat``; None: without a gap.

    Notes
    -----
    Input of shape ``(members, rows, features)``, or ``(rows, features)`` where all
    members see the same rows; output of shape ``(members, rows, outputs)``, raw:
    before the sigmoid or softmax.

    Examples
    --------
    >>> import torch
    >>> from sknnopt._architecture import Architecture
    >>> from sknnopt._layout import Layout
    >>> from sknnopt._network import MemberNetwork
    >>> shape = Architecture(4, (10,), 1, ("relu",))
    >>> flat = torch.zeros(3, Layout.of(shape).n_columns)
    >>> MemberNetwork(shape, flat)(torch.ones(5, 4)).shape
    torch.Size([3, 5, 1])
    """

    def __init__(
        self, architecture: Architecture, flat: Tensor, layout: Layout | None = None
    ) -> None:
        super().__init__()
        self.architecture = architecture
        layout = layout or Layout.of(architecture)
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
            mean, variance = layer_moments(hidden)
        elif self.training:
            if weight is None:
                weight = hidden.new_ones(hidden.shape[:2])
            mean, variance, count, _ = batch_moments(hidden, weight[..., None])
            self._remember(tensors, layer, mean, variance, count)
        else:
            mean, variance = tensors[f"mean_{layer}"], tensors[f"variance_{layer}"]
        standard, _ = normalized(hidden, mean, variance)
        return torch.addcmul(
            tensors[f"shift_{layer}"], standard, tensors[f"scale_{layer}"]
        )

    @torch.no_grad()
    def _remember(self, tensors: Tensors, layer: int, *moments: Tensor) -> None:
        running = tensors[f"mean_{layer}"], tensors[f"variance_{layer}"]
        remember(*running, *moments)


def _linear(tensors: Tensors, layer: int, hidden: Tensor) -> Tensor:
    return torch.baddbmm(tensors[f"bias_{layer}"], hidden, tensors[f"weight_{layer}"])
