"""A run beside its healthy twins, and beside itself with other parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from benchmarks.diagnosis._training import Outcome, Run, Spec, constant_loss

Numbers = dict[str, Any]
#: Whether a label holds, and the numbers behind it.
Verdict = tuple[bool, Numbers]
NO: Verdict = (False, {})
#: Standard errors above which a difference is no noise.
N_ERRORS = 2.0
#: Share of the constant response's loss below which a difference is of no consequence.
LEAST = 0.02
#: Share of the distance to the twins that a change has to close to explain it.
CLOSED = 0.5
#: Added to a seed for the second twin.
_OTHER_SEED = 1000


def is_worse(first: np.ndarray, second: np.ndarray, least: float = 0.0) -> bool:
    """Tell whether the losses of rows are higher by more than the noise.

    Parameters
    ----------
    first, second : ndarray of shape (rows,)
        Losses of the same rows under two networks.
    least : float, default=0.0
        Mean difference below which none counts.

    Returns
    -------
    bool
        Whether the mean paired difference exceeds ``least`` and ``N_ERRORS`` standard
        errors.
    """
    difference = first - second
    error = difference.std(ddof=1) / np.sqrt(len(difference))
    return bool(difference.mean() > max(N_ERRORS * error, least))


@dataclass(frozen=True)
class _Key:
    """A run as what it is stored under: equal where the runs are."""

    text: str
    spec: Spec

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


def outcome(spec: Spec) -> Outcome:
    """Train and return what came of it; the last few hundred runs are remembered."""
    return _outcome(_Key(spec.key, spec))


@lru_cache(maxsize=400)
def _outcome(key: _Key) -> Outcome:
    return Run(key.spec).outcome


class Case:
    """A run to be labelled.

    Parameters
    ----------
    spec : Spec
        The run.
    twin : dict
        Parameters of its healthy twin, which has the same rows and seed.

    Notes
    -----
    There are two twins, from two seeds: who is worse than one by the luck of its seed
    is not worse than both.
    """

    def __init__(self, spec: Spec, twin: dict[str, Any]) -> None:
        self.spec = spec
        self.run = Run(spec)
        self.outcome = self.run.outcome
        self._twin = Spec(spec.sample, spec.seed, twin)
        self.least = LEAST * constant_loss(self.run.rows)

    @cached_property
    def twins(self) -> list[Outcome]:
        """What came of the twins."""
        seed = self.spec.seed
        return [outcome(self._twin.with_seed(s)) for s in (seed, seed + _OTHER_SEED)]

    def refit(self, **changes: Any) -> Outcome | None:
        """Train the same run with other parameters; None where they are not other."""
        changed = self.spec.changed(**changes)
        return None if changed.key == self.spec.key else outcome(changed)

    def is_worse(self, other: Outcome, kind: str = "test") -> bool:
        """Tell whether the run's loss is worse than another's, beyond the noise."""
        losses = (getattr(each, kind) for each in (self.outcome, other))
        return is_worse(*losses, self.least)

    @cached_property
    def is_harmed(self) -> bool:
        """Tell whether the test loss is worse than that of both twins."""
        return all(self.is_worse(twin) for twin in self.twins)

    @cached_property
    def trains_worse(self) -> bool:
        """Tell whether the training loss is worse than that of both twins."""
        return all(self.is_worse(twin, "train") for twin in self.twins)

    def gap(self, kind: str = "test") -> float:
        """Return how much the mean loss is above the twins'."""
        twins = np.mean([getattr(twin, kind).mean() for twin in self.twins])
        return float(getattr(self.outcome, kind).mean() - twins)

    def closed(self, other: Outcome, kind: str = "test") -> float:
        """Return the share of the distance to the twins that a change closes."""
        gap = self.gap(kind)
        own = getattr(self.outcome, kind).mean()
        return float((own - getattr(other, kind).mean()) / gap) if gap > 0 else 0.0

    def is_explained(self, other: Outcome | None, kind: str = "test") -> bool:
        """Tell whether a change makes up for most of the distance to the twins.

        Parameters
        ----------
        other : Outcome or None
            The same run with the change; None: there is none to make.
        kind : {"test", "train"}, default="test"
            Whose loss.

        Returns
        -------
        bool
            Whether the run is worse beyond the noise, by half of the distance or more.
        """
        if other is None:
            return False
        return self.is_worse(other, kind) and self.closed(other, kind) >= CLOSED

    def per_epoch(self, measure: Callable[[Any], float]) -> np.ndarray:
        """Measure the weights of some epochs, of the initial ones first."""
        snapshots = self.run.snapshots
        values = [measure(snapshots[epoch]) for epoch in self.run.picked]
        return np.array(values, dtype=float)
