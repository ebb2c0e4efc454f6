"""What the tune command finds out, as plain records that a report is written from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from sknnopt.diagnostics import Diagnosis

#: Measures by task, and whether more is better; the search looks at the first.
MEASURES: dict[str, dict[str, bool]] = {
    "classification": {"accuracy": True, "log-loss": False},
    "regression": {"R²": True, "RMSE": False},
}


@dataclass(frozen=True)
class DataSummary:
    """A table in numbers.

    Parameters
    ----------
    name, target : str
        Of the table and of its target column.
    task : {"classification", "regression"}
        What is predicted.
    reason : str
        Why this task.
    n_train, n_test : int
        Rows that the search saw, and rows held out.
    numeric, text : tuple of str
        Names of the feature columns.
    n_missing : int
        Numbers that were missing in the features.
    classes : mapping of str to int, default={}
        Rows of each class.
    target_range : tuple of float or None, default=None
        Least and greatest target of a regression.
    notes : tuple of str, default=()
        What else there is to know, a sentence each.
    """

    name: str
    target: str
    task: str
    reason: str
    n_train: int
    n_test: int
    numeric: tuple[str, ...]
    text: tuple[str, ...]
    n_missing: int
    classes: Mapping[str, int] = field(default_factory=dict)
    target_range: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SearchSummary:
    """What a search has tried, and what it tells.

    Parameters
    ----------
    trials : DataFrame
        One row for each candidate in the order of their numbers, as of
        `sknnopt.search.trials_frame`; parameters without the name of their step.
    parameters : tuple of str
        The columns of ``trials`` that hold parameters.
    best : int
        Row of the candidate that was chosen.
    params : mapping of str to object
        Its parameters.
    best_so_far : ndarray of shape (n_candidates,)
        The best score up to each candidate.
    curves : DataFrame
        ``candidate``, ``epoch`` and ``loss``; empty where no curve is known.
    curves_note : str
        Which curves these are, or why there are none.
    importance : DataFrame or None
        ``parameter``, ``importance`` and ``spread``; None where they tell nothing.
    importance_note : str
        How to read them, or why there are none.
    """

    trials: pd.DataFrame
    parameters: tuple[str, ...]
    best: int
    params: Mapping[str, Any]
    best_so_far: np.ndarray
    curves: pd.DataFrame
    curves_note: str
    importance: pd.DataFrame | None
    importance_note: str

    @property
    def number(self) -> int:
        """Number of the chosen candidate."""
        return int(self.trials["candidate"].iloc[self.best])

    @property
    def n_pruned(self) -> int:
        """How many candidates left early."""
        return int(self.trials["pruned"].sum())

    @property
    def is_best_pruned(self) -> bool:
        """Whether none has come to its end, so that even the best left early."""
        return bool(self.trials["pruned"].iloc[self.best])

    @property
    def ranking(self) -> pd.DataFrame:
        """The candidates, best first."""
        return self.trials.sort_values(["rank", "candidate"], ignore_index=True)


@dataclass(frozen=True)
class Measured:
    """One measure of one model: over the folds, and on the held-out rows."""

    cv_mean: float
    cv_sd: float
    held_out: float


@dataclass(frozen=True)
class ModelScores:
    """A model's name, and its measures by name."""

    name: str
    measures: Mapping[str, Measured]


@dataclass(frozen=True)
class TuneResult:
    """All that a report tells.

    Parameters
    ----------
    data : DataSummary
        The table.
    settings : mapping of str to object
        The options that the search ran with.
    search : SearchSummary
        The candidates.
    scores : tuple of ModelScores
        The tuned model first, then the baselines.
    history : mapping of str to ndarray
        The tuned model's history, one column each.
    diagnosis : Diagnosis
        Of the tuned model's training.
    best_epoch : ndarray of shape (n_members,)
        The epoch whose weights each member kept.
    truth, predicted : ndarray of shape (n_test,)
        Target of the held-out rows and its prediction.
    labels : tuple
        The classes in order; empty for a regression.
    seconds : float
        Duration of the whole run.
    search_seconds : float
        Duration of the search.
    versions : mapping of str to str
        Libraries and their versions.
    """

    data: DataSummary
    settings: Mapping[str, Any]
    search: SearchSummary
    scores: tuple[ModelScores, ...]
    history: Mapping[str, np.ndarray]
    diagnosis: Diagnosis
    best_epoch: np.ndarray
    truth: np.ndarray
    predicted: np.ndarray
    labels: tuple[Any, ...]
    seconds: float
    search_seconds: float
    versions: Mapping[str, str]

    @property
    def measure(self) -> str:
        """Name of the measure that the search looked at."""
        return next(iter(MEASURES[self.data.task]))

    @property
    def confusion(self) -> np.ndarray:
        """Held-out rows by class (rows) and predicted class (columns)."""
        labels = np.array(self.labels)
        counts = np.zeros((len(labels), len(labels)), dtype=np.int64)
        pairs = (
            np.searchsorted(labels, self.truth),
            np.searchsorted(labels, self.predicted),
        )
        np.add.at(counts, pairs, 1)
        return counts

    @property
    def accuracy_error(self) -> float:
        """Standard error of the tuned model's accuracy on the held-out rows."""
        accuracy = float(np.mean(self.truth == self.predicted))
        return float(np.sqrt(accuracy * (1 - accuracy) / len(self.truth)))
