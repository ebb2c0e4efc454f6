from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from scipy import stats
from skopt import Optimizer
from skopt.space import Categorical, Integer, Real, Space

from sknnopt._dimensions import _LONGEST_LABEL, Dimension, Draws
from sknnopt._reading import read, read_space

N = 20_000
#: Each with what it is in scikit-optimize and in Optuna.
DIMENSIONS = [
    (
        Dimension("real", -1.0, 2.5),
        Real(-1.0, 2.5),
        FloatDistribution(-1.0, 2.5),
    ),
    (
        Dimension("real", 1e-4, 1e-1, log=True),
        Real(1e-4, 1e-1, prior="log-uniform"),
        FloatDistribution(1e-4, 1e-1, log=True),
    ),
    (Dimension("integer", 2, 9), Integer(2, 9), IntDistribution(2, 9)),
    (
        Dimension("integer", 8, 128, log=True),
        Integer(8, 128, prior="log-uniform"),
        IntDistribution(8, 128, log=True),
    ),
    (
        Dimension("choice", choices=("a", None)),
        Categorical(["a", None]),
        CategoricalDistribution(["a", None]),
    ),
    (
        Dimension("choice", choices=(1, 2)),
        Categorical([1, 2]),
        CategoricalDistribution([1, 2]),
    ),
]
STEPPED = [
    (Dimension("integer", 8, 128, step=8), IntDistribution(8, 128, step=8)),
    (Dimension("real", 0.1, 0.7, step=0.2), FloatDistribution(0.1, 0.7, step=0.2)),
]
SCIPY = [
    (stats.uniform(-1.0, 3.5), Dimension("real", -1.0, 2.5)),
    (stats.uniform(loc=2, scale=1), Dimension("real", 2.0, 3.0)),
    (stats.loguniform(1e-4, 1e-1), Dimension("real", 1e-4, 1e-1, log=True)),
    (stats.reciprocal(1, 8), Dimension("real", 1.0, 8.0, log=True)),
    (stats.randint(2, 10), Dimension("integer", 2, 9)),
    (stats.randint(low=2, high=10, loc=1), Dimension("integer", 3, 10)),
]


@pytest.mark.parametrize(("dimension", "skopt", "optuna"), DIMENSIONS)
def test_written_as_the_libraries_own(
    dimension: Dimension, skopt: Any, optuna: Any
) -> None:
    """The written objects equal those that the libraries make themselves."""
    written = dimension.to_skopt()
    assert written == skopt
    assert written.prior == skopt.prior
    assert written is not dimension.to_skopt()
    assert dimension.to_optuna() == optuna


@pytest.mark.parametrize(("dimension", "skopt", "optuna"), DIMENSIONS)
def test_read_from_the_libraries_own(
    dimension: Dimension, skopt: Any, optuna: Any
) -> None:
    """What each library writes is read as the same dimension."""
    assert read(skopt, "x") == dimension
    assert read(optuna, "x") == dimension
    assert read(dimension, "x") is dimension
    assert read(dimension.to_scipy(), "x") == dimension


@pytest.mark.parametrize(("dimension", "optuna"), STEPPED)
def test_steps_go_through_every_library(dimension: Dimension, optuna: Any) -> None:
    """A dimension in steps is the same after writing and reading."""
    assert dimension.to_optuna() == optuna
    assert read(optuna, "x") == dimension
    assert read(dimension.to_skopt(), "x") == dimension
    assert read(dimension.to_scipy(), "x") == dimension


@pytest.mark.parametrize(("frozen", "dimension"), SCIPY)
def test_scipy_is_read_and_kept(frozen: Any, dimension: Dimension) -> None:
    """Frozen distributions are understood, and random searches get them as they are."""
    found = read(frozen, "x")
    assert found == dimension
    assert found.to_scipy() is frozen


@pytest.mark.parametrize(
    ("value", "choices"),
    [
        ([1, 2], (1, 2)),
        ((0.1, 0.5), (0.1, 0.5)),
        (range(3), (0, 1, 2)),
        (np.array([1.5, 2.5]), (1.5, 2.5)),
        (["auto", 32, None, True], ("auto", 32, None, True)),
        ([(64, 32), (8,)], ((64, 32), (8,))),
        (["a", "b", "uniform"], ("a", "b", "uniform")),
    ],
)
def test_sequences_are_choices(value: Any, choices: tuple[Any, ...]) -> None:
    """Two numbers are two choices, and numpy's scalars become Python's."""
    found = read(value, "x")
    assert found == Dimension("choice", choices=choices)
    assert [type(c) for c in found.choices] == [type(c) for c in choices]
    assert found.to_scipy() == list(choices)


