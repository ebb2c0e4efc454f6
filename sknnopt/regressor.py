"""The regressor."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from scipy import sparse
from sklearn.base import RegressorMixin, _fit_context
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if

from sknnopt._architecture import DEFAULT_N_LAYERS, DEFAULT_N_UNITS, PerLayer
from sknnopt._base import BaseOptimizedMLP, can_fit_partially
from sknnopt._docstrings import documented, names
from sknnopt._intervals import RealInterval
from sknnopt._standardization import standardized, statistics, value_range
from sknnopt.losses import LOSSES

_REGRESSION = [k for k, option in LOSSES.items() if option.task == "regression"]
_OWN_PARAMETERS = {
    "loss": (
        f'{names(["auto", *_REGRESSION])}, default="auto"',
        """Loss; ``"auto"`` is the squared error. The output is linear, for
        ``"poisson"`` it is the logarithm of the prediction. Losses are measured on
        the standardized target (for ``"poisson"`` on the target divided by its
        mean).""",
    ),
    "huber_delta": (
        "float, default=1.0",
        """Error, in standard deviations of the target, up to which ``"huber"`` is
        quadratic.""",
    ),
    "quantile": (
        "float, default=0.5",
        """Quantile, in (0, 1), that ``"quantile"`` estimates.""",
    ),
}


@documented(_OWN_PARAMETERS, "")
class OptimizedMLPRegressor(RegressorMixin, BaseOptimizedMLP):
    """Multilayer perceptron regressor with every technique of training as a parameter.

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
    OptimizedMLPClassifier : The same networks for classes.

    Notes
    -----
    At the defaults eight networks train, which standardize their inputs, encode them
    piecewise linearly, and stop early on folds held out in turn. The defaults were
    chosen by measurement, see `benchmarks/results/quality.md`.
    :data:`sknnopt.presets.PLAIN` switches all of it off.

    The target is standardized inside and predictions are given in its own units, in
    float64. They are bounded to three times the range that the training target spans,
    each member's before the mean and the standard deviation are taken: a network that
    has gone astray must not answer with a number that drowns all others in a search.
    So ``return_std`` gives at most half of the width of the bounds.

    References
    ----------
    <references>

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sknnopt import OptimizedMLPRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = OptimizedMLPRegressor(random_state=0).fit(X[:300], y[:300])
    >>> bool(model.score(X[300:], y[300:]) > 0.3)
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseOptimizedMLP._parameter_constraints,
        "loss": [StrOptions(dict.fromkeys(["auto", *_REGRESSION]).keys())],
        "huber_delta": [RealInterval(0, None, closed="neither")],
        "quantile": [RealInterval(0, 1, closed="neither")],
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
        huber_delta: float = 1.0,
        quantile: float = 0.5,
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
        self.huber_delta = huber_delta
        self.quantile = quantile

    @available_if(can_fit_partially)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one epoch on the given rows, keeping the optimizer's state.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Target; its mean and scale are those of the first call.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; rows of weight zero are left out.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        return self._partial_fit(X, y, sample_weight)

    def predict(
        self, X: Any, return_std: bool = False
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Predict the target.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows.
        return_std : bool, default=False
            Whether to return the spread of the members too.

        Returns
        -------
        mean : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Predictions in the target's own units: the mean over the members, each of
            which is first brought within the bounds that the class's notes give.
        std : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Standard deviation between the members' bounded predictions, divided by
            ``n_members`` (``ddof=0``); zero for a single one. It tells where members
            disagree, and not how much the target scatters. Only where ``return_std``.
        """
        if not return_std:
            return self._in_units(self._respond(X))
        X = self._checked_rows(X)
        with self._threads_for(X):
            mean, std = self._responder().mean_and_std(X)
        std = std * self._target["scale"]
        return self._in_units(mean), std[:, 0] if self._is_1d else std

    def _in_units(self, response: np.ndarray) -> np.ndarray:
        target = self._target
        with np.errstate(over="ignore"):
            values = response.astype(np.float64) * target["scale"] + target["mean"]
        values = np.clip(values, *self._bounds())
        return values[:, 0] if self._is_1d else values

    def _encode(
        self,
        y: np.ndarray,
        weight: np.ndarray | None,
        *,
        mode: str,
        dtype: np.dtype,
        classes: Any = None,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        name = "y_val" if mode == "validate" else "y"
        if sparse.issparse(y):
            raise ValueError(
                f"{name} is sparse; a regression needs a dense target. Use "
                f"{name}.toarray()."
            )
        columns = y.reshape(len(y), -1)
        loss = self._resolve_loss()
        if loss == "poisson" and (columns < 0).any():
            raise ValueError(
                "The 'loss' parameter is 'poisson', which needs a target of counts or "
                f"other numbers from 0 on. Got {columns.min()} in {name}."
            )
        if mode == "new":
            self._is_1d = y.ndim == 1
            scaling = LOSSES[loss].target_scaling
            self._target = statistics(columns, weight, scaling)
        elif columns.shape[1] != len(self._target["mean"]):
            raise ValueError(
                f"{name} has {columns.shape[1]} columns; the networks were trained on "
                f"{len(self._target['mean'])}."
            )
        elif mode != "validate":
            low, high = value_range(columns, weight)
            self._target = {
                **self._target,
                "low": np.minimum(self._target["low"], low),
                "high": np.maximum(self._target["high"], high),
            }
        location, scale = self._target["mean"], self._target["scale"]
        return standardized(columns, location, scale, dtype), weight

    def _limits(self) -> tuple[np.ndarray, ...]:
        mean, scale = self._target["mean"], self._target["scale"]
        low, high = self._bounds()
        return (low - mean) / scale, (high - mean) / scale

    def _units(self) -> dict[str, np.ndarray]:
        low, high = self._limits()
        lowest, highest = self._bounds()
        units = {name: self._target[name] for name in ("scale", "mean")}
        of_member = {"low": low, "high": high}
        return {**units, **of_member, "lowest": lowest, "highest": highest}

    def _bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the least and the greatest value that is ever predicted."""
        low, high = self._target["low"], self._target["high"]
        # Halved and doubled, lest the span of a very wide target overflow.
        largest = np.finfo(np.float64).max
        reach = 2 * np.minimum(high / 2 - low / 2, largest / 8)
        lowest = np.maximum(low, -largest / 4) - reach
        highest = np.minimum(high, largest / 4) + reach
        if self.loss_name_ == "poisson":
            lowest = np.maximum(lowest, 0.0)
        return lowest, highest

    def _resolve_loss(self) -> str:
        return "squared_error" if self.loss == "auto" else str(self.loss)

    def _resolve_head(self) -> tuple[str, int]:
        return self._resolve_loss(), len(self._target["mean"])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
