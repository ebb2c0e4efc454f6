"""Networks of scikit-learn's multilayer perceptrons: parameters and weights, both ways.

What has no equivalent is refused: a network that only seems to be the same would be
worse than none.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import LabelBinarizer

from sknnopt._inputs import Inputs
from sknnopt._layout import Layout
from sknnopt._normalization import EPSILON

#: Their activations and ours.
ACTIVATIONS = {
    "identity": "identity",
    "logistic": "sigmoid",
    "tanh": "tanh",
    "relu": "relu",
}
#: Parameters that mean the same under one name or two, theirs and ours.
SAME = {
    "max_iter": "max_epochs",
    "shuffle": "shuffle",
    "random_state": "random_state",
    "tol": "tol",
    "verbose": "verbose",
    "warm_start": "warm_start",
    "momentum": "momentum",
    "nesterovs_momentum": "nesterov",
    "early_stopping": "early_stopping",
    "validation_fraction": "validation_fraction",
    "n_iter_no_change": "n_iter_no_change",
}
#: Theirs divides its learning rate by this after a plateau.
ADAPTIVE = 0.2
#: What batch_size="auto" is there, on tables that are not shorter.
AUTO_BATCH = 200


def is_halved(theirs: Any) -> bool:
    """Tell whether their loss is half of ours: the squared error is."""
    loss = getattr(theirs, "loss", "squared_error")
    return isinstance(theirs, MLPRegressor) and loss == "squared_error"


def penalty_factor(theirs: Any) -> float:
    """Return what their alpha is divided by to be our l2."""
    batch = theirs.batch_size if isinstance(theirs.batch_size, Integral) else AUTO_BATCH
    return float(batch) if is_halved(theirs) else 2.0 * float(batch)


def fitted_mlp(ours: Any, *, is_classifier: bool) -> Any:
    """Return their estimator with the network of a fitted one of ours.

    Parameters
    ----------
    ours : BaseOptimizedMLP
        Fitted.
    is_classifier : bool
        Which of the two it is.

    Returns
    -------
    MLPClassifier or MLPRegressor
        As ``to_sklearn`` returns it.

    Raises
    ------
    ValueError
        If there is none.
    """
    activation = _activation(ours)
    layers = _layers(ours)
    kind = MLPClassifier if is_classifier else MLPRegressor
    theirs = kind(hidden_layer_sizes=ours.hidden_layer_sizes_, activation=activation)
    head = _to_classes if is_classifier else _to_units
    head(theirs, ours, layers)
    _set_parameters(theirs, ours)
    theirs.coefs_ = [weight for weight, _ in layers]
    theirs.intercepts_ = [bias for _, bias in layers]
    theirs.n_layers_ = len(layers) + 1
    theirs.n_outputs_ = layers[-1][1].shape[0]
    theirs.n_features_in_ = ours.n_features_in_
    if hasattr(ours, "feature_names_in_"):
        theirs.feature_names_in_ = ours.feature_names_in_
    _set_course(theirs, ours)
    return theirs


def _refuse(name: str, found: Any, accepted: str) -> ValueError:
    return ValueError(
        f"scikit-learn has no such network: {name} is {found!r}, and it must be "
        f"{accepted}. Use to_torch or to_onnx, or fit again with it."
    )


def _activation(ours: Any) -> str:
    """Return their name of the activation, or refuse the network."""
    members = len(ours._record["weights"])
    if members != 1:
        raise _refuse("n_members", members, "1")
    if ours.normalization_ == "layer":
        raise _refuse("normalization", "layer", "None or 'batch'")
    inputs: Inputs = ours._inputs
    if inputs.bins_:
        raise _refuse("n_bins", ours.n_bins, "None")
    if not inputs.is_plain:
        count = int(np.sum(inputs.is_categorical_))
        raise _refuse("the number of columns with categories", count, "0")
    found = set(ours.activations_)
    names = {own: name for name, own in ACTIVATIONS.items()}
    if len(found) > 1 or not found <= names.keys():
        accepted = f"one of {', '.join(map(repr, names))} in all layers"
        raise _refuse("activation", ours.activations_, accepted)
    return names[found.pop()] if found else "relu"


Layers = list[tuple[np.ndarray, np.ndarray]]


def _layers(ours: Any) -> Layers:
    """Return weights and biases with inputs' scales and normalization absorbed."""
    flat = ours._record["weights"].astype(np.float64)
    layout = Layout.of(ours._architecture)
    parts = {
        (segment.kind, segment.layer): flat[0, segment.columns].reshape(segment.shape)
        for segment in layout.segments
    }
    layers = []
    for layer in range(len(ours.hidden_layer_sizes_) + 1):
        weight, bias = parts["weight", layer], parts["bias", layer][0]
        if ("variance", layer) in parts:
            mean, variance, scale, shift = (
                parts[kind, layer][0] for kind in ("mean", "variance", "scale", "shift")
            )
            factor = scale / np.sqrt(variance + EPSILON)
            weight, bias = weight * factor, (bias - mean) * factor + shift
        layers.append((weight, bias))
    weight, bias = layers[0]
    layers[0] = _of_raw_numbers(ours._inputs, weight, bias)
    return layers


