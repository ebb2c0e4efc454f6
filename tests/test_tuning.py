from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
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

from sknnopt._cli.results import TuneResult
from sknnopt._cli.tables import InputError, TrainingTable, training_table
from sknnopt._cli.tuning import TuneSettings, preparation, tune

SETTINGS = TuneSettings(n_iter=3, cv=3, test_size=0.25, seed=1, max_epochs=4)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


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


@pytest.fixture(scope="module", params=list(TABLES))
def tuned(request: pytest.FixtureRequest) -> tuple[TrainingTable, TuneResult, Pipeline]:
    """Return a table, what a small search found, and the model."""
    table = TABLES[request.param]
    return table, *tune(table, SETTINGS)


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
    assert [candidate.number for candidate in result.candidates] == [1, 2, 3]
    for candidate in result.candidates:
        params = {f"mlp__{name}": value for name, value in candidate.params.items()}
        again = cross_val_score(
            clone(model).set_params(**params), X, y, cv=folds(table)
        )
        np.testing.assert_allclose(candidate.mean, again.mean(), rtol=1e-9)
        np.testing.assert_allclose(candidate.sd, again.std(), rtol=1e-6)


def test_best_is_the_model(tuned: Any) -> None:
    """The model has the best candidate's parameters and its cross-validated score."""
    _, result, model = tuned
    assert result.best.mean == max(candidate.mean for candidate in result.candidates)
    params = model[-1].get_params()
    assert {name: params[name] for name in result.best.params} == result.best.params
    first = result.scores[0].measures[result.measure]
    np.testing.assert_allclose(first.cv_mean, result.best.mean, rtol=1e-9)
    np.testing.assert_allclose(first.cv_sd, result.best.sd, rtol=1e-6)


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
    """Two runs differ in their durations only; progress is told for each candidate."""
    told: list[tuple[int, float]] = []
    first, _ = tune(numbers(), SETTINGS, lambda *each: told.append(each))
    second, _ = tune(numbers(), SETTINGS)
    for a, b in zip(first.candidates, second.candidates, strict=True):
        assert (a.params, a.mean, a.sd) == (b.params, b.mean, b.sd)
    assert [done for done, _ in told] == [1, 2, 3]
    assert [best for _, best in told] == first.best_so_far.tolist()


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
