"""The computation of the predict command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import is_classifier
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from sknnopt._cli.tables import InputError, one_line, prediction_rows, read_table
from sknnopt.persistence import load


def predictions(
    model_path: str | Path, table_path: str | Path, *, proba: bool = False
) -> pd.DataFrame:
    """Predict the rows of a table with a saved model.

    Parameters
    ----------
    model_path : str or Path
        The model.
    table_path : str or Path
        The table.
    proba : bool, default=False
        Whether to add the probability of each class.

    Returns
    -------
    DataFrame
        ``prediction``, and ``probability_<class>`` for each class.

    Raises
    ------
    InputError
        If model and table do not fit.
    """
    model = _load(model_path)
    if proba and not is_classifier(model):
        raise InputError(f"--proba: {model_path} predicts numbers, not classes")
    columns = getattr(model, "feature_names_in_", None)
    if columns is None:
        raise InputError(
            f"{model_path} knows no column names: it was not trained on a DataFrame"
        )
    text = text_columns(model)
    X = prediction_rows(read_table(table_path, text=text), columns, text)
    _check_missing(model, X, text)
    result = pd.DataFrame({"prediction": _columns(model.predict(X))})
    if proba:
        for label, values in zip(model.classes_, model.predict_proba(X).T, strict=True):
            result[f"probability_{label}"] = values
    return result


def text_columns(model: Any) -> set[str]:
    """Return the columns that a fitted pipeline takes as text.

    Parameters
    ----------
    model : estimator
        The fitted model.

    Returns
    -------
    set of str
        What is one-hot encoded, wherever in the pipeline.
    """
    if isinstance(model, Pipeline):
        return set().union(*(text_columns(step) for _, step in model.steps))
    if isinstance(model, ColumnTransformer):
        names = np.asarray(model.feature_names_in_)
        return {
            str(name)
            for _, step, columns in model.transformers_
            if any(_reads_text(inner) for inner in _steps(step))
            for name in _named(columns, names)
        }
    is_first = _reads_text(model) and hasattr(model, "feature_names_in_")
    return set(model.feature_names_in_) if is_first else set()


def _reads_text(step: Any) -> bool:
    return isinstance(step, OneHotEncoder) and any(
        # An encoder that was given no column has not been fitted.
        values.dtype.kind in "OU"
        for values in getattr(step, "categories_", ())
    )


def _named(columns: Any, names: np.ndarray) -> list[str]:
    """Return the names of columns that are given by name, number, slice or mask."""
    if isinstance(columns, slice):
        if isinstance(columns.start, str) or isinstance(columns.stop, str):
            columns = pd.Index(names).slice_indexer(columns.start, columns.stop)
        return names[columns].tolist()
    given = np.atleast_1d(columns)
    is_named = given.dtype.kind in "OU" or not len(given)
    return given.tolist() if is_named else names[given].tolist()


def _load(path: str | Path) -> Any:
    try:
        return load(path)
    except FileNotFoundError:
        raise InputError(f"there is no file {path}") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {one_line(error)}") from error


def _steps(model: Any) -> Iterator[Any]:
    """Walk a pipeline and all that is nested in it."""
    if isinstance(model, Pipeline):
        inner = [step for _, step in model.steps]
    elif isinstance(model, ColumnTransformer):
        inner = [step for _, step, _ in model.transformers_]
    else:
        inner = []
        yield model
    for step in inner:
        yield from _steps(step)


def _check_missing(model: Any, X: pd.DataFrame, text: set[str]) -> None:
    if any(isinstance(step, SimpleImputer) for step in _steps(model)):
        return
    for name in X.columns:
        missing = X[name].isna()
        if name not in text and missing.any():
            raise InputError(
                f"the column {name!r} is empty in {int(missing.sum())} rows, first in "
                f"row {int(missing.to_numpy().argmax()) + 1}; the model was trained "
                "without missing numbers and cannot fill them in"
            )


def _columns(predicted: np.ndarray) -> np.ndarray:
    if predicted.ndim > 1:
        raise InputError("the model has several targets, which predict cannot write")
    return predicted
