from __future__ import annotations

import ast
import functools
import itertools
import math
import sys
from typing import Any

import numpy as np
import optuna
import pytest
import skopt
from scipy import stats
from sklearn.model_selection import ParameterGrid, ParameterSampler
from skopt import Optimizer
from skopt.space import Categorical, Integer, Real

from sknnopt._dimensions import Dimension
from sknnopt._reading import read_space
from sknnopt._samplers import SAMPLERS, Proposal
from sknnopt.search import space

LISTS = {"a": [1, 2, 3], "b": ["x", None], "c": [(1, 2), (3,)]}
MIXED = {"rate": stats.loguniform(1e-4, 1e-1), "size": [(8,), (8, 8)], "n": [1, 2]}
#: Subspaces that share a name, with the same range and with others.
SUBSPACES = [
    {"kind": ["one"], "rate": stats.uniform(0, 1), "n": stats.randint(1, 5)},
    {"kind": ["two"], "rate": stats.uniform(0, 1), "n": stats.randint(10, 20)},
    {"kind": ["two"], "shape": [(1,), (2, 2)], "n": ["few", "many"]},
]
SPACES = {
    "lists": LISTS,
    "mixed": MIXED,
    "subspaces": SUBSPACES,
    "small": space("sklearn", "small"),
    "guide": space("optuna", "guide", depth=[1, 2]),
}

optuna.logging.set_verbosity(optuna.logging.WARNING)


def score_of(params: dict[str, Any]) -> float:
    """Return a score that any candidate has."""
    return math.sin(sum(map(ord, repr(sorted(params.items())))))


@pytest.fixture
def quick_bayes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the optimizer take the best of few points by its model."""
    few = {"n_points": 100}
    made = functools.partial(
        Optimizer, acq_optimizer="sampling", acq_optimizer_kwargs=few
    )
    monkeypatch.setattr(skopt, "Optimizer", made)


def run(name: str, subject: Any, rounds: list[int], **kwargs: Any) -> list[Proposal]:
    """Return what a sampler proposes in rounds, each candidate scored."""
    sampler = SAMPLERS[name](subject, n_iter=sum(rounds), random_state=0, **kwargs)
    proposals = []
    for n in rounds:
        asked = sampler.ask(n)
        for proposal in asked:
            sampler.tell(proposal, score_of(proposal.params))
        proposals += asked
    return proposals


@pytest.mark.usefixtures("quick_bayes")
@pytest.mark.parametrize("subject", list(SPACES))
@pytest.mark.parametrize("name", list(SAMPLERS))
def test_candidates_lie_in_the_space(name: str, subject: str) -> None:
    """Numbers count from 0, and every candidate is a point of one subspace."""
    subspaces = read_space(SPACES[subject])
    proposals = run(name, SPACES[subject], [4, 1, 4])
    assert [proposal.number for proposal in proposals] == list(range(9))
    for proposal in proposals:
        assert any(
            proposal.params.keys() == subspace.keys()
            and all(
                proposal.params[k] in dimension for k, dimension in subspace.items()
            )
            for subspace in subspaces
        )


@pytest.mark.usefixtures("quick_bayes")
@pytest.mark.parametrize("subject", ["mixed", "subspaces"])
@pytest.mark.parametrize("name", list(SAMPLERS))
def test_same_seed_same_candidates(name: str, subject: str) -> None:
    """A search is repeated by its random_state."""
    first = run(name, SPACES[subject], [4, 1, 4])
    assert run(name, SPACES[subject], [4, 1, 4]) == first


@pytest.mark.usefixtures("quick_bayes")
@pytest.mark.parametrize("name", list(SAMPLERS))
def test_candidates_are_of_plain_types(name: str) -> None:
    """Strings, numbers of Python and the very objects of the lists."""
    for proposal in run(name, MIXED, [5]):
        assert type(proposal.params["n"]) is int
        assert type(proposal.params["rate"]) is float
        assert any(proposal.params["size"] is size for size in MIXED["size"])


# ------------------------------------------------------------------------ random


def test_random_draws_plain_numbers() -> None:
    """What scipy draws as numpy's numbers can be pasted, whoever wrote the space."""
    subject = {
        "real": stats.uniform(0, 1),
        "integer": stats.randint(1, 9),
        "opaque": stats.norm(),
        "counted": stats.poisson(3),
        "listed": np.array([0.25, 0.5]),
        "named": np.array(["adam", "sgd"]),
        "chosen": Categorical(["a", "b"], prior=[0.25, 0.75]),
    }
    for proposal in run("random", subject, [4]):
        assert ast.literal_eval(repr(proposal.params)) == proposal.params
        assert {type(value) for value in proposal.params.values()} == {int, float, str}


