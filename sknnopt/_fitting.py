"""From checked data to trained networks: what happens inside one call of ``fit``.

The functions read an estimator's parameters and return plain results; only the
estimator itself writes its own state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache, partial
from numbers import Integral
from typing import Any, Literal

import numpy as np
import torch
from sklearn.utils import check_random_state

from sknnopt._architecture import Architecture, per_layer
from sknnopt._assembly import Data, make_job
from sknnopt._checkpoint import Checkpoint, data_digest, identity_of
from sknnopt._evidence import facts_of
from sknnopt._fits import Fit
from sknnopt._folds import Folds
from sknnopt._guard import Guard
from sknnopt._interrupts import Interrupt
from sknnopt._job import Job, Kind
from sknnopt._loop import Loop
from sknnopt._network import plain_mode
from sknnopt._progress import progress_callbacks
from sknnopt._record import Record, fresh_slots, make_generators
from sknnopt._sklearn_callbacks import (
    EpochWatch,
    WatchedLoop,
    has_callbacks,
    has_own_callbacks,
)
from sknnopt._snapshot import Snapshot
from sknnopt._spreading import is_worthwhile, train_spread
from sknnopt._tasks import current, exchange, ordinal
from sknnopt._threads import n_cores, n_torch_threads
from sknnopt._training import MemberNet

#: New networks, a new run from the weights of the last, or that run continued.
Mode = Literal["new", "warm", "continue"]


@dataclass(frozen=True)
class Trained:
    """What a training run leaves behind, as plain arrays and numbers."""

    kind: Kind
    record: dict[str, np.ndarray]
    lines: list[dict[str, np.ndarray]]
    loss_parameter: float
    dropouts: tuple[float, ...]
    folds: Folds | None
    facts: dict[str, Any]
    guard: Guard


def train(
    estimator: Any,
    architecture: Architecture,
    loss: str,
    data: Data,
    valid: Data | None,
    *,
    interrupt: Interrupt,
    mode: Mode,
    record: dict[str, np.ndarray] | None,
    fold_seed: int | None = None,
    n_epochs: int | None = None,
    watch: EpochWatch | None = None,
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
    interrupt : Interrupt
        Tells whether the user wants the training to end.
    mode : {"new", "warm", "continue"}
        Where to start.
    record : dict of ndarray or None
        What the run before left; not read where ``mode`` is ``"new"``.
    fold_seed : int or None, default=None
        Seed of the partition that an ensemble's members validate on; None: the first
        member's.
    n_epochs : int or None, default=None
        Epochs of a partial fit, which holds no rows out; None: a whole fit.
    watch : EpochWatch or None, default=None
        Who is told of each epoch, and shown a `Trained` as if it had been the last.

    Returns
    -------
    Trained
        Weights and history.

    Raises
    ------
    KeyboardInterrupt
        If ``interrupt`` was noted before anything was trained.
    """
    check_device(estimator.device)
    with (
        threads_of(estimator),
        plain_mode(estimator.device, gradient=False),
    ):
        checkpoint = None
        if n_epochs is None:
            checkpoint = _checkpoint(estimator, record if mode == "warm" else None)
        # A run that goes on has its generators: no seed is drawn.
        seeds = () if mode == "continue" else _seeds(estimator)
        if checkpoint is not None and checkpoint.seeds is not None:
            seeds = tuple(checkpoint.seeds)
        if fold_seed is None:
            fold_seed = seeds[0] if seeds else 0
        job = make_job(estimator, architecture, loss, data, valid, fold_seed, n_epochs)
        if mode == "new" or record is None:
            names, scale = _weight_init(estimator, architecture)
            start = partial(Record.start, job.kind, names, scale, seeds)
        else:
            start = partial(_resume, job.kind, record, mode, seeds)
        facts = facts_of(
            job,
            data.X,
            data.target,
            is_given_valid=valid is not None,
            is_scaled=bool(estimator.scale_inputs),
        )
        whole = None
        if checkpoint is not None:
            whole = _begin(checkpoint, job, start, seeds)
        if interrupt.is_requested:
            raise KeyboardInterrupt
        guard = Guard(interrupt, checkpoint, whole)
        trained = partial(_trained, job, fold_seed, facts, guard)
        return _run(estimator, job, start, guard, trained, watch)


def _checkpoint(
    estimator: Any, record: dict[str, np.ndarray] | None
) -> Checkpoint | None:
    """Return the file of this fit, if it has one of its own."""
    # Fits that train together are a search's: its study keeps what is finished.
    if estimator.checkpoint is None or is_gathered(estimator):
        return None
    if estimator.callbacks or has_own_callbacks(estimator):
        raise ValueError(
            f"The 'checkpoint' parameter is {str(estimator.checkpoint)!r}, and the fit "
            "has callbacks. A run with callbacks cannot be gone on with bit for bit, "
            "as a checkpoint knows nothing of their state. Leave out one of the two."
        )
    identity = identity_of(estimator, record)
    return Checkpoint(estimator.checkpoint, estimator.checkpoint_seconds, identity)


def _begin(
    checkpoint: Checkpoint,
    job: Job,
    start: Callable[[], Record],
    seeds: tuple[int, ...],
) -> Snapshot:
    """Return where the run begins or goes on, once it is clear that it can be kept."""
    resumed = checkpoint.begin(seeds, data_digest(job), job.kind)
    whole = resumed or Snapshot.start(job, start())
    checkpoint.try_writing(job, whole)
    return whole


