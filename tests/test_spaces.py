from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import optuna
import pytest
from estimators import plain_classifier, plain_regressor
from searches import optuna_search_cv
from sklearn.datasets import make_classification
from sklearn.model_selection import GridSearchCV, ParameterSampler, RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skopt import BayesSearchCV
from skopt.space import Categorical, Integer, Real, Space
from skopt.utils import dimensions_aslist, point_asdict

from sknnopt import OptimizedMLPClassifier, OptimizedMLPRegressor, search
from sknnopt._spaces import PRESETS, grid, space
from sknnopt.activations import ACTIVATIONS
from sknnopt.optimizers import OPTIMIZERS

KINDS = ("skopt", "sklearn", "optuna")
N_DRAWS = 20


def parts(found: Any) -> list[dict[str, Any]]:
    """Return a space as a list of subspaces."""
    return found if isinstance(found, list) else [found]


def skopt_draws(subspace: dict[str, Any]) -> Any:
    """Yield points as BayesSearchCV hands them to an estimator."""
    points = Space(dimensions_aslist(subspace)).rvs(N_DRAWS, random_state=0)
    for point in points:
        native = [np.array(value).item() for value in point]
        yield point_asdict(subspace, native)


def sklearn_draws(subspace: dict[str, Any]) -> Any:
    """Yield points as RandomizedSearchCV hands them to an estimator."""
    yield from ParameterSampler(subspace, N_DRAWS, random_state=0)


def optuna_draws(subspace: dict[str, Any]) -> Any:
    """Yield points as OptunaSearchCV hands them to an estimator."""
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(sampler=sampler)
    for _ in range(N_DRAWS):
        yield study.ask(subspace).params


