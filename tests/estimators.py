"""What the tests of both estimators share."""

from __future__ import annotations

from functools import partial

import sklearn

from sknnopt import OptimizedMLPClassifier, OptimizedMLPRegressor
from sknnopt.presets import PLAIN

#: Major and minor, for tests of what scikit-learn itself began to do.
SKLEARN = tuple(int(part) for part in sklearn.__version__.split(".")[:2])
#: Networks as textbooks train them: what tests compare with closed forms and peers.
plain_classifier = partial(OptimizedMLPClassifier, **PLAIN)
plain_regressor = partial(OptimizedMLPRegressor, **PLAIN)
ESTIMATORS = [plain_classifier, plain_regressor]
#: Small, quick and repeatable.
SMALL = {"n_units": 8, "max_epochs": 5, "random_state": 0}


def all_weights(model):
    """Return all that the networks are made of, running statistics included."""
    return model._record["weights"]
