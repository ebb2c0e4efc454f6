"""A search that trains the candidates of a round together, and prunes as they train."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from numbers import Integral
from os import PathLike
from typing import Any, ClassVar, Self

import joblib
import numpy as np
from joblib import parallel_config
from joblib.parallel import get_active_backend
from scipy.stats import rankdata
from sklearn.base import is_classifier
from sklearn.model_selection import check_cv
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _num_samples

from sknnopt._checkpoint import WITHOUT_EFFECT
from sknnopt._digests import described, described_parameters
from sknnopt._fold_memory import with_memory
from sknnopt._gathering import WIDTH
from sknnopt._intervals import RealInterval
from sknnopt._naming import named
from sknnopt._parameters import MLPParameters
from sknnopt._progress import candidate_bar
from sknnopt._rungs import RULES
from sknnopt._samplers import SAMPLERS
from sknnopt._search_backend import SearchBackend
from sknnopt._search_run import Limits, SearchRun
from sknnopt._study import Study

#: Candidates of a round where the sampler learns from one to the next.
_LEARNING_ROUND = 10


class MLPSearchCV(BaseSearchCV):
    """Search over hyperparameters, all candidates of a round trained as one batch.

    Candidates are proposed in rounds. All candidates and folds of a round train side
    by side, as behind the joblib backend ``"sknnopt"``; so those that do worst can
    leave early, and nothing of the others is trained again.

    Parameters
    ----------
    estimator : estimator
        An `OptimizedMLPClassifier` or `OptimizedMLPRegressor`, or a pipeline (or any
        other estimator) that ends in one. A pipeline's transformers are fitted once
        for each fold, unless it has a ``memory`` of its own.
    param_distributions : dict or list of dict
        What to search: by parameter a list of choices, a frozen distribution of scipy,
        a dimension of scikit-optimize or a distribution of Optuna; see
        :func:`sknnopt.search.space`. Of several dicts each is a space of its own.
    n_iter : int, default=50
        Candidates, those that ``study`` holds included.
    sampler : {"random", "tpe", "bayes"}, default="random"
        Who proposes candidates: chance; Optuna's tree-structured Parzen estimator [1]_
        (needs the extra ``tune``); or scikit-optimize's Gaussian process.
    round_size : int or None, default=None
        Candidates that train together. None: as many as fit into 256 fits; 10 where
        the sampler learns from round to round.
    pruning : {"halving", "hyperband"} or None, default=None
        Whether candidates leave before their end. ``"halving"``: at a ninth and a third
        (and so on, down to a few epochs) of their epochs only the better third goes on,
        by the mean over folds of the validation loss [2]_. ``"hyperband"``: the same in
        groups that begin at different epochs [3]_: slower, and safer where the best do
        not show early. Networks need rows to validate on for it, which are taken from
        each fold's training rows: early stopping has to be on.
    max_seconds : float or None, default=None
        Seconds after which no round begins, and networks that still train leave as if
        they were pruned; but those that ``pruning`` has compared for the last time end
        at their best epoch so far, and are ranked. The fit of the best on all rows
        comes on top.
    study : str, path or None, default=None
        File (or URL of a database) in which finished candidates are kept, by Optuna: a
        search that was stopped goes on from there when it is fitted again, with the
        same data, space and estimator. It can be watched with optuna-dashboard. Needs
        the extra ``tune``.
    scoring : str, callable, list, tuple, dict or None, default=None
        As in scikit-learn's searches.
    n_jobs : int or None, default=None
        Fits that are held at a time. None: 256, or what memory allows.
    refit : bool, str or callable, default=True
        As in scikit-learn's searches. The metric that it names, or else the first, is
        what samplers learn from.
    cv : int, splitter, iterable or None, default=None
        As in scikit-learn's searches.
    verbose : int, default=0
        From 1 a progress bar shows the best score so far; lines, where standard error
        is no terminal or rich is not installed. Beyond 1, scikit-learn's lines of one
        less.
    error_score : "raise" or number, default=np.nan
        Score of a fit that raised an error.
    return_train_score : bool, default=False
        Whether to score training rows too.
    random_state : int, RandomState instance or None, default=None
        Source of the candidates. Give the estimator one of its own.

    Attributes
    ----------
    cv_results_ : dict of ndarray
        As in scikit-learn's searches, with ``pruned`` (whether the candidate left
        early; its scores are those of its last weights, and its rank comes after that
        of all others), ``diverged`` (folds in which training diverged) and
        ``n_epochs`` (mean over folds; NaN where no network was trained).
    curves_ : DataFrame
        ``candidate`` (row of ``cv_results_``), ``split``, ``member``, ``epoch``,
        ``train_loss`` and, where rows were held out, ``valid_loss``, of all
        candidates, those that ``study`` holds included.
    best_estimator_, best_score_, best_params_, best_index_, scorer_, n_splits_, \
    refit_time_, multimetric_
        As in scikit-learn's searches.

    See Also
    --------
    sknnopt.search.space : Spaces to search.
    sknnopt.search.trials_frame : The candidates as a table.

    Notes
    -----
    Callbacks of scikit-learn (1.9 or later) that are given to ``set_callbacks`` hear of
    the fit of the best only: candidates that train together have no epochs of their
    own. ``verbose=1`` shows how far the search is.

    References
    ----------
    .. [1] Bergstra, Bardenet, Bengio and Kegl 2011, Algorithms for hyper-parameter
       optimization.
    .. [2] Jamieson and Talwalkar 2016, Non-stochastic best arm identification and
       hyperparameter optimization.
    .. [3] Li, Jamieson, DeSalvo, Rostamizadeh and Talwalkar 2018, Hyperband: a novel
       bandit-based approach to hyperparameter optimization, algorithm 1.

    Examples
    --------
    >>> from scipy.stats import loguniform
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sknnopt import OptimizedMLPClassifier
    >>> from sknnopt.datasets import load_pima
    >>> from sknnopt.search import MLPSearchCV
    >>> X, y = load_pima(return_X_y=True)
    >>> network = OptimizedMLPClassifier(n_members=1, max_epochs=20, random_state=0)
    >>> model = make_pipeline(StandardScaler(), network)
    >>> space = {
    ...     "optimizedmlpclassifier__learning_rate": loguniform(1e-4, 1e-1),
    ...     "optimizedmlpclassifier__n_units": [8, 16, 32],
    ... }
    >>> search = MLPSearchCV(model, space, n_iter=6, cv=3, random_state=0).fit(X, y)
    >>> len(search.cv_results_["params"])
    6
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **{
            name: constraint
            for name, constraint in BaseSearchCV._parameter_constraints.items()
            if name != "pre_dispatch"
        },
        "param_distributions": [dict, list],
        "n_iter": [Interval(Integral, 1, None, closed="left")],
        "sampler": [StrOptions(SAMPLERS.keys())],
        "round_size": [Interval(Integral, 1, None, closed="left"), None],
        "pruning": [StrOptions(dict.fromkeys(RULES).keys()), None],
        "max_seconds": [RealInterval(0, None, closed="neither"), None],
        "study": [str, PathLike, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator: Any,
        param_distributions: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        n_iter: int = 50,
        sampler: str = "random",
        round_size: int | None = None,
        pruning: str | None = None,
        max_seconds: float | None = None,
        study: Any = None,
        scoring: Any = None,
        n_jobs: int | None = None,
        refit: Any = True,
        cv: Any = None,
        verbose: int = 0,
        error_score: Any = np.nan,
        return_train_score: bool = False,
        random_state: Any = None,
    ) -> None:
        super().__init__(
            estimator,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            # All at once: they wait for each other anyway.
            pre_dispatch="all",
            error_score=error_score,
            return_train_score=return_train_score,
        )
        self.param_distributions = param_distributions
        self.n_iter = n_iter
        self.sampler = sampler
        self.round_size = round_size
        self.pruning = pruning
        self.max_seconds = max_seconds
        self.study = study
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:
        """Search, and fit the best candidate to all rows.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_features)
            Rows.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Target.
        **params : dict
            Of ``fit`` of the estimator, the scorer and the splitter, such as
            ``sample_weight`` and ``groups``, as in scikit-learn's searches.

        Returns
        -------
        self : object
            The fitted search.
        """
        self._validate_params()
        twin = object.__new__(type(self))
        twin.__dict__.update(vars(self))
        # An iterable of splits can be read only once.
        with named("cv"):
            twin.cv = check_cv(self.cv, y, classifier=is_classifier(self.estimator))
            n_splits = int(twin.cv.get_n_splits(X, y, params.get("groups")))
            self._check_splits(twin.cv, n_splits, _num_samples(X))
        self._check_scoring()
        twin.estimator = with_memory(self.estimator, n_splits)
        # The bar says it already; two displays would write over each other.
        twin.verbose = max(0, int(self.verbose) - 1)
        twin._run = run = self._make_run(n_splits, (X, y, params))
        # How many fit into a time is not known.
        n_shown = None if self.max_seconds is not None else int(self.n_iter)
        with closing(run), candidate_bar(self.verbose, n_shown) as run.bar:
            run.context = parallel_config(backend=_backend(run), n_jobs=-1)
            try:
                BaseSearchCV.fit(twin, X, y, **params)
            finally:
                run.context.unregister()
        del twin._run
        twin.curves_ = run.curves()
        if twin.estimator is not self.estimator and hasattr(twin, "best_estimator_"):
            twin.best_estimator_.set_params(memory=None)
        twin.estimator, twin.cv, twin.verbose = self.estimator, self.cv, self.verbose
        self.__dict__ = twin.__dict__
        return self

    def _check_splits(self, cv: Any, n_splits: int, n_rows: int) -> None:
        """Refuse splits that cannot be those of so many rows."""
        if n_splits < 1 or (isinstance(self.cv, Integral) and int(self.cv) > n_rows):
            raise ValueError(
                "The 'cv' parameter must give splits, at most as many as rows. Got "
                f"{n_splits} of {n_rows} rows."
            )
        # What an iterable gave is kept; splitters make their splits when asked.
        is_splitter = hasattr(self.cv, "split")
        for split in () if is_splitter else getattr(cv, "cv", ()):
            if not _is_split(split, n_rows):
                raise ValueError(
                    "The 'cv' parameter as an iterable must give pairs of arrays of "
                    f"row numbers below {n_rows}, or masks. Got {split!r} in it."
                )

    def _check_scoring(self) -> None:
        """Refuse lists of metrics that are none."""
        scoring = self.scoring
        if not isinstance(scoring, list | tuple | set | dict):
            return
        if isinstance(scoring, dict):
            is_known = [isinstance(m, str) or callable(m) for m in scoring.values()]
        else:
            is_known = [isinstance(metric, str) for metric in scoring]
        if not is_known or not all(is_known):
            raise ValueError(
                "The 'scoring' parameter must be a metric's name, a function, names in "
                "a list, or a dict of names or functions, and not empty. Got "
                f"{scoring!r} instead."
            )

    def _make_run(self, n_splits: int, data: Any) -> SearchRun:
        space = self.param_distributions
        sampler = SAMPLERS[self.sampler](
            space, n_iter=int(self.n_iter), random_state=self.random_state
        )
        study = None
        if self.study is not None:
            settings = self._settings(n_splits, data)
            study = Study.open(self.study, space=space, settings=settings)
        width = WIDTH if self.n_jobs is None or self.n_jobs < 1 else self.n_jobs
        round_size = max(1, width // n_splits)
        if self.sampler != "random":
            round_size = min(round_size, _LEARNING_ROUND)
        limits = Limits(
            int(self.n_iter),
            int(self.round_size or round_size),
            np.inf if self.max_seconds is None else float(self.max_seconds),
        )
        return SearchRun(sampler, limits, n_splits, self.pruning, study, self._metric())

    def _metric(self) -> str | None:
        """Return the name of the metric that samplers learn from, None if only one."""
        if isinstance(self.refit, str):
            return self.refit
        if isinstance(self.scoring, list | tuple | set | dict):
            return str(next(iter(self.scoring)))
        return None

    def _settings(self, n_splits: int, data: Any) -> dict[str, Any]:
        """Describe the search, so that another is not taken for it."""
        return {
            "estimator": described_parameters(self.estimator, _is_without_effect),
            "scoring": described(self.scoring),
            "cv": described(self.cv),
            "n_splits": n_splits,
            "sampler": self.sampler,
            "pruning": self.pruning,
            "train_score": bool(self.return_train_score),
            "data": joblib.hash(data),
        }

    def _run_search(self, evaluate_candidates: Callable[..., Any]) -> None:
        # The call of joblib's that fits the candidates has been made: other calls, of a
        # sampler or of the refit, are none of the search's.
        self._run.context.unregister()
        for candidates in self._run.rounds():
            evaluate_candidates(candidates)

    def _format_results(
        self,
        candidate_params: Any,
        n_splits: int,
        out: Any,
        more_results: Any = None,
    ) -> dict[str, Any]:
        results: dict[str, Any]
        results = super()._format_results(candidate_params, n_splits, out, more_results)
        known = self._run.candidates[: len(candidate_params)]
        pruned = np.array([c.pruned_at is not None for c in known])
        results["pruned"] = pruned
        results["diverged"] = np.array(
            [np.nansum(c.diverged) for c in known], dtype=int
        )
        results["n_epochs"] = np.array([np.mean(c.epochs) for c in known])
        for name in [name for name in results if name.startswith("rank_test_")]:
            # Scores of what has not finished say little: they come after all others.
            last = pruned * (len(pruned) + 1)
            results[name] = rankdata(results[name] + last, method="min").astype(
                np.int32
            )
        return results


def _is_without_effect(estimator: Any, name: str) -> bool:
    """Tell whether a parameter changes nothing of what a fit gives."""
    if isinstance(estimator, MLPParameters):
        return name in WITHOUT_EFFECT
    is_cache = isinstance(estimator, Pipeline) and name == "memory"
    return is_cache or name in {"n_jobs", "verbose"}


def _is_split(split: Any, n_rows: int) -> bool:
    """Tell whether something is a training set and a test set of so many rows."""
    try:
        train, test = map(np.asarray, split)
    except (TypeError, ValueError):
        return False
    return all(_are_rows(part, n_rows) for part in (train, test))


def _are_rows(part: np.ndarray, n_rows: int) -> bool:
    if part.ndim != 1 or len(part) == 0:
        return False
    if part.dtype == bool:
        return len(part) == n_rows
    return part.dtype.kind in "iu" and -n_rows <= part.min() and part.max() < n_rows


def _backend(run: SearchRun) -> Any:
    """Return where fits meet: here, or in the workers of an active Dask cluster."""
    active, _ = get_active_backend()
    client = getattr(active, "client", None)
    if client is None:
        return SearchBackend(watcher=run)
    from sknnopt._search_cluster import ClusterBackend

    return ClusterBackend(run=run, client=client)
