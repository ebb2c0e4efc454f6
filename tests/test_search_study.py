"""A search that is kept on disk: stopped at any moment, it goes on where it was."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from contextlib import closing

import numpy as np
import pandas as pd
import pytest
from estimators import plain_classifier
from scipy.stats import loguniform
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import EarlyStopping

from sknnopt import _search_run
from sknnopt.search import MLPSearchCV

pytest.importorskip("optuna")

SPACE = {"learning_rate": loguniform(1e-3, 1e-1), "n_units": [2, 3, 5]}


def table():
    """Return a small table."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    return X, (X[:, 0] > 0).astype(int)


def search_on(path, **settings):
    """Return a search that is kept in a file."""
    model = plain_classifier(n_layers=1, max_epochs=3, random_state=0)
    common = {"cv": 3, "random_state": 0, "study": path, "round_size": 2}
    return MLPSearchCV(model, SPACE, **{**common, "n_iter": 6, **settings})


@pytest.fixture(name="trained")
def _trained(monkeypatch):
    """Return the candidate and fold of each fit that is trained."""
    numbers = []
    noted = _search_run.SearchRun.trained

    def trained(run, number, *rest):
        numbers.append(run._place(number))
        return noted(run, number, *rest)

    monkeypatch.setattr(_search_run.SearchRun, "trained", trained)
    return numbers


def assert_same(search, expected):
    """Compare all of the results that do not tell of time."""
    found, other = search.cv_results_, expected.cv_results_
    assert found["params"] == other["params"]
    for name in (n for n in other if "_test_" in n or n in ("pruned", "n_epochs")):
        np.testing.assert_array_equal(found[name], other[name], err_msg=name)
    assert search.best_params_ == expected.best_params_


@pytest.mark.parametrize("sampler", ["random", "tpe", "bayes"])
def test_finished_candidates_are_not_fitted_again(tmp_path, trained, sampler):
    """A longer search goes on after the shorter one, whose scores it keeps."""
    path = tmp_path / "study.db"
    short = search_on(path, n_iter=4, sampler=sampler).fit(*table())
    assert sorted(set(trained)) == [(c, f) for c in range(4) for f in range(3)]
    trained.clear()
    longer = search_on(path, sampler=sampler).fit(*table())
    assert sorted(set(trained)) == [(c, f) for c in (4, 5) for f in range(3)]
    assert longer.cv_results_["params"][:4] == short.cv_results_["params"]
    for split in range(3):
        name = f"split{split}_test_score"
        np.testing.assert_array_equal(
            longer.cv_results_[name][:4], short.cv_results_[name]
        )
    if sampler == "random":
        assert_same(longer, search_on(None).fit(*table()))


def test_a_finished_search_fits_nothing_again(tmp_path, trained):
    """A search that is fitted again gives the same, and trains the best alone."""
    path = tmp_path / "study.db"
    settings = {"scoring": ["accuracy", "roc_auc"], "refit": "roc_auc"}
    first = search_on(path, return_train_score=True, **settings).fit(*table())
    trained.clear()
    again = search_on(path, return_train_score=True, **settings).fit(*table())
    assert trained == []
    assert_same(again, first)
    X, _ = table()
    np.testing.assert_array_equal(again.predict(X), first.predict(X))


def test_pruned_candidates_stay_pruned(tmp_path):
    """What left early is remembered as such."""
    path = tmp_path / "study.db"
    settings = {"pruning": "halving", "n_iter": 6, "round_size": 6}
    search = search_on(path, **settings)
    search.estimator.set_params(
        max_epochs=30, early_stopping=True, n_iter_no_change=None
    )
    first = search.fit(*table()).cv_results_["pruned"].copy()
    assert first.any()
    np.testing.assert_array_equal(search.fit(*table()).cv_results_["pruned"], first)


def test_another_search_is_refused(tmp_path):
    """A study of other data or another estimator is not gone on with."""
    path = tmp_path / "study.db"
    X, y = table()
    search = search_on(path, n_iter=2).fit(X, y)
    with pytest.raises(ValueError, match="'data' was"):
        search.fit(X + 1, y)
    search.estimator.set_params(max_epochs=4)
    with pytest.raises(ValueError, match="'estimator' was"):
        search.fit(X, y)


