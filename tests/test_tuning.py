from __future__ import annotations

import warnings
from dataclasses import replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from searches import finished, learned
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss
from sklearn.model_selection import (
    KFold,
    StratifiedKFold,
    cross_val_score,
    train_test_split,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sknnopt._candidates import read_trials
from sknnopt._cli import tuning
from sknnopt._cli.models import preparation
from sknnopt._cli.results import TuneResult
from sknnopt._cli.searching import GRID_ORDER, _importance, grid_names
from sknnopt._cli.settings import TuneSettings, seconds
from sknnopt._cli.tables import InputError, TrainingTable, training_table
from sknnopt._cli.tuning import _quiet, library_versions, tune
from sknnopt.search import PRESETS, grid, parameter_importance

SETTINGS = TuneSettings(n_iter=3, cv=3, test_size=0.25, seed=1, max_epochs=4)

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.usefixtures("quick_baselines"),
]


def numbers() -> TrainingTable:
    """Return a table of numbers with two classes."""
    X, y = make_classification(80, 4, random_state=0)
    frame = pd.DataFrame(X, columns=list("abcd")).assign(y=y)
    return training_table(frame, "y")


def mixed() -> TrainingTable:
    """Return a table with text and gaps, and a quantity to predict."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=60), "b": rng.normal(size=60)})
    frame["color"] = np.array(["red", "green", "blue"])[np.arange(60) % 3]
    frame["y"] = frame["a"] + (frame["color"] == "red")
    frame.loc[::7, "b"] = np.nan
    return training_table(frame, "y")


TABLES = {"classification": numbers(), "regression": mixed()}


@cache
def tuned_table(name: str) -> tuple[TuneResult, Pipeline]:
    """Return what a small search found, and the model."""
    return tune(TABLES[name], SETTINGS)


@pytest.fixture(scope="module", params=list(TABLES))
def tuned(request: pytest.FixtureRequest) -> tuple[TrainingTable, TuneResult, Pipeline]:
    """Return a table, what a small search found, and the model."""
    table = TABLES[request.param]
    return table, *tuned_table(request.param)


def parts(table: TrainingTable) -> tuple[Any, ...]:
    """Split a table as the command says it does."""
    return train_test_split(
        table.X,
        table.y,
        test_size=0.25,
        random_state=1,
        stratify=table.y if table.task == "classification" else None,
    )


def folds(table: TrainingTable) -> Any:
    """Return the folds that the command says it uses."""
    kind = StratifiedKFold if table.task == "classification" else KFold
    return kind(3, shuffle=True, random_state=1)


def test_candidates_scored_by_cross_validation(tuned: Any) -> None:
    """scikit-learn's cross-validation of a candidate's parameters gives its score."""
    table, result, model = tuned
    X, _, y, _ = parts(table)
    trials = result.search.trials
    assert trials["candidate"].tolist() == [0, 1, 2]
    for row in trials.to_dict("records"):
        params = {f"mlp__{name}": row[name] for name in result.search.parameters}
        again = cross_val_score(
            clone(model).set_params(**params), X, y, cv=folds(table)
        )
        np.testing.assert_allclose(row["mean_test_score"], again.mean(), rtol=1e-9)
        np.testing.assert_allclose(row["std_test_score"], again.std(), rtol=1e-6)


def test_best_is_the_model(tuned: Any) -> None:
    """The model has the best candidate's parameters and its cross-validated score."""
    _, result, model = tuned
    search = result.search
    best = search.trials.iloc[search.best]
    assert best["mean_test_score"] == search.trials["mean_test_score"].max()
    assert best["rank"] == 1
    params = model[-1].get_params()
    assert {name: params[name] for name in search.params} == search.params
    assert list(search.params) == list(search.parameters)
    first = result.scores[0].measures[result.measure]
    np.testing.assert_allclose(first.cv_mean, best["mean_test_score"], rtol=1e-9)
    np.testing.assert_allclose(first.cv_sd, best["std_test_score"], rtol=1e-6)


def test_held_out_rows_were_not_trained_on(tuned: Any) -> None:
    """Held-out scores are the model's on the rows that no fit saw."""
    table, result, model = tuned
    _, X_test, _, y_test = parts(table)
    measures = result.scores[0].measures
    assert measures[result.measure].held_out == pytest.approx(
        model.score(X_test, y_test)
    )
    np.testing.assert_array_equal(result.truth, y_test)
    np.testing.assert_array_equal(result.predicted, model.predict(X_test))
    if table.task == "classification":
        loss = log_loss(y_test, model.predict_proba(X_test))
    else:
        loss = np.sqrt(np.mean((y_test - model.predict(X_test)) ** 2))
    second = list(measures.values())[1]
    assert second.held_out == pytest.approx(loss)


