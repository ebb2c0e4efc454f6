"""Searches and cross-validation with the gathering backend, on real networks."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from estimators import plain_classifier, plain_regressor
from joblib import Parallel, delayed, parallel_config
from pruning import Course, brackets_of, expected_pruning
from scipy import sparse
from sklearn.base import clone
from sklearn.ensemble import BaggingClassifier, StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer
from sklearn.model_selection import (
    GridSearchCV,
    RandomizedSearchCV,
    cross_val_predict,
    cross_validate,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback

from sknnopt._rungs import RULES, Rungs
from sknnopt._tasks import ordinal
from sknnopt.optimizers import OPTIMIZERS

SMALL = {"hidden_layer_sizes": (7, 5), "max_epochs": 4, "random_state": 0}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_table(rng):
    """Return 90 rows of three classes."""
    X = rng.normal(size=(90, 5))
    return X, (X[:, 0] > 0).astype(int) + (X[:, 1] > 0.5)


@pytest.fixture
def table(rng):
    """Return 90 rows of three classes."""
    return make_table(rng)


def assert_same_search(search, X, y, **config):
    """Assert that a search gives the same scores alone and gathered; return it."""
    # No processes for those that train alone: they take long to start.
    alone = clone(search).set_params(n_jobs=1).fit(X, y)
    with parallel_config(backend="sknnopt", **config):
        together = clone(search).fit(X, y)
    for name, values in alone.cv_results_.items():
        if "time" not in name and name != "params":
            assert np.array_equal(values, together.cv_results_[name]), name
    return together


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_grid_search(table, rounds, dtype):
    """All fits of a grid train in one round, and score as they do alone."""
    X, y = table
    model = make_pipeline(StandardScaler(), plain_classifier(**SMALL))
    grid = {
        "optimizedmlpclassifier__learning_rate": [0.001, 0.01, 0.1],
        "optimizedmlpclassifier__dropout": [0.0, 0.3],
    }
    search = GridSearchCV(model, grid, cv=4, refit=False, scoring="neg_log_loss")
    assert_same_search(search, X.astype(dtype), y)
    assert rounds == [24]


def test_sparse_rows(table, rounds):
    """Sparse rows train in one round, and score as they do alone."""
    X, y = table
    X = sparse.csr_matrix(np.where(X > 0, X, 0.0))
    grid = {"learning_rate": [0.001, 0.1]}
    search = GridSearchCV(plain_classifier(**SMALL), grid, cv=3, refit=False)
    assert_same_search(search, X, y)
    assert rounds == [6]


@pytest.mark.parametrize(
    ("n_jobs", "width"),
    [
        (None, 2),
        (3, 5),
        *(pytest.param(*c, marks=pytest.mark.long) for c in [(None, 5), (3, 2)]),
    ],
)
def test_width_does_not_matter(table, rounds, width, n_jobs):
    """However few fits are held at a time, the scores are the same."""
    X, y = table
    network = plain_classifier(
        **SMALL, early_stopping=True, class_weight="balanced", n_members=2
    )
    grid = {"l2": [0.0, 0.01], "batch_size": [16, 90], "n_iter_no_change": [1, 3]}
    search = GridSearchCV(network, grid, cv=3, scoring="neg_log_loss", n_jobs=n_jobs)
    assert_same_search(search, X, y, width=width)
    assert max(rounds) <= min(width, n_jobs or width)


def test_memory_does_not_matter(table, rounds):
    """With hardly any memory fits train a few at a time, with the same scores."""
    X, y = table
    grid = {"learning_rate": [0.001, 0.01, 0.1]}
    search = GridSearchCV(
        plain_classifier(**SMALL), grid, cv=3, refit=False, scoring="neg_log_loss"
    )
    assert_same_search(search, X, y, memory=1)
    assert max(rounds) < 9


def test_every_optimizer_in_one_search(table, rounds):
    """Fits of several update rules gather, train apart, and score as alone."""
    X, y = table
    network = plain_classifier(**SMALL, early_stopping=True, l1=1e-4)
    grid = {"optimizer": list(OPTIMIZERS), "activation": ["relu", "sigmoid", "gelu"]}
    search = GridSearchCV(network, grid, cv=2, refit=False, scoring="neg_log_loss")
    assert_same_search(search, X, y)
    assert rounds == [6 * len(OPTIMIZERS)]


def test_random_search(table):
    """A random search scores as it does alone."""
    X, y = table
    space = {"learning_rate": [0.001, 0.01, 0.1], "n_units": [4, 9, 16]}
    network = plain_classifier(max_epochs=3, random_state=0)
    common = {"cv": 3, "random_state": 0, "scoring": "accuracy"}
    assert_same_search(RandomizedSearchCV(network, space, n_iter=5, **common), X, y)


def scoring_that_keeps(models):
    """Return a scorer that puts the model of each fit of a search into a dict."""

    def score(model, X, y):
        number = ordinal()
        models[len(models) if number is None else number] = model
        return get_scorer("neg_log_loss")(model, X, y)

    return score


def fourteen_candidates(models):
    """Return a search of 14 candidates on three folds, which keeps its models."""
    network = plain_classifier(
        max_epochs=18, random_state=0, early_stopping=True, n_iter_no_change=4
    )
    space = {
        "learning_rate": [1e-4, 1e-3, 1e-2, 1e-1],
        "n_units": [4, 9],
        "activation": ["relu", "tanh"],
    }
    scoring = scoring_that_keeps(models)
    return RandomizedSearchCV(
        network, space, n_iter=14, cv=3, random_state=0, refit=False, scoring=scoring
    )


@pytest.fixture(scope="module")
def whole_search():
    """Return the models and scores of a search in which nobody is pruned."""
    models = {}
    search = fourteen_candidates(models).fit(*make_table(np.random.default_rng(0)))
    return models, search.cv_results_


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("width", [256, 10])
def test_pruned_search(table, whole_search, width, rule):
    """Those that stay have all as without pruning, the others all up to their rung."""
    (whole, scores), found = whole_search, {}
    search = fourteen_candidates(found)
    courses = {
        number: Course(np.minimum.accumulate(model.history_["valid_loss"]).tolist(), 18)
        for number, model in whole.items()
    }
    rungs = Rungs(3, rule=rule, min_epochs=2)
    with parallel_config(backend="sknnopt", width=width, rungs=rungs):
        search.fit(*table)
    expected = expected_pruning(
        courses,
        3,
        min_epochs=2,
        gatherings=[range(i, min(i + width, 42)) for i in range(0, 42, width)],
        brackets=brackets_of(2, 3, 14) if rule == "hyperband" else None,
    )
    assert rungs.pruned == expected
    assert set(expected.values()) == {2, 6}
    for number, model in whole.items():
        candidate, fold = divmod(number, 3)
        epoch = expected.get(candidate, 18)
        history = model.history_.query("epoch <= @epoch")
        assert found[number].history_.equals(history)
        if len(history) == len(model.history_):
            name = f"split{fold}_test_score"
            assert search.cv_results_[name][candidate] == scores[name][candidate]
        else:
            assert found[number].best_epoch_ == found[number].n_iter_ == epoch


def test_the_refit_is_not_pruned(table):
    """A refit that gathers trains whole, even of a candidate that left the search."""
    X, y = table
    model = OneVsRestClassifier(
        plain_classifier(max_epochs=12, random_state=0, early_stopping=True)
    )
    rungs = Rungs(2, reduction_factor=2, min_epochs=6)
    search = GridSearchCV(
        model,
        {"estimator__learning_rate": [1e-5, 1e-1]},
        cv=2,
        refit=lambda results: next(iter(rungs.pruned)),
    )
    with parallel_config(backend="sknnopt", rungs=rungs):
        search.fit(X, y)
    assert len(rungs.pruned) == 1
    expected = clone(model).set_params(**search.best_params_).fit(X, y)
    found = search.best_estimator_.predict_proba(X)
    assert np.array_equal(found, expected.predict_proba(X))


def test_pruning_needs_a_validation_loss(table):
    """Candidates without one fail with an error that says what gives one."""
    X, y = table
    search = GridSearchCV(
        plain_classifier(**SMALL, early_stopping=False),
        {"learning_rate": [0.01, 0.1]},
        cv=2,
        error_score="raise",
    )
    with (
        parallel_config(backend="sknnopt", rungs=Rungs(2)),
        pytest.raises(ValueError, match="early_stopping=True gives one"),
    ):
        search.fit(X, y)


def test_cross_validation(table, rounds):
    """The folds of a cross-validation train together."""
    X, _ = table
    network = plain_regressor(**SMALL, loss="huber", normalization="batch")
    expected = cross_val_predict(network, X, X[:, 0], cv=4)
    with parallel_config(backend="sknnopt"):
        found = cross_val_predict(network, X, X[:, 0], cv=4)
    assert np.array_equal(expected, found)
    assert rounds == [4]


@pytest.mark.parametrize(
    "make",
    [
        lambda network: BaggingClassifier(network, n_estimators=4, random_state=0),
        OneVsRestClassifier,
        lambda network: StackingClassifier(
            [
                ("a", network),
                ("b", clone(network).set_params(n_units=9)),
                ("c", LogisticRegression()),
            ],
            cv=3,
        ),
    ],
    ids=["bagging", "one-vs-rest", "stacking"],
)
def test_meta_estimators(table, rounds, make):
    """The networks inside of a meta-estimator train together, as they do alone."""
    X, y = table
    model = make(plain_classifier(max_epochs=3, n_units=6, random_state=0))
    expected = clone(model).fit(X, y).predict_proba(X)
    with parallel_config(backend="sknnopt"):
        found = clone(model).fit(X, y).predict_proba(X)
    assert np.array_equal(expected, found)
    assert max(rounds) > 1


def test_nested_cross_validation(table, rounds):
    """The inner fits of all outer folds train together."""
    X, y = table
    search = GridSearchCV(
        plain_classifier(**SMALL), {"learning_rate": [0.01, 0.1]}, cv=2
    )
    expected = cross_validate(search, X, y, cv=3)["test_score"]
    with parallel_config(backend="sknnopt"):
        found = cross_validate(search, X, y, cv=3)["test_score"]
    assert np.array_equal(expected, found)
    # Twelve inner fits, then the refits of the three winners.
    assert rounds == [12, 3]


def test_a_fit_with_callbacks_trains_alone(table, rounds):
    """A fit with callbacks is not handed over; those beside it are."""
    X, y = table

    class Counts(Callback):
        def on_epoch_end(self, net, **kwargs):
            assert len(net.module_.weight_0) == 1

    plain = plain_classifier(**SMALL)
    with parallel_config(backend="sknnopt"):
        fitted = Parallel()(
            delayed(clone(plain).set_params(callbacks=callbacks).fit)(X, y)
            for callbacks in (None, [Counts()], None)
        )
    assert rounds == [2]
    assert len({tuple(model.predict_proba(X).ravel()) for model in fitted}) == 1


def test_partial_fits_train_together(table, rounds):
    """Steps of partial fits gather, and go on from where they were."""
    X, y = table
    models = [plain_classifier(learning_rate=r, random_state=0) for r in (0.01, 0.1)]
    alone = [clone(model) for model in models]
    for _ in range(2):
        for model in alone:
            model.partial_fit(X, y, [0, 1, 2])
        with parallel_config(backend="sknnopt"):
            models = Parallel()(delayed(m.partial_fit)(X, y, [0, 1, 2]) for m in models)
    for model, expected in zip(models, alone, strict=True):
        assert np.array_equal(model.predict_proba(X), expected.predict_proba(X))
    assert rounds == [2, 2]


def test_one_bar_for_a_search(table, capfd):
    """With verbose fits, one bar shows the epochs of the whole search."""
    pytest.importorskip("rich")
    X, y = table
    search = GridSearchCV(
        plain_classifier(**SMALL, verbose=True, early_stopping=False),
        {"learning_rate": [0.01, 0.1]},
        cv=3,
        refit=False,
    )
    with parallel_config(backend="sknnopt"):
        search.fit(X, y)
    shown = capfd.readouterr().err
    assert "24/24" in shown
    assert shown.count("epochs of all networks") == 1


def test_errors_reach_their_own_task(table):
    """A wrong parameter fails its own candidate only."""
    X, y = table
    search = GridSearchCV(
        plain_classifier(**SMALL), {"dropout": [0.1, 7.0]}, cv=3, refit=False
    )
    with warnings.catch_warnings(), parallel_config(backend="sknnopt"):
        warnings.simplefilter("ignore")
        search.fit(X, y)
    scores = search.cv_results_["mean_test_score"]
    assert np.isfinite(scores).tolist() == [True, False]


def test_in_dask_workers(table, rounds):
    """Searches in the threads of a dask worker gather, each what it runs."""
    distributed = pytest.importorskip("distributed")
    model = make_pipeline(StandardScaler(), plain_classifier(**SMALL))
    grid = {"optimizedmlpclassifier__learning_rate": [1e-3, 1e-2]}
    alone = GridSearchCV(model, grid, cv=3).fit(*table)

    def search():
        with parallel_config(backend="sknnopt"):
            return GridSearchCV(model, grid, cv=3, refit=False).fit(*table)

    worker = {"processes": False, "n_workers": 1, "threads_per_worker": 2}
    with distributed.Client(**worker, dashboard_address=None) as client:
        searches = client.gather([client.submit(search, pure=False) for _ in range(2)])
    for each in searches:
        scores = each.cv_results_["mean_test_score"]
        assert np.array_equal(scores, alone.cv_results_["mean_test_score"])
    assert rounds == [6, 6]
