"""Peers that are written in PyTorch: skorch, a plain loop, and bare products."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from skorch import NeuralNetBinaryClassifier, NeuralNetRegressor
from torch import Tensor, nn

from benchmarks._problems import LEARNING_RATE, Shape, load


class Network(nn.Module):
    """A multilayer perceptron as one would write it by hand.

    Parameters
    ----------
    widths : sequence of int
        Of all layers, input and output included.
    dtype : torch.dtype
        Of the weights.
    squeeze : bool, default=False
        Whether the output, one column, comes without its axis.
    """

    def __init__(
        self, widths: tuple[int, ...], dtype: torch.dtype, *, squeeze: bool = False
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(widths):
            linear = nn.Linear(n_in, n_out, dtype=dtype)
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)
            layers += [linear, nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])
        self.squeeze = squeeze

    def forward(self, X: Tensor) -> Tensor:
        """Return raw outputs."""
        raw = self.layers(X)
        return raw.squeeze(-1) if self.squeeze else raw


def prepare_skorch(shape: Shape, dtype: str, epochs: int) -> Callable[[int], Any]:
    """Return fits with skorch, see :mod:`benchmarks._peers`.

    Parameters
    ----------
    shape : Shape
        The problem.
    dtype : {"float32", "float64"}
        Of rows and weights.
    epochs : int
        Passes over the rows.

    Returns
    -------
    callable
        Fits with a seed.
    """
    X, y = load(shape.rows, shape.features, shape.task, dtype)
    is_classifier = shape.task == "classification"
    # The criterion wants numbers of the weights' type, and a regressor columns.
    target = y.astype(dtype) if is_classifier else y[:, None]

    def fit(seed: int) -> Callable[[np.ndarray], np.ndarray]:
        torch.manual_seed(seed)
        model = skorch_model(shape, dtype, epochs).fit(X, target)
        if is_classifier:
            return lambda rows: model.predict_proba(rows)[:, 1]
        return lambda rows: model.predict(rows)[:, 0]

    return fit


def skorch_model(shape: Shape, dtype: str, epochs: int) -> Any:
    """Return a skorch estimator without validation, scoring and output.

    Parameters
    ----------
    shape : Shape
        The problem.
    dtype : {"float32", "float64"}
        Of rows and weights.
    epochs : int
        Passes over the rows.

    Returns
    -------
    estimator
        Not fitted.
    """
    is_classifier = shape.task == "classification"
    kind = NeuralNetBinaryClassifier if is_classifier else NeuralNetRegressor
    return kind(
        Network,
        module__widths=shape.widths,
        module__dtype=getattr(torch, dtype),
        module__squeeze=is_classifier,
        optimizer=torch.optim.Adam,
        optimizer__weight_decay=2 * shape.l2,
        optimizer__fused=True,
        lr=LEARNING_RATE,
        batch_size=shape.batch,
        max_epochs=epochs,
        train_split=None,
        iterator_train__shuffle=True,
        iterator_train__drop_last=False,
        verbose=0,
    )


def prepare_loop(shape: Shape, dtype: str, epochs: int) -> Callable[[int], Any]:
    """Return fits with a loop over slices and a fused Adam.

    Parameters
    ----------
    shape : Shape
        The problem.
    dtype : {"float32", "float64"}
        Of rows and weights.
    epochs : int
        Passes over the rows.

    Returns
    -------
    callable
        Fits with a seed.
    """
    X, y = load(shape.rows, shape.features, shape.task, dtype)
    is_classifier = shape.task == "classification"
    criterion = nn.BCEWithLogitsLoss() if is_classifier else nn.MSELoss()

    def fit(seed: int) -> Callable[[np.ndarray], np.ndarray]:
        torch.manual_seed(seed)
        rows, target = torch.from_numpy(X), torch.from_numpy(y.astype(dtype))[:, None]
        network = Network(shape.widths, rows.dtype)
        adam = torch.optim.Adam(
            network.parameters(), LEARNING_RATE, weight_decay=2 * shape.l2, fused=True
        )
        for _ in range(epochs):
            order = torch.randperm(len(rows))
            for batch in order.split(shape.batch):
                adam.zero_grad()
                criterion(network(rows[batch]), target[batch]).backward()
                adam.step()
        return lambda new: _predicted(network, new, is_classifier)

    return fit


@torch.inference_mode()
def _predicted(network: Network, rows: np.ndarray, is_classifier: bool) -> np.ndarray:
    raw = network(torch.from_numpy(rows))[:, 0]
    return (torch.sigmoid(raw) if is_classifier else raw).numpy()


def prepare_products(shape: Shape, dtype: str, epochs: int) -> Callable[[int], Any]:
    """Return the matrix products of a fit and nothing else, which is the limit.

    numpy or torch does them, whichever is faster here.

    Parameters
    ----------
    shape : Shape
        The problem.
    dtype : {"float32", "float64"}
        Of the factors.
    epochs : int
        Passes over the rows.

    Returns
    -------
    callable
        Multiplies; its result predicts nothing.
    """
    sizes = _batches(shape)
    works = [_products(shape, dtype, library) for library in ("numpy", "torch")]

    def passes(work: dict[int, list[Callable[[], Any]]], count: int) -> None:
        for _ in range(count):
            for size in sizes:
                for product in work[size]:
                    product()

    seconds = []
    for work in works:
        passes(work, 1)
        start = time.perf_counter()
        passes(work, max(1, epochs // 10))
        seconds.append(time.perf_counter() - start)
    faster = works[int(np.argmin(seconds))]

    def fit(seed: int) -> None:
        passes(faster, epochs)

    return fit


def _batches(shape: Shape) -> list[int]:
    """Return the numbers of rows of an epoch's updates."""
    whole, rest = divmod(shape.rows, shape.batch)
    return [shape.batch] * whole + [rest] * (rest > 0)


def _products(
    shape: Shape, dtype: str, library: str
) -> dict[int, list[Callable[[], Any]]]:
    """Return the products of an update, for each number of rows that occurs."""
    return {
        size: [
            _product(left, right, library)
            for left, right in _factors(shape.widths, size, dtype)
        ]
        for size in set(_batches(shape))
    }


def _factors(
    widths: tuple[int, ...], rows: int, dtype: str
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the factors of forward and backward pass, layer by layer."""
    rng = np.random.default_rng(0)
    factors = []
    for layer, (n_in, n_out) in enumerate(pairwise(widths)):
        below = rng.standard_normal((rows, n_in)).astype(dtype)
        weights = rng.standard_normal((n_in, n_out)).astype(dtype)
        above = rng.standard_normal((rows, n_out)).astype(dtype)
        factors += [(below, weights), (below.T, above)]
        if layer > 0:  # the rows themselves need no gradient
            factors.append((above, weights.T))
    return factors


def _product(left: np.ndarray, right: np.ndarray, library: str) -> Callable[[], Any]:
    if library == "numpy":
        result = left @ right
        return lambda: np.matmul(left, right, out=result)
    a, b = torch.from_numpy(left), torch.from_numpy(right)
    out = a @ b
    return lambda: torch.mm(a, b, out=out)
