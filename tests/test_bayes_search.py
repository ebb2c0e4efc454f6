"""What BayesSearchCV of scikit-optimize does with the estimators."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import skopt
from estimators import SKLEARN, plain_classifier, plain_regressor
from joblib import parallel_config
from scipy.stats import loguniform
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from skopt import BayesSearchCV, Optimizer
from skopt.callbacks import (
    CheckpointSaver,
    DeadlineStopper,
    DeltaYStopper,
    TimerCallback,
)
from skopt.learning import RandomForestRegressor
from skopt.space import Categorical, Integer, Real

FAST = {"n_units": 4, "max_epochs": 2, "random_state": 0}
#: No model of the scores is fitted: the first candidates are drawn at random.
RANDOM = {"n_initial_points": 100}
#: One that is fitted in no time, from the third candidate on.
SMALL_FOREST = {
    "base_estimator": RandomForestRegressor(n_estimators=3, random_state=0),
    "n_initial_points": 2,
    "acq_optimizer_kwargs": {"n_points": 50},
}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
#: Promises of the page on searches that another release may break.
of_this_release = pytest.mark.skipif(
    skopt.__version__ != "0.10.2", reason="describes scikit-optimize 0.10.2"
)


def rates(prefix=""):
    """Return a space of one number, new each time."""
    return {f"{prefix}learning_rate": Real(1e-4, 1e-1, prior="log-uniform")}


def two(prefix=""):
    """Return a space of two numbers, new each time."""
    return {**rates(prefix), f"{prefix}n_units": Integer(2, 9)}


def make_search(space, estimator=None, **options):
    """Return a search of four random candidates on two folds, unless told else."""
    options = {
        "n_iter": 4,
        "cv": 2,
        "random_state": 0,
        "optimizer_kwargs": RANDOM,
        **options,
    }
    if estimator is None:
        estimator = plain_classifier(**FAST)
    return BayesSearchCV(estimator, space, **options)


def scaled(estimator=plain_classifier, **settings):
    """Return a pipeline with the network as its step ``mlp``."""
    network = estimator(**{**FAST, **settings})
    return Pipeline([("scaler", StandardScaler()), ("mlp", network)])


def candidates(search):
    """Return the parameters of all candidates as plain dicts."""
    return [dict(params) for params in search.cv_results_["params"]]


# ---------------------------------------------------------------- what can be searched

SPACES = {
    "optimizer": lambda: Categorical(["adam", "sgd", "rmsprop"]),
    "activation": lambda: Categorical(["relu", "tanh"]),
    "hidden_layer_sizes": lambda: Categorical(["8-4", "6", "5-4-3"]),
    "n_units__0": lambda: Integer(2, 9),
    "n_units__1": lambda: Integer(2, 9, prior="log-uniform", base=2),
    "activation__1": lambda: Categorical(["tanh", "sigmoid"]),
    "dropout__0": lambda: Real(0.0, 0.6),
    "learning_rate": lambda: Real(1e-4, 1e-1, prior="log-uniform"),
    "batch_size": lambda: Integer(8, 64, prior="log-uniform", base=2),
    "clip_norm": lambda: Categorical([None, 1.0]),
    "early_stopping": lambda: Categorical([True, False, "auto"]),
}
KINDS = {
    "activation": str,
    "activation__1": str,
    "batch_size": int,
    "clip_norm": (type(None), float),
    "dropout__0": float,
    "early_stopping": (bool, str),
    "hidden_layer_sizes": str,
    "learning_rate": float,
    "n_units__0": int,
    "n_units__1": int,
    "optimizer": str,
}


@pytest.mark.parametrize("name", SPACES)
def test_parameter_arrives(table, name):
    """Each candidate has the score of a cross-validation with its parameters set."""
    X, y = table
    settings = {"n_units": 100} if name == "hidden_layer_sizes" else {}
    model = scaled(**settings)
    space = {f"mlp__{name}": SPACES[name]()}
    search = make_search(space, model, n_iter=3, scoring="neg_log_loss").fit(X, y)
    found = candidates(search)
    for params, score in zip(found, search.cv_results_["mean_test_score"], strict=True):
        assert type(params[f"mlp__{name}"]) in np.atleast_1d(KINDS[name])
        again = clone(model).set_params(**params)
        assert cross_val_score(again, X, y, cv=2, scoring="neg_log_loss").mean() == (
            score
        )
    expected = clone(model).set_params(**search.best_params_).fit(X, y)
    assert np.array_equal(search.predict_proba(X), expected.predict_proba(X))


@pytest.mark.parametrize(
    ("estimator", "base_estimator"),
    [
        (plain_classifier, "GP"),
        (plain_regressor, "RF"),
        (plain_classifier, "ET"),
        pytest.param(plain_regressor, "GP", marks=pytest.mark.long),
        pytest.param(plain_classifier, "RF", marks=pytest.mark.long),
        pytest.param(plain_regressor, "ET", marks=pytest.mark.long),
    ],
)
def test_surrogates(table, estimator, base_estimator):
    """A Gaussian process and forests propose candidates from text and numbers."""
    X, y = table
    space = {**rates("mlp__"), "mlp__activation__0": Categorical(["relu", "tanh"])}
    kwargs = {
        "base_estimator": base_estimator,
        "n_initial_points": 2,
        "acq_optimizer_kwargs": {"n_points": 100},
    }
    search = make_search(space, scaled(estimator), n_iter=3, optimizer_kwargs=kwargs)
    search.fit(X, y)
    assert search.optimizer_results_[0].models
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_score_ == search.cv_results_["mean_test_score"].max()


def test_subspaces(table):
    """Each depth has candidates and a model of its own; the best is that of all."""
    X, y = table
    spaces = [
        ({"n_layers": Categorical([1]), "n_units__0": Integer(2, 9)}, 2),
        (
            {
                "n_layers": Categorical([2]),
                "n_units__0": Integer(2, 9),
                "n_units__1": Integer(2, 9),
            },
            3,
        ),
    ]
    search = make_search(spaces).fit(X, y)
    assert search.total_iterations == 5
    assert [params["n_layers"] for params in candidates(search)] == [1, 1, 2, 2, 2]
    assert [len(result.x_iters) for result in search.optimizer_results_] == [2, 3]
    column = search.cv_results_["param_n_units__1"]
    assert np.ma.getmaskarray(column).tolist() == [True, True, False, False, False]
    assert search.best_index_ == search.cv_results_["mean_test_score"].argmax()
    built = search.best_estimator_.hidden_layer_sizes_
    assert len(built) == search.best_params_["n_layers"]


# ---------------------------------------------------------------- how it is run


def test_points_train_together(table, rounds):
    """Several points train in one round each, and score as one after the other."""
    X, y = table
    search = make_search(two("mlp__"), scaled(), n_points=2, scoring="neg_log_loss")
    alone = clone(search).fit(X, y)
    with parallel_config(backend="sknnopt"):
        together = clone(search).set_params(n_jobs=-1, refit=False).fit(X, y)
    assert candidates(together) == candidates(alone)
    for name in ("split0_test_score", "split1_test_score", "rank_test_score"):
        assert np.array_equal(together.cv_results_[name], alone.cv_results_[name])
    assert rounds == [4, 4]


def test_default_number_of_jobs_overrides_the_backend(table, rounds):
    """Without n_jobs the backend is not used, and nothing gathers."""
    search = make_search(two(), n_points=2, refit=False)
    with parallel_config(backend="sknnopt"):
        search.fit(*table)
    assert rounds == []


@pytest.mark.parametrize("n_points", [1, 3])
def test_number_of_surrogate_fits(table, n_points):
    """A step of k candidates fits the model of the scores k + 2 times."""
    fits = []

    class Counting(RandomForestRegressor):
        def fit(self, X, y):
            fits.append(len(y))
            return super().fit(X, y)

    kwargs = {**SMALL_FOREST, "base_estimator": Counting(2), "n_initial_points": 3}
    first = make_search(two(), n_iter=3, n_points=3, optimizer_kwargs=kwargs)
    first.fit(*table)
    before = len(fits)
    fits.clear()
    options = {"n_points": n_points, "optimizer_kwargs": kwargs}
    make_search(two(), n_iter=3 + n_points, **options).fit(*table)
    # However many points a step has, the random ones end with two: a lie and the truth.
    assert before == 2
    assert len(fits) - before == n_points + 2


def test_multimetric(table):
    """Of several scores, the one that ``refit`` names directs the search."""
    search = make_search(
        two(),
        scoring=["accuracy", "neg_log_loss"],
        refit="neg_log_loss",
        return_train_score=True,
    ).fit(*table)
    scores = search.cv_results_["mean_test_neg_log_loss"]
    assert np.array_equal(-search.optimizer_results_[0].func_vals, scores)
    assert search.best_index_ == scores.argmax()
    assert search.best_score_ == scores.max()
    assert np.isfinite(search.cv_results_["mean_test_accuracy"]).all()
    assert np.isfinite(search.cv_results_["mean_train_accuracy"]).all()


def test_data_frame(table):
    """A DataFrame's names reach the estimator, and no warning comes of them."""
    X, y = table
    frame = pd.DataFrame(X, columns=list("abcd"))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        search = make_search(rates()).fit(frame, pd.Series(y))
        predicted = search.predict(frame)
    assert search.best_estimator_.feature_names_in_.tolist() == list("abcd")
    plain = make_search(rates()).fit(X, y)
    assert np.array_equal(predicted, plain.predict(X))


