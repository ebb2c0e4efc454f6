"""Searches for hyperparameters: spaces, a search that prunes, and what searches found.

Everything but :class:`MLPSearchCV` serves scikit-learn's searches, BayesSearchCV and
OptunaSearchCV as well.
"""

from __future__ import annotations

from sknnopt._best_models import best_models, ensemble_of_best
from sknnopt._search_cv import MLPSearchCV
from sknnopt._spaces import PRESETS, grid, space
from sknnopt._surrogate import parameter_importance, partial_dependence
from sknnopt._trials import best_hyperparameters, trials_frame

__all__ = [
    "PRESETS",
    "MLPSearchCV",
    "best_hyperparameters",
    "best_models",
    "ensemble_of_best",
    "grid",
    "parameter_importance",
    "partial_dependence",
    "space",
    "trials_frame",
]
