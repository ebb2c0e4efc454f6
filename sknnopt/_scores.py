"""The score of raw outputs: accuracy, or the coefficient of determination.

Both are ``1 - sum(w * error) / sum(w * reference)``, so both can be summed chunk by
chunk: for accuracy the error is 0 or 1 and the reference 1, for R squared they are
the squared distances to the prediction and to the mean.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sknnopt._feed import Chunk, Feed
from sknnopt._network import MemberNetwork
from sknnopt.losses import LOSSES


@torch.no_grad()
def evaluate(
    module: MemberNetwork, feed: Feed, loss: str, parameter: Tensor
) -> tuple[Tensor, Tensor]:
    """Measure all members on their rows, as they would predict them.

    Parameters
    ----------
    module : MemberNetwork
        The networks; left in evaluation mode.
    feed : Feed
        Each member's rows.
    loss : str
        Name of the loss.
    parameter : Tensor of shape (members, 1, 1)
        The loss's parameter.

    Returns
    -------
    loss, score : Tensor of shape (members,)
        Weighted mean loss; accuracy or R squared (mean over the targets).
    """
    module.eval()
    option = LOSSES[loss]
    centre = None if option.task == "classification" else feed.target_mean
    total: list[Tensor] = []
    for chunk in feed.in_order():
        raw = module(chunk.X)
        weight = _row_weights(chunk)
        per_row = option.make(raw, chunk.target, parameter)
        if centre is None:
            error = _is_wrong(raw, chunk.target, loss)
            reference = torch.ones_like(error)
        else:
            error = (chunk.target - option.respond(raw)).square()
            reference = (chunk.target - centre).square()
        parts = (
            (per_row * weight[..., 0]).sum(1),
            weight.sum((1, 2)),
            (error * weight).sum(1),
            (reference * weight).sum(1),
        )
        total = (
            [a + b for a, b in zip(total, parts, strict=True)] if total else [*parts]
        )
    return total[0] / total[1], _explained(total[2], total[3]).mean(-1)


def _row_weights(chunk: Chunk) -> Tensor:
    if chunk.weight is None:
        return torch.ones_like(chunk.X[..., :1])
    return chunk.weight[..., None]


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
