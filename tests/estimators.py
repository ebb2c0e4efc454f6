"""What the tests of both estimators share."""

from __future__ import annotations

from sknnopt import OptimizedMLPClassifier, OptimizedMLPRegressor

ESTIMATORS = [OptimizedMLPClassifier, OptimizedMLPRegressor]
#: Small, quick and repeatable.
SMALL = {"n_units": 8, "max_epochs": 5, "random_state": 0}


def all_weights(model):
    """Return all that the networks are made of, running statistics included."""
    return model._record["weights"]
