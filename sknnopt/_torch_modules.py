"""Trained networks as one torch module, from the rows of a table to predictions."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sknnopt._architecture import Architecture
from sknnopt._inputs import Inputs
from sknnopt._network import MemberNetwork
from sknnopt._responses import settled
from sknnopt.losses import respond


class Encoding(nn.Module):
    """What the networks see of a table of numbers, computed as `Inputs` does.

    Parameters
    ----------
    inputs : Inputs
        Learned from a training table.

    Raises
    ------
    ValueError
        If a category is no number: a tensor could not hold it.
    """

    # torch declares the attributes of modules as tensors or modules.
    mean: Tensor
    factor: Tensor
    numbers: Tensor
    missing: Tensor
    bin_column: Tensor
    bin_low: Tensor
    bin_factor: Tensor
    category_column: Tensor
    category: Tensor

    def __init__(self, inputs: Inputs) -> None:
        super().__init__()
        self.scales, self.imputes = bool(inputs.scale_inputs), inputs.impute_missing
        self.is_plain, self.has_bins = inputs.is_plain, bool(inputs.bins_)
        self.has_missing = bool(inputs.is_missing_.any())
        # What was sparse is only divided, so that zeros stay.
        mean = np.asarray(inputs.mean_, dtype=np.float64)
        self.centers = self.scales and not inputs.is_sparse_
        with np.errstate(divide="ignore"):
            self._keep("mean", mean)
            self._keep("factor", 1.0 / inputs.scale_)
            nothing = np.ones(0)
            bins = inputs.bins_ or dict.fromkeys(("column", "low", "width"), nothing)
            self._keep("bin_column", np.asarray(bins["column"], dtype=np.int64))
            self._keep("bin_low", np.asarray(bins["low"], dtype=np.float64))
            self._keep("bin_factor", 1.0 / np.asarray(bins["width"]))
        self._keep("missing", np.flatnonzero(inputs.is_missing_))
        mask = np.zeros(len(mean), dtype=bool)
        mask = mask if inputs.is_plain else np.asarray(inputs.is_categorical_)
        self._keep("numbers", np.flatnonzero(~mask))
        sizes = [len(values) for values in inputs.categories_]
        self._keep("category_column", np.repeat(np.flatnonzero(mask), sizes))
        self._keep("category", _as_numbers(inputs.categories_))

    def _keep(self, name: str, values: np.ndarray) -> None:
        self.register_buffer(name, torch.from_numpy(np.array(values)))

    def forward(self, X: Tensor) -> Tensor:
        """Encode rows.

        Parameters
        ----------
        X : Tensor of shape (n_rows, n_features)
            Numbers; NaN where one is missing.

        Returns
        -------
        Tensor of shape (n_rows, n_columns)
            What the networks see, in the type of ``X``.
        """
        numbers = X if self.is_plain else X[:, self.numbers]
        mean, missing = self.mean.to(X.dtype), numbers.isnan()
        if self.imputes:
            numbers = torch.where(missing, mean, numbers)
        parts = [numbers]
        if self.has_bins:
            parts.append(self._reach(numbers))
        if self.has_missing:
            parts.append(missing[:, self.missing].to(X.dtype))
        if not self.is_plain:
            given = X[:, self.category_column].to(self.category.dtype)
            parts.append((given == self.category).to(X.dtype))
        if self.centers:
            parts[0] = parts[0] - mean
        if self.scales:
            factor = self.factor.to(X.dtype)
            parts[0] = parts[0] * torch.where(factor.isinf(), 1.0, factor)
        return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]

    def _reach(self, numbers: Tensor) -> Tensor:
        """Return how far each number reaches into each bin."""
        reach = numbers[:, self.bin_column] - self.bin_low.to(numbers.dtype)
        reach = reach * self.bin_factor.to(numbers.dtype)
        return reach.clamp(0.0, 1.0) - 0.5


def _as_numbers(categories: list[np.ndarray]) -> np.ndarray:
    """Return the categories of all columns side by side."""
    values = [value for column in categories for value in column]
    odd = [v for v in values if not isinstance(v, Real | np.bool_)]
    if odd:
        raise ValueError(
            f"A torch module takes numbers, and one of the categories is {odd[0]!r}. "
            "Turn categories into numbers before fit: by an OrdinalEncoder, with the "
            "columns named in 'categorical_features', or by a OneHotEncoder."
        )
    return np.array(values, dtype=np.float64)


class TabularNetwork(nn.Module):
    """Trained networks with their inputs' encoding and their mean response.

    What ``to_torch`` of an estimator returns.

    Parameters
    ----------
    inputs : Inputs
        How a table is encoded.
    architecture : Architecture
        Shape of the networks.
    weights : ndarray of shape (members, columns)
        Their numbers.
    loss : str
        Name of the loss, which decides the response.
    units : dict of ndarray of shape (n_outputs,)
        Of a regression: ``scale`` and ``mean`` of the target, the bounds ``lowest`` and
        ``highest`` of a prediction; and of a member's response ``low`` and ``high``.
    is_1d : bool, default=False
        Whether predictions have one axis.
    """

    def __init__(
        self,
        inputs: Inputs,
        architecture: Architecture,
        weights: np.ndarray,
        loss: str,
        units: dict[str, np.ndarray],
        is_1d: bool = False,
    ) -> None:
        super().__init__()
        self.encoding = Encoding(inputs)
        self.members = MemberNetwork(architecture, torch.from_numpy(weights.copy()))
        self.loss, self.is_1d, self.has_units = loss, is_1d, bool(units)
        for name, values in units.items():
            self.register_buffer(name, torch.from_numpy(np.array(values)))

    def forward(self, X: Tensor) -> Tensor:
        """Predict.

        Parameters
        ----------
        X : Tensor of shape (n_rows, n_features)
            Numbers in the order of the training table's columns, float32 or float64;
            NaN where one is missing.

        Returns
        -------
        Tensor of shape (n_rows, n_classes), (n_rows, n_outputs) or (n_rows,)
            Probabilities, or the target in its own units.
        """
        raw = self.members(self._in_dtype(self.encoding(X)))
        response = respond(self.loss, settled(self.loss, raw))
        if not self.has_units:
            return response.mean(0)
        units: dict[str, Any] = self._buffers
        response = response.clamp(
            units["low"].to(response.dtype), units["high"].to(response.dtype)
        )
        mean = response.mean(0).to(units["scale"].dtype)
        values = mean * units["scale"] + units["mean"]
        values = values.clamp(units["lowest"], units["highest"])
        return values[:, 0] if self.is_1d else values

    def _in_dtype(self, encoded: Tensor) -> Tensor:
        """Return rows in the type of the weights, as `Inputs` does."""
        weights: Tensor = self.members.get_parameter("weight_0")
        dtype = weights.dtype
        if encoded.dtype == torch.float64 and dtype == torch.float32:
            largest = torch.finfo(dtype).max
            encoded = encoded.clamp(-largest, largest)
        return encoded.to(dtype)
