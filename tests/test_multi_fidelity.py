"""Searches that give most candidates a few epochs only."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from estimators import plain_classifier, plain_regressor
from joblib import parallel_config
from scipy.stats import loguniform
from searches import optuna_search_cv
from sklearn.base import clone
from sklearn.experimental import enable_halving_search_cv
from sklearn.model_selection import HalvingRandomSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

assert enable_halving_search_cv

N_EPOCHS = 9


@pytest.fixture(scope="module", params=["", "mlp__"], ids=["estimator", "pipeline"])
def halving(request, shared_table):
    """Return a fitted search over the learning rate whose resource is epochs."""
    prefix, model = request.param, plain_classifier(n_units=4, random_state=0)
    if prefix:
        model = Pipeline([("scaler", StandardScaler()), ("mlp", model)])
    return HalvingRandomSearchCV(
        model,
        {f"{prefix}learning_rate": loguniform(1e-4, 1e-1)},
        resource=f"{prefix}max_epochs",
        min_resources=1,
        max_resources=N_EPOCHS,
        n_candidates=9,
        cv=3,
        random_state=0,
        scoring="neg_log_loss",
        error_score="raise",
    ).fit(*shared_table)


def test_epochs_grow_and_candidates_fall(halving):
    """Each round has a third of the candidates and three times the epochs."""
    results = halving.cv_results_
    assert halving.n_resources_ == [1, 3, 9]
    assert halving.n_candidates_ == [9, 3, 1]
    epochs = np.array([params[halving.resource] for params in results["params"]])
    assert np.array_equal(epochs, results["n_resources"])
    name = halving.resource.replace("max_epochs", "learning_rate")
    rates = np.array([params[name] for params in results["params"]])
    for number in (0, 1):
        is_here, is_next = results["iter"] == number, results["iter"] == number + 1
        order = results["mean_test_score"][is_here].argsort()
        best = rates[is_here][order][-is_next.sum() :]
        assert set(best) == set(rates[is_next])


def test_best_is_refitted_with_most_epochs(table, halving):
    """The last candidate is fitted to all rows for the largest number of epochs."""
    X, y = table
    assert halving.best_params_[halving.resource] == N_EPOCHS
    expected = clone(halving.estimator).set_params(**halving.best_params_).fit(X, y)
    assert np.array_equal(halving.predict_proba(X), expected.predict_proba(X))
    network = halving.best_estimator_
    network = network["mlp"] if isinstance(network, Pipeline) else network
    assert network.n_iter_ == N_EPOCHS
    score = cross_val_score(expected, X, y, cv=3, scoring="neg_log_loss").mean()
    assert halving.best_score_ == score


def test_gathered_halving_is_the_same(table, halving, rounds):
    """Candidates of a round train together, and all is as it is alone."""
    with parallel_config(backend="sknnopt"):
        together = clone(halving).fit(*table)
    assert together.best_params_ == halving.best_params_
    assert together.n_resources_ == halving.n_resources_
    for name, values in halving.cv_results_.items():
        if "time" not in name and name != "params":
            assert np.array_equal(values, together.cv_results_[name]), name
    # Nine candidates, three, one, on three folds each; the last fit is alone.
    assert rounds == [27, 9, 3]


# ---------------------------------------------------------------- OptunaSearchCV


@pytest.fixture(
    scope="module",
    params=[plain_classifier, plain_regressor],
    ids=["classifier", "regressor"],
)
def pruned(request, shared_table):
    """Return a fitted search of Optuna that compares with the median of trials."""
    optuna = pytest.importorskip("optuna")
    OptunaSearchCV = optuna_search_cv()
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=0),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=1, n_warmup_steps=0),
    )
    space = {
        "learning_rate": FloatDistribution(1e-4, 1e-1, log=True),
        "activation": CategoricalDistribution(["relu", "tanh"]),
    }
    network = request.param(n_units=4, max_epochs=N_EPOCHS, random_state=0)
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        # Optuna calls the class experimental, and deprecates a module that it uses.
        warnings.simplefilter("ignore")
        search = OptunaSearchCV(
            network,
            space,
            cv=3,
            enable_pruning=True,
            max_iter=N_EPOCHS,
            n_trials=8,
            study=study,
            error_score="raise",
        ).fit(*shared_table)
    optuna.logging.set_verbosity(level)
    return search


def test_optuna_prunes(pruned):
    """Some trials end before their last epoch, and the others have them all."""
    epochs = {
        state: {
            len(t.intermediate_values) for t in pruned.trials_ if t.state.name == state
        }
        for state in ("PRUNED", "COMPLETE")
    }
    assert epochs["PRUNED"]
    assert max(epochs["PRUNED"]) < N_EPOCHS
    assert epochs["COMPLETE"] == {N_EPOCHS}


def test_optuna_scores_are_those_of_whole_fits(pruned, table):
    """Epoch by epoch, a trial that was not pruned comes to the score of one fit."""
    X, y = table
    for trial in pruned.trials_:
        if trial.state.name == "COMPLETE":
            model = clone(pruned.estimator).set_params(**trial.params)
            score = cross_val_score(model, X, y, cv=3).mean()
            assert trial.value == pytest.approx(score, rel=1e-12)


def test_optuna_best_estimator_predicts(pruned, table):
    """The best estimator is a fit with the best parameters, for all the epochs."""
    X, y = table
    expected = clone(pruned.estimator).set_params(**pruned.best_params_).fit(X, y)
    assert pruned.best_estimator_.n_iter_ == N_EPOCHS
    assert np.array_equal(pruned.predict(X), expected.predict(X))


def test_folds_of_an_optuna_trial_gather(table, rounds):
    """Without pruning, the folds of each trial train together."""
    OptunaSearchCV = optuna_search_cv()
    from optuna.distributions import FloatDistribution

    with warnings.catch_warnings(), parallel_config(backend="sknnopt"):
        warnings.simplefilter("ignore")
        OptunaSearchCV(
            plain_classifier(n_units=4, max_epochs=2, random_state=0),
            {"learning_rate": FloatDistribution(1e-3, 1e-1, log=True)},
            cv=3,
            n_trials=2,
            refit=False,
        ).fit(*table)
    assert rounds == [3, 3]


def test_optuna_cannot_prune_a_pipeline(table):
    """A pipeline has no ``partial_fit``, so Optuna refuses to prune it."""
    OptunaSearchCV = optuna_search_cv()
    model = Pipeline([("scaler", StandardScaler()), ("mlp", plain_classifier())])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search = OptunaSearchCV(model, {}, enable_pruning=True)
    with pytest.raises(ValueError, match="partial_fit"):
        search.fit(*table)
