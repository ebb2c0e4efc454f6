"""What the tables are: sizes, rows they share, identical rows on both sides of splits.

A row is the same as another if all its features are; targets are not looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks._results import plain, write_json
from benchmarks._tables import paragraph, table
from benchmarks.quality._catalogue import CLASSIFICATION, GROUPS, Table, load
from benchmarks.quality._splits import CAP, n_splits, split

#: Smaller shares are coincidence: rows of few small numbers.
_LEAST_SHARE = 0.01


def measure_tables(
    path: Path, tables: Sequence[Table], *, cap: int | None = CAP
) -> None:
    """Describe tables, look for rows that they share, and write both.

    Parameters
    ----------
    path : Path
        The JSON file.
    tables : sequence of Table
        Which.
    cap : int or None, default=3000
        Rows of a table that splits draw from; None takes all.
    """
    result = {
        "tables": [describe(each, cap) for each in tables],
        "shared": shared_rows([each.name for each in tables]),
    }
    write_json(path, plain(result))


def describe(entry: Table, cap: int | None = CAP) -> dict[str, Any]:
    """Describe a table.

    Parameters
    ----------
    entry : Table
        The table.
    cap : int or None, default=3000
        Rows that splits draw from; None takes all.

    Returns
    -------
    dict
        ``table``, ``group``, ``task``, ``rows``, ``features``, ``categorical`` (how
        many of the features are), ``classes`` (0 of regression tables) and
        ``straddling``: the share of test rows that are also training rows.
    """
    X, y = load(entry.name)
    return {
        "table": entry.name,
        "group": next(name for name, tables in GROUPS.items() if entry in tables),
        "task": entry.task,
        "rows": len(X),
        "features": X.shape[1],
        "categorical": X.select_dtypes("category").shape[1],
        "classes": len(np.unique(y)) if entry.task == CLASSIFICATION else 0,
        "straddling": straddling_share(entry, cap),
    }


def straddling_share(entry: Table, cap: int | None = CAP) -> float:
    """Return the share of test rows that are also training rows.

    Parameters
    ----------
    entry : Table
        Whose splits are looked at.
    cap : int or None, default=3000
        Rows that splits draw from; None takes all.

    Returns
    -------
    float
        Mean over the splits.
    """
    shares = []
    for number in range(n_splits(len(load(entry.name)[0]))):
        rows = split(entry, number, cap)
        train, test = hashes(rows.X_train), hashes(rows.X_test)
        shares.append(np.isin(test, train).mean())
    return float(np.mean(shares))


def shared_rows(names: Sequence[str]) -> list[dict[str, Any]]:
    """Look for rows that two tables have in common.

    Parameters
    ----------
    names : sequence of str
        The tables.

    Returns
    -------
    list of dict
        ``tables``, two of as many features, and ``share`` of the distinct rows of the
        shorter one that are also in the other, where that is 1 % or more.
    """
    rows = {name: set(hashes(load(name)[0]).tolist()) for name in names}
    widths = {name: load(name)[0].shape[1] for name in names}
    found = []
    for one, other in combinations(names, 2):
        if widths[one] == widths[other]:
            shorter = min(len(rows[one]), len(rows[other]))
            share = len(rows[one] & rows[other]) / shorter
            if share >= _LEAST_SHARE:
                found.append({"tables": [one, other], "share": share})
    return found


def hashes(X: pd.DataFrame) -> np.ndarray:
    """Return a number for each row that equal rows share, also of two tables.

    Parameters
    ----------
    X : DataFrame of shape (n_rows, n_features)
        Numbers and categories.

    Returns
    -------
    ndarray of uint64 of shape (n_rows,)
        Hashes.
    """
    # By value: the codes of a category depend on the table.
    values = X.astype(dict.fromkeys(X.select_dtypes("category"), object))
    hashed: np.ndarray = pd.util.hash_pandas_object(values, index=False).to_numpy()
    return hashed


def section(result: dict[str, Any]) -> str:
    """Write the report's section.

    Parameters
    ----------
    result : dict
        The file.

    Returns
    -------
    str
        Markdown.
    """
    words = paragraph(
        "Straddling: the share of test rows whose features are all those of a training "
        "row, too; mean over splits."
    )
    head = ["table", "group", "task", "rows", "features", "categories", "classes"]
    cells = [
        [
            *(row[name] for name in ("table", "group", "task")),
            f"{row['rows']:,}",
            *(str(row[name]) for name in ("features", "categorical")),
            str(row["classes"] or ""),
            f"{100 * row['straddling']:.1f} %",
        ]
        for row in result["tables"]
    ]
    lines = table([*head, "straddling"], cells)
    return "\n".join(["## The tables\n", words, "", *lines, "", *_shared(result), ""])


def _shared(result: dict[str, Any]) -> list[str]:
    if not result["shared"]:
        return ["No two tables share rows."]
    words = paragraph(
        "Pairs of tables with as many features that share rows, and the share of the "
        "shorter one's distinct rows:"
    )
    cells = [
        [*pair["tables"], f"{100 * pair['share']:.1f} %"] for pair in result["shared"]
    ]
    return [words, "", *table(["table", "other table", "share"], cells)]