@pytest.mark.parametrize("prefix", ["", "mlp__"])
def test_sample_weight(table, prefix):
    """Weights that ``fit`` is given go to every fit of a fold and to the last."""
    X, y = table
    weight = np.linspace(0, 2, len(y))
    model = scaled() if prefix else plain_classifier(**FAST)
    params = {f"{prefix}sample_weight": weight}
    search = make_search(rates(prefix), model, scoring="neg_log_loss")
    search.fit(X, y, **params)
    grid = {name: [value] for name, value in search.best_params_.items()}
    expected = GridSearchCV(model, grid, cv=2, scoring="neg_log_loss")
    expected.fit(X, y, **params)
    assert search.best_score_ == expected.best_score_
    assert np.array_equal(search.predict_proba(X), expected.predict_proba(X))
    assert expected.fit(X, y).best_score_ != search.best_score_


# ---------------------------------------------------------------- callbacks


@pytest.mark.parametrize(
    ("callback", "n_candidates"),
    [
        (lambda: DeltaYStopper(delta=1e6, n_best=2), 2),
        (lambda: DeadlineStopper(total_time=0), 1),
        (lambda: lambda result: len(result.x_iters) == 3, 3),
        (lambda: [TimerCallback(), lambda result: True], 1),
        (TimerCallback, 4),
    ],
    ids=["delta", "deadline", "callable", "list", "none-stops"],
)
def test_callbacks_stop_the_search(table, callback, n_candidates):
    """A search ends after the candidate where a callback says so, with its best."""
    X, y = table
    search = make_search(rates()).fit(X, y, callback=callback())
    assert len(candidates(search)) == n_candidates
    assert search.best_score_ == search.cv_results_["mean_test_score"].max()
    assert search.predict(X).shape == y.shape


