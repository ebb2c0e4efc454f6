"""MLPSearchCV: scikit-learn's searches are the oracle for its scores and interface."""

from __future__ import annotations

import pickle
import threading
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from estimators import plain_classifier, plain_regressor
from joblib import parallel_config
from scipy.stats import loguniform
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    RandomizedSearchCV,
    RepeatedKFold,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from sknnopt import _search_backend
from sknnopt.search import MLPSearchCV

SPACE = {"learning_rate": loguniform(1e-3, 1e-1), "n_units": [2, 3, 5]}


@pytest.fixture(name="table", scope="module")
def _table():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 4))
    return X, (X[:, 0] * X[:, 1] > 0).astype(int)


def classifier(**settings):
    """Return a network that is trained in no time."""
    return plain_classifier(
        **{"n_layers": 1, "max_epochs": 4, "random_state": 0, **settings}
    )


def search_of(estimator, space=SPACE, **settings):
    """Return a short search."""
    return MLPSearchCV(
        estimator, space, **{"n_iter": 4, "cv": 3, "random_state": 0, **settings}
    )


def grid_of(search, **settings):
    """Return scikit-learn's search over the very candidates of another."""
    grid = [
        {name: [value] for name, value in params.items()}
        for params in search.cv_results_["params"]
    ]
    return GridSearchCV(search.estimator, grid, cv=search.cv, **settings)


def scores_of(search):
    """Return all numbers of a search that do not tell of time."""
    names = [n for n in search.cv_results_ if "_test_" in n or "_train_" in n]
    return {name: search.cv_results_[name] for name in names}


def assert_same_scores(search, other):
    """Compare all scores and ranks of two searches exactly."""
    found, expected = scores_of(search), scores_of(other)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


class Counting(TransformerMixin, BaseEstimator):
    """A scaler that tells how often it was fitted."""

    fitted: ClassVar[list[int]] = []
    lock = threading.Lock()

    def __init__(self, factor=1.0):
        self.factor = factor

    def fit(self, X, y=None):
        """Count."""
        with self.lock:
            self.fitted.append(len(X))
        self.scaler_ = StandardScaler().fit(X)
        return self

    def transform(self, X):
        """Scale."""
        return self.scaler_.transform(X) * self.factor


# ------------------------------------------------------------------------- scores


@pytest.mark.parametrize("sampler", ["random", "tpe", "bayes"])
def test_scores_are_those_of_a_grid_search(table, sampler):
    """Scores, ranks and the best are those of scikit-learn's search, bit for bit."""
    if sampler == "tpe":
        pytest.importorskip("optuna")
    search = search_of(classifier(), sampler=sampler, return_train_score=True)
    search.fit(*table)
    grid = grid_of(search, return_train_score=True).fit(*table)
    assert_same_scores(search, grid)
    assert search.best_params_ == grid.best_params_
    assert search.best_score_ == grid.best_score_
    np.testing.assert_array_equal(
        search.predict_proba(table[0]), grid.predict_proba(table[0])
    )


def test_candidates_are_those_of_a_randomized_search(table):
    """Chance proposes what scikit-learn's search draws from the same seed."""
    search = search_of(classifier()).fit(*table)
    other = RandomizedSearchCV(classifier(), SPACE, n_iter=4, cv=3, random_state=0)
    assert search.cv_results_["params"] == other.fit(*table).cv_results_["params"]
    assert_same_scores(search, other)


def test_scores_of_a_regression(table):
    """A regressor's scores are those of scikit-learn's search, whatever the metric."""
    X, _ = table
    model = plain_regressor(n_layers=1, max_epochs=4, random_state=0)
    search = search_of(model, scoring="neg_mean_absolute_error")
    search.fit(X, X[:, 0] ** 2)
    grid = grid_of(search, scoring="neg_mean_absolute_error").fit(X, X[:, 0] ** 2)
    assert_same_scores(search, grid)


def test_rounds_change_nothing(table):
    """Chance proposes the same candidates however many train together."""
    whole = search_of(classifier(), n_iter=5).fit(*table)
    parts = search_of(classifier(), n_iter=5, round_size=2, n_jobs=1).fit(*table)
    assert whole.cv_results_["params"] == parts.cv_results_["params"]
    assert_same_scores(whole, parts)


