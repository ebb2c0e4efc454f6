"""What proposes the candidates of a search.

A sampler is asked for some candidates, and told how they did. Candidates of an earlier
run, which were not asked for, may be told too, before the first question: their numbers
and values are not proposed again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from sklearn.model_selection import ParameterSampler
from sklearn.utils import check_random_state

from sknnopt._bayes import BayesPart
from sknnopt._dimensions import native
from sknnopt._labels import SUBSPACE, Labels, find_subspace, import_optuna, quiet
from sknnopt._reading import Subspace, read_space

#: Pairs of epoch and validation loss.
Curve = Sequence[tuple[int, float]]
#: Draws in a row that bring nothing new before a space counts as exhausted.
_MOST_REPEATS = 100


@dataclass(frozen=True)
class Proposal:
    """A candidate.

    Parameters
    ----------
    number : int
        Its place in the search, from 0.
    params : dict
        Values by parameter.
    """

    number: int
    params: dict[str, Any]


class Sampler(Protocol):
    """What proposes candidates."""

    def ask(self, n: int) -> list[Proposal]:
        """Return new candidates.

        Parameters
        ----------
        n : int
            How many are wanted.

        Returns
        -------
        list of Proposal
            Fewer or none when the space is exhausted.
        """

    def tell(
        self,
        proposal: Proposal,
        score: float,
        *,
        pruned: bool = False,
        curve: Curve | None = None,
    ) -> None:
        """Learn how a candidate did.

        Parameters
        ----------
        proposal : Proposal
            The candidate.
        score : float
            Greater is better; NaN: it failed.
        pruned : bool, default=False
            Whether it was stopped before its end.
        curve : sequence of (int, float) or None, default=None
            Epochs and validation losses up to where it was stopped.
        """


class _Numbers:
    """Numbers from 0 that are not taken."""

    def __init__(self) -> None:
        self.taken: set[int] = set()
        self._next = 0

    def take(self) -> int:
        while self._next in self.taken:
            self._next += 1
        self.taken.add(self._next)
        return self._next


class RandomSampler:
    """Candidates as scikit-learn's ``RandomizedSearchCV`` draws them.

    Parameters
    ----------
    space : dict or list of dict
        The search space.
    n_iter : int
        Candidates at most.
    random_state : int, RandomState or None, default=None
        Where randomness comes from.
    """

    def __init__(self, space: Any, *, n_iter: int, random_state: Any = None) -> None:
        distributions = [
            {name: dimension.to_scipy() for name, dimension in subspace.items()}
            for subspace in read_space(space)
        ]
        drawn = ParameterSampler(distributions, n_iter, random_state=random_state)
        self._drawn = enumerate(drawn)
        self._told: set[int] = set()

    def ask(self, n: int) -> list[Proposal]:
        """Return the next candidates."""
        proposals: list[Proposal] = []
        while len(proposals) < n:
            number, params = next(self._drawn, (-1, None))
            if params is None:
                break
            if number not in self._told:
                # scipy draws numpy's numbers.
                own = {name: native(value) for name, value in params.items()}
                proposals.append(Proposal(number, own))
        return proposals

    def tell(
        self,
        proposal: Proposal,
        score: float,
        *,
        pruned: bool = False,
        curve: Curve | None = None,
    ) -> None:
        """Remember that the candidate is done."""
        self._told.add(proposal.number)


class TPESampler:
    """Candidates of Optuna's tree-structured Parzen estimator.

    Parameters
    ----------
    space : dict or list of dict
        The search space.
    n_iter : int
        Not used: candidates depend on those that were told only.
    random_state : int, RandomState or None, default=None
        Where randomness comes from.
    """

    def __init__(self, space: Any, *, n_iter: int, random_state: Any = None) -> None:
        self._optuna = import_optuna("sampler='tpe'")
        self._labels = Labels(read_space(space))
        self._size = _n_candidates(self._labels.subspaces)
        self._seed = _seed(random_state)
        self._study: Any = None
        self._numbers = _Numbers()
        self._running: dict[int, Any] = {}
        self._earlier: list[Any] = []
        self._seen: set[str] = set()

    def ask(self, n: int) -> list[Proposal]:
        """Return new candidates."""
        if self._study is None:
            self._study = self._make_study()
        proposals: list[Proposal] = []
        repeats = 0
        while len(proposals) < n and len(self._seen) < self._size:
            trial = self._study.ask()
            params, index = self._draw(trial)
            key = _key(self._labels.encode(params, index))
            if key in self._seen:
                # Left unfinished, it makes Optuna avoid the point.
                repeats += 1
                if repeats == _MOST_REPEATS:
                    break
                continue
            self._seen.add(key)
            number = self._numbers.take()
            self._running[number] = trial
            proposals.append(Proposal(number, params))
        return proposals

    def tell(
        self,
        proposal: Proposal,
        score: float,
        *,
        pruned: bool = False,
        curve: Curve | None = None,
    ) -> None:
        """Learn how a candidate did."""
        state = _state(self._optuna, score, pruned)
        # Optuna wants of intermediate values what it wants of scores.
        values = {int(epoch): -float(loss) for epoch, loss in curve or ()}
        trial = self._running.pop(proposal.number, None)
        if trial is None:
            self._add(proposal, score, state, values)
            return
        if pruned:
            for epoch, value in values.items():
                trial.report(value, epoch)
        told = score if state == self._optuna.trial.TrialState.COMPLETE else None
        self._study.tell(trial, told, state=state)

    def _add(self, proposal: Proposal, score: float, state: Any, values: Any) -> None:
        """Take in a candidate that was not asked for."""
        index = find_subspace(self._labels.subspaces, proposal.params)
        stored = self._labels.encode(proposal.params, index)
        self._seen.add(_key(stored))
        self._numbers.taken.add(proposal.number)
        complete = state == self._optuna.trial.TrialState.COMPLETE
        trial = self._optuna.trial.create_trial(
            state=state,
            value=float(score) if complete else None,
            params=stored,
            distributions=self._labels.distributions(index),
            intermediate_values={} if complete else values,
        )
        if self._study is None:
            self._earlier.append(trial)
        else:
            self._study.add_trial(trial)

    def _make_study(self) -> Any:
        seed = _continued(self._seed, len(self._earlier))
        with quiet():
            study = self._optuna.create_study(
                direction="maximize",
                sampler=self._optuna.samplers.TPESampler(seed=seed, constant_liar=True),
            )
        study.add_trials(self._earlier)
        return study

    def _draw(self, trial: Any) -> tuple[dict[str, Any], int]:
        index = 0
        for name, distribution in self._labels.choice().items():
            index = _suggest(trial, name, distribution)
        stored = {
            name: _suggest(trial, name, distribution)
            for name, distribution in self._labels.distributions(index).items()
            if name != SUBSPACE or len(self._labels.subspaces) == 1
        }
        return self._labels.decode(stored, index), index


class BayesSampler:
    """Candidates of scikit-optimize's Gaussian process.

    Each subspace has an optimizer of its own; they take turns. The first candidates of
    each are random: ten, or half of its share where that is less, or as many as the
    first round wants of it where that is more.

    Parameters
    ----------
    space : dict or list of dict
        The search space.
    n_iter : int
        Candidates in all.
    random_state : int, RandomState or None, default=None
        Where randomness comes from.
    """

    def __init__(self, space: Any, *, n_iter: int, random_state: Any = None) -> None:
        subspaces = read_space(space)
        self._subspaces = subspaces
        n_random = min(10, math.ceil(n_iter / len(subspaces) / 2))
        self._parts = [BayesPart(subspace, n_random) for subspace in subspaces]
        self._seed = _seed(random_state)
        self._numbers = _Numbers()
        self._asked: dict[int, BayesPart] = {}
        self._turn = 0
        self._n_earlier = 0
        self._began = False
        self._worst = math.nan

    def ask(self, n: int) -> list[Proposal]:
        """Return new candidates."""
        if not self._began:
            rng = np.random.RandomState(_continued(self._seed, self._n_earlier))
            for part in self._parts:
                part.seed(int(rng.randint(np.iinfo(np.int32).max)))
            self._began = True
        proposals: list[Proposal] = []
        while len(proposals) < n:
            shares = self._shares(n - len(proposals))
            if not shares:
                break
            for part, share in shares:
                for params in part.ask(share, self._worst):
                    number = self._numbers.take()
                    self._asked[number] = part
                    proposals.append(Proposal(number, params))
        return proposals

    def tell(
        self,
        proposal: Proposal,
        score: float,
        *,
        pruned: bool = False,
        curve: Curve | None = None,
    ) -> None:
        """Learn how a candidate did."""
        part = self._asked.pop(proposal.number, None)
        if part is None:
            self._numbers.taken.add(proposal.number)
            self._n_earlier += 1
            part = self._parts[find_subspace(self._subspaces, proposal.params)]
        if np.isfinite(score):
            self._worst = np.fmin(self._worst, score)
        part.tell(proposal.params, float(score))

    def _shares(self, n: int) -> list[tuple[BayesPart, int]]:
        """Say how many candidates each optimizer gives, in turn."""
        alive = [part for part in self._parts if not part.exhausted]
        if not alive:
            return []
        turns = [(self._turn + i) % len(alive) for i in range(n)]
        self._turn += n
        return [(alive[i], turns.count(i)) for i in dict.fromkeys(turns)]


#: Makers of samplers: each takes a search space, ``n_iter`` and ``random_state``.
SAMPLERS: dict[str, Callable[..., Sampler]] = {
    "random": RandomSampler,
    "tpe": TPESampler,
    "bayes": BayesSampler,
}


def _suggest(trial: Any, name: str, distribution: Any) -> Any:
    kind = type(distribution).__name__
    if kind == "CategoricalDistribution":
        return trial.suggest_categorical(name, distribution.choices)
    low, high, log, step = (
        distribution.low,
        distribution.high,
        distribution.log,
        distribution.step,
    )
    if kind == "IntDistribution":
        return trial.suggest_int(name, low, high, step=step, log=log)
    return trial.suggest_float(name, low, high, step=step, log=log)


def _state(optuna: Any, score: float, pruned: bool) -> Any:
    states = optuna.trial.TrialState
    if np.isnan(score):
        return states.FAIL
    return states.PRUNED if pruned else states.COMPLETE


def _n_candidates(subspaces: Iterable[Subspace]) -> float:
    return sum(
        math.prod(dimension.n_values for dimension in subspace.values())
        for subspace in subspaces
    )


def _key(stored: dict[str, Any]) -> str:
    return repr(sorted(stored.items()))


def _seed(random_state: Any) -> int:
    if isinstance(random_state, int | np.integer):
        return int(random_state)
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


def _continued(seed: int, n_earlier: int) -> int:
    """Return a seed that does not repeat what an earlier run drew."""
    if n_earlier == 0:
        return seed
    state = np.random.SeedSequence([seed, n_earlier]).generate_state(1)
    return int(state[0] >> 1)
