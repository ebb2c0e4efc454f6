"""The history of a run: a line for each epoch, joined to columns."""

from __future__ import annotations

import numpy as np

#: The column with what is known of each layer, ``(lines, statistics, layers)``; the
#: last layer is the head.
LAYERS = "layers"
#: Norm of the gradient before clipping, length of the update by that of the weights,
#: share of units that answer 0 to every row, share of outputs near the activation's
#: limits, mean of the outputs, and their variance over the rows (a mean over units).
STATISTICS = (
    "gradient_norm",
    "update_ratio",
    "dead_share",
    "saturated_share",
    "activation_mean",
    "activation_variance",
)
_OF_ALL_LAYERS = frozenset({"gradient_norm", "update_ratio"})
_NOT_FOR_ALL = frozenset({"dead_share", "saturated_share"})


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
            [
                line[name] if name in line else _nothing(name, line, lines)
                for line in lines
            ]
        )
        for name in names
    }


def _nothing(
    name: str, line: dict[str, np.ndarray], lines: list[dict[str, np.ndarray]]
) -> np.ndarray:
    """Return NaN in the place of a column that a line lacks."""
    alike = next(other[name] for other in lines if name in other)
    return np.full((len(line["epoch"]), *alike.shape[1:]), np.nan)


def expanded(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Give each statistic of each layer a column of its own.

    Parameters
    ----------
    columns : dict of ndarray
        A line or columns of a history.

    Returns
    -------
    dict of ndarray of shape (lines,)
        With ``gradient_decay``, the first layer's gradient norm by the last one's, and
        for example ``gradient_norm_0``. Statistics that an activation does not have
        are left out.
    """
    flat = {name: values for name, values in columns.items() if name != LAYERS}
    if LAYERS not in columns:
        return flat
    layers = columns[LAYERS]
    norms = layers[:, STATISTICS.index("gradient_norm")]
    with np.errstate(divide="ignore", invalid="ignore"):
        flat["gradient_decay"] = norms[:, 0] / norms[:, -1]
    for place, name in enumerate(STATISTICS):
        n_layers = norms.shape[1] - (name not in _OF_ALL_LAYERS)
        for layer in range(n_layers):
            values = layers[:, place, layer]
            if name not in _NOT_FOR_ALL or np.isfinite(values).any():
                flat[f"{name}_{layer}"] = values
    return flat
