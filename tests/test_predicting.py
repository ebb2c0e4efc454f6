"""Predictions of the command line: which columns are text, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from estimators import plain_classifier, plain_regressor
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from sknnopt._cli.predicting import predictions, text_columns
from sknnopt._cli.tables import InputError
from sknnopt.persistence import save

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("safetensors")

FRAME = pd.DataFrame({"size": [1.0, 2.0, 3.0, 4.0], "color": ["red", "blue"] * 2})


@pytest.mark.parametrize(
    "columns",
    [
        ["color"],
        [1],
        [False, True],
        pd.Index(["color"]),
        slice(1, 2),
        slice("color", "color"),
        slice("color", None),
    ],
)
def test_text_is_what_is_encoded(columns: Any) -> None:
    """However a step names its columns, those of words are found."""
    parts = [("words", OneHotEncoder(), columns), ("kept", "passthrough", ["size"])]
    model = make_pipeline(ColumnTransformer(parts)).fit(FRAME)
    assert text_columns(model) == {"color"}


@pytest.mark.parametrize("column", ["color", 1])
def test_text_of_a_single_column(column: Any) -> None:
    """A column that a step takes as a series has its name too."""
    step = make_pipeline(FunctionTransformer(pd.Series.to_frame), OneHotEncoder())
    model = ColumnTransformer([("words", step, column)]).fit(FRAME)
    assert text_columns(model) == {"color"}


def test_no_column_is_no_text() -> None:
    """A step that was given no column, and so was not fitted, reads none."""
    parts = [("words", OneHotEncoder(), []), ("kept", "passthrough", ["size"])]
    assert text_columns(ColumnTransformer(parts).fit(FRAME)) == set()


def test_encoded_numbers_are_no_text() -> None:
    """A column of numbers is read as numbers, encoded or not."""
    parts = [("sizes", OneHotEncoder(), ["size"])]
    assert text_columns(ColumnTransformer(parts).fit(FRAME)) == set()


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Return a file with a table of numbers."""
    path = tmp_path / "table.csv"
    FRAME[["size"]].to_csv(path, index=False)
    return path


def test_model_without_names_is_refused(table: Path, tmp_path: Path) -> None:
    """A model of an array does not know which columns it takes."""
    model = plain_classifier(max_epochs=1).fit(FRAME[["size"]].to_numpy(), [0, 1, 0, 1])
    save(model, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match="knows no column names: it was not trained"):
        predictions(tmp_path / "model.safetensors", table)


def test_several_targets_are_refused(table: Path, tmp_path: Path) -> None:
    """A table of predictions has one column of them."""
    model = plain_regressor(max_epochs=1).fit(FRAME[["size"]], np.zeros((4, 2)))
    save(model, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match="several targets"):
        predictions(tmp_path / "model.safetensors", table)
