"""What trained networks answer, in bounded memory whatever the number of rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from sknnopt._architecture import Architecture
from sknnopt._layout import Layout
from sknnopt._network import plain_mode
from sknnopt._propagation import infer
from sknnopt.losses import respond

#: Numbers that pass through the networks at once.
_CHUNK = 1 << 22
#: Raw outputs beyond this are as good as infinite, and softmax still adds them up.
_LARGEST_RAW = 1e4


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
        with plain_mode(self.device, gradient=False):
            means = [chunk.mean(0).cpu().numpy() for chunk in self._chunks(X)]
        return np.concatenate(means)

    def mean_and_std(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean, and the standard deviation between members in float64."""
        means, stds = [], []
        with plain_mode(self.device, gradient=False):
            for chunk in self._chunks(X):
                means.append(chunk.mean(0).cpu().numpy())
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
        count = np.zeros((X.shape[0], 1))
        for member, trained in enumerate(train):
            is_other = np.ones(X.shape[0], dtype=bool)
            is_other[trained] = False
            rows = np.flatnonzero(is_other)
            count[rows] += 1
            single = replace(self, weights=self.weights[member : member + 1])
            with plain_mode(self.device, gradient=False):
                for chunk in single._chunks(X, rows):
                    some, rows = np.split(rows, [chunk.shape[1]])
                    total[some] += chunk[0].cpu().numpy()
        with np.errstate(invalid="ignore"):
            return total / count

    def _chunks(self, X: Any, rows: np.ndarray | None = None) -> Iterator[Tensor]:
        """Yield the responses to ``rows`` (None: all), ``(members, some, outputs)``."""
        weights, layout = self._tensor(self.weights), Layout.of(self.architecture)
        limits = [self._tensor(limit) for limit in self.limits]
        width = max(self.architecture.sizes) * len(self.weights)
        n_rows = X.shape[0] if rows is None else len(rows)
        size = max(1, _CHUNK // width)
        for start in range(0, n_rows, size):
            some: Any = slice(start, start + size)
            part = self._tensor(X[some if rows is None else rows[some]])
            raw = infer(self.architecture, layout, weights, part)
            # An absurd input may overflow; a prediction is finite all the same.
            raw = raw.nan_to_num(0.0).clamp(-_LARGEST_RAW, _LARGEST_RAW)
            response = respond(self.loss, raw)
            yield response.clamp(*limits) if limits else response

    def _tensor(self, array: Any) -> Tensor:
        dense = array.toarray() if sparse.issparse(array) else array
        dtype = self.weights.dtype
        return torch.from_numpy(np.array(dense, dtype=dtype)).to(self.device)
