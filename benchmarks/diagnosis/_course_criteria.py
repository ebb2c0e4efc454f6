"""Criteria that look at a run's length, its steps and how it fits the rows."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.diagnosis._case import NO, Case, Numbers, Verdict, is_worse
from benchmarks.diagnosis._training import Outcome, Run, constant_loss
from sknnopt.optimizers import OPTIMIZERS

#: Share of the constant response's loss that the last quarter of epochs still gains.
STILL_FALLING = 0.01
#: Times the constant response's loss, and the initial loss, that has diverged.
DIVERGED = 2.0
#: Times as many epochs, and how many at least, to see where a run would go.
LONGER, _LONG = 3, 40
#: Weights to each training row.
WEIGHTS_PER_ROW = 10
#: Units of a layer in networks that are small.
_FEW_UNITS = (16, 8, 4)
#: Share of the rows that are enough to validate on.
_MANY_HELD_OUT = 0.25


def _rate(case: Case) -> float:
    given = case.spec.params.get("learning_rate", "auto")
    name = case.spec.params.get("optimizer", "adamw")
    return OPTIMIZERS[name].learning_rate if given == "auto" else float(given)


def learning_rate_too_high(case: Case) -> Verdict:
    other = _better_rate(case, (0.1, 0.01, 0.001))
    return NO if other is None else (True, other[1])


def learning_rate_too_low(case: Case) -> Verdict:
    other = _better_rate(case, (10.0, 100.0))
    if other is None:
        return NO
    outcome, numbers = other
    # Longer steps also get over weights that were badly drawn, and inputs of unlike
    # scales. Units that long steps have put to death wake up in longer ones, at times.
    is_low = (
        _is_out_of_reach(case, outcome)
        and not _is_badly_drawn(case)
        and not _is_badly_scaled(case)
        and not learning_rate_too_high(case)[0]
    )
    return is_low, numbers


def _is_out_of_reach(case: Case, other: Outcome) -> bool:
    """Tell whether more epochs would not get as far on the training rows either."""
    longer = _longer(case)
    return longer is not None and is_worse(longer.train, other.train, case.least)


def _is_badly_drawn(case: Case) -> bool:
    """Tell whether the initial weights explain what is wrong."""
    return case.is_explained(case.refit(weight_init="auto"))


def _is_badly_scaled(case: Case) -> bool:
    """Tell whether the scales of the inputs explain what is wrong."""
    return case.is_explained(case.refit(scale_inputs=True))


def _better_rate(
    case: Case, factors: tuple[float, ...]
) -> tuple[Outcome, Numbers] | None:
    """Return what the first rate that explains what is wrong came to, if one does."""
    if not (case.is_harmed and case.trains_worse):
        return None
    for factor in factors:
        other = case.refit(learning_rate=_rate(case) * factor)
        if case.is_explained(other) and case.is_explained(other, "train"):
            return other, {"factor": factor, "closed": case.closed(other)}
    return None


def divergence(case: Case) -> Verdict:
    run = case.run
    is_finite = all(
        bool(torch.isfinite(tensor).all())
        for tensors in run.snapshots
        for tensor in tensors.values()
    )
    losses = _mean_losses(case)
    if not len(losses):
        return NO
    worst = DIVERGED * max(constant_loss(run.rows), losses[0])
    has_diverged = not is_finite or losses[-1] > worst
    numbers = {"is_finite": is_finite, "first": losses[0], "last": losses[-1]}
    return has_diverged and case.is_harmed, numbers


def _mean_losses(case: Case) -> np.ndarray:
    """Return the mean training loss after some epochs."""
    run = case.run
    return case.per_epoch(lambda tensors: run.losses(tensors, run.train).mean())


def _gain_at_the_end(case: Case) -> float:
    """Return what the last quarter of the epochs gained on the training rows."""
    run = case.run
    before = run.snapshots[(3 * run.n_epochs) // 4]
    ends = [run.losses(each, run.train).mean() for each in (before, run.snapshots[-1])]
    return float(ends[0] - ends[1])


def _longer(case: Case) -> Outcome | None:
    epochs = max(_LONG, LONGER * case.run.n_epochs)
    return case.refit(max_epochs=epochs, n_iter_no_change=None)


def stopped_too_early(case: Case) -> Verdict:
    if not case.run.snapshots:
        return NO
    gain = _gain_at_the_end(case) / constant_loss(case.run.rows)
    if gain < STILL_FALLING:
        return False, {"gain": gain}
    other = _longer(case)
    if not case.is_harmed:  # the twins may have been stopped, too
        return other is not None and case.is_worse(other), {"gain": gain}
    is_short = case.is_explained(other)
    numbers = {"gain": gain, "closed": case.closed(other)}
    # What another rate, or inputs of one scale, cure in as many epochs has had enough.
    is_other = (
        learning_rate_too_low(case)[0]
        or learning_rate_too_high(case)[0]
        or _is_badly_scaled(case)
    )
    return is_short and not is_other, numbers


# ---------------------------------------------------------------- fit to the rows


def underfitting(case: Case) -> Verdict:
    if not (case.is_harmed and case.trains_worse):
        return NO
    # Not less deep: what depth does to gradients is another fault.
    other = case.refit(
        n_units=64,
        n_layers=max(2, len(case.run.model.activations_)),
        dropout=0.0,
        l1=0.0,
        l2=0.0,
        weight_decay=0.0,
    )
    if not case.is_explained(other, "train"):
        return NO
    # What more epochs cure has only been stopped; and a larger network also gets over
    # steps of a wrong length and weights that were badly drawn.
    is_other = (
        case.is_explained(_longer(case), "train")
        or learning_rate_too_high(case)[0]
        or learning_rate_too_low(case)[0]
        or _is_badly_drawn(case)
        or _is_badly_scaled(case)
    )
    return not is_other, {"closed": case.closed(other, "train")}


def _halves(run: Run) -> tuple[np.ndarray, int]:
    """Return test losses, ``(epochs, rows)``, and the best epoch by half of the rows.

    The other half then says without bias what the best epoch is worth.
    """
    losses = np.array([run.losses(tensors, run.test) for tensors in run.snapshots])
    return losses[:, 1::2], int(losses[:, ::2].mean(axis=1).argmin())


def overfitting(case: Case) -> Verdict:
    run = case.run
    # Where the best weights were returned it is the validation that went wrong.
    if not run.snapshots or run.restores_best or not case.is_harmed:
        return NO
    losses, best = _halves(run)
    trained = [run.losses(run.snapshots[e], run.train).mean() for e in (best, -1)]
    is_over = is_worse(losses[-1], losses[best], case.least)
    numbers = {
        "best_epoch": best,
        "at_best": losses[best].mean(),
        "at_end": losses[-1].mean(),
    }
    return is_over and trained[1] < trained[0], numbers


def noisy_validation(case: Case) -> Verdict:
    run = case.run
    # Rows that the user gave cannot become more by a parameter.
    if not run.restores_best or run.rows.valid is not None or not case.is_harmed:
        return NO
    share = float(run.spec.params.get("validation_fraction", 0.1))
    numbers = {"n_valid": share * len(run.rows.train[1])}
    if share >= _MANY_HELD_OUT:
        return False, numbers
    other = case.refit(validation_fraction=_MANY_HELD_OUT)
    return case.is_explained(other), numbers


def network_too_large(case: Case) -> Verdict:
    ratio = case.outcome.n_weights / len(case.run.rows.train[1])
    is_large = ratio > WEIGHTS_PER_ROW and not case.trains_worse
    # Where the best weights were returned it is the validation that went wrong.
    if not is_large or case.run.restores_best or not case.is_harmed:
        return False, {"weights_per_row": ratio}
    is_large = any(case.is_explained(case.refit(n_units=units)) for units in _FEW_UNITS)
    # Narrow layers also tame weights that were badly drawn.
    return is_large and not _is_badly_drawn(case), {"weights_per_row": ratio}
