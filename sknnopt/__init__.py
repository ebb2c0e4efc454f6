"""scikit-learn estimators around batches of PyTorch multilayer perceptrons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from joblib.parallel import register_parallel_backend

from sknnopt._interrupts import deferred_interrupts
from sknnopt._version import __version__

if TYPE_CHECKING:
    from sknnopt.classifier import OptimizedMLPClassifier
    from sknnopt.regressor import OptimizedMLPRegressor

__all__ = ["OptimizedMLPClassifier", "OptimizedMLPRegressor", "__version__"]


def _gathering_backend(**options: Any) -> Any:
    """Make the joblib backend when it is first asked for."""
    with deferred_interrupts():
        from sknnopt._gathering import GatheringBackend

    return GatheringBackend(**options)


register_parallel_backend("sknnopt", _gathering_backend)


def __getattr__(name: str) -> Any:
    """Import an estimator when it is first asked for: torch takes its time."""
    if name == "OptimizedMLPClassifier":
        with deferred_interrupts():
            from sknnopt.classifier import OptimizedMLPClassifier

        return OptimizedMLPClassifier
    if name == "OptimizedMLPRegressor":
        with deferred_interrupts():
            from sknnopt.regressor import OptimizedMLPRegressor

        return OptimizedMLPRegressor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