def test_probabilities_of_categories_are_kept() -> None:
    """A prior of scikit-optimize holds in random searches, and Optuna refuses it."""
    found = read(Categorical(["a", "b"], prior=[0.9, 0.1]), "x")
    assert found.to_skopt() == Categorical(["a", "b"], prior=[0.9, 0.1])
    drawn = found.to_scipy().rvs(N, random_state=0)
    counts = [drawn.count("a"), drawn.count("b")]
    assert stats.chisquare(counts, [0.9 * N, 0.1 * N]).pvalue > 1e-3
    with pytest.raises(ValueError, match="'x' gives its choices probabilities"):
        found.to_optuna()


@pytest.mark.parametrize("dimension", [d for d, *_ in [*DIMENSIONS, *STEPPED]])
def test_draws_lie_within_and_are_python_values(dimension: Dimension) -> None:
    """Whatever random searches draw is a value of the dimension, of a plain type."""
    written = dimension.to_scipy()
    if isinstance(written, list):
        assert written == list(dimension.choices)
        return
    drawn = [written.rvs(random_state=seed) for seed in range(50)]
    assert all(value in dimension for value in drawn)
    rng, again = np.random.RandomState(3), np.random.RandomState(3)
    assert written.rvs(random_state=rng) == written.rvs(random_state=again)


@pytest.mark.parametrize(("dimension", "optuna"), STEPPED)
def test_steps_are_drawn_equally_often(dimension: Dimension, optuna: Any) -> None:
    """Both ends included, every step has the same probability, in all three."""
    n_values = round((optuna.high - optuna.low) / optuna.step) + 1
    values = [round(optuna.low + i * optuna.step, 9) for i in range(n_values)]
    assert dimension.n_values == n_values
    assert [dimension.value_at(i) for i in range(n_values)] == values
    skopt = Space([dimension.to_skopt()]).rvs(N, random_state=0)
    for drawn in (
        dimension.to_scipy().rvs(N, random_state=0),
        [point[0] for point in skopt],
    ):
        found, counts = np.unique(drawn, return_counts=True)
        assert found.tolist() == values
        assert type(drawn[0]) is type(values[0])
        assert stats.chisquare(counts).pvalue > 1e-3


def test_log_integers_are_drawn_as_optuna_defines_them() -> None:
    """P(k) is the logarithm's measure of what rounds to k, between low and high."""
    drawn = Dimension("integer", 1, 6, log=True).to_scipy().rvs(N, random_state=0)
    edges = np.log(np.arange(1, 8) - 0.5)
    expected = np.diff(edges) / (edges[-1] - edges[0]) * N
    found, counts = np.unique(drawn, return_counts=True)
    assert found.tolist() == [1, 2, 3, 4, 5, 6]
    assert stats.chisquare(counts, expected).pvalue > 1e-3


@pytest.mark.filterwarnings("ignore:The objective has been evaluated")
def test_steps_search_as_one_ordered_column() -> None:
    """scikit-optimize's model sees a dimension in steps as it sees integers."""
    dimension = Dimension("integer", 8, 128, step=8).to_skopt()
    optimizer = Optimizer([dimension], n_initial_points=4, random_state=0)
    reference = Optimizer([Integer(0, 15)], n_initial_points=4, random_state=0)
    for _ in range(6):
        units, position = optimizer.ask()[0], reference.ask()[0]
        assert units == 8 + 8 * position
        optimizer.tell([units], (units - 40) ** 2)
        reference.tell([int(position)], int(units - 40) ** 2)
    assert optimizer.space.transform([[8], [128]]).ravel().tolist() == [0.0, 1.0]
    assert pickle.loads(pickle.dumps(dimension)) == dimension


@pytest.mark.parametrize(
    ("dimension", "value"),
    [
        (Dimension("integer", 3, 3), 3),
        (Dimension("integer", 3, 5, step=8), 3),
        (Dimension("real", 0.5, 0.5), 0.5),
        (Dimension("choice", choices=("x",)), "x"),
    ],
)
def test_fixed_values_are_one_choice(dimension: Dimension, value: Any) -> None:
    """What cannot vary is written so that every library takes it."""
    assert dimension.n_values == 1
    assert dimension.to_scipy() == [value]
    assert dimension.to_skopt() == Categorical([value])
    assert dimension.to_optuna().single()


def test_bounds_end_at_the_last_step() -> None:
    """A range that its step does not divide ends before."""
    assert Dimension("integer", 8, 30, step=8).high == 24
    assert Dimension("real", 0.1, 0.65, step=0.2).high == 0.5
    assert read(IntDistribution(0, 6, step=3), "x").n_values == 3


@pytest.mark.parametrize(
    "choices",
    [
        ((64, 32), (8,)),
        (True, 1),
        (1, 1.0, "1"),
        ([1], {"default": 2}),
        (np.arange(3), np.arange(2)),
    ],
)
def test_labels_stand_for_any_object(choices: tuple[Any, ...]) -> None:
    """What Optuna cannot store or tell apart has a label, which leads back to it."""
    dimension = Dimension("choice", choices=choices)
    labels = [dimension.label(choice) for choice in choices]
    assert tuple(labels) == dimension.to_optuna().choices
    assert len(set(labels)) == len(choices)
    for label, choice in zip(labels, choices, strict=True):
        assert dimension.unlabel(label) is choice


