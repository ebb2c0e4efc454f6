"""Ours and its peers, each at its default settings, on tables as they come.

A method makes an estimator that takes a data frame with numbers and categories. Those
that need numbers get them scaled, with a column for each category.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.compose import (
    TransformedTargetRegressor,
    make_column_selector,
    make_column_transformer,
)
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from benchmarks.quality._catalogue import CLASSIFICATION
from sknnopt import OptimizedMLPClassifier, OptimizedMLPRegressor

Make = Callable[[str, int], Any]


@dataclass(frozen=True)
class Method:
    """Something that is fitted to all tables.

    Parameters
    ----------
    label : str
        What reports call it.
    make : callable
        ``make(task, seed)`` returns an estimator, or None where the task is not its.
    packages : tuple of str, default=("scikit-learn",)
        Distributions whose versions its results depend on.
    family : {"network", "linear", "boosting", "ours"}, default="network"
        What it is.
    """

    label: str
    make: Make
    packages: tuple[str, ...] = ("scikit-learn",)
    family: str = "network"

    @property
    def missing(self) -> list[str]:
        """Return those of its packages that are not installed."""
        modules = {
            name: name.replace("scikit-learn", "sklearn") for name in self.packages
        }
        return [name for name, module in modules.items() if find_spec(module) is None]

    def versions(self) -> dict[str, str]:
        """Return the versions of its packages."""
        return {name: metadata.version(name) for name in self.packages}

    def is_for(self, task: str) -> bool:
        """Tell whether it can be fitted to tables of a task."""
        return self.make(task, 0) is not None


def prepared(estimator: Any) -> Any:
    """Put scaling and one column for each category in front of an estimator.

    Parameters
    ----------
    estimator : estimator
        It wants numbers.

    Returns
    -------
    Pipeline
        Missing numbers become the median, unknown categories all zeros.
    """
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (encoder, make_column_selector(dtype_include="category")),
    )
    return make_pipeline(columns, estimator)


def _scaled_target(regressor: Any) -> Any:
    return TransformedTargetRegressor(regressor, transformer=StandardScaler())


def choose(task: str, classifier: Any, regressor: Any, **parameters: Any) -> Any:
    return (classifier if task == CLASSIFICATION else regressor)(**parameters)


def _make_ours(task: str, seed: int) -> Any:
    kinds = OptimizedMLPClassifier, OptimizedMLPRegressor
    return choose(task, *kinds, random_state=seed, n_threads=1)


def _make_linear(task: str, _: int) -> Any:
    if task == CLASSIFICATION:
        return prepared(LogisticRegression(max_iter=1000))
    return prepared(RidgeCV(alphas=np.geomspace(1e-2, 1e3, 11)))


def _make_sklearn(task: str, seed: int, **parameters: Any) -> Any:
    model = choose(task, MLPClassifier, MLPRegressor, random_state=seed, **parameters)
    return prepared(model if task == CLASSIFICATION else _scaled_target(model))


def _make_sklearn_early(task: str, seed: int) -> Any:
    return _make_sklearn(task, seed, early_stopping=True)


def _make_boosting(task: str, seed: int) -> Any:
    kinds = HistGradientBoostingClassifier, HistGradientBoostingRegressor
    return choose(task, *kinds, categorical_features="from_dtype", random_state=seed)


class _OfPytabkit:
    """A network of pytabkit, which takes categories and scales by itself.

    Parameters
    ----------
    name : str
        Its class.
    seed : int
        Of its random numbers.
    **parameters : Any
        Other hyperparameters.
    """

    def __init__(self, name: str, seed: int, **parameters: Any) -> None:
        self.name, self.seed, self.parameters = name, seed, parameters

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> _OfPytabkit:
        """Fit the network."""
        from pytabkit.models.sklearn import sklearn_interfaces

        # It refuses missing numbers; a median is what the others get.
        self._imputed = _median_imputer(X)
        kind = getattr(sklearn_interfaces, self.name)
        self._model = kind(
            device="cpu", random_state=self.seed, n_threads=1, **self.parameters
        )
        # It announces every fit.
        for name in ("pytorch_lightning", "lightning.pytorch"):
            logging.getLogger(name).setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._model.fit(self._imputed(X), y)
        return self

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """Predict numbers."""
        return np.asarray(self._model.predict(self._imputed(X))).ravel()

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Predict the probability of each class."""
        return np.asarray(self._model.predict_proba(self._imputed(X)))


