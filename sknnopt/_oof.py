"""Out-of-fold predictions of an ensemble, and their score."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np

from sknnopt._blocks import blocks
from sknnopt._fitting import threads_of
from sknnopt._folds import Folds
from sknnopt._responses import Responder
from sknnopt.losses import LOSSES


class OutOfFold(ABC):
    """What an estimator knows of the folds that its members validated on."""

    loss_name_: str
    #: The folds' seed, and the digest of who trained on what; None where the members
    #: have trained on more than one partition.
    _folds: dict[str, Any]

    @abstractmethod
    def _responder(self) -> Responder:
        """Return the networks, ready to answer."""

    def _in_units(self, response: np.ndarray) -> np.ndarray:
        """Return a mean response as it is predicted."""
        return response

    @property
    def _fold_seed(self) -> int | None:
        """Seed of the partition that a warm start keeps."""
        return getattr(self, "_folds", {}).get("seed")

    def _set_out_of_fold(
        self,
        X: Any,
        target: np.ndarray,
        sample_weight: np.ndarray | None,
        folds: Folds | None,
        *,
        is_new: bool,
    ) -> None:
        """Predict each row by the members that never trained on it."""
        digest_before = getattr(self, "_folds", {}).get("digest")
        for name in ("_folds", "oof_prediction_", "oof_score_"):
            self.__dict__.pop(name, None)
        if folds is None:
            return
        digest = folds.digest()
        # Members that began on other folds have seen rows that they hold out now.
        is_unseen = is_new or digest == digest_before
        self._folds = {"seed": folds.seed, "digest": digest if is_unseen else None}
        if not is_unseen:
            return
        with threads_of(self):
            response = self._responder().out_of_fold(X, folds.train)
        self.oof_prediction_ = self._in_units(response)
        self.oof_score_ = oof_score(response, target, sample_weight, self.loss_name_)


def oof_score(
    response: np.ndarray, target: np.ndarray, weight: np.ndarray | None, loss: str
) -> float:
    """Return accuracy or R squared of the rows that have a prediction.

    Parameters
    ----------
    response : ndarray of shape (n_rows, n_outputs)
        Probabilities, or values in the target's standardized units; NaN where there is
        none.
    target : ndarray of shape (n_rows, n_targets)
        Target as the loss reads it.
    weight : ndarray of shape (n_rows,) or None
        Weights of the rows; None: one each.
    loss : str
        Name of the loss.

    Returns
    -------
    float
        Share of the rows whose label (or whole set of labels) is the predicted one, or
        the mean over the targets of R squared, which units do not change; NaN where
        no row has both a prediction and a weight.
    """
    given = response, target, weight
    total = sum(float(w.sum()) for _, _, w in _there(*given))
    if not total:
        return float("nan")
    if LOSSES[loss].task == "regression":
        return _r_squared(given, total)
    right = sum(float((_is_right(r, t) * w).sum()) for r, t, w in _there(*given))
    return right / total


_Given: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray | None]


def _there(
    response: np.ndarray, target: np.ndarray, weight: np.ndarray | None
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield blocks of the rows that have a prediction and a weight."""
    for part in blocks(len(response)):
        is_there = np.isfinite(response[part]).all(axis=1)
        if weight is not None:
            is_there &= weight[part] > 0
        there = np.flatnonzero(is_there)
        of_rows = np.ones(len(there)) if weight is None else weight[part][there]
        yield response[part][there], target[part][there], of_rows


def _is_right(response: np.ndarray, target: np.ndarray) -> np.ndarray:
    right: np.ndarray
    if target.shape[1] == 1:
        right = response.argmax(axis=1) == target[:, 0]
    else:
        right = ((response > 0.5) == (target > 0.5)).all(axis=1)
    return right


def _r_squared(given: _Given, total: float) -> float:
    centre = sum(w @ t for _, t, w in _there(*given)) / total
    error = sum(w @ (t - r) ** 2 for r, t, w in _there(*given))
    reference = np.asarray(sum(w @ (t - centre) ** 2 for _, t, w in _there(*given)))
    is_constant = reference == 0
    share = error / np.where(is_constant, 1.0, reference)
    # Without anything to explain, 1 or 0.
    return float(np.where(is_constant, error == 0, 1 - share).mean())
