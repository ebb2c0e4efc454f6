from __future__ import annotations

import numpy as np
import pytest
from estimators import plain_classifier, plain_regressor
from skopt.space import Categorical, Dimension, Space
from skopt.utils import dimensions_aslist, point_asdict

from sknnopt.activations import ACTIVATIONS
from sknnopt.optimizers import OPTIMIZERS
from sknnopt.search import PRESETS, space

N_DRAWS = 12


def draws(preset: str, n_draws: int = N_DRAWS) -> list[dict[str, object]]:
    """Return points of a space, as BayesSearchCV hands them to an estimator."""
    dimensions = space(preset)
    points = Space(dimensions_aslist(dimensions)).rvs(n_draws, random_state=0)
    native = [[np.array(value).item() for value in point] for point in points]
    return [point_asdict(dimensions, point) for point in native]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("kind", [plain_classifier, plain_regressor])
def test_every_draw_fits(preset: str, kind: type, rng: np.random.Generator) -> None:
    """No point of a space raises or predicts a number that is not finite."""
    X = rng.normal(size=(40, 3))
    y = (X[:, 0] > 0).astype(int)
    for params in draws(preset):
        model = kind(max_epochs=2, random_state=0).set_params(**params).fit(X, y)
        answer = getattr(model, "predict_proba", model.predict)(X)
        assert np.isfinite(answer).all(), params


@pytest.mark.parametrize("preset", PRESETS)
def test_prefix_stands_before_every_name(preset: str) -> None:
    """A prefix changes the names and nothing else."""
    plain, prefixed = space(preset), space(preset, prefix="mlp__")
    assert list(prefixed) == [f"mlp__{name}" for name in plain]
    assert list(prefixed.values()) == list(plain.values())


@pytest.mark.parametrize("preset", PRESETS)
def test_dimensions_are_new_each_time(preset: str) -> None:
    """A search that changes its dimensions does not change the next search's."""
    first, second = space(preset), space(preset)
    for name, dimension in first.items():
        assert isinstance(dimension, Dimension)
        assert dimension is not second[name]


@pytest.mark.parametrize("preset", ["small", "standard", "guide"])
def test_options_are_those_of_the_preset(preset: str) -> None:
    """The categories come from the registries' presets."""
    dimensions = space(preset)
    name = "activation__0" if preset == "guide" else "activation"
    for dimension, options in [
        (dimensions[name], ACTIVATIONS),
        (dimensions["optimizer"], OPTIMIZERS),
    ]:
        assert isinstance(dimension, Categorical)
        expected = {k for k, option in options.items() if preset in option.presets}
        assert set(dimension.categories) == expected


def test_guide_has_dimensions_for_each_layer() -> None:
    """Ten layers with three dimensions each, and three for the whole network."""
    dimensions = space("guide")
    assert len(dimensions) == 33
    assert dimensions["n_layers"].bounds == (1, 10)
    assert {f"n_units__{layer}" for layer in range(10)} <= set(dimensions)


def test_unknown_preset_is_refused() -> None:
    """The error names the presets that there are."""
    with pytest.raises(ValueError, match=r"one of \['small', .*Got 'tiny' instead"):
        space("tiny")
