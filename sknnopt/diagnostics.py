"""What is wrong with a training run, the numbers that show it, and what to change.

``estimator.diagnose()`` looks at what a fit recorded; :func:`diagnose_initialization`
at networks before their first step. Every entry of ``FINDINGS`` looks for one thing.

Examples
--------
>>> from sknnopt import OptimizedMLPClassifier
>>> from sknnopt.datasets import load_pima
>>> from sknnopt.presets import PLAIN
>>> X, y = load_pima(return_X_y=True)
>>> model = OptimizedMLPClassifier(
...     **PLAIN, hidden_layer_sizes=(10,) * 8, activation="sigmoid", max_epochs=10,
...     random_state=0).fit(X, y)
>>> "vanishing_gradients" in model.diagnose().names
True
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sknnopt import _course_findings as course
from sknnopt import _fit_findings as fit
from sknnopt import _gradient_findings as gradients
from sknnopt import _table_findings as table
from sknnopt._evidence import Run
from sknnopt._findings import Diagnosis, Finding
from sknnopt._history import STATISTICS
from sknnopt._registry import Option

__all__ = [
    "FINDINGS",
    "Diagnosis",
    "Finding",
    "FindingOption",
    "diagnose_initialization",
    "layer_frame",
]


@dataclass(frozen=True, kw_only=True)
class FindingOption(Option):
    """Something to look for.

    Parameters
    ----------
    make : callable
        Called with a run; returns a :class:`Finding` or None.
    summary : str
        One line for documentation tables.
    reference : str
        The paper or book that describes it.
    presets : frozenset of str, default=frozenset()
        Unused.
    is_initial : bool, default=False
        Whether it can be told before the first step.
    """

    make: Callable[[Run], Finding | None]
    is_initial: bool = False


_DEEP_LEARNING = "Goodfellow, Bengio & Courville 2016, Deep Learning, "
#: In the order in which findings of the same severity are told: causes first.
#:
#: :meta hide-value:
FINDINGS: dict[str, FindingOption] = {
    "divergence": FindingOption(
        make=course.divergence,
        summary="The loss grows without bound, or a number is no longer finite.",
        reference=_DEEP_LEARNING + "section 8.2.4",
    ),
    "symmetric_initialization": FindingOption(
        make=gradients.symmetric_initialization,
        summary="All units of a layer are the same, and stay it.",
        reference=_DEEP_LEARNING + "section 8.4",
        is_initial=True,
    ),
    "unscaled_inputs": FindingOption(
        make=table.unscaled_inputs,
        summary="Columns differ in scale by orders of magnitude.",
        reference="LeCun et al. 1998, Efficient BackProp, section 4.3",
        is_initial=True,
    ),
    "exploding_gradients": FindingOption(
        make=gradients.exploding_gradients,
        summary="Gradients are many times longer than in a network drawn well.",
        reference="Pascanu, Mikolov & Bengio 2013, On the difficulty of training "
        "recurrent neural networks, section 2.1",
    ),
    "vanishing_gradients": FindingOption(
        make=gradients.vanishing_gradients,
        summary="The first layers' gradients are a small share of the last one's.",
        reference="Glorot & Bengio 2010, Understanding the difficulty of training deep "
        "feedforward neural networks, section 4",
        is_initial=True,
    ),
    "initialization_variance": FindingOption(
        make=gradients.initialization_variance,
        summary="With the initial weights the signal fades or grows with depth.",
        reference="He et al. 2015, Delving deep into rectifiers, section 2.2",
        is_initial=True,
    ),
    "saturation": FindingOption(
        make=gradients.saturation,
        summary="Most outputs lie at the flat ends of a sigmoid or tanh.",
        reference="Glorot & Bengio 2010, section 3",
        is_initial=True,
    ),
    "dead_units": FindingOption(
        make=gradients.dead_units,
        summary="Most relu units of a layer are 0 for every row.",
        reference="Maas, Hannun & Ng 2013, Rectifier nonlinearities improve neural "
        "network acoustic models",
        is_initial=True,
    ),
    "learning_rate_too_high": FindingOption(
        make=course.learning_rate_too_high,
        summary="Steps are so long that the loss jumps.",
        reference=_DEEP_LEARNING + "section 11.4.1",
    ),
    "learning_rate_too_low": FindingOption(
        make=course.learning_rate_too_low,
        summary="Steps are so short that the loss hardly falls.",
        reference=_DEEP_LEARNING + "section 11.4.1",
    ),
    "heavy_clipping": FindingOption(
        make=gradients.heavy_clipping,
        summary="Clipping changes most steps.",
        reference="Pascanu, Mikolov & Bengio 2013, section 3.2",
    ),
    "stopped_too_early": FindingOption(
        make=course.stopped_too_early,
        summary="The loss was still falling at the last epoch.",
        reference=_DEEP_LEARNING + "section 7.8",
    ),
    "underfitting": FindingOption(
        make=fit.underfitting,
        summary="The training loss has settled high, and something holds the network "
        "back.",
        reference=_DEEP_LEARNING + "section 5.2",
    ),
    "overfitting": FindingOption(
        make=fit.overfitting,
        summary="The validation loss rises while the training loss falls.",
        reference=_DEEP_LEARNING + "section 5.2",
    ),
    "network_too_large": FindingOption(
        make=fit.network_too_large,
        summary="There are many more weights than rows, and the network overfits.",
        reference=_DEEP_LEARNING + "section 5.2",
    ),
    "noisy_validation": FindingOption(
        make=fit.noisy_validation,
        summary="Too few rows are held out to choose an epoch by.",
        reference=_DEEP_LEARNING + "section 5.3",
    ),
    "imbalanced_classes": FindingOption(
        make=table.imbalanced_classes,
        summary="A class is rare, and counts no more than the others.",
        reference="He & Garcia 2009, Learning from imbalanced data",
    ),
}


def examine(run: Run) -> Diagnosis:
    """Look for everything in a run.

    Parameters
    ----------
    run : Run
        What it has left.

    Returns
    -------
    Diagnosis
        Severe findings first, then in the order of ``FINDINGS``.
    """
    options = [o for o in FINDINGS.values() if run.n_epochs or o.is_initial]
    with np.errstate(all="ignore"):  # a run that diverged left any numbers
        found = [finding for o in options if (finding := o.make(run)) is not None]
    found.sort(key=lambda finding: finding.severity != "severe")
    return Diagnosis(tuple(found), _summary(run))


def _summary(run: Run) -> str:
    networks = "1 network" if run.n_members == 1 else f"{run.n_members} networks"
    sizes = "-".join(map(str, run.architecture.sizes))
    epochs = f"{run.n_epochs} epochs" if run.n_epochs else "before the first step"
    text = f"{networks} of {sizes} units, {epochs}."
    if run.parameters.get("monitor") == "off" and run.n_epochs:
        text += " Without a monitor nothing is known of gradients and activations."
    return text


def diagnose_initialization(estimator: Any, X: Any) -> Diagnosis:
    """Look at networks before a single step: initial weights, activations and inputs.

    Parameters
    ----------
    estimator : OptimizedMLPClassifier or OptimizedMLPRegressor
        Fitted or not; it is left as it is. With ``random_state=None`` other weights
        are drawn than those of a fit.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Rows that it is to be trained on.

    Returns
    -------
    Diagnosis
        What can be told: symmetric weights, unscaled inputs, gradients that vanish,
        variance that fades or grows, saturation and dead units.

    Examples
    --------
    >>> from sknnopt import OptimizedMLPRegressor
    >>> from sknnopt.datasets import load_pima
    >>> from sknnopt.diagnostics import diagnose_initialization
    >>> X, y = load_pima(return_X_y=True)
    >>> model = OptimizedMLPRegressor(weight_init="zeros", random_state=0)
    >>> diagnose_initialization(model, X).names[0]
    'symmetric_initialization'
    """
    return examine(estimator._initial_run(X))


def layer_frame(history: Mapping[str, Any]) -> pd.DataFrame:
    """Return what a history tells of layers, one row for each.

    Parameters
    ----------
    history : DataFrame or mapping of str to array-like
        ``history_`` of an estimator.

    Returns
    -------
    DataFrame
        Columns ``member``, ``epoch``, ``layer`` (0 is the first hidden one, the last
        is the head), ``gradient_norm``, ``update_ratio``, ``dead_share``,
        ``saturated_share``, ``activation_mean`` and ``activation_variance``; NaN where
        a layer has no such thing.

    Examples
    --------
    >>> from sknnopt.diagnostics import layer_frame
    >>> history = {"member": [0], "epoch": [1], "gradient_norm_0": [0.2],
    ...            "gradient_norm_1": [0.5]}
    >>> layer_frame(history)[["layer", "gradient_norm"]].values.tolist()
    [[0.0, 0.2], [1.0, 0.5]]
    """
    frame = pd.DataFrame(dict(history))
    n_layers = sum(f"gradient_norm_{i}" in frame for i in range(frame.shape[1]))
    parts = []
    for layer in range(n_layers):
        part = frame[["member", "epoch"]].assign(layer=layer)
        for name in STATISTICS:
            part[name] = frame.get(f"{name}_{layer}", np.nan)
        parts.append(part)
    joined = pd.concat(parts, ignore_index=True)
    return joined.sort_values(["member", "epoch", "layer"], ignore_index=True)
