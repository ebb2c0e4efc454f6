"""The classifier."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import column_or_1d

from sknnopt._architecture import DEFAULT_N_LAYERS, DEFAULT_N_UNITS, PerLayer
from sknnopt._base import BaseOptimizedMLP, can_fit_partially
from sknnopt._blocks import class_indices, unique_labels
from sknnopt._docstrings import documented
from sknnopt._intervals import RealInterval

#: Targets that are more than checked: single labels, or a set of them for each row.
_TARGETS = frozenset({"binary", "multiclass", "multilabel-indicator"})
#: Of class indices; four bytes a row suffice.
_INDEX = np.dtype(np.int32)
#: What the weight of a class may be.
_WEIGHTS = RealInterval(0, np.inf, closed="left")
_LOSSES = ("auto", "binary_cross_entropy", "categorical_cross_entropy")
_OWN_PARAMETERS = {
    "loss": (
        '{"auto", "binary_cross_entropy", "categorical_cross_entropy"}, default="auto"',
        """Loss, and with it the head. ``"auto"``: one sigmoid with binary
        cross-entropy for two classes, softmax with categorical cross-entropy for more,
        a sigmoid for each label of a multilabel target.""",
    ),
    "label_smoothing": (
        "float, default=0.0",
        """Share of the target, in [0, 1), that is spread evenly over the classes.""",
    ),
    "class_weight": (
        'dict, "balanced" or None, default=None',
        """Weights of the classes, multiplied into the sample weights. ``"balanced"``
        gives every class the same total weight. Not for multilabel targets.""",
    ),
}
_OWN_ATTRIBUTES = """
classes_ : ndarray of shape (n_classes,)
    Class labels; for a multilabel target the label's columns.
