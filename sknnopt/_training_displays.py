"""Pictures of what training did to the loss and the score of one fit, or of several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import is_classifier

from sknnopt._drawing import (
    VERMILION,
    blue_on,
    hide_high_curves,
    label_epochs,
    legend_above,
    line_styles,
    new_axes,
)
from sknnopt._fitted import history_of, network_of
from sknnopt._history_curves import LOSS_NAMES, fit_curves, member_band

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PolyCollection
    from matplotlib.lines import Line2D

_CURVES = {"train": "training", "valid": "validation"}
_METRICS = ("loss", "score")


class TrainingHistoryDisplay:
    """Loss or score over the epochs of a fit.

    Several members are a line, their mean, in a band from the least to the greatest;
    one that has stopped counts on with its last number.

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
        The curves: all training curves, then the validation curves.
    bands_ : list of matplotlib PolyCollection
        The bands of training and validation, where members are a band.
    marks_ : matplotlib Line2D or None
        Points at the best epochs.

    Examples
    --------
    >>> from sknnopt import OptimizedMLPClassifier
    >>> from sknnopt.datasets import load_pima
    >>> from sknnopt.displays import TrainingHistoryDisplay
    >>> X, y = load_pima(return_X_y=True)
    >>> model = OptimizedMLPClassifier(
    ...     n_members=3, max_epochs=5, monitor="full", random_state=0).fit(X, y)
    >>> display = TrainingHistoryDisplay.from_estimator(model, metric="score")
    >>> [line.get_label() for line in display.lines_]
    ['training', 'validation']
    >>> display = TrainingHistoryDisplay.from_estimator(model, members="lines")
    >>> len(display.lines_)
    6
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
        cls,
        estimator: Any,
        ax: Axes | None = None,
        *,
        metric: str = "loss",
        members: str = "band",
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
        members : {"band", "lines"}, default="band"
            Whether several members are a mean in a band, or a line each.

        Returns
        -------
        TrainingHistoryDisplay
            The display, drawn.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If the estimator is none of these, or its history lacks the metric.
        """
        network = network_of(estimator)
        history = network.history_
        # Without validation nothing was chosen: the last epoch is no best one.
        best_epoch = network.best_epoch_ if "valid_loss" in history else None
        name = "Accuracy" if is_classifier(network) else "R²"
        display = cls(history, best_epoch=best_epoch, score_name=name)
        return display.plot(ax, metric=metric, members=members)

    @classmethod
    def from_history(
        cls,
        history: Mapping[str, Any],
        best_epoch: Any = None,
        ax: Axes | None = None,
        *,
        metric: str = "loss",
        members: str = "band",
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
        members : {"band", "lines"}, default="band"
            Whether several members are a mean in a band, or a line each.
        score_name : str, default="Score"
            What the score measures.

        Returns
        -------
        TrainingHistoryDisplay
            The display, drawn.
        """
        display = cls(history, best_epoch=best_epoch, score_name=score_name)
        return display.plot(ax, metric=metric, members=members)

    def plot(
        self, ax: Axes | None = None, *, metric: str = "loss", members: str = "band"
    ) -> Self:
        """Draw training and validation curve, and mark the best epoch.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Where to draw; None: a new figure.
        metric : {"loss", "score"}, default="loss"
            What to draw. The training score is recorded where the estimator's
            ``monitor`` is ``"full"``.
        members : {"band", "lines"}, default="band"
            Whether several members are a mean in a band, or a line each.

        Returns
        -------
        TrainingHistoryDisplay
            The display itself.

        Raises
        ------
        ValueError
            If the history lacks the metric, or has no epochs.
        ImportError
            If matplotlib is not installed.
        """
        if members not in {"band", "lines"}:
            raise ValueError(
                "The 'members' parameter must be 'band' or 'lines'. Got "
                f"{members!r} instead."
            )
        parts = self._parts(metric)
        ax = new_axes() if ax is None else ax
        self.ax_, self.figure_ = ax, ax.figure
        self.lines_: list[Line2D] = []
        self.bands_: list[PolyCollection] = []
        self.marks_: Line2D | None = None
        colors = {"train": blue_on(ax), "valid": VERMILION}
        draw = self._draw_band if members == "band" else self._draw_members
        for part in parts:
            draw(f"{part}_{metric}", _CURVES[part], colors[part])
        self._mark_best(f"{parts[-1]}_{metric}", colors[parts[-1]])
        label_epochs(ax)
        ax.set_ylabel("Loss" if metric == "loss" else self.score_name)
        legend_above(ax)
        return self

    def _parts(self, metric: str) -> list[str]:
        """Return the parts of the rows whose metric was recorded."""
        if metric not in _METRICS:
            raise ValueError(
                f"The 'metric' parameter must be one of {list(_METRICS)}. Got "
                f"{metric!r} instead."
            )
        parts = [part for part in _CURVES if f"{part}_{metric}" in self.history]
        if not parts:
            raise ValueError(
                f"The history has no {metric} to draw, only {sorted(self.history)}. "
                "Fit with monitor='full', or with early_stopping=True."
            )
        return parts

    def _members(self) -> list[np.ndarray]:
        """Return the lines of the history that belong to each member."""
        epochs = self.history["epoch"]
        members = self.history.get("member", np.zeros_like(epochs))
        return [np.flatnonzero(members == member) for member in np.unique(members)]

    def _draw_band(self, column: str, label: str, color: str) -> None:
        if len(self._members()) == 1:
            self._draw_members(column, label, color)
            return
        band = member_band(self.history, column)
        ends = band["low"], band["high"]
        self.bands_.append(
            self.ax_.fill_between(
                band["epoch"], *ends, color=color, alpha=0.25, linewidth=0
            )
        )
        self.lines_ += self.ax_.plot(
            band["epoch"], band["mean"], color=color, label=label
        )

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

    def _mark_best(self, column: str, color: str) -> None:
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
        is_single = len(best) == 1
        if is_single:
            self.ax_.axvline(best[0], color=color, linestyle=":", linewidth=1)
        (self.marks_,) = self.ax_.plot(
            epochs[rows],
            values[rows],
            "o",
            color=color,
            markersize=5 if is_single else 3.5,
            label=f"best epoch ({best[0]})" if is_single else "best epochs",
        )