def test_linear_baseline_is_scikit_learns(tuned: Any) -> None:
    """The linear model's scores are those of the plain pipeline on the same folds."""
    table, result, _ = tuned
    linear = LogisticRegression(max_iter=1000) if result.labels else Ridge()
    pipeline = Pipeline([preparation(table), ("model", linear)])
    X, X_test, y, y_test = parts(table)
    measured = result.scores[2].measures[result.measure]
    expected = cross_val_score(pipeline, X, y, cv=folds(table))
    assert measured.cv_mean == pytest.approx(expected.mean())
    assert measured.held_out == pytest.approx(pipeline.fit(X, y).score(X_test, y_test))


def test_history_has_both_curves(tuned: Any) -> None:
    """The final fit records training and validation, and ends where it stopped."""
    _, result, model = tuned
    for name in ("train_loss", "valid_loss", "train_score", "valid_score"):
        assert np.isfinite(result.history[name]).all()
    assert result.history["epoch"].max() == model[-1].n_iter_
    assert result.best_epoch.tolist() == [model[-1].best_epoch_]


def test_summary_counts_the_table(tuned: Any) -> None:
    """Rows, classes and gaps add up to the table's."""
    table, result, _ = tuned
    data = result.data
    assert data.n_train + data.n_test == len(table.y)
    assert data.n_missing == int(table.X.isna().to_numpy().sum())
    if table.task == "classification":
        assert sum(data.classes.values()) == len(table.y)
    else:
        assert data.target_range == (table.y.min(), table.y.max())


def test_same_seed_gives_the_same_search() -> None:
    """Two runs differ in their durations only."""
    first, _ = tuned_table("classification")
    second, _ = tune(numbers(), SETTINGS)
    times = ["fit_time", "score_time"]
    pd.testing.assert_frame_equal(
        first.search.trials.drop(columns=times),
        second.search.trials.drop(columns=times),
    )


@pytest.mark.parametrize("kind", ["tpe", "bayes"])
def test_who_proposes(kind: str) -> None:
    """Candidates of other samplers come from the same space, and differ."""
    if kind == "tpe":
        pytest.importorskip("optuna")
    settings = replace(SETTINGS, search=kind, n_iter=2, cv=2)
    result, _ = tune(numbers(), settings)
    whole = grid("small")
    assert set(result.search.parameters) == set(whole)
    rates = result.search.trials["learning_rate"]
    assert rates.between(whole["learning_rate"][0], whole["learning_rate"][-1]).all()
    assert rates.nunique() == 2
    assert result.settings["search"] == kind


def test_best_so_far_never_falls(tuned: Any) -> None:
    """It is the running maximum of the mean scores, where nothing was pruned."""
    search = tuned[1].search
    expected = np.maximum.accumulate(search.trials["mean_test_score"])
    np.testing.assert_array_equal(search.best_so_far, expected)


def test_curves_are_those_of_the_folds(tuned: Any) -> None:
    """Every candidate has one, which ends with the epochs that it took at most."""
    curves = tuned[1].search.curves
    assert curves["candidate"].unique().tolist() == [0, 1, 2]
    assert (curves.groupby("candidate")["epoch"].max() == 4).all()
    assert np.isfinite(curves["loss"]).all()


@pytest.mark.parametrize("space", PRESETS)
def test_every_space_can_be_searched(space: str) -> None:
    """A search over each preset gives typed parameters of that preset."""
    settings = replace(SETTINGS, space=space, n_iter=2, cv=2)
    search = tune(numbers(), settings)[0].search
    assert len(search.trials) == 2
    types = {type(value) for value in search.params.values()}
    assert types <= {bool, int, float, str, type(None)}
    n_layers = search.params.get("n_layers", 2)
    layers = {int(n.split("__")[1]) for n in search.params if "__" in n}
    assert layers <= set(range(n_layers))