DRAWS = {"skopt": skopt_draws, "sklearn": sklearn_draws, "optuna": optuna_draws}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("estimator", [OptimizedMLPClassifier, OptimizedMLPRegressor])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("preset", PRESETS)
def test_every_draw_fits(
    preset: str, kind: str, estimator: type, rng: np.random.Generator
) -> None:
    """No point of a space raises or predicts a number that is not finite."""
    X = rng.normal(size=(40, 3))
    y = (X[:, 0] > 0).astype(int)
    subspaces = parts(space(kind, preset))
    for subspace in subspaces:
        for params in islice(DRAWS[kind](subspace), N_DRAWS // len(subspaces)):
            model = estimator(n_members=1, max_epochs=2, random_state=0)
            model.set_params(**params).fit(X, y)
            answer = getattr(model, "predict_proba", model.predict)(X)
            assert np.isfinite(answer).all(), params


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("preset", PRESETS)
def test_prefix_stands_before_every_name(preset: str, kind: str) -> None:
    """A prefix changes the names and nothing else."""
    plain = parts(space(kind, preset))
    prefixed = parts(space(kind, preset, prefix="mlp__"))
    for one, other in zip(plain, prefixed, strict=True):
        assert list(other) == [f"mlp__{name}" for name in one]


@pytest.mark.parametrize("preset", PRESETS)
def test_dimensions_of_skopt_are_new_each_time(preset: str) -> None:
    """A search that changes its dimensions does not change another's."""
    found = [*parts(space("skopt", preset)), *parts(space("skopt", preset))]
    dimensions = [d for subspace in found for d in subspace.values()]
    assert len({id(dimension) for dimension in dimensions}) == len(dimensions)


@pytest.mark.parametrize("preset", ["small", "standard", "guide"])
def test_options_are_those_of_the_preset(preset: str) -> None:
    """The categories come from the registries' presets."""
    dimensions = parts(space("sklearn", preset))[0]
    name = "activation__0" if preset == "guide" else "activation"
    for choices, options in [
        (dimensions[name], ACTIVATIONS),
        (dimensions["optimizer"], OPTIMIZERS),
    ]:
        assert choices == [
            k for k, option in options.items() if preset in option.presets
        ]


def test_general_presets_can_reach_the_default_optimizer() -> None:
    """No preset searches without what stands at its default."""
    for preset in ("small", "standard", "regularization"):
        assert (
            OptimizedMLPClassifier().optimizer in space("sklearn", preset)["optimizer"]
        )


@pytest.mark.parametrize("kind", KINDS)
def test_guide_has_one_subspace_for_each_depth(kind: str) -> None:
    """Depths 1 to 10, each with the dimensions of its layers and of no other."""
    for depth, subspace in enumerate(space(kind, "guide"), start=1):
        layers = {
            f"{name}__{layer}"
            for name in ("n_units", "activation", "dropout")
            for layer in range(depth)
        }
        assert set(subspace) == {"n_layers", "optimizer", *layers}
    assert depth == 10


def test_guide_holds_the_values_of_the_guide() -> None:
    """Units of 8 to 128 in steps of 8, dropout of 0.1 to 0.6, a depth that is fixed."""
    subspace = space("optuna", "guide", depth=3)
    distributions = optuna.distributions
    assert subspace["n_units__2"] == distributions.IntDistribution(8, 128, step=8)
    assert subspace["dropout__1"] == distributions.FloatDistribution(0.1, 0.6)
    assert subspace["n_layers"] == distributions.CategoricalDistribution([3])
    assert set(subspace["activation__0"].choices) == {"relu", "tanh", "sigmoid"}
    assert set(subspace["optimizer"].choices) == {"adam", "sgd", "rmsprop", "adadelta"}
    sampled = ParameterSampler(space("sklearn", "guide", depth=3), 300, random_state=0)
    assert {params["n_units__0"] for params in sampled} == set(range(8, 129, 8))


def test_depth_of_the_guide_selects_subspaces() -> None:
    """An int gives the dict of that depth, a sequence the list of those."""
    whole = space("sklearn", "guide")
    assert list(space("sklearn", "guide", depth=2)) == list(whole[1])
    chosen = space("sklearn", "guide", depth=(3, 1))
    assert [list(subspace) for subspace in chosen] == [list(whole[2]), list(whole[0])]


@pytest.mark.parametrize("preset", ["small", "standard", "regularization"])
def test_depth_replaces_the_number_of_layers(preset: str) -> None:
    """The depths that are given are the choices of n_layers, all else stays."""
    plain, deep = space("skopt", preset), space("skopt", preset, depth=[1, 4])
    assert deep.pop("n_layers") == Categorical([1, 4])
    plain.pop("n_layers", None)
    assert deep == plain
    assert space("skopt", preset, depth=5)["n_layers"] == Categorical([5])


def test_kinds_are_of_their_libraries() -> None:
    """Each kind of dimension has the ranges of the preset in its library's words."""
    assert space("skopt")["n_layers"] == Integer(1, 3)
    assert space("skopt")["l2"] == Real(1e-6, 1e-1, prior="log-uniform")
    int_distribution = optuna.distributions.IntDistribution
    assert space("optuna")["n_units"] == int_distribution(8, 128, log=True)
    assert space("sklearn")["dropout"].support() == (0.0, 0.5)
    assert space("sklearn")["l2"].support() == (1e-6, 1e-1)
    assert space("sklearn")["n_layers"].support() == (1, 3)


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    """Return a small table with two classes."""
    return make_classification(60, 4, random_state=0)


def pipeline() -> Any:
    """Return a scaler before a network that is quickly fitted."""
    network = OptimizedMLPClassifier(n_members=1, max_epochs=2, random_state=0)
    return make_pipeline(StandardScaler(), network)


PREFIX = "optimizedmlpclassifier__"


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("preset", ["small", "guide"])
def test_searches_take_the_space_as_it_is(preset: str, data: Any) -> None:
    """A dict or a list of dicts goes straight into each library's search."""
    depth = [1, 3] if preset == "guide" else None
    searches = [
        BayesSearchCV(
            pipeline(),
            space("skopt", preset, depth=depth, prefix=PREFIX),
            n_iter=3,
            cv=2,
            optimizer_kwargs={
                "n_initial_points": 2,
                "acq_optimizer_kwargs": {"n_points": 100},
            },
            random_state=0,
        ),
        RandomizedSearchCV(
            pipeline(),
            space("sklearn", preset, depth=depth, prefix=PREFIX),
            n_iter=3,
            cv=2,
            random_state=0,
        ),
    ]
    for each in searches:
        each.fit(*data)
        assert np.isfinite(each.cv_results_["mean_test_score"]).all()
        for params in each.cv_results_["params"]:
            layers = params.get(f"{PREFIX}n_layers")
            indexed = [name for name in params if f"{PREFIX}n_units__" in name]
            assert len(indexed) == (layers if preset == "guide" else 0)
            assert all(params[name] % 8 == 0 for name in indexed)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.filterwarnings("ignore:.*optuna.terminator:FutureWarning")
@pytest.mark.parametrize("preset", ["small", "guide"])
def test_optuna_search_takes_one_subspace(preset: str, data: Any) -> None:
    """OptunaSearchCV takes a dict, which a single depth of the guide is."""
    study = optuna_search_cv()(
        pipeline(),
        space("optuna", preset, depth=2, prefix=PREFIX),
        n_trials=3,
        cv=2,
        random_state=0,
    ).fit(*data)
    assert study.best_params_[f"{PREFIX}n_layers"] == 2


def test_grid_goes_from_end_to_end() -> None:
    """A range becomes equally spaced values on its scale, an option stays whole."""
    found = grid("small", n=3)
    assert found["dropout"] == [0.0, 0.25, 0.5]
    assert found["n_units"] == [8, 32, 128]
    np.testing.assert_allclose(found["learning_rate"], [1e-4, 10**-2.5, 1e-1])
    assert found["n_layers"] == [1, 2, 3]
    assert found["optimizer"] == space("sklearn")["optimizer"]


def test_grid_goes_into_a_search(data: Any) -> None:
    """GridSearchCV tries each combination of the names that are kept."""
    chosen = grid("guide", n=2, depth=2, names=["n_units__1", "n_layers"], prefix="")
    assert chosen == {"n_layers": [2], "n_units__1": [8, 128]}
    kept = grid("small", n=2, names=["n_units", "dropout"])
    network = plain_classifier(max_epochs=2, random_state=0)
    fitted = GridSearchCV(network, kept, cv=2).fit(*data)
    assert len(fitted.cv_results_["params"]) == 4
    assert len(grid("guide", depth=[1, 2])) == 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: space("skopt", "tiny"), r"'preset'.*\['small', .*Got 'tiny' instead"),
        (lambda: space("small"), r"'kind'.*\['skopt', 'sklearn', 'optuna'\].*'small'"),
        (lambda: space(depth=0), r"'depth'.*range \[1, inf\).*Got 0 instead"),
        (lambda: space(depth=[]), r"'depth'.*Got \[\] instead"),
        (lambda: space(depth=[1, 2.0]), r"'depth'.*Got \[1, 2.0\] instead"),
        (lambda: space(depth=True), r"'depth'.*Got True instead"),
        (lambda: grid(n=1), r"'n'.*range \[2, inf\).*Got 1 instead"),
        (lambda: grid(names=["units"]), r"'names'.*'n_units'.*Got 'units' instead"),
    ],
)
def test_wrong_arguments_are_refused(call: Any, message: str) -> None:
    """The error names the argument, what it takes and what it got."""
    with pytest.raises(ValueError, match=message):
        call()


def test_module_offers_what_users_need() -> None:
    """The public module gives the names, under which the docs list them."""
    assert search.space is space
    assert search.grid is grid
    assert set(search.__all__) <= set(dir(search))


@pytest.mark.parametrize("estimator", [plain_classifier, plain_regressor])
def test_standard_is_a_superset_of_small(estimator: Any) -> None:
    """Every parameter of the presets is one of both estimators."""
    known = estimator().get_params()
    for preset in ("small", "standard", "regularization"):
        assert set(space("sklearn", preset)) <= set(known)
    assert set(space("sklearn", "small")) < set(space("sklearn", "standard"))