@pytest.mark.parametrize(
    ("settings", "expected"), [({}, [12]), ({"n_jobs": 3}, [3] * 4)]
)
def test_fits_of_a_round_train_together(table, monkeypatch, settings, expected):
    """All fits of a round meet, or as many as are held; what is around is not asked."""
    sizes = []
    train = _search_backend.Training.__call__

    def counted(training, payloads, is_cancelled):
        sizes.append(len(payloads))
        return train(training, payloads, is_cancelled)

    monkeypatch.setattr(_search_backend.Training, "__call__", counted)
    with parallel_config(n_jobs=1):
        search_of(classifier(), round_size=4, refit=False, **settings).fit(*table)
    assert sizes == expected


@pytest.mark.parametrize("refit", ["roc_auc", False, lambda results: 2])
def test_several_metrics(table, refit):
    """Several metrics, and what is refitted, are as in scikit-learn's search."""
    metrics = {"scoring": ["accuracy", "roc_auc"], "refit": refit}
    search = search_of(classifier(), **metrics).fit(*table)
    grid = grid_of(search, **metrics).fit(*table)
    assert_same_scores(search, grid)
    assert hasattr(search, "best_estimator_") == hasattr(grid, "best_estimator_")
    if refit:
        assert search.best_index_ == grid.best_index_
    assert search.multimetric_


def test_groups_and_weights(table):
    """Groups reach the splitter and weights the fits."""
    X, y = table
    given = {"groups": np.arange(90) % 5, "sample_weight": np.linspace(1, 2, 90)}
    search = search_of(classifier(), cv=GroupKFold(5)).fit(X, y, **given)
    assert search.n_splits_ == 5
    assert_same_scores(search, grid_of(search).fit(X, y, **given))


def test_splits_that_can_be_read_once(table):
    """A generator of splits serves as in scikit-learn's searches."""
    X, y = table
    splits = list(KFold(4).split(X))
    search = search_of(classifier(), cv=iter(splits)).fit(X, y)
    assert search.n_splits_ == 4
    expected = search_of(classifier(), cv=splits).fit(X, y)
    assert_same_scores(search, expected)


# --------------------------------------------------------------------- pipelines


def test_transformers_are_fitted_once_for_each_fold(table):
    """Candidates that differ in the network alone share a pipeline's transformers."""
    pipeline = make_pipeline(Counting(), classifier())
    space = {f"optimizedmlpclassifier__{name}": v for name, v in SPACE.items()}
    Counting.fitted.clear()
    search = search_of(pipeline, space, round_size=2).fit(*table)
    # Once more for all rows.
    assert sorted(Counting.fitted) == [60, 60, 60, 90]
    assert search.best_estimator_.memory is None
    assert search.estimator is pipeline
    assert_same_scores(search, grid_of(search).fit(*table))


def test_transformers_that_are_searched(table):
    """Parameters and kinds of transformers can be searched, too."""
    pipeline = make_pipeline(Counting(), MinMaxScaler(), classifier())
    space = {
        "counting__factor": [0.1, 1.0],
        "minmaxscaler": [MinMaxScaler(), "passthrough"],
        "optimizedmlpclassifier__n_units": [2, 3],
    }
    Counting.fitted.clear()
    search = search_of(pipeline, space, n_iter=8, refit=False).fit(*table)
    assert len(Counting.fitted) == 2 * 3
    assert_same_scores(search, grid_of(search, refit=False).fit(*table))


def test_memory_of_the_user_stays(table, tmp_path):
    """A pipeline with a memory of its own keeps it."""
    pipeline = make_pipeline(StandardScaler(), classifier(), memory=str(tmp_path))
    space = {"optimizedmlpclassifier__n_units": [2, 3]}
    search = search_of(pipeline, space, n_iter=2).fit(*table)
    assert search.best_estimator_.memory == str(tmp_path)
    assert list(tmp_path.iterdir())


def test_refit_in_tasks_of_its_own(table):
    """A refit that calls joblib is no round of the search, pruned or not."""
    model = OneVsRestClassifier(classifier(max_epochs=12, early_stopping=True))
    space = {"estimator__learning_rate": [1e-4, 1e-1]}
    settings = {"n_iter": 2, "pruning": "halving"}
    with parallel_config(backend="sknnopt"):
        search = search_of(model, space, **settings).fit(*table)
    alone = clone(model).set_params(**search.best_params_).fit(*table)
    np.testing.assert_array_equal(
        search.predict_proba(table[0]), alone.predict_proba(table[0])
    )


