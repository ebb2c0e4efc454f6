from __future__ import annotations

import pickle
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from estimators import plain_classifier, plain_regressor
from gathering import FakeNet, Rounds
from joblib import parallel_config
from searches import finished, optuna_search_cv, pruning_search
from sklearn.base import clone
from sklearn.ensemble import VotingClassifier, VotingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.model_selection import (
    GridSearchCV,
    HalvingRandomSearchCV,
    RandomizedSearchCV,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from skopt import BayesSearchCV

from sknnopt import OptimizedMLPClassifier, _batching
from sknnopt._candidates import plain, score_name
from sknnopt.search import (
    best_hyperparameters,
    best_models,
    ensemble_of_best,
    trials_frame,
)

Table = tuple[np.ndarray, np.ndarray]
#: Optuna's search announces that it is experimental, and uses what Optuna deprecates.
quiet = pytest.mark.filterwarnings(
    "ignore:OptunaSearchCV is experimental", "ignore:`optuna.terminator` module"
)
SPACE = {"C": [0.01, 0.1, 1.0, 10.0], "fit_intercept": [True, False]}
TELLERS = [
    trials_frame,
    best_hyperparameters,
    lambda search: best_models(search, 1),
    lambda search: ensemble_of_best(search, 1, None, None),
]


def optuna_search(table: Table, **options: Any) -> Any:
    """Return a fitted search of Optuna's over a linear model."""
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = {
        "alpha": optuna.distributions.FloatDistribution(1e-5, 1, log=True),
        "n_iter_no_change": optuna.distributions.IntDistribution(3, 9),
        "average": optuna.distributions.CategoricalDistribution([True, False]),
    }
    search = optuna_search_cv()(
        SGDClassifier(random_state=0),
        space,
        n_trials=12,
        cv=3,
        random_state=0,
        **options,
    )
    return search.fit(*table)


def make_search(kind: str, table: Table) -> Any:
    """Return a fitted search of each library over a linear model."""
    model = LogisticRegression()
    options: dict[str, Any] = {"cv": 3, "return_train_score": True}
    if kind == "grid":
        return GridSearchCV(model, SPACE, **options).fit(*table)
    if kind == "random":
        search = RandomizedSearchCV(model, SPACE, n_iter=5, random_state=0, **options)
        return search.fit(*table)
    if kind == "bayes":
        space = {"C": (1e-3, 1e2, "log-uniform"), "fit_intercept": [True, False]}
        search = BayesSearchCV(model, space, n_iter=4, random_state=0, **options)
        return search.fit(*table)
    return optuna_search(table, return_train_score=True)


@quiet
@pytest.mark.parametrize("kind", ["grid", "random", "bayes", "optuna"])
def test_rows_are_the_candidates(kind: str, table: Table) -> None:
    """Numbers, scores of folds, ranks and parameters are those of the search."""
    search = make_search(kind, table)
    frame = trials_frame(search)
    if kind == "optuna":
        params = [trial.params for trial in search.trials_]
        results = pd.DataFrame([trial.user_attrs for trial in search.trials_])
    else:
        params = search.cv_results_["params"]
        results = pd.DataFrame(search.cv_results_)
    assert frame["candidate"].tolist() == list(range(len(params)))
    for name in frame.attrs["parameters"]:
        assert frame[name].tolist() == [candidate[name] for candidate in params]
    for part in ("test", "train"):
        columns = [f"split{i}_{part}_score" for i in range(3)]
        columns += [f"mean_{part}_score", f"std_{part}_score"]
        np.testing.assert_array_equal(frame[columns], results[columns])
    expected = (-results["mean_test_score"]).rank(method="min").astype(int)
    assert frame["rank"].tolist() == expected.tolist()
    np.testing.assert_array_equal(frame["fit_time"], results["mean_fit_time"])
    np.testing.assert_array_equal(frame["score_time"], results["mean_score_time"])
    assert not frame["pruned"].any()
    assert frame.attrs["metric"] == "score"
    assert best_hyperparameters(search) == [dict(search.best_params_)]


def test_columns_have_the_type_of_their_values() -> None:
    """Numbers, booleans and strings keep their types, mixtures their values."""
    params = [
        {"i": 2, "f": 0.5, "b": True, "s": "x", "mixed": None, "sizes": (3, 4)},
        {"i": np.int64(3), "f": 1.0, "b": np.False_, "s": np.str_("y"), "mixed": 1.5},
        {},
    ]
    frame = trials_frame(finished(params, [3, 2, 1]))
    types = {name: str(frame[name].dtype) for name in frame.attrs["parameters"]}
    assert types == {
        "i": "Int64",
        "f": "float64",
        "b": "boolean",
        "s": "string",
        "mixed": "object",
        "sizes": "object",
    }
    assert frame["mixed"].tolist() == [None, 1.5, pd.NA]
    assert frame["sizes"][0] == (3, 4)
    assert frame.loc[2, frame.attrs["parameters"]].isna().all()


def test_integers_and_floats_are_not_mixed() -> None:
    """1 and 1.0, which mean different things to scikit-learn, stay what they are."""
    frame = trials_frame(finished([{"p": 1}, {"p": 1.0}, {"p": 2**70}], [3, 2, 1]))
    assert [type(value) for value in frame["p"]] == [int, float, int]
    assert trials_frame(finished([{"p": 2**70}], [1]))["p"].tolist() == [2**70]


def test_parameter_named_like_a_column_is_renamed() -> None:
    """A searched n_epochs does not cover the column of that name."""
    search = finished([{"n_epochs": 7}], [1.0], n_epochs=[3.5])
    frame = trials_frame(search)
    assert frame.attrs["parameters"] == ["param_n_epochs"]
    assert frame["param_n_epochs"].tolist() == [7]
    assert frame["n_epochs"].tolist() == [3.5]


LAYERS = [
    ({"n_layers": 1, "n_units__0": 4, "n_units__1": 5}, 1),
    ({"n_layers": 2, "n_units__0": 4, "n_units__1": 5, "dropout__7": 0.1}, 2),
    ({"hidden_layer_sizes": "8-8-8", "activation__2": "relu", "l2__3": 0.1}, 3),
    ({"hidden_layer_sizes": (8,), "activation__0": "relu", "l1__1": 0.1}, 1),
    ({"dropout__0": 0.1, "dropout__1": 0.2, "dropout__2": 0.3}, 2),
]


@pytest.mark.parametrize("prefix", ["", "mlp__"])
@pytest.mark.parametrize(("params", "depth"), LAYERS)
def test_layers_that_are_not_there_are_missing(
    params: dict[str, Any], depth: int, prefix: str
) -> None:
    """Depth comes from the candidate, or else from the search's estimator."""
    model: Any = OptimizedMLPClassifier()
    if prefix:
        model = Pipeline([("scale", StandardScaler()), ("mlp", model)])
    named = {prefix + name: value for name, value in params.items()}
    search = finished([named], [1.0], estimator=model)
    there = {
        name: value
        for name, value in named.items()
        if not name[-1].isdigit() or int(name[-1]) < depth
    }
    assert best_hyperparameters(search) == [there]
    assert trials_frame(search).attrs["parameters"] == list(there)


def test_layers_of_a_replaced_step_count() -> None:
    """A candidate that brings its own network is masked by that network's depth."""
    model = Pipeline([("mlp", OptimizedMLPClassifier())])
    deep = OptimizedMLPClassifier(n_layers=5)
    params = [{"mlp__dropout__4": 0.1}, {"mlp": deep, "mlp__dropout__4": 0.1}]
    frame = trials_frame(finished(params, [1.0, 2.0], estimator=model))
    assert frame["mlp__dropout__4"].isna().tolist() == [True, False]


def test_foreign_and_impossible_candidates_are_not_masked() -> None:
    """What is no network, or was refused by it, keeps all its parameters."""
    params = [{"other__dropout__9": 0.1}]
    assert trials_frame(finished(params, [1.0])).attrs["parameters"] == [*params[0]]
    params = [{"hidden_layer_sizes": (4,), "n_units__9": 8}]
    search = finished(params, [1.0], estimator=OptimizedMLPClassifier())
    assert best_hyperparameters(search) == params


def test_score_is_named_by_metric_or_scoring() -> None:
    """A metric's name comes first, then that of the scoring, else it is a score."""
    search = SimpleNamespace(scoring="neg_log_loss")
    assert score_name(search, "roc_auc") == "roc_auc"
    assert score_name(search, None) == score_name(search, "score") == "neg_log_loss"
    assert score_name(SimpleNamespace(scoring=len), None) == "Score"


def test_values_are_pythons_own() -> None:
    """Numbers and arrays of numpy are plain at any depth, other objects themselves."""
    odd = object()
    given = {"a": [np.int64(1), (np.float32(0.5), odd)], "b": np.arange(2)}
    assert plain(given) == {"a": [1, (0.5, odd)], "b": [0, 1]}
    assert type(plain(given)["a"][0]) is int


def test_two_that_differ_in_a_missing_layer_are_the_same() -> None:
    """Candidates that build the same network are not told twice."""
    params = [{"n_layers": 1, "n_units__1": units} for units in (4, 5)]
    search = finished(params, [1.0, 2.0], estimator=OptimizedMLPClassifier())
    assert best_hyperparameters(search) == [{"n_layers": 1}]
    with pytest.raises(ValueError, match=r"'k' .* at most 1.*Got 2"):
        best_hyperparameters(search, 2)


def test_every_metric_is_there(table: Table) -> None:
    """With several metrics each has its columns, and the refitted one the ranks."""
    search = GridSearchCV(
        LogisticRegression(),
        SPACE,
        cv=3,
        scoring=["accuracy", "neg_log_loss"],
        refit="neg_log_loss",
    ).fit(*table)
    frame = trials_frame(search)
    assert frame.attrs["metric"] == "neg_log_loss"
    assert frame.attrs["metrics"] == ["accuracy", "neg_log_loss"]
    for metric in frame.attrs["metrics"]:
        for name in (f"split2_test_{metric}", f"rank_test_{metric}"):
            np.testing.assert_array_equal(frame[name], search.cv_results_[name])
    assert (
        frame["rank"].tolist() == search.cv_results_["rank_test_neg_log_loss"].tolist()
    )
    other = trials_frame(search, metric="accuracy")["rank"]
    assert other.tolist() == search.cv_results_["rank_test_accuracy"].tolist()
    best = best_hyperparameters(search, metric="accuracy")[0]
    where = search.cv_results_["params"].index(best)
    assert search.cv_results_["rank_test_accuracy"][where] == 1


def test_metric_that_nobody_chose_is_asked_for(table: Table) -> None:
    """Without refit there are no ranks; what needs one says what to give."""
    search = GridSearchCV(
        LogisticRegression(), SPACE, cv=3, scoring=["accuracy", "f1"], refit=False
    ).fit(*table)
    assert trials_frame(search)["rank"].isna().all()
    with pytest.raises(ValueError, match=r"metric=None.*'metric'.*\['accuracy', "):
        best_hyperparameters(search)
    assert best_hyperparameters(search, 3, metric="f1")


def test_unknown_metric_is_refused() -> None:
    """The error lists the metrics."""
    search = finished([{"alpha": 1.0}], [1.0])
    with pytest.raises(ValueError, match=r"'metric' .* \['score'\].*Got 'auc'"):
        trials_frame(search, metric="auc")


def test_choice_of_a_callable_refit_comes_first(table: Table) -> None:
    """The search's own choice is the best, whatever the scores say."""
    search = GridSearchCV(
        LogisticRegression(), SPACE, cv=3, refit=lambda results: 5
    ).fit(*table)
    best = best_hyperparameters(search, 3)
    assert best[0] == search.cv_results_["params"][5]
    assert len(best) == 3


def test_pruned_and_failed_come_last() -> None:
    """Pruned candidates rank after all finished ones, and none without a score wins."""
    search = finished(
        [{"alpha": float(i)} for i in range(5)],
        [0.2, 0.9, np.nan, 0.5, -np.inf],
        pruned=[False, True, False, False, False],
        diverged=[0, 1, 2, 0, 3],
        n_epochs=[5.0, 1.0, 2.0, 5.0, 4.0],
    )
    frame = trials_frame(search)
    assert frame["rank"].tolist() == [2, 5, 3, 1, 3]
    assert frame["diverged"].tolist() == [0, 1, 2, 0, 3]
    assert frame["n_epochs"].tolist() == [5.0, 1.0, 2.0, 5.0, 4.0]
    assert best_hyperparameters(search, 2) == [{"alpha": 3.0}, {"alpha": 0.0}]
    with pytest.raises(ValueError, match=r"'k' .* at most 2.*Got 3.*prune less"):
        best_hyperparameters(search, 3)


def test_own_search_tells_what_it_knows(table: Table) -> None:
    """Marks and ranks are those of MLPSearchCV, layers it lacks are missing."""
    search = pruning_search(table)
    frame, results = trials_frame(search), search.cv_results_
    for name in ("pruned", "diverged", "n_epochs"):
        np.testing.assert_array_equal(frame[name], results[name])
    assert frame["rank"].tolist() == results["rank_test_score"].tolist()
    shallow = frame["mlp__n_layers"] == 1
    assert frame["mlp__n_units__1"].isna().tolist() == shallow.tolist()
    k = int((~frame["pruned"]).sum())
    assert 0 < k < 9
    models = best_models(search, k, *table)
    assert models[0] is search.best_estimator_
    with pytest.raises(ValueError, match=f"at most {k}"):
        best_hyperparameters(search, k + 1)


@pytest.mark.parametrize("resource", ["n_samples", "max_iter"])
def test_successive_halving_is_told_apart(resource: str, table: Table) -> None:
    """Who was eliminated is pruned, and the last iteration stands before the others."""
    options = {"max_resources": 90} if resource == "max_iter" else {}
    search = HalvingRandomSearchCV(
        LogisticRegression(solver="liblinear"),
        {"C": np.geomspace(1e-3, 1e3, 50), "fit_intercept": [True, False]},
        n_candidates=9, factor=3, min_resources=10, cv=2, resource=resource,
        random_state=0, **options,
    ).fit(*table)  # fmt: skip
    frame = trials_frame(search)
    assert set(frame.attrs["parameters"]) == {"C", "fit_intercept"}
    assert frame["iter"].tolist() == search.cv_results_["iter"].tolist()
    last = frame["iter"] == frame["iter"].max()
    assert frame["rank"][last].max() <= frame["rank"][~last].min()
    for i, kept in enumerate(search.n_candidates_[1:]):
        rows = frame[frame["iter"] == i]
        assert (~rows["pruned"]).sum() == kept
        later = set(frame[frame["iter"] == i + 1]["C"])
        assert set(rows[~rows["pruned"]]["C"]) == later
    k = search.n_candidates_[-1]
    best = best_hyperparameters(search, k)
    assert best[0] == search.best_params_
    with pytest.raises(ValueError, match=f"at most {k}"):
        best_hyperparameters(search, k + 1)


@quiet
def test_optuna_prunes_and_counts_epochs(table: Table) -> None:
    """Trials that Optuna pruned are marked, with the epochs that they ran."""
    search = optuna_search(table, enable_pruning=True, max_iter=8)
    frame = trials_frame(search)
    states = [trial.state.name for trial in search.trials_]
    assert frame["pruned"].tolist() == [state == "PRUNED" for state in states]
    assert frame["pruned"].any()
    epochs = [len(trial.intermediate_values) for trial in search.trials_]
    assert frame["n_epochs"].tolist() == epochs
    assert frame["rank"][~frame["pruned"]].max() < frame["rank"][frame["pruned"]].min()
    assert best_hyperparameters(search) == [search.best_params_]


@quiet
def test_optuna_trials_that_failed_are_there(table: Table) -> None:
    """A failed trial has parameters and no score; one that runs is left out."""
    search = optuna_search(table)
    study, n_trials = search.study_, len(search.trials_)
    study.tell(study.ask(search.param_distributions), state=None, values=0.01)
    failed = study.ask(search.param_distributions)
    study.tell(failed, state=type(search.trials_[0].state).FAIL)
    study.ask(search.param_distributions)
    frame = trials_frame(search)
    assert frame["candidate"].tolist() == list(range(n_trials + 2))
    assert frame["mean_test_score"].iloc[-2] == 0.01
    assert np.isnan(frame["mean_test_score"].iloc[-1])
    assert frame["alpha"].iloc[-1] == failed.params["alpha"]


@pytest.mark.parametrize("tell", TELLERS)
def test_unfitted_search_is_refused(tell: Any) -> None:
    """The error names the search and what to do."""
    with pytest.raises(NotFittedError, match=r"'search'.*GridSearchCV.*fit\(X, y\)"):
        tell(GridSearchCV(Ridge(), {}))


@pytest.mark.parametrize("tell", TELLERS)
def test_what_is_no_search_is_refused(tell: Any) -> None:
    """The error says what is accepted."""
    with pytest.raises(ValueError, match=r"'search'.*OptunaSearchCV.*Got a Ridge"):
        tell(Ridge())


@pytest.mark.parametrize("k", [0, -1, 1.0, True, None])
def test_wrong_count_is_refused(k: Any) -> None:
    """A count must be an integer from 1 on."""
    search = finished([{"alpha": 1.0}], [1.0])
    with pytest.raises(ValueError, match=rf"'k' .* \[1, 1\]. Got {k!r}"):
        best_hyperparameters(search, k)


def network_search(table: Table, kind: Any = plain_classifier, **options: Any) -> Any:
    """Return a fitted search over small networks."""
    model = kind(max_epochs=4, random_state=0)
    grid = {"n_units": [2, 3, 4, 5], "learning_rate": [1e-2]}
    return GridSearchCV(model, grid, cv=2, **options).fit(*table)


def test_models_are_those_of_single_fits(table: Table) -> None:
    """The first is the refitted one itself, the others equal fits one by one."""
    search = network_search(table)
    models = best_models(search, 3, *table)
    assert models[0] is search.best_estimator_
    for model, params in zip(models, best_hyperparameters(search, 3), strict=True):
        alone = clone(search.estimator).set_params(**params).fit(*table)
        assert model.n_units == params["n_units"]
        np.testing.assert_array_equal(
            model.predict_proba(table[0]), alone.predict_proba(table[0])
        )


def test_models_train_as_one_batch(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All fits meet in one round, whatever the caller's backend is."""
    params = [{"bias": float(i)} for i in range(5)]
    search = finished(params, range(5), estimator=FakeNet())
    rounds = Rounds()
    monkeypatch.setattr(_batching, "train_together", rounds)
    with parallel_config(backend="threading", n_jobs=1):
        best_models(search, 4, *table)
        ensemble_of_best(search, 3, *table)
    assert rounds.sizes == [4, 3]


def test_table_is_needed_where_something_is_to_be_fitted(table: Table) -> None:
    """The refitted model needs no table; anything else says that it does."""
    search = network_search(table)
    assert best_models(search, 1) == [search.best_estimator_]
    with pytest.raises(ValueError, match=r"'X' .* 1 of the 2 models.*Got X=None"):
        best_models(search, 2)
    plain = network_search(table, refit=False)
    with pytest.raises(ValueError, match="1 of the 1 models"):
        best_models(plain, 1)


def test_weights_of_rows_reach_the_fits(table: Table) -> None:
    """What fit takes beside X and y is handed on."""
    search = network_search(table, refit=False)
    weight = np.arange(60) % 3
    (model,) = best_models(search, 1, *table, sample_weight=weight)
    expected = clone(model).fit(*table, sample_weight=weight)
    np.testing.assert_array_equal(
        model.predict_proba(table[0]), expected.predict_proba(table[0])
    )


@pytest.mark.parametrize("weights", [None, [3.0, 1.0]])
@pytest.mark.parametrize(
    ("kind", "voting"),
    [(plain_classifier, VotingClassifier), (plain_regressor, VotingRegressor)],
)
def test_ensemble_is_the_mean_of_the_models(
    table: Table, kind: Any, voting: type, weights: Any
) -> None:
    """It predicts the weighted mean of what the best models predict."""
    search = network_search(table, kind)
    ensemble = ensemble_of_best(search, 2, *table, weights=weights)
    assert type(ensemble) is voting
    models = best_models(search, 2, *table)
    method = "predict_proba" if voting is VotingClassifier else "predict"
    answers = [getattr(model, method)(table[0]) for model in models]
    np.testing.assert_allclose(
        getattr(ensemble, method)(table[0]),
        np.average(answers, axis=0, weights=weights),
        rtol=1e-12,
    )
    best = trials_frame(search).sort_values("rank")["candidate"][:2]
    assert [name for name, _ in ensemble.estimators] == [
        f"candidate_{number}" for number in best
    ]


def test_ensemble_is_an_ordinary_estimator(table: Table) -> None:
    """It can be cloned, fitted again and pickled, with the same answers."""
    ensemble = ensemble_of_best(network_search(table), 2, *table)
    expected = ensemble.predict_proba(table[0])
    for other in (
        clone(ensemble).fit(*table),
        pickle.loads(pickle.dumps(ensemble)),
    ):
        np.testing.assert_array_equal(other.predict_proba(table[0]), expected)


def test_ensemble_of_transformers_is_refused(table: Table) -> None:
    """What neither classifies nor regresses has nothing to vote on."""
    search = finished([{"with_mean": True}], [1.0], estimator=StandardScaler())
    with pytest.raises(ValueError, match=r"'search' .* StandardScaler .* best_models"):
        ensemble_of_best(search, 1, *table)
