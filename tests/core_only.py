"""Work with none of the optional packages: what needs one names it, all else works.

A program of its own. `make dist` runs it where only the wheel and what it requires are
installed, tests/test_imports.py where the optional packages cannot be imported.
"""

from __future__ import annotations

import contextlib
import io
import pickle
import sys
import tempfile
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sknnopt import OptimizedMLPClassifier, OptimizedMLPRegressor
from sknnopt.__main__ import main as command_line
from sknnopt.datasets import load_pima
from sknnopt.displays import TrainingHistoryDisplay
from sknnopt.persistence import load, save
from sknnopt.search import MLPSearchCV, space

if TYPE_CHECKING:
    from collections.abc import Callable

#: Each optional package and the extra that brings it.
EXTRAS = {
    "matplotlib": "plot",
    "onnx": "onnx",
    "optuna": "tune",
    "rich": "progress",
    "safetensors": "save",
    "skops": "skops",
}


def main() -> None:
    """Do what needs no optional package, then ask for what does."""
    for package in EXTRAS:
        with contextlib.suppress(ImportError):
            raise AssertionError(f"{import_module(package)} is installed")
    assert (files("sknnopt") / "py.typed").is_file()
    X, y = load_pima(return_X_y=True)
    network = OptimizedMLPClassifier(
        n_members=2, max_epochs=3, verbose=1, random_state=0
    )
    model = network.fit(X, y)
    copy = pickle.loads(pickle.dumps(model))
    assert np.array_equal(copy.predict_proba(X), model.predict_proba(X))
    regressor = OptimizedMLPRegressor(n_members=2, max_epochs=3, random_state=0)
    assert np.isfinite(regressor.fit(X, y).predict(X)).all()
    for sampler in ("random", "bayes"):
        assert search(sampler).fit(X, y).predict(X).shape == y.shape
    refused(lambda: search("tpe").fit(X, y), "tune")
    refused(lambda: TrainingHistoryDisplay.from_estimator(model), "plot")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        refused(lambda: save(model, path), "save")
        refused(lambda: load(path), "save")
        refused(lambda: model.to_onnx(path), "onnx")
    assert "pip install 'sknnopt[plot,save]'" in answer("tune")


def search(sampler: str) -> MLPSearchCV:
    """Return a short search by a sampler."""
    network = OptimizedMLPClassifier(n_members=1, max_epochs=3, random_state=0)
    return MLPSearchCV(
        network,
        space("sklearn", "small"),
        sampler=sampler,
        n_iter=2,
        cv=2,
        random_state=0,
    )


def refused(action: Callable[[], object], extra: str) -> None:
    """Make sure that an action ends in an ImportError that names an extra."""
    try:
        action()
    except ImportError as error:
        said = str(error)
    else:
        said = "nothing was missing"
    assert f"pip install 'sknnopt[{extra}]'" in said, said


def answer(*arguments: str) -> str:
    """Return what the command line says to standard error as it refuses."""
    with contextlib.redirect_stderr(io.StringIO()) as stream:
        assert command_line(arguments) == 2
    return stream.getvalue()


if __name__ == "__main__":
    sys.exit(main())
