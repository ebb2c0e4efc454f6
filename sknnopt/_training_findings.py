"""Findings about steps, length, fit and rows of a run.

Each function looks for one thing in a run, and returns a finding or None. Thresholds
come from theory; some were corrected on development runs of ``benchmarks/diagnosis``.
"""

from __future__ import annotations

import numpy as np

from sknnopt._evidence import Run
from sknnopt._findings import Finding
from sknnopt._gradient_findings import (
    dead_units,
    exploding_gradients,
    is_drawn_large,
    saturation,
    shorter_steps,
    vanishing_gradients,
)

#: Share of itself by which a layer's weights move in a step: more is no descent.
LONG_STEP = 0.05
#: Less hardly moves a network in a run.
SHORT_STEP = 5e-4
#: Mean change of the training loss from epoch to epoch, by its level, in a rough run.
ROUGH = 0.05
#: Share of the constant response's loss that the last quarter of epochs still gained.
STILL_FALLING = 0.015
#: Share of the constant response's loss that a network should have taken off.
LEARNED = 0.1
#: Times the lowest validation loss.
OVERFITTED = 1.15
#: Rows that a validation loss needs to choose an epoch by.
FEW_VALID = 25
#: Ratio of the columns' standard deviations, and bounds of all of them.
UNEQUAL = 10.0
#: Share of a class by that in a balanced table.
RARE = 0.25
#: Weights to each training row.
WEIGHTS_PER_ROW = 20
#: Share of the networks that trained to the last epoch.
MOST = 0.5
#: Fewer epochs tell nothing of a course.
_FEW_EPOCHS = 5


def divergence(run: Run) -> Finding | None:
    """Look for numbers that are no longer finite, or a loss beyond all sense."""
    losses = run.column("train_loss")
    known = losses[np.isfinite(losses)]
    level = _constant_loss(run)
    # Networks that were drawn far too large begin with a loss like this, and fall.
    start = known[0] if len(known) and is_drawn_large(run) else level
    has_risen = len(known) > 1 and known[-1] > 2 * max(level, start)
    if not (run.n_diverged or has_risen):
        return None
    remedy: dict[str, object] = {"learning_rate": _rate(run) / 10, "clip_norm": 1.0}
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
        _rounded(remedy),
        (),
        (run.n_epochs, run.n_epochs),
    )


def learning_rate_too_high(run: Run) -> Finding | None:
    """Look for steps so long that the loss jumps instead of falling."""
    step, rough = _step(run), _roughness(run)
    is_rough = run.n_epochs >= _FEW_EPOCHS and step > LONG_STEP and rough > ROUGH
    # Steps that have put most units to death may be quiet since.
    is_far = bool(shorter_steps(run))
    has_killed = is_far and any(
        consequence(run) for consequence in (divergence, dead_units, saturation)
    )
    if not (has_killed or (is_rough and not divergence(run))):
        return None
    return Finding(
        "learning_rate_too_high",
        "severe" if _progress(run) < LEARNED else "mild",
        {
            "update by weights": step,
            "change of the loss per epoch": rough,
            "learning rate": _rate(run),
        },
        "Each step moves the weights by a large share of themselves, and the training "
        "loss jumps from epoch to epoch.",
        _rounded({"learning_rate": _rate(run) / 10}),
        (),
        run.span,
    )


def learning_rate_too_low(run: Run) -> Finding | None:
    """Look for steps so short that the loss falls steadily, and hardly."""
    if run.n_epochs < _FEW_EPOCHS or run.n_diverged:
        return None
    step, progress = _step(run), _progress(run)
    is_smooth = np.mean(np.diff(run.column("train_loss")) < 0) > 0.7
    if not (step < SHORT_STEP and is_smooth and _gain_at_end(run) > 0):
        return None
    if saturation(run):
        return None
    return Finding(
        "learning_rate_too_low",
        "severe" if progress < LEARNED else "mild",
        {
            "update by weights": step,
            "share of the loss taken off": progress,
            "learning rate": _rate(run),
        },
        "Each step moves the weights by next to nothing: the training loss falls "
        "evenly, and would do so for many more epochs.",
        _rounded({"learning_rate": _rate(run) * 10}),
        (),
        run.span,
    )


