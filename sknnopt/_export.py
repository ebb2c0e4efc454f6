"""Trained networks for where this package is not: torch, ONNX and scikit-learn."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from sknnopt._architecture import Architecture
from sknnopt._extras import not_installed
from sknnopt._files import write_whole
from sknnopt._inputs import Inputs
from sknnopt._torch_modules import TabularNetwork

_DTYPES = ("float32", "float64")


class Exported(ABC):
    """Gives an estimator its exports."""

    _record: dict[str, np.ndarray]
    _inputs: Inputs
    loss_name_: str
    n_features_in_: int

    @property
    @abstractmethod
    def _architecture(self) -> Architecture:
        """Shape of the networks."""

    @abstractmethod
    def _units(self) -> dict[str, np.ndarray]:
        """Return what turns responses into the target's units, if anything does."""

    def to_torch(self) -> TabularNetwork:
        """Return the trained networks as one torch module.

        Returns
        -------
        torch.nn.Module
            It takes a tensor of shape ``(n_rows, n_features)``, float32 or float64,
            with the columns in the order of the training table and NaN where a number
            is missing, and returns what ``predict_proba`` or ``predict`` returns: the
            mean over the members of probabilities, or of the target in its own units.
            It standardizes, encodes and fills in as the estimator does, is in
            evaluation mode, and shares no memory with the estimator.

        Raises
        ------
        ValueError
            If a category is no number, which a tensor could not hold.

        Notes
        -----
        ``state_dict``, ``torch.export`` and training go on from there as with any
        module. A category of numbers is known by its value.

        Examples
        --------
        >>> import torch
        >>> from sknnopt import OptimizedMLPClassifier
        >>> from sknnopt.datasets import load_pima
        >>> X, y = load_pima(return_X_y=True)
        >>> model = OptimizedMLPClassifier(max_epochs=2, random_state=0).fit(X, y)
        >>> module = model.to_torch()
        >>> with torch.no_grad():
        ...     probability = module(torch.from_numpy(X.to_numpy(float))).numpy()
        >>> bool(abs(probability - model.predict_proba(X)).max() < 1e-6)
        True
        """
        check_is_fitted(self)
        module = TabularNetwork(
            self._inputs,
            self._architecture,
            self._record["weights"],
            self.loss_name_,
            self._units(),
            is_1d=getattr(self, "_is_1d", False),
        )
        return module.eval()

    def to_onnx(self, path: str | os.PathLike[str], *, dtype: str = "float32") -> None:
        """Write the trained networks as an ONNX model, with all that ``to_torch`` has.

        Parameters
        ----------
        path : str or path-like
            The file; ``.onnx`` is its usual ending. It appears whole or not at all.
        dtype : {"float32", "float64"}, default="float32"
            Type of the rows, and the most exact type anywhere in the model.
            Probabilities then are those of ``predict_proba`` for rows of that type,
            within 1e-5. With columns such as dates in seconds, whose differences single
            precision loses, take ``"float64"``.

        Raises
        ------
        ValueError
            If a category is no number, or ``dtype`` is another.
        ImportError
            If onnx is not installed.
        OSError
            If the file cannot be written.

        Notes
        -----
        The input is named ``X``, the output ``probabilities`` or ``prediction``; the
        number of rows is free. The metadata have the classes as JSON, ``classes``, and
        the names of the columns, ``feature_names``.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> from sknnopt import OptimizedMLPClassifier
        >>> from sknnopt.datasets import load_pima
        >>> X, y = load_pima(return_X_y=True)
        >>> model = OptimizedMLPClassifier(max_epochs=2, random_state=0).fit(X, y)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.to_onnx(Path(folder) / "model.onnx")
        """
        try:
            import onnx  # noqa: F401 (whether it is there)
        except ImportError as error:
            raise not_installed("to_onnx needs", "onnx", "onnx") from error
        from sknnopt._onnx_graph import to_model

        if dtype not in _DTYPES:
            raise ValueError(
                f"The 'dtype' parameter of to_onnx must be one of {_DTYPES}. Got "
                f"{dtype!r} instead."
            )
        module = self.to_torch()
        notes = {
            name: json.dumps(np.asarray(getattr(self, attribute)).tolist(), default=str)
            for name, attribute in (
                ("classes", "classes_"),
                ("feature_names", "feature_names_in_"),
            )
            if hasattr(self, attribute)
        }
        model = to_model(module, np.dtype(dtype), self.n_features_in_, notes)
        write_whole(Path(path), model.SerializeToString())

    def to_sklearn(self) -> Any:
        """Return scikit-learn's estimator with the same network.

        Returns
        -------
        MLPClassifier or MLPRegressor
            Fitted. What standardizes inputs, normalizes hidden layers (``"batch"``) and
            gives the target its units is absorbed into the weights, which are float64.
            Parameters that it has too are set, and ``partial_fit`` goes on from the
            weights; see :func:`sknnopt.migrate.from_sklearn` for the way back.

        Raises
        ------
        ValueError
            If scikit-learn has no such network: of several members, with bins or
            categories, with layer normalization, with layers of different activations
            or another one than identity, sigmoid, tanh and relu, for one class alone,
            or for ``loss="poisson"`` before scikit-learn 1.7.

        Notes
        -----
        Predictions are equal to rounding, for rows without missing numbers. What is
        predicted for absurd inputs is bounded here; there it is not.

        Examples
        --------
        >>> from sknnopt import OptimizedMLPClassifier
        >>> from sknnopt.datasets import load_pima
        >>> X, y = load_pima(return_X_y=True)
        >>> model = OptimizedMLPClassifier(
        ...     n_members=1, n_bins=None, max_epochs=2, dtype="float64", random_state=0)
        >>> theirs = model.fit(X, y).to_sklearn()
        >>> bool(abs(theirs.predict_proba(X) - model.predict_proba(X)).max() < 1e-12)
        True
        """
        from sknnopt._scikit_learn import fitted_mlp

        check_is_fitted(self)
        return fitted_mlp(self, is_classifier=is_classifier(self))
