"""What importing the package's parts loads, and what it leaves for later."""

from __future__ import annotations

import json

import sknnopt
from tests import core_only

#: Packages of which most users never need a part.
OPTIONAL = {
    "matplotlib",
    "onnx",
    "onnxruntime",
    "optuna",
    "pandas.plotting",
    "rich",
    "safetensors",
    "skopt",
    "skops",
}
PROGRAM = """
import importlib, json, sys
import torch, sklearn, skorch, pandas
seen, loaded = set(sys.modules), {}
parts = ("classifier", "regressor", "search", "persistence", "migrate", "displays")
for name in (*parts, "_samplers", "_study"):
    importlib.import_module(f"sknnopt.{name}")
    loaded[name] = sorted(set(sys.modules) - seen)
    seen.update(sys.modules)
print(json.dumps(loaded))
"""


def test_optional_packages_wait(nursery):
    """No part loads more of the optional packages than the required ones load."""
    loaded = json.loads(nursery.run(PROGRAM))
    assert "sknnopt.classifier" in loaded["classifier"]
    optional = {part: OPTIONAL.intersection(names) for part, names in loaded.items()}
    assert not any(optional.values()), optional


def test_names_are_listed():
    """What is loaded when it is asked for is listed before."""
    assert set(sknnopt.__all__) <= set(dir(sknnopt))
    assert dir(sknnopt) == sorted(dir(sknnopt))


#: Before 1.9 scikit-learn has no callbacks. What has been imported keeps them.
OLDER = """
import sys
import pandas, skorch, sklearn.ensemble, sklearn.model_selection, sklearn.pipeline
found, sys.modules["sklearn.callback"] = sys.modules.get("sklearn.callback"), None
from sknnopt import OptimizedMLPClassifier, OptimizedMLPRegressor
if found is not None:
    sys.modules["sklearn.callback"] = found
X, y = [[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1]
for estimator in (OptimizedMLPClassifier, OptimizedMLPRegressor):
    model = estimator(max_epochs=2).fit(X, y)
    assert not hasattr(model, "set_callbacks")
    assert len(model.partial_fit(X, y).predict(X)) == 4
"""


def test_without_callbacks_of_scikit_learn(nursery):
    """Where scikit-learn has no callbacks, networks train without them."""
    nursery.run(OLDER)


#: A module that is None cannot be imported.
BLOCKED = """
import runpy, sys
blocked = {packages}
loaded = [name for name in sys.modules if name.partition(".")[0] in blocked]
sys.modules.update(dict.fromkeys([*blocked, *loaded]))
runpy.run_path({program!r}, run_name="__main__")
"""


def test_without_optional_packages(nursery):
    """Networks and searches need no optional package; what does names the extra."""
    program = BLOCKED.format(
        packages=sorted(core_only.EXTRAS), program=core_only.__file__
    )
    nursery.run(program)
