"""Pictures of how a search went: its scores, and its learning curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from sknnopt._candidates import read_trials, score_name
from sknnopt._drawing import (
    GRAY,
    VERMILION,
    blue_on,
    hide_outliers,
    label_epochs,
    legend_above,
    new_axes,
    show_range,
)
from sknnopt._history_curves import LOSS_NAMES
from sknnopt._search_curves import best_so_far, fit_seconds, learning_curves

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import LineCollection, PathCollection
    from matplotlib.lines import Line2D

_AXES = {"candidate": "Candidate", "fit_time": "Fitting (seconds, added up)"}


class SearchConvergenceDisplay:
    """Scores of a search's candidates, and the best so far.

    Make one with :meth:`from_search`, which also draws.

    Parameters
    ----------
    candidate : array-like of shape (n_candidates,)
        Numbers of the candidates in the order in which they were tried.
    score : array-like of shape (n_candidates,)
        Mean score of each; greater is better, and one that is not finite is not drawn.
    best : array-like of shape (n_candidates,)
        The best score up to each.
    pruned : array-like of shape (n_candidates,), default=None
        Whether each was given up early; None: none was.
    fit_time : array-like of shape (n_candidates,), default=None
        Seconds of fitting up to each; None: not known.
    score_name : str, default="Score"
        What the score measures.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where the scores are.
    figure_ : matplotlib Figure
        The figure around it.
    line_ : matplotlib Line2D
        The best so far.
    finished_, pruned_ : matplotlib PathCollection
        The candidates that ran to their end, and those that did not.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sknnopt import OptimizedMLPClassifier
    >>> from sknnopt.datasets import load_pima
    >>> from sknnopt.displays import SearchConvergenceDisplay
    >>> X, y = load_pima(return_X_y=True)
    >>> model = OptimizedMLPClassifier(n_members=1, max_epochs=3, random_state=0)
    >>> search = GridSearchCV(model, {"n_units": [2, 8, 16]}, cv=2).fit(X, y)
    >>> display = SearchConvergenceDisplay.from_search(search)
    >>> display.line_.get_ydata()[-1] == search.best_score_
    np.True_
    """

    def __init__(
        self,
        candidate: Any,
        score: Any,
        best: Any,
        *,
        pruned: Any = None,
        fit_time: Any = None,
        score_name: str = "Score",
    ) -> None:
        self.candidate = np.asarray(candidate)
        self.score = np.asarray(score, dtype=float)
        self.best = np.asarray(best, dtype=float)
        none = np.zeros(len(self.score), dtype=bool)
        self.pruned = none if pruned is None else np.asarray(pruned, dtype=bool)
        self.fit_time = None if fit_time is None else np.asarray(fit_time)
        self.score_name = score_name

    @classmethod
    def from_search(
        cls,
        search: Any,
        ax: Axes | None = None,
        *,
        x: str = "candidate",
        metric: str | None = None,
    ) -> Self:
        """Draw the scores of a fitted search.

        Parameters
        ----------
        search : object
            A fitted search, as :func:`sknnopt.search.trials_frame` takes it.
        ax : matplotlib Axes or None, default=None
            Where to draw; None: a new figure.
        x : {"candidate", "fit_time"}, default="candidate"
            What the scores are drawn over.
        metric : str, default=None
            The score, where the search has several metrics; None: the one that it
            refitted by.

        Returns
        -------
        SearchConvergenceDisplay
            The display, drawn.

        Raises
        ------
        NotFittedError
            If the search is not fitted.
        ValueError
            If there is no such metric or axis.
        """
        trials = read_trials(search, metric)
        display = cls(
            trials.numbers,
            trials.score,
            best_so_far(trials),
            pruned=trials.pruned,
            fit_time=fit_seconds(trials),
            score_name=score_name(search, trials.metric),
        )
        return display.plot(ax, x=x)

    def plot(self, ax: Axes | None = None, *, x: str = "candidate") -> Self:
        """Draw a point for each candidate and a step for each better one.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Where to draw; None: a new figure.
        x : {"candidate", "fit_time"}, default="candidate"
            What the scores are drawn over.

        Returns
        -------
        SearchConvergenceDisplay
            The display itself.

        Raises
        ------
        ValueError
            If there is no such axis, or its times are not known.
        ImportError
            If matplotlib is not installed.
        """
        places = {"candidate": self.candidate, "fit_time": self.fit_time}
        known = {name: at for name, at in places.items() if at is not None}
        if x not in known:
            raise ValueError(
                f"The 'x' parameter must be one of {list(known)}. Got {x!r} instead."
            )
        at = known[x]
        ax = new_axes() if ax is None else ax
        self.ax_, self.figure_ = ax, ax.figure
        self.finished_ = self._scatter(at, ~self.pruned, "candidate")
        self.pruned_ = self._scatter(at, self.pruned, "pruned")
        self.line_: Line2D
        (self.line_,) = ax.plot(
            at,
            self.best,
            color=VERMILION,
            drawstyle="steps-post",
            label="best so far",
        )
        ax.set_xlabel(_AXES[x])
        ax.set_ylabel(self.score_name)
        if x == "candidate":
            ax.locator_params(axis="x", integer=True)
        hide_outliers(ax, self.score)
        legend_above(ax)
        return self

    def _scatter(self, x: Any, rows: np.ndarray, name: str) -> PathCollection:
        crossed = name == "pruned"
        return self.ax_.scatter(
            x[rows],
            self.score[rows],
            s=18,
            marker="x" if crossed else "o",
            linewidths=1 if crossed else 0,
            color=GRAY if crossed else blue_on(self.ax_),
            label=name if rows.any() else None,
        )


class SearchCurvesDisplay:
    """Learning curves of a search: the best candidate against the others.

    Make one with :meth:`from_search`, which also draws.

    Parameters
    ----------
    curves : mapping of str to array-like of shape (n_lines,)
        Columns ``candidate``, ``epoch`` and ``loss``, sorted by candidate and epoch.
    best : int
        The candidate to stand out.
    pruned : collection of int, default=()
        Candidates that were given up early.
    loss_name : str, default="Loss"
        What the loss measures.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where the curves are.
    figure_ : matplotlib Figure
        The figure around it.
    best_ : matplotlib Line2D
        The curve of the best.
    others_ : matplotlib LineCollection
        The curves of all others.
    ends_ : matplotlib PathCollection
        Where candidates were pruned.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sknnopt import OptimizedMLPClassifier
    >>> from sknnopt.datasets import load_pima
    >>> from sknnopt.displays import SearchCurvesDisplay
    >>> X, y = load_pima(return_X_y=True)
    >>> model = OptimizedMLPClassifier(n_members=1, max_epochs=3, random_state=0)
    >>> search = GridSearchCV(model, {"n_units": [2, 8, 16]}, cv=2).fit(X, y)
    >>> display = SearchCurvesDisplay.from_search(search)
    >>> display.best_.get_xdata().tolist()
    [1.0, 2.0, 3.0]
    """

    def __init__(
        self,
        curves: Mapping[str, Any],
        best: int,
        *,
        pruned: Any = (),
        loss_name: str = "Loss",
    ) -> None:
        self.curves = {name: np.asarray(column) for name, column in curves.items()}
        self.best = best
        self.pruned = frozenset(pruned)
        self.loss_name = loss_name

    @classmethod
    def from_search(
        cls, search: Any, ax: Axes | None = None, *, loss: str | None = None
    ) -> Self:
        """Draw the learning curves of a fitted search.

        Parameters
        ----------
        search : object
            A fitted search: ``MLPSearchCV``, which has the curves of all candidates,
            or one whose refitted best model is a network or a pipeline that ends in
            one, which has that model's curve.
        ax : matplotlib Axes or None, default=None
            Where to draw; None: a new figure.
        loss : {"valid", "train"} or None, default=None
            Which loss; None: that of validation, where it was recorded.

        Returns
        -------
        SearchCurvesDisplay
            The display, drawn.

        Raises
        ------
        NotFittedError
            If the search is not fitted.
        ValueError
            If there are no curves, or the loss was not recorded.
        """
        trials = read_trials(search)
        curves = learning_curves(search, trials, loss)
        best = trials.best if trials.best is not None else trials.order()[0]
        display = cls(
            curves,
            trials.numbers[best],
            pruned=np.flatnonzero(trials.pruned).tolist(),
            loss_name=LOSS_NAMES[curves.attrs["loss"]],
        )
        return display.plot(ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw the curve of each candidate, and a cross where one was pruned.

        The view is that of the best curve and of where the others end: some may begin
        above it.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Where to draw; None: a new figure.

        Returns
        -------
        SearchCurvesDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        ax = new_axes() if ax is None else ax
        self.ax_, self.figure_ = ax, ax.figure
        numbers = np.unique(self.curves["candidate"])
        paths = {int(number): self._path(number) for number in numbers}
        others = {n: path for n, path in paths.items() if n != self.best}
        self.others_ = self._draw_others(list(others.values()))
        ends = [path[-1] for n, path in others.items() if n in self.pruned]
        self.ends_ = ax.scatter(
            [epoch for epoch, _ in ends],
            [loss for _, loss in ends],
            s=14,
            marker="x",
            linewidths=1,
            color=GRAY,
            label="pruned" if ends else None,
        )
        self.best_: Line2D
        (self.best_,) = ax.plot(
            *paths.get(self.best, np.empty((0, 2))).T,
            color=VERMILION,
            linewidth=2,
            label=f"best, no. {self.best}",
        )
        label_epochs(ax)
        ax.set_ylabel(self.loss_name)
        self._choose_view(paths)
        legend_above(ax)
        return self

    def _choose_view(self, paths: Mapping[int, np.ndarray]) -> None:
        """Leave out how high others begin: it would flatten where all of them end."""
        losses = {number: path[:, 1] for number, path in paths.items()}
        ranges = [
            [loss.min(), loss.max() if number == self.best else loss[-1]]
            if np.isfinite(loss[-1])
            else [np.nan, np.nan]
            for number, loss in losses.items()
        ]
        show_range(self.ax_, ranges)
        lasts = [loss[-1] for loss in losses.values()]
        hide_outliers(self.ax_, lasts, ranges, below=False)

    def _path(self, number: Any) -> np.ndarray:
        rows = self.curves["candidate"] == number
        return np.column_stack([self.curves[name][rows] for name in ("epoch", "loss")])

    def _draw_others(self, paths: list[np.ndarray]) -> LineCollection:
        from matplotlib.collections import LineCollection

        lines = LineCollection(
            paths,
            colors=blue_on(self.ax_),
            linewidths=0.8,
            alpha=0.5,
            label="others" if paths else "_others",
        )
        self.ax_.add_collection(lines)
        self.ax_.autoscale_view()
        return lines
