"""Findings about how networks fit their rows.

Each function looks for one thing in a run, and returns a finding or None. Thresholds
come from theory; some were corrected on development runs of ``benchmarks/diagnosis``.
"""

from __future__ import annotations

import numpy as np

from sknnopt._course_findings import (
    FEW_EPOCHS,
    LEARNED,
    is_held_back,
    is_narrow,
    learning_rate_too_high,
    learning_rate_too_low,
    stopped_too_early,
)
from sknnopt._evidence import Run
from sknnopt._findings import Finding
from sknnopt._gradient_findings import (
    dead_units,
    exploding_gradients,
    saturation,
    vanishing_gradients,
)
from sknnopt._table_findings import unscaled_inputs

#: Share of the constant response's loss that leaves next to nothing.
FITTED = 0.97
#: By that loss, a distance from training to validation loss that is not much.
NO_GAP = 0.25
#: Times the lowest validation loss, and shares of the constant response's loss by which
#: it has risen: noticeably, and badly.
OVERFITTED = 1.15
_RISE, _STEEP = 0.03, 0.5
#: Rows that a validation loss needs to choose an epoch by.
FEW_VALID = 25
#: Networks of an ensemble, as many as the estimators have by default.
ENSEMBLE = 8
#: Weights to each training row.
WEIGHTS_PER_ROW = 20


def underfitting(run: Run) -> Finding | None:
    """Look for a training loss that has settled high, though nothing was in its way."""
    if run.n_epochs < FEW_EPOCHS or run.n_diverged:
        return None
    if run.alike_layers or any(cause(run) for cause in _STANDSTILLS):
        return None
    # Narrow layers die easily: that is what being narrow leads to.
    if not is_narrow(run) and dead_units(run):
        return None
    # A network that is held back fits its own rows no better than others.
    progress = run.progress
    if not (is_held_back(run) and progress < FITTED and _gap(run) < NO_GAP):
        return None
    units = max(64, 2 * max(run.architecture.hidden, default=32))
    remedy = {
        "hidden_layer_sizes": None,
        "n_units": units,
        "n_layers": max(2, len(run.layers)),
        "dropout": 0.0,
        "l1": 0.0,
        "l2": 0.0,
        "weight_decay": 0.0,
    }
    return Finding(
        "underfitting",
        "severe" if progress < LEARNED else "mild",
        {
            "share of the loss taken off": progress,
            "training loss": float(np.nanmin(run.column("train_loss"))),
        },
        "The loss has settled high on the very rows that are trained on: the network "
        "is too small for them, or held back by penalties or dropout. Or the columns "
        "say no more of the target.",
        remedy,
        (),
        run.span,
    )


def overfitting(run: Run) -> Finding | None:
    """Look for a validation loss that rises while the training loss falls."""
    valid = run.column("valid_loss")
    if run.facts.get("restores_best") or run.n_epochs < FEW_EPOCHS:
        return None
    if not run.is_validated:
        return _memorized(run)
    best = int(valid.argmin())
    end = float(np.median(valid[-3:]))
    train = run.column("train_loss")
    rise = (end - valid[best]) / run.constant_loss
    has_risen = end > OVERFITTED * valid[best] and rise > _RISE
    if not (has_risen and train[-1] < train[best]):
        return None
    return Finding(
        "overfitting",
        "severe" if rise > _STEEP else "mild",
        {"lowest validation loss": float(valid[best]), "at the end": end},
        "The validation loss rises while the training loss falls: the network learns "
        "the rows by heart.",
        {"early_stopping": True},
        (),
        (best + 1, run.n_epochs),
    )


def _memorized(run: Run) -> Finding | None:
    """Judge by the training loss where nothing was held out."""
    train, level = run.column("train_loss"), run.constant_loss
    n_weights = run.layer_sizes.sum()
    is_learned = bool(train[-1] < 0.05 * level)
    if not is_learned or n_weights < 2 * run.facts.get("n_rows", np.inf):
        return None
    return Finding(
        "overfitting",
        "mild",
        {
            "training loss by the constant's": float(train[-1] / level),
            "weights per row": float(n_weights / run.facts["n_rows"]),
        },
        "The training loss is next to nothing, there are more weights than rows, and "
        "no row was held out to tell whether other rows fare as well.",
        {"early_stopping": True},
        (),
        run.span,
    )


def noisy_validation(run: Run) -> Finding | None:
    """Look for too few validation rows to choose an epoch by."""
    n_valid = run.facts.get("n_valid", 0)
    is_own = run.facts.get("restores_best") and not run.facts.get("is_given_valid")
    if not is_own or n_valid >= FEW_VALID or run.n_members > 1:
        return None
    return Finding(
        "noisy_validation",
        "mild",
        {"validation rows": float(n_valid)},
        f"A loss on {n_valid} rows says little of which epoch is best. Several "
        "networks that each hold out another fold validate on all rows, and their mean "
        "errs less.",
        {"n_members": ENSEMBLE},
        (),
        run.span,
    )


def network_too_large(run: Run) -> Finding | None:
    """Look for many more weights than rows, where the network overfits."""
    n_rows = run.facts.get("n_rows")
    if not n_rows or not overfitting(run):
        return None
    ratio = float(run.layer_sizes.sum() / n_rows)
    if ratio <= WEIGHTS_PER_ROW:
        return None
    return Finding(
        "network_too_large",
        "mild",
        {"weights per row": ratio},
        "There are many times more weights than rows, and the network overfits.",
        {"hidden_layer_sizes": None, "n_units": 8, "n_layers": min(2, len(run.layers))},
        run.layers,
        run.span,
    )


def _gap(run: Run) -> float:
    """Return how far the lowest validation loss is above the training loss."""
    valid, train = run.known("valid_loss"), run.known("train_loss")
    if not len(valid) or not len(train):
        return 0.0
    return float((valid.min() - train.min()) / run.constant_loss)


#: What keeps a network from learning, whatever its size.
_STANDSTILLS = (
    learning_rate_too_low,
    learning_rate_too_high,
    stopped_too_early,
    unscaled_inputs,
    vanishing_gradients,
    exploding_gradients,
    saturation,
)