def stopped_too_early(run: Run) -> Finding | None:
    """Look for a loss that was still falling when the epochs were over."""
    limit = run.facts.get("max_epochs")
    is_cut = limit is not None and run.n_epochs >= limit and run.n_epochs > 1
    if not is_cut or run.cut_share <= MOST or run.n_diverged:
        return None
    if learning_rate_too_low(run) or any(cause(run) for cause in _BLOCKS):
        return None
    gain = _gain_at_end(run)
    if not gain > STILL_FALLING:
        return None
    epochs = 5 * run.n_epochs
    return Finding(
        "stopped_too_early",
        "mild",
        {"gain of the last quarter, by the constant's loss": gain},
        f"The loss was still falling after {run.n_epochs} epochs, the most allowed.",
        {"max_epochs": epochs},
        (),
        (max(1, 3 * run.n_epochs // 4), run.n_epochs),
    )


def underfitting(run: Run) -> Finding | None:
    """Look for a training loss that has settled near that of a constant."""
    if run.n_epochs < _FEW_EPOCHS or run.n_diverged:
        return None
    if run.alike_layers or any(cause(run) for cause in _STANDSTILLS):
        return None
    progress = _progress(run)
    if not progress < LEARNED:
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
        "severe",
        {
            "share of the loss taken off": progress,
            "training loss": float(np.nanmin(run.column("train_loss"))),
        },
        "The network has settled hardly below what a constant response reaches on the "
        "very rows that it trains on: it is too small, or held back by penalties or "
        "dropout. Or the columns say nothing of the target.",
        remedy,
        (),
        run.span,
    )


def overfitting(run: Run) -> Finding | None:
    """Look for a validation loss that rises while the training loss falls."""
    valid = run.column("valid_loss")
    if run.facts.get("restores_best") or run.n_epochs < _FEW_EPOCHS:
        return None
    if not np.isfinite(valid).all():
        return _memorized(run)
    best = int(valid.argmin())
    end = float(np.median(valid[-3:]))
    train = run.column("train_loss")
    if not (end > OVERFITTED * valid[best] and train[-1] < train[best]):
        return None
    return Finding(
        "overfitting",
        "severe" if end > 1.5 * valid[best] else "mild",
        {"lowest validation loss": float(valid[best]), "at the end": end},
        "The validation loss rises while the training loss falls: the network learns "
        "the rows by heart.",
        {"early_stopping": True},
        (),
        (best + 1, run.n_epochs),
    )


def _memorized(run: Run) -> Finding | None:
    """Judge by the training loss where nothing was held out."""
    train, level = run.column("train_loss"), _constant_loss(run)
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
        f"A loss on {n_valid} rows says little of which epoch is best.",
        {"validation_fraction": 0.25},
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


def unscaled_inputs(run: Run) -> Finding | None:
    """Look for columns of different scales that the networks see as they are."""
    inputs = run.facts.get("inputs")
    if run.parameters["scale_inputs"] or not inputs:
        return None
    least, greatest = inputs["least"], inputs["greatest"]
    is_unequal = greatest > UNEQUAL * least
    is_far = greatest > UNEQUAL or greatest < 1 / UNEQUAL or inputs["mean"] > UNEQUAL
    if not (is_unequal or is_far):
        return None
    return Finding(
        "unscaled_inputs",
        "severe" if greatest > UNEQUAL**2 * least or is_far else "mild",
        {
            "least standard deviation": least,
            "greatest": greatest,
            "largest mean": inputs["mean"],
        },
        "Columns differ in scale by orders of magnitude, so that no learning rate "
        "suits all of their weights.",
        {"scale_inputs": True},
        (0,),
        run.span,
    )


def imbalanced_classes(run: Run) -> Finding | None:
    """Look for a class with few rows that counts no more than others."""
    counts = run.facts.get("class_counts")
    if not counts or run.parameters.get("class_weight") is not None:
        return None
    share = min(counts) / sum(counts)
    if share >= RARE / len(counts):
        return None
    return Finding(
        "imbalanced_classes",
        "mild",
        {"share of the rarest class": share},
        "A class is so rare that answering with the others costs hardly any loss.",
        {"class_weight": "balanced"},
        (),
        run.span,
        "balanced_accuracy",
    )


#: What more epochs do not cure.
_BLOCKS = (exploding_gradients, dead_units, saturation)
#: What keeps a network from learning, whatever its size.
_STANDSTILLS = (
    learning_rate_too_low,
    learning_rate_too_high,
    stopped_too_early,
    unscaled_inputs,
    vanishing_gradients,
    *_BLOCKS,
)

# ---------------------------------------------------------------- shared


def _rate(run: Run) -> float:
    return float(run.facts["learning_rate"])


def _constant_loss(run: Run) -> float:
    """Return the loss of the best constant response; the first one's, if unknown."""
    level = run.facts.get("constant_loss")
    if level is not None:
        return float(level)
    losses = run.column("train_loss")
    known = losses[np.isfinite(losses)]
    return float(known[0]) if len(known) else 1.0


def _step(run: Run) -> float:
    """Return the typical length of an update by the weights' own."""
    ratios = run.of_layers("update_ratio")
    late = ratios[run.n_epochs // 2 :]
    known = late[np.isfinite(late) & (late > 0)]
    return float(np.exp(np.log(known).mean())) if len(known) else np.nan


def _roughness(run: Run) -> float:
    """Return the mean change of the loss between epochs of the second half."""
    losses = run.column("train_loss")[run.n_epochs // 2 :]
    if len(losses) < 2:
        return np.nan
    return float(np.abs(np.diff(losses)).mean() / losses.mean())


def _progress(run: Run) -> float:
    """Return the share of the constant response's loss that training took off."""
    losses = run.column("train_loss")
    known = losses[np.isfinite(losses)]
    return float(1 - known.min() / _constant_loss(run)) if len(known) else np.nan


def _gain_at_end(run: Run) -> float:
    """Return what the last quarter of epochs gained, by the constant's loss.

    Of the networks that were there to the end, and of the validation loss where there
    is one: a falling training loss alone is no reason to go on.
    """
    losses = run.column("lasting_loss")
    quarter = max(1, run.n_epochs // 4)
    before, after = losses[-2 * quarter : -quarter], losses[-quarter:]
    if not len(before):
        before = losses[:1]
    return float((before.mean() - after.mean()) / _constant_loss(run))


def _rounded(remedy: dict[str, object]) -> dict[str, object]:
    return {
        name: float(f"{value:.2g}") if isinstance(value, float) else value
        for name, value in remedy.items()
    }