def _run(
    estimator: Any,
    job: Job,
    start: Callable[[], Record],
    guard: Guard,
    trained: Callable[..., Trained],
    watch: EpochWatch | None,
) -> Trained:
    if is_gathered(estimator):
        fit = Fit(job, start, bool(estimator.verbose), ordinal())
        arrays, history = exchange(fit, fit.n_bytes)
        return trained(arrays, [history])
    if _may_spread(estimator, job) and is_worthwhile(job, _n_workers(estimator)):
        arrays, history = train_spread(job, start, _n_workers(estimator), guard)
        return trained(arrays, [history])
    kind = Loop if watch is None else partial(WatchedLoop, watch, trained)
    make_loop = partial(kind, guard=guard.of(np.arange(len(job))))
    record, lines = _train_alone(estimator, job, start(), make_loop)
    return trained(record.to_arrays(), lines)


def _trained(
    job: Job,
    fold_seed: int,
    facts: dict[str, Any],
    guard: Guard,
    arrays: dict[str, np.ndarray],
    lines: list[dict[str, np.ndarray]],
) -> Trained:
    folds = None
    is_own = bool(job.held_out) and job.held_out[0].table is job.rows[0].table
    if len(job) > 1 and is_own:
        folds = Folds(fold_seed, [rows.index for rows in job.rows])
    parameter = float(job.settings.loss_parameter[0])
    dropouts = tuple(job.settings.dropout[0].tolist())
    return Trained(job.kind, arrays, lines, parameter, dropouts, folds, facts, guard)


def draw_networks(estimator: Any, kind: Kind) -> Record:
    """Draw the networks that an estimator's fit would begin with.

    Parameters
    ----------
    estimator : estimator
        Whose parameters are read.
    kind : Kind
        What the networks share.

    Returns
    -------
    Record
        Before the first step.
    """
    names, scale = _weight_init(estimator, kind.architecture)
    return Record.start(kind, names, scale, _seeds(estimator))


def threads_of(estimator: Any) -> AbstractContextManager[None]:
    """Return the context in which an estimator computes.

    Parameters
    ----------
    estimator : estimator
        Whose ``n_threads`` is read.

    Returns
    -------
    context manager
        It sets the number of threads, and brings back the one it found.
    """
    # Fits that train together have no threads of their own.
    if is_gathered(estimator):
        return n_torch_threads(None)
    # Threads of libraries wait for each other, which on a machine with other work can
    # take many times as long as the work itself: they are for who asks for them.
    return n_torch_threads(1 if estimator.n_threads is None else estimator.n_threads)


def _may_spread(estimator: Any, job: Job) -> bool:
    """Tell whether nobody looks on who must see all members at once."""
    is_watched = estimator.callbacks or estimator.verbose or has_callbacks(estimator)
    return job.kind.device == "cpu" and not is_watched and job.n_epochs is None


def _n_workers(estimator: Any) -> int:
    return int(n_cores() if estimator.n_threads is None else estimator.n_threads)


def is_gathered(estimator: Any) -> bool:
    """Tell whether the fit hands its training over, to train beside others.

    A fit with callbacks trains alone: they see, and may change, their own network. So
    does one on a GPU. Callbacks that a meta-estimator hands down are there for all of
    its fits, which may train together.

    Parameters
    ----------
    estimator : estimator
        Whose fit it is.

    Returns
    -------
    bool
        False outside of the tasks of a gathering backend.
    """
    if current() is None or estimator.callbacks or has_own_callbacks(estimator):
        return False
    return str(estimator.device).partition(":")[0] == "cpu"


def _train_alone(
    estimator: Any, job: Job, record: Record, make_loop: Callable[..., Loop]
) -> tuple[Record, list[dict[str, np.ndarray]]]:
    n_epochs = int(job.settings.max_epochs.max())
    verbose = estimator.verbose and job.n_epochs is None
    with progress_callbacks(verbose, n_epochs) as shown:
        callbacks = [*shown, *(estimator.callbacks or [])]
        parameter = job.settings.loss_parameter
        net = MemberNet(job.kind, record, parameter, callbacks or None)
        lines = net.train(job, make_loop)
    return net.record, lines


def _seeds(estimator: Any) -> tuple[int, ...]:
    state = estimator.random_state
    is_number = isinstance(state, Integral)
    # In a search it is the same for all fits, and a generator takes its time to make.
    return (_same_seeds if is_number else _draw_seeds)(state, int(estimator.n_members))


def _draw_seeds(random_state: Any, members: int) -> tuple[int, ...]:
    largest = np.iinfo(np.int32).max
    drawn = check_random_state(random_state).randint(largest, size=members)
    return tuple(drawn.tolist())


_same_seeds = lru_cache(maxsize=16)(_draw_seeds)


def _weight_init(
    estimator: Any, architecture: Architecture
) -> tuple[tuple[str, ...], float]:
    n_layers = len(architecture.sizes) - 1
    names = per_layer("weight_init", estimator.weight_init, n_layers)
    return names, float(estimator.init_scale)


def _resume(
    kind: Kind, arrays: dict[str, np.ndarray], mode: Mode, seeds: Sequence[int]
) -> Record:
    """Go on with a run, or begin a new one with its weights."""
    record = Record.from_arrays(arrays, kind)
    record.diverged[:] = False
    if mode == "warm":
        record.generators = make_generators(seeds)
        record.slots = fresh_slots(kind, record.weights)
        record.run_epochs[:] = 0
        record.plateau_factor[:] = 1.0
        record.forget_best()
    return record


def check_device(device: str) -> None:
    """Refuse a device that is not there.

    Parameters
    ----------
    device : str
        As torch names it.

    Raises
    ------
    ValueError
        If no tensor can be put on it.
    """
    if device == "cpu":
        return
    try:
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        raise ValueError(
            f"The 'device' parameter must name a torch device that is available here, "
            f"such as 'cpu' or 'cuda'. Got {device!r} instead: {error}"
        ) from error