def _of_raw_numbers(
    inputs: Inputs, weight: np.ndarray, bias: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Let the first layer take numbers as they come."""
    # Behind them are indicators, which are zero where nothing is missing.
    weight = weight[: len(inputs.mean_)]
    if not inputs.scale_inputs:
        return weight, bias
    weight = weight * inputs.factor(weight.dtype)[:, None]
    return weight, bias if inputs.is_sparse_ else bias - inputs.mean_ @ weight


def _to_classes(theirs: Any, ours: Any, layers: Layers) -> None:
    """Give their classifier the head of ours, and its classes."""
    n_classes, n_outputs = len(ours.classes_), len(layers[-1][1])
    if n_classes == 1 and not ours._is_multilabel:
        raise _refuse("the number of classes", 1, "2 or more")
    is_softmax = ours.loss_name_ == "categorical_cross_entropy"
    if is_softmax and n_classes == 2:
        # A softmax of two is a sigmoid of their difference.
        weight, bias = layers[-1]
        layers[-1] = weight[:, 1:] - weight[:, :1], bias[1:] - bias[:1]
        is_softmax = False
    theirs.out_activation_ = "softmax" if is_softmax else "logistic"
    known = np.eye(n_outputs, dtype=int) if ours._is_multilabel else ours.classes_
    if ours._is_multilabel:
        known = np.vstack([known, np.ones_like(known[:1])])
    theirs._label_binarizer = LabelBinarizer().fit(known)
    theirs.classes_ = theirs._label_binarizer.classes_


def _to_units(theirs: Any, ours: Any, layers: Layers) -> None:
    """Give their regressor the head of ours, in the target's units."""
    target, (weight, bias) = ours._target, layers[-1]
    if ours.loss_name_ != "poisson":
        theirs.out_activation_ = "identity"
        layers[-1] = weight * target["scale"], bias * target["scale"] + target["mean"]
        return
    if "loss" not in theirs.get_params():
        raise _refuse("loss", "poisson", "another with this release of scikit-learn")
    theirs.set_params(loss="poisson")
    theirs.out_activation_ = "exp"
    layers[-1] = weight, bias + np.log(target["scale"])


def _set_parameters(theirs: Any, ours: Any) -> None:
    """Set what both have, where the value is one that theirs takes."""
    given = {
        name: getattr(ours, own)
        for name, own in SAME.items()
        if own != "verbose" and not isinstance(getattr(ours, own), str)
    }
    if ours.n_iter_no_change is None:
        given["n_iter_no_change"] = np.inf
    if not isinstance(ours.validation_fraction, Real):
        del given["validation_fraction"]
    if ours.optimizer in ("adam", "sgd"):
        given["solver"] = ours.optimizer
    if isinstance(ours.batch_size, Integral):
        given["batch_size"] = int(ours.batch_size)
    theirs.set_params(verbose=bool(ours.verbose), **given)
    if isinstance(ours.learning_rate, Real):
        is_half = is_halved(theirs) and ours.optimizer == "sgd"
        theirs.learning_rate_init = float(ours.learning_rate) * (2 if is_half else 1)
    if ours.optimizer == "sgd" and ours.lr_schedule == "reduce_on_plateau":
        theirs.learning_rate = "adaptive"
    is_same = isinstance(ours.l2, Real)
    theirs.alpha = float(ours.l2) * penalty_factor(theirs) if is_same else 0.0


def _set_course(theirs: Any, ours: Any) -> None:
    """Set what a fit of theirs leaves, and goes on from."""
    losses = _losses(ours._history)
    theirs.n_iter_, theirs.t_ = ours.n_iter_, ours.n_iter_ * ours._facts["n_rows"]
    theirs.loss_curve_ = losses
    theirs.loss_ = losses[-1] if losses else np.nan
    theirs.best_loss_ = min(losses, default=np.inf)
    theirs.validation_scores_ = theirs.best_validation_score_ = None
    theirs._no_improvement_count = 0
    if theirs.early_stopping:
        theirs.best_loss_, theirs.best_validation_score_ = None, -np.inf
        theirs.validation_scores_ = []
        theirs._best_coefs = [weight.copy() for weight in theirs.coefs_]
        theirs._best_intercepts = [bias.copy() for bias in theirs.intercepts_]


def _losses(history: dict[str, np.ndarray]) -> list[float]:
    losses = history["train_loss"] + history.get("penalty", 0.0)
    found: list[float] = np.asarray(losses, dtype=float).tolist()
    return found


def flat_weights(theirs: Any, layout: Layout) -> np.ndarray:
    """Return the numbers of their network as one of ours has them.

    Parameters
    ----------
    theirs : MLPClassifier or MLPRegressor
        Fitted.
    layout : Layout
        Where each number belongs.

    Returns
    -------
    ndarray of shape (1, columns)
        Of a single member.
    """
    kinds: dict[str, Sequence[np.ndarray]]
    kinds = {"weight": theirs.coefs_, "bias": theirs.intercepts_}
    flat = np.zeros((1, layout.n_columns), dtype=theirs.coefs_[0].dtype)
    for segment in layout.segments:
        flat[0, segment.columns] = kinds[segment.kind][segment.layer].ravel()
    return flat