def test_grid_is_searched_whole() -> None:
    """All points of the grid are tried, and there are no curves."""
    settings = replace(SETTINGS, search="grid", n_iter=10)
    search = tune(numbers(), settings)[0].search
    values = grid("small", names=["learning_rate", "n_units"])
    assert set(search.parameters) == set(values)
    points = set(zip(*[search.trials[name] for name in values], strict=True))
    assert len(search.trials) == len(points) == 9
    assert search.curves.empty
    assert "grid keeps no curves" in search.curves_note


@pytest.mark.parametrize("preset", [p for p in PRESETS if p != "guide"])
def test_largest_grid_that_fits(preset: str) -> None:
    """Parameters join in a fixed order, as long as the candidates suffice."""
    whole = grid(preset)
    assert set(whole) <= set(GRID_ORDER)
    present = [name for name in GRID_ORDER if name in whole]
    sizes = np.cumprod([len(whole[name]) for name in present])
    for k, size in enumerate(sizes, start=1):
        assert grid_names(preset, int(size)) == present[:k]
        if k > 1:
            assert grid_names(preset, int(size) - 1) == present[: k - 1]
    with pytest.raises(InputError, match="too few for a grid, which has 3"):
        grid_names(preset, 2)


def test_pruned_candidates_come_last() -> None:
    """Halving lets most leave early, with fewer epochs, ranked after all others."""
    settings = replace(SETTINGS, n_iter=9, max_epochs=18, cv=2, pruning="halving")
    search = tune(numbers(), settings)[0].search
    trials = search.trials
    assert search.n_pruned == 6
    assert trials.loc[trials["pruned"], "rank"].min() > 3
    assert not search.is_best_pruned
    assert trials.loc[trials["pruned"], "n_epochs"].max() <= 6


def test_no_pruning() -> None:
    """Without pruning every candidate comes to its end."""
    settings = replace(SETTINGS, n_iter=9, max_epochs=18, cv=2, pruning="none")
    assert tune(numbers(), settings)[0].search.n_pruned == 0


def test_importances_need_candidates(tuned: Any) -> None:
    """Of three candidates there is nothing to learn, and the note says so."""
    search = tuned[1].search
    assert search.importance is None
    assert (
        "takes 10 candidates with a score; this search has 3" in search.importance_note
    )


def test_budget_ends_the_search() -> None:
    """With no time there is one round, whose candidates all leave early."""
    settings = replace(SETTINGS, n_iter=None, budget=1e-9, max_epochs=50)
    search = tune(numbers(), settings)[0].search
    assert 1 <= len(search.trials) < 50
    assert search.is_best_pruned
    assert search.trials["rank"].iloc[search.best] == 1


def test_study_goes_on(tmp_path: Path) -> None:
    """A search that goes on has the candidates of a longer one, and trains the rest."""
    pytest.importorskip("optuna")
    settings = replace(SETTINGS, study=str(tmp_path / "study.db"))
    tune(numbers(), replace(settings, n_iter=2))
    resumed = tune(numbers(), settings)[0].search
    whole = tuned_table("classification")[0].search
    columns = ["candidate", *whole.parameters, "mean_test_score", "rank"]
    pd.testing.assert_frame_equal(resumed.trials[columns], whole.trials[columns])
    for found in (resumed, tune(numbers(), settings)[0].search):
        pd.testing.assert_frame_equal(found.curves, whole.curves)
        assert found.curves_note == whole.curves_note


@pytest.mark.parametrize(
    ("text", "expected"),
    [("60", 60), ("60s", 60), ("5m", 300), ("1h", 3600), ("1.5h", 5400), (".5", 0.5)],
)
def test_durations(text: str, expected: float) -> None:
    """A number has a unit, seconds if it does not say."""
    assert seconds(text) == expected


@pytest.mark.parametrize(
    "text", ["", "s", "0", "-1s", "nan", "infh", "1e999", "5 d", "m5"]
)
def test_no_durations(text: str) -> None:
    """What is no time, or none that passes, is refused."""
    with pytest.raises(ValueError):  # noqa: PT011 - the command says it in its own words
        seconds(text)


@pytest.mark.parametrize(
    ("options", "n_candidates", "rule"),
    [
        ({}, 50, "halving"),
        ({"budget": 1.0}, 10_000, "halving"),
        ({"budget": 1.0, "n_iter": 7}, 7, "halving"),
        ({"search": "grid"}, 50, None),
        ({"search": "grid", "pruning": "none"}, 50, None),
        ({"pruning": "hyperband"}, 50, "hyperband"),
        ({"pruning": "none"}, 50, None),
    ],
)
def test_settings_that_depend_on_others(
    options: dict[str, Any], n_candidates: int, rule: str | None
) -> None:
    """Candidates are as many as the budget allows, and grids are not pruned."""
    settings = TuneSettings(**options)
    assert (settings.n_candidates, settings.rule) == (n_candidates, rule)


