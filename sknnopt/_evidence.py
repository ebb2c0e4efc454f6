"""What a run has left to judge it by, in plain arrays: means over its members."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
import torch

from sknnopt._architecture import Architecture
from sknnopt._feed import some_rows
from sknnopt._history import LAYERS, STATISTICS
from sknnopt._job import Job, Kind
from sknnopt._layout import Layout
from sknnopt.losses import LOSSES

#: Rows that stand for a table.
_N_ROWS = 1000
#: Relative difference between the weights of units that counts as none.
_EQUAL = 1e-5


@dataclass(frozen=True)
class Run:
    """A training run, or networks before their first step.

    Parameters
    ----------
    parameters : mapping of str to object
        The estimator's.
    facts : mapping of str to object
        What ``fit`` noted of the rows and of what ``"auto"`` stood for.
    architecture : Architecture
        Shape of the networks.
    columns : mapping of str to ndarray of shape (epochs,)
        The history; ``layers`` has a statistic and a layer besides.
    initial : ndarray of shape (statistics, layers)
        What the first step found.
    weights : ndarray of shape (members, columns)
        The networks as they are now.
    n_epochs : int, default=0
        Epochs done.
    n_diverged : int, default=0
        Networks that diverged.
    cut_share : float, default=1.0
        Share of the networks that trained in the last epoch.
    """

    parameters: Mapping[str, Any]
    facts: Mapping[str, Any]
    architecture: Architecture
    columns: Mapping[str, np.ndarray]
    initial: np.ndarray
    weights: np.ndarray
    n_epochs: int = 0
    n_diverged: int = 0
    cut_share: float = 1.0

    @property
    def layers(self) -> tuple[int, ...]:
        """The hidden layers."""
        return tuple(range(len(self.architecture.hidden)))

    @property
    def span(self) -> tuple[int, int] | None:
        """First and last epoch; None before the first step."""
        return (1, self.n_epochs) if self.n_epochs else None

    @property
    def n_members(self) -> int:
        """How many networks there are."""
        return len(self.weights)

    def column(self, name: str) -> np.ndarray:
        """Return a column by epoch; NaN where the history has none."""
        nothing = np.full(self.n_epochs, np.nan)
        found: np.ndarray = self.columns.get(name, nothing)
        return found

    def of_layers(self, name: str) -> np.ndarray:
        """Return a statistic, ``(epochs, layers)``."""
        if LAYERS not in self.columns:
            n_layers = len(self.layers) + 1
            return np.full((self.n_epochs, n_layers), np.nan)
        found: np.ndarray = self.columns[LAYERS][:, STATISTICS.index(name)]
        return found

    def first(self, name: str) -> np.ndarray:
        """Return a statistic of the networks as they were drawn, ``(layers,)``."""
        found: np.ndarray = self.initial[STATISTICS.index(name)]
        return found

    @cached_property
    def constant_loss(self) -> float:
        """Loss of the best constant response; the first one's, if that is unknown."""
        level = self.facts.get("constant_loss")
        if level is not None:
            return float(level)
        known = self.known("train_loss")
        return float(known[0]) if len(known) else 1.0

    def known(self, name: str) -> np.ndarray:
        """Return the numbers of a column that are finite."""
        values = self.column(name)
        return values[np.isfinite(values)]

    @cached_property
    def step(self) -> float:
        """Typical length of an update by that of the weights, in the second half."""
        return _geometric_mean(self.of_layers("update_ratio")[self.n_epochs // 2 :])

    @cached_property
    def early_step(self) -> float:
        """The same in the first half, before a schedule has lowered the rate much."""
        half = (self.n_epochs + 1) // 2
        return _geometric_mean(self.of_layers("update_ratio")[:half])

    @cached_property
    def roughness(self) -> float:
        """Mean change of the training loss between epochs, by its level, likewise."""
        losses = self.column("train_loss")[self.n_epochs // 2 :]
        if len(losses) < 2:
            return np.nan
        return float(np.abs(np.diff(losses)).mean() / losses.mean())

    @cached_property
    def progress(self) -> float:
        """Share of the constant response's loss that training took off."""
        known = self.known("train_loss")
        return float(1 - known.min() / self.constant_loss) if len(known) else np.nan

    @property
    def quarter(self) -> int:
        """Epochs of a quarter of the run, at least one."""
        return max(1, self.n_epochs // 4)

    @cached_property
    def gain_at_end(self) -> float:
        """What the last quarter of epochs gained, by the constant response's loss.

        Of the networks that were there to the end, and of the validation loss where
        there is one: a falling training loss alone is no reason to go on.
        """
        losses = self.column("lasting_loss")
        quarter = self.quarter
        before, after = losses[-2 * quarter : -quarter], losses[-quarter:]
        if not len(before):
            before = losses[:1]
        return float((before.mean() - after.mean()) / self.constant_loss)

    @property
    def is_validated(self) -> bool:
        """Whether every epoch has a validation loss."""
        return bool(np.isfinite(self.column("valid_loss")).all())

    @cached_property
    def scatter_at_end(self) -> float:
        """How much that loss changes from epoch to epoch, in the same epochs."""
        changes = np.diff(self.column("lasting_loss")[-2 * self.quarter :])
        return float(np.abs(changes).mean() / self.constant_loss)

    @cached_property
    def layer_sizes(self) -> np.ndarray:
        """Numbers of each layer that are trained."""
        sizes = np.zeros(len(self.layers) + 1)
        for segment in Layout.of(self.architecture).trained:
            sizes[segment.layer] += prod(segment.shape)
        return sizes

    @cached_property
    def alike_layers(self) -> tuple[int, ...]:
        """Hidden layers in which all units of a network are the same."""
        layout = Layout.of(self.architecture)
        found = []
        for segment in layout.of_kind("weight")[:-1]:
            if segment.shape[1] < 2:
                continue
            weights = self.weights[:, segment.columns].reshape(-1, *segment.shape)
            spread = np.ptp(weights, axis=2).max(axis=1)
            largest = np.abs(weights).max(axis=(1, 2))
            if (spread <= _EQUAL * largest).any():
                found.append(segment.layer)
        return tuple(found)


def _geometric_mean(values: np.ndarray) -> float:
    """Average what is known and positive; NaN of nothing."""
    known = values[np.isfinite(values) & (values > 0)]
    return float(np.exp(np.log(known).mean())) if len(known) else np.nan


def means_by_epoch(history: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Average a history over the members that were alive in each epoch.

    Parameters
    ----------
    history : mapping of str to ndarray of shape (lines, ...)
        One line for each member and epoch.

    Returns
    -------
    dict of ndarray of shape (epochs, ...)
        ``epoch`` ascends; ``member`` is gone. ``lasting_loss`` is the validation loss,
        or without one the training loss, of the members that trained to the end.
    """
    means = _means(history)
    is_last = history["epoch"] == history["epoch"].max()
    lasting = np.isin(history["member"], history["member"][is_last])
    valid = history.get("valid_loss")
    is_known = valid is not None and np.isfinite(valid).all()
    loss = history["valid_loss" if is_known else "train_loss"]
    own = {"epoch": history["epoch"][lasting], "loss": loss[lasting]}
    means["lasting_loss"] = _means(own)["loss"]
    return means


def _means(history: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    epochs, places = np.unique(history["epoch"], return_inverse=True)
    means: dict[str, np.ndarray] = {"epoch": epochs}
    counts = np.bincount(places)
    for name, values in history.items():
        if name in ("member", "epoch"):
            continue
        sums = np.zeros((len(epochs), *values.shape[1:]))
        np.add.at(sums, places, values)
        means[name] = sums / counts.reshape(-1, *[1] * (values.ndim - 1))
    return means


def facts_of(
    job: Job, X: Any, target: np.ndarray, *, is_given_valid: bool, is_scaled: bool
) -> dict[str, Any]:
    """Note what a diagnosis asks of rows and settings, while they are at hand.

    Parameters
    ----------
    job : Job
        What is trained.
    X : ndarray or sparse matrix of shape (n_rows, n_columns)
        What the networks see.
    target : ndarray of shape (n_rows, n_targets)
        As the loss reads it.
    is_given_valid : bool
        Whether the validation rows are the user's own.
    is_scaled : bool
        Whether the inputs are standardized: they then need no look.

    Returns
    -------
    dict
        Plain numbers.
    """
    kind, settings = job.kind, job.settings
    counts = _class_counts(kind, target)
    patience = settings.patience[0]
    return {
        "task": LOSSES[kind.loss].task,
        "n_rows": len(job.rows[0]),
        "n_valid": len(job.held_out[0]) if job.held_out else 0,
        "is_given_valid": is_given_valid,
        "restores_best": kind.restore_best,
        "learning_rate": float(settings.learning_rate[0]),
        "max_epochs": int(settings.max_epochs[0]),
        "patience": int(patience) if np.isfinite(patience) else None,
        "tol": float(settings.tol[0]),
        "dropout": settings.dropout[0].tolist(),
        "penalty": float(max(settings.l1[0].max(), settings.l2[0].max())),
        "weight_decay": float(settings.weight_decay[0]),
        "class_counts": counts,
        "constant_loss": _constant_loss(job, target, counts),
        "inputs": None if is_scaled else input_ranges(X),
    }


def _class_counts(kind: Kind, target: np.ndarray) -> list[int] | None:
    """Count the rows of each class; None for numbers and for several labels."""
    if LOSSES[kind.loss].task != "classification" or target.shape[1] != 1:
        return None
    n_outputs = kind.architecture.n_outputs
    if n_outputs == 1:  # an indicator, in the type of training
        n_ones = int(np.count_nonzero(target))
        return [len(target) - n_ones, n_ones]
    counts: list[int] = np.bincount(target[:, 0], minlength=n_outputs).tolist()
    return counts


def _constant_loss(
    job: Job, target: np.ndarray, counts: list[int] | None
) -> float | None:
    """Return the loss of the best constant response; None where that is not known."""
    if counts is not None:
        shares = np.array(counts) / sum(counts)
        return float(-np.sum(shares * np.log(np.maximum(shares, 1e-12))))
    loss = LOSSES[job.kind.loss]
    if loss.task != "regression":
        return None
    # Targets are standardized: 0 stands for their mean.
    # Explicit device: the user may have set another default.
    of_type: dict[str, Any] = {"dtype": torch.float64, "device": "cpu"}
    values = torch.tensor(some_rows(target, _N_ROWS), **of_type)[None]
    parameter = torch.tensor(job.settings.loss_parameter[:1], **of_type)[:, None, None]
    losses = loss.make(torch.zeros_like(values), values, parameter)
    return float(losses.mean())


def input_ranges(X: Any) -> dict[str, float]:
    """Describe how unlike the columns of a table are.

    Parameters
    ----------
    X : ndarray or sparse matrix of shape (n_rows, n_columns)
        What the networks see; of many rows a part at equal steps is looked at.

    Returns
    -------
    dict of str to float
        Least and greatest standard deviation of the columns that vary, and the largest
        absolute mean.
    """
    dense = some_rows(X, _N_ROWS).astype(float)
    with np.errstate(over="ignore", invalid="ignore"):  # any finite numbers may come
        deviations = dense.std(axis=0)
    varying = deviations[deviations > 0]
    if not len(varying):
        return {"least": 1.0, "greatest": 1.0, "mean": 0.0}
    return {
        "least": float(varying.min()),
        "greatest": float(varying.max()),
        "mean": float(np.abs(dense.mean(axis=0)).max()),
    }
