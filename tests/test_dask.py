"""Searches on a Dask cluster of two processes, through joblib's own backend."""

from __future__ import annotations

import os
import signal
import threading
import time

import numpy as np
import pandas as pd
import pytest
from estimators import SMALL, plain_classifier
from joblib import Parallel, delayed, parallel_config
from scipy.stats import loguniform
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from skopt import BayesSearchCV
from skopt.space import Integer, Real

from sknnopt.search import MLPSearchCV

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
                dashboard_address=":0",
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


def pruning_search(**settings):
    """Return a search of ours, of two chunks for each worker."""
    space = {"mlp__learning_rate": loguniform(1e-4, 1e-1), "mlp__n_units": [2, 3]}
    network = {"early_stopping": True, "max_epochs": 30, "n_iter_no_change": None}
    common = {"n_iter": 8, "cv": 3, "random_state": 0, "scoring": "neg_log_loss"}
    return MLPSearchCV(model(**network), space, **{**common, **settings})


def assert_same_search(there, here):
    """Compare all that a search found, but for times."""
    assert there.cv_results_["params"] == here.cv_results_["params"]
    names = [
        n for n in here.cv_results_ if "_test_" in n or n in ("pruned", "n_epochs")
    ]
    for name in names:
        assert np.array_equal(there.cv_results_[name], here.cv_results_[name]), name
    pd.testing.assert_frame_equal(there.curves_, here.curves_)


def test_chunks_of_a_search(client, table):
    """Our search has the results that it has here, in chunks of whole candidates."""
    here = pruning_search().fit(*table)
    with parallel_config("dask"):
        there = pruning_search().fit(*table)
    assert_same_search(there, here)
    X, _ = table
    assert np.array_equal(there.predict_proba(X), here.predict_proba(X))


def test_candidates_of_a_chunk_are_pruned(client, table):
    """Of the two candidates of a chunk one leaves; those that stay are as here."""
    here = pruning_search(refit=False).fit(*table).cv_results_
    with parallel_config("dask"):
        search = pruning_search(pruning="halving", refit=False).fit(*table)
    there = search.cv_results_
    assert there["pruned"].reshape(4, 2).sum(axis=1).tolist() == [1, 1, 1, 1]
    for split in range(3):
        name = f"split{split}_test_score"
        assert np.array_equal(
            there[name][~there["pruned"]], here[name][~there["pruned"]]
        )


def test_failing_fit_of_a_chunk(client, table):
    """An error in a worker ends the search with its own message."""
    search = pruning_search(n_iter=2, error_score="raise")
    search.param_distributions = {"mlp__n_units": [2, -1]}
    with parallel_config("dask"), pytest.raises(ValueError, match="n_units"):
        search.fit(*table)


def test_worker_that_dies(client, table):
    """The chunk of a worker that is killed goes to another; nothing else is lost."""
    search = pruning_search(n_iter=3, refit=False)
    search.param_distributions = {
        "mlp__max_epochs": [100],
        "mlp__learning_rate": [1e-4, 2e-4, 3e-4],
    }
    here = clone(search).fit(*table)
    pids = client.run(os.getpid)
    killed = []

    def kill_who_works():
        while not (busy := [a for a, tasks in client.processing().items() if tasks]):
            time.sleep(0.01)
        os.kill(pids[busy[0]], signal.SIGKILL)
        killed.append(pids[busy[0]])

    killer = threading.Thread(target=kill_who_works)
    killer.start()
    with parallel_config("dask"):
        there = search.fit(*table)
    killer.join()
    assert killed
    assert killed[0] not in client.run(os.getpid).values()
    assert_same_search(there, here)
