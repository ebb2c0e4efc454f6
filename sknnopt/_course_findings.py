"""Findings about the course of a run: its steps, and when it ended.

Each function looks for one thing in a run, and returns a finding or None. Thresholds
come from theory; some were corrected on development runs of ``benchmarks/diagnosis``.
"""

from __future__ import annotations

import numpy as np

from sknnopt._evidence import Run
from sknnopt._findings import Finding, rounded
from sknnopt._gradient_findings import (
    dead_units,
    exploding_gradients,
    initialization_variance,
    saturation,
    shorter_steps,
    vanishing_gradients,
)
from sknnopt._table_findings import imbalanced_classes, unscaled_inputs

#: Share of itself by which a layer's weights move in a step: more is no descent.
LONG_STEP = 0.05
#: Less hardly moves a network in a run.
SHORT_STEP = 1e-3
#: Mean change of the training loss from epoch to epoch, by its level, in a rough run.
ROUGH = 0.05
#: Share of the constant response's loss that an epoch of the last quarter still gained,
#: in runs of few epochs; and that the whole last quarter did in longer ones, where less
#: is of no consequence.
STILL_FALLING, STILL_GAINING = 0.002, 0.02
#: Epochs that are few.
_SHORT = 12
#: Share of the constant response's loss that a network should have taken off; less than
#: the second is nothing; more than the third leaves nothing to steps of any length.
LEARNED, _NOTHING, _ALL = 0.1, 0.025, 0.95
#: Share of the networks that trained to the last epoch.
MOST = 0.5
#: Fewer epochs tell nothing of a course.
FEW_EPOCHS = 5
#: Fewer have no end that could be told from their beginning.
_FEWEST = 2
#: Epochs without a gain that early stopping should wait for, at least and usually; and
#: the gain above which it asks for too much.
_IMPATIENT, PATIENT = 4, 15
_COARSE = 0.02
#: What holds a network back: fewer units in a layer, or this dropout, penalty or decay.
NARROW = 4
STRONG_DROPOUT = 0.5
STRONG_PENALTY = 0.01
STRONG_DECAY = 0.3


def divergence(run: Run) -> Finding | None:
    """Look for numbers that are no longer finite, or a loss beyond all sense."""
    known, level = run.known("train_loss"), run.constant_loss
    # Networks that were drawn far too large begin with a loss like this, and fall.
    start = known[0] if len(known) else level
    has_risen = len(known) > 1 and known[-1] > 2 * max(level, start)
    if not (run.n_diverged or has_risen):
        return None
    remedy: dict[str, object] = {**_lower_rate(run), "clip_norm": 1.0}
    if not run.parameters["scale_inputs"]:
        remedy["scale_inputs"] = True
    return Finding(
        "divergence",
        "severe",
        {
            "diverged networks": float(run.n_diverged),
            "last training loss": float(known[-1]) if len(known) else np.inf,
            "of the constant response": level,
        },
        "Steps are too long for the loss: it grows, and at last its numbers are not "
        "finite.",
        rounded(remedy),
        (),
        (run.n_epochs, run.n_epochs),
    )


def learning_rate_too_high(run: Run) -> Finding | None:
    """Look for steps so long that the loss jumps instead of falling."""
    is_long = run.step > LONG_STEP and run.roughness > ROUGH
    is_rough = run.n_epochs >= FEW_EPOCHS and is_long
    # Steps that have put most units to death may be quiet since.
    is_far = bool(shorter_steps(run))
    has_killed = is_far and any(
        consequence(run) for consequence in (divergence, dead_units, saturation)
    )
    if not (has_killed or (is_rough and not divergence(run))):
        return None
    return Finding(
        "learning_rate_too_high",
        "severe" if has_killed else "mild",
        {
            "update by weights": run.step,
            "change of the loss per epoch": run.roughness,
            "learning rate": _rate(run),
        },
        "Each step moves the weights by a large share of themselves, and the training "
        "loss jumps from epoch to epoch.",
        rounded(_lower_rate(run)),
        (),
        run.span,
    )


def learning_rate_too_low(run: Run) -> Finding | None:
    """Look for steps so short that the loss falls steadily, and hardly."""
    if run.n_epochs < FEW_EPOCHS or run.n_diverged:
        return None
    is_creeping = _creeps(run)
    if not (is_creeping or _stands_still(run)):
        return None
    if any(cause(run) for cause in (*_BLOCKS, initialization_variance)):
        return None
    return Finding(
        "learning_rate_too_low",
        "severe" if is_creeping and run.progress < LEARNED else "mild",
        {
            "update by weights": run.early_step,
            "share of the loss taken off": run.progress,
            "learning rate": _rate(run),
        },
        "Each step moves the weights by next to nothing: the training loss falls "
        "evenly, and would do so for many more epochs."
        if is_creeping
        else "The training loss has not left the level of a constant response, though "
        "nothing else is in its way: steps of this length do not get off it.",
        rounded({"learning_rate": _rate(run) * 10}),
        (),
        run.span,
    )