"""


@documented(_OWN_PARAMETERS, _OWN_ATTRIBUTES)
class OptimizedMLPClassifier(ClassifierMixin, BaseOptimizedMLP):
    """Multilayer perceptron classifier with every technique of training as a parameter.

    Networks [1]_ are trained with PyTorch, by default with Adam [2]_, behind
    scikit-learn's interface.

    Parameters
    ----------
    <parameters>

    Attributes
    ----------
    <attributes>

    See Also
    --------
    OptimizedMLPRegressor : The same networks for numbers.

    Notes
    -----
    At the defaults eight networks train, which standardize their inputs, encode them
    piecewise linearly, and stop early on folds held out in turn. The defaults were
    chosen by measurement, see `benchmarks/results/quality.md`.
    :data:`sknnopt.presets.PLAIN` switches all of it off.

    References
    ----------
    <references>

    Examples
    --------
    >>> from sklearn.model_selection import train_test_split
    >>> from sknnopt import OptimizedMLPClassifier
    >>> from sknnopt.datasets import load_pima
    >>> X, y = load_pima(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(
    ...     X, y, stratify=y, random_state=0)
    >>> model = OptimizedMLPClassifier(random_state=0).fit(X_train, y_train)
    >>> bool(model.score(X_test, y_test) > 0.7)
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseOptimizedMLP._parameter_constraints,
        "loss": [StrOptions(dict.fromkeys(_LOSSES).keys())],
        "label_smoothing": [RealInterval(0, 1, closed="left")],
        "class_weight": [StrOptions({"balanced"}), Mapping, None],
    }

    def __init__(
        self,
        *,
        hidden_layer_sizes: int | Sequence[int] | str | None = None,
        n_layers: int = DEFAULT_N_LAYERS,
        n_units: PerLayer[int] = DEFAULT_N_UNITS,
        activation: PerLayer[str] = "relu",
        normalization: str | None = None,
        weight_init: PerLayer[str] = "auto",
        init_scale: float = 0.05,
        loss: str = "auto",
        label_smoothing: float = 0.0,
        class_weight: Mapping[Any, float] | str | None = None,
        optimizer: str = "adamw",
        learning_rate: float | str = "auto",
        momentum: float = 0.9,
        nesterov: bool = False,
        lr_schedule: str = "constant",
        lr_decay: float = 0.1,
        warmup: float = 0,
        dropout: PerLayer[float | str] = "auto",
        l1: PerLayer[float] = 0.0,
        l2: PerLayer[float] = 0.0,
        weight_decay: float | str = "auto",
        clip_norm: float | None = None,
        clip_norm_per_tensor: bool = False,
        clip_value: float | None = None,
        batch_size: int | str = "auto",
        max_epochs: int | str = "auto",
        max_seconds: float | None = None,
        shuffle: bool = True,
        early_stopping: bool | str = "auto",
        validation_fraction: Any = 0.1,
        n_iter_no_change: int | None = 15,
        tol: float = 1e-4,
        n_members: int = 8,
        scale_inputs: bool = True,
        n_bins: int | str | None = "auto",
        categorical_features: Any = "from_dtype",
        impute_missing: bool = True,
        dtype: str = "auto",
        warm_start: bool = False,
        random_state: Any = None,
        verbose: bool | int = False,
        monitor: str = "light",
        callbacks: Sequence[Any] | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_seconds: float = 60.0,
        device: str = "cpu",
        n_threads: int | None = None,
    ) -> None:
        super().__init__(
            hidden_layer_sizes=hidden_layer_sizes,
            n_layers=n_layers,
            n_units=n_units,
            activation=activation,
            normalization=normalization,
            weight_init=weight_init,
            init_scale=init_scale,
            loss=loss,
            optimizer=optimizer,
            learning_rate=learning_rate,
            momentum=momentum,
            nesterov=nesterov,
            lr_schedule=lr_schedule,
            lr_decay=lr_decay,
            warmup=warmup,
            dropout=dropout,
            l1=l1,
            l2=l2,
            weight_decay=weight_decay,
            clip_norm=clip_norm,
            clip_norm_per_tensor=clip_norm_per_tensor,
            clip_value=clip_value,
            batch_size=batch_size,
            max_epochs=max_epochs,
            max_seconds=max_seconds,
            shuffle=shuffle,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            tol=tol,
            n_members=n_members,
            scale_inputs=scale_inputs,
            n_bins=n_bins,
            categorical_features=categorical_features,
            impute_missing=impute_missing,
            dtype=dtype,
            warm_start=warm_start,
            random_state=random_state,
            verbose=verbose,
            monitor=monitor,
            callbacks=callbacks,
            checkpoint=checkpoint,
            checkpoint_seconds=checkpoint_seconds,
            device=device,
            n_threads=n_threads,
        )
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight

    @available_if(can_fit_partially)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None
    ) -> Self:
        """Train for one epoch on the given rows, keeping the optimizer's state.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Target.
        classes : array-like of shape (n_classes,), default=None
            All labels that will ever come; needed in the first call.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; rows of weight zero are left out.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        if isinstance(self.class_weight, str):
            raise ValueError(
                "class_weight='balanced' is not supported by partial_fit, which does "
                "not see all rows at once. Compute the weights on all of them with "
                "sklearn.utils.compute_class_weight and give them as a dict."
            )
        if not hasattr(self, "_record") and classes is None:
            raise ValueError(
                "The 'classes' parameter of partial_fit is None in the first call. "
                "Give all labels that will ever come."
            )
        return self._partial_fit(X, y, sample_weight, classes)

    def predict(self, X: Any) -> np.ndarray:
        """Predict class labels.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_labels)
            The most probable class; for a multilabel target, 1 where the label's
            probability is above one half.
        """
        probability = self.predict_proba(X)
        if self._is_multilabel:
            return (probability > 0.5).astype(np.int64)
        labels: np.ndarray = self.classes_[probability.argmax(axis=1)]
        return labels

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            In the order of ``classes_``; rows sum to one unless the target is
            multilabel.
        """
        return self._respond(X)

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Predict the logarithms of the probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            ``log(predict_proba(X))``; minus infinity where a probability is zero.
        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def _encode(
        self,
        y: Any,
        weight: np.ndarray | None,
        *,
        mode: str,
        dtype: np.dtype,
        classes: Any = None,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        name = "y_val" if mode == "validate" else "y"
        kind = _kind_of(y, name)
        if kind not in _TARGETS:
            check_classification_targets(y)
        if kind == "multilabel-indicator":
            self._know_classes(np.arange(y.shape[1]), classes, mode, is_multilabel=True)
            target = self._encode_multilabel(y, name, dtype)
            return target, self._weigh_multilabel(weight)
        y = column_or_1d(y, warn=True)
        found = unique_labels(y)
        if pd.isna(found).any():
            raise ValueError(
                f"{name} holds labels that are missing. Leave out their rows, or give "
                "them a label of their own."
            )
        if mode == "new" and classes is None and len(found) > len(y) // 2:
            check_classification_targets(y)  # warns that this may be a regression
        self._know_classes(found, classes, mode, is_multilabel=False)
        self._check_known(found, name)
        index = class_indices(y, self.classes_, _INDEX)
        if mode != "validate":
            self._class_factors = self._weigh_classes(index, weight)
        if self._class_factors is not None:
            factors = self._class_factors[index]
            weight = factors if weight is None else weight * factors
        is_binary = self._resolve_head()[0] == "binary_cross_entropy"
        target = index.astype(dtype) if is_binary else index
        return target[:, None], weight

    def _know_classes(
        self, found: np.ndarray, classes: Any, mode: str, *, is_multilabel: bool
    ) -> None:
        """Learn the classes, or see to it that they are still the same."""
        if mode == "new":
            self._is_multilabel = is_multilabel
            is_told = classes is not None and not is_multilabel
            self.classes_ = np.unique(np.asarray(classes)) if is_told else found
        if mode != "new" or is_multilabel:
            self._check_same_classes(classes, is_multilabel=is_multilabel)

    def _check_same_classes(self, classes: Any, *, is_multilabel: bool) -> None:
        if is_multilabel != self._is_multilabel:
            kind = "a multilabel target" if self._is_multilabel else "single labels"
            raise ValueError(
                f"The target's type has changed: the networks were trained on {kind}."
            )
        if classes is None:
            return
        if not np.array_equal(np.unique(np.asarray(classes)), self.classes_):
            raise ValueError(
                f"The 'classes' parameter of partial_fit must be "
                f"{self.classes_.tolist()}, as in the target or the first call. "
                f"Got {classes!r} instead."
            )

    def _check_known(self, found: np.ndarray, name: str) -> None:
        """Refuse labels that are no classes."""
        if found is self.classes_:
            return
        unknown = np.setdiff1d(found, self.classes_)
        if len(unknown):
            raise ValueError(
                f"{name} has labels that the networks have no output for: "
                f"{unknown.tolist()}. Known classes are {self.classes_.tolist()}."
            )

    def _encode_multilabel(self, y: Any, name: str, dtype: np.dtype) -> np.ndarray:
        dense = y.toarray() if sparse.issparse(y) else np.asarray(y)
        if dense.shape[1] != len(self.classes_):
            raise ValueError(
                f"{name} has {dense.shape[1]} labels, the networks have outputs for "
                f"{len(self.classes_)}."
            )
        odd = np.setdiff1d(dense, [0, 1])
        if len(odd):
            raise ValueError(
                f"{name} marks its labels with {odd.tolist()}; a multilabel target "
                f"must hold 0 and 1 only, such as ({name} > 0).astype(int)."
            )
        return dense.astype(dtype)

    def _weigh_multilabel(self, weight: np.ndarray | None) -> np.ndarray | None:
        if self.class_weight is not None:
            raise ValueError(
                "The 'class_weight' parameter must be None for a multilabel target. "
                f"Got {self.class_weight!r} instead. Use sample_weight."
            )
        return weight

    def _weigh_classes(
        self, index: np.ndarray, weight: np.ndarray | None
    ) -> np.ndarray | None:
        """Return the factor of each class, or None where all are one."""
        if self.class_weight is None:
            return None
        if not isinstance(self.class_weight, str):
            present = np.bincount(index, minlength=len(self.classes_)) > 0
            return self._given_class_weights(dict(self.class_weight), present)
        totals = np.bincount(index, weight, minlength=len(self.classes_))
        present = totals > 0
        factors = np.ones(len(totals))
        factors[present] = totals.sum() / (present.sum() * totals[present])
        return factors

    def _given_class_weights(
        self, given: dict[Any, float], present: np.ndarray
    ) -> np.ndarray:
        for label, value in given.items():
            if not (isinstance(value, Real) and value in _WEIGHTS):
                raise ValueError(
                    "The 'class_weight' parameter must give each class a finite number "
                    f"from 0 on. Got {value!r} for class {label!r} instead."
                )
        factors: np.ndarray = compute_class_weight(
            given, classes=self.classes_, y=self.classes_[present]
        )
        return factors

    def _resolve_head(self) -> tuple[str, int]:
        n_classes = len(self.classes_)
        loss = str(self.loss)
        if self._is_multilabel:
            if loss == "categorical_cross_entropy":
                raise ValueError(
                    "The 'loss' parameter must be 'binary_cross_entropy' or 'auto' for "
                    f"a multilabel target. Got {loss!r} instead."
                )
            return "binary_cross_entropy", n_classes
        if loss == "binary_cross_entropy" and n_classes > 2:
            raise ValueError(
                "The 'loss' parameter must be 'categorical_cross_entropy' or 'auto' "
                f"for {n_classes} classes. Got {loss!r} instead."
            )
        if loss == "categorical_cross_entropy" or n_classes != 2:
            return "categorical_cross_entropy", n_classes
        return "binary_cross_entropy", 1

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


def _kind_of(y: Any, name: str) -> str:
    """Return what a target is, in scikit-learn's words."""
    # scikit-learn sorts all rows to tell; of whole numbers in one dimension it is
    # clear.
    if y.ndim == 1 and y.dtype.kind in "biu":
        return "multiclass"
    try:
        return str(type_of_target(y, input_name=name))
    except TypeError as error:
        types = sorted({type(label).__name__ for label in np.ravel(y).tolist()})
        raise TypeError(
            f"{name} holds labels that cannot be sorted, of the types "
            f"{', '.join(types)}. Give labels of one type, and leave out rows whose "
            "label is missing."
        ) from error
