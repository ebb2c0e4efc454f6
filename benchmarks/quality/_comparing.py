"""Comparisons of methods over tables. Nothing is fitted or drawn here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from benchmarks._statistics import estimate
from benchmarks.quality._catalogue import GROUPS
from benchmarks.quality._methods import METHODS, OURS
from benchmarks.quality._scores import IS_GAIN

#: Keeps ours on held-out tables as it was the first time.
FIRST = f"{OURS}-first.json"
#: Log-losses count as no smaller in ratios: below, one rare mistake decides.
FLOOR = 0.01


def read_scores(directory: Path, *, is_first: bool = True) -> pd.DataFrame:
    """Read what all methods have scored.

    Parameters
    ----------
    directory : Path
        Holds a file for each method.
    is_first : bool, default=True
        Whether ours on held-out tables is the first run there, which is the result, or
        the latest.

    Returns
    -------
    DataFrame
        One row for each method and table: ``method``, ``table``, ``group``, ``task``
        and the mean over splits of each score.
    """
    places = {t.name: (group, t.task) for group, ts in GROUPS.items() for t in ts}
    found = {name: dict(stored["tables"]) for name, stored in _stored(directory)}
    first = directory / FIRST
    if is_first and first.exists():
        found[OURS] |= json.loads(first.read_text(encoding="utf-8"))["tables"]
    rows = []
    for name, tables in found.items():
        # A table may have been taken out of its group since.
        for table in places.keys() & tables.keys():
            means = {k: float(np.mean(v)) for k, v in tables[table].items()}
            rows.append((name, table, *places[table], means))
    scores = pd.DataFrame([means for *_, means in rows])
    for column, name in enumerate(("method", "table", "group", "task")):
        scores.insert(column, name, [row[column] for row in rows])
    return scores.sort_values(["method", "table"], ignore_index=True)


def read_versions(directory: Path) -> dict[str, dict[str, str]]:
    """Read what the methods' scores were computed with.

    Parameters
    ----------
    directory : Path
        Holds a file for each method.

    Returns
    -------
    dict
        By method, versions by package.
    """
    return {name: stored["versions"] for name, stored in _stored(directory)}


def _stored(directory: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in METHODS:
        path = directory / f"{name}.json"
        if path.exists():
            yield name, json.loads(path.read_text(encoding="utf-8"))


def score_matrix(
    scores: pd.DataFrame, group: str, metric: str, methods: Sequence[str] | None = None
) -> pd.DataFrame:
    """Return one score as tables by methods.

    Parameters
    ----------
    scores : DataFrame
        Of :func:`read_scores`.
    group : str
        Which tables.
    metric : str
        Which score.
    methods : sequence of str or None, default=None
        Which methods, on the tables that all of them were fitted to; None takes the
        methods that were fitted to all tables that any method was fitted to.

    Returns
    -------
    DataFrame of shape (n_tables, n_methods)
        Without missing values; methods in the order of ``METHODS``.
    """
    wide = _all_scores(scores, group, metric)
    if methods is None:
        return wide.dropna(axis=1)
    return wide[[name for name in wide if name in methods]].dropna()


def incomplete(scores: pd.DataFrame, group: str, metric: str) -> dict[str, int]:
    """Count the tables of the methods that were not fitted to all.

    Parameters
    ----------
    scores : DataFrame
        Of :func:`read_scores`.
    group : str
        Which tables.
    metric : str
        Which score.

    Returns
    -------
    dict
        By method.
    """
    counts = _all_scores(scores, group, metric).notna()
    return {name: int(n) for name, n in counts.sum().items() if n < len(counts)}


def _all_scores(scores: pd.DataFrame, group: str, metric: str) -> pd.DataFrame:
    if metric not in scores:
        return pd.DataFrame()
    chosen = scores[(scores["group"] == group) & scores[metric].notna()]
    wide = chosen.pivot(index="table", columns="method", values=metric)
    return wide[[name for name in METHODS if name in wide]]


def ranks(matrix: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Rank the methods on each table from 1, the best, on; ties share their mean."""
    return matrix.rank(axis=1, ascending=metric not in IS_GAIN)


def wins(matrix: pd.DataFrame, metric: str) -> pd.Series:
    """Count the tables on which a method is the best, or shares the first place."""
    best = matrix.max(axis=1) if metric in IS_GAIN else matrix.min(axis=1)
    return matrix.eq(best, axis=0).sum()