# ------------------------------------------------------------------------ pruning


@pytest.mark.parametrize("pruning", ["halving", "hyperband"])
def test_pruned_candidates_come_last(table, pruning):
    """What left early trained less and ranks last; others are as without pruning."""
    model = classifier(max_epochs=30, early_stopping=True, n_iter_no_change=30)
    settings = {"n_iter": 9, "refit": False}
    pruned = search_of(model, pruning=pruning, **settings).fit(*table).cv_results_
    whole = search_of(model, **settings).fit(*table).cv_results_
    left = pruned["pruned"]
    assert 0 < left.sum() < 9
    assert pruned["rank_test_score"][left].min() > (~left).sum()
    assert (pruned["n_epochs"][left] < 30).all()
    np.testing.assert_array_equal(pruned["n_epochs"][~left], 30)
    for name in ("split0_test_score", "split2_test_score"):
        np.testing.assert_array_equal(pruned[name][~left], whole[name][~left])
    assert not whole["pruned"].any()


def test_pruning_needs_rows_to_validate_on(table):
    """Without held-out rows the error says what to set."""
    search = search_of(classifier(), pruning="halving", error_score="raise")
    with pytest.raises(ValueError, match="early_stopping=True"):
        search.fit(*table)


def test_end_of_the_time(table):
    """A search whose time is over ends, with what it has."""
    model = classifier(max_epochs=10**6, n_iter_no_change=None)
    search = search_of(model, n_iter=100, max_seconds=0.5, refit=False).fit(*table)
    assert 1 <= len(search.cv_results_["params"]) < 100
    assert search.cv_results_["pruned"].all()


# ------------------------------------------------------------------------ results


def test_curves(table):
    """The curves of a fold are the history of that fit alone."""
    X, y = table
    search = search_of(classifier(early_stopping=True)).fit(X, y)
    curves = search.curves_
    train, _ = list(search_splits(search, X, y))[1]
    alone = clone(search.estimator).set_params(**search.cv_results_["params"][2])
    expected = alone.fit(X[train], y[train]).history_
    own = curves[(curves["candidate"] == 2) & (curves["split"] == 1)]
    names = ["member", "epoch", "train_loss", "valid_loss"]
    pd.testing.assert_frame_equal(
        own[names].reset_index(drop=True), expected[names], check_dtype=False
    )
    assert sorted(curves["candidate"].unique()) == [0, 1, 2, 3]


def search_splits(search, X, y):
    """Return the splits of a search for classes."""
    from sklearn.model_selection import check_cv

    return check_cv(search.cv, y, classifier=True).split(X, y)


def test_divergence_is_counted(table):
    """A candidate that diverges says in how many folds, and its scores are finite."""
    space = {"learning_rate": [1e-2, 1e10], "optimizer": ["sgd"]}
    model = plain_regressor(n_layers=1, max_epochs=20, random_state=0)
    with pytest.warns(ConvergenceWarning, match="diverged"):
        search = search_of(model, space, n_iter=2).fit(table[0], table[0][:, 0])
    diverged = {
        params["learning_rate"]: number
        for params, number in zip(
            search.cv_results_["params"], search.cv_results_["diverged"], strict=True
        )
    }
    assert diverged == {1e-2: 0, 1e10: 3}
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.filterwarnings("ignore:One or more of the test scores are non-finite")
def test_failing_candidates(table):
    """A candidate that raises gets the error score; alone it fails, and is said."""
    space = {"n_units": [2, -1]}
    search = search_of(classifier(), space, n_iter=2)
    with pytest.warns(FitFailedWarning):
        search.fit(*table)
    assert search.best_params_ == {"n_units": 2}
    with pytest.raises(ValueError, match="n_units"):
        search.set_params(error_score="raise").fit(*table)


def test_progress_of_a_search_that_goes_on(table, tmp_path, capsys):
    """The best score so far is also that of candidates of an earlier run."""
    pytest.importorskip("optuna")
    search = search_of(classifier(), study=tmp_path / "study.db", verbose=1)
    first = search.fit(*table).curves_
    last = f"4/4 candidates  best score {search.best_score_:.4f}"
    for _ in range(2):
        shown = capsys.readouterr()
        assert shown.out == ""
        assert shown.err.splitlines()[-1] == last
        search.fit(*table)
    assert search.verbose == 1
    pd.testing.assert_frame_equal(search.curves_, first)


