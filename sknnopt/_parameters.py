"""The parameters of both estimators: names, defaults, and what they may be."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cache
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from sknnopt._architecture import (
    DEFAULT_N_LAYERS,
    DEFAULT_N_UNITS,
    MOST_LAYERS,
    PER_LAYER,
    PerLayer,
    fold_indexed,
    split_indexed,
)
from sknnopt._intervals import RealInterval
from sknnopt.optimizers import OPTIMIZERS
from sknnopt.schedules import SCHEDULES

#: More than any machine has; torch counts no further than a C integer.
_MOST_THREADS = 1024


class MLPParameters(BaseEstimator):
    """The parameters that both estimators share, documented there."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        # Per-layer parameters are only roughly checked here: a value of the right
        # type may still be wrong for its layer, and check_layers says which.
        "hidden_layer_sizes": [Integral, str, "array-like", None],
        "n_layers": [Interval(Integral, 0, MOST_LAYERS, closed="both")],
        "n_units": [Integral, "array-like", Mapping],
        "activation": [str, "array-like", Mapping],
        "normalization": [StrOptions({"batch", "layer"}), None],
        "weight_init": [str, "array-like", Mapping],
        "init_scale": [RealInterval(0, np.inf, closed="left")],
        "optimizer": [StrOptions(OPTIMIZERS.keys())],
        "learning_rate": [
            StrOptions({"auto"}),
            RealInterval(0, np.inf, closed="neither"),
        ],
        "momentum": [RealInterval(0, 1, closed="left")],
        "nesterov": ["boolean"],
        "lr_schedule": [StrOptions(SCHEDULES.keys())],
        "lr_decay": [RealInterval(0, 1, closed="right")],
        "warmup": [RealInterval(0, np.inf, closed="left")],
        "dropout": [StrOptions({"auto"}), Real, "array-like", Mapping],
        "l1": [Real, "array-like", Mapping],
        "l2": [Real, "array-like", Mapping],
        "weight_decay": [
            StrOptions({"auto"}),
            RealInterval(0, np.inf, closed="left"),
        ],
        "clip_norm": [RealInterval(0, None, closed="neither"), None],
        "clip_norm_per_tensor": ["boolean"],
        "clip_value": [RealInterval(0, None, closed="neither"), None],
        "batch_size": [
            StrOptions({"auto"}),
            Interval(Integral, 1, None, closed="left"),
        ],
        "max_epochs": [
            StrOptions({"auto"}),
            Interval(Integral, 1, None, closed="left"),
        ],
        "max_seconds": [RealInterval(0, None, closed="neither"), None],
        "shuffle": ["boolean"],
        "early_stopping": ["boolean", StrOptions({"auto"})],
        "validation_fraction": [
            RealInterval(0, 1, closed="neither"),
            HasMethods(["split", "get_n_splits"]),
        ],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), None],
        "tol": [RealInterval(0, None, closed="left")],
        "n_members": [Interval(Integral, 1, None, closed="left")],
        "scale_inputs": ["boolean"],
        "n_bins": [
            StrOptions({"auto"}),
            Interval(Integral, 2, None, closed="left"),
            None,
        ],
        "categorical_features": [
            StrOptions({"from_dtype"}),
            "array-like",
            None,
        ],
        "impute_missing": ["boolean"],
        "dtype": [StrOptions(dict.fromkeys(["auto", "float32", "float64"]).keys())],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
        "monitor": [StrOptions({"off", "light", "full"})],
        "callbacks": [list, tuple, None],
        "checkpoint": [str, os.PathLike, None],
        "checkpoint_seconds": [RealInterval(0, np.inf, closed="left")],
        "device": [str],
        "n_threads": [Interval(Integral, 1, _MOST_THREADS, closed="both"), None],
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
        self.hidden_layer_sizes = hidden_layer_sizes
        self.n_layers = n_layers
        self.n_units = n_units
        self.activation = activation
        self.normalization = normalization
        self.weight_init = weight_init
        self.init_scale = init_scale
        self.loss = loss
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.nesterov = nesterov
        self.lr_schedule = lr_schedule
        self.lr_decay = lr_decay
        self.warmup = warmup
        self.dropout = dropout
        self.l1 = l1
        self.l2 = l2
        self.weight_decay = weight_decay
        self.clip_norm = clip_norm
        self.clip_norm_per_tensor = clip_norm_per_tensor
        self.clip_value = clip_value
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.max_seconds = max_seconds
        self.shuffle = shuffle
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.n_members = n_members
        self.scale_inputs = scale_inputs
        self.n_bins = n_bins
        self.categorical_features = categorical_features
        self.impute_missing = impute_missing
        self.dtype = dtype
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose
        self.monitor = monitor
        self.callbacks = callbacks
        self.checkpoint = checkpoint
        self.checkpoint_seconds = checkpoint_seconds
        self.device = device
        self.n_threads = n_threads

    @classmethod
    @cache
    def _get_param_names(cls) -> list[str]:
        # scikit-learn reads the signature of `__init__` at every clone, look and change
        # of a parameter, which with so many is a tenth of a small fit in a search.
        names: list[str] = super()._get_param_names()
        return names

    def set_params(self, **params: Any) -> Self:
        """Set parameters, those of single layers included.

        Parameters
        ----------
        **params : dict
            Parameters by name. ``n_units``, ``activation``, ``dropout``,
            ``weight_init``, ``l1`` and ``l2`` also take a layer's index, as in
            ``dropout__0=0.2`` (0 is the first hidden layer): the value is folded
            into a new dict, after all plain parameters have been set.

        Returns
        -------
        self : object
            The estimator.

        Raises
        ------
        ValueError
            If there is no such parameter.
        """
        plain, indexed = split_indexed(params)
        for key in plain:
            name, is_nested, _ = key.partition("__")
            if is_nested and name in self._get_param_names():
                raise ValueError(
                    f"Invalid parameter {key!r} for {type(self).__name__}. Only "
                    f"{', '.join(PER_LAYER)} take a layer's index, as in 'dropout__0'."
                )
        super().set_params(**plain)
        for name, updates in indexed.items():
            setattr(self, name, fold_indexed(getattr(self, name), updates))
        return self
