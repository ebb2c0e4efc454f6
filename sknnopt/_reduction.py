"""Sums over the rows of a batch that do not depend on how far it is padded.

Libraries add up what lies side by side in several partial sums, and where each number
goes depends on how many there are in all: the same rows with zeros behind them have
another sum. Numbers that do not lie side by side are added up in four partial sums
that take turns, so that zeros in fours change nothing.
"""

from __future__ import annotations

from torch import Tensor

#: Up to so many numbers numpy adds up in eight partial sums that take turns, which
#: padding by eights does not change.
LANED = 128


def sum_over_rows(values: Tensor) -> Tensor:
    """Sum over the last axis.

    Parameters
    ----------
    values : Tensor of shape (..., rows)
        Zero at padding; in batches, as many as a multiple of eight.

    Returns
    -------
    Tensor of shape (...,)
        The sums, bit for bit those without eight more rows of padding.

    Examples
    --------
    >>> import torch
    >>> from sknnopt._reduction import sum_over_rows
    >>> sum_over_rows(torch.ones((2, 16), dtype=torch.float64))
    tensor([16., 16.], dtype=torch.float64)
    """
    if values.shape[-1] % 8:
        return values.sum(-1)
    # Two lanes of each fourth of the rows: eight rows are four turns.
    return values.reshape(*values.shape[:-1], -1, 2).sum(-2).sum(-1)
