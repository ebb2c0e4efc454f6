"""Series over the epochs of a history: members together, and layers apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

#: The losses of a history, what is meant first.
LOSSES = {"valid": "valid_loss", "train": "train_loss"}
#: What pictures call them.
LOSS_NAMES = {"valid": "Validation loss", "train": "Training loss"}


def history_frame(history: Any) -> pd.DataFrame:
    """Return a history as a table with a member in each line.

    Parameters
    ----------
    history : DataFrame or mapping of str to array-like
        Columns of one length, ``epoch`` among them; without ``member`` it is the
        history of one network.

    Returns
    -------
    DataFrame
        The table.

    Raises
    ------
    ValueError
        If it has no epochs.
    """
    frame = pd.DataFrame({name: np.asarray(history[name]) for name in history})
    if "epoch" not in frame:
        raise ValueError(
            "The 'history' parameter must have a column 'epoch', as 'history_' of a "
            f"fitted estimator has. Got the columns {sorted(frame)}."
        )
    return frame if "member" in frame else frame.assign(member=0)


def known_epochs(lines: pd.DataFrame, column: str, keys: Sequence[str]) -> pd.DataFrame:
    """Return one column with a line for each epoch and a column for each network.

    Parameters
    ----------
    lines : DataFrame
        A history.
    column : str
        What is wanted of it.
    keys : sequence of str
        Columns that tell networks apart.

    Returns
    -------
    DataFrame
        Of a network that has stopped, its last number goes on.
    """
    # The last line of an epoch: a run continued by warm_start counts anew.
    return lines.pivot_table(
        index="epoch", columns=list(keys), values=column, aggfunc="last"
    ).ffill()


def member_band(history: Any, column: str) -> pd.DataFrame:
    """Return the mean and the ends of what the members have in each epoch.

    Parameters
    ----------
    history : DataFrame or mapping of str to array-like
        As `history_frame` takes it.
    column : str
        One of its columns.

    Returns
    -------
    DataFrame
        Columns ``epoch``, ``mean``, ``low`` and ``high``; a member that has stopped
        counts with its last number.
    """
    table = known_epochs(history_frame(history), column, ["member"])
    parts = {"mean": table.mean(axis=1), "low": table.min(axis=1)}
    return pd.DataFrame({**parts, "high": table.max(axis=1)}).reset_index()


def gradient_flow(history: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradient norms of each layer over the epochs.

    Parameters
    ----------
    history : DataFrame or mapping of str to array-like
        As `history_frame` takes it.

    Returns
    -------
    ndarray of int of shape (n_epochs,)
        The epochs.
    ndarray of shape (n_layers, n_epochs)
        Means over the members that trained in each, the head last.

    Raises
    ------
    ValueError
        If no gradient was recorded.
    """
    frame = history_frame(history)
    names: list[str] = []
    while (name := f"gradient_norm_{len(names)}") in frame:
        names.append(name)
    if not names or frame[names].isna().all(axis=None):
        raise ValueError(
            "The history has no gradient norms of layers ('gradient_norm_0', ...) to "
            f"draw, only {sorted(frame)}. Fit with monitor='light' or monitor='full'."
        )
    lines = frame.groupby(["member", "epoch"])[names].last()
    means = lines.groupby("epoch").mean()
    return means.index.to_numpy(), means.to_numpy().T


def fit_curves(
    histories: Mapping[str, Any], loss: str | None
) -> tuple[pd.DataFrame, str]:
    """Return the mean loss of each fit over the epochs.

    Parameters
    ----------
    histories : mapping of str to history
        As `history_frame` takes them, by the names of the fits.
    loss : {"valid", "train"} or None
        Which loss; None: that of validation if all have recorded it.

    Returns
    -------
    DataFrame
        Columns ``fit``, ``epoch``, ``loss`` and ``is_lowest``, which marks one line
        of each fit. A member that has stopped counts with its last loss.
    str
        Which loss it is.

    Raises
    ------
    ValueError
        If there is no fit, or one has not recorded the loss.
    """
    check_loss(loss)
    frames = {str(name): history_frame(h) for name, h in histories.items()}
    if not frames:
        raise ValueError("The 'fits' parameter must name at least one fit. Got none.")
    for kind in LOSSES if loss is None else [loss]:
        column = LOSSES[kind]
        lacking = [name for name, f in frames.items() if not has_numbers(f, column)]
        if not lacking:
            curves = (_mean_curve(name, f, column) for name, f in frames.items())
            return pd.concat(curves, ignore_index=True), kind
    raise ValueError(
        f"The histories of {lacking} have no {column}. Got loss={loss!r}. Let the "
        "estimators hold rows out (early_stopping=True) to record the loss of "
        "validation, or take loss='train'."
    )


def check_loss(loss: Any) -> None:
    """Refuse a loss that there is not.

    Parameters
    ----------
    loss : {"valid", "train"} or None
        Which loss.

    Raises
    ------
    ValueError
        If it is another.
    """
    if loss not in {None, *LOSSES}:
        raise ValueError(
            f"The 'loss' parameter must be one of {list(LOSSES)}, or None for the "
            f"first of them that was recorded. Got {loss!r} instead."
        )


def has_numbers(frame: pd.DataFrame, column: str) -> bool:
    """Tell whether a table has a column that is not empty."""
    return column in frame and bool(frame[column].notna().any())


def _mean_curve(name: str, frame: pd.DataFrame, column: str) -> pd.DataFrame:
    band = member_band(frame, column)
    curve = {"fit": name, "epoch": band["epoch"], "loss": band["mean"]}
    return pd.DataFrame({**curve, "is_lowest": band.index == band["mean"].idxmin()})