def test_failed_fit_leaves_the_search_as_it_was(table):
    """After an error a fitted search still is what it was."""
    X, y = table
    search = search_of(classifier()).fit(X, y)
    before = vars(search).copy()
    with pytest.raises(ValueError, match="inconsistent"):
        search.fit(X, y[:-1])
    assert vars(search) == before


def test_clone_and_pickle(table):
    """A search can be cloned, and a fitted one pickled."""
    search = search_of(make_pipeline(StandardScaler(), classifier()), {}, n_iter=1)
    twin = clone(search)
    assert repr(twin) == repr(search)
    search.fit(*table)
    loaded = pickle.loads(pickle.dumps(search))
    np.testing.assert_array_equal(loaded.predict(table[0]), search.predict(table[0]))


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"sampler": "luck"}, "sampler"),
        ({"pruning": "none"}, "pruning"),
        ({"n_iter": 0}, "n_iter"),
        ({"max_seconds": 0}, "max_seconds"),
        ({"round_size": 0}, "round_size"),
    ],
)
def test_wrong_parameters_are_refused(table, settings, match):
    """The error names the parameter."""
    with pytest.raises(ValueError, match=f"'{match}' parameter of MLPSearchCV"):
        search_of(classifier(), **settings).fit(*table)


@pytest.mark.parametrize(
    "cv",
    [
        91,
        2**63,
        [],
        [3],
        [("a", "b")],
        [([0, 1], [90])],
        [([0, 1], [-91])],
        [([0, 1], [])],
        [([0, 1.5], [2])],
        [([True, False], [2])],
    ],
)
def test_splits_of_other_rows_are_refused(table, cv):
    """What cannot be splits of the rows is refused before anything is fitted."""
    search = MLPSearchCV(classifier(), SPACE, cv=cv)
    with pytest.raises(ValueError, match="'cv' parameter"):
        search.fit(*table)


def test_splits_as_masks(table):
    """Splits may be given as masks, as in scikit-learn's searches."""
    mask = np.arange(90) < 60
    options = {"n_iter": 2, "random_state": 0}
    masks = MLPSearchCV(classifier(), SPACE, cv=[(mask, ~mask)], **options)
    rows = [(np.flatnonzero(mask), np.flatnonzero(~mask))]
    numbers = MLPSearchCV(classifier(), SPACE, cv=rows, **options)
    scores = [s.fit(*table).cv_results_["mean_test_score"] for s in (masks, numbers)]
    np.testing.assert_array_equal(*scores)


@pytest.mark.parametrize("scoring", [[], (), {}, [None], ["accuracy", 1], {"a": 1}])
def test_scoring_of_no_metrics_is_refused(table, scoring):
    """Lists and dicts that hold no metrics are refused before anything is fitted."""
    search = MLPSearchCV(classifier(), SPACE, scoring=scoring, refit=False)
    with pytest.raises(ValueError, match="'scoring' parameter"):
        search.fit(*table)


def test_a_time_too_long_to_be_spent(table):
    """Of a very long time, what a round takes is too little to be subtracted."""
    search = MLPSearchCV(classifier(), SPACE, n_iter=8, cv=2, max_seconds=1e300)
    assert len(search.fit(*table).cv_results_["params"]) == 8


def test_splitters_make_their_own_splits(table):
    """A splitter that holds another, as repeated folds do, is taken as it is."""
    cv = RepeatedKFold(n_splits=2, n_repeats=2, random_state=0)
    search = MLPSearchCV(classifier(), SPACE, n_iter=1, cv=cv).fit(*table)
    assert search.n_splits_ == 4


def test_space_that_is_used_up_ends_the_search(table):
    """Where there are fewer candidates than asked for, each is tried once."""
    search = search_of(classifier(), {"n_units": [3, 4, 5]}, n_iter=5, round_size=2)
    with pytest.warns(UserWarning, match="total space of parameters 3 is smaller"):
        search.fit(*table)
    found = [params["n_units"] for params in search.cv_results_["params"]]
    assert sorted(found) == [3, 4, 5]