def test_callbacks_are_called_for_each_step(table):
    """A callback sees the results so far after each step of ``n_points``."""
    timer, seen = TimerCallback(), []
    search = make_search(rates(), n_points=2)
    search.fit(
        *table, callback=[timer, lambda result: seen.append(len(result.x_iters))]
    )
    assert seen == [2, 4]
    assert len(timer.iter_time) == 2


def test_callback_ends_a_subspace(table):
    """What a callback ends is the subspace at hand, and the next one begins."""
    spaces = [({"n_layers": Categorical([depth])}, 3) for depth in (1, 2)]
    search = make_search(spaces).fit(*table, callback=lambda result: True)
    assert [params["n_layers"] for params in candidates(search)] == [1, 2]


# ---------------------------------------------------------------- bad candidates


@pytest.mark.filterwarnings("ignore:The objective has been evaluated")
@pytest.mark.parametrize("rate", [1e3, 1e200])
@pytest.mark.parametrize("estimator", [plain_classifier, plain_regressor])
def test_disastrous_candidate_does_not_abort(table, estimator, rate):
    """Candidates that train to absurd numbers score, and the search goes on."""
    X, y = table
    space = {
        "mlp__learning_rate": Categorical([rate, 1e-2]),
        "mlp__optimizer": Categorical(["sgd", "adam"]),
    }
    search = make_search(space, scaled(estimator), optimizer_kwargs=SMALL_FOREST)
    search.fit(X, y)
    drawn = {params["mlp__learning_rate"] for params in candidates(search)}
    assert drawn == {rate, 1e-2}
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    worst = clone(search.estimator).set_params(
        mlp__learning_rate=rate, mlp__optimizer="sgd"
    )
    worst.fit(X, y)
    assert np.isfinite(getattr(worst, "predict_proba", worst.predict)(X)).all()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.FitFailedWarning")
