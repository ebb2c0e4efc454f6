"""Named sets of parameters."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from estimators import SMALL, all_weights

from sknnopt import OptimizedMLPClassifier, OptimizedMLPRegressor, presets

PRESETS = {
    name: value
    for name, value in vars(presets).items()
    if isinstance(value, Mapping) and name.isupper()
}
BOTH = pytest.mark.parametrize(
    "estimator", [OptimizedMLPClassifier, OptimizedMLPRegressor]
)


def test_plain_is_found():
    """The presets under test are not an empty set."""
    assert "PLAIN" in PRESETS


@BOTH
@pytest.mark.parametrize("name", PRESETS)
def test_preset_names_parameters(estimator, name):
    """What a preset names are parameters of both estimators, with values they take."""
    model = estimator(**PRESETS[name])
    given = model.get_params()
    assert {key: given[key] for key in PRESETS[name]} == dict(PRESETS[name])
    model._validate_params()


@pytest.mark.parametrize("name", PRESETS)
def test_preset_cannot_be_changed(name):
    """Nobody changes a preset for others."""
    with pytest.raises(TypeError):
        PRESETS[name]["n_members"] = 2


@BOTH
@pytest.mark.parametrize("name", PRESETS)
def test_preset_trains(estimator, name, table):
    """A preset is complete: it builds, fits and predicts finitely."""
    X, y = table
    model = estimator(**{**SMALL, **PRESETS[name]}).fit(X, y)
    assert np.isfinite(model.predict(X)).all()


@BOTH
def test_plain_is_one_network_of_the_inputs(estimator, rng):
    """PLAIN has one member, which sees the table as it is and holds nothing out."""
    X = rng.normal(5.0, 3.0, size=(300, 4))
    model = estimator(**SMALL, **presets.PLAIN).fit(X, (X[:, 0] > 5).astype(int))
    assert len(all_weights(model)) == 1
    assert model.coefs_[0].shape == (4, 8)
    assert model.dropouts_ == (0.0, 0.0)
    assert "valid_loss" not in model.history_
    assert model._checked_rows(X) is X
