"""Findings about gradients, units and initial weights.

Each function looks for one thing in a run, and returns a finding or None. Thresholds
come from theory; some were corrected on development runs of ``benchmarks/diagnosis``.
"""

from __future__ import annotations

import numpy as np

from sknnopt._evidence import Run
from sknnopt._findings import Finding
from sknnopt.activations import ACTIVATIONS
from sknnopt.optimizers import OPTIMIZERS

#: The first layer's gradient (root mean square) over the head's, in most epochs.
VANISHED = 0.01
#: Networks of fewer hidden layers have nowhere to lose a gradient.
_DEEP = 3
#: Times the gradient norm that a network with well-drawn weights begins with.
EXPLODED = 100.0
#: Norm of such a first gradient, by task: of a mean loss over a batch.
_USUAL_NORMS = {"classification": 2.0, "regression": 10.0}
#: Share of a layer's units, or of its outputs.
MOST = 0.5
#: Times that the variance of outputs may shrink or grow across the hidden layers.
VARIANCE = 100.0
#: Share of outputs that saturate where what comes in has a variance of about 100.
_SWAMPED = 0.83
#: Times the rule's own learning rate.
_FAR = 12.0
#: Share of steps that clipping may change.
CLIPPED = 0.5
#: Share of a run's epochs that are its beginning.
_BEGINNING = 0.25


def vanishing_gradients(run: Run) -> Finding | None:
    """Look for gradients that get lost on the way to the first layer."""
    depth = len(run.layers)
    # Behind units that are all alike or dead there is no gradient to get lost.
    if depth < _DEEP or run.alike_layers or dead_units(run):
        return None
    scaled = run.of_layers("gradient_norm") / np.sqrt(run.layer_sizes)
    if not run.n_epochs:
        scaled = run.first("gradient_norm")[None] / np.sqrt(run.layer_sizes)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = scaled[:, 0] / scaled[:, -1]
    share = float(np.mean(ratios < VANISHED))
    if not share > MOST:
        return None
    weak = np.nanmedian(scaled / scaled[:, -1:], axis=0)[:-1] < VANISHED
    ratio = float(np.nanmedian(ratios))
    names = dict.fromkeys(run.architecture.activations)
    remedy: dict[str, object] = {"activation": "relu", "weight_init": "auto"}
    if all(ACTIVATIONS[name].limits is None for name in names):
        remedy = {"weight_init": "auto", "normalization": "batch"}
    cause = (
        f"The gradient shrinks on its way through {depth} hidden layers "
        f"({', '.join(names)}), so that the first ones hardly learn."
    )
    if "sigmoid" in names:
        cause += " A sigmoid's derivative is at most 0.25, and each layer multiplies."
    return Finding(
        "vanishing_gradients",
        "severe",
        {"first layer's gradient by the head's": ratio, "share of epochs": share},
        cause,
        remedy,
        tuple(np.flatnonzero(weak).tolist()),
        run.span,
    )


def exploding_gradients(run: Run) -> Finding | None:
    """Look for gradients far longer than those of well-drawn networks."""
    norms, first = run.column("gradient_norm"), _first_norm(run)
    # A gradient that is no number was beyond all bounds before. One long gradient among
    # short ones is an accident of its batch.
    is_known = bool(run.n_epochs) and run.parameters.get("monitor") != "off"
    is_finite = not is_known or bool(np.isfinite(norms).all())
    typical = float(np.median(norms)) if is_known and is_finite else 0.0
    largest = float(np.nanmax([first, typical])) if is_finite else np.inf
    if not largest >= EXPLODED * _usual_norm(run):
        return None
    remedy: dict[str, object] = {"clip_norm": 1.0}
    cause = "Gradients are so long that a step throws the weights far off."
    if _is_drawn_large(run):
        remedy = {"weight_init": "auto", "clip_norm": 1.0}
        cause += " The initial weights are too large for the width of the layers."
    elif not run.parameters["scale_inputs"] and run.facts.get("inputs"):
        remedy = {"scale_inputs": True, "clip_norm": 1.0}
        cause += " The inputs are not standardized."
    elif shorter := shorter_steps(run):
        remedy = {**shorter, "clip_norm": 1.0}
        cause += " The learning rate is far above what is usual for this optimizer."
    numbers = {"largest gradient norm": largest, "at the first step": first}
    return Finding(
        "exploding_gradients", "severe", numbers, cause, remedy, (), run.span
    )


def dead_units(run: Run) -> Finding | None:
    """Look for relu units that answer 0 to every row of a batch."""
    shares = _settled(run, "dead_share")
    if shares is None:
        return None
    layers = np.flatnonzero(shares > MOST)
    if not len(layers):
        return None
    return Finding(
        "dead_units",
        # Where there is no progress yet, it will be slow.
        "severe" if shares.max() > 0.8 and not run.progress > MOST else "mild",
        {f"dead in layer {layer}": float(shares[layer]) for layer in layers},
        "Most relu units of a layer are 0 for every row, and so is their derivative: "
        "they learn no more. Steps that are too long bring it about.",
        {"activation": "leaky_relu", "weight_init": "auto", **shorter_steps(run)},
        tuple(layers.tolist()),
        run.span,
    )