def test_candidate_that_fails_among_others(table):
    """Beside candidates that train, one that fails has the score that was agreed."""
    space = {"dropout": Categorical([0.1, 7.0])}
    options = {"n_points": 4, "random_state": 1, "error_score": -1.0}
    search = make_search(space, **options).fit(*table)
    failed = [params["dropout"] == 7.0 for params in candidates(search)]
    assert set(failed) == {True, False}
    assert (search.cv_results_["mean_test_score"] == -1).tolist() == failed
    assert search.best_params_ == {"dropout": 0.1}


@of_this_release
@pytest.mark.parametrize("error_score", ["raise", 0.0])
def test_candidate_that_fails_alone(table, error_score):
    """Where no fit of a step succeeds the search ends, whatever the error score."""
    search = make_search({"dropout": Categorical([7.0])}, error_score=error_score)
    with pytest.raises(ValueError, match=r"Got 7\.0 for layer 0"):
        search.fit(*table)


@of_this_release
@pytest.mark.filterwarnings("ignore:One or more of the test scores are non-finite")
def test_score_that_is_no_number(table):
    """A score that is NaN ends the search as soon as scores are modeled."""
    search = make_search(
        two(), scoring=lambda *_: np.nan, optimizer_kwargs=SMALL_FOREST
    )
    with pytest.raises(ValueError, match="contains NaN"):
        search.fit(*table)


# ---------------------------------------------------------------- keeping and going on


def test_pickles(table):
    """A fitted search and its best estimator come back the same."""
    X, y = table
    search = make_search(two(), optimizer_kwargs=SMALL_FOREST).fit(X, y)
    loaded = pickle.loads(pickle.dumps(search))
    best = pickle.loads(pickle.dumps(search.best_estimator_))
    assert candidates(loaded) == candidates(search)
    assert loaded.best_params_ == search.best_params_
    for model in (loaded, best):
        assert np.array_equal(model.predict_proba(X), search.predict_proba(X))


def go_on(optimizer, estimator, names, table, n_iter):
    """Evaluate further candidates by hand; return their parameters."""
    X, y = table
    found = []
    for _ in range(n_iter):
        points = optimizer.ask(n_points=1)
        point = [np.array(value).item() for value in points[0]]
        params = dict(zip(names, point, strict=True))
        score = cross_val_score(estimator.set_params(**params), X, y, cv=2).mean()
        optimizer.tell([point], [-score])
        found.append(params)
    return found


@pytest.mark.parametrize("copy", [lambda x: x, lambda x: pickle.loads(pickle.dumps(x))])
def test_going_on(table, copy):
    """Its optimizer goes on as the search would have, also after a pickle."""
    search = make_search(two(), n_iter=4, optimizer_kwargs=SMALL_FOREST).fit(*table)
    longer = make_search(two(), n_iter=7, optimizer_kwargs=SMALL_FOREST).fit(*table)
    assert candidates(longer)[:4] == candidates(search)
    (optimizer,) = copy(search).optimizers_
    further = go_on(optimizer, plain_classifier(**FAST), sorted(two()), table, 3)
    assert further == candidates(longer)[4:]
    assert np.array_equal(
        optimizer.get_result().func_vals, longer.optimizer_results_[0].func_vals
    )


