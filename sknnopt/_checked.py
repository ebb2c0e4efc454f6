"""The checks of what an estimator is given, and the encoding of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Literal

import numpy as np
from sklearn.base import is_regressor
from sklearn.utils.validation import (
    _check_sample_weight,
    _check_y,
    assert_all_finite,
    check_consistent_length,
    check_is_fitted,
    validate_data,
)

from sknnopt._assembly import Data, rescaled
from sknnopt._fitting import Mode, check_device
from sknnopt._inputs import FLOATS, Inputs, make_inputs
from sknnopt._naming import named


class Checked(ABC):
    """Gives an estimator the checks of its data."""

    _inputs: Inputs
    device: str

    @abstractmethod
    def __sklearn_is_fitted__(self) -> bool:
        """Tell whether there are networks."""

    def _checked(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        *,
        mode: Mode | Literal["validate"],
        classes: Any = None,
    ) -> Data:
        """Check what ``fit`` was given and encode the target."""
        suffix = "_val" if mode == "validate" else ""
        with named(f"X{suffix}"):
            if mode == "new":
                self._inputs = make_inputs(self).find_columns(X)
            numbers = self._checked_numbers(X, reset=mode == "new")
        with named(f"y{suffix}"):
            y = self._checked_target(y, numbers)
        given = None
        if sample_weight is not None:
            with named(f"sample_weight{suffix}"):
                given = _checked_weight(sample_weight, numbers)
        with named(f"X{suffix}"):
            if mode == "new":
                self._inputs.learn(X, numbers, given)
            encoded = self._inputs.encode(X, numbers)
        with named(f"y{suffix}"):
            target, weight = self._encode(
                y, given, mode=mode, dtype=encoded.dtype, classes=classes
            )
        weight = weight if weight is None else rescaled(weight)
        return Data(encoded, target, weight, given)

    def _checked_target(self, y: Any, numbers: Any) -> Any:
        """Return the target, checked, of the table with these numbers."""
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is "
                "None."
            )
        y = _check_y(y, multi_output=True, y_numeric=is_regressor(self), estimator=self)
        if is_regressor(self):
            # scikit-learn makes numbers of objects after it looked for NaN.
            assert_all_finite(y, input_name="y")
        check_consistent_length(numbers, y)
        return y

    def _checked_validation(self, X_val: Any, y_val: Any, weight: Any) -> Data | None:
        if X_val is None and y_val is None and weight is None:
            return None
        if X_val is None or y_val is None:
            missing, given = ("y_val", "X_val") if y_val is None else ("X_val", "y_val")
            if X_val is None and y_val is None:
                missing, given = "X_val and y_val", "sample_weight_val"
            raise ValueError(
                f"fit was given {given} without {missing}. A validation set needs "
                "both X_val and y_val."
            )
        return self._checked(X_val, y_val, weight, mode="validate")

    @abstractmethod
    def _encode(
        self,
        y: np.ndarray,
        weight: np.ndarray | None,
        *,
        mode: str,
        dtype: np.dtype,
        classes: Any = None,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the target as the loss reads it, and the weights.

        Numbers are of type ``dtype``. In mode ``"new"`` what the target looks like is
        learned first; ``classes`` are the labels that a classifier was told of.
        """

    def _checked_rows(self, X: Any) -> Any:
        """Check rows to predict for."""
        if not self.__sklearn_is_fitted__():
            check_is_fitted(self)
        check_device(self.device)
        with named("X"):
            return self._inputs.encode(X, self._checked_numbers(X, reset=False))

    def _checked_numbers(self, X: Any, *, reset: bool) -> Any:
        """Return a table's columns of numbers, checked."""
        inputs = self._inputs
        if inputs.has_columns(X):
            validate_data(self, X, skip_check_array=True, reset=reset)
            return inputs.numbers(X, self)
        return validate_data(
            self,
            X,
            accept_sparse="csr",
            dtype=FLOATS,
            ensure_all_finite=inputs.finite(X),
            reset=reset,
        )


def _checked_weight(weight: Any, numbers: Any) -> np.ndarray:
    """Return the weights of the rows with these numbers."""
    return rescaled(
        _check_sample_weight(
            weight, numbers, dtype=np.float64, ensure_non_negative=True
        )
    )
