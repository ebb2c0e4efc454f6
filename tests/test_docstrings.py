"""The estimators' documentation, which is put together when they are imported."""

from __future__ import annotations

import ast
import inspect
import tomllib
from pathlib import Path

import pytest
from numpydoc.docscrape import ClassDoc
from numpydoc.validate import validate

from sknnopt import OptimizedMLPClassifier, OptimizedMLPRegressor

ESTIMATORS = [OptimizedMLPClassifier, OptimizedMLPRegressor]
PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def _unwanted():
    """Return the checks that the project's configuration switches off."""
    settings = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))
    checks = settings["tool"]["numpydoc_validation"]["checks"]
    return {check for check in checks if check != "all"}


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_numpydoc(estimator):
    """The finished docstring passes the checks that all others have to pass."""
    found = validate(f"{estimator.__module__}.{estimator.__name__}")["errors"]
    # GL07: numpydoc would have Attributes after Examples, scikit-learn has not.
    allowed = _unwanted() | {"GL07"}
    assert [error for error in found if error[0] not in allowed] == []


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_every_parameter_is_described_with_its_default(estimator):
    """Each parameter is described, in order, with the default of the signature."""
    described = ClassDoc(estimator)["Parameters"]
    parameters = inspect.signature(estimator).parameters
    assert [entry.name for entry in described] == list(parameters)
    for entry in described:
        default = parameters[entry.name].default
        assert ast.literal_eval(entry.type.split("default=")[1]) == default
        assert " ".join(entry.desc).endswith(".")


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_every_fitted_attribute_is_described(estimator, rng):
    """What a fit sets is described, and what is described is there."""
    X = rng.normal(size=(20, 2))
    # Members that validate on folds: such a fit sets all there is.
    settings = {"n_members": 2, "early_stopping": True, "random_state": 0}
    model = estimator(n_units=2, max_epochs=1, **settings).fit(X, X[:, 0] > 0)
    described = {entry.name for entry in ClassDoc(estimator)["Attributes"]}
    set_by_fit = {
        name for name in vars(model) if name.endswith("_") and not name.startswith("_")
    }
    assert set_by_fit <= described
    for name in described - {"feature_names_in_"}:
        assert hasattr(model, name)
