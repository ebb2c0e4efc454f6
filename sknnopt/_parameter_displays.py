"""Pictures of what a search's parameters do to its score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from sknnopt._candidates import read_trials, score_name
from sknnopt._drawing import (
    GRAY,
    blue_on,
    hide_outliers,
    new_axes,
    short_names,
    tick_numbers,
)
from sknnopt._scales import label_of
from sknnopt._surrogate import (
    parameter_importance,
    partial_dependence,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection, PolyCollection
    from matplotlib.container import BarContainer, ErrorbarContainer
    from matplotlib.lines import Line2D


class ParameterImportanceDisplay:
    """How much the scores of a search depend on each parameter, as bars.

    Make one with :meth:`from_search`, which also draws.

    Parameters
    ----------
    importance : mapping of str to array-like of shape (n_parameters,)
        Columns ``parameter``, ``importance`` and ``spread``, the most important first,
        as :func:`sknnopt.search.parameter_importance` returns them.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where the bars are.
    figure_ : matplotlib Figure
        The figure around it.
    bars_ : matplotlib BarContainer
        A bar for each parameter, the most important first, with its spread.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sknnopt.displays import ParameterImportanceDisplay
    >>> X, y = load_diabetes(return_X_y=True)
    >>> grid = {"alpha": [0.1, 1, 10, 100, 1000], "max_iter": [10, 20, 30, 40]}
    >>> search = GridSearchCV(Ridge(), grid, cv=3).fit(X, y)
    >>> display = ParameterImportanceDisplay.from_search(search)
    >>> [label.get_text() for label in display.ax_.get_yticklabels()]
    ['alpha', 'max_iter']
    """

    def __init__(self, importance: Mapping[str, Any]) -> None:
        self.importance = {
            name: np.asarray(column) for name, column in importance.items()
        }

    @classmethod
    def from_search(
        cls,
        search: Any,
        ax: Axes | None = None,
        *,
        n_parameters: int | None = 15,
        metric: str | None = None,
        random_state: int = 0,
    ) -> Self:
        """Compute the importances for a fitted search and draw them.

        Parameters
        ----------
        search : object
            A fitted search, as :func:`sknnopt.search.parameter_importance` takes it.
        ax : matplotlib Axes or None, default=None
            Where to draw; None: a new figure, as high as the bars need.
        n_parameters : int or None, default=15
            How many parameters at most; None: all.
        metric : str, default=None
            The score, where the search has several metrics; None: the one that it
            refitted by.
        random_state : int, default=0
            Seed of the computation.

        Returns
        -------
        ParameterImportanceDisplay
            The display, drawn.

        Raises
        ------
        NotFittedError
            If the search is not fitted.
        ValueError
            If there are too few candidates, or there is no such metric.
        """
        frame = parameter_importance(search, metric=metric, random_state=random_state)
        return cls(frame).plot(ax, n_parameters=n_parameters)

    def plot(self, ax: Axes | None = None, *, n_parameters: int | None = 15) -> Self:
        """Draw a bar for each parameter, with its spread.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Where to draw; None: a new figure, as high as the bars need.
        n_parameters : int or None, default=15
            How many parameters at most; None: all.

        Returns
        -------
        ParameterImportanceDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        names = short_names(self.importance["parameter"].tolist())[:n_parameters]
        heights = np.arange(len(names))
        ax = new_axes(height=max(1.6, 0.3 * len(names) + 0.9)) if ax is None else ax
        self.ax_, self.figure_ = ax, ax.figure
        self.bars_: BarContainer = ax.barh(
            heights,
            self.importance["importance"][:n_parameters],
            xerr=self.importance["spread"][:n_parameters],
            height=0.6,
            color=blue_on(ax),
            ecolor=ax.xaxis.label.get_color(),
        )
        ax.axvline(0, color=GRAY, linewidth=0.8)
        ax.set_yticks(heights, names, fontsize="small")
        ax.set_ylim(len(names) - 0.4, -0.6)
        ax.locator_params(axis="x", nbins=4)
        ax.tick_params(axis="x", labelsize="small")
        ax.set_xlabel("Importance", fontsize="small")
        return self


