"""What follows from the stored numbers. Nothing is searched or drawn here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks._statistics import estimate, geometric_mean
from benchmarks.quality._comparing import FLOOR
from benchmarks.tuning._budget import TABLES
from benchmarks.tuning._guide import SIDES
from benchmarks.tuning._pruning import RULES
from benchmarks.tuning._searches import SEARCHES

Stored = dict[str, dict[str, Any]]


def read(directory: Path) -> Stored:
    """Read all stored files.

    Parameters
    ----------
    directory : Path
        Holds them.

    Returns
    -------
    dict
        By name without the suffix; those that are not there are left out.
    """
    names = [f"guide-{side}" for side in SIDES]
    names += [f"budget-{name}" for name in SEARCHES]
    paths = {
        name: directory / f"{name}.json" for name in [*names, "pruning", "overhead"]
    }
    return {
        name: json.loads(path.read_text(encoding="utf-8"))
        for name, path in paths.items()
        if path.exists()
    }


# ---------------------------------------------------------------- guide


def guide_pairs(stored: Stored) -> pd.DataFrame:
    """Return the searches of both sides, split by split.

    Parameters
    ----------
    stored : dict
        Of :func:`read`.

    Returns
    -------
    DataFrame
        One row for each split that both have with the same candidates and epochs:
        ``split``, ``n_candidates`` and, of each side, ``seconds``, ``accuracy`` and
        ``best_score``; ``times_faster`` and ``difference``.
    """
    found = {side: dict(_splits(stored.get(f"guide-{side}"))) for side in SIDES}
    ours, keras = (found[side] for side in SIDES)
    same = ("n_candidates", "candidates", "epochs", "batch", "n_folds")
    rows = []
    for number in sorted(ours.keys() & keras.keys()):
        designs = [each[number]["design"] for each in (ours, keras)]
        if any(designs[0][name] != designs[1][name] for name in same):
            continue
        row = {"split": number, **{name: designs[0][name] for name in same}}
        for side in SIDES:
            for name in ("seconds", "accuracy", "best_score"):
                row[f"{name}_{side}"] = found[side][number][name]
        rows.append(row)
    frame = pd.DataFrame(rows)
    if len(frame):
        frame["times_faster"] = frame["seconds_keras"] / frame["seconds_ours"]
        frame["difference"] = frame["accuracy_ours"] - frame["accuracy_keras"]
    return frame


def _splits(file: dict[str, Any] | None) -> Iterator[tuple[int, dict[str, Any]]]:
    for row in file["rows"] if file else ():
        if "split" in row["design"]:
            yield row["design"]["split"], row


def of_splits(values: pd.Series, statistic: Any = np.median) -> dict[str, float]:
    """Return a statistic over splits with its 95 % bootstrap interval.

    Parameters
    ----------
    values : Series
        One number for each split, of a pair.
    statistic : callable, default=numpy.median
        Which.

    Returns
    -------
    dict
        ``value``, ``low`` and ``high``.
    """
    return estimate(values.to_numpy()[:, None], statistic, np.random.default_rng(0))


# ---------------------------------------------------------------- budget


def budget_frame(stored: Stored) -> pd.DataFrame:
    """Return what all searches found.

    Parameters
    ----------
    stored : dict
        Of :func:`read`.

    Returns
    -------
    DataFrame
        One row for each search, table and split, with all that was stored of it. Of
        several wall times only the longest, and of tables and splits only those where
        every search was that is there at all.
    """
    rows = []
    for name in SEARCHES:
        for row in stored.get(f"budget-{name}", {"rows": []})["rows"]:
            numbers = {k: v for k, v in row.items() if k not in ("key", "design")}
            rows.append({"search": name, **row["design"], **numbers})
    frame = pd.DataFrame(rows)
    if len(frame):
        frame = frame[frame["seconds"] == frame["seconds"].max()]
        present = frame.groupby(["table", "split"])["search"].transform("nunique")
        frame = frame[present == frame["search"].nunique()]
    return frame.reset_index(drop=True)


def log_ratios(frame: pd.DataFrame, ours: str, rival: str) -> pd.DataFrame:
    """Return the logarithms of ratios of held-out log-losses.

    Parameters
    ----------
    frame : DataFrame
        Of :func:`budget_frame`.
    ours, rival : str
        Two searches.

    Returns
    -------
    DataFrame of shape (n_tables, n_splits)
        Ours to the rival's, by table and split, of splits that both have on all tables
        that both have. No log-loss counts as less than 0.01.
    """
    losses = [
        frame[frame["search"] == name]
        .pivot(index="table", columns="split", values="log_loss")
        .clip(lower=FLOOR)
        for name in (ours, rival)
    ]
    logs = np.log(losses[0] / losses[1])
    # Tables with fewer splits than others would count less.
    logs = logs.dropna(axis=0, how="all").dropna(axis=1)
    return logs.loc[[table for table in TABLES if table in logs.index]]


def ratio(frame: pd.DataFrame, ours: str, rival: str) -> dict[str, Any] | None:
    """Compare two searches over tables and splits.

    Parameters
    ----------
    frame : DataFrame
        Of :func:`budget_frame`.
    ours, rival : str
        Two searches.

    Returns
    -------
    dict or None
        ``value``, ``low`` and ``high`` of the geometric mean of the ratios of held-out
        log-losses, by a paired bootstrap that draws whole tables: the splits of one
        share their rows. ``within`` holds the same drawn within each table, of the
        tables' median ratios. ``n_tables`` and ``n_splits``. None where there is no
        split that both have.
    """
    logs = log_ratios(frame, ours, rival)
    if logs.empty:
        return None
    rng = np.random.default_rng(0)
    of_all = _mean_ratio(logs, rng)
    within = geometric_mean(list(np.exp(logs.to_numpy())), rng)
    return {
        **of_all,
        "within": within,
        "n_tables": len(logs),
        "n_splits": logs.shape[1],
    }


def _mean_ratio(logs: pd.DataFrame, rng: np.random.Generator) -> dict[str, float]:
    """Return the geometric mean of ratios, with an interval that draws whole tables."""
    found = estimate(logs.to_numpy(), np.mean, rng)
    return {key: float(np.exp(value)) for key, value in found.items()}


def verdict(numbers: dict[str, float]) -> str:
    """Say who has the lower log-loss.

    Parameters
    ----------
    numbers : dict
        Of :func:`ratio`.

    Returns
    -------
    str
        A tie where the interval holds one.
    """
    if numbers["high"] < 1:
        return "below 1: met"
    return "**missed**" if numbers["low"] > 1 else "tie"


def best_until(curve: dict[str, list[float]], times: np.ndarray) -> np.ndarray:
    """Return the best loss of a curve at some times.

    Parameters
    ----------
    curve : dict
        ``seconds`` and ``loss``, the latter falling.
    times : ndarray of shape (n,)
        Seconds.

    Returns
    -------
    ndarray of shape (n,)
        NaN before the first.
    """
    losses = np.array([np.nan, *curve["loss"]])
    return losses[np.searchsorted(curve["seconds"], times, side="right")]


# ---------------------------------------------------------------- pruning


def pruning_frame(stored: Stored) -> pd.DataFrame:
    """Return what the same candidates came to with each rule of pruning.

    Parameters
    ----------
    stored : dict
        Of :func:`read`.

    Returns
    -------
    DataFrame
        One row for each rule, table and split: the design, what was stored, and
        ``seconds``, ``best_loss`` and ``log_loss`` also as ``..._ratio`` to those of
        the search without pruning; no log-loss counts as less than 0.01.
    """
    rows = []
    for row in stored.get("pruning", {"rows": []})["rows"]:
        for rule in RULES:
            ratios = {
                f"{name}_ratio": max(row[rule][name], floor)
                / max(row["none"][name], floor)
                for name, floor in _COMPARED.items()
            }
            rows.append({"rule": rule, **row["design"], **row[rule], **ratios})
    return pd.DataFrame(rows)


#: What rules of pruning are compared by, and what counts as the least of it.
_COMPARED = {"seconds": 0.0, "best_loss": FLOOR, "log_loss": FLOOR}


def of_tables(frame: pd.DataFrame, name: str) -> dict[str, float]:
    """Return the geometric mean of ratios.

    Parameters
    ----------
    frame : DataFrame
        Of :func:`pruning_frame`, the rows of one rule.
    name : str
        Its column.

    Returns
    -------
    dict
        ``value``, ``low`` and ``high``, a 95 % interval of a bootstrap that draws whole
        tables, of splits that all tables have.
    """
    logs = np.log(frame.pivot(index="table", columns="split", values=name))
    return _mean_ratio(logs.dropna(axis=1), np.random.default_rng(0))


# ---------------------------------------------------------------- overhead


def overheads(row: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return milliseconds for a candidate, of each run.

    Parameters
    ----------
    row : dict
        Of ``overhead.json``.

    Returns
    -------
    dict
        ``all``: all but training and scoring; ``own``: what the search takes longer
        than the plain evaluation of its rounds; ``busy``: training and scoring.
    """
    names = ("wall", "busy", "replay", "n_candidates")
    wall, busy, replay, count = (np.array(row[name], dtype=float) for name in names)
    seconds = {"all": wall - busy, "own": wall - replay, "busy": busy}
    return {name: 1e3 * values / count for name, values in seconds.items()}
