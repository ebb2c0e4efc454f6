"""The loss and score of networks on rows that are measured again and again.

The score is accuracy or the coefficient of determination. Both are
``1 - sum(w * error) / sum(w * reference)``, so both can be summed chunk by chunk: for
accuracy the error is 0 or 1 and the reference 1, for R squared they are the squared
distances to the prediction and to the mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from sknnopt._feed import Batch, gather
from sknnopt._job import Kind, Rows
from sknnopt._members import layer_activations
from sknnopt._propagation import infer, whole_tensors
from sknnopt.losses import LOSSES

#: Numbers of a layer that pass at once for each member.
_CHUNK = 1 << 17
#: Numbers of the rows that are kept between two measurements.
_KEPT = 1 << 22


class Evaluation:
    """Members' rows, ready to be measured.

    Parameters
    ----------
    kind : Kind
        The networks and their loss.
    rows : sequence of Rows
        Each member's.
    parameter : Tensor of shape (members, 1, 1)
        The loss's parameter.
    activations : sequence of tuple of str, or None, default=None
        Each member's, one for each hidden layer; None: the kind's.

    Notes
    -----
    Members with as many rows are measured together; the sums of others would be
    padded, and rounded otherwise than alone.
    """

    def __init__(
        self,
        kind: Kind,
        rows: Sequence[Rows],
        parameter: Tensor,
        activations: Sequence[tuple[str, ...]] | None = None,
    ) -> None:
        self.kind = kind
        names = activations or [kind.architecture.activations] * len(rows)
        lengths = np.array([len(of_member) for of_member in rows])
        self._groups = [
            _Group(kind, rows, np.flatnonzero(lengths == length), parameter, names)
            for length in np.unique(lengths)
        ]
        self._members = len(rows)

    def __call__(self, weights: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Measure all members on their rows, as they would predict them.

        Parameters
        ----------
        weights : Tensor of shape (members, columns)
            All numbers of the networks, padded.

        Returns
        -------
        loss, score : ndarray of shape (members,)
            Weighted mean loss; accuracy or R squared (mean over the targets).
        """
        loss, score = np.empty(self._members), np.empty(self._members)
        with torch.no_grad():
            for group in self._groups:
                loss[group.members], score[group.members] = group.measure(weights)
        return loss, score


class _Group:
    """Members with the same number of rows."""

    def __init__(
        self,
        kind: Kind,
        rows: Sequence[Rows],
        members: np.ndarray,
        parameter: Tensor,
        activations: Sequence[tuple[str, ...]],
    ) -> None:
        self.kind, self.members = kind, members
        self._activations = layer_activations([activations[i] for i in members])
        self._rows = [rows[member] for member in members]
        self._is_all = len(members) == len(rows)
        self._where = torch.from_numpy(members).to(parameter.device)
        self._parameter = parameter if self._is_all else parameter[self._where]
        n_numbers = len(members) * len(self._rows[0]) * kind.architecture.n_inputs
        self._kept = list(self._gathered()) if n_numbers <= _KEPT else None
        self._centre: Tensor | None = None
        if LOSSES[kind.loss].task == "regression":
            self._centre = self._target_mean()

    def _gathered(self) -> Iterator[Batch]:
        n_rows = len(self._rows[0])
        # From one network's shape alone: a loss is summed in the same parts in
        # whatever company.
        size = max(1, _CHUNK // max(self.kind.architecture.sizes))
        for start in range(0, n_rows, size):
            yield gather(self.kind, self._rows, slice(start, start + size))

    def _batches(self) -> Iterator[Batch]:
        return iter(self._kept) if self._kept is not None else self._gathered()

    def _target_mean(self) -> Tensor:
        total, count = self._parameter.new_zeros(1), self._parameter.new_zeros(1)
        for batch in self._batches():
            total = total + (batch.target * batch.scale).sum(1, keepdim=True)
            count = count + batch.scale.sum(1, keepdim=True)
        return total / count

    def measure(self, weights: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Return loss and score of the group's members."""
        weights = weights if self._is_all else weights[self._where]
        tensors = whole_tensors(self.kind.layout, weights)
        architecture = self.kind.architecture
        sums: list[Tensor] = []
        for batch in self._batches():
            raw = infer(architecture, tensors, batch.X, self._activations)
            parts = self._parts(raw, batch)
            sums = [a + b for a, b in zip(sums, parts, strict=True)] if sums else parts
        loss, count, error, reference = sums
        score = _explained(error, reference).mean(-1)
        return (loss / count).cpu().numpy(), score.cpu().numpy()

    def _parts(self, raw: Tensor, batch: Batch) -> list[Tensor]:
        """Sum over rows: loss, weight, error and reference."""
        # Rows that do not count may overflow, and infinity times zero is NaN.
        raw = raw.masked_fill(batch.scale == 0, 0.0)
        option = LOSSES[self.kind.loss]
        losses = option.make(raw, batch.target, self._parameter)
        if self._centre is None:
            error = _is_wrong(raw, batch.target, self.kind.loss)
            reference = torch.ones_like(error)
        else:
            error = (batch.target - option.respond(raw)).square()
            reference = (batch.target - self._centre).square()
        return [
            (losses * batch.scale[..., 0]).sum(1),
            batch.scale.sum((1, 2)),
            (error * batch.scale).sum(1),
            (reference * batch.scale).sum(1),
        ]


def _is_wrong(raw: Tensor, target: Tensor, loss: str) -> Tensor:
    """Return 1 at each row whose predicted label (or set of labels) is not its own."""
    if loss == "categorical_cross_entropy":
        wrong = raw.argmax(-1, keepdim=True) != target
    else:
        wrong = ((raw > 0) != (target > 0.5)).any(-1, keepdim=True)
    return wrong.to(raw.dtype)


def _explained(error: Tensor, reference: Tensor) -> Tensor:
    """Return ``1 - error / reference``; without anything to explain, 1 or 0."""
    if_constant = (error == 0).to(error.dtype)
    return torch.where(reference > 0, 1 - error / reference, if_constant)