def _median_imputer(X: pd.DataFrame) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Return what puts the medians of ``X`` where numbers are missing."""
    medians = X.select_dtypes("number").median()
    return lambda frame: frame.fillna(medians) if len(medians) else frame


def _realmlp(kind: str, **of_classifier: Any) -> Make:
    def make(task: str, seed: int) -> Any:
        if task == CLASSIFICATION:
            return _OfPytabkit(f"{kind}_Classifier", seed, **of_classifier)
        # Label smoothing is for classes alone: no regressor has it.
        return None if of_classifier else _OfPytabkit(f"{kind}_Regressor", seed)

    return make


class _CatBoost:
    """CatBoost, told which columns are categories.

    Parameters
    ----------
    task : {"classification", "regression"}
        What is predicted.
    seed : int
        Of its random numbers.
    """

    def __init__(self, task: str, seed: int) -> None:
        self.task, self.seed = task, seed

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> _CatBoost:
        """Fit the trees."""
        import catboost

        kinds = catboost.CatBoostClassifier, catboost.CatBoostRegressor
        self._model = choose(
            self.task,
            *kinds,
            random_seed=self.seed,
            cat_features=list(X.select_dtypes("category").columns),
            thread_count=1,
            verbose=0,
            allow_writing_files=False,
        )
        self._model.fit(X, y)
        return self

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """Predict numbers."""
        return np.asarray(self._model.predict(X)).ravel()

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Predict the probability of each class."""
        return np.asarray(self._model.predict_proba(X))


class _Skorch(BaseEstimator):
    """A network in skorch as its quick start has it, with Adam at its default rate.

    Parameters
    ----------
    seed : int, default=0
        Of PyTorch's generator, which skorch draws from.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def _fit(
        self, kind: Any, X: np.ndarray, y: np.ndarray, n_outputs: int, **parameters: Any
    ) -> None:
        import torch

        from benchmarks._torch_peers import Network

        torch.manual_seed(self.seed)
        self.model_ = kind(
            module=Network,
            module__widths=(X.shape[1], 100, 100, n_outputs),
            module__dtype=torch.float32,
            optimizer=torch.optim.Adam,
            lr=1e-3,
            max_epochs=100,
            iterator_train__shuffle=True,
            verbose=0,
            **parameters,
        )
        self.model_.fit(X.astype(np.float32), y)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Predict classes or numbers."""
        return np.asarray(self.model_.predict(X.astype(np.float32))).ravel()


class _SkorchClassifier(ClassifierMixin, _Skorch):
    """The network for classes that are numbered from 0."""

    def fit(self, X: np.ndarray, y: np.ndarray) -> _SkorchClassifier:
        """Fit the network."""
        import torch
        from skorch import NeuralNetClassifier

        self.classes_ = np.unique(y)
        loss = torch.nn.CrossEntropyLoss
        target = y.astype(np.int64)
        self._fit(NeuralNetClassifier, X, target, len(self.classes_), criterion=loss)
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Predict the probability of each class."""
        return np.asarray(self.model_.predict_proba(X.astype(np.float32)))


class _SkorchRegressor(RegressorMixin, _Skorch):
    """The network for numbers."""

    def fit(self, X: np.ndarray, y: np.ndarray) -> _SkorchRegressor:
        """Fit the network."""
        from skorch import NeuralNetRegressor

        self._fit(NeuralNetRegressor, X, y[:, None].astype(np.float32), 1)
        return self


def _make_skorch(task: str, seed: int) -> Any:
    model = choose(task, _SkorchClassifier, _SkorchRegressor, seed=seed)
    return prepared(model if task == CLASSIFICATION else _scaled_target(model))


_SKORCH = ("skorch", "torch")
_PYTABKIT = ("pytabkit", "torch", "scikit-learn")
OURS = "sknnopt"
OURS_FAMILY = "ours"
METHODS: dict[str, Method] = {
    OURS: Method("sknnopt", _make_ours, ("torch", "scikit-learn"), OURS_FAMILY),
    "linear": Method("logistic or ridge regression", _make_linear, family="linear"),
    "sklearn": Method("scikit-learn's MLP", _make_sklearn),
    "sklearn-early": Method("scikit-learn's MLP, early stopping", _make_sklearn_early),
    "boosting": Method("HistGradientBoosting", _make_boosting, family="boosting"),
    "catboost": Method("CatBoost", _CatBoost, ("catboost",), "boosting"),
    "skorch": Method("skorch", _make_skorch, _SKORCH),
    "realmlp": Method("RealMLP_TD", _realmlp("RealMLP_TD"), _PYTABKIT),
    "realmlp-plain": Method(
        "RealMLP_TD, no label smoothing",
        _realmlp("RealMLP_TD", use_ls=False),
        _PYTABKIT,
    ),
    "realmlp-s": Method("RealMLP_TD_S", _realmlp("RealMLP_TD_S"), _PYTABKIT),
    "realmlp-s-plain": Method(
        "RealMLP_TD_S, no label smoothing",
        _realmlp("RealMLP_TD_S", use_ls=False),
        _PYTABKIT,
    ),
}
PEERS = [name for name in METHODS if name != OURS]
