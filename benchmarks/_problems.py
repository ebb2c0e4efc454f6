"""The problems that networks are timed on, and the loss that all are judged by."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from sknnopt.datasets import load_pima

#: scikit-learn's default strength of its L2 penalty, alpha / (2 n) * sum(W ** 2) for a
#: batch of n rows.
ALPHA = 1e-4
LEARNING_RATE = 1e-3


@dataclass(frozen=True)
class Shape:
    """A problem's size and the network for it.

    Parameters
    ----------
    rows, features : int
        Of the training data; 614 x 8 is the Pima table, all else is drawn.
    hidden : tuple of int
        Widths of the hidden layers.
    batch : int
        Rows in an update.
    epochs : int
        Passes over the rows in one fit.
    slow_epochs : int
        The same beside peers that take many times longer.
    task : {"classification", "regression"}, default="classification"
        Classification has two classes.
    """

    rows: int
    features: int
    hidden: tuple[int, ...]
    batch: int
    epochs: int
    slow_epochs: int
    task: str = "classification"

    @property
    def name(self) -> str:
        """Return a name without blanks, such as ``614x8-10-10``."""
        widths = "-".join(map(str, self.hidden))
        suffix = "-regression" if self.task == "regression" else ""
        return f"{self.rows}x{self.features}-{widths}{suffix}"

    @property
    def label(self) -> str:
        """Return what reports call it."""
        widths = ", ".join(map(str, self.hidden))
        suffix = ", regression" if self.task == "regression" else ""
        return f"{self.rows}×{self.features} ({widths}) batch {self.batch}{suffix}"

    @property
    def widths(self) -> tuple[int, ...]:
        """Return the widths of all layers, input and output included."""
        return (self.features, *self.hidden, 1)

    @property
    def l2(self) -> float:
        """Return the factor of sum(W ** 2) beside the mean loss.

        It equals ``ALPHA`` in scikit-learn's, whose squared error is halved.
        """
        doubled = 2 if self.task == "regression" else 1
        return doubled * ALPHA / (2 * self.batch)

    def brief(self) -> Shape:
        """Return the same for a smoke test."""
        return replace(self, rows=min(self.rows, 500), epochs=1, slow_epochs=1)


SHAPES = (
    Shape(614, 8, (10, 10), 32, epochs=100, slow_epochs=25),
    Shape(614, 8, (100,), 200, epochs=400, slow_epochs=100),
    Shape(5000, 20, (100,), 200, epochs=50, slow_epochs=20),
    Shape(5000, 20, (64, 64, 64), 64, epochs=10, slow_epochs=6),
    Shape(50000, 50, (256, 256), 256, epochs=1, slow_epochs=1),
    Shape(5000, 20, (100,), 200, epochs=50, slow_epochs=20, task="regression"),
)


@lru_cache(maxsize=4)
def load(
    rows: int, features: int, task: str, dtype: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return standardized rows and their targets.

    Parameters
    ----------
    rows, features : int
        614 or fewer rows of 8 features are of the Pima table.
    task : {"classification", "regression"}
        Targets are 0 and 1, or standardized numbers.
    dtype : {"float32", "float64"}
        Of the rows, and of a regression's targets.

    Returns
    -------
    X : ndarray of shape (rows, features)
        Rows.
    y : ndarray of shape (rows,)
        Targets; classes are int64.
    """
    if features == 8:
        table, y = load_pima(return_X_y=True)
        X, _, y, _ = train_test_split(
            table.to_numpy(np.float64), y.to_numpy(), test_size=0.2, random_state=0
        )
        X, y = StandardScaler().fit_transform(X)[:rows], y[:rows]
    else:
        X, y = draw(rows, features, task, np.random.default_rng(0))
    return X.astype(dtype), y if task == "classification" else y.astype(dtype)


def draw(
    rows: int, features: int, task: str, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw normal rows and a noisy target from a random network of 16 tanh units.

    Parameters
    ----------
    rows, features : int
        How many.
    task : {"classification", "regression"}
        Whether targets are Bernoulli draws or numbers.
    rng : numpy.random.Generator
        Draws all.

    Returns
    -------
    X : ndarray of shape (rows, features)
        Rows in double precision.
    y : ndarray of shape (rows,)
        Targets.
    """
    X = rng.standard_normal((rows, features))
    hidden = np.tanh(X @ rng.standard_normal((features, 16)) / np.sqrt(features))
    signal = hidden @ rng.standard_normal(16)
    if task == "classification":
        return X, (rng.random(rows) < 1 / (1 + np.exp(-2 * signal))).astype(np.int64)
    y = signal + rng.standard_normal(rows)
    return X, (y - y.mean()) / y.std()


def mean_loss(task: str, y: np.ndarray, predicted: np.ndarray) -> float:
    """Return the mean loss of predictions, without any penalty.

    The losses that packages report differ: by penalties, by a factor 1/2, and by
    whether weights move while the loss is averaged. So all are judged by this one.

    Parameters
    ----------
    task : {"classification", "regression"}
        Log-loss or squared error.
    y : ndarray of shape (rows,)
        Targets.
    predicted : ndarray of shape (rows,)
        Probabilities of class 1, or values.

    Returns
    -------
    float
        The mean over rows.
    """
    predicted = np.asarray(predicted, dtype=np.float64).ravel()
    if task == "regression":
        return float(np.mean((y - predicted) ** 2))
    # Single precision rounds a probability near 1 to 1.
    smallest = np.finfo(np.float32).eps
    right = np.where(y == 1, predicted, 1 - predicted)
    return float(-np.mean(np.log(np.clip(right, smallest, 1))))