def test_storable_choices_are_their_own_labels() -> None:
    """None, bools, numbers and strings stay what they are."""
    choices = (None, False, 2, 0.5, "a", float("nan"))
    dimension = Dimension("choice", choices=choices)
    assert [dimension.label(choice) for choice in choices] == list(choices)
    assert dimension.label(np.float64(0.5)) == 0.5
    assert dimension.position_of(np.int64(2)) == 2


def test_steps_print_what_they_are() -> None:
    """The text of a column of steps has its ends and its step."""
    steps = Dimension("integer", 8, 128, step=8).to_skopt()
    assert repr(steps) == "Steps(start=8, stop=128, step=8)"


def test_long_labels_are_cut() -> None:
    """A label has at most 60 characters behind its position, and leads back."""
    choices = tuple((size,) * 40 for size in (1, 2))
    dimension = Dimension("choice", choices=choices)
    for position, choice in enumerate(choices):
        label = dimension.label(choice)
        shown = repr(choice)[: _LONGEST_LABEL - 3]
        assert label == f"{position}: {shown}..."
        assert dimension.unlabel(label) is choice


def test_another_value_is_none_of_the_choices() -> None:
    """The error names the parameter, the value and the choices."""
    dimension = Dimension("choice", choices=("relu", "tanh"), name="activation")
    with pytest.raises(ValueError, match=r"'activation'.*'elu'.*\['relu', 'tanh'\]"):
        dimension.position_of("elu")


def test_a_distribution_holds_whatever_it_draws() -> None:
    """Nobody can tell what else it might have drawn."""
    assert 1e300 in read(stats.norm(0, 1), "width")


def test_labels_do_not_depend_on_the_process() -> None:
    """No address of an object is part of a label."""
    dimension = Dimension("choice", choices=(object(), object()))
    assert dimension.to_optuna().choices == ("0: object", "1: object")


@pytest.mark.parametrize("frozen", [stats.norm(0, 1), stats.loguniform(1, 2, loc=3)])
def test_other_distributions_only_draw(frozen: Any) -> None:
    """Random searches draw from anything, model-based ones refuse it and say why."""
    found = read(frozen, "width")
    assert found.to_scipy() is frozen
    for write in (found.to_skopt, found.to_optuna):
        with pytest.raises(ValueError, match=r"'width' has a distribution.*'random'"):
            write()


@pytest.mark.parametrize("choices", [("auto", 32), ((1, 2), (3, 4)), ([1],)])
def test_choices_that_skopt_would_change_are_refused(choices: Any) -> None:
    """scikit-optimize makes strings of numbers beside them: better an error."""
    with pytest.raises(ValueError, match=r"'x' has the choices.*cannot hold"):
        read(list(choices), "x").to_skopt()


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ("relu", TypeError, r"'x' .*'relu'.*one value: \[value\]"),
        (3, TypeError, "'x' of the search space is 3"),
        ([], ValueError, "'x' has no value to choose from"),
        ((1e-4, 1e-1, "log-uniform"), ValueError, "'x' .*sequence holds choices"),
    ],
)
def test_wrong_values_are_refused(value: Any, error: Any, message: str) -> None:
    """The error names the parameter and what is accepted."""
    with pytest.raises(error, match=message):
        read(value, "x")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"low": 2, "high": 1}, "'x' lies between 2 and 1"),
        ({"low": 0, "high": np.inf}, "'x' lies between 0 and inf"),
        ({"low": 0, "high": 1, "log": True}, "'x' has a logarithmic scale"),
        ({"low": 1, "high": 9, "log": True, "step": 2}, "'x' has step=2 and log=True"),
        ({"low": 1, "high": 9, "step": 0}, "'x' has step=0"),
    ],
)
def test_wrong_bounds_are_refused(arguments: dict[str, Any], message: str) -> None:
    """A range that no library could search is refused where it is made."""
    with pytest.raises(ValueError, match=message):
        Dimension("integer", name="x", **arguments)


@pytest.mark.parametrize("space", [[], "x", [({"a": [1]}, 5)], [["a"]], 3])
def test_spaces_are_dicts(space: Any) -> None:
    """A space is a dict or a list of dicts and nothing else."""
    with pytest.raises(ValueError, match=r"search space.*dicts"):
        read_space(space)
    assert read_space({"a": [1]}) == read_space([{"a": [1]}])


def test_draws_are_pickled_and_take_a_size() -> None:
    """Searches send them to other processes."""
    draws = Draws(Dimension("integer", 0, 8, step=4))
    copied = pickle.loads(pickle.dumps(draws))
    assert copied.rvs(5, random_state=1) == draws.rvs(5, random_state=1)
    assert len(draws.rvs(5, random_state=1)) == 5