def test_what_changes_no_result_may_differ(tmp_path, trained):
    """Checkpoints, threads, progress and caches are of no consequence for a study."""
    path = tmp_path / "study.db"
    model = plain_classifier(n_layers=1, max_epochs=3, random_state=0)
    pipeline = Pipeline([("scale", StandardScaler()), ("mlp", model)])
    space = {"mlp__learning_rate": [0.01, 0.1], "mlp__n_units": [2, 3]}
    search = MLPSearchCV(
        pipeline, space, n_iter=3, cv=3, random_state=0, study=path, verbose=1
    )
    first = search.fit(*table()).cv_results_["mean_test_score"]
    trained.clear()
    pipeline.set_params(
        memory=str(tmp_path / "cache"),
        verbose=False,
        mlp__checkpoint=str(tmp_path / "run"),
        mlp__checkpoint_seconds=7.0,
        mlp__n_threads=1,
        mlp__verbose=True,
    )
    again = search.set_params(n_jobs=2).fit(*table()).cv_results_["mean_test_score"]
    assert trained == []
    np.testing.assert_array_equal(again, first)
    with pytest.raises(ValueError, match=r"'estimator' was .*EarlyStopping"):
        search.set_params(estimator__mlp__callbacks=[EarlyStopping()]).fit(*table())
    with pytest.raises(ValueError, match=r"'estimator' was .*with_mean"):
        search.set_params(
            estimator__mlp__callbacks=None, estimator__scale__with_mean=False
        ).fit(*table())


@pytest.mark.parametrize("settings", [{}, {"early_stopping": True, "n_members": 2}])
def test_curves_of_earlier_runs_are_known(tmp_path, settings):
    """The curves of a search that goes on are those of one that never stopped."""
    path = tmp_path / "study.db"
    search = search_on(path, n_iter=2, refit=False)
    search.estimator.set_params(**settings)
    first = search.fit(*table()).curves_
    both = search.set_params(n_iter=4).fit(*table()).curves_
    whole = search.set_params(study=None).fit(*table()).curves_
    assert sorted(set(first["candidate"])) == [0, 1]
    assert ("valid_loss" in whole) == bool(settings)
    pd.testing.assert_frame_equal(both, whole, check_exact=True)
    read = search.set_params(study=path).fit(*table()).curves_
    pd.testing.assert_frame_equal(read, whole, check_exact=True)


SCRIPT = """
import sys
from test_search_study import search_on, table
search_on(sys.argv[1], n_iter=200).fit(*table())
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_stopped_search_goes_on(tmp_path, trained, nursery, how):
    """A search whose process ends at some moment has lost nothing that was finished."""
    path = tmp_path / "study.db"
    with nursery.begin(SCRIPT, str(path)) as process:
        finished = wait_for_trials(path, process)
        os.kill(process.pid, how)
        assert process.wait() != 0
    kept = stored_params(path)
    assert len(kept) >= finished
    search = search_on(path, n_iter=len(kept) + 2).fit(*table())
    assert search.cv_results_["params"][: len(kept)] == kept
    refitted = {candidate for candidate, _ in trained}
    assert refitted == {len(kept), len(kept) + 1}
    drawn = search_on(None, n_iter=len(kept) + 2, refit=False).fit(*table())
    assert in_order(search) == in_order(drawn)


def in_order(search):
    """Return the candidates of a search, whatever their order."""
    return sorted(sorted(p.items()) for p in search.cv_results_["params"])


def wait_for_trials(path, process):
    """Wait until some candidates are finished; return how many."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not process.has_ended():
        time.sleep(0.05)
        n_finished = count_finished(path)
        if n_finished >= 3:
            return n_finished
    raise AssertionError("no candidate was finished")


def count_finished(path):
    """Count the finished candidates; Optuna's own reader would make missing tables."""
    query = "SELECT COUNT(*) FROM trials WHERE state <> 'RUNNING'"
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            return database.execute(query).fetchone()[0]
    except sqlite3.OperationalError:
        return 0


def stored_params(path):
    """Read the parameters of the finished candidates, without our own reader."""
    import optuna

    study = optuna.load_study(study_name="sknnopt", storage=f"sqlite:///{path}")
    return [trial.params for trial in study.get_trials() if trial.state.is_finished()]