def saturation(run: Run) -> Finding | None:
    """Look for sigmoid and tanh outputs on the flat ends of their function."""
    shares = _settled(run, "saturated_share")
    if shares is None:
        return None
    layers = np.flatnonzero(shares > MOST)
    if not len(layers):
        return None
    remedy: dict[str, object] = {"weight_init": "auto", "scale_inputs": True}
    is_drawn = (np.nan_to_num(run.first("saturated_share")) > MOST / 2).any()
    if not is_drawn:
        remedy = {"activation": "relu", "weight_init": "auto", **shorter_steps(run)}
    return Finding(
        "saturation",
        "severe" if shares.max() > 0.7 else "mild",
        {f"saturated in layer {layer}": float(shares[layer]) for layer in layers},
        "Most outputs lie near the limits of the activation, where its derivative is "
        "almost 0: "
        + (
            "weights or inputs were too large from the first."
            if is_drawn
            else "the weights have grown too large."
        ),
        remedy,
        tuple(layers.tolist()),
        run.span,
    )


def symmetric_initialization(run: Run) -> Finding | None:
    """Look for layers whose units are all the same."""
    layers = run.alike_layers
    if not layers:
        return None
    return Finding(
        "symmetric_initialization",
        "severe",
        {"layers of equal units": float(len(layers))},
        "All units of a layer have the same weights, get the same gradient and stay "
        "alike: the layer is one unit wide. Initial weights must differ.",
        {"weight_init": "auto"},
        layers,
        run.span,
    )


def initialization_variance(run: Run) -> Finding | None:
    """Look for initial weights with which the signal fades or grows with depth."""
    variances = run.first("activation_variance")[:-1]
    # Where the initial weights suit the activation, it is depth that does it.
    is_suited = run.parameters["weight_init"] == "auto"
    if is_suited or not len(variances) or not np.isfinite(variances).all():
        return None
    if (variances <= 0).any():
        return _variance_finding(run, variances, 0.0)
    growth = float(variances[-1] / variances[0])
    # Bounded outputs cannot grow: what grew before them shows in that they saturate.
    if run.first("saturated_share")[len(variances) - 1] > _SWAMPED:
        growth = max(growth, VARIANCE)
    if 1 / VARIANCE < growth < VARIANCE:
        return None
    return _variance_finding(run, variances, growth)


def _variance_finding(run: Run, variances: np.ndarray, growth: float) -> Finding:
    verb = "grow" if growth > 1 else "fade"
    return Finding(
        "initialization_variance",
        "severe" if growth < VARIANCE**-2 or growth > VARIANCE**2 else "mild",
        {
            "variance in the first layer": float(variances[0]),
            "in the last hidden layer": float(variances[-1]),
        },
        f"With the initial weights the rows' differences {verb} from layer to layer. "
        "He's initial weights keep them for relu, Xavier's for tanh.",
        {"weight_init": "auto"},
        run.layers,
        None,
    )


def heavy_clipping(run: Run) -> Finding | None:
    """Look for clipping that is the rule rather than the exception."""
    known = run.known("clipped_share")
    share = float(known.mean()) if len(known) else 0.0
    if share <= CLIPPED:
        return None
    norms = run.column("gradient_norm")
    median = float(np.nanmedian(norms)) if np.isfinite(norms).any() else 1.0
    return Finding(
        "heavy_clipping",
        "mild",
        {"clipped steps": share, "median gradient norm": median},
        "Clipping changes most steps, which makes it a smaller learning rate. It is "
        "meant for the few gradients that are far longer than the others.",
        {"clip_norm": float(f"{4 * median:.2g}"), "clip_value": None},
        (),
        run.span,
    )


# ---------------------------------------------------------------- shared


def _settled(run: Run, name: str) -> np.ndarray | None:
    """Return a share of each hidden layer, once the beginning is over."""
    if not run.n_epochs:
        shares = run.first(name)[:-1]
    else:
        of_epochs = run.of_layers(name)[:, :-1]
        shares = np.median(of_epochs[int(_BEGINNING * run.n_epochs) :], axis=0)
    return np.nan_to_num(shares) if len(shares) and np.isfinite(shares).any() else None


def _is_drawn_large(run: Run) -> bool:
    """Tell whether initial weights made gradients far too long in the first step."""
    is_suited = run.parameters["weight_init"] == "auto"
    return not is_suited and _first_norm(run) >= EXPLODED * _usual_norm(run)


def _first_norm(run: Run) -> float:
    return float(np.sqrt(np.sum(np.square(run.first("gradient_norm")))))


def _usual_norm(run: Run) -> float:
    """Return the norm of a gradient that well-drawn networks begin with."""
    first = _first_norm(run)
    is_well_drawn = run.parameters["weight_init"] == "auto"
    # Inputs that were not standardized may make it long from the first.
    if run.n_epochs and is_well_drawn and not run.facts.get("inputs") and first > 0:
        return first
    # Before a fit nothing is known of the target, and no unit is dropped.
    usual = _USUAL_NORMS.get(run.facts.get("task", ""), 1.0)
    # What dropout leaves of a layer it multiplies.
    kept = np.prod([1 - min(share, 0.99) for share in run.facts.get("dropout", ())])
    return usual / float(kept)


def shorter_steps(run: Run) -> dict[str, float]:
    """Return a lower learning rate where this one is far above the rule's own.

    Parameters
    ----------
    run : Run
        Whose rate and rule.

    Returns
    -------
    dict
        ``learning_rate``, or nothing.
    """
    rate = run.facts.get("learning_rate")
    usual = OPTIMIZERS[str(run.parameters["optimizer"])].learning_rate
    return {"learning_rate": usual} if rate is not None and rate > _FAR * usual else {}
