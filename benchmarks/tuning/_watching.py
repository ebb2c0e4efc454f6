"""Searches of scikit-learn that can be watched, and a random one within a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import cache
from inspect import signature
from itertools import islice
from typing import Any

import numpy as np
from sklearn.model_selection import ParameterSampler, RandomizedSearchCV

#: Candidates of the first round of a search within a time: what one takes is unknown.
FIRST_ROUND = 8
#: Most candidates of a later round: so many fits of five folds are gathered at once.
LARGEST_ROUND = 51


class Watched:
    """What a search adds that notes the best score after each round.

    After ``fit``, ``watched_`` holds for each round the seconds since the search began,
    the best mean test score so far, and the number of candidates; ``rounds_`` holds the
    parameters of each round's candidates.
    """

    def _run_search(
        self, evaluate_candidates: Callable[..., Any], *, callback_ctx: Any = None
    ) -> None:
        begun = time.perf_counter()
        self.watched_: list[tuple[float, float, int]] = []
        self.rounds_: list[list[dict[str, Any]]] = []

        def evaluate(candidates: Any, *arguments: Any, **options: Any) -> Any:
            self.rounds_.append(list(candidates))
            results = evaluate_candidates(self.rounds_[-1], *arguments, **options)
            best, count = best_score(results), len(results["params"])
            self.watched_.append((time.perf_counter() - begun, best, count))
            return results

        search = super()._run_search  # type: ignore[misc]
        # scikit-learn gives the context to those of its searches that know it.
        is_known = "callback_ctx" in signature(search).parameters
        search(evaluate, **({"callback_ctx": callback_ctx} if is_known else {}))


def best_score(results: dict[str, Any]) -> float:
    """Return the best mean score of the candidates that were trained to their end.

    Parameters
    ----------
    results : dict
        As ``cv_results_``; pruned candidates count only where there are no others.

    Returns
    -------
    float
        NaN if there is none.
    """
    scores = np.asarray(results["mean_test_score"], dtype=float)
    is_pruned = np.asarray(results.get("pruned", np.zeros(len(scores), dtype=bool)))
    if not is_pruned.all():
        scores = scores[~is_pruned]
    finite = scores[np.isfinite(scores)]
    return float(finite.max()) if len(finite) else float("nan")


@cache
def watched(kind: type) -> type:
    """Return a kind of search that can be watched.

    Parameters
    ----------
    kind : type
        A subclass of scikit-learn's ``BaseSearchCV``.

    Returns
    -------
    type
        The same with what :class:`Watched` adds.
    """
    return type(f"Watched{kind.__name__}", (Watched, kind), {})


class RandomWithin(RandomizedSearchCV):
    """A random search that goes on for some seconds, in rounds.

    Candidates, selection and the final fit are those of ``RandomizedSearchCV``, which
    itself knows no limit but a number of candidates. The first round is small, further
    ones have as many candidates as the time that is left allows at the pace so far.
    ``seconds`` is set on the search; infinite by default.
    """

    seconds = np.inf

    def _run_search(self, evaluate_candidates: Callable[..., Any]) -> None:
        drawn = iter(
            ParameterSampler(
                self.param_distributions, self.n_iter, random_state=self.random_state
            )
        )
        for size in self._sizes():
            candidates = list(islice(drawn, size))
            if not candidates:
                return
            evaluate_candidates(candidates)

    def _sizes(self) -> Iterator[int]:
        begun, done = time.perf_counter(), 0
        size = FIRST_ROUND
        while size >= 1:
            yield size
            done += size
            spent = time.perf_counter() - begun
            left = max(0.0, self.seconds - spent)
            affordable = left * done / spent
            size = int(min(LARGEST_ROUND, affordable))


class Replay(RandomizedSearchCV):
    """A search over given rounds of candidates; ``rounds`` is set on it."""

    rounds: tuple[list[dict[str, Any]], ...] = ()

    def _run_search(self, evaluate_candidates: Callable[..., Any]) -> None:
        for candidates in self.rounds:
            evaluate_candidates(candidates)