def test_going_on_from_a_checkpoint(table, tmp_path):
    """The points and scores of a file are what a new optimizer begins with."""
    path = tmp_path / "search.pkl"
    search = make_search(two()).fit(*table, callback=CheckpointSaver(path))
    saved = skopt.load(path)
    assert [
        dict(zip(sorted(two()), point, strict=True)) for point in saved.x_iters
    ] == (candidates(search))
    assert np.array_equal(-saved.func_vals, search.cv_results_["mean_test_score"])
    optimizer = Optimizer(saved.space, **SMALL_FOREST, random_state=1)
    optimizer.tell(saved.x_iters, list(saved.func_vals))
    assert optimizer.models
    go_on(optimizer, plain_classifier(**FAST), sorted(two()), table, 2)
    result = optimizer.get_result()
    assert len(result.func_vals) == 6
    assert result.fun <= saved.fun


# ---------------------------------------------------------------- its own traps


@of_this_release
@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: Integer(1, 1), ValueError),
        (lambda: Real(0.1, 0.1), ValueError),
        (lambda: Categorical([["relu", "tanh"], ["tanh"]]), TypeError),
        (lambda: Categorical([{0: 8}, {0: 4}]), TypeError),
        (lambda: BayesSearchCV(None, {"n_layers": range(1, 4)}), ValueError),
        (lambda: BayesSearchCV(None, {"l2": loguniform(1e-4, 1)}), ValueError),
    ],
    ids=["integer", "real", "lists", "dicts", "range", "scipy"],
)
def test_refused_dimensions(make, error):
    """What scikit-optimize takes for no dimension is refused before anything runs."""
    with pytest.raises(error):
        make()


@of_this_release
def test_tuples_as_categories(table):
    """Tuples of several numbers fail on the way to the estimator; strings arrive."""
    space = {"hidden_layer_sizes": Categorical([(8, 4), (4, 2)])}
    with pytest.raises(ValueError, match="array of size 1"):
        make_search(space).fit(*table)


@of_this_release
def test_two_numbers_are_a_range(table):
    """A list of two numbers means all numbers between them."""
    with pytest.warns(UserWarning, match="inferred to Integer"):
        search = make_search({"n_units": [8, 128]}).fit(*table)
    assert not {8, 128} & {params["n_units"] for params in candidates(search)}


@of_this_release
def test_small_spaces_repeat_points(table):
    """Random candidates repeat themselves long before a small space is exhausted."""
    space = {"n_units": Categorical([2, 3, 4, 5, 6])}
    drawn = [p["n_units"] for p in candidates(make_search(space).fit(*table))]
    assert len(set(drawn)) < len(drawn) < 5


@of_this_release
def test_columns_coerce(table):
    """A column of several types has one of them; ``params`` has what was drawn."""
    space = {"warmup": Categorical([1, 2.5])}
    search = make_search(space).fit(*table)
    drawn = [params["warmup"] for params in candidates(search)]
    assert {type(value) for value in drawn} == {int, float}
    assert search.cv_results_["param_warmup"].dtype == float


@of_this_release
def test_dimensions_are_changed(table):
    """A search names the dimensions that it is given, and makes them normalize."""
    space = two()
    make_search(space, n_iter=1).fit(*table)
    assert {name: dimension.name for name, dimension in space.items()} == {
        name: name for name in space
    }
    assert {d.transform_ for d in space.values()} == {"normalize"}


@of_this_release
@pytest.mark.skipif(SKLEARN < (1, 7), reason="scikit-learn asks for tags from 1.7 on")
@pytest.mark.parametrize("base_estimator", ["GBRT", "DUMMY"])
def test_surrogates_that_fail(table, base_estimator):
    """Two of the names that scikit-optimize documents fail with scikit-learn's tags."""
    kwargs = {"base_estimator": base_estimator}
    with pytest.raises((AttributeError, ValueError), match=r"tags|regressor"):
        make_search(rates(), optimizer_kwargs=kwargs).fit(*table)


@of_this_release
def test_metadata_routing_fails(table):
    """With metadata routing on, ``fit`` fails over an argument of its own."""
    search = make_search(rates(), make_pipeline(plain_classifier(**FAST)))
    with (
        config_context(enable_metadata_routing=True),
        pytest.raises(TypeError, match="groups"),
    ):
        search.fit(*table)
