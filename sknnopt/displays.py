"""Pictures of what an estimator has stored; they compute nothing themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import is_classifier
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from sknnopt._base import BaseOptimizedMLP
from sknnopt._drawing import BLUE, VERMILION, new_axes
from sknnopt._parallel_display import ParallelCoordinatesDisplay
from sknnopt._parameter_displays import (
    ParameterEffectDisplay,
    ParameterImportanceDisplay,
)
from sknnopt._search_displays import SearchConvergenceDisplay, SearchCurvesDisplay

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

__all__ = [
    "ParallelCoordinatesDisplay",
    "ParameterEffectDisplay",
    "ParameterImportanceDisplay",
    "SearchConvergenceDisplay",
    "SearchCurvesDisplay",
    "TrainingHistoryDisplay",
]

_CURVES = (("train", "training", BLUE), ("valid", "validation", VERMILION))
_METRICS = ("loss", "score")


class TrainingHistoryDisplay:
    """Loss or score over the epochs of a fit.

    Make one with :meth:`from_estimator` or :meth:`from_history`, which also draw.

    Parameters
    ----------
    history : mapping of str to ndarray of shape (n_lines,)
        Columns ``member`` and ``epoch``, and any of ``train_loss``, ``valid_loss``,
        ``train_score`` and ``valid_score``.
    best_epoch : int or array-like of shape (n_members,), default=None
        The epoch that each member kept, counted from 1; None: none is marked.
    score_name : str, default="Score"
        What the score measures.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where the curves are.
    figure_ : matplotlib Figure
        The figure around it.
    lines_ : list of matplotlib Line2D
        The curves: all members' training curves, then their validation curves.

    Examples
    --------
    >>> from sknnopt import OptimizedMLPClassifier
    >>> from sknnopt.datasets import load_pima
    >>> from sknnopt.displays import TrainingHistoryDisplay
    >>> X, y = load_pima(return_X_y=True)
    >>> model = OptimizedMLPClassifier(
    ...     n_members=1, max_epochs=5, monitor="full", random_state=0).fit(X, y)
    >>> display = TrainingHistoryDisplay.from_estimator(model, metric="score")
    >>> [line.get_label() for line in display.lines_]
    ['training', 'validation']
    """

    def __init__(
        self,
        history: Mapping[str, Any],
        *,
        best_epoch: Any = None,
        score_name: str = "Score",
    ) -> None:
        self.history = {name: np.asarray(column) for name, column in history.items()}
        self.best_epoch = best_epoch
        self.score_name = score_name

    @classmethod
    def from_estimator(
        cls, estimator: Any, ax: Axes | None = None, *, metric: str = "loss"
    ) -> Self:
        """Draw the history of a fitted estimator.

        Parameters
        ----------
        estimator : OptimizedMLPClassifier, OptimizedMLPRegressor or Pipeline
            Fitted; a pipeline must end in one of the two.
        ax : matplotlib Axes or None, default=None
            Where to draw; None: a new figure.
        metric : {"loss", "score"}, default="loss"
            What to draw.

        Returns
        -------
        TrainingHistoryDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the estimator is none of these, or its history lacks the metric.
        """
        network = estimator[-1] if isinstance(estimator, Pipeline) else estimator
        if not isinstance(network, BaseOptimizedMLP):
            raise ValueError(
                "The 'estimator' parameter must be an OptimizedMLPClassifier, an "
                "OptimizedMLPRegressor or a Pipeline that ends in one. Got a "
                f"{type(network).__name__} at the end instead."
            )
        check_is_fitted(network)
        history = network.history_
        # Without validation nothing was chosen: the last epoch is no best one.
        best_epoch = network.best_epoch_ if "valid_loss" in history else None
        name = "Accuracy" if is_classifier(network) else "R²"
        display = cls(history, best_epoch=best_epoch, score_name=name)
        return display.plot(ax, metric=metric)

    @classmethod
    def from_history(
        cls,
        history: Mapping[str, Any],
        best_epoch: Any = None,
        ax: Axes | None = None,
        *,
        metric: str = "loss",
        score_name: str = "Score",
    ) -> Self:
        """Draw a history, such as ``history_`` of an estimator.

        Parameters
        ----------
        history : DataFrame or mapping of str to array-like
            As the constructor's.
        best_epoch : int or array-like of shape (n_members,), default=None
            The epoch that each member kept, counted from 1.
        ax : matplotlib Axes or None, default=None
            Where to draw; None: a new figure.
        metric : {"loss", "score"}, default="loss"
            What to draw.
        score_name : str, default="Score"
            What the score measures.

        Returns
        -------
        TrainingHistoryDisplay
            The display, drawn.
        """
        display = cls(history, best_epoch=best_epoch, score_name=score_name)
        return display.plot(ax, metric=metric)

    def plot(self, ax: Axes | None = None, *, metric: str = "loss") -> Self:
        """Draw training and validation curve, and mark the best epoch.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Where to draw; None: a new figure.
        metric : {"loss", "score"}, default="loss"
            What to draw. The training score is recorded where the estimator's
            ``monitor`` is ``"full"``.

        Returns
        -------
        TrainingHistoryDisplay
            The display itself.

        Raises
        ------
        ValueError
            If the history lacks the metric.
        ImportError
            If matplotlib is not installed.
        """
        curves = self._curves(metric)
        ax = new_axes() if ax is None else ax
        self.ax_, self.figure_ = ax, ax.figure
        self.lines_: list[Line2D] = []
        for column, label, color in curves:
            self._draw_members(column, label, color)
        self._mark_best(*curves[-1])
        ax.set_xlabel("Epoch")
        ax.set_ylabel("Loss" if metric == "loss" else self.score_name)
        ax.locator_params(axis="x", integer=True)
        ax.legend()
        return self

    def _curves(self, metric: str) -> list[tuple[str, str, str]]:
        if metric not in _METRICS:
            raise ValueError(
                f"The 'metric' parameter must be one of {list(_METRICS)}. Got "
                f"{metric!r} instead."
            )
        curves = [
            (f"{part}_{metric}", label, color)
            for part, label, color in _CURVES
            if f"{part}_{metric}" in self.history
        ]
        if not curves:
            raise ValueError(
                f"The history has no {metric} to draw, only {sorted(self.history)}. "
                "Fit with monitor='full', or with early_stopping=True."
            )
        return curves

    def _members(self) -> list[np.ndarray]:
        """Return the lines of the history that belong to each member."""
        epochs = self.history["epoch"]
        members = self.history.get("member", np.zeros_like(epochs))
        return [np.flatnonzero(members == member) for member in np.unique(members)]

    def _draw_members(self, column: str, label: str, color: str) -> None:
        members = self._members()
        style: dict[str, Any] = {"color": color}
        if len(members) > 1:
            style |= {"linewidth": 0.8, "alpha": 0.7}
        for number, rows in enumerate(members):
            self.lines_ += self.ax_.plot(
                self.history["epoch"][rows],
                self.history[column][rows],
                label=label if number == 0 else f"_{label} {number}",
                **style,
            )

    def _mark_best(self, column: str, label: str, color: str) -> None:
        if self.best_epoch is None:
            return
        best = np.atleast_1d(self.best_epoch)
        epochs, values = self.history["epoch"], self.history[column]
        # The last line of an epoch: a run continued by warm_start counts anew.
        places = [
            rows[epochs[rows] == epoch][-1:]
            for rows, epoch in zip(self._members(), best, strict=True)
        ]
        rows = np.concatenate(places)
        if len(rows) == 0:
            return
        if len(best) == 1:
            self.ax_.axvline(best[0], color=color, linestyle=":", linewidth=1)
        text = f"best epoch ({best[0]})" if len(best) == 1 else "best epochs"
        self.ax_.plot(
            epochs[rows], values[rows], "o", color=color, markersize=5, label=text
        )
