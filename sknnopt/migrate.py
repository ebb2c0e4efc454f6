"""Estimators of other libraries as estimators of this one.

Examples
--------
>>> from sklearn.neural_network import MLPClassifier
>>> from sknnopt.migrate import from_sklearn
>>> from_sklearn(MLPClassifier((32, 16), batch_size=64, alpha=0.128)).l2
0.001
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor

from sknnopt._architecture import Architecture
from sknnopt._assembly import Data
from sknnopt._base import BaseOptimizedMLP
from sknnopt._fitting import Trained
from sknnopt._guard import Guard
from sknnopt._inputs import make_inputs
from sknnopt._interrupts import Interrupt
from sknnopt._job import Kind
from sknnopt._layout import Layout
from sknnopt._record import Record, make_generators
from sknnopt._scikit_learn import (
    ACTIVATIONS,
    ADAPTIVE,
    AUTO_BATCH,
    SAME,
    flat_weights,
    is_halved,
    penalty_factor,
)
from sknnopt.classifier import OptimizedMLPClassifier
from sknnopt.losses import LOSSES
from sknnopt.presets import PLAIN
from sknnopt.regressor import OptimizedMLPRegressor

#: Of Adam, fixed at these values here.
_FIXED = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8}


def from_sklearn(estimator: MLPClassifier | MLPRegressor) -> Any:
    """Return the equivalent of a multilayer perceptron of scikit-learn's.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        Fitted or not; it is left as it is.

    Returns
    -------
    OptimizedMLPClassifier or OptimizedMLPRegressor
        One network, with what helps networks here switched off, and with the
        parameters of the given one. If that is fitted, so is this, with the same
        weights: it predicts the same, and ``warm_start`` and ``partial_fit`` go on from
        there, with a fresh optimizer. ``history_`` has the losses.

    Raises
    ------
    TypeError
        If it is another estimator.
    ValueError
        If a parameter has no equivalent here: ``solver="lbfgs"`` (of a network that is
        not fitted), ``learning_rate="invscaling"``, other constants of Adam than the
        default ones, or one class alone. The error names all of them.

    Warns
    -----
    UserWarning
        If a fitted network was trained with ``solver="lbfgs"``: training goes on with
        Adam.

    See Also
    --------
    sknnopt.OptimizedMLPClassifier.to_sklearn : The reverse.

    Notes
    -----
    ``alpha`` becomes ``l2``, divided by twice the rows of a batch (with a squared error
    by the rows of a batch), where ``"auto"`` counts as 200 rows. Initial weights and
    the order of rows are drawn in another way, a regressor that is not fitted
    standardizes its target, and early stopping watches the loss of the held-out rows
    instead of their score.

    Examples
    --------
    >>> from sklearn.neural_network import MLPClassifier
    >>> from sknnopt.datasets import load_pima
    >>> from sknnopt.migrate import from_sklearn
    >>> X, y = load_pima(return_X_y=True)
    >>> theirs = MLPClassifier((8,), max_iter=400, tol=0.01, random_state=0).fit(X, y)
    >>> ours = from_sklearn(theirs)
    >>> bool(abs(ours.predict_proba(X) - theirs.predict_proba(X)).max() < 1e-12)
    True
    """
    if not isinstance(estimator, MLPClassifier | MLPRegressor):
        raise TypeError(
            "The 'estimator' parameter of from_sklearn must be an MLPClassifier or an "
            f"MLPRegressor. Got a {type(estimator).__name__} instead. Of a Pipeline, "
            "convert the last step."
        )
    is_fitted = hasattr(estimator, "coefs_")
    _check_equivalent(estimator, is_fitted=is_fitted)
    is_classifier = isinstance(estimator, MLPClassifier)
    kind = OptimizedMLPClassifier if is_classifier else OptimizedMLPRegressor
    ours = kind(**_parameters(estimator))
    if is_fitted:
        if estimator.solver == "lbfgs":
            warnings.warn(
                "The weights of a network that solver='lbfgs' trained are taken over. "
                "There is no such optimizer here: further training uses 'adam'.",
                UserWarning,
                stacklevel=2,
            )
        _take_over(ours, estimator)
    return ours


def _check_equivalent(theirs: Any, *, is_fitted: bool) -> None:
    """Refuse what has no equivalent, all of it at once."""
    odd = {}
    if theirs.solver == "lbfgs" and not is_fitted:
        odd["solver"] = "'adam' or 'sgd' (or give a fitted network)"
    if theirs.solver == "sgd" and theirs.learning_rate == "invscaling":
        odd["learning_rate"] = (
            "'constant' or 'adaptive'; lr_schedule='exponential' or 'cosine' of the "
            "estimators here falls too"
        )
    if theirs.solver == "adam":
        changed = {k: v for k, v in _FIXED.items() if getattr(theirs, k) != v}
        odd.update({name: f"{value}, its default" for name, value in changed.items()})
    if is_fitted and len(getattr(theirs, "classes_", ())) == 1:
        odd["classes_"] = "two classes or more"
    if odd:
        found = "; ".join(
            f"{name}={getattr(theirs, name)!r} (what has one: {accepted})"
            for name, accepted in odd.items()
        )
        raise ValueError(f"There is no equivalent of {found}.")


def _parameters(theirs: Any) -> dict[str, Any]:
    """Return our parameters of their network."""
    is_sgd = theirs.solver == "sgd"
    batch_size = theirs.batch_size
    hidden = theirs.hidden_layer_sizes
    patience = theirs.n_iter_no_change
    ours: dict[str, Any] = {
        **PLAIN,
        **{own: getattr(theirs, name) for name, own in SAME.items()},
        "hidden_layer_sizes": tuple(
            np.atleast_1d(np.array(hidden, dtype=int)).tolist()
        ),
        "activation": ACTIVATIONS[theirs.activation],
        "optimizer": "sgd" if is_sgd else "adam",
        "batch_size": AUTO_BATCH if isinstance(batch_size, str) else batch_size,
        "l2": theirs.alpha / penalty_factor(theirs),
        "weight_init": "glorot_uniform",
        # Theirs takes no table with categories or gaps.
        "categorical_features": None,
        "impute_missing": False,
    }
    rate = theirs.learning_rate_init
    ours["learning_rate"] = rate / 2 if is_sgd and is_halved(theirs) else rate
    ours["n_iter_no_change"] = None if patience == np.inf else patience
    if is_sgd and theirs.learning_rate == "adaptive":
        ours.update(lr_schedule="reduce_on_plateau", lr_decay=ADAPTIVE)
    if isinstance(theirs, MLPRegressor):
        ours["loss"] = getattr(theirs, "loss", "squared_error")
    return ours


def _take_over(ours: BaseOptimizedMLP, theirs: Any) -> None:
    """Fill in what a fit would have left."""
    dtype = theirs.coefs_[0].dtype
    ours.n_features_in_ = theirs.n_features_in_
    if hasattr(theirs, "feature_names_in_"):
        ours.feature_names_in_ = theirs.feature_names_in_
    _see_raw_numbers(ours, dtype)
    _know_target(ours, theirs, dtype)
    hidden = tuple(len(bias) for bias in theirs.intercepts_[:-1])
    loss, n_outputs = ours._resolve_head()
    names = (ACTIVATIONS[theirs.activation],) * len(hidden)
    architecture = Architecture(theirs.n_features_in_, hidden, n_outputs, names)
    kind = Kind(architecture, loss, ours.optimizer, dtype=dtype)
    # Of partial_fit; a fit with warm_start draws anew.
    generator = make_generators([0])
    weights = flat_weights(theirs, Layout.of(architecture))
    record = Record.from_weights(kind, weights, generator)
    line = _line(theirs)
    record.epochs[:] = record.run_epochs[:] = line["epoch"][-1]
    parameter = LOSSES[loss].parameter
    trained = Trained(
        kind,
        record.to_arrays(),
        [line],
        loss_parameter=float(getattr(ours, parameter)) if parameter else 0.0,
        dropouts=(0.0,) * len(hidden),
        folds=None,
        facts=_facts(ours, theirs, LOSSES[loss].task),
        guard=Guard(Interrupt()),
    )
    nothing = Data(np.empty((0, ours.n_features_in_)), np.empty((0, n_outputs)))
    ours._set_fitted(trained, loss, nothing, "new")


def _see_raw_numbers(ours: BaseOptimizedMLP, dtype: np.dtype) -> None:
    """Let the networks see a table as it is."""
    count = ours.n_features_in_
    inputs = make_inputs(ours)
    inputs.is_categorical_, inputs.categories_, inputs.bins_ = None, [], {}
    inputs.mean_, inputs.scale_ = np.zeros(count), np.ones(count)
    inputs.is_missing_, inputs.is_sparse_ = np.zeros(count, dtype=bool), False
    inputs.dtype_, inputs.n_columns_ = dtype, count
    ours._inputs = inputs


def _know_target(ours: Any, theirs: Any, dtype: np.dtype) -> None:
    """Say what is predicted: classes, or numbers in units of their own."""
    n_outputs = theirs.n_outputs_
    if isinstance(ours, OptimizedMLPClassifier):
        ours.classes_ = np.asarray(theirs.classes_)
        ours._is_multilabel = theirs.out_activation_ == "logistic" and n_outputs > 1
        ours._class_factors = None
        return
    # Theirs does not know what range its target had; partial_fit goes on in its units.
    far = np.full(n_outputs, float(np.finfo(dtype).max) / 8)
    one = np.ones(n_outputs)
    ours._is_1d = n_outputs == 1
    ours._target = {"mean": 0 * one, "scale": one, "low": -far, "high": far}


def _line(theirs: Any) -> dict[str, np.ndarray]:
    """Return what they note of each epoch as lines of a history."""
    losses = np.asarray(getattr(theirs, "loss_curve_", []), dtype=float)
    scores = np.asarray(getattr(theirs, "validation_scores_", None) or [], dtype=float)
    if not len(losses):  # the solver lbfgs notes one loss at the end
        losses = np.array([theirs.loss_], dtype=float)
    count = len(losses)
    line = {
        "member": np.zeros(count, dtype=np.int64),
        "epoch": max(0, theirs.n_iter_ - count) + np.arange(1, count + 1),
        "train_loss": losses,
        "learning_rate": np.full(count, float(theirs.learning_rate_init)),
    }
    return {**line, "valid_score": scores} if len(scores) == count else line


def _facts(ours: Any, theirs: Any, task: str) -> dict[str, Any]:
    """Return what is known for a diagnosis."""
    patience = ours.n_iter_no_change
    return {
        "task": task,
        "n_rows": max(1, round(theirs.t_ / max(1, theirs.n_iter_))),
        "n_valid": 0,
        "is_given_valid": False,
        "restores_best": bool(theirs.early_stopping),
        "learning_rate": float(ours.learning_rate),
        "max_epochs": int(ours.max_epochs),
        "patience": None if patience is None else int(patience),
        "tol": float(ours.tol),
        "dropout": [0.0] * (len(theirs.coefs_) - 1),
        "penalty": float(ours.l2),
        "weight_decay": 0.0,
        "class_counts": None,
        "constant_loss": None,
        "inputs": None,
    }
