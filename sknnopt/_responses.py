"""What trained networks answer, in bounded memory whatever the number of rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from sknnopt._architecture import Architecture
from sknnopt._blocks import blocks
from sknnopt._feed import row_number_dtype
from sknnopt._layout import Layout
from sknnopt._network import plain_mode
from sknnopt._propagation import Parts, infer, layer_inputs, whole_tensors
from sknnopt.losses import is_linear, respond

#: Numbers that pass through the networks at once.
_CHUNK = 1 << 22
#: Raw outputs beyond this are as good as infinite, and softmax still adds them up.
LARGEST_RAW = 1e4


@dataclass(frozen=True)
class Responder:
    """Trained networks, ready to answer.

    Parameters
    ----------
    architecture : Architecture
        Their shape.
    weights : ndarray of shape (members, columns)
        Their numbers.
    loss : str
        Name of the loss, which decides the response.
    limits : tuple of ndarray of shape (n_outputs,)
        Least and greatest response of a member, or nothing.
    device : str
        A torch device.
    """

    architecture: Architecture
    weights: np.ndarray
    loss: str
    limits: tuple[np.ndarray, ...]
    device: str

    def mean(self, X: Any) -> np.ndarray:
        """Return the members' mean response, ``(n_rows, n_outputs)``."""
        n_rows, means, start = X.shape[0], None, 0
        with _usual_mode(self.device):
            for chunk in self._chunks(X):
                part = _mean(chunk)
                if len(part) == n_rows:
                    return part
                if means is None:
                    means = np.empty((n_rows, part.shape[1]), dtype=part.dtype)
                means[start : start + len(part)] = part
                start += len(part)
        assert means is not None  # noqa: S101
        return means

    def mean_and_std(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean, and the standard deviation between members in float64."""
        means, stds = [], []
        with _usual_mode(self.device):
            for chunk in self._chunks(X):
                means.append(_mean(chunk))
                stds.append(chunk.cpu().double().std(0, correction=0).numpy())
        return np.concatenate(means), np.concatenate(stds)

    def out_of_fold(self, X: Any, train: Sequence[np.ndarray]) -> np.ndarray:
        """Return for each row the mean over the members that did not train on it.

        Parameters
        ----------
        X : ndarray or CSR matrix of shape (n_rows, n_features)
            Checked rows.
        train : sequence of ndarray of int
            The rows that each member trained on.

        Returns
        -------
        ndarray of shape (n_rows, n_outputs)
            In float64; NaN for rows that all members trained on.
        """
        total = np.zeros((X.shape[0], self.mean(X[:1]).shape[1]))
        count = np.zeros((X.shape[0], 1), dtype=np.min_scalar_type(len(train)))
        for member, trained in enumerate(train):
            is_other = np.ones(X.shape[0], dtype=bool)
            is_other[trained] = False
            rows = np.flatnonzero(is_other).astype(row_number_dtype(X.shape[0]))
            count[rows] += 1
            single = replace(self, weights=self.weights[member : member + 1])
            with _usual_mode(self.device):
                for chunk in single._chunks(X, rows):
                    some, rows = np.split(rows, [chunk.shape[1]])
                    total[some] += chunk[0].cpu().numpy()
        with np.errstate(invalid="ignore"):
            total /= count
        return total

    def hidden_outputs(self, X: Any) -> Iterator[list[np.ndarray]]:
        """Yield for some rows at a time what each hidden layer puts out.

        Parameters
        ----------
        X : ndarray or CSR matrix of shape (n_rows, n_features)
            Checked rows.

        Yields
        ------
        list of ndarray of shape (members, some, units)
            One for each hidden layer.
        """
        tensors, _ = self._prepared
        for part in self._parts(X):
            # A mode that is left on would be the caller's between two yields.
            with _usual_mode(self.device):
                _, *hidden = layer_inputs(self.architecture, tensors, part)
            yield [output.cpu().numpy() for output in hidden]

    def _chunks(self, X: Any, rows: np.ndarray | None = None) -> Iterator[Tensor]:
        """Yield the responses to ``rows`` (None: all), ``(members, some, outputs)``."""
        tensors, limits = self._prepared
        for part in self._parts(X, rows):
            raw = infer(self.architecture, tensors, part)
            response = respond(self.loss, settled(self.loss, raw))
            yield response.clamp(*limits) if limits else response

    def _parts(self, X: Any, rows: np.ndarray | None = None) -> Iterator[Tensor]:
        """Yield the rows (None: all), as many at a time as memory is meant to hold."""
        width = max(self.architecture.sizes) * len(self.weights)
        n_rows = X.shape[0] if rows is None else len(rows)
        for some in blocks(n_rows, max(1, _CHUNK // width)):
            yield self._tensor(X[some if rows is None else rows[some]])

    @cached_property
    def _prepared(self) -> tuple[Parts, list[Tensor]]:
        """Weights and limits as every chunk reads them."""
        limits = [self._tensor(limit) for limit in self.limits]
        layout = Layout.of(self.architecture)
        return whole_tensors(layout, self._tensor(self.weights)), limits

    def _tensor(self, array: Any) -> Tensor:
        dense = array.toarray() if sparse.issparse(array) else array
        dtype = self.weights.dtype
        is_usable = dense.dtype == dtype and dense.flags.carray
        # torch warns of memory that it may not write to, though nothing is written.
        native = dense if is_usable else np.array(dense, dtype=dtype)
        return torch.from_numpy(native).to(self.device)


def settled(loss: str, raw: Tensor) -> Tensor:
    """Return raw outputs that are finite: an absurd input may overflow.

    Parameters
    ----------
    loss : str
        A key of ``LOSSES``.
    raw : Tensor of any shape
        Raw outputs.

    Returns
    -------
    Tensor of the same shape
        Within what a softmax can add up, or, where the response is the raw output
        itself, what squares over members can.
    """
    largest = (
        torch.finfo(raw.dtype).max ** 0.5 / 100 if is_linear(loss) else LARGEST_RAW
    )
    return raw.nan_to_num(0.0).clamp(-largest, largest)


def _mean(response: Tensor) -> np.ndarray:
    """Return the members' mean as an array."""
    mean: np.ndarray
    mean = (response[0] if len(response) == 1 else response.mean(0)).cpu().numpy()
    return mean


def _usual_mode(device: str) -> AbstractContextManager[None]:
    """Return a context without gradients, in no mode that the caller has set."""
    kind = device.partition(":")[0]
    if torch.is_inference_mode_enabled() or torch.is_autocast_enabled(kind):
        return plain_mode(device, gradient=False)
    return torch.no_grad()
