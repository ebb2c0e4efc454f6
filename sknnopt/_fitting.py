"""From checked data to trained networks: what happens inside one call of ``fit``.

The functions read an estimator's parameters and return plain results; only the
estimator itself writes its own state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from sklearn.utils import check_random_state

from sknnopt._architecture import Architecture, per_layer
from sknnopt._job import Job, Kind, Record, Rows, Table, fresh_slots
from sknnopt._plan import make_kind, make_settings, stops_early
from sknnopt._progress import progress_callbacks
from sknnopt._splits import held_out_rows
from sknnopt._threads import n_torch_threads
from sknnopt._training import MemberNet
from sknnopt.losses import LOSSES

#: New networks, a new run from the weights of the last, or that run continued.
Mode = Literal["new", "warm", "continue"]


@dataclass(frozen=True)
class Data:
    """Checked features, encoded target and weights (None: one each)."""

    X: Any
    target: np.ndarray
    weight: np.ndarray | None = None

    def counted(self) -> np.ndarray:
        """Return the rows that have a weight."""
        if self.weight is None:
            return np.arange(self.X.shape[0])
        counted = np.flatnonzero(self.weight)
        if len(counted) == 0:
            raise ValueError(
                "All rows have weight zero, by sample_weight or by class_weight. At "
                "least one must count."
            )
        return counted

    def rows(self, index: np.ndarray) -> Rows:
        """Return some of the rows for a member."""
        return Rows(index, None if self.weight is None else self.weight[index])


@dataclass(frozen=True)
class Trained:
    """What a training run leaves behind, as plain arrays."""

    kind: Kind
    record: dict[str, np.ndarray]
    lines: list[dict[str, np.ndarray]]


def train(
    estimator: Any,
    architecture: Architecture,
    loss: str,
    data: Data,
    valid: Data | None,
    *,
    mode: Mode,
    record: dict[str, np.ndarray] | None,
    n_epochs: int | None = None,
) -> Trained:
    """Train the networks that ``estimator`` describes.

    Parameters
    ----------
    estimator : estimator
        Whose parameters are read.
    architecture : Architecture
        Shape of the networks.
    loss : str
        Name of the loss.
    data : Data
        Rows to train on.
    valid : Data or None
        The user's own validation rows.
    mode : {"new", "warm", "continue"}
        Where to start.
    record : dict of ndarray or None
        What the run before left; not read where ``mode`` is ``"new"``.
    n_epochs : int or None, default=None
        Epochs of a partial fit, which holds no rows out; None: a whole fit.

    Returns
    -------
    Trained
        Weights and history.
    """
    _check_device(estimator.device)
    # The caller may be in inference mode or under no_grad: neither may reach here.
    with (
        n_torch_threads(estimator.n_threads),
        torch.inference_mode(False),
        torch.enable_grad(),
    ):
        # A run that goes on has its generators: no seed is drawn.
        seeds = [] if mode == "continue" else _seeds(estimator)
        job = _make_job(estimator, architecture, loss, data, valid, seeds, n_epochs)
        if mode == "new" or record is None:
            names, scale = _weight_init(estimator, architecture)
            start = Record.start(job.kind, names, scale, seeds)
        else:
            start = Record.from_arrays(record, job.kind)
            if mode == "warm":
                _restart(start, job.kind, seeds)
        return _run(estimator, job, start)


def _run(estimator: Any, job: Job, record: Record) -> Trained:
    n_epochs = int(job.settings.max_epochs.max())
    verbose = estimator.verbose and job.n_epochs is None
    with progress_callbacks(verbose, n_epochs) as shown:
        callbacks = [*shown, *(estimator.callbacks or [])]
        parameter = job.settings.loss_parameter
        net = MemberNet(job.kind, record, parameter, callbacks or None)
        lines = net.train(job)
    return Trained(job.kind, net.record.to_arrays(), lines)


def _seeds(estimator: Any) -> list[int]:
    random_state = check_random_state(estimator.random_state)
    largest = np.iinfo(np.int32).max
    seeds: list[int] = random_state.randint(largest, size=estimator.n_members).tolist()
    return seeds


def _weight_init(
    estimator: Any, architecture: Architecture
) -> tuple[tuple[str, ...], float]:
    n_layers = len(architecture.sizes) - 1
    names = per_layer("weight_init", estimator.weight_init, n_layers)
    return names, float(estimator.init_scale)


def _restart(record: Record, kind: Kind, seeds: Sequence[int]) -> None:
    """Keep the weights, and let everything else begin anew."""
    record.generators = [np.random.Generator(np.random.PCG64(seed)) for seed in seeds]
    record.slots = fresh_slots(kind, record.weights)
    record.updates[:] = 0
    record.plateau_factor[:] = 1.0
    record.diverged[:] = False
    record.forget_best()


def _make_job(
    estimator: Any,
    architecture: Architecture,
    loss: str,
    data: Data,
    valid: Data | None,
    seeds: Sequence[int],
    n_epochs: int | None,
) -> Job:
    members = int(estimator.n_members)
    counted = data.counted()
    restore_best = n_epochs is None and stops_early(
        estimator.early_stopping, len(counted), is_given=valid is not None
    )
    table = Table(data.X, data.target)
    valid_table, held_out = None, []
    if valid is not None:
        valid_table = Table(valid.X, valid.target)
        held_out = [valid.rows(valid.counted())] * members
        rows = [data.rows(counted)] * members
    elif restore_best:
        valid_table = table
        stratify = loss == "categorical_cross_entropy" or architecture.n_outputs == 1
        pairs = [
            _split(estimator, data, counted, seed, stratify=stratify, loss=loss)
            for seed in seeds
        ]
        rows = [data.rows(train) for train, _ in pairs]
        held_out = [data.rows(valid) for _, valid in pairs]
    else:
        rows = [data.rows(counted)] * members
    kind = make_kind(
        estimator,
        architecture,
        loss,
        n_rows=max(len(r) for r in rows),
        dtype=data.X.dtype,
        restore_best=restore_best,
    )
    return Job(
        kind=kind,
        settings=make_settings(estimator, architecture, loss, members),
        train=table,
        rows=rows,
        valid=valid_table,
        held_out=held_out,
        n_epochs=n_epochs,
    )


def _split(
    estimator: Any,
    data: Data,
    counted: np.ndarray,
    seed: int,
    *,
    stratify: bool,
    loss: str,
) -> tuple[np.ndarray, np.ndarray]:
    is_classification = LOSSES[loss].task == "classification"
    y = data.target[counted]
    if y.shape[1] == 1:
        y = y[:, 0].astype(np.int64) if is_classification else y[:, 0]
    train, valid = held_out_rows(
        estimator.validation_fraction,
        data.X[counted],
        y,
        stratify=stratify and is_classification,
        seed=seed,
    )
    return counted[train], counted[valid]


def _check_device(device: str) -> None:
    try:
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"The 'device' parameter must name a torch device that is available here, "
            f"such as 'cpu' or 'cuda'. Got {device!r} instead: {error}"
        ) from error
