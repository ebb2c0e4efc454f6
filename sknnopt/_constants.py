"""Numbers that are multiplied by in every step, as tensors."""

from __future__ import annotations

import torch
from torch import Tensor


def constant(value: float) -> dict[torch.dtype, Tensor]:
    """Return a number as a tensor of either type.

    Parameters
    ----------
    value : float
        The number.

    Returns
    -------
    dict of torch dtype to Tensor
        On the CPU, without dimensions, for single and double precision. A plain number
        is converted at each call, which costs more than the arithmetic of a small
        network.
    """
    kinds = (torch.float32, torch.float64)
    return {kind: torch.tensor(value, dtype=kind, device="cpu") for kind in kinds}
