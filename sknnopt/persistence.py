"""Save fitted models to one file, and load them without executing code.

The file has the safetensors format: the arrays of the fitted state, and one JSON
document with everything else. No part of it is a pickle.
"""

from __future__ import annotations

import copy
import os
import warnings
from importlib.metadata import version
from pathlib import Path
from textwrap import shorten
from typing import Any, NoReturn

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    RobustScaler,
    StandardScaler,
)
from sklearn.utils.validation import check_is_fitted

from sknnopt import _files
from sknnopt._codec import CodecError, Decoder, Encoder
from sknnopt._inputs import Inputs
from sknnopt._parts import check_parts
from sknnopt.classifier import OptimizedMLPClassifier
from sknnopt.regressor import OptimizedMLPRegressor

_FORMAT = "sknnopt"
_FORMAT_VERSION = 1
#: Packages whose versions a file notes.
_NOTED = ("numpy", "scikit-learn", "torch", "safetensors")
_NEED = "Saving and loading need"
_ESTIMATORS = (OptimizedMLPClassifier, OptimizedMLPRegressor)
_STEPS = (
    StandardScaler,
    MinMaxScaler,
    RobustScaler,
    SimpleImputer,
    OneHotEncoder,
    ColumnTransformer,
    # A fitted ColumnTransformer keeps "passthrough" as an empty one of these.
    FunctionTransformer,
    Pipeline,
)
#: The only classes that are ever written or made.
_CLASSES: dict[str, type] = {
    kind.__name__: kind for kind in (*_ESTIMATORS, *_STEPS, Inputs)
}
#: Code, and what may be written to where the model was trained.
_OMITTED = {"callbacks": None, "checkpoint": None}
#: A file says nothing of single training rows, nor of who looked on.
_LEFT_OUT = ("oof_prediction_", "_skl_callbacks")


def save(model: Any, path: str | os.PathLike[str]) -> None:
    """Save a fitted model to one file.

    The file appears whole or not at all. It holds weights, the optimizer's memory,
    the random generators' states, parameters and history, so that a loaded model
    predicts the same bits and can go on training; no training row is in it, and so
    ``oof_prediction_``, which has a row for each, is not saved (``oof_score_`` is).
    Nor is what ``set_callbacks`` was given.

    Parameters
    ----------
    model : OptimizedMLPClassifier, OptimizedMLPRegressor or Pipeline
        A fitted estimator, or a fitted pipeline that ends in one. The other steps
        may be StandardScaler, MinMaxScaler, RobustScaler, SimpleImputer,
        OneHotEncoder, ColumnTransformer of these, nested pipelines, "passthrough"
        and "drop".
    path : str or path-like
        The file; ``.safetensors`` is its usual ending. An existing file is replaced.

    Raises
    ------
    ValueError
        If a step or a parameter cannot be saved, or the model is not fitted.
    ImportError
        If safetensors is not installed.

    Warns
    -----
    UserWarning
        If ``callbacks`` are set: they are not saved.

    See Also
    --------
    load : The reverse.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sknnopt import OptimizedMLPClassifier
    >>> from sknnopt.datasets import load_pima
    >>> from sknnopt.persistence import load, save
    >>> X, y = load_pima(return_X_y=True)
    >>> model = OptimizedMLPClassifier(max_epochs=2, random_state=0).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(model, Path(folder) / "model.safetensors")
    ...     loaded = load(Path(folder) / "model.safetensors")
    >>> bool((loaded.predict_proba(X) == model.predict_proba(X)).all())
    True
    """
    _files.safetensors(_NEED)
    last = model.steps[-1][1] if isinstance(model, Pipeline) else model
    if type(last) not in _ESTIMATORS:
        raise ValueError(
            "The 'model' parameter of save must be an OptimizedMLPClassifier, an "
            "OptimizedMLPRegressor or a Pipeline that ends in one. Got a "
            f"{_described(model)} instead."
        )
    check_is_fitted(model)
    encoder = Encoder(_CLASSES, omitted=_OMITTED, left_out=_LEFT_OUT)
    document = {
        "format": _FORMAT,
        "format_version": _FORMAT_VERSION,
        "versions": _files.versions_of(*_NOTED),
        "class": type(model).__name__,
        "model": encoder.encode(model, "model"),
    }
    if "callbacks" in encoder.seen_omitted:
        warnings.warn(
            "The 'callbacks' parameter is not saved: the loaded model has None. Set it "
            "again with set_params(callbacks=...).",
            UserWarning,
            stacklevel=2,
        )
    _files.write_whole(Path(path), _files.to_bytes(document, encoder.arrays))


