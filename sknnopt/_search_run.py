"""One run of a search: its rounds, what becomes of each candidate, and when it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import numpy as np
import pandas as pd

from sknnopt._progress import CandidateBar, CandidateLines
from sknnopt._rungs import Rungs
from sknnopt._samplers import Proposal, Sampler
from sknnopt._study import Study

#: What is kept of the history of a fit.
_CURVE = ("member", "epoch", "train_loss", "valid_loss")
#: Candidates of the first round where time is limited: how long one takes is not known.
_FIRST_ROUND = 8
#: The fold of a fit, and columns with an entry for each of its members and epochs.
Curve = tuple[int, dict[str, np.ndarray]]


@dataclass
class Candidate:
    """A candidate of a search, and what is known of it.

    Parameters
    ----------
    proposal : Proposal
        Its parameters.
    results : list
        scikit-learn's result for each fold; None where there is none yet.
    epochs, diverged : list of float
        For each fold the epochs of its fits on average, and whether one diverged; NaN
        where no network of ours was trained.
    pruned_at : int or None
        The epoch at which it left.
    rungs : list of tuple
        Epoch and mean validation loss where it was compared with others.
    curves : list of tuple
        Of each fit its fold, and what is kept of its history.
    is_stored : bool
        Whether it comes from an earlier run.
    """

    proposal: Proposal
    results: list[Any]
    epochs: list[float]
    diverged: list[float]
    pruned_at: int | None = None
    rungs: list[tuple[int, float]] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    is_stored: bool = False

    @classmethod
    def new(cls, proposal: Proposal, n_splits: int) -> Candidate:
        """Return a candidate that nothing is known of."""
        unknown = [np.nan] * n_splits
        return cls(proposal, [None] * n_splits, list(unknown), list(unknown))

    @property
    def is_complete(self) -> bool:
        """Whether all folds have a result."""
        return all(result is not None for result in self.results)

    def mean_score(self, metric: str | None) -> float:
        """Return the mean test score, of one of several metrics where it is named."""
        scores = [result["test_scores"] for result in self.results]
        if metric is not None:
            scores = [s[metric] if isinstance(s, dict) else s for s in scores]
        return float(np.mean(scores))


@dataclass(frozen=True)
class Limits:
    """When a search ends, and how much it does at a time.

    Parameters
    ----------
    n_iter : int
        Candidates, those of earlier runs included.
    round_size : int
        Most candidates of a round.
    max_seconds : float
        Infinite without a limit.
    """

    n_iter: int
    round_size: int
    max_seconds: float = np.inf


class SearchRun:
    """What one call of ``fit`` of a search knows; the backend's watcher.

    Parameters
    ----------
    sampler : Sampler
        Who proposes candidates.
    limits : Limits
        When to end.
    n_splits : int
        Folds.
    pruning : str or None, default=None
        How candidates are pruned.
    study : Study or None, default=None
        Where finished candidates are kept.
    metric : str or None, default=None
        The metric that the sampler learns from, where there are several.
    """

    def __init__(
        self,
        sampler: Sampler,
        limits: Limits,
        n_splits: int,
        pruning: str | None = None,
        study: Study | None = None,
        metric: str | None = None,
    ) -> None:
        self._sampler, self._limits = sampler, limits
        self._study, self._metric = study, metric
        self.n_splits, self.pruning = n_splits, pruning
        self._begun = time.monotonic()
        self._lock = threading.Lock()
        self._first = 0
        self._rungs: Rungs | None = None
        self._best = np.nan
        #: Who shows how far the search is.
        self.bar: CandidateBar | CandidateLines | None = None
        #: Where joblib's calls go while the search makes its own.
        self.context: Any = None
        self.candidates: list[Candidate] = []

    def close(self) -> None:
        """Let go of the study."""
        if self._study is not None:
            self._study.close()

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        # A worker gets the search along with its task: of the run it has none.
        return type(None), ()

    # ------------------------------------------------------------------ rounds

    def rounds(self) -> Iterator[list[dict[str, Any]]]:
        """Yield the parameters of the candidates that are to be evaluated together.

        Yields
        ------
        list of dict
            Of a round. Results must have come when the next is asked for.
        """
        stored = [] if self._study is None else self._study.records()
        if stored:
            yield self._begin([_restored(r, self.n_splits) for r in stored])
            self._tell()
            self._show(*self.candidates)
        while (size := self._next_size()) > 0:
            proposals = self._sampler.ask(size)
            if not proposals:
                return
            known = [c.proposal.params for c in self.candidates if c.is_stored]
            # Chance may draw what an earlier run has drawn.
            new = [p for p in proposals if p.params not in known]
            if new:
                yield self._begin([Candidate.new(p, self.n_splits) for p in new])
                self._tell()

    def _begin(self, candidates: list[Candidate]) -> list[dict[str, Any]]:
        self._first = len(self.candidates)
        self.candidates += candidates
        return [candidate.proposal.params for candidate in candidates]

    def _tell(self) -> None:
        """Let the sampler learn from the round."""
        for candidate in self.candidates[self._first :]:
            self._sampler.tell(
                candidate.proposal,
                candidate.mean_score(self._metric),
                pruned=candidate.pruned_at is not None,
                curve=candidate.rungs,
            )

    def _next_size(self) -> int:
        """Return how many candidates the next round may have."""
        limits = self._limits
        left = min(limits.n_iter - len(self.candidates), limits.round_size)
        if not np.isfinite(limits.max_seconds):
            return left
        spent = limits.max_seconds - self.seconds_left
        n_done = sum(not candidate.is_stored for candidate in self.candidates)
        if n_done == 0:
            return min(left, _FIRST_ROUND)
        # Networks of a larger batch take less time each: rather too few than too many.
        # Of a very long time what is spent may be too little to be seen.
        share = n_done / spent if spent > 0 else np.inf
        return int(min(left, self.seconds_left * share))

    def curves(self) -> pd.DataFrame:
        """Return the learning curves of all fits as one table."""
        parts = [
            pd.DataFrame({"candidate": number, "split": fold, **columns})
            for number, candidate in enumerate(self.candidates)
            for fold, columns in sorted(candidate.curves, key=itemgetter(0))
        ]
        if not parts:
            return pd.DataFrame(columns=["candidate", "split", *_CURVE[:3]])
        return pd.concat(parts, ignore_index=True)

    # ----------------------------------------------------- what the backend asks

    def begin_round(self) -> Rungs | None:
        """Return what the fits of the round are pruned by."""
        self._rungs = None
        if self.pruning is not None or np.isfinite(self._limits.max_seconds):
            deadline = self._begun + self._limits.max_seconds
            self._rungs = Rungs(self.n_splits, rule=self.pruning, deadline=deadline)
        return self._rungs

    @property
    def n_of_round(self) -> int:
        """Candidates of this round."""
        return len(self.candidates) - self._first

    @property
    def seconds_left(self) -> float:
        """Time until the deadline; infinite without one."""
        return self._begun + self._limits.max_seconds - time.monotonic()

    def answer(self, number: int) -> Any | None:
        """Return the result of a fit of an earlier run, else None."""
        candidate, fold = self._place(number)
        own = self.candidates[candidate]
        return own.results[fold] if own.is_stored else None

    def trained(self, number: int, record: Any, history: Any) -> None:
        """Note what became of a fit's networks."""
        candidate, fold = self._place(number)
        own = self.candidates[candidate]
        own.epochs[fold] = float(np.mean(record["epochs"]))
        # A fold may hold several fits, as in a calibrated classifier.
        diverged = bool(record["diverged"].any())
        own.diverged[fold] = float(diverged or own.diverged[fold] == 1)
        curve = {name: history[name] for name in _CURVE if name in history}
        with self._lock:
            own.curves.append((fold, curve))

    def scored(self, number: int, result: Any) -> None:
        """Note a fold's result; the last one of a candidate finishes it."""
        candidate, fold = self._place(number)
        own = self.candidates[candidate]
        with self._lock:
            own.results[fold] = result
            if not own.is_complete:
                return
        rungs = self._rungs
        if rungs is not None:
            own.pruned_at = rungs.pruned.get(candidate - self._first)
            own.rungs = list(rungs.curves.get(candidate - self._first, ()))
        self._finish(own)

    def _finish(self, own: Candidate) -> None:
        score = own.mean_score(self._metric)
        if self._study is not None:
            is_failed = not np.isfinite(score)
            state = "complete" if own.pruned_at is None else "pruned"
            self._study.add(
                own.proposal.number,
                own.proposal.params,
                score,
                _record(own),
                state="failed" if is_failed else state,
                curve=own.rungs,
            )
        self._show(own)

    def _show(self, *finished: Candidate) -> None:
        """Show the best score so far, of these candidates or of those before."""
        scores = [c.mean_score(self._metric) for c in finished if c.pruned_at is None]
        with self._lock:
            self._best = float(np.fmax.reduce([self._best, *scores]))
            if self.bar is not None:
                n_done = sum(candidate.is_complete for candidate in self.candidates)
                self.bar.show(n_done, self._best)

    def _place(self, number: int) -> tuple[int, int]:
        of_round, fold = divmod(number, self.n_splits)
        return self._first + of_round, fold


def _record(candidate: Candidate) -> dict[str, Any]:
    """Return what is kept of a candidate."""
    return {
        "results": candidate.results,
        "epochs": candidate.epochs,
        "diverged": candidate.diverged,
        "pruned_at": candidate.pruned_at,
        "rungs": candidate.rungs,
        "curves": candidate.curves,
    }


def _restored(stored: Any, n_splits: int) -> Candidate:
    candidate = Candidate.new(Proposal(stored.number, stored.params), n_splits)
    for name, value in stored.record.items():
        setattr(candidate, name, value)
    candidate.rungs = [(int(epoch), float(loss)) for epoch, loss in candidate.rungs]
    candidate.curves = [
        (fold, {name: np.array(values) for name, values in columns.items()})
        for fold, columns in candidate.curves
    ]
    candidate.is_stored = True
    return candidate
