"""Who must leave a search at which epoch, worked out from whole courses of its fits."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, inf, isfinite


@dataclass
class Course:
    """The loss of a fit after each epoch that it takes if it is never pruned.

    It is infinite in the last epoch of a fit that diverged or failed in it.
    """

    losses: list
    horizon: int

    def at(self, epoch):
        """Return the loss after an epoch, or after the last if that is earlier."""
        return self.losses[min(epoch, len(self.losses)) - 1]

    def goes_on_after(self, epoch):
        """Tell whether it has epochs after this one."""
        return len(self.losses) > epoch


def rungs_of(horizon, factor, min_epochs):
    """Return epochs by rung."""
    epochs, rung = {}, 1
    while (epoch := ceil(Fraction(horizon, factor**rung))) >= min_epochs:
        if epoch >= epochs.get(rung - 1, horizon):
            break
        epochs[rung] = epoch
        rung += 1
    return epochs


def brackets_of(n_rungs, factor, n_candidates):
    """Return the bracket of each candidate, by the share that each is behind."""
    shares = {
        s: ceil(Fraction((n_rungs + 1) * factor**s, s + 1))
        for s in range(n_rungs, -1, -1)
    }
    counts, brackets = dict.fromkeys(shares, 0), []
    for n_dealt in range(1, n_candidates + 1):
        due = {
            s: Fraction(n * n_dealt, sum(shares.values())) - counts[s]
            for s, n in shares.items()
        }
        bracket = max(due, key=lambda s: (due[s], s))
        counts[bracket] += 1
        brackets.append(bracket)
    return brackets


def expected_pruning(
    courses, n_splits, *, factor=3, min_epochs=5, gatherings=None, brackets=None
):
    """Return the epochs at which candidates leave, by successive halving.

    ``courses`` is a dict by number of the fit; ``gatherings`` are lists of numbers,
    ``brackets`` the rung for each candidate at which it is compared first.
    """
    left, seen, losses = {}, set(), defaultdict(dict)
    for numbers in gatherings or [list(courses)]:
        fits = defaultdict(list)
        for number in numbers:
            fits[number // n_splits].append(courses[number])
        staying = {c: own for c, own in sorted(fits.items()) if c not in seen}
        seen.update(fits)
        for rung in range(30, 0, -1):
            epochs = {}
            for candidate, own in staying.items():
                at = [rungs_of(c.horizon, factor, min_epochs).get(rung) for c in own]
                if None not in at and (not brackets or brackets[candidate] >= rung):
                    epochs[candidate] = at
                    bracket = brackets and brackets[candidate]
                    losses[bracket, rung][candidate] = mean_at(own, at)
            for candidate, at in epochs.items():
                rivals = losses[brackets and brackets[candidate], rung]
                if candidate not in best_of(rivals, factor):
                    left.update(end(candidate, staying.pop(candidate), at))
    return left


def end(candidate, courses, epochs):
    """Return at which epoch a candidate leaves, if it has not ended by itself."""
    pairs = zip(courses, epochs, strict=True)
    is_live = any(course.goes_on_after(epoch) for course, epoch in pairs)
    return {candidate: max(epochs)} if is_live else {}


def best_of(losses, factor):
    """Return the best part of candidates, rounded up, ties by number."""
    order = sorted((loss, candidate) for candidate, loss in losses.items())
    return [c for _, c in order[: ceil(Fraction(len(order), factor))]]


def mean_at(courses, epochs):
    """Return the mean loss at some epochs; infinite if one is not finite."""
    losses = [c.at(epoch) for c, epoch in zip(courses, epochs, strict=True)]
    return sum(losses) / len(losses) if all(map(isfinite, losses)) else inf
