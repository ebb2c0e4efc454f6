"""scikit-learn estimators around batches of PyTorch multilayer perceptrons."""

from __future__ import annotations

from sknnopt._version import __version__
from sknnopt.classifier import OptimizedMLPClassifier
from sknnopt.regressor import OptimizedMLPRegressor

__all__ = ["OptimizedMLPClassifier", "OptimizedMLPRegressor", "__version__"]
