"""A picture of what a search has tried: candidates as lines across parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from sknnopt._candidates import read_trials, score_name
from sknnopt._drawing import (
    GRAY,
    VERMILION,
    blue_on,
    new_axes,
    short_names,
    spread_labels,
)
from sknnopt._scales import Axis, scales_of
from sknnopt._surrogate import (
    raise_outliers,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import LineCollection, PathCollection
    from matplotlib.lines import Line2D
    from matplotlib.text import Text


class ParallelCoordinatesDisplay:
    """The candidates of a search as lines across axes of score and parameters.

    Each axis is a row, the score on top, with the least value at the left; values that
    span decades are on a logarithmic axis, what is no number in even steps. The better
    a candidate, the stronger its line. Where it lacks a parameter, the line has a gap.

    Make one with :meth:`from_search`, which also draws.

    Parameters
    ----------
    axes : sequence of Axis
        Name, scale and ticks of each row.
    positions : ndarray of shape (n_candidates, n_axes)
        Where each candidate is on each axis, from 0 to 1; NaN: nowhere. The worst
        candidate comes first.
    best : int
        The row of ``positions`` to stand out.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where the lines are.
    figure_ : matplotlib Figure
        The figure around it.
    lines_ : matplotlib LineCollection
        All candidates with a finite score but the best, the best of them last.
    points_ : matplotlib PathCollection
        Their places on the axes.
    best_ : matplotlib Line2D
        The line of the best.
    labels_ : list of list of matplotlib Text
        Values on each axis.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sknnopt import OptimizedMLPClassifier
    >>> from sknnopt.datasets import load_pima
    >>> from sknnopt.displays import ParallelCoordinatesDisplay
    >>> X, y = load_pima(return_X_y=True)
    >>> model = OptimizedMLPClassifier(n_members=1, max_epochs=3, random_state=0)
    >>> search = GridSearchCV(model, {"n_units": [2, 8, 16]}, cv=2).fit(X, y)
    >>> display = ParallelCoordinatesDisplay.from_search(search)
    >>> [axis.name for axis in display.axes]
    ['Score', 'n_units']
    """

    def __init__(self, axes: Sequence[Axis], positions: np.ndarray, best: int) -> None:
        self.axes = list(axes)
        self.positions = np.asarray(positions, dtype=float)
        self.best = best

    @classmethod
    def from_search(
        cls,
        search: Any,
        ax: Axes | None = None,
        *,
        parameters: Sequence[str] | None = None,
        metric: str | None = None,
    ) -> Self:
        """Draw the candidates of a fitted search.

        Parameters
        ----------
        search : object
            A fitted search, as :func:`sknnopt.search.trials_frame` takes it.
        ax : matplotlib Axes or None, default=None
            Where to draw; None: a new figure, as high as the rows need.
        parameters : sequence of str, default=None
            Which parameters, from top to bottom; None: all.
        metric : str, default=None
            The score, where the search has several metrics; None: the one that it
            refitted by.

        Returns
        -------
        ParallelCoordinatesDisplay
            The display, drawn.

        Raises
        ------
        NotFittedError
            If the search is not fitted.
        ValueError
            If there is no such parameter or metric, or no finite score.
        """
        trials = read_trials(search, metric)
        names = list(trials.names if parameters is None else parameters)
        unknown = [name for name in names if name not in trials.names]
        if unknown:
            raise ValueError(
                f"The 'parameters' parameter must be among {trials.names}, which the "
                f"search has drawn. Got {unknown[0]!r}."
            )
        (best,) = trials.finished(1, own_choice=metric is None)
        order = [
            row
            for row in reversed(trials.order())
            if np.isfinite(trials.score[row]) and row != best
        ]
        rows = [*order, best]
        scores = raise_outliers(trials.score[rows]).tolist()
        axes = [Axis.of(score_name(search, trials.metric), scores, scale="linear")]
        places = [axes[0].places(scores)]
        shown = {
            name: [
                params[name]
                for params in map(trials.params.__getitem__, rows)
                if name in params
            ]
            for name in names
        }
        shown = {name: values for name, values in shown.items() if values}
        scales = scales_of(shown)
        for name, short in zip(shown, short_names([*shown]), strict=True):
            axes.append(Axis.of(short, shown[name], scales[name]))
            values = [trials.params[row].get(name, Axis.MISSING) for row in rows]
            places.append(axes[-1].places(values))
        return cls(axes, np.column_stack(places), len(rows) - 1).plot(ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw a line for each candidate.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Where to draw; None: a new figure, as high as the rows need.

        Returns
        -------
        ParallelCoordinatesDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        n_rows = len(self.axes)
        ax = new_axes(height=max(2.0, 0.5 * n_rows + 0.3)) if ax is None else ax
        self.ax_, self.figure_ = ax, ax.figure
        heights = np.arange(n_rows)
        ax.hlines(heights, 0, 1, color=GRAY, linewidth=0.8, zorder=0)
        self._draw_others(heights)
        self.best_: Line2D
        (self.best_,) = ax.plot(
            self.positions[self.best],
            heights,
            "o-",
            color=VERMILION,
            linewidth=2,
            markersize=4,
            label="best",
        )
        ax.set_yticks(heights, [axis.name for axis in self.axes], fontsize="small")
        ax.set_xticks([])
        ax.set_xlim(-0.03, 1.03)
        ax.set_ylim(n_rows - 0.3, -0.4)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        self.labels_: list[list[Text]] = [
            self._write_ticks(height, axis) for height, axis in enumerate(self.axes)
        ]
        spread_labels(self.figure_, self.labels_)
        return self

    def _draw_others(self, heights: np.ndarray) -> None:
        from matplotlib.collections import LineCollection
        from matplotlib.colors import to_rgba

        rows = np.arange(len(self.positions)) != self.best
        places = self.positions[rows]
        colors = np.tile(to_rgba(blue_on(self.ax_)), (len(places), 1))
        # The better half carries most of the ink.
        colors[:, 3] = 0.06 + 0.74 * np.linspace(0, 1, len(places)) ** 3
        tall = np.broadcast_to(heights, places.shape)
        paths = np.stack([places, tall], axis=-1)
        self.lines_: LineCollection = LineCollection(
            list(paths), colors=colors, linewidths=1
        )
        self.ax_.add_collection(self.lines_)
        self.points_: PathCollection = self.ax_.scatter(
            places.ravel(),
            tall.ravel(),
            s=8,
            color=np.repeat(colors, len(heights), axis=0),
            linewidths=0,
        )

    def _write_ticks(self, height: int, axis: Axis) -> list[Text]:
        sides = {0.0: "left", 1.0: "right"} if len(axis.ticks) > 1 else {}
        return [
            self.ax_.annotate(
                label,
                (place, height),
                xytext=(0, -3),
                textcoords="offset points",
                ha=sides.get(place, "center"),
                va="top",
                fontsize="x-small",
                bbox={
                    "boxstyle": "square,pad=0.1",
                    "facecolor": self.ax_.get_facecolor(),
                    "edgecolor": "none",
                    "alpha": 0.75,
                },
            )
            for place, label in axis.ticks
        ]
