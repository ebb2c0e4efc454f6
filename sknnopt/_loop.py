"""The training loop: epochs of updates for a batch of networks.

Each member stops for itself, by its own patience or number of epochs or because its
numbers are no longer finite, and then leaves the batch; the others go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from sknnopt._clipper import Clipper
from sknnopt._feed import Batch, Chunk, Epochs, rows_at_once
from sknnopt._history import join_lines
from sknnopt._job import Job
from sknnopt._layout import spread
from sknnopt._members import Updates
from sknnopt._monitoring import Monitor
from sknnopt._network import MemberNetwork
from sknnopt._propagation import Propagation
from sknnopt._rates import adapt_to_plateau, rates_of_steps
from sknnopt._record import Record
from sknnopt._reduction import sum_over_rows
from sknnopt._scores import Evaluation
from sknnopt._snapshot import RunGuard, Snapshot
from sknnopt.losses import LOSSES
from sknnopt.penalties import (
    add_l1_gradient,
    add_l2_gradient,
    l1_penalty,
    l2_penalty,
)

#: Rows whose losses are computed at once. Larger tensors are given back to the system
#: and taken anew each time, which costs more than the arithmetic.
_BLOCK = 1 << 13


class CancelledError(Exception):
    """Training ended because nobody waits for it any more."""


class BatchHooks(Protocol):
    """What may be called in every step."""

    def begin(self, batch: Batch) -> None:
        """Before the forward pass."""

    def gradient(self, gradient: Tensor, batch: Batch) -> None:
        """After the gradient is complete, before it is clipped; may change it."""

    def end(self, batch: Batch, raw: Tensor, loss: Tensor) -> None:
        """After the update, with each member's mean loss."""


