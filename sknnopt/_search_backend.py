"""The gathering backend of one search, which knows which fit a task is.

A search hands over one task for each candidate and fold, in order: the n-th task of a
call is fold ``n % n_splits`` of candidate ``n // n_splits``. So fits can be pruned by
candidate, fits of an earlier run of the search need not be repeated, and what becomes
of a fit is told as soon as it has been scored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from sknnopt._gathering import GatheringBackend, Training
from sknnopt._rungs import Rungs
from sknnopt._threads import n_cores


class Watcher(Protocol):
    """Who is told of the fits of one round, and may answer in their place."""

    def begin_round(self) -> Rungs | None:
        """Return what the fits that follow are pruned by."""

    def answer(self, number: int) -> Any | None:
        """Return the result of a fit that is known already, else None."""

    def scored(self, number: int, result: Any) -> None:
        """Take in the result of a fit, in the thread of its task."""

    def trained(self, number: int, record: Any, history: Any) -> None:
        """Take in the networks of a fit, in the thread that trained them."""


class SearchBackend(GatheringBackend):
    """Run the fits of a search, and tell a watcher of each.

    Parameters
    ----------
    nesting_level : int or None, default=None
        Set by joblib.
    watcher : Watcher
        Who is told.
    **limits : dict
        As of `GatheringBackend`.
    """

    def __init__(
        self, nesting_level: int | None = None, *, watcher: Watcher, **limits: Any
    ) -> None:
        super().__init__(nesting_level, **limits)
        self._watcher = watcher
        self._n_submitted = 0

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Return how many fits are held at a time; a single one still meets here."""
        return max(2, super().effective_n_jobs(n_jobs))

    def start_call(self) -> None:
        """Begin a round."""
        self._n_submitted = 0
        super().start_call()

    def submit(self, func: Callable[[], Any], callback: Callable[..., Any]) -> Any:
        """Hand over a fit, or answer for it.

        Parameters
        ----------
        func : callable
            Fits and scores; returns a list with the result.
        callback : callable
            Called in the task's thread when it has ended.

        Returns
        -------
        Task or None
            None if the call has ended meanwhile.
        """
        number, self._n_submitted = self._n_submitted, self._n_submitted + 1
        watcher = self._watcher

        def watched() -> Any:
            known = watcher.answer(number)
            if known is not None:
                return [known]
            (result,) = func()
            watcher.scored(number, result)
            return [result]

        return super().submit(watched, callback)

    #: The name that joblib before 1.5 calls.
    apply_async = submit

    def _for_call(self) -> GatheringBackend:
        return SearchBackend(
            self.nesting_level,
            watcher=self._watcher,
            width=self.width,
            memory=self.memory,
        )

    def _make_training(self) -> Training:
        return _WatchedTraining(n_cores(), self._watcher)


class _WatchedTraining(Training):
    """Trains the fits of one round, and tells a watcher what became of them."""

    def __init__(self, n_workers: int, watcher: Watcher) -> None:
        super().__init__(n_workers, watcher.begin_round())
        self._watcher = watcher

    def __call__(
        self, payloads: list[Any], is_cancelled: Callable[..., bool]
    ) -> list[Any]:
        outcomes = super().__call__(payloads, is_cancelled)
        for fit, outcome in zip(payloads, outcomes, strict=True):
            if isinstance(outcome, tuple):
                self._watcher.trained(fit.number, *outcome)
        return outcomes
