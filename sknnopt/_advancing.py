"""Batches in training: how far each is, and the rungs at which all of them meet.

Where fits are pruned, all parts of a gathering advance to a rung, the worst candidates
leave, and the others go on from the very state that they had. So all parts are held at
a time, from the first rung on until each has ended: more memory than parts that train
one after another, and that is the price.

The time in which others advance counts for a fit's ``max_seconds``, as does the time
that the others of its batch take.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from sknnopt._fits import Fit, cut, halves
from sknnopt._guard import joined
from sknnopt._history import join_lines
from sknnopt._job import Job
from sknnopt._loop import Loop
from sknnopt._progress import SearchProgress
from sknnopt._record import Record, part_of
from sknnopt._rungs import Rungs, Standing

Columns = dict[str, np.ndarray]


class Batch:
    """Fits that train as one.

    Parameters
    ----------
    fits : sequence of Fit
        Which.
    is_cancelled : callable
        Asked before every step.
    progress : SearchProgress
        Told of each epoch.

    Attributes
    ----------
    n_epochs : int
        Epochs done.
    is_over : bool
        Whether no member goes on.
    """

    def __init__(
        self,
        fits: Sequence[Fit],
        is_cancelled: Callable[[], bool],
        progress: SearchProgress,
    ) -> None:
        self._fits, self._progress = fits, progress
        job = Job.join([fit.job for fit in fits])
        record = Record.join([fit.start() for fit in fits])
        guard = joined([fit.guard for fit in fits])
        self._loop = Loop(job, record, None, is_cancelled, guard)
        self._remaining = sum(fit.n_epochs for fit in fits)
        self._last = np.full(len(job), np.inf)
        sizes = np.array([len(fit.job) for fit in fits])
        self._ends = np.cumsum(sizes)
        self._starts = self._ends - sizes
        self.n_epochs, self.is_over = 0, not len(self._loop.live)

    def advance(self) -> None:
        """Train one epoch."""
        loop = self._loop
        self._progress.advance(len(loop.live))
        self._remaining -= len(loop.live)
        line = loop.epoch(at_once=False)
        if (losses := line.get("valid_loss")) is not None:
            self._last[loop.live] = losses
        self.is_over = not loop.settle(line)
        self.n_epochs += 1

    def leave(self, places: Sequence[int], *, at_best: bool = False) -> None:
        """Let fits go before their end.

        Parameters
        ----------
        places : sequence of int
            Which of the batch; those that have ended stay as they are.
        at_best : bool, default=False
            Whether they return to their best, as those do that end by themselves.
        """
        if not places:
            return
        members = [np.arange(self._starts[i], self._ends[i]) for i in places]
        self.is_over = not self._loop.leave(np.concatenate(members), at_best=at_best)

    def living(self) -> np.ndarray:
        """Tell of each fit whether a member of it goes on."""
        is_live = np.zeros(len(self._last), dtype=bool)
        is_live[self._loop.live] = not self.is_over
        living: np.ndarray = np.logical_or.reduceat(is_live, self._starts)
        return living

    def losses(self) -> np.ndarray:
        """Return each fit's validation loss, a mean over its members.

        Returns
        -------
        ndarray of shape (n_fits,)
            Of the last epoch of each; infinite where a member diverged. The lowest so
            far would be that of whoever swings most.
        """
        last = np.where(self._loop.diverged, np.inf, self._last)
        sums: np.ndarray = np.add.reduceat(last, self._starts)
        return sums / (self._ends - self._starts)

    def outcomes(self) -> list[tuple[Columns, Columns]]:
        """Return what became of each fit, when all have ended.

        Returns
        -------
        list of tuple
            Record and history, both as dict of ndarray, as if they had been alone.
        """
        # Those that stopped early have left some out.
        self._progress.advance(self._remaining)
        arrays = self._loop.result().to_arrays()
        columns = _columns(self._loop.history)
        return [
            (
                part_of(arrays, slice(start, end), fit.job.kind.optimizer),
                _history(columns, start, end, fit.job),
            )
            for fit, start, end in zip(
                self._fits, self._starts, self._ends, strict=True
            )
        ]


@dataclass(eq=False)
class _Part:
    """Numbers of fits that advance as one batch, which is made when it begins."""

    numbers: list[int]
    batch: Batch | None = None


class Ascent:
    """The fits of a gathering on their way from rung to rung.

    Parameters
    ----------
    fits : sequence of Fit
        All of the gathering. Those without a number are not compared.
    n_workers : int
        Threads that may compute at a time.
    rungs : Rungs
        Who leaves when.
    is_cancelled : callable
        As `train_together` takes it.
    progress : SearchProgress
        Told of each epoch.

    Attributes
    ----------
    parts : list of list of int
        Numbers of the fits that train as one batch.
    outcomes : list
        What became of each fit, when all stages are done.
    """

    def __init__(
        self,
        fits: Sequence[Fit],
        n_workers: int,
        rungs: Rungs,
        is_cancelled: Callable[..., bool],
        progress: SearchProgress,
    ) -> None:
        self._fits, self._rungs = fits, rungs
        self._is_cancelled, self._progress = is_cancelled, progress
        self.outcomes: list[Any] = [_refusal(fit, rungs) for fit in fits]
        self._ladders = [rungs.epochs(fit.horizon) for fit in fits]
        made = [
            [number for number in part if self.outcomes[number] is None]
            for part in cut(fits, n_workers, self._ladders)
        ]
        self.parts = [part for part in made if part]
        self._climbing = [_Part(part) for part in self.parts]
        #: The epoch at which a fit leaves, for those of which it is known.
        self._leaves_at: dict[int, int] = {}
        self._losses = np.full(len(fits), np.inf)
        self._is_live = np.array([outcome is None for outcome in self.outcomes])

    def stages(self) -> Iterator[list[Callable[[], None]]]:
        """Go from rung to rung.

        Yields
        ------
        list of callable
            What must be done, in any order and any threads, before the next is asked
            for.
        """
        for rung in range(max(map(len, self._ladders), default=0), 0, -1):
            yield self._stage(rung)
            if self._is_cancelled():
                break
            self._judge(rung)
        yield self._stage(0)

    def _stage(self, rung: int) -> list[Callable[[], None]]:
        parts, self._climbing = self._climbing, []
        return [partial(self._advance, part, rung) for part in parts]

    def _advance(self, part: _Part, rung: int) -> None:
        """Advance one batch; if that fails, its halves, down to each fit alone.

        A fit that is tried again begins anew and comes to the same state.
        """
        if self._is_cancelled():
            return
        try:
            self._train(part, rung)
            return
        except BaseException as error:  # noqa: BLE001  # the fit's own task raises it
            if len(part.numbers) == 1 or self._is_cancelled():
                for number in part.numbers:
                    self.outcomes[number] = error
                self._is_live[part.numbers] = False
                self._losses[part.numbers] = np.inf
                return
        # Out of the block, so that the failed batch is forgotten.
        part.batch = None
        for half in halves(part.numbers):
            self._advance(_Part(half), rung)

    def _train(self, part: _Part, rung: int) -> None:
        """Train a part up to a rung; 0 is the end."""
        until = self._epoch(part.numbers[0], rung)
        if until > 0:
            batch = part.batch = part.batch or self._begin(part)
            self._let_go(part, batch, rung)
            while not batch.is_over and batch.n_epochs < until:
                batch.advance()
                self._let_go(part, batch, rung)
            self._losses[part.numbers] = batch.losses()
            self._is_live[part.numbers] = batch.living()
            if batch.is_over:
                for number, outcome in zip(part.numbers, batch.outcomes(), strict=True):
                    self.outcomes[number] = outcome
                return
        self._climbing.append(part)

    def _begin(self, part: _Part) -> Batch:
        def is_cancelled() -> bool:
            return all(self._is_cancelled(number) for number in part.numbers)

        fits = [self._fits[number] for number in part.numbers]
        return Batch(fits, is_cancelled, self._progress)

    def _epoch(self, number: int, rung: int) -> float:
        """Return the epoch of a fit's rung; 0 if it has no such rung."""
        if rung == 0:
            return math.inf
        ladder = self._ladders[number]
        return ladder[rung - 1] if rung <= len(ladder) else 0

    def _let_go(self, part: _Part, batch: Batch, rung: int) -> None:
        """Let those go of which it is known that they leave here, or all if late."""
        epoch = batch.n_epochs
        if batch.is_over or epoch == 0:
            return
        if self._leaves_at:
            batch.leave(
                [
                    place
                    for place, number, _ in self._competing(part, batch)
                    if self._leaves_at.get(number) == epoch
                ]
            )
        if self._rungs.is_late():
            late = self._competing(part, batch)
            # A fit that failed and begins anew may be below its last rung again.
            is_above = 0 < self._epoch(part.numbers[0], 1) <= epoch
            at_best = rung == 0 and is_above
            if not at_best:
                for *_, of_search in late:
                    self._rungs.leave_late(of_search, epoch)
            batch.leave([place for place, *_ in late], at_best=at_best)

    def _competing(self, part: _Part, batch: Batch) -> list[tuple[int, int, int]]:
        """Return who goes on: place, number and number in the search of each."""
        living = batch.living()
        return [
            (place, number, of_search)
            for place, number in enumerate(part.numbers)
            if living[place] and (of_search := self._fits[number].number) is not None
        ]

    def _judge(self, rung: int) -> None:
        """Compare the candidates of which all fits have this rung."""
        numbered = {
            number: self._rungs.candidate(fit.number)
            for number, fit in enumerate(self._fits)
            if fit.number is not None
        }
        without = {c for n, c in numbered.items() if rung > len(self._ladders[n])}
        standings = {
            n: Standing(
                self._fits[n].number or 0,
                self._ladders[n][rung - 1],
                float(self._losses[n]),
                bool(self._is_live[n]),
            )
            for n, candidate in numbered.items()
            if candidate not in without
        }
        leaving = self._rungs.judge(rung, standings.values())
        for number, standing in standings.items():
            if standing.is_live and numbered[number] in leaving:
                self._leaves_at[number] = standing.epoch


def _refusal(fit: Fit, rungs: Rungs) -> ValueError | None:
    if rungs.rule is None or fit.number is None or fit.job.held_out:
        return None
    return ValueError(
        "Pruning compares candidates by a validation loss, and this fit has none: it "
        "holds no rows out. early_stopping=True gives one; or search without pruning."
    )


def _columns(lines: list[Columns]) -> Columns:
    """Join the lines of a history to columns, each member's rows together."""
    columns = join_lines(lines)
    order = np.lexsort((columns["epoch"], columns["member"]))
    return {name: values[order] for name, values in columns.items()}


def _history(columns: Columns, start: int, end: int, job: Job) -> Columns:
    """Return what concerns a fit's own members, as if they had been alone."""
    first, stop = np.searchsorted(columns["member"], [start, end])
    own = {name: values[first:stop].copy() for name, values in columns.items()}
    own["member"] -= start
    # In the order of epochs, as a history is written.
    order = np.argsort(own["epoch"], kind="stable")
    own = {name: values[order] for name, values in own.items()}
    if not (job.settings.l1.any() or job.settings.l2.any()):
        own.pop("penalty", None)
    if not np.isfinite([job.settings.clip_norm, job.settings.clip_value]).any():
        own.pop("clipped_share", None)
    return own