class Loop:
    """Train the members of a job, epoch by epoch.

    Parameters
    ----------
    job : Job
        What to train.
    record : Record
        Where the run stands; what becomes of it is written back by :meth:`settle`
        when a member ends.
    hooks : BatchHooks or None, default=None
        Called in every step; None costs nothing.
    is_cancelled : callable or None, default=None
        Asked before every step; where it says True, training ends with
        :class:`CancelledError`.
    guard : RunGuard or None, default=None
        Who says where to go on, hears of epochs, and may end the run.

    Notes
    -----
    Autograd is not needed, and should be off: gradients come from
    :class:`~sknnopt._propagation.Propagation`.
    """

    def __init__(
        self,
        job: Job,
        record: Record,
        hooks: BatchHooks | None = None,
        is_cancelled: Callable[[], bool] | None = None,
        guard: RunGuard | None = None,
    ) -> None:
        self.hooks, self._is_cancelled, self._guard = hooks, is_cancelled, guard
        resumed = None if guard is None else guard.resumed()
        begun = resumed or Snapshot.start(job, record)
        self._whole = begun.record
        self.live = np.flatnonzero(begun.is_live)
        self._has_left = np.zeros(len(job), dtype=bool)
        self._last_epoch = begun.last_epoch[self.live]
        self._begun = time.monotonic() - begun.seconds.max()
        # Whoever leaves: products are rounded otherwise in batches of another size.
        self._batch_size = rows_at_once(job)
        #: One dict of ``(members,)`` arrays an epoch; of those before a resumption
        #: the columns.
        self.history = [begun.history] if begun.history else []
        self.kind = job.kind
        if begun.is_live.all():
            self._attach(job, self._whole.padded(job.kind))
        elif len(self.live):
            living = self._whole.take(self.live).padded(job.kind)
            self._attach(job.take(self.live), living)

    def _attach(self, job: Job, record: Record) -> None:
        """Lay out the tensors that steps work on, for the members that live."""
        self.job, self.kind, self.record = job, job.kind, record
        architecture, self.layout = job.kind.architecture, job.kind.layout
        activations = [kind.architecture.activations for kind in job.member_kinds]
        self.trained = record.weights[:, : self.layout.n_trained]
        self.gradient = torch.zeros_like(
            self.trained, memory_format=torch.contiguous_format
        )
        self._before = torch.empty_like(record.weights)
        self._raw: dict[int, Tensor] = {}
        self._module: MemberNetwork | None = None
        self.epochs = Epochs(
            job, batch_size=self._batch_size, reuses=self.hooks is None
        )
        self._passes = Propagation(
            architecture,
            self.layout,
            record.weights,
            self.gradient,
            self.epochs.padded_size,
            activations,
        )
        self._loss = LOSSES[job.kind.loss]
        self._parameter = self._tensor(job.settings.loss_parameter)[:, None, None]
        self._held_out = (
            Evaluation(job.kind, job.held_out, self._parameter, activations)
            if job.held_out
            else None
        )
        self._trained_on: Evaluation | None = None
        if job.kind.monitor == "full":
            self._trained_on = Evaluation(
                job.kind, job.rows, self._parameter, activations
            )
        self._monitor = Monitor(
            job,
            self.layout,
            self.epochs.rows_of_step,
            record.initial,
            gradient=self.gradient,
            weights=self.trained,
            outputs=self._passes.activations,
        )
        self._clip = Clipper(job.kind, job.settings, self.layout)
        self._read_settings()

    @property
    def module(self) -> MemberNetwork:
        """The living members as a torch module, whose parameters are their weights."""
        if self._module is None:
            self._module = MemberNetwork(
                self.kind.architecture, self.record.weights, self.layout
            )
        return self._module

    def _read_settings(self) -> None:
        """Turn the settings into tensors that broadcast over the flat weights."""
        settings = self.job.settings
        self._l1 = self._strength(settings.l1)
        self._l2 = self._strength(settings.l2)
        n_layers = len(self.kind.architecture.sizes) - 1
        decay = np.repeat(settings.weight_decay[:, None], n_layers, axis=1)
        self._updates = Updates(
            [kind.optimizer for kind in self.job.member_kinds],
            self.record.slots,
            weights=self.trained,
            gradient=self.gradient,
            momentum=self._tensor(settings.momentum)[:, None],
            weight_decay=self._strength(decay),
            nesterov=self.kind.nesterov,
        )

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.tensor(array, dtype=self.kind.torch_dtype, device=self.kind.device)

    def _positions(self, mask: np.ndarray) -> Tensor:
        # Explicit device: the user may have set another default.
        return torch.from_numpy(np.flatnonzero(mask)).to(self.kind.device)

    def _strength(self, values: np.ndarray) -> Tensor | None:
        if not values.any():
            return None
        # A row that all members share is one in memory, and stays near the processor.
        is_shared = (values == values[0]).all()
        rows = self._tensor(spread(self.layout, values[:1] if is_shared else values))
        return rows.expand(len(values), -1)

    def epoch(self, *, at_once: bool = True) -> dict[str, np.ndarray]:
        """Train every living member for one epoch and measure it.

        Parameters
        ----------
        at_once : bool, default=True
            Whether the line is whole when this returns. Else what is known of layers
            is written into it some epochs later, which takes less time: before any
            member leaves, and in :meth:`standing`, at the latest.

        Returns
        -------
        dict of ndarray of shape (members,)
            The epoch's line of history.

        Raises
        ------
        CancelledError
            If ``is_cancelled`` said so.
        """
        epochs = self.epochs
        self._before.copy_(self.record.weights)
        self._monitor.begin(self.record.epochs == 0)
        rates = rates_of_steps(
            self.record, self.job.settings, self.kind.lr_schedule, epochs.n_steps
        )
        of_step = self._tensor(rates[..., None]).unbind(0)
        totals = []
        for chunk in epochs(self.record.generators):
            totals.append(self._train_on(chunk, of_step))
            if self._is_late().all():
                break
        self.record.epochs += 1
        self.record.run_epochs += 1
        # Added up one after another, as for a member alone: padding adds zeros.
        means = np.concatenate(totals)
        n_rows = epochs.rows_of_step[: len(means)]
        loss = np.cumsum(means * n_rows, axis=0)[-1] / n_rows.sum(axis=0)
        if at_once:
            self._monitor.read()
        last = np.clip(epochs.n_steps, 1, len(means)) - 1
        return self._measured(loss, rates[last, np.arange(len(last))])

    def _is_late(self) -> np.ndarray:
        """Tell which members have used up their time, or all if they shall end."""
        if self._guard is not None and self._guard.is_interrupted():
            return np.ones(len(self.live), dtype=bool)
        late: np.ndarray = (
            time.monotonic() - self._begun >= self.job.settings.max_seconds
        )
        return late

    def _train_on(self, chunk: Chunk, rates: Sequence[Tensor]) -> np.ndarray:
        """Do the updates of a chunk; return each step's mean loss, (steps, members)."""
        raw = self._raw_outputs(len(chunk.scale))
        steps = zip(chunk.batches(), self._prepared(chunk), raw.unbind(0), strict=True)
        for step, (batch, target, raw_of_step) in enumerate(steps, chunk.first):
            if self._is_cancelled is not None and self._is_cancelled():
                raise CancelledError
            self._step(step, batch, target, rates[step], raw_of_step)
        means = []
        for parts in zip(
            *(self._blocks(t) for t in (raw, chunk.target, chunk.scale)), strict=True
        ):
            losses = self._loss.make(parts[0], parts[1], self._parameter)
            means.append(sum_over_rows(losses * parts[2][..., 0]))
        return torch.cat(means).cpu().numpy().astype(np.float64)

    def _raw_outputs(self, n_steps: int) -> Tensor:
        """Return a place for the raw outputs of a chunk, used again unless shown."""
        if n_steps in self._raw:
            return self._raw[n_steps]
        shape = n_steps, len(self.live), self.epochs.padded_size
        raw = self.gradient.new_empty((*shape, self.kind.architecture.n_outputs))
        if self.hooks is None:
            self._raw[n_steps] = raw
        return raw

    def _prepared(self, chunk: Chunk) -> list[Tensor]:
        """Return the targets of each step as the loss's gradient reads them."""
        return [
            target
            for part in self._blocks(chunk.target)
            for target in self._loss.prepare(part, self._parameter).unbind(0)
        ]

    def _blocks(self, steps: Tensor) -> Sequence[Tensor]:
        """Cut what belongs to the steps of a chunk into small tensors."""
        numbers = len(self.live) * self.epochs.padded_size
        return torch.split(steps, max(1, _BLOCK // numbers))

    def _step(
        self, step: int, batch: Batch, prepared: Tensor, rate: Tensor, raw: Tensor
    ) -> None:
        """Do one update; leave the raw outputs in ``raw``."""
        hooks = self.hooks
        if hooks is not None:
            hooks.begin(batch)
        raw.copy_(self._passes.forward(batch.X, batch.masks, batch.weight))
        if (padding := self.epochs.padding(step)) is not None:
            # Out of anyone's control they may overflow, and infinity times zero is NaN.
            raw.masked_fill_(padding, 0.0)
        slope = self._loss.gradient(raw, prepared, self._parameter)
        self._passes.backward(slope, batch.scale)
        if self._l1 is not None:
            add_l1_gradient(self.gradient, self.trained, self._l1)
        if self._l2 is not None:
            add_l2_gradient(self.gradient, self.trained, self._l2)
        if hooks is not None:
            hooks.gradient(self.gradient, batch)
        self._move(step, rate)
        if hooks is not None:
            losses = self._loss.make(raw, batch.target, self._parameter)
            hooks.end(batch, raw, sum_over_rows(losses * batch.scale[..., 0]))

    def _move(self, step: int, rate: Tensor) -> None:
        """Clip the gradient and update the weights; look on, where that is asked."""
        if is_read := self._monitor.wants(step):
            self._monitor.before(step)
        self._clip(self.gradient)
        self._update(step, rate)
        if is_read:
            self._monitor.after(step)

    def _update(self, step: int, rate: Tensor) -> None:
        if step < self.epochs.n_common_steps:
            self._updates(rate)
            return
        # Some members have no row left in this epoch: the others' update alone.
        busy = torch.from_numpy(self.epochs.n_steps > step)
        self._updates.of_some(busy.to(self.gradient.device), rate)

    def _measured(self, loss: np.ndarray, rate: np.ndarray) -> dict[str, np.ndarray]:
        line = {
            "member": self.live,
            "epoch": self.record.epochs.copy(),
            "train_loss": loss,
            "learning_rate": rate,
        }
        if self._l1 is not None or self._l2 is not None:
            line["penalty"] = self._penalty()
        weights = self.record.weights
        if self._trained_on is not None:
            line["train_score"] = self._trained_on(weights)[1]
        if self._held_out is not None:
            line["valid_loss"], line["valid_score"] = self._held_out(weights)
        line.update(self._monitor.columns())
        line.update(self._clip.columns(self.epochs.n_steps))
        self.history.append(line)
        return line

    def _penalty(self) -> np.ndarray:
        total = np.zeros(len(self.live))
        if self._l1 is not None:
            total += l1_penalty(self.trained, self._l1).cpu().numpy()
        if self._l2 is not None:
            total += l2_penalty(self.trained, self._l2).cpu().numpy()
        return total

    def settle(self, line: dict[str, np.ndarray], stop_all: bool = False) -> bool:
        """Judge the epoch: keep what is best, let members go that have ended.

        Parameters
        ----------
        line : dict
            What :meth:`epoch` returned.
        stop_all : bool, default=False
            Whether a callback asked for the end.

        Returns
        -------
        bool
            Whether any member goes on.
        """
        record, settings = self.record, self.job.settings
        if self.kind.restore_best:
            monitored = line["valid_loss"]
        else:
            monitored = line["train_loss"] + line.get("penalty", 0.0)
        diverged = self._return_diverged(line)
        better = record.note_best(monitored, settings.tol, diverged)
        if self.kind.restore_best and better.any():
            where = self._positions(better)
            record.best_weights[where] = record.weights[where]
        adapt_to_plateau(record, settings, self.kind.lr_schedule, monitored)
        ended = diverged | (record.stale >= settings.patience)
        ended |= (record.epochs >= self._last_epoch) | self._is_late() | stop_all
        self._release(ended)
        if self._guard is not None and not ended.all():
            self._guard.epoch_done(self.standing)
        return not ended.all()

    def _return_diverged(self, line: dict[str, np.ndarray]) -> np.ndarray:
        """Take members with a number that is not finite back to before the epoch."""
        finite = torch.isfinite(self.record.weights).all(1).cpu().numpy()
        finite &= np.isfinite(line["train_loss"])
        finite &= np.isfinite(line.get("valid_loss", 0.0))
        if not finite.all():
            where = self._positions(~finite)
            self.record.weights[where] = self._before[where]
            self._updates.forget(torch.from_numpy(~finite).to(where.device))
            self.record.diverged = self.record.diverged | ~finite
        return ~finite

    def _release(self, ended: np.ndarray) -> None:
        """Write the state of the ended members back and go on without them."""
        if not ended.any():
            return
        self._monitor.read()
        gone, left = np.flatnonzero(ended), np.flatnonzero(~ended)
        self._whole.put(self.live[gone], self.record.take(gone).compact(self.kind))
        if len(left):
            self.live, self._last_epoch = self.live[left], self._last_epoch[left]
            self._attach(self.job.take(left), self.record.take(left))

    def leave(self, members: np.ndarray, *, at_best: bool = False) -> bool:
        """Let members go before their end.

        Parameters
        ----------
        members : ndarray of int
            Those of them that have ended by themselves are left alone.
        at_best : bool, default=False
            Whether they return to their best, where that is kept, as all do that end
            by themselves. Else they stay as they are.

        Returns
        -------
        bool
            Whether any member goes on.
        """
        ended = np.isin(self.live, members)
        if not at_best:
            self._has_left[self.live[ended]] = True
            self.record.best_epoch[ended] = self.record.epochs[ended]
        self._release(ended)
        return not ended.all()

    def standing(self) -> Snapshot:
        """Return a copy of where the run stands, between two epochs."""
        self._monitor.read()
        members = np.arange(len(self._whole.epochs))
        whole = self._whole.take(members)
        whole.put(self.live, self.record.compact(self.kind))
        # They are the same objects in all records that are taken.
        whole.generators = deepcopy(whole.generators)
        last_epoch = self._whole.epochs.copy()
        last_epoch[self.live] = self._last_epoch
        return Snapshot(
            whole,
            is_live=np.isin(members, self.live),
            last_epoch=last_epoch,
            seconds=np.full(len(members), time.monotonic() - self._begun),
            history=join_lines(self.history),
        )

    @property
    def diverged(self) -> np.ndarray:
        """Tell of all members whether they have ended as their numbers were lost."""
        return self._whole.diverged

    def result(self) -> Record:
        """Return all members' state, each at its best where that was kept."""
        return self._at_best(self._whole)

    def _at_best(self, record: Record) -> Record:
        """Take all members of ``record`` that have not left back to their best."""
        if self.kind.restore_best:
            back = self._positions(~self._has_left)
            record.weights[back] = record.best_weights[back]
        return record