def test_global_state_is_untouched(untouched_globals: None) -> None:
    """A search leaves generators, dtypes and threads of the process alone."""
    tune(numbers(), SETTINGS)


def test_plain_numbers_are_only_scaled() -> None:
    """Where no number is missing and no text there, the first step is a scaler."""
    name, step = preparation(numbers())
    assert name == "scaler"
    assert isinstance(step, StandardScaler)


def test_mixed_table_is_imputed_scaled_and_encoded() -> None:
    """Gaps become the median, numbers are standardized, text is one-hot encoded."""
    table = mixed()
    name, step = preparation(table)
    assert name == "prepare"
    assert isinstance(step, ColumnTransformer)
    numeric = table.X[["a", "b"]].astype(float)
    expected = StandardScaler().fit_transform(numeric.fillna(numeric.median()))
    Z = step.fit_transform(table.X)
    np.testing.assert_allclose(Z[:, :2], expected)
    colors = np.array(["blue", "green", "red"])
    np.testing.assert_array_equal(Z[:, 2:], table.X[["color"]].to_numpy() == colors)


def test_text_alone_is_only_encoded() -> None:
    """Where no column holds numbers there is no step for them."""
    table = mixed()
    words = replace(table, X=table.X[["color"]])
    name, step = preparation(words)
    assert name == "prepare"
    assert [part for part, *_ in step.transformers] == ["text"]


@pytest.mark.usefixtures("few_trees")
def test_what_mattered_is_that_of_the_library() -> None:
    """The report has the library's importances, and how much they explain."""
    search = learned()
    frame, note = _importance(search, read_trials(search))
    expected = parameter_importance(search)
    pd.testing.assert_frame_equal(frame, expected)
    assert expected.attrs["r2"] > 0.5
    assert f"explains {expected.attrs['r2']:.0%}." in note


@pytest.mark.usefixtures("few_trees")
def test_what_mattered_is_unknown_where_luck_decides() -> None:
    """A model that explains nothing is not shown, and the note says so."""
    rng = np.random.default_rng(0)
    params = [{"luck": float(rng.uniform())} for _ in range(20)]
    search = finished(params, rng.normal(size=20))
    frame, note = _importance(search, read_trials(search))
    assert frame is None
    assert "cannot be told from 20 candidates" in note


def test_library_that_is_not_there_has_no_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The report lists what is installed and nothing else."""
    installed = library_versions()

    def absent(name: str) -> str:
        if name == "scikit-optimize":
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(tuning, "version", absent)
    assert library_versions() == {
        name: number for name, number in installed.items() if name != "scikit-optimize"
    }


def test_other_warnings_stay_errors() -> None:
    """What a program made an error is one in a search, too, and no interrupt."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        with pytest.raises(UserWarning, match="something else"), _quiet():
            warnings.warn("something else", UserWarning, stacklevel=1)


@pytest.mark.parametrize(
    ("y", "settings", "pattern"),
    [
        ([1] * 12, SETTINGS, "one class only, 1"),
        ([0] * 11 + [1], SETTINGS, "class 1 in one row only"),
        ([0] * 10 + [1, 1], SETTINGS, "class 1 has 1 training rows.*--cv"),
        (["a", "b"] * 3, TuneSettings(test_size=0.1), "6 rows cannot be split"),
        (list(np.arange(12) / 3), TuneSettings(cv=6), "too few for 6 folds"),
    ],
)
def test_too_few_rows_are_refused(
    y: list[Any], settings: TuneSettings, pattern: str
) -> None:
    """The error says what is too few, before anything is trained."""
    frame = pd.DataFrame({"x": np.arange(len(y)), "y": y})
    with pytest.raises(InputError, match=pattern):
        tune(training_table(frame, "y"), settings)


def test_network_is_a_scikit_learn_step(tuned: Any) -> None:
    """The model is an ordinary pipeline that can be cloned and fitted again."""
    table, _, model = tuned
    again = make_pipeline(*[step for _, step in clone(model).steps])
    X, X_test, y, _ = parts(table)
    np.testing.assert_array_equal(
        again.fit(X, y).predict(X_test), model.predict(X_test)
    )
