"""The gradient norms that a history shows: the network's and each layer's."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from sknnopt._layout import Layout
from sknnopt.clipping import gradient_norm


class GradientNorms:
    """Norms of the gradients of an epoch: of its last step, or means over its steps.

    Parameters
    ----------
    layers : list of slice
        Columns of each layer, from `layer_columns`.
    monitor : {"off", "light", "full"}
        No step, each member's last, or all.
    n_steps : ndarray of int of shape (members,)
        Each member's steps in the epoch.
    """

    def __init__(self, layers: list[slice], monitor: str, n_steps: np.ndarray) -> None:
        self.monitor, self.n_steps = monitor, n_steps
        self._columns = layers
        self._last = set((n_steps - 1).tolist())
        self._sum: Tensor | None = None
        self._n_read = 0

    def read(self, step: int, gradient: Tensor) -> Tensor | None:
        """Take in the gradient of a step, where it is asked for.

        Parameters
        ----------
        step : int
            Its number in the epoch.
        gradient : Tensor of shape (members, trained columns)
            Before it is clipped.

        Returns
        -------
        Tensor of shape (members, 1) or None
            The norm, if it was computed.
        """
        self._n_read = step + 1
        if self.monitor == "off":
            return None
        if self.monitor == "light" and step not in self._last:
            return None
        layers = [gradient_norm(gradient[:, columns]) for columns in self._columns]
        norm = gradient_norm(gradient)
        norms = torch.cat([norm, *layers], 1)
        wanted = self.n_steps > step if self.monitor == "full" else self._is_last(step)
        if not wanted.all():
            unwanted = torch.from_numpy(~wanted[:, None]).to(norms.device)
            norms.masked_fill_(unwanted, 0.0)
        self._sum = norms if self._sum is None else self._sum + norms
        return norm

    def _is_last(self, step: int) -> np.ndarray:
        is_last: np.ndarray = self.n_steps - 1 == step
        return is_last

    def columns(self) -> dict[str, np.ndarray]:
        """Return the norms as columns of history.

        Returns
        -------
        dict of ndarray of shape (members,)
            The network's and each layer's; empty if nothing was asked for. NaN where
            an epoch was cut short before a step that was asked for.
        """
        if self.monitor == "off":
            return {}
        norms = np.full((len(self.n_steps), 1 + len(self._columns)), np.nan)
        if self._sum is not None:
            is_full = self.monitor == "full"
            count = np.minimum(self.n_steps, self._n_read) if is_full else 1.0
            is_read = is_full | (self.n_steps <= self._n_read)
            of_steps = self._sum.cpu().numpy() / np.reshape(count, (-1, 1))
            norms[is_read] = of_steps[is_read]
        layers = [f"gradient_norm_{layer}" for layer in range(norms.shape[1] - 1)]
        return dict(zip(["gradient_norm", *layers], norms.T, strict=True))


def layer_columns(layout: Layout) -> list[slice]:
    """Return where each layer lies: weights begin it, and the next layer ends it.

    Parameters
    ----------
    layout : Layout
        Of the networks.

    Returns
    -------
    list of slice
        Columns of the flat gradient.
    """
    starts = [segment.start for segment in layout.of_kind("weight")]
    return [slice(*ends) for ends in pairwise([*starts, layout.n_trained])]