@pytest.mark.parametrize("subject", [LISTS, MIXED, SUBSPACES, SPACES["small"]])
@pytest.mark.parametrize("rounds", [[10], [3, 3, 4], [1] * 10])
def test_random_is_scikit_learns(subject: Any, rounds: list[int]) -> None:
    """The candidates are those of ParameterSampler, whatever the rounds."""
    expected = list(ParameterSampler(subject, 10, random_state=0))
    assert [p.params for p in run("random", subject, rounds)] == expected


def test_random_takes_dimensions_of_all_libraries() -> None:
    """What other libraries write is drawn like the distributions of scipy."""
    written = {
        "real": Real(0.5, 2.0),
        "log": optuna.distributions.FloatDistribution(1e-3, 1.0, log=True),
        "integer": Integer(2, 9),
        "opaque": stats.norm(),
    }
    own = {
        "real": stats.uniform(0.5, 1.5),
        "log": stats.loguniform(1e-3, 1.0),
        "integer": stats.randint(2, 10),
        "opaque": stats.norm(),
    }
    expected = list(ParameterSampler(own, 6, random_state=0))
    assert [p.params for p in run("random", written, [6])] == expected


@pytest.mark.filterwarnings("ignore:The total space of parameters")
def test_random_exhausts_lists() -> None:
    """Lists alone are drawn without replacement, until nothing is left."""
    proposals = run("random", LISTS, [8, 8, 8])
    assert len(proposals) == 12
    drawn = [proposal.params for proposal in proposals]
    assert all(params in drawn for params in ParameterGrid(LISTS))


# --------------------------------------------------------------------------- tpe


def test_tpe_is_optunas() -> None:
    """On one space the candidates are those of TPESampler itself, asked in rounds."""
    distributions = space("optuna", "small")
    sampler = optuna.samplers.TPESampler(seed=0, constant_liar=True)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    expected = []
    for n in [6, 6, 3]:
        trials = []
        for _ in range(n):
            trial = study.ask()
            for name, d in distributions.items():
                if isinstance(d, optuna.distributions.CategoricalDistribution):
                    trial.suggest_categorical(name, d.choices)
                elif isinstance(d, optuna.distributions.IntDistribution):
                    trial.suggest_int(name, d.low, d.high, log=d.log)
                else:
                    trial.suggest_float(name, d.low, d.high, log=d.log)
            trials.append(trial)
        for trial in trials:
            study.tell(trial, score_of(trial.params))
        expected += [trial.params for trial in trials]
    assert [p.params for p in run("tpe", distributions, [6, 6, 3])] == expected


def tell_all(sampler: Any, proposals: list[Proposal]) -> None:
    """Tell one candidate of each ending, and the rest with their scores."""
    failed, pruned, cut, *rest = proposals
    sampler.tell(failed, math.nan)
    sampler.tell(pruned, 0.25, pruned=True, curve=[(3, 0.75), (9, 0.5)])
    sampler.tell(cut, 0.25, pruned=True)
    for proposal in rest:
        sampler.tell(proposal, score_of(proposal.params))


@pytest.mark.parametrize("asked", [True, False])
def test_tpe_learns_endings(asked: bool) -> None:
    """Optuna sees a failure, a pruned trial with its curve, and the scores."""
    proposals = SAMPLERS["tpe"](SUBSPACES, n_iter=9, random_state=0).ask(5)
    sampler = SAMPLERS["tpe"](SUBSPACES, n_iter=9, random_state=0)
    if asked:
        assert sampler.ask(5) == proposals
    tell_all(sampler, proposals)
    sampler.ask(1)
    trials = sampler._study.trials[:5]
    states = optuna.trial.TrialState
    assert [trial.state for trial in trials] == [
        states.FAIL,
        states.PRUNED,
        states.PRUNED,
        states.COMPLETE,
        states.COMPLETE,
    ]
    assert trials[1].intermediate_values == {3: -0.75, 9: -0.5}
    assert [trial.value for trial in trials[3:]] == [
        score_of(proposal.params) for proposal in proposals[3:]
    ]


