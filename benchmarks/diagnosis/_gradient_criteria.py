"""Criteria that look at gradients, units and initial weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from benchmarks.diagnosis._case import NO, Case, Verdict
from benchmarks.diagnosis._training import Run, Tensors

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
#: Share of the steps.
MOST_STEPS = 0.5
_N_BATCHES = 6


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


def vanishing_gradients(case: Case) -> Verdict:
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


def exploding_gradients(case: Case) -> Verdict:
    norms = case.per_epoch(case.run.norm)
    if not len(norms):
        return NO
    # A number that is not finite is beyond all bounds.
    greatest = float(np.nan_to_num(norms, nan=np.inf).max())
    times = greatest / np.mean([twin.start_norm for twin in case.twins])
    return times >= EXPLODED and case.is_harmed, {"times_the_twins": times}


def heavy_clipping(case: Case) -> Verdict:
    norm, value = (case.spec.params.get(f"clip_{kind}") for kind in ("norm", "value"))
    if norm is None and value is None:
        return NO
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


def dead_units(case: Case) -> Verdict:
    return _lost_units(case, dead_share)


def saturation(case: Case) -> Verdict:
    return _lost_units(case, saturated_share)


def _lost_units(case: Case, share_of: Callable[[Run, Tensors], float]) -> Verdict:
    shares = case.per_epoch(lambda tensors: share_of(case.run, tensors))
    if not len(shares):
        return NO
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


def symmetric_initialization(case: Case) -> Verdict:
    run = case.run
    if not run.snapshots:
        return NO
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


def initialization_variance(case: Case) -> Verdict:
    if not case.run.snapshots:
        return NO
    growth = variance_growth(case.run, case.run.snapshots[0])
    is_off = not 1 / VARIANCE < growth < VARIANCE
    if not is_off or not case.is_harmed:
        return False, {"growth": growth}
    return case.is_explained(case.refit(weight_init="auto")), {"growth": growth}


def _median(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else float("nan")
