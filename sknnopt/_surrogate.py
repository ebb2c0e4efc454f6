"""Which parameters a search's scores depend on, learned from its candidates."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.model_selection import RepeatedKFold

from sknnopt._candidates import Trials, read_trials
from sknnopt._scales import Axis, distinct, is_number, label_of, scale_of, scales_of

#: Candidates below which there is too little to learn from.
MIN_CANDIDATES = 10
_N_FOLDS = 5
_N_REPEATS = 4
_N_TREES = 50
#: Values of a numeric parameter at which its effect is computed.
_N_GRID = 25


def parameter_importance(
    search: Any, *, metric: str | None = None, random_state: int = 0
) -> pd.DataFrame:
    """Return how much the scores of a search depend on each parameter.

    Forests of extremely randomized trees [2]_ learn the score from the parameters, in
    four times five folds of the candidates. On those that a forest has not seen, the
    values of one parameter are permuted; its importance is what that adds to the
    squared error [1]_, as a part of the variance of the score: 0 for what does not
    matter, up to about 2 for what alone decides.

    Parameters
    ----------
    search : object
        A fitted search, as :func:`trials_frame` takes it, with at least 10 candidates
        that have a finite score.
    metric : str, default=None
        The score to explain, where the search has several metrics; None: the one that
        it refitted by.
    random_state : int, default=0
        Seed of folds, forests and permutations.

    Returns
    -------
    DataFrame
        One row for each parameter, the most important first:

        - ``parameter``: its name;
        - ``importance``: mean over the 20 folds;
        - ``spread``: its standard error, from the deviation over the folds, corrected
          for what their forests have in common [3]_.

        ``attrs`` has the ``metric``, ``n_candidates``, and ``r2``: the part of the
        variance that the forests explain in the folds they have not seen.

    Raises
    ------
    NotFittedError
        If the search is not fitted.
    ValueError
        If there are too few candidates, or there is no such metric.

    Warns
    -----
    UserWarning
        If ``r2`` is not above 0: then the importances tell nothing.

    See Also
    --------
    partial_dependence : How the score depends on one parameter.

    Notes
    -----
    Parameters that not all candidates have (of other subspaces, or of layers that
    some lack) are permuted among those that have them, so that the importance of
    depth stays with the parameter for depth. A pruned candidate counts with the
    score it had when it left; of successive halving, each candidate counts once,
    with the last of its scores. Scores more than three interquartile ranges below
    the first quartile are raised to that bound, so that one disaster is not all
    there is to explain. A functional analysis of variance [4]_ asks the same of a
    forest; it looks at the whole space where this looks at what was tried.

    References
    ----------
    .. [1] L. Breiman, "Random forests", Machine Learning 45, 2001, section 10.
    .. [2] P. Geurts, D. Ernst, L. Wehenkel, "Extremely randomized trees", Machine
       Learning 63, 2006.
    .. [3] C. Nadeau, Y. Bengio, "Inference for the generalization error", Machine
       Learning 52, 2003.
    .. [4] F. Hutter, H. Hoos, K. Leyton-Brown, "An efficient approach for assessing
       hyperparameter importance", ICML 2014.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sknnopt.search import parameter_importance
    >>> X, y = load_diabetes(return_X_y=True)
    >>> grid = {"alpha": [0.1, 1, 10, 100, 1000], "max_iter": [10, 20, 30, 40]}
    >>> search = GridSearchCV(Ridge(), grid, cv=3).fit(X, y)
    >>> parameter_importance(search)["parameter"].tolist()
    ['alpha', 'max_iter']
    """
    task = _Task.of(read_trials(search, metric))
    rng = np.random.default_rng(random_state)
    importances, explained = [], []
    for forest, rows in _forests(task, rng):
        truth = task.y[rows]
        copies = [task.X[rows], *_permuted(task, rows, rng)]
        answers = forest.predict(np.concatenate(copies)).reshape(len(copies), -1)
        errors = np.square(answers - truth).mean(axis=1) / task.variance
        explained.append(1 - errors[0])
        importances.append(errors[1:] - errors[0])
    frame = pd.DataFrame(
        {
            "parameter": task.names,
            "importance": np.mean(importances, axis=0),
            "spread": np.std(importances, axis=0, ddof=1)
            * np.sqrt(1 / len(importances) + 1 / (_N_FOLDS - 1)),
        }
    )
    frame = frame.sort_values(
        "importance", ascending=False, kind="stable", ignore_index=True
    )
    r2 = float(np.mean(explained))
    _warn_if_unexplained(r2, len(task.y))
    frame.attrs = {"metric": task.metric, "n_candidates": len(task.y), "r2": r2}
    return frame


def partial_dependence(
    search: Any, parameter: str, *, metric: str | None = None, random_state: int = 0
) -> pd.DataFrame:
    """Return how the scores of a search depend on one parameter, all else averaged.

    The forests of :func:`parameter_importance` predict the score of every candidate
    with the parameter set to each value of a grid; their mean over the candidates is
    the partial dependence [1]_.

    Parameters
    ----------
    search : object
        A fitted search, as :func:`trials_frame` takes it, with at least 10 candidates
        that have a finite score.
    parameter : str
        Name of the parameter. Candidates that do not have it are left out.
    metric : str, default=None
        The score, where the search has several metrics; None: the one that it
        refitted by.
    random_state : int, default=0
        Seed of folds and forests.

    Returns
    -------
    DataFrame
        One row for each value of the grid:

        - ``value``: all that were tried where they are few or no numbers, else 25
          between least and greatest (rounded where all that were tried are integers);
        - ``mean``: the predicted score;
        - ``spread``: its standard error, from the deviation over the forests, each of
          which lacks a fifth of the candidates (a jackknife [2]_).

        ``attrs`` has ``parameter``, ``metric`` and ``scale``: ``"log"`` where values
        span decades, ``"linear"`` for other numbers, else ``"category"``.

    Raises
    ------
    NotFittedError
        If the search is not fitted.
    ValueError
        If there are too few candidates, or no such parameter or metric.

    See Also
    --------
    parameter_importance : How much the score depends on each parameter.

    References
    ----------
    .. [1] J. Friedman, "Greedy function approximation: a gradient boosting machine",
       Annals of Statistics 29, 2001, section 8.2.
    .. [2] J. Shao, C. F. J. Wu, "A general theory for jackknife variance
       estimation", Annals of Statistics 17, 1989.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sknnopt.search import partial_dependence
    >>> X, y = load_diabetes(return_X_y=True)
    >>> grid = {"alpha": [0.1, 1, 10, 100, 1000], "max_iter": [10, 20]}
    >>> search = GridSearchCV(Ridge(), grid, cv=3).fit(X, y)
    >>> effect = partial_dependence(search, "alpha")
    >>> effect["value"].tolist()
    [0.1, 1.0, 10.0, 100.0, 1000.0]
    >>> effect.attrs["scale"]
    'log'
    """
    task = _Task.of(read_trials(search, metric))
    if parameter not in task.names:
        raise ValueError(
            f"The 'parameter' parameter must be one of {task.names}, which the search "
            f"has drawn. Got {parameter!r} instead."
        )
    coding = task.codings[task.names.index(parameter)]
    grid = coding.grid()
    block, rows = task.block(parameter), task.present[parameter]
    copies = np.repeat(task.X[None, rows], len(grid), axis=0)
    copies[:, :, block] = coding.encode(grid)[:, None]
    flat = copies.reshape(-1, task.X.shape[1])
    rng = np.random.default_rng(random_state)
    curves = [
        forest.predict(flat).reshape(len(grid), -1).mean(axis=1)
        for forest, _ in _forests(task, rng)
    ]
    cells = pd.Series(grid) if coding.scale != "category" else _objects(grid)
    mean = np.mean(curves, axis=0)
    spread = np.std(curves, axis=0) * np.sqrt(_N_FOLDS - 1)
    frame = pd.DataFrame({"value": cells, "mean": mean, "spread": spread})
    frame.attrs = {
        "parameter": parameter,
        "metric": task.metric,
        "scale": coding.scale,
    }
    return frame


@dataclass(frozen=True)
class _Coding:
    """How the values of one parameter become columns of numbers.

    Numbers are one column, NaN elsewhere; each other value has a column of its own.
    """

    values: tuple[Any, ...]
    scale: str

    @property
    def others(self) -> list[str]:
        return sorted({label_of(v) for v in self.values if not is_number(v)})

    def encode(self, values: Sequence[Any]) -> np.ndarray:
        numbers = [value if is_number(value) else np.nan for value in values]
        column = np.array(numbers, dtype=float)
        if self.scale == "log":
            column = np.log(column)
        labels = [
            None if v is Axis.MISSING or is_number(v) else label_of(v) for v in values
        ]
        return np.column_stack(
            [column, *([x == label for x in labels] for label in self.others)]
        )

    def grid(self) -> list[Any]:
        """Return the values to show."""
        values = distinct(self.values)
        numbers = sorted({value for value in self.values if is_number(value)})
        if len(numbers) <= _N_GRID:
            return values
        space = np.geomspace if scale_of(numbers) == "log" else np.linspace
        grid = space(numbers[0], numbers[-1], _N_GRID)
        if all(isinstance(value, int) for value in numbers):
            grid = np.unique(np.round(grid).astype(int))
        return [*grid.tolist(), *(v for v in values if not is_number(v))]


@dataclass(frozen=True)
class _Task:
    """Encoded parameters and scores of the candidates that count."""

    names: list[str]
    codings: list[_Coding]
    present: dict[str, np.ndarray]
    X: np.ndarray
    y: np.ndarray
    metric: str | None

    @classmethod
    def of(cls, trials: Trials) -> _Task:
        rows = np.flatnonzero(np.isfinite(trials.score) & ~trials.superseded)
        if len(rows) < MIN_CANDIDATES:
            raise ValueError(
                "The 'search' parameter must have at least "
                f"{MIN_CANDIDATES} candidates with a finite score to learn from. Got "
                f"{len(rows)} instead. Search more of them."
            )
        params = [trials.params[row] for row in rows]
        names = [n for n in trials.names if any(n in candidate for candidate in params)]
        known = {name: [p[name] for p in params if name in p] for name in names}
        scales = scales_of(known)
        codings = [_Coding(tuple(known[name]), scales[name]) for name in names]
        blocks = [
            coding.encode([candidate.get(name, Axis.MISSING) for candidate in params])
            for name, coding in zip(names, codings, strict=True)
        ]
        present = {
            name: np.flatnonzero([name in candidate for candidate in params])
            for name in names
        }
        X, y = np.concatenate(blocks, axis=1), raise_outliers(trials.score[rows])
        return cls(names, codings, present, X, y, trials.metric)

    @property
    def variance(self) -> float:
        """Of the scores; 1 where all are the same, and there is nothing to explain."""
        return float(np.var(self.y)) or 1.0

    def block(self, name: str) -> slice:
        """Return the columns that encode a parameter."""
        widths = [1 + len(coding.others) for coding in self.codings]
        place = self.names.index(name)
        return slice(sum(widths[:place]), sum(widths[: place + 1]))


def raise_outliers(scores: np.ndarray) -> np.ndarray:
    """Raise scores far below the others to Tukey's outer fence.

    Parameters
    ----------
    scores : ndarray of shape (n_candidates,)
        Finite scores.

    Returns
    -------
    ndarray of shape (n_candidates,)
        None is more than three interquartile ranges below the first quartile, unless
        that range is zero.
    """
    low, high = np.quantile(scores, [0.25, 0.75])
    return np.maximum(scores, low - 3 * (high - low)) if high > low else scores


def _forests(
    task: _Task, rng: np.random.Generator
) -> Iterator[tuple[ExtraTreesRegressor, np.ndarray]]:
    """Yield forests, and the candidates that they have not seen."""
    folds = RepeatedKFold(
        n_splits=_N_FOLDS, n_repeats=_N_REPEATS, random_state=int(rng.integers(2**31))
    )
    for seen, unseen in folds.split(task.X):
        seed = int(rng.integers(2**31))
        forest = ExtraTreesRegressor(_N_TREES, random_state=seed)
        yield forest.fit(task.X[seen], task.y[seen]), unseen


def _permuted(
    task: _Task, rows: np.ndarray, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Yield the rows with each parameter permuted among those that have it."""
    for name in task.names:
        copy, block = task.X[rows], task.block(name)
        here = np.flatnonzero(np.isin(rows, task.present[name]))
        copy[here, block] = copy[rng.permutation(here), block]
        yield copy


def _warn_if_unexplained(r2: float, n_candidates: int) -> None:
    if r2 <= 0:
        warnings.warn(
            f"The parameters explain nothing of the score of unseen candidates (R² = "
            f"{r2:.2f} with {n_candidates} candidates), so their importances tell "
            "nothing. Search more candidates, or take the scores as equal.",
            UserWarning,
            stacklevel=3,
        )


def _objects(values: Sequence[Any]) -> pd.Series:
    return pd.Series(list(values), dtype="object")