def load(path: str | os.PathLike[str]) -> Any:
    """Load a model that :func:`save` wrote.

    Nothing in the file is executed, and only estimators that :func:`save` supports
    are made; a file from a stranger may predict nonsense, but do no more. A checksum
    tells whether a byte has changed since; who means to deceive can make a new one.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    OptimizedMLPClassifier, OptimizedMLPRegressor or Pipeline
        The fitted model.

    Raises
    ------
    ValueError
        If the file is no such model, truncated, altered, or of a later format.
    ImportError
        If safetensors is not installed.
    OSError
        If the file cannot be opened.

    Warns
    -----
    UserWarning
        If the model was saved with another version of scikit-learn.

    See Also
    --------
    save : The reverse, with an example.
    """
    document, arrays = _read(Path(path))
    _check_format(path, document)
    try:
        model = Decoder(_CLASSES, arrays).decode(document["model"])
        _try(model)
        saved_with = document["versions"]["scikit-learn"]
    # Whatever a damaged document leads to is one and the same thing to the user.
    except (
        CodecError,
        ArithmeticError,
        AttributeError,
        LookupError,
        MemoryError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        _refuse(path, f"is damaged ({shorten(str(error), 200)})", error)
    if type(model).__name__ != document.get("class"):
        _refuse(path, f"is damaged (its class is {type(model).__name__})")
    if saved_with != version("scikit-learn"):
        warnings.warn(
            f"{path} was saved with scikit-learn {saved_with}, this is "
            f"{version('scikit-learn')}: its steps may behave differently.",
            UserWarning,
            stacklevel=2,
        )
    return model


def _try(model: Any) -> None:
    """Let a loaded network answer once: its parts must fit each other."""
    check_is_fitted(model)
    for part in _pipelines(model):
        # A cache is a folder of pickles.
        part.memory = None
    last = model.steps[-1][1] if isinstance(model, Pipeline) else model
    check_parts(last)
    # A file from a stranger must not name one that a fit would write.
    last.checkpoint = None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="X does not have valid feature names")
        probe = copy.copy(last)
        # Where it was trained need not exist here.
        probe.device = "cpu"
        probe.predict(np.zeros((1, last.n_features_in_)))


def _pipelines(model: Any) -> list[Pipeline]:
    """Return all pipelines in a model."""
    if isinstance(model, Pipeline):
        inner = [step for _, step in model.steps]
        return [model, *(p for step in inner for p in _pipelines(step))]
    if isinstance(model, ColumnTransformer):
        inner = [step for _, step, *_ in (*model.transformers, *model.transformers_)]
        return [pipeline for step in inner for pipeline in _pipelines(step)]
    return []


def _described(model: Any) -> str:
    name = type(model).__name__
    if isinstance(model, Pipeline):
        return f"{name} that ends in {type(model.steps[-1][1]).__name__}"
    return name


def _read(path: Path) -> tuple[Any, dict[str, np.ndarray]]:
    _files.safetensors(_NEED)
    try:
        return _files.read(path)
    except _files.FileFormatError as error:
        _refuse(path, str(error), error.__cause__)


def _check_format(path: Any, document: Any) -> None:
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        _refuse(path, "is a safetensors file, but no model of sknnopt")
    found = document.get("format_version")
    if not isinstance(found, int) or found < 1:
        _refuse(path, f"is damaged (its format version is {found!r})")
    if found > _FORMAT_VERSION:
        _refuse(
            path,
            f"has format version {found}, and this sknnopt reads up to version "
            f"{_FORMAT_VERSION}: upgrade sknnopt",
        )


def _refuse(path: Any, reason: str, cause: BaseException | None = None) -> NoReturn:
    raise ValueError(f"Cannot load {os.fspath(path)}: it {reason}.") from cause
