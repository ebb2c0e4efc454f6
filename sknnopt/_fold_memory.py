"""A pipeline's transformers, fitted once for each fold of a search.

Candidates that differ in the network alone meet the same transformers and the same
rows. A pipeline asks its ``memory`` for each fitted transformer; this one answers from
a dictionary that the search throws away.
"""

from __future__ import annotations

import inspect
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection
from typing import Any, Self

import joblib
from sklearn.base import clone
from sklearn.pipeline import Pipeline


class FoldMemory:
    """What a search remembers of the transformers that it has fitted.

    Parameters
    ----------
    size : int
        Results that are kept; those that were used last.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._results: OrderedDict[str, Any] = OrderedDict()
        self._lock = threading.Lock()

    def cache(
        self, function: Callable[..., Any], ignore: Collection[str] = ()
    ) -> Callable[..., Any]:
        """Return a function that computes what it has not computed before.

        Parameters
        ----------
        function : callable
            Whose results follow from its arguments.
        ignore : collection of str, default=()
            Names of arguments that they do not depend on.

        Returns
        -------
        callable
            With the same arguments. Two threads that ask at the same time both
            compute: a thread that waited here would hold up a whole search.
        """
        signature = inspect.signature(function)

        def remembered(*args: Any, **kwargs: Any) -> Any:
            bound = signature.bind(*args, **kwargs).arguments
            counted = {k: v for k, v in bound.items() if k not in ignore}
            key = joblib.hash((function.__qualname__, counted))
            with self._lock:
                if key in self._results:
                    self._results.move_to_end(key)
                    return self._results[key]
            result = function(*args, **kwargs)
            with self._lock:
                self._results[key] = result
                while len(self._results) > self.size:
                    self._results.popitem(last=False)
            return result

        return remembered

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # Clones of a pipeline share it: that is its purpose.
        return self

    def __reduce__(self) -> tuple[type[FoldMemory], tuple[int]]:
        # Another process has a memory of its own.
        return FoldMemory, (self.size,)


def with_memory(estimator: Any, n_splits: int) -> Any:
    """Return a pipeline that remembers its transformers from fold to fold.

    Parameters
    ----------
    estimator : estimator
        A pipeline, or anything else.
    n_splits : int
        Folds of the search.

    Returns
    -------
    estimator
        A clone with a memory where there are transformers to remember and the user
        has not said where; otherwise ``estimator``.
    """
    if not isinstance(estimator, Pipeline) or estimator.memory is not None:
        return estimator
    n_transformers = len(estimator.steps) - 1
    if not n_transformers:
        return estimator
    # Those of this candidate, and of another that has them otherwise.
    size = 2 * n_splits * n_transformers
    return clone(estimator).set_params(memory=FoldMemory(size))
