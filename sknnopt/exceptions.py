"""Warnings of this package alone; all else is scikit-learn's or Python's.

Examples
--------
>>> import warnings
>>> from sknnopt.exceptions import InconsistentVersionWarning
>>> warnings.simplefilter("error", InconsistentVersionWarning)
"""

from __future__ import annotations

from sklearn.exceptions import InconsistentVersionWarning as _OfScikitLearn


class InconsistentVersionWarning(_OfScikitLearn):
    """A pickle was written by another version of sknnopt.

    It is a subclass of scikit-learn's warning of the same name, so that a filter for
    that one catches both.

    Parameters
    ----------
    estimator_name : str
        What is loaded.
    current_version : str
        The version that loads it.
    original_version : str
        The version that wrote it.

    Examples
    --------
    >>> from sknnopt.exceptions import InconsistentVersionWarning
    >>> print(InconsistentVersionWarning("OptimizedMLPClassifier", "0.2", "0.1"))
    A pickle of OptimizedMLPClassifier was written by sknnopt 0.1, this is 0.2: ...
    """

    def __init__(
        self, estimator_name: str, current_version: str, original_version: str
    ) -> None:
        self.estimator_name = estimator_name
        self.current_version = current_version
        self.original_version = original_version

    def __str__(self) -> str:
        return (
            f"A pickle of {self.estimator_name} was written by sknnopt "
            f"{self.original_version}, this is {self.current_version}: it may fail or "
            "predict otherwise. Train the model again, or load it with the version "
            "that wrote it and keep it with sknnopt.persistence.save."
        )
