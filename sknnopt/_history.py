"""The history of a run: a line for each epoch, joined to columns."""

from __future__ import annotations

import numpy as np


def join_lines(lines: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Join the lines of a history to columns.

    Parameters
    ----------
    lines : list of dict of ndarray
        Lines of one or more epochs; what a line lacks is filled with NaN.

    Returns
    -------
    dict of ndarray
        One entry for each member and epoch.
    """
    if len(lines) == 1:
        return dict(lines[0])
    names = list(dict.fromkeys(name for line in lines for name in line))
    return {
        name: np.concatenate(
            [line.get(name, np.full(len(line["epoch"]), np.nan)) for line in lines]
        )
        for name in names
    }
