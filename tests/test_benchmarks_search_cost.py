from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from sklearn.dummy import DummyClassifier
from sklearn.model_selection import PredefinedSplit
from skopt import BayesSearchCV
from skopt.utils import point_asdict

from benchmarks import __main__ as command_line
from benchmarks import search_cost
from benchmarks._search_cost_report import report
from benchmarks._settings import Settings
from benchmarks.search_cost import CANDIDATES, N_POINTS, VARIANTS, Steps, per_candidate

NAMES = [
    "activation",
    "batch_size",
    "dropout",
    "l2",
    "learning_rate",
    "n_layers",
    "n_units",
    "optimizer",
]


class Point(DummyClassifier):
    """A classifier that takes the parameters of a network and trains nothing."""

    def __init__(
        self,
        activation=None,
        batch_size=None,
        dropout=None,
        l2=None,
        learning_rate=None,
        n_layers=None,
        n_units=None,
        optimizer=None,
    ):
        super().__init__()
        for name, value in locals().items():
            if name in NAMES:
                setattr(self, name, value)


def score(estimator, X, y):
    """Return the benchmark's objective at an estimator's parameters."""
    return -search_cost.objective([getattr(estimator, name) for name in NAMES])


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """Return the directory of a quick run, started as the command line does."""
    out = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        few = {name: _looking_at_few(each) for name, each in VARIANTS.items()}
        patch.setattr(search_cost, "VARIANTS", few)
        command_line.main(["search_cost", "--quick", "--out", str(out)])
    return out


def _looking_at_few(variant):
    """Return a variant that looks at few points with its model."""
    few = {"n_points": 200, "n_restarts_optimizer": 1}
    return replace(variant, kwargs={"acq_optimizer_kwargs": few, **variant.kwargs})


def _brief(variant):
    """Return a variant that soon fits its model, and looks at few points with it."""
    kwargs = {"n_initial_points": 2, "acq_optimizer_kwargs": {"n_points": 200}}
    return replace(
        variant,
        kwargs={**variant.kwargs, **kwargs},
        n_points=min(variant.n_points, 2),
    )


@pytest.mark.parametrize("name", ["default", "points", "rf"])
def test_optimizer_is_used_as_in_the_search(name, monkeypatch):
    """BayesSearchCV asks for the same candidates, in as many steps."""
    variant, asked = _brief(VARIANTS[name]), []
    monkeypatch.setattr(
        search_cost, "objective", lambda point, f=search_cost.objective: note(point, f)
    )

    def note(point, function):
        asked.append(point)
        return function(point)

    steps = search_cost.search(variant, 3, seed=3)
    monkeypatch.undo()
    space = dict(zip(NAMES, search_cost.space(), strict=True))
    bayes = BayesSearchCV(
        Point(),
        space,
        n_iter=3,
        n_points=variant.n_points,
        optimizer_kwargs=dict(variant.kwargs),
        scoring=score,
        cv=PredefinedSplit([-1, -1, 0, 0]),
        random_state=3,
        refit=False,
    ).fit(np.zeros((4, 1)), [0, 1, 0, 1])
    assert bayes.cv_results_["params"] == [point_asdict(space, x) for x in asked]
    assert steps.best[-1] == bayes.optimizer_results_[0].fun
    assert steps.count[-1] == 3
    assert len(steps.count) == -(-3 // variant.n_points)


def test_objective_has_its_minimum_inside_of_the_space():
    """The best point has the value 0, and others have more."""
    best = ["relu", 64, 0.2, 1e-4, 3e-3, 2, 64, "adam"]
    assert search_cost.objective(best) == pytest.approx(0)
    assert all(value in d for value, d in zip(best, search_cost.space(), strict=True))
    for dimension, value in ((0, "tanh"), (1, 32), (3, 1e-6), (5, 3), (7, "sgd")):
        other = [*best]
        other[dimension] = value
        assert search_cost.objective(other) > 0.05


def test_times_are_divided_by_candidates():
    """A time is that of all steps so far, a value the lowest so far."""
    steps = Steps([10, 20], wall=[1.0, 4.0], cpu=[2.0, 8.0], best=[0.5, 0.25])
    assert per_candidate(steps, "wall", 20) == 0.2
    assert per_candidate(steps, "cpu", 10) == 0.2
    assert per_candidate(steps, "best", 20) == 0.25


def test_steps_end_at_each_number_of_candidates():
    """However many candidates a step has, one ends where numbers are reported."""
    for variant in VARIANTS.values():
        assert all(count % variant.n_points == 0 for count in CANDIDATES)
    assert VARIANTS["points"].n_points == N_POINTS


@pytest.mark.parametrize("parts", [None, ["threads"], ["options"]])
def test_no_row_is_measured_twice(parts):
    """The options as they are, on one thread, belong to both parts."""
    keys = [key for key, *_ in search_cost._jobs(Settings(parts=parts))]
    assert len(keys) == len(set(keys))
    assert "default one" in keys
    assert ("default all" in keys) is (parts != ["options"])
    assert ("rf one" in keys) is (parts != ["threads"])


def test_quick_run_has_every_variant(quick):
    """Each variant has finite times, and the report is that of the stored numbers."""
    result = json.loads((quick / "search_cost.json").read_text(encoding="utf-8"))
    text = (quick / "search_cost.md").read_text(encoding="utf-8")
    assert text == report(result)
    designs = [(r["design"]["variant"], r["design"]["threads"]) for r in result["rows"]]
    assert designs == [
        ("default", "one"),
        ("default", "all"),
        *((name, "one") for name in VARIANTS if name != "default"),
    ]
    for row in result["rows"]:
        shape = row["design"]["n_runs"], len(row["design"]["candidates"])
        for name in ("wall", "cpu"):
            assert np.shape(row[name]) == shape
            assert np.min(row[name]) > 0
        assert np.min(row["best"]) > 0
        assert row["design"]["packages"]["scikit-optimize"]
        assert row["design"]["label"] in text
