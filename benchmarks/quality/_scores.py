"""What is measured of predictions."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import (
    accuracy_score,
    log_loss,
    mean_absolute_error,
    roc_auc_score,
    root_mean_squared_error,
)

#: Probabilities count as no smaller: about the resolution of float32 at one.
SMALLEST = 1e-7
_N_BINS = 15

CLASSIFICATION_SCORES = ("accuracy", "log_loss", "auc", "calibration_error")
REGRESSION_SCORES = ("rmse", "mae")
#: Of these, more is better.
IS_GAIN = frozenset({"accuracy", "auc"})


def classification_scores(y: np.ndarray, probability: np.ndarray) -> dict[str, float]:
    """Score probabilities.

    Parameters
    ----------
    y : ndarray of int of shape (n_rows,)
        Classes, numbered from 0.
    probability : ndarray of shape (n_rows, n_classes)
        Of each class.

    Returns
    -------
    dict
        Accuracy, mean log-loss, area under the ROC curve (each class against the
        rest, mean over classes) and calibration error.
    """
    probability = np.clip(probability.astype(np.float64), SMALLEST, 1.0)
    probability /= probability.sum(axis=1, keepdims=True)
    classes = np.arange(probability.shape[1])
    is_binary = len(classes) == 2
    area = roc_auc_score(
        y, probability[:, 1] if is_binary else probability, multi_class="ovr"
    )
    return {
        "accuracy": float(accuracy_score(y, probability.argmax(axis=1))),
        "log_loss": float(log_loss(y, probability, labels=classes)),
        "auc": float(area),
        "calibration_error": calibration_error(y, probability),
    }


def calibration_error(y: np.ndarray, probability: np.ndarray) -> float:
    """Return the expected calibration error of the predicted class.

    Parameters
    ----------
    y : ndarray of int of shape (n_rows,)
        Classes, numbered from 0.
    probability : ndarray of shape (n_rows, n_classes)
        Of each class.

    Returns
    -------
    float
        Mean over 15 bins of equal width, weighted by their rows, of the distance
        between the share of right predictions and their mean probability.

    References
    ----------
    Guo et al. 2017, On calibration of modern neural networks, equation 3.
    """
    confidence = probability.max(axis=1)
    is_right = probability.argmax(axis=1) == y
    bins = np.minimum((confidence * _N_BINS).astype(int), _N_BINS - 1)
    excess = np.bincount(bins, weights=confidence - is_right, minlength=_N_BINS)
    return float(np.abs(excess).sum() / len(y))


def regression_scores(y: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Score predicted numbers.

    Parameters
    ----------
    y : ndarray of shape (n_rows,)
        Numbers.
    predicted : ndarray of shape (n_rows,)
        What a method says they are.

    Returns
    -------
    dict
        Root mean squared and mean absolute error.
    """
    return {
        "rmse": float(root_mean_squared_error(y, predicted)),
        "mae": float(mean_absolute_error(y, predicted)),
    }