def test_tpe_tells_ranges_of_subspaces_apart() -> None:
    """Equal ranges share a name and what is learned, others have names of their own."""
    sampler = SAMPLERS["tpe"](SUBSPACES, n_iter=40, random_state=0)
    sampler.ask(40)
    names: dict[int, set[str]] = {}
    for trial in sampler._study.trials:
        names.setdefault(trial.params["subspace"], set()).update(trial.params)
    assert names == {
        0: {"subspace", "kind", "rate", "n"},
        1: {"subspace", "kind [2]", "rate", "n [2]"},
        2: {"subspace", "kind [2]", "shape", "n [3]"},
    }


def test_tpe_finds_the_better_region() -> None:
    """After the random start most candidates lie where the scores are high."""
    sampler = SAMPLERS["tpe"]({"x": stats.uniform(0, 1)}, n_iter=60, random_state=0)
    drawn = []
    for _ in range(12):
        for proposal in sampler.ask(5):
            drawn.append(proposal.params["x"])
            sampler.tell(proposal, -abs(proposal.params["x"] - 0.8))
    assert np.median(np.abs(np.array(drawn[30:]) - 0.8)) < 0.1


def test_tpe_without_optuna(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the extra that brings what is missing."""
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match=r"sampler='tpe'.*sknnopt\[tune\]"):
        SAMPLERS["tpe"](LISTS, n_iter=1)


@pytest.mark.parametrize("name", ["tpe", "bayes"])
def test_opaque_distributions_are_refused(name: str) -> None:
    """Models cannot learn a distribution that they can only draw from."""
    with pytest.raises(ValueError, match=r"'x' has a distribution.*'random'"):
        SAMPLERS[name]({"x": stats.norm()}, n_iter=1)


@pytest.mark.parametrize("name", list(SAMPLERS))
def test_making_a_sampler_is_silent(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """No library reports what a search does inside."""
    optuna.logging.set_verbosity(optuna.logging.INFO)
    try:
        run(name, MIXED, [2])
    finally:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
    assert capfd.readouterr() == ("", "")


# ------------------------------------------------------------------------- bayes


@pytest.mark.usefixtures("quick_bayes")
def test_bayes_is_scikit_optimizes() -> None:
    """On one space the candidates are those of Optimizer, asked for several points."""
    dimensions = {"a": Real(0.0, 1.0), "b": Integer(1, 9), "c": Categorical("xyz")}
    seed = np.random.RandomState(0).randint(np.iinfo(np.int32).max)
    columns = [Real(0.0, 1.0), Integer(1, 9), Categorical([0, 1, 2])]
    optimizer = skopt.Optimizer(
        columns, n_initial_points=4, random_state=np.random.RandomState(seed)
    )
    expected = []
    for n in [4, 3, 1]:
        points = optimizer.ask(n_points=n) if n > 1 else [optimizer.ask()]
        params = [{"a": a, "b": int(b), "c": "xyz"[c]} for a, b, c in points]
        optimizer.tell(points, [-score_of(each) for each in params])
        expected += params
    assert [p.params for p in run("bayes", dimensions, [4, 3, 1])] == expected


@pytest.mark.usefixtures("quick_bayes")
def test_bayes_takes_subspaces_in_turn() -> None:
    """Every subspace has as many candidates as the others, or one more."""
    proposals = run("bayes", SPACES["guide"], [3, 4, 2])
    depths = [proposal.params["n_layers"] for proposal in proposals]
    assert sorted(depths[:3]) == [1, 1, 2]
    assert [depths.count(1), depths.count(2)] == [5, 4]


@pytest.mark.usefixtures("quick_bayes")
def test_bayes_gives_failures_the_worst_score() -> None:
    """A failure counts as the worst score so far, once there is one."""
    sampler = SAMPLERS["bayes"]({"x": stats.uniform(0, 1)}, n_iter=9, random_state=0)
    first, second = sampler.ask(2)
    sampler.tell(first, math.nan)
    sampler.tell(second, math.inf)
    third, fourth = sampler.ask(2)
    optimizer = sampler._parts[0]._optimizer
    assert optimizer.yi == []
    sampler.tell(third, 0.5)
    sampler.tell(fourth, -2.0)
    sampler.ask(1)
    assert optimizer.yi == [2.0, 2.0, -0.5, 2.0]


def test_bayes_learns() -> None:
    """Once its model fits, candidates lie closer to the best than random ones."""
    sampler = SAMPLERS["bayes"]({"x": stats.uniform(0, 1)}, n_iter=16, random_state=0)
    drawn = []
    for n in (8, 4, 4):
        for proposal in sampler.ask(n):
            drawn.append(proposal.params["x"])
            sampler.tell(proposal, -((proposal.params["x"] - 0.7) ** 2))
    distance = np.abs(np.array(drawn) - 0.7)
    assert distance[12:].min() < 0.02
    assert np.median(distance[8:]) < np.median(distance[:8])


# ------------------------------------------------------------ exhausted, resumed


@pytest.mark.usefixtures("quick_bayes")
@pytest.mark.filterwarnings("ignore:The total space of parameters")
@pytest.mark.parametrize("subject", [LISTS, [{"a": [1]}, {"a": [2], "b": [1, 2]}]])
@pytest.mark.parametrize("name", list(SAMPLERS))
def test_small_spaces_are_exhausted(name: str, subject: Any) -> None:
    """Every point is proposed once, and then there are none."""
    grid = list(ParameterGrid(subject))
    proposals = run(name, subject, [5, 5, 5, 5])
    drawn = [proposal.params for proposal in proposals]
    assert len(drawn) == len(grid)
    assert all(params in drawn for params in grid)


@pytest.mark.usefixtures("quick_bayes")
@pytest.mark.parametrize("name", ["tpe", "bayes"])
@pytest.mark.parametrize("subject", list(SPACES))
def test_asking_again_before_telling(name: str, subject: str) -> None:
    """Candidates that are not answered yet are not proposed a second time."""
    sampler = SAMPLERS[name](SPACES[subject], n_iter=12, random_state=0)
    asked = [*sampler.ask(3), *sampler.ask(3), *sampler.ask(1)]
    assert [proposal.number for proposal in asked] == list(range(7))
    for one, other in itertools.combinations(asked, 2):
        assert one.params != other.params


@pytest.mark.parametrize("subject", list(SPACES))
def test_random_goes_on_where_it_was(subject: str) -> None:
    """Finished candidates are left out, unfinished ones come again, as they were."""
    whole = run("random", SPACES[subject], [10])
    again = SAMPLERS["random"](SPACES[subject], n_iter=10, random_state=0)
    for number in (0, 1, 2, 5):
        again.tell(whole[number], 0.5)
    assert again.ask(10) == [p for p in whole if p.number not in {0, 1, 2, 5}]


@pytest.mark.usefixtures("quick_bayes")
@pytest.mark.parametrize("subject", list(SPACES))
@pytest.mark.parametrize("name", ["tpe", "bayes"])
def test_models_go_on_where_they_were(name: str, subject: str) -> None:
    """What an earlier run finished is learned, and not proposed a second time."""
    whole = run(name, SPACES[subject], [4, 2])
    again = SAMPLERS[name](SPACES[subject], n_iter=10, random_state=0)
    for number in (0, 1, 2, 5):
        again.tell(whole[number], score_of(whole[number].params))
    new = again.ask(4)
    assert [proposal.number for proposal in new] == [3, 4, 6, 7]
    done = [whole[number].params for number in (0, 1, 2, 5)]
    assert all(proposal.params not in done for proposal in new)


def test_candidates_of_other_spaces_are_refused() -> None:
    """A candidate that no subspace holds cannot be learned from."""
    for name in ("tpe", "bayes"):
        sampler = SAMPLERS[name](SUBSPACES, n_iter=3)
        with pytest.raises(ValueError, match="lies outside the search space"):
            sampler.tell(Proposal(0, {"kind": "three"}), 0.5)


@pytest.mark.usefixtures("quick_bayes")
def test_weighted_choices_keep_their_weights() -> None:
    """Random and Bayesian searches draw choices by their probabilities."""
    weighted = {
        "x": Dimension("choice", choices=("a", "b"), weights=(0.0, 1.0)),
        "y": stats.uniform(0, 1),
    }
    for name in ("random", "bayes"):
        assert {p.params["x"] for p in run(name, weighted, [6])} == {"b"}
