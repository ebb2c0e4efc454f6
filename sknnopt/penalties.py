"""Penalties on weights: values and gradients.

M is the number of members, P the length of one network's flat vector of weights.
``strength`` has one entry per weight, so that biases carry 0 and are not penalized.
"""

from __future__ import annotations

from torch import Tensor


def l1_penalty(weights: Tensor, strength: Tensor) -> Tensor:
    r"""Sum of absolute weights, :math:`\sum_j \lambda_j |w_j|`.

    Parameters
    ----------
    weights : Tensor of shape (M, P)
        Weights of every member.
    strength : Tensor of shape (M, P)
        Factor of every weight.

    Returns
    -------
    penalty : Tensor of shape (M,)
        What is added to the loss of every member.

    References
    ----------
    Tibshirani 1996, Regression shrinkage and selection via the lasso.

    Examples
    --------
    >>> import torch
    >>> from sknnopt.penalties import l1_penalty
    >>> w = torch.tensor([[1.0, -2.0, 5.0]], dtype=torch.float64)
    >>> l1_penalty(w, torch.tensor([[0.5, 0.5, 0.0]], dtype=torch.float64))
    tensor([1.5000], dtype=torch.float64)
    """
    return (strength * weights.abs()).sum(dim=-1)


def add_l1_gradient(gradient: Tensor, weights: Tensor, strength: Tensor) -> Tensor:
    r"""Add the subgradient of the L1 penalty, :math:`\lambda_j \mathrm{sign}(w_j)`.

    Parameters
    ----------
    gradient : Tensor of shape (M, P)
        Gradient of every member; changed in place.
    weights : Tensor of shape (M, P)
        Weights of every member; a weight of 0 adds 0.
    strength : Tensor of shape (M, P)
        Factor of every weight.

    Returns
    -------
    gradient : Tensor of shape (M, P)
        The same tensor.

    Examples
    --------
    >>> import torch
    >>> from sknnopt.penalties import add_l1_gradient
    >>> w = torch.tensor([[1.0, -2.0, 0.0]], dtype=torch.float64)
    >>> strength = torch.full((1, 3), 0.5, dtype=torch.float64)
    >>> add_l1_gradient(torch.ones_like(w), w, strength)
    tensor([[1.5000, 0.5000, 1.0000]], dtype=torch.float64)
    """
    return gradient.addcmul_(weights.sign(), strength)


def l2_penalty(weights: Tensor, strength: Tensor) -> Tensor:
    r"""Sum of squared weights, :math:`\sum_j \lambda_j w_j^2`, without a factor 1/2.

    Parameters
    ----------
    weights : Tensor of shape (M, P)
        Weights of every member.
    strength : Tensor of shape (M, P)
        Factor of every weight.

    Returns
    -------
    penalty : Tensor of shape (M,)
        What is added to the loss of every member.

    References
    ----------
    Krogh & Hertz 1991, A simple weight decay can improve generalization.

    Examples
    --------
    >>> import torch
    >>> from sknnopt.penalties import l2_penalty
    >>> w = torch.tensor([[1.0, -2.0, 5.0]], dtype=torch.float64)
    >>> l2_penalty(w, torch.tensor([[0.5, 0.5, 0.0]], dtype=torch.float64))
    tensor([2.5000], dtype=torch.float64)
    """
    return (strength * weights.square()).sum(dim=-1)


def add_l2_gradient(gradient: Tensor, weights: Tensor, strength: Tensor) -> Tensor:
    r"""Add the gradient of the L2 penalty, :math:`2 \lambda_j w_j`.

    Parameters
    ----------
    gradient : Tensor of shape (M, P)
        Gradient of every member; changed in place.
    weights : Tensor of shape (M, P)
        Weights of every member.
    strength : Tensor of shape (M, P)
        Factor of every weight.

    Returns
    -------
    gradient : Tensor of shape (M, P)
        The same tensor.

    Examples
    --------
    >>> import torch
    >>> from sknnopt.penalties import add_l2_gradient
    >>> w = torch.tensor([[1.0, -2.0]], dtype=torch.float64)
    >>> strength = torch.full((1, 2), 0.5, dtype=torch.float64)
    >>> add_l2_gradient(torch.zeros_like(w), w, strength)
    tensor([[ 1., -2.]], dtype=torch.float64)
    """
    return gradient.addcmul_(weights, strength, value=2.0)
