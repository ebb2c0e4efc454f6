"""Gradient clipping, per member.

M is the number of members, P the length of one network's flat gradient. The clipping
functions change the gradient in place and return it. A threshold of infinity leaves
its member untouched. Nothing raises on a gradient that is not finite: an infinite or
undefined norm makes NaN of it, as in PyTorch, and training notices.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

# Added to the norm before dividing by it, as PyTorch does.
NORM_EPSILON = 1e-6


def gradient_norm(gradient: Tensor) -> Tensor:
    """Euclidean norm of every member's gradient.

    Parameters
    ----------
    gradient : Tensor of shape (M, P)
        Gradient of every member.

    Returns
    -------
    norm : Tensor of shape (M, 1)
        One norm per member.

    Examples
    --------
    >>> import torch
    >>> from sknnopt.clipping import gradient_norm
    >>> gradient_norm(torch.tensor([[3.0, 4.0], [0.0, 1.0]], dtype=torch.float64))
    tensor([[5.],
            [1.]], dtype=torch.float64)
    """
    norm: Tensor = torch.linalg.vector_norm(gradient, dim=-1, keepdim=True)
    return norm


def clip_by_norm(
    gradient: Tensor, max_norm: Tensor, norm: Tensor | None = None
) -> Tensor:
    r"""Shorten every gradient that is longer than its threshold.

    The factor is :math:`\min(1, c / (\|g\| + 10^{-6}))` with threshold :math:`c`.

    Parameters
    ----------
    gradient : Tensor of shape (M, P)
        Gradient of every member; changed in place.
    max_norm : Tensor of shape (M, 1)
        Threshold of every member; infinity means no clipping.
    norm : Tensor of shape (M, 1) or None, default=None
        The norms where they are known already.

    Returns
    -------
    gradient : Tensor of shape (M, P)
        The same tensor.

    References
    ----------
    Pascanu, Mikolov & Bengio 2013, On the difficulty of training recurrent neural
    networks, algorithm 1.

    Examples
    --------
    >>> import torch
    >>> from sknnopt.clipping import clip_by_norm
    >>> g = torch.tensor([[3.0, 4.0], [3.0, 4.0]], dtype=torch.float64)
    >>> clip_by_norm(g, torch.tensor([[1.0], [torch.inf]], dtype=torch.float64))
    tensor([[0.6000, 0.8000],
            [3.0000, 4.0000]], dtype=torch.float64)
    """
    if norm is None:
        norm = gradient_norm(gradient)
    factor = (max_norm / (norm + NORM_EPSILON)).clamp_(max=1.0)
    # inf / inf and inf / nan would spoil a member that is not clipped at all.
    factor.masked_fill_(max_norm.isinf(), 1.0)
    return gradient.mul_(factor)


def clip_by_norm_per_tensor(
    gradient: Tensor,
    max_norm: Tensor,
    slices: Sequence[slice],
    norms: Sequence[Tensor] | None = None,
) -> Tensor:
    """Shorten the gradient of every weight matrix and bias vector on its own.

    Parameters
    ----------
    gradient : Tensor of shape (M, P)
        Gradient of every member; changed in place.
    max_norm : Tensor of shape (M, 1)
        Threshold of every member, for each tensor; infinity means no clipping.
    slices : sequence of slice
        Where each tensor lies in the flat gradient.
    norms : sequence of Tensor of shape (M, 1) or None, default=None
        Each tensor's norms where they are known already.

    Returns
    -------
    gradient : Tensor of shape (M, P)
        The same tensor.

    Examples
    --------
    >>> import torch
    >>> from sknnopt.clipping import clip_by_norm_per_tensor
    >>> g = torch.tensor([[3.0, 4.0, 0.5]], dtype=torch.float64)
    >>> limit = torch.ones((1, 1), dtype=torch.float64)
    >>> clip_by_norm_per_tensor(g, limit, [slice(0, 2), slice(2, 3)])
    tensor([[0.6000, 0.8000, 0.5000]], dtype=torch.float64)
    """
    for number, part in enumerate(slices):
        norm = None if norms is None else norms[number]
        clip_by_norm(gradient[:, part], max_norm, norm)
    return gradient


def clip_by_value(gradient: Tensor, limit: Tensor) -> Tensor:
    """Bound every entry of the gradient to [-limit, limit].

    Parameters
    ----------
    gradient : Tensor of shape (M, P)
        Gradient of every member; changed in place.
    limit : Tensor of shape (M, 1)
        Bound of every member, at least 0; infinity means no clipping.

    Returns
    -------
    gradient : Tensor of shape (M, P)
        The same tensor.

    Examples
    --------
    >>> import torch
    >>> from sknnopt.clipping import clip_by_value
    >>> g = torch.tensor([[3.0, -4.0, 0.5]], dtype=torch.float64)
    >>> clip_by_value(g, torch.ones((1, 1), dtype=torch.float64))
    tensor([[ 1.0000, -1.0000,  0.5000]], dtype=torch.float64)
    """
    return gradient.clamp_(-limit, limit)
