"""Finished searches for the tests of what they tell."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import sklearn
from estimators import plain_classifier
from scipy.stats import loguniform
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.fixes import parse_version

from sknnopt.search import MLPSearchCV


def optuna_search_cv():
    """Return ``OptunaSearchCV``; skip the test where it cannot be had, or not run."""
    integration = pytest.importorskip("optuna_integration")
    if parse_version(sklearn.__version__) < parse_version("1.7"):
        pytest.skip("in scikit-learn 1.6 its tags ask for each other without end")
    return integration.OptunaSearchCV


def finished(params, scores, *, estimator=None, folds=None, **extra):
    """Return what a search with these candidates and scores leaves behind."""
    scores = np.asarray(scores, dtype=float)
    folds = np.stack([scores, scores]) if folds is None else np.asarray(folds)
    results = {f"split{i}_test_score": fold for i, fold in enumerate(folds)}
    results |= {
        "params": params,
        "mean_test_score": scores,
        "std_test_score": np.zeros(len(scores)),
        "rank_test_score": np.argsort(np.argsort(-scores)) + 1,
        "mean_fit_time": np.arange(1.0, len(scores) + 1),
        **{name: np.asarray(column) for name, column in extra.items()},
    }
    pruned = results.get("pruned", np.zeros(len(scores), dtype=bool))
    judged = np.where(pruned | ~np.isfinite(scores), -np.inf, scores)
    return SimpleNamespace(
        estimator=Ridge() if estimator is None else estimator,
        cv_results_=results,
        best_index_=int(np.argmax(judged)),
        refit=True,
    )


def learned(n_candidates=80, seed=0):
    """Return a search whose score is known: a rate and a method decide, not luck."""
    rng = np.random.default_rng(seed)
    params, scores = [], []
    for _ in range(n_candidates):
        rate = float(10 ** rng.uniform(-4, -1))
        method = str(rng.choice(["good", "bad"]))
        params.append({"rate": rate, "method": method, "luck": float(rng.uniform())})
        if method == "good":
            params[-1]["detail"] = int(rng.integers(1, 100))
        scores.append(-((np.log10(rate) + 2.5) ** 2) + 1.5 * (method == "good"))
    return finished(params, np.array(scores) + 0.02 * rng.normal(size=n_candidates))


def with_curves(n_candidates=4, n_epochs=3, *, pruned=()):
    """Return a search with a curve for each of 2 folds x 2 members, and the curves."""
    rng = np.random.default_rng(0)
    lines = [
        {"candidate": c, "split": s, "member": m, "epoch": e}
        for c in range(n_candidates)
        for s in range(2)
        for m in range(2)
        for e in range(1, 1 + (1 if c in pruned else n_epochs))
    ]
    curves = pd.DataFrame(lines)
    curves["train_loss"] = rng.uniform(size=len(curves))
    curves["valid_loss"] = rng.uniform(size=len(curves))
    marks = [c in pruned for c in range(n_candidates)]
    params = [{"alpha": float(c)} for c in range(n_candidates)]
    search = finished(params, np.arange(n_candidates), pruned=marks)
    search.curves_ = curves
    return search, curves


def pruning_search(table, **options):
    """Return a fitted search that prunes, over networks in a pipeline."""
    network = plain_classifier(max_epochs=36, early_stopping=True, random_state=0)
    model = Pipeline([("scale", StandardScaler()), ("mlp", network)])
    space = {
        "mlp__n_layers": [1, 2],
        "mlp__n_units__1": [2, 3, 4],
        "mlp__learning_rate": loguniform(1e-4, 1e-1),
    }
    search = MLPSearchCV(
        model, space, n_iter=9, cv=2, pruning="halving", random_state=0, **options
    )
    return search.fit(*table)
