"""Searches on a Dask cluster of two processes, through joblib's own backend."""

from __future__ import annotations

import os

import numpy as np
import pytest
from estimators import SMALL, plain_classifier
from joblib import Parallel, delayed, parallel_config
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from skopt import BayesSearchCV
from skopt.space import Integer, Real

distributed = pytest.importorskip("distributed")

# The cluster begins and ends without a word, too.
pytestmark = pytest.mark.filterwarnings("error")

N_WORKERS = 2
#: What limits threads; a worker must find dask's values, not those of the tests.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@pytest.fixture(scope="module")
def client():
    """Return the client of a cluster whose workers import the package themselves."""
    with pytest.MonkeyPatch.context() as patch:
        for name in THREAD_VARIABLES:
            patch.delenv(name, raising=False)
        with (
            distributed.LocalCluster(
                n_workers=N_WORKERS,
                threads_per_worker=1,
                processes=True,
                dashboard_address=None,
            ) as cluster,
            distributed.Client(cluster) as client,
        ):
            yield client


def model(**settings):
    """Return a pipeline with a small network."""
    network = plain_classifier(**{**SMALL, **settings})
    return Pipeline([("scaler", StandardScaler()), ("mlp", network)])


def grid_search(**options):
    """Return a search of three candidates on three folds."""
    grid = {"mlp__learning_rate": [1e-3, 1e-2, 1e-1]}
    return GridSearchCV(model(), grid, cv=3, scoring="neg_log_loss", **options)


def bayes_search():
    """Return a search of two steps with two candidates each."""
    space = {
        "mlp__learning_rate": Real(1e-4, 1e-1, prior="log-uniform"),
        "mlp__n_units": Integer(2, 9),
    }
    return BayesSearchCV(
        model(),
        space,
        n_iter=4,
        n_points=2,
        n_jobs=-1,
        cv=3,
        scoring="neg_log_loss",
        random_state=0,
        optimizer_kwargs={"n_initial_points": 2, "acq_func": "EI"},
    )


@pytest.mark.parametrize("make", [grid_search, bayes_search])
def test_search_scores_as_it_does_here(client, table, make):
    """On the cluster a search has the scores, and the best model, of a serial one."""
    X, y = table
    here = make().set_params(n_jobs=1).fit(X, y)
    with parallel_config("dask"):
        there = make().fit(X, y)
    assert there.cv_results_["params"] == here.cv_results_["params"]
    for name, values in here.cv_results_.items():
        if "score" in name and "time" not in name:
            assert np.array_equal(values, there.cv_results_[name]), name
    assert np.array_equal(there.predict_proba(X), here.predict_proba(X))


def state_of_worker(estimator, X, y):
    """Return what a task of a search finds in its process, after its fit."""
    import torch
    from threadpoolctl import threadpool_info

    from sknnopt._threads import n_cores

    return {
        "process": os.getpid(),
        "torch": torch.get_num_threads(),
        "pools": max(pool["num_threads"] for pool in threadpool_info()),
        "cores": n_cores(),
    }


def test_threads_are_the_share_of_a_worker(client, table):
    """The workers compute with the threads that dask gives them, on all the cores."""
    search = grid_search(refit=False).set_params(scoring=state_of_worker)
    with parallel_config("dask"):
        results = search.fit(*table).cv_results_
    found = {
        name: {
            results[f"split{split}_test_{name}"][i]
            for split in range(3)
            for i in range(3)
        }
        for name in ("process", "torch", "pools", "cores")
    }
    pids = client.run(os.getpid)
    assert found["process"] <= set(pids.values())
    assert os.getpid() not in found["process"]
    shares = client.run(os.environ.get, "OMP_NUM_THREADS")
    assert set(shares.values()) == {"1"}
    for name in ("torch", "pools", "cores"):
        assert found[name] == {1}, name


def gathered_scores(seed):
    """Cross-validate with the gathering backend, in one task of a worker."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(60, 4))
    with parallel_config(backend="sknnopt"):
        return cross_val_score(model(), X, (X[:, 0] > 0).astype(int), cv=3)


def test_a_task_can_gather_what_it_runs(client):
    """A task of a worker may use the gathering backend for a search of its own."""
    with parallel_config("dask"):
        found = Parallel()(delayed(gathered_scores)(seed) for seed in range(3))
    for seed, scores in enumerate(found):
        assert np.array_equal(scores, gathered_scores(seed))