def critical_difference(n_methods: int, n_tables: int, level: float = 0.05) -> float:
    """Return how far mean ranks must lie apart for two methods to differ.

    Parameters
    ----------
    n_methods, n_tables : int
        What was compared, and on how many tables.
    level : float, default=0.05
        Of the test.

    Returns
    -------
    float
        Difference of mean ranks.

    References
    ----------
    Demsar 2006, Statistical comparisons of classifiers over multiple data sets, section
    3.2.2; the test is Nemenyi's.
    """
    quantile = stats.studentized_range.ppf(1 - level, n_methods, np.inf) / np.sqrt(2)
    return float(quantile * np.sqrt(n_methods * (n_methods + 1) / (6 * n_tables)))


def mean_over_tables(values: np.ndarray, seed: int = 0) -> dict[str, float]:
    """Return a mean over tables with its 95 % bootstrap interval.

    Parameters
    ----------
    values : ndarray of shape (n_tables,)
        Ours against a peer's, in pairs.
    seed : int, default=0
        Of the draws.

    Returns
    -------
    dict
        ``value``, ``low`` and ``high``.
    """
    return estimate(values[:, None], np.mean, np.random.default_rng(seed))


def compare(ours: np.ndarray, peer: np.ndarray, metric: str) -> dict[str, float]:
    """Compare ours with a peer over tables.

    Parameters
    ----------
    ours, peer : ndarray of shape (n_tables,)
        A score on the same tables.
    metric : str
        Which. Gains and calibration errors are subtracted, other losses divided.

    Returns
    -------
    dict
        ``value``, ``low`` and ``high`` of the mean difference, or of the geometric
        mean of the ratios.
    """
    if metric in IS_GAIN or metric == "calibration_error":
        return mean_over_tables(ours - peer)
    if metric == "log_loss":
        ours, peer = np.maximum(ours, FLOOR), np.maximum(peer, FLOOR)
    logs = mean_over_tables(np.log(ours / peer))
    return {key: float(np.exp(value)) for key, value in logs.items()}


def against_peers(
    scores: pd.DataFrame, group: str, metric: str
) -> dict[str, dict[str, Any]]:
    """Compare ours with each peer, on the tables that both have.

    Parameters
    ----------
    scores : DataFrame
        Of :func:`read_scores`.
    group : str
        Which tables.
    metric : str
        Which score.

    Returns
    -------
    dict
        By peer: what :func:`compare` returns, and ``n_tables``.
    """
    found = {}
    for peer in METHODS:
        matrix = score_matrix(scores, group, metric, (OURS, peer))
        if peer == OURS or peer not in matrix or OURS not in matrix or matrix.empty:
            continue
        pair = matrix[OURS].to_numpy(), matrix[peer].to_numpy()
        found[peer] = {**compare(*pair, metric), "n_tables": len(matrix)}
    return found


def against_best(
    scores: pd.DataFrame, group: str, metric: str, families: Sequence[str]
) -> dict[str, Any] | None:
    """Compare ours with the best peer of each table.

    Parameters
    ----------
    scores : DataFrame
        Of :func:`read_scores`.
    group : str
        Which tables.
    metric : str
        Which score, a loss.
    families : sequence of str
        Of which peers; those that were not fitted to all tables do not count.

    Returns
    -------
    dict or None
        As :func:`compare`, and ``n_tables``; None where nothing is known.
    """
    known = score_matrix(scores, group, metric)
    names = [name for name in known if METHODS[name].family in families]
    matrix = score_matrix(scores, group, metric, [OURS, *names])
    if OURS not in matrix or matrix.empty or not names:
        return None
    best = matrix[names].min(axis=1).to_numpy()
    return {**compare(matrix[OURS].to_numpy(), best, metric), "n_tables": len(matrix)}


def corrected_t_test(differences: np.ndarray, test_share: float) -> float:
    """Test whether ours is worse, by differences whose splits share training rows.

    Parameters
    ----------
    differences : ndarray of shape (n_splits,)
        How much worse ours is in each split of repeated cross-validation.
    test_share : float
        Rows to predict per row to train on.

    Returns
    -------
    float
        One-sided p-value.

    References
    ----------
    Nadeau and Bengio 2003, Inference for the generalization error: the corrected
    resampled t-test.
    """
    n_splits = len(differences)
    variance = differences.var(ddof=1) * (1 / n_splits + test_share)
    if variance == 0:
        return 1.0 if differences.mean() <= 0 else 0.0
    return float(stats.t.sf(differences.mean() / np.sqrt(variance), n_splits - 1))


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Adjust p-values for their number.

    Parameters
    ----------
    p_values : sequence of float
        One for each hypothesis.

    Returns
    -------
    ndarray
        Adjusted, in the same order.

    References
    ----------
    Holm 1979, A simple sequentially rejective multiple test procedure.
    """
    given = np.asarray(p_values, dtype=float)
    order = np.argsort(given)
    scaled = given[order] * np.arange(len(given), 0, -1)
    adjusted = np.empty_like(given)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted
