"""Batch and layer normalization with their derivatives, on member-batched tensors.

M is the number of members, B the rows of a batch, W the units of a layer.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sknnopt._reduction import sum_over_rows

#: Weight of the newest batch in the running statistics, and what is added to the
#: variance: the constants of ``torch.nn.BatchNorm1d`` and ``LayerNorm``.
RUNNING_RATE = 0.1
EPSILON = 1e-5


def batch_moments(hidden: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
    """Return what the rows of each unit have in common.

    Parameters
    ----------
    hidden : Tensor of shape (M, B, W)
        Before normalization.
    weight : Tensor of shape (M, B, 1)
        Weights of the rows, zero at padding: a row of weight two counts as two rows.

    Returns
    -------
    mean, variance : Tensor of shape (M, 1, W)
        Weighted moments; the variance is the biased one.
    count : Tensor of shape (M, 1, 1)
        How many rows count.
    share : Tensor of shape (M, B, 1)
        What each row contributes.
    """
    count = sum_over_rows(weight.mT).unsqueeze(-1)
    share = weight / torch.where(count > 0, count, 1.0)
    mean = (hidden * share).sum(1, keepdim=True)
    variance = ((hidden - mean).square() * share).sum(1, keepdim=True)
    return mean, variance, count, share


def layer_moments(hidden: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and biased variance over the units of each row, (M, B, 1)."""
    mean = hidden.mean(-1, keepdim=True)
    return mean, hidden.var(-1, keepdim=True, correction=0)


def remember(
    running_mean: Tensor,
    running_variance: Tensor,
    mean: Tensor,
    variance: Tensor,
    count: Tensor,
) -> None:
    """Move the running statistics, in place, towards those of a batch.

    Parameters
    ----------
    running_mean, running_variance : Tensor of shape (M, 1, W)
        Statistics so far.
    mean, variance : Tensor of shape (M, 1, W)
        Those of the batch.
    count : Tensor of shape (M, 1, 1)
        Its rows; a member without any keeps what it has.
    """
    # As for `count` rows; weights may add up to less than two.
    unbiased = variance * (count.clamp(min=1) / (count - 1).clamp(min=1))
    rate = RUNNING_RATE * (count > 0).to(mean.dtype)
    running_mean.add_(rate * (mean - running_mean))
    running_variance.add_(rate * (unbiased - running_variance))


def normalized(hidden: Tensor, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``hidden`` standardized, and the factor that it was multiplied by."""
    factor = torch.rsqrt(variance + EPSILON)
    return (hidden - mean) * factor, factor


class Normalization:
    """A normalized layer in training: ``scale * standardized + shift``.

    Parameters
    ----------
    kind : {"batch", "layer"}
        Whether moments are over the rows of a unit or over the units of a row.
    tensors : dict of Tensor
        ``scale`` and ``shift``, and for ``"batch"`` the running ``mean`` and
        ``variance``, ``(M, 1, W)``.
    gradients : dict of Tensor
        Where the gradients of ``scale`` and ``shift`` go.

    References
    ----------
    Ioffe & Szegedy 2015, Batch normalization, section 3; Ba, Kiros & Hinton 2016,
    Layer normalization, section 3.
    """

    def __init__(
        self, kind: str, tensors: dict[str, Tensor], gradients: dict[str, Tensor]
    ) -> None:
        self.kind, self.tensors, self.gradients = kind, tensors, gradients

    def forward(self, hidden: Tensor, weight: Tensor | None) -> Tensor:
        """Normalize ``hidden``, (M, B, W), in place; ``"layer"`` takes no weight."""
        if weight is not None:
            mean, variance, count, self._share = batch_moments(hidden, weight)
            running = self.tensors["mean"], self.tensors["variance"]
            remember(*running, mean, variance, count)
        else:
            mean, variance = layer_moments(hidden)
        self._standard, self._factor = normalized(hidden, mean, variance)
        scale, shift = self.tensors["scale"], self.tensors["shift"]
        return torch.addcmul(shift, self._standard, scale, out=hidden)

    def backward(self, gradient: Tensor) -> Tensor:
        """Turn the gradient by the output, in place, into that by the input."""
        standard = self._standard
        torch.sum(gradient, 1, True, out=self.gradients["shift"])
        torch.sum(gradient * standard, 1, True, out=self.gradients["scale"])
        gradient.mul_(self.tensors["scale"])
        product = gradient * standard
        if self.kind == "batch":
            # What a row adds to the moments comes back to it by its share.
            centre = gradient.sum(1, keepdim=True) * self._share
            slope = product.sum(1, keepdim=True) * self._share
        else:
            centre = gradient.mean(-1, keepdim=True)
            slope = product.mean(-1, keepdim=True)
        gradient.sub_(centre).sub_(standard * slope)
        return gradient.mul_(self._factor)