class FitComparisonDisplay:
    """Learning curves of several fits, with the lowest point of each.

    Make one with :meth:`from_fits`, which also draws.

    Parameters
    ----------
    curves : mapping of str to array-like of shape (n_lines,)
        Columns ``fit``, ``epoch``, ``loss`` and ``is_lowest``, sorted by epoch; the
        fits in the order in which they are drawn.
    loss_name : str, default="Loss"
        What the loss measures.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where the curves are.
    figure_ : matplotlib Figure
        The figure around it.
    lines_ : list of matplotlib Line2D
        The curve of each fit.
    marks_ : list of matplotlib Line2D
        Their lowest points.

    Examples
    --------
    >>> from sknnopt import OptimizedMLPClassifier
    >>> from sknnopt.datasets import load_pima
    >>> from sknnopt.displays import FitComparisonDisplay
    >>> X, y = load_pima(return_X_y=True)
    >>> model = OptimizedMLPClassifier(n_members=1, max_epochs=5, random_state=0)
    >>> fits = {"as it is": model.fit(X, y).history_}
    >>> fits["slower"] = model.set_params(learning_rate=1e-4).fit(X, y)
    >>> display = FitComparisonDisplay.from_fits(fits)
    >>> [line.get_label() for line in display.lines_]
    ['as it is', 'slower']
    """

    def __init__(self, curves: Mapping[str, Any], *, loss_name: str = "Loss") -> None:
        self.curves = {name: np.asarray(column) for name, column in curves.items()}
        self.loss_name = loss_name

    @classmethod
    def from_fits(
        cls,
        fits: Mapping[str, Any],
        ax: Axes | None = None,
        *,
        loss: str | None = None,
    ) -> Self:
        """Draw the loss of several fits, means over the members of each.

        Parameters
        ----------
        fits : mapping of str to fitted estimator or history
            By the names that the legend shows: estimators of this package, pipelines
            that end in one, or histories such as their ``history_``.
        ax : matplotlib Axes or None, default=None
            Where to draw; None: a new figure.
        loss : {"valid", "train"} or None, default=None
            Which loss; None: that of validation if all fits have recorded it.

        Returns
        -------
        FitComparisonDisplay
            The display, drawn.

        Raises
        ------
        NotFittedError
            If an estimator is not fitted.
        ValueError
            If there is no fit, or one has not recorded the loss.
        """
        histories = {name: history_of(fit) for name, fit in fits.items()}
        curves, kind = fit_curves(histories, loss)
        return cls(curves, loss_name=LOSS_NAMES[kind]).plot(ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw the curve of each fit, and a point where it is lowest.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Where to draw; None: a new figure.

        Returns
        -------
        FitComparisonDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        ax = new_axes() if ax is None else ax
        self.ax_, self.figure_ = ax, ax.figure
        self.lines_: list[Line2D] = []
        self.marks_: list[Line2D] = []
        names = list(dict.fromkeys(self.curves["fit"].tolist()))
        styles = line_styles(ax, len(names))
        for name, style in zip(names, styles, strict=True):
            self._draw(name, style)
        hide_high_curves(ax, [np.asarray(line.get_ydata()) for line in self.lines_])
        label_epochs(ax)
        ax.set_ylabel(self.loss_name)
        legend_above(ax)
        return self

    def _draw(self, name: str, style: Mapping[str, Any]) -> None:
        rows = self.curves["fit"] == name
        lowest = rows & self.curves["is_lowest"].astype(bool)
        epoch, loss = self.curves["epoch"], self.curves["loss"]
        self.lines_ += self.ax_.plot(epoch[rows], loss[rows], label=name, **style)
        self.marks_ += self.ax_.plot(
            epoch[lowest], loss[lowest], "o", color=style["color"], markersize=4
        )
