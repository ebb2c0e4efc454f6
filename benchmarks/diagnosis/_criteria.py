"""What makes a run deserve a finding's name: one criterion for each, in one place.

Every run is tested for every label. A criterion looks at what came of the run: at the
weights after its epochs, by autograd and forward passes, and at the losses of rows
apart beside healthy twins, and beside the same run with one thing changed. It reads
neither the settings that were meant as a fault nor anything of the monitor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.diagnosis._case import N_ERRORS, Case, is_worse
from benchmarks.diagnosis._tables import REGRESSION
from benchmarks.diagnosis._training import Outcome, Run, Tensors, constant_loss
from sknnopt.optimizers import OPTIMIZERS

TEST_LOSS, TRAIN_LOSS = "test loss", "training loss"
BALANCED_ACCURACY = "balanced accuracy"

Numbers = dict[str, Any]
Verdict = tuple[bool, Numbers]
_NO: Verdict = (False, {})

#: The first layer's gradient (root mean square) over the last's, below which it has
#: vanished.
VANISHED = 0.01
#: Times the gradient norm that the twin begins with.
EXPLODED = 100.0
#: Share of a layer's units, or of its units' values, from which on most are lost.
MOST_UNITS = 0.5
#: Share of its greatest value below which an activation's slope is flat.
_FLAT = 0.1
#: Times that variance may grow or shrink from the inputs to the last hidden layer.
VARIANCE = 100.0
#: Relative distance of weights below which units are identical.
_IDENTICAL = 1e-5
#: Share of the constant response's loss that the last quarter of epochs still gains.
STILL_FALLING = 0.01
#: Times the constant response's loss, and the initial loss, that has diverged.
DIVERGED = 2.0
#: Times as many epochs, and how many at least, to see where a run would go.
LONGER, _LONG = 3, 40
#: Ratio of the greatest to the least scale of columns.
_UNEQUAL = 10.0
#: Share of the steps.
MOST_STEPS = 0.5
#: Times the share of a class in a balanced table, below which it is rare.
RARE = 0.5
#: Weights to each training row.
WEIGHTS_PER_ROW = 10
_FEW_UNITS = 8
#: Share of the rows that are enough to validate on.
_MANY_HELD_OUT = 0.25
_N_BATCHES = 6


@dataclass(frozen=True)
class Label:
    """A finding's criterion.

    Parameters
    ----------
    is_met : callable
        Called with a :class:`Case`; returns whether the label holds, and the numbers
        behind it.
    summary : str
        What has to hold, in a sentence.
    metric : str
        What the fault makes worse.
    """

    is_met: Callable[[Case], Verdict]
    summary: str
    metric: str = TEST_LOSS


# ---------------------------------------------------------------- gradients


def gradient_ratio(run: Run, tensors: Tensors) -> float:
    """Return the first layer's gradient over the last's, as root mean squares.

    Parameters
    ----------
    run : Run
        On whose training rows.
    tensors : dict of Tensor
        The weights.

    Returns
    -------
    float
        NaN where both are zero.
    """
    gradient = run.gradient(tensors)
    last = len(run.model.activations_)
    sizes = [_rms(gradient[f"weight_{layer}"]) for layer in (0, last)]
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(np.divide(*sizes))


def _rms(tensor: Tensor) -> float:
    return float(tensor.double().square().mean().sqrt())


def _vanishing_gradients(case: Case) -> Verdict:
    ratios = case.per_epoch(lambda tensors: gradient_ratio(case.run, tensors))
    share = float(np.mean(ratios < VANISHED)) if len(ratios) else 0.0
    numbers = {"ratio": _median(ratios), "share_of_epochs": share}
    if share <= MOST_UNITS or not case.is_harmed:
        return False, numbers
    # The activation is what lets gradients vanish: with another, does it train?
    other = case.refit(activation="relu", weight_init="auto")
    if other is None:
        other = case.refit(n_layers=2)
    return case.is_explained(other), numbers


def _exploding_gradients(case: Case) -> Verdict:
    norms = case.per_epoch(case.run.norm)
    if not len(norms):
        return _NO
    # A number that is not finite is beyond all bounds.
    greatest = float(np.nan_to_num(norms, nan=np.inf).max())
    times = greatest / np.mean([twin.start_norm for twin in case.twins])
    return times >= EXPLODED and case.is_harmed, {"times_the_twins": times}


def _heavy_clipping(case: Case) -> Verdict:
    norm, value = (case.spec.params.get(f"clip_{kind}") for kind in ("norm", "value"))
    if norm is None and value is None:
        return _NO
    share = _clipped_share(case.run, norm, value)
    if share <= MOST_STEPS or not case.is_harmed:
        return False, {"clipped_share": share}
    other = case.refit(clip_norm=None, clip_value=None)
    return case.is_explained(other), {"clipped_share": share}


def _clipped_share(run: Run, norm: float | None, value: float | None) -> float:
    rng = np.random.default_rng(0)
    clipped = []
    for epoch in run.picked:
        tensors = run.snapshots[epoch]
        for batch in run.batches(rng, _N_BATCHES):
            gradient = run.gradient(tensors, batch).values()
            largest = max(float(each.abs().max()) for each in gradient)
            whole = sum(float(each.square().sum()) for each in gradient) ** 0.5
            is_long = norm is not None and whole > norm
            clipped.append(is_long or (value is not None and largest > value))
    return float(np.mean(clipped))


# ---------------------------------------------------------------- units


def dead_share(run: Run, tensors: Tensors) -> float:
    """Return the greatest share, over relu layers, of units that are zero everywhere.

    Parameters
    ----------
    run : Run
        On whose training rows.
    tensors : dict of Tensor
        The weights.

    Returns
    -------
    float
        Zero without a relu layer.
    """
    with torch.no_grad():
        after = run.forward(tensors, run.train[0])[1]
    shares = [
        float((units <= 0).all(dim=1).double().mean())
        for name, units in zip(run.model.activations_, after, strict=True)
        if name == "relu"
    ]
    return max(shares, default=0.0)


def saturated_share(run: Run, tensors: Tensors) -> float:
    """Return the greatest share, over sigmoid and tanh layers, of values on the flat.

    Parameters
    ----------
    run : Run
        On whose training rows.
    tensors : dict of Tensor
        The weights.

    Returns
    -------
    float
        Of all units and rows; zero without such a layer.
    """
    with torch.no_grad():
        after = run.forward(tensors, run.train[0])[1]
    slopes = {"tanh": lambda a: 1 - a.square(), "sigmoid": lambda a: 4 * a * (1 - a)}
    shares = [
        float((slopes[name](values) < _FLAT).double().mean())
        for name, values in zip(run.model.activations_, after, strict=True)
        if name in slopes
    ]
    return max(shares, default=0.0)


def _dead_units(case: Case) -> Verdict:
    return _lost_units(case, dead_share)


def _saturation(case: Case) -> Verdict:
    return _lost_units(case, saturated_share)


def _lost_units(case: Case, share_of: Callable[[Run, Tensors], float]) -> Verdict:
    shares = case.per_epoch(lambda tensors: share_of(case.run, tensors))
    if not len(shares):
        return _NO
    # Before the first step units have not been lost to training: half of the rest.
    share = float(np.median(shares[1:]))
    return share > MOST_UNITS and case.is_harmed, {"share": share}


def are_identical(tensors: Tensors, depth: int) -> bool:
    """Tell whether in every hidden layer all units have the same weights.

    Parameters
    ----------
    tensors : dict of Tensor
        The weights.
    depth : int
        Hidden layers.

    Returns
    -------
    bool
        False also for layers of a single unit, which have no other to be like.
    """
    layers = [tensors[f"weight_{layer}"] for layer in range(depth)]
    return all(
        weights.shape[-1] > 1
        and bool(
            (weights - weights[..., :1]).abs().max() <= _IDENTICAL * weights.abs().max()
        )
        for weights in layers
    )


def _symmetric_initialization(case: Case) -> Verdict:
    run = case.run
    if not run.snapshots:
        return _NO
    depth = len(run.model.activations_)
    ends = (run.snapshots[0], run.snapshots[-1])
    is_symmetric = all(are_identical(tensors, depth) for tensors in ends)
    return is_symmetric and case.is_harmed, {"is_symmetric": is_symmetric}


def variance_growth(run: Run, tensors: Tensors) -> float:
    """Return the variance before the last hidden activation over that of the inputs.

    Parameters
    ----------
    run : Run
        On whose training rows.
    tensors : dict of Tensor
        The weights.

    Returns
    -------
    float
        Variances over rows, as means over units and over columns.
    """
    X = run.train[0]
    with torch.no_grad():
        last = run.forward(tensors, X)[0][-1]
    inner = last.double().var(dim=1).mean() / X.double().var(dim=0).mean()
    return float(inner)


def _initialization_variance(case: Case) -> Verdict:
    if not case.run.snapshots:
        return _NO
    growth = variance_growth(case.run, case.run.snapshots[0])
    is_off = not 1 / VARIANCE < growth < VARIANCE
    if not is_off or not case.is_harmed:
        return False, {"growth": growth}
    return case.is_explained(case.refit(weight_init="auto")), {"growth": growth}


# ---------------------------------------------------------------- rate and length


def _rate(case: Case) -> float:
    given = case.spec.params.get("learning_rate", "auto")
    name = case.spec.params.get("optimizer", "adamw")
    return OPTIMIZERS[name].learning_rate if given == "auto" else float(given)


def _learning_rate_too_high(case: Case) -> Verdict:
    return _other_rate(case, (0.1, 0.01))


def _learning_rate_too_low(case: Case) -> Verdict:
    return _other_rate(case, (10.0, 100.0))


def _other_rate(case: Case, factors: tuple[float, float]) -> Verdict:
    if not (case.is_harmed and case.trains_worse):
        return _NO
    for factor in factors:
        other = case.refit(learning_rate=_rate(case) * factor)
        if case.is_explained(other) and case.is_explained(other, "train"):
            return True, {"factor": factor, "closed": case.closed(other)}
    return _NO


def _divergence(case: Case) -> Verdict:
    run = case.run
    is_finite = all(
        bool(torch.isfinite(tensor).all())
        for tensors in run.snapshots
        for tensor in tensors.values()
    )
    losses = _mean_losses(case)
    if not len(losses):
        return _NO
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


def _stopped_too_early(case: Case) -> Verdict:
    if not case.run.snapshots or not case.is_harmed:
        return _NO
    gain = _gain_at_the_end(case) / constant_loss(case.run.rows)
    if gain < STILL_FALLING:
        return False, {"gain": gain}
    other = _longer(case)
    return case.is_explained(other), {"gain": gain, "closed": case.closed(other)}


# ---------------------------------------------------------------- fit to the rows


def _underfitting(case: Case) -> Verdict:
    if not (case.is_harmed and case.trains_worse):
        return _NO
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
        return _NO
    # What more epochs cure has only been stopped.
    is_short = case.is_explained(_longer(case), "train")
    return not is_short, {"closed": case.closed(other, "train")}


def _halves(run: Run) -> tuple[np.ndarray, int]:
    """Return test losses, ``(epochs, rows)``, and the best epoch by half of the rows.

    The other half then says without bias what the best epoch is worth.
    """
    losses = np.array([run.losses(tensors, run.test) for tensors in run.snapshots])
    return losses[:, 1::2], int(losses[:, ::2].mean(axis=1).argmin())


def _overfitting(case: Case) -> Verdict:
    run = case.run
    # Where the best weights were returned it is the validation that went wrong.
    if not run.snapshots or run.restores_best or not case.is_harmed:
        return _NO
    losses, best = _halves(run)
    trained = [run.losses(run.snapshots[e], run.train).mean() for e in (best, -1)]
    is_over = is_worse(losses[-1], losses[best], case.least)
    numbers = {
        "best_epoch": best,
        "at_best": losses[best].mean(),
        "at_end": losses[-1].mean(),
    }
    return is_over and trained[1] < trained[0], numbers


def _noisy_validation(case: Case) -> Verdict:
    run = case.run
    # Rows that the user gave cannot become more by a parameter.
    if not run.restores_best or run.rows.valid is not None or not case.is_harmed:
        return _NO
    share = float(run.spec.params.get("validation_fraction", 0.1))
    numbers = {"n_valid": share * len(run.rows.train[1])}
    if share >= _MANY_HELD_OUT:
        return False, numbers
    other = case.refit(validation_fraction=_MANY_HELD_OUT)
    return case.is_explained(other), numbers


def _network_too_large(case: Case) -> Verdict:
    ratio = case.outcome.n_weights / len(case.run.rows.train[1])
    if ratio <= WEIGHTS_PER_ROW or not case.is_harmed or case.trains_worse:
        return False, {"weights_per_row": ratio}
    other = case.refit(n_units=_FEW_UNITS)
    return case.is_explained(other), {"weights_per_row": ratio}


# ---------------------------------------------------------------- the table


def _unscaled_inputs(case: Case) -> Verdict:
    X = case.run.train[0].double()
    scales = torch.sqrt(X.square().mean(dim=0))
    scales = scales[scales > 0]
    ratio = float(scales.max() / scales.min())
    # Columns of one scale are unscaled, too, where it is far from one.
    is_unscaled = (
        ratio > _UNEQUAL or not 1 / _UNEQUAL < float(scales.median()) < _UNEQUAL
    )
    if not is_unscaled or not case.is_harmed:
        return False, {"scales": ratio}
    return case.is_explained(case.refit(scale_inputs=True)), {"scales": ratio}


def balanced_accuracy(is_right: np.ndarray, y: np.ndarray) -> float:
    """Return the mean over classes of the share of rows that are classified rightly.

    Parameters
    ----------
    is_right : ndarray of bool of shape (rows,)
        Which are.
    y : ndarray of int of shape (rows,)
        Classes.

    Returns
    -------
    float
        In [0, 1].
    """
    return float(np.mean([is_right[y == label].mean() for label in np.unique(y)]))


def is_less_balanced(first: np.ndarray, second: np.ndarray, y: np.ndarray) -> bool:
    """Tell whether balanced accuracy is lower by more than the noise.

    Parameters
    ----------
    first, second : ndarray of bool of shape (rows,)
        Which rows each network classifies rightly.
    y : ndarray of int of shape (rows,)
        Classes.

    Returns
    -------
    bool
        Whether the difference exceeds ``N_ERRORS`` standard errors of paired rows.
    """
    gains, squares = [], []
    for label in np.unique(y):
        gain = second[y == label].astype(float) - first[y == label]
        gains.append(gain.mean())
        squares.append(gain.var(ddof=1) / len(gain))
    error = np.sqrt(np.sum(squares)) / len(squares)
    return bool(np.mean(gains) > N_ERRORS * error)


def _imbalanced_classes(case: Case) -> Verdict:
    rows = case.run.rows
    if rows.task == REGRESSION:
        return _NO
    counts = np.bincount(rows.train[1])
    share = float(counts.min() / counts.sum())
    other = None
    if share * len(counts) < RARE:
        other = case.refit(class_weight="balanced")
    if other is None:
        return False, {"rarest": share}
    is_right = case.outcome.is_right, other.is_right
    y = rows.test[1]
    scores = [balanced_accuracy(each, y) for each in is_right]
    numbers = {"rarest": share, "score": scores[0], "balanced_score": scores[1]}
    return is_less_balanced(*is_right, y), numbers


_EXPLAINS = "makes up for half of the distance to the twins or more"
#: Harm is a test loss above that of both twins by 2 standard errors (paired rows) and
#: by 2 % of the constant response's loss.
LABELS: dict[str, Label] = {
    "vanishing_gradients": Label(
        _vanishing_gradients,
        "In most epochs the first layer's gradient is less than 1 % of the last's "
        f"(autograd, root mean squares); harm; relu {_EXPLAINS}.",
    ),
    "exploding_gradients": Label(
        _exploding_gradients,
        "In some epoch the gradient's norm (autograd) is 100 times what the twins "
        "begin with, or not finite; harm.",
    ),
    "dead_units": Label(
        _dead_units,
        "In half of the epochs most units of a relu layer are zero on all training "
        "rows; harm.",
    ),
    "saturation": Label(
        _saturation,
        "In half of the epochs most values of a sigmoid or tanh layer lie where the "
        "slope is below a tenth of its greatest; harm.",
    ),
    "symmetric_initialization": Label(
        _symmetric_initialization,
        "At the beginning and at the end all units of each hidden layer are the same; "
        "harm.",
    ),
    "initialization_variance": Label(
        _initialization_variance,
        "Initially the last hidden layer's variance (before its activation) is 100 "
        "times greater or less than the inputs'; harm; the automatic initializer "
        f"{_EXPLAINS}.",
    ),
    "learning_rate_too_high": Label(
        _learning_rate_too_high,
        "Harm, and a training loss above the twins'; a tenth or a hundredth of the "
        f"rate {_EXPLAINS}, on training and test rows.",
    ),
    "learning_rate_too_low": Label(
        _learning_rate_too_low,
        "Harm, and a training loss above the twins'; 10 or 100 times the rate "
        f"{_EXPLAINS}, on training and test rows.",
    ),
    "divergence": Label(
        _divergence,
        "A weight is not finite, or the training loss ends above twice the constant "
        "response's and twice the initial one; harm.",
    ),
    "overfitting": Label(
        _overfitting,
        "The last weights, which are returned, have a higher test loss than those of "
        "the best epoch (chosen on other rows), and a lower training loss; harm.",
    ),
    "underfitting": Label(
        _underfitting,
        "Harm, and a training loss above the twins'; 64 units in 2 layers or more "
        f"without dropout, penalties and decay {_EXPLAINS} on the training rows, and "
        "more epochs do not.",
        TRAIN_LOSS,
    ),
    "stopped_too_early": Label(
        _stopped_too_early,
        "The last quarter of epochs still gained 1 % of the constant response's "
        f"training loss; harm; three times the epochs {_EXPLAINS}.",
    ),
    "noisy_validation": Label(
        _noisy_validation,
        "The weights of the best validation loss were returned; harm; a quarter of the "
        f"rows for validation, instead of fewer, {_EXPLAINS}.",
    ),
    "unscaled_inputs": Label(
        _unscaled_inputs,
        "The columns that the network sees differ in scale by a factor of 10, or from "
        f"one by 10; harm; scaled inputs {_EXPLAINS.replace('makes', 'make')}.",
    ),
    "heavy_clipping": Label(
        _heavy_clipping,
        "Most steps have a gradient (autograd) beyond the limit; harm; no clipping "
        f"{_EXPLAINS}.",
    ),
    "imbalanced_classes": Label(
        _imbalanced_classes,
        "A class has less than half of its share in a balanced table, and balanced "
        "weights raise the balanced accuracy by 2 standard errors.",
        BALANCED_ACCURACY,
    ),
    "network_too_large": Label(
        _network_too_large,
        "More than 10 weights to a training row, a training loss not above the twins'; "
        f"harm; 8 units a layer {_EXPLAINS.replace('makes', 'make')}.",
    ),
}


def _median(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else float("nan")


def label(case: Case) -> dict[str, Verdict]:
    """Test a run for every label.

    Parameters
    ----------
    case : Case
        The run.

    Returns
    -------
    dict
        For each of ``LABELS`` whether it holds, and the numbers behind it.
    """
    return {name: each.is_met(case) for name, each in LABELS.items()}