def _creeps(run: Run) -> bool:
    """Tell whether the loss falls evenly, in very short steps, and has far to go."""
    is_smooth = np.mean(np.diff(run.column("train_loss")) < 0) > 0.7
    is_short = run.early_step < SHORT_STEP and run.progress < _ALL
    return bool(is_short and is_smooth and run.gain_at_end > 0)


def _stands_still(run: Run) -> bool:
    """Tell whether a network that could learn has taken nothing off the loss."""
    if not run.progress < _NOTHING or run.alike_layers or is_held_back(run):
        return False
    return not any(cause(run) for cause in _STANDSTILLS)


def stopped_too_early(run: Run) -> Finding | None:
    """Look for a loss that was still falling when the epochs were over."""
    limit = run.facts.get("max_epochs")
    is_cut = limit is not None and run.n_epochs >= limit and run.cut_share > MOST
    is_hasty = _is_hasty(run)
    if not (is_cut or is_hasty) or run.n_epochs < _FEWEST or run.n_diverged:
        return None
    if run.alike_layers or learning_rate_too_low(run):
        return None
    if is_held_back(run) or any(cause(run) for cause in _HINDRANCES):
        return None
    if not _still_gains(run):
        return None
    remedy: dict[str, object] = {"max_epochs": max(5 * run.n_epochs, int(limit or 0))}
    cause = f"The loss was still falling after {run.n_epochs} epochs, "
    cause += "the most allowed." if is_cut else "when early stopping ended the run."
    if is_hasty:
        remedy |= {"n_iter_no_change": PATIENT, "tol": 1e-4}
    return Finding(
        "stopped_too_early",
        "mild",
        {"gain of the last quarter, by the constant's loss": run.gain_at_end},
        cause,
        remedy,
        (),
        (max(1, 3 * run.n_epochs // 4), run.n_epochs),
    )


def _still_gains(run: Run) -> bool:
    """Tell whether the loss still falls at the end, and not by chance."""
    if run.n_epochs <= _SHORT:
        return run.gain_at_end > STILL_FALLING * run.quarter
    # Of its own rows a network has always a little more to learn.
    least = max(STILL_GAINING, 2 * run.scatter_at_end)
    return run.is_validated and run.gain_at_end > least


def _is_hasty(run: Run) -> bool:
    """Tell whether early stopping waits for few epochs, or asks for large gains."""
    patience, tol = run.facts.get("patience"), run.facts.get("tol")
    if patience is None or not run.facts.get("restores_best"):
        return False
    return bool(patience < _IMPATIENT or (tol is not None and tol > _COARSE))


def is_held_back(run: Run) -> bool:
    """Tell whether something keeps the networks from fitting even their own rows.

    Parameters
    ----------
    run : Run
        Whose layers, dropout and penalties.

    Returns
    -------
    bool
        Whether a layer is very narrow, or dropout, penalties or decay are strong.
    """
    facts = run.facts
    return (
        is_narrow(run)
        or max(facts.get("dropout", ()), default=0.0) >= STRONG_DROPOUT
        or facts.get("penalty", 0.0) >= STRONG_PENALTY
        or facts.get("weight_decay", 0.0) >= STRONG_DECAY
    )


#: What keeps a loss where it is, whatever the length of the steps, or by their length.
_STANDSTILLS = (unscaled_inputs, vanishing_gradients, learning_rate_too_high)
#: What longer steps do not cure.
_BLOCKS = (exploding_gradients, dead_units, saturation)
#: What more epochs do not cure.
_HINDRANCES = (*_BLOCKS, unscaled_inputs, imbalanced_classes)


def is_narrow(run: Run) -> bool:
    """Tell whether a layer has hardly any units.

    Parameters
    ----------
    run : Run
        Whose layers.

    Returns
    -------
    bool
        Whether there are fewer than ``NARROW`` in one.
    """
    return min(run.architecture.hidden, default=NARROW) < NARROW


def _rate(run: Run) -> float:
    return float(run.facts["learning_rate"])


def _lower_rate(run: Run) -> dict[str, float]:
    """Return the rule's own rate where this one is far above it, or a tenth of it."""
    return shorter_steps(run) or {"learning_rate": _rate(run) / 10}
