"""The report on searches, in Markdown. Nothing is searched or drawn here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from benchmarks._tables import (
    interval,
    paragraph,
    provenance,
    seconds,
    table,
    trial_note,
)
from benchmarks._tables import verdict as bar_verdict
from benchmarks._timing import Bar, median_ratio
from benchmarks.tuning._budget import SECONDS, TABLES
from benchmarks.tuning._comparing import (
    Stored,
    budget_frame,
    guide_pairs,
    log_ratios,
    of_splits,
    of_tables,
    overheads,
    pruning_frame,
    ratio,
    verdict,
)
from benchmarks.tuning._guide import LIMIT, N_CANDIDATES, N_FEWER, N_SPLITS
from benchmarks.tuning._overhead import KINDS
from benchmarks.tuning._pruning import N_SPLITS as N_PRUNING_SPLITS
from benchmarks.tuning._pruning import RULES
from benchmarks.tuning._searches import SEARCHES

FASTER = Bar(10, at_most=False)
AIM = 20
LEAST_DIFFERENCE = Bar(-0.02, at_most=False)
OURS = [name for name, search in SEARCHES.items() if search.is_ours]
RIVALS = [name for name in SEARCHES if name not in OURS]


def report(stored: Stored) -> str:
    """Write what is stored as Markdown.

    Parameters
    ----------
    stored : dict
        Of :func:`benchmarks.tuning._comparing.read`.

    Returns
    -------
    str
        Markdown.
    """
    sections = (_guide, _budget, _pruning, _overhead, _provenance)
    lines = [line for section in sections for line in section(stored)]
    return "\n".join(["# Searches for hyperparameters", "", *lines])


# ---------------------------------------------------------------- guide

_GUIDE = (
    "1 to 10 hidden layers, of each 8 to 128 units in steps of 8, relu, tanh or "
    "sigmoid and dropout of 0.1 to 0.6; adam, sgd, rmsprop or adadelta with Keras's "
    "learning rates. Both sides get the same {n} candidates, drawn once at random, "
    "{folds} stratified folds, {epochs} epochs of batches of {batch}, standardization "
    "within each fold, and fit the candidate of the best mean accuracy to all training "
    "rows. `MLPSearchCV` does not prune; Keras-Tuner's `RandomSearch` gets the "
    "candidates from its oracle and runs the folds of a trial one after the other, "
    "without checkpoints. They run in turn, each after a short search that does not "
    "count; the final fit does. Brackets hold 95 % bootstrap intervals over splits."
)
_RULE = (
    "Keras-Tuner took {spent} for {tried} candidates with {threads} of torch's "
    "threads, the faster of the numbers tried ({compared}), so that {most} on each of "
    "{splits} splits would take it about {whole}; the limit is {limit}, above which "
    "there are {fewer} candidates. Here there are {n}."
)


def _guide(stored: Stored) -> Iterator[str]:
    pairs = guide_pairs(stored)
    if pairs.empty:
        return
    first = pairs.iloc[0]
    yield "## The guide's combined search on Pima\n"
    yield from trial_note("{} splits", (len(pairs), N_SPLITS))
    names = {"folds": "n_folds", "epochs": "epochs", "batch": "batch"}
    design = {key: int(first[name]) for key, name in names.items()}
    yield paragraph(_GUIDE.format(n=int(first["n_candidates"]), **design))
    yield ""
    yield from _rule(stored)
    yield from table(*_guide_bars(pairs))
    yield ""
    yield from table(*_guide_splits(pairs))
    yield ""


def _rule(stored: Stored) -> Iterator[str]:
    rows = {row["key"]: row for row in stored["guide-keras"]["rows"]}
    if (rule := rows.get("rule")) is None:
        return
    tried = rule["design"]["n_tried"]
    compared = ", ".join(
        f"{n}: {seconds(spent)}" for n, spent in rule["seconds_by_threads"].items()
    )
    text = _RULE.format(
        spent=seconds(rule["seconds"]),
        tried=tried,
        threads=rule["threads"],
        compared=compared,
        splits=N_SPLITS,
        whole=f"{rule['seconds'] * N_SPLITS * N_CANDIDATES / tried / 60:.0f} min",
        limit=f"{LIMIT / 3600:g} hours",
        most=N_CANDIDATES,
        fewer=N_FEWER,
        n=rule["n_candidates"],
    )
    yield paragraph(text)
    yield ""


def _guide_bars(pairs: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    head = ["splits", "", "MLPSearchCV", "Keras-Tuner", "comparison", "bar"]
    # The bars are for the first splits; more of them show how much those leave to luck.
    counts = sorted({min(len(pairs), N_SPLITS), len(pairs)})
    return head, [
        [str(count), *cells]
        for count in counts
        for cells in _guide_cells(pairs.iloc[:count])
    ]


def _guide_cells(pairs: pd.DataFrame) -> list[list[str]]:
    faster = median_ratio(pairs["times_faster"].to_numpy())
    difference = of_splits(pairs["difference"], np.mean)
    medians = [seconds(pairs[f"seconds_{side}"]) for side in ("ours", "keras")]
    means = [f"{pairs[f'accuracy_{side}'].mean():.4f}" for side in ("ours", "keras")]
    faster_cells = [f"{interval(faster)} times faster", bar_verdict(FASTER, [faster])]
    faster_cells[1] += f" (aim {AIM})"
    judged = bar_verdict(LEAST_DIFFERENCE, [difference])
    return [
        ["wall time, median", *medians, *faster_cells],
        ["test accuracy, mean", *means, f"{interval(difference)} higher", judged],
    ]


def _guide_splits(pairs: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    head = [
        *("split", "ours", "Keras-Tuner", "times faster"),
        *("our accuracy", "Keras-Tuner's", "our best mean of folds", "Keras-Tuner's"),
    ]
    rows = [
        [
            str(int(row["split"])),
            *(seconds(row[f"seconds_{side}"]) for side in ("ours", "keras")),
            f"{row['times_faster']:.1f}",
            *(
                f"{row[f'{name}_{side}']:.4f}"
                for name in ("accuracy", "best_score")
                for side in ("ours", "keras")
            ),
        ]
        for _, row in pairs.iterrows()
    ]
    return head, rows


# ---------------------------------------------------------------- budget

_BUDGET = (
    "Each search has {seconds:g} s of wall time, after which it ends what it cannot "
    "stop; the final fit of the selected model to all training rows comes on top. What "
    "is compared is that one model's log-loss on the quarter of the rows that is held "
    "out. All search the space `small` (depth, width, activation, dropout, l2, "
    "learning rate, optimizer, batch size) over single networks, those of scikit-learn "
    "and our estimators behind the same scaling and one column for each category, by "
    "the log-loss of five folds. `RandomizedSearchCV` draws candidates in rounds that "
    "fill the time. Keras-Tuner holds out a fifth of the training rows, stops early "
    "after 15 epochs without progress and fits the selected model to all rows for its "
    "best number of epochs. The grid over scikit-learn's network, on all cores, is the "
    "largest of a ladder that a trial of eight candidates, which does not count, says "
    "will end in time. Tables: Pima, and by their numbers of rows alone five more of "
    "those for development. Searches take turns in another order on each split."
)
_RATIOS = (
    "Geometric mean of the ratios of held-out log-losses, ours to the rival's; no "
    "log-loss counts as less than 0.01. Brackets hold 95 % intervals of a paired "
    "bootstrap that draws whole tables, since the splits of one share their rows; an "
    "interval that holds 1 is a tie."
)


def _budget(stored: Stored) -> Iterator[str]:
    frame = budget_frame(stored)
    if frame.empty:
        return
    yield "## The same wall time\n"
    n_tables, n_splits = (frame[name].nunique() for name in ("table", "split"))
    longest = frame["seconds"].max()
    yield from trial_note(
        "{} tables, {} splits, {:g} s",
        (n_tables, len(TABLES)),
        (n_splits, N_SPLITS),
        (longest, SECONDS),
    )
    yield paragraph(_BUDGET.format(seconds=longest))
    yield ""
    yield from table(*_budget_means(frame))
    yield ""
    yield "### Ratios of held-out log-losses\n"
    yield paragraph(_RATIOS)
    yield ""
    yield from table(*_ratios(frame))
    yield ""
    yield "By table, geometric means over its splits:\n"
    for ours in OURS:
        yield from _by_table(frame, ours)


def _budget_means(frame: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    head = [
        *("search", "searches", "log-loss", "accuracy", "candidates", "pruned"),
        *("search, s", "longest, s", "final fit, s"),
    ]
    rows = []
    for name, part in frame.groupby("search", sort=False):
        pruned = part["n_pruned"].median() if "n_pruned" in part else np.nan
        rows.append(
            [
                SEARCHES[name].label,
                str(len(part)),
                *(f"{part[key].mean():.4f}" for key in ("log_loss", "accuracy")),
                f"{part['n_candidates'].median():.0f}",
                "" if np.isnan(pruned) else f"{pruned:.0f}",
                f"{part['search_seconds'].median():.1f}",
                f"{part['search_seconds'].max():.1f}",
                f"{part['refit_seconds'].median():.2f}",
            ]
        )
    return head, rows


def _ratios(frame: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    head = ["ours", "rival", "tables", "splits", "ratio", "drawn within tables", "bar"]
    rows = []
    for ours in OURS:
        for rival in RIVALS:
            numbers = ratio(frame, ours, rival)
            if numbers is not None:
                rows.append(
                    [
                        *(SEARCHES[name].label for name in (ours, rival)),
                        *(str(numbers[name]) for name in ("n_tables", "n_splits")),
                        interval(numbers),
                        interval(numbers["within"]),
                        verdict(numbers),
                    ]
                )
    return head, rows


def _by_table(frame: pd.DataFrame, ours: str) -> Iterator[str]:
    found = {rival: log_ratios(frame, ours, rival) for rival in RIVALS}
    known = {rival: logs for rival, logs in found.items() if not logs.empty}
    if not known:
        return
    names = list(dict.fromkeys(name for logs in known.values() for name in logs.index))
    rows = [
        [
            SEARCHES[rival].label,
            *(
                f"{np.exp(logs.loc[name].mean()):.3f}" if name in logs.index else ""
                for name in names
            ),
        ]
        for rival, logs in known.items()
    ]
    yield from table([f"{SEARCHES[ours].label}, to", *names], rows)
    yield ""


# ---------------------------------------------------------------- pruning

_PRUNING = (
    "The same {n} random candidates of the space `small`, as one batch, with each rule "
    "of pruning and without: time of the search without the final fit, and log-loss of "
    "the best, as mean of its folds and on the rows held out. Ratios are to the search "
    "without pruning, geometric means with 95 % intervals of a bootstrap that draws "
    "whole tables."
)


def _pruning(stored: Stored) -> Iterator[str]:
    frame = pruning_frame(stored)
    if frame.empty:
        return
    yield "## The same candidates, pruned\n"
    n_tables, n_splits = (frame[name].nunique() for name in ("table", "split"))
    yield from trial_note(
        "{} tables, {} splits",
        (n_tables, len(TABLES)),
        (n_splits, N_PRUNING_SPLITS),
    )
    yield paragraph(_PRUNING.format(n=frame["n_candidates"].max()))
    yield ""
    yield from table(*_pruning_ratios(frame))
    yield ""
    yield "By table, with no pruning, halving and Hyperband, means over its splits:\n"
    yield from table(*_pruning_by_table(frame))
    yield ""


def _pruning_ratios(frame: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    head = ["pruning", "tables", "splits", "came to their end"]
    head += ["time", "log-loss of folds", "held-out log-loss"]
    names = ("seconds_ratio", "best_loss_ratio", "log_loss_ratio")
    rows = [
        [
            rule,
            *(str(part[name].nunique()) for name in ("table", "split")),
            f"{part['n_finished'].median():.0f}",
            *(interval(of_tables(part, name)) for name in names),
        ]
        for rule, part in frame.groupby("rule", sort=False)
        if rule != "none"
    ]
    return head, rows


def _pruning_by_table(frame: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    means = frame.pivot_table(
        index="table", columns="rule", values=["seconds", "best_loss"]
    )
    rows = [
        [
            name,
            *(seconds(means.loc[name, ("seconds", rule)]) for rule in RULES),
            *(f"{means.loc[name, ('best_loss', rule)]:.4f}" for rule in RULES),
        ]
        for name in TABLES
        if name in means.index
    ]
    return ["table", *RULES, *(f"log-loss, {rule}" for rule in RULES)], rows


# ---------------------------------------------------------------- overhead

_OVERHEAD = (
    "`MLPSearchCV` over the space `small` on the training rows of Pima, five folds, "
    "single networks, without a final fit: milliseconds of wall time for a candidate "
    "in which no network trains and no score is computed, mean over runs with their "
    "range. It includes the preparation of rows and what scikit-learn and joblib do; "
    "*its own* is what remains over a plain search of scikit-learn behind the "
    "gathering backend that evaluates the same candidates in the same rounds."
)


def _overhead(stored: Stored) -> Iterator[str]:
    rows = stored.get("overhead", {"rows": []})["rows"]
    if not rows:
        return
    yield "## Overhead\n"
    yield paragraph(_OVERHEAD)
    yield ""
    head = [
        *("sampler", "candidates", "rounds", "runs", "training and scoring, ms"),
        *("overhead, ms", "its own, ms", "bar"),
    ]
    yield from table(head, map(_overhead_cells, rows))
    yield ""


def _overhead_cells(row: dict[str, Any]) -> list[str]:
    kind = KINDS[row["design"]["kind"]]
    found = {name: _ranged(values) for name, values in overheads(row).items()}
    return [
        kind.label,
        *(f"{np.median(row[name]):.0f}" for name in ("n_candidates", "n_rounds")),
        str(len(row["wall"])),
        *(interval(found[name]) for name in ("busy", "all", "own")),
        bar_verdict(kind.bar, [found["all"]]) or "reported only",
    ]


def _ranged(values: np.ndarray) -> dict[str, float]:
    return {"value": values.mean(), "low": values.min(), "high": values.max()}


# ---------------------------------------------------------------- provenance


def _provenance(stored: Stored) -> Iterator[str]:
    if not stored:
        return
    yield "## What was measured\n"
    found: dict[str, list[str]] = {}
    for file in stored.values():
        for name, version in file["versions"].items():
            found.setdefault(name, []).append(version)
    # Each search has its own file, measured perhaps with another version.
    merged = {name: " and ".join(dict.fromkeys(each)) for name, each in found.items()}
    rows = [row for file in stored.values() for row in file["rows"]]
    if rows:
        machine = next(iter(stored.values()))["machine"]
        result = {"machine": machine, "versions": merged, "rows": rows}
        yield from provenance(result)
        yield ""