class ParameterEffectDisplay:
    """How the scores of a search depend on one parameter, all else averaged.

    Make one with :meth:`from_search`, which also draws.

    Parameters
    ----------
    effect : mapping of str to array-like of shape (n_values,)
        Columns ``value``, ``mean`` and ``spread``, as
        :func:`sknnopt.search.partial_dependence` returns them.
    parameter : str
        The parameter's name.
    scale : {"linear", "log", "category"}, default="linear"
        How the values are laid out; categories are rows.
    tried : tuple of (sequence, array-like of float) or None, default=None
        Values that candidates had, and their scores; None: they are not shown.
    score_name : str, default="Score"
        What the score measures.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where the effect is.
    figure_ : matplotlib Figure
        The figure around it.
    line_ : matplotlib Line2D
        The mean.
    band_ : matplotlib PolyCollection or ErrorbarContainer
        The spread around it.
    points_ : matplotlib PathCollection
        The candidates.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sknnopt.displays import ParameterEffectDisplay
    >>> X, y = load_diabetes(return_X_y=True)
    >>> grid = {"alpha": [0.1, 1, 10, 100, 1000], "max_iter": [10, 20]}
    >>> search = GridSearchCV(Ridge(), grid, cv=3).fit(X, y)
    >>> display = ParameterEffectDisplay.from_search(search, "alpha")
    >>> display.ax_.get_xscale()
    'log'
    """

    def __init__(
        self,
        effect: Mapping[str, Any],
        parameter: str,
        *,
        scale: str = "linear",
        tried: tuple[Sequence[Any], Any] | None = None,
        score_name: str = "Score",
    ) -> None:
        self.effect = {name: np.asarray(column) for name, column in effect.items()}
        self.parameter = parameter
        self.scale = scale
        self.tried = ([], []) if tried is None else tried
        self.score_name = score_name

    @classmethod
    def from_search(
        cls,
        search: Any,
        parameter: str,
        ax: Axes | None = None,
        *,
        metric: str | None = None,
        random_state: int = 0,
    ) -> Self:
        """Compute the effect for a fitted search and draw it.

        Parameters
        ----------
        search : object
            A fitted search, as :func:`sknnopt.search.partial_dependence` takes it.
        parameter : str
            Name of the parameter.
        ax : matplotlib Axes or None, default=None
            Where to draw; None: a new figure.
        metric : str, default=None
            The score, where the search has several metrics; None: the one that it
            refitted by.
        random_state : int, default=0
            Seed of the computation.

        Returns
        -------
        ParameterEffectDisplay
            The display, drawn.

        Raises
        ------
        NotFittedError
            If the search is not fitted.
        ValueError
            If there are too few candidates, or no such parameter or metric.
        """
        frame = partial_dependence(
            search, parameter, metric=metric, random_state=random_state
        )
        trials = read_trials(search, metric)
        rows = [
            row
            for row, params in enumerate(trials.params)
            if parameter in params and np.isfinite(trials.score[row])
        ]
        display = cls(
            frame,
            parameter,
            scale=frame.attrs["scale"],
            tried=(
                [trials.params[row][parameter] for row in rows],
                trials.score[rows],
            ),
            score_name=score_name(search, trials.metric),
        )
        return display.plot(ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw the mean, its spread, and the candidates.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Where to draw; None: a new figure.

        Returns
        -------
        ParameterEffectDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        is_category = self.scale == "category"
        if ax is None:
            n_rows = len(self.effect["value"])
            ax = new_axes(max(1.6, 0.3 * n_rows + 0.9) if is_category else None)
        self.ax_, self.figure_ = ax, ax.figure
        self.band_: PolyCollection | ErrorbarContainer
        if is_category:
            self._plot_categories()
        else:
            self._plot_numbers()
        return self

    def _plot_numbers(self) -> None:
        ax, color = self.ax_, blue_on(self.ax_)
        value, mean, spread = (self.effect[n] for n in ("value", "mean", "spread"))
        self.points_ = self._scatter(*self.tried)
        self.band_ = ax.fill_between(
            value, mean - spread, mean + spread, color=color, alpha=0.25, linewidth=0
        )
        self.line_: Line2D
        (self.line_,) = ax.plot(value, mean, color=color)
        ax.set_xscale(self.scale)
        tick_numbers(ax, value)
        ax.set_xlabel(short_names([self.parameter])[0])
        ax.set_ylabel(self.score_name)
        hide_outliers(ax, self.tried[1])

    def _plot_categories(self) -> None:
        ax, color = self.ax_, blue_on(self.ax_)
        labels = [label_of(value) for value in self.effect["value"].tolist()]
        heights = np.arange(len(labels))
        values, scores = self.tried
        self.points_ = self._scatter(
            scores, [labels.index(label_of(v)) for v in values]
        )
        self.band_ = ax.errorbar(
            self.effect["mean"],
            heights,
            xerr=self.effect["spread"],
            fmt="o",
            color=color,
            capsize=3,
        )
        self.line_ = self.band_[0]
        ax.set_yticks(heights, labels, fontsize="small")
        ax.set_ylim(len(labels) - 0.5, -0.5)
        ax.locator_params(axis="x", nbins=4)
        ax.set_xlabel(self.score_name)
        ax.set_ylabel(short_names([self.parameter])[0])
        hide_outliers(ax, scores, along="x")

    def _scatter(self, x: Any, y: Any) -> PathCollection:
        return self.ax_.scatter(x, y, s=10, color=GRAY, alpha=0.5, linewidths=0)
