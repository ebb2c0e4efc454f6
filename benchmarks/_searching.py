"""One search over learning rates, with ours or a peer's network."""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from joblib import parallel_config
from joblib.parallel import BACKENDS
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, RepeatedStratifiedKFold
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks._peers import our_parameters, sklearn_parameters
from benchmarks._problems import Shape
from benchmarks._torch_peers import skorch_model
from sknnopt import OptimizedMLPClassifier
from sknnopt.datasets import load_pima

BATCH = 32
#: What trains our fits together, where it is there.
GATHERING = "sknnopt"


@dataclass(frozen=True)
class Size:
    """The size of a search.

    Parameters
    ----------
    candidates : int
        Learning rates.
    repeats : int
        Repeats of the cross-validation with five folds.
    folds : int, default=5
        Folds.
    """

    candidates: int
    repeats: int
    folds: int = 5

    @property
    def n_fits(self) -> int:
        """Return the number of fits."""
        return self.candidates * self.repeats * self.folds


def backend() -> str:
    """Return the joblib backend of our searches: gathering, or else threads."""
    import sknnopt  # noqa: F401 - makes the backend known

    return GATHERING if GATHERING in BACKENDS else "threading"


def search(
    who: str,
    hidden: tuple[int, ...],
    size: Size,
    epochs: int,
    *,
    losses: bool = False,
    seed: int = 0,
) -> Any:
    """Search once.

    Parameters
    ----------
    who : {"ours", "sklearn", "skorch"}
        Whose network, and how its fits are spread.
    hidden : tuple of int
        Widths of the hidden layers.
    size : Size
        Candidates and folds.
    epochs : int
        Of each fit.
    losses : bool, default=False
        Whether training losses are computed too.
    seed : int, default=0
        Of the initial weights.

    Returns
    -------
    GridSearchCV
        Fitted, without a final fit on all rows.
    """
    X, y = load_pima(return_X_y=True)
    X, y = X.to_numpy(np.float32), y.to_numpy()
    if who == "skorch":  # whose criterion wants numbers
        y = y.astype(np.float32)
    name, network = _network(who, hidden, epochs, seed)
    model = make_pipeline(StandardScaler(), network)
    rates = np.geomspace(1e-4, 3e-2, size.candidates).tolist()
    grid = GridSearchCV(
        model,
        {f"{model.steps[-1][0]}__{name}": rates},
        scoring="neg_log_loss",
        cv=RepeatedStratifiedKFold(
            n_splits=size.folds, n_repeats=size.repeats, random_state=0
        ),
        n_jobs=None if who == "skorch" else -1,
        refit=False,
        error_score="raise",
        return_train_score=losses,
    )
    spread = parallel_config(backend=backend()) if who == "ours" else nullcontext()
    with spread, warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return grid.fit(X, y)


def _network(
    who: str, hidden: tuple[int, ...], epochs: int, seed: int
) -> tuple[str, Any]:
    """Return the name of the learning rate and a network."""
    shape = Shape(614, 8, hidden, BATCH, epochs, epochs)
    if who == "ours":
        parameters = our_parameters(shape, epochs)
        return "learning_rate", OptimizedMLPClassifier(**parameters, random_state=seed)
    if who == "sklearn":
        # Workers do not see the filter of the process that started them.
        network = _Quiet(**sklearn_parameters(shape, epochs), random_state=seed)
        return "learning_rate_init", network
    torch.manual_seed(seed)  # each of its fits draws on
    return "lr", skorch_model(shape, "float32", epochs)


class _Quiet(MLPClassifier):
    """scikit-learn's network, silent where its epochs are what ends the training."""

    def fit(self, X: np.ndarray, y: np.ndarray) -> _Quiet:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            super().fit(X, y)
        return self
