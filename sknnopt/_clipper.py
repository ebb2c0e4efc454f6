"""The clipping of a run's gradients, and in how many steps it changed them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sknnopt._job import Kind, Settings
from sknnopt._layout import Layout
from sknnopt.clipping import (
    clip_by_norm,
    clip_by_norm_per_tensor,
    clip_by_value,
    gradient_norm,
)


class Clipper:
    """Clips the gradients of a batch, by value first and by norm then.

    Parameters
    ----------
    kind : Kind
        Whether norms are taken tensor by tensor, and whether steps are counted: not
        where ``monitor`` is ``"off"``.
    settings : Settings
        Each member's thresholds.
    layout : Layout
        Where the tensors lie in the gradient.
    """

    def __init__(self, kind: Kind, settings: Settings, layout: Layout) -> None:
        self._kind, self._counts = kind, kind.monitor != "off"
        self._norm = self._limit(settings.clip_norm)
        self._value = self._limit(settings.clip_value)
        self._slices = [segment.columns for segment in layout.trained]
        self._is_set = np.isfinite(settings.clip_norm)
        self._is_set |= np.isfinite(settings.clip_value)
        self._clipped: list[Tensor] = []

    def _limit(self, values: np.ndarray) -> Tensor | None:
        if not np.isfinite(values).any():
            return None
        kind = self._kind
        return torch.tensor(values, dtype=kind.torch_dtype, device=kind.device)[:, None]

    def __call__(self, gradient: Tensor) -> None:
        """Clip the gradient of a step, in place.

        Parameters
        ----------
        gradient : Tensor of shape (members, trained columns)
            Of the step.
        """
        is_clipped = None
        if self._value is not None:
            if self._counts:
                largest = torch.linalg.vector_norm(gradient, torch.inf, 1, True)
                is_clipped = largest > self._value
            clip_by_value(gradient, self._value)
        if self._norm is not None:
            is_long = self._clip_norm(gradient, self._norm)
            is_clipped = is_long if is_clipped is None else is_clipped | is_long
        if self._counts and is_clipped is not None:
            self._clipped.append(is_clipped)

    def _clip_norm(self, gradient: Tensor, limit: Tensor) -> Tensor:
        """Clip by norm; tell whose gradient was longer."""
        if self._kind.clip_per_tensor:
            norms = [gradient_norm(gradient[:, part]) for part in self._slices]
            clip_by_norm_per_tensor(gradient, limit, self._slices, norms)
            return (torch.cat(norms, 1) > limit).any(1, keepdim=True)
        norm = gradient_norm(gradient)
        clip_by_norm(gradient, limit, norm)
        return norm > limit

    def columns(self, n_steps: np.ndarray) -> dict[str, np.ndarray]:
        """Return the epoch's column of history, and begin anew.

        Parameters
        ----------
        n_steps : ndarray of int of shape (members,)
            Each member's steps in the epoch.

        Returns
        -------
        dict of ndarray of shape (members,)
            ``clipped_share``, NaN for members that are not clipped; empty if none is.
        """
        if not self._clipped:
            return {}
        clipped = torch.cat(self._clipped, 1).cpu().numpy()
        self._clipped.clear()
        n_steps = np.minimum(n_steps, clipped.shape[1])
        is_own = np.arange(clipped.shape[1]) < n_steps[:, None]
        share = (clipped & is_own).sum(axis=1) / n_steps
        return {"clipped_share": np.where(self._is_set, share, np.nan)}
