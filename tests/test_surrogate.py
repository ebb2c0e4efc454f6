from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from searches import finished, learned
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV

from sknnopt import _surrogate
from sknnopt._surrogate import raise_outliers
from sknnopt.search import parameter_importance, partial_dependence


def test_what_decides_is_important() -> None:
    """Parameters that make the score come first, what does not matter has nothing."""
    search = learned()
    frame = parameter_importance(search)
    assert set(frame["parameter"][:2]) == {"rate", "method"}
    by_name = frame.set_index("parameter")["importance"]
    for name in ("luck", "detail"):
        assert abs(by_name[name]) < 0.05
    assert frame["importance"].is_monotonic_decreasing
    assert frame.attrs["n_candidates"] == 80
    assert 0.6 < frame.attrs["r2"] < 1


def test_importance_approaches_that_of_the_true_function() -> None:
    """A sum of independent terms: each adds twice its part of the variance."""
    rng = np.random.default_rng(0)
    a, b = rng.choice([0.0, 1.0], size=(2, 400))
    score = 2 * a + b
    params = [{"a": x, "b": y} for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    frame = parameter_importance(finished(params, score)).set_index("parameter")
    parts = np.array([4 * a.var(), b.var()]) / score.var()
    measured = frame.loc[["a", "b"], "importance"]
    np.testing.assert_allclose(measured, 2 * parts, rtol=0.1)


@pytest.mark.usefixtures("few_trees")
def test_same_seed_gives_the_same() -> None:
    """Everything is drawn from the seed, and no global generator moves."""
    search = learned(30)
    state = np.random.get_state()[1].tolist()
    for compute in (parameter_importance, lambda s: partial_dependence(s, "rate")):
        assert compute(search).equals(compute(search))
    first, other = (parameter_importance(search, random_state=s) for s in (0, 1))
    assert not first.equals(other)
    assert np.random.get_state()[1].tolist() == state


def test_spread_is_about_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over searches drawn anew, importances vary not much more than the spread says."""
    monkeypatch.setattr(_surrogate, "_N_TREES", 15)
    frames = [
        parameter_importance(learned(40, seed)).set_index("parameter")
        for seed in range(6)
    ]
    for name in ("rate", "method"):
        varied = np.std([frame["importance"][name] for frame in frames], ddof=1)
        told = np.mean([frame["spread"][name] for frame in frames])
        assert told / 6 < varied < told * 2


def test_missing_parameters_do_not_get_the_credit_of_depth() -> None:
    """Where only some have a parameter that does nothing, the one for depth counts."""
    rng = np.random.default_rng(0)
    depth = rng.integers(1, 4, size=60)
    params = [
        {"n_layers": int(d), **{f"x__{i}": float(rng.uniform()) for i in range(d)}}
        for d in depth
    ]
    frame = parameter_importance(finished(params, depth + 0.01 * rng.normal(size=60)))
    assert frame["parameter"][0] == "n_layers"
    assert frame["importance"][0] > 1
    assert (frame["importance"][1:].abs() < 0.05).all()


def test_noise_is_called_noise() -> None:
    """Where forests explain nothing, a warning says that the numbers mean nothing."""
    rng = np.random.default_rng(0)
    params = [{"a": x} for x in rng.uniform(size=30).tolist()]
    search = finished(params, rng.normal(size=30))
    with pytest.warns(UserWarning, match=r"explain nothing.*R² = -.*30 candidates"):
        parameter_importance(search)


@pytest.mark.usefixtures("few_trees")
@pytest.mark.filterwarnings("ignore:The parameters explain nothing")
def test_equal_scores_give_no_importance() -> None:
    """Nothing is divided by the variance of equal scores."""
    search = finished([{"a": float(i)} for i in range(12)], np.ones(12))
    assert parameter_importance(search)["importance"].tolist() == [0.0]


@pytest.mark.parametrize("bad", [np.nan, -np.inf])
def test_few_candidates_are_refused(bad: float) -> None:
    """The error counts the candidates with a finite score."""
    scores = np.arange(12.0)
    scores[:3] = bad
    search = finished([{"a": float(i)} for i in range(12)], scores)
    for compute in (parameter_importance, lambda s: partial_dependence(s, "a")):
        with pytest.raises(ValueError, match=r"'search' .* at least 10 .* Got 9"):
            compute(search)


def test_unknown_parameter_and_metric_are_refused() -> None:
    """The errors list what there is."""
    with pytest.raises(ValueError, match=r"'parameter' .*'rate'.*Got 'speed'"):
        partial_dependence(learned(12), "speed")
    with pytest.raises(ValueError, match=r"'metric' .*'score'.*Got 'auc'"):
        parameter_importance(learned(12), metric="auc")
    with pytest.raises(NotFittedError):
        parameter_importance(GridSearchCV(Ridge(), {}))


def test_dependence_is_the_effect() -> None:
    """The curve peaks where the score does, and tells the better category."""
    search = learned()
    rate = partial_dependence(search, "rate")
    assert rate.attrs == {"parameter": "rate", "metric": "score", "scale": "log"}
    np.testing.assert_allclose(np.diff(np.log(rate["value"])).std(), 0, atol=1e-9)
    peak = rate["value"][rate["mean"].idxmax()]
    assert 10**-3 < peak < 10**-2
    method = partial_dependence(search, "method").set_index("value")
    difference = method["mean"]["good"] - method["mean"]["bad"]
    assert 0.7 < difference < 1.6
    assert (method["spread"] > 0).all()


def test_dependence_is_the_mean_over_the_candidates_that_have_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a known function for the forest, the curve is its mean by hand."""

    def predict(self: Any, X: np.ndarray) -> np.ndarray:
        return np.nan_to_num(X).sum(axis=1)

    monkeypatch.setattr(ExtraTreesRegressor, "predict", predict)
    params: list[dict[str, Any]] = [{"a": i % 3, "b": 10 * i} for i in range(12)]
    params += [{"b": 1000}] * 3
    frame = partial_dependence(finished(params, np.arange(15.0)), "a")
    others = np.mean([10 * i for i in range(12)])
    assert frame["value"].tolist() == [0, 1, 2]
    np.testing.assert_allclose(frame["mean"], np.arange(3) + others)
    np.testing.assert_allclose(frame["spread"], 0, atol=1e-12)


@pytest.mark.usefixtures("few_trees")
@pytest.mark.filterwarnings("ignore:The parameters explain nothing")
def test_grid_has_the_kind_of_the_values() -> None:
    """Many integers give integers, mixtures all other values after the numbers."""
    rng = np.random.default_rng(0)
    mixtures = itertools.cycle([None, "auto", True])
    params = [
        {
            "units": int(units),
            "clip": next(mixtures) if i % 3 == 0 else float(i),
            "sizes": [(8,), (8, 4)][i % 2],
        }
        for i, units in enumerate(rng.permutation(np.arange(1, 91)))
    ]
    search = finished(params, rng.normal(size=90))
    units = partial_dependence(search, "units")["value"]
    assert units.dtype.kind == "i"
    assert (units.min(), units.max()) == (1, 90)
    assert len(units) <= 25
    clip = partial_dependence(search, "clip")
    assert clip.attrs["scale"] == "category"
    assert clip["value"].tolist()[-3:] == [None, True, "auto"]
    assert clip["value"].tolist()[:25] == np.linspace(1, 89, 25).tolist()
    assert partial_dependence(search, "sizes")["value"].tolist() == [(8,), (8, 4)]


def test_halving_counts_each_candidate_once() -> None:
    """A candidate that went on counts with its last score, the resource not at all."""
    params = [{"a": i / 10, "epochs": 2} for i in range(12)]
    again = [{"a": i / 10, "epochs": 6} for i in range(8, 12)]
    search = finished([*params, *again], range(16), iter=[0] * 12 + [1] * 4)
    search.resource = "epochs"
    frame = parameter_importance(search)
    assert frame["parameter"].tolist() == ["a"]
    assert frame.attrs["n_candidates"] == 12


def test_disasters_are_raised_to_the_fence() -> None:
    """Only what lies beyond three interquartile ranges is moved, to that bound."""
    scores = np.array([0.0, 1.0, 2.0, 3.0, 4.0, -1000.0])
    low, high = np.quantile(scores, [0.25, 0.75])
    expected = [0.0, 1.0, 2.0, 3.0, 4.0, low - 3 * (high - low)]
    assert raise_outliers(scores).tolist() == expected
    equal = np.array([1.0] * 9 + [0.0])
    assert raise_outliers(equal).tolist() == equal.tolist()
