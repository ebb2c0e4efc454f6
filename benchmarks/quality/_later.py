"""A later run of ours on held-out tables, beside the first, which is the result."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from benchmarks._tables import interval, paragraph, table
from benchmarks.quality._catalogue import CLASSIFICATION, REGRESSION
from benchmarks.quality._comparing import FIRST, against_peers, read_scores
from benchmarks.quality._methods import METHODS

#: What was another between the first run and the latest.
CHANGES = (
    "From 100 rows on networks compute in single precision; AdamW begins at 0.005 "
    "instead of 0.003. Both were chosen on the development tables."
)
_SCORES = {CLASSIFICATION: ("log_loss", "accuracy"), REGRESSION: ("rmse", "mae")}
_WORDS = {
    "log_loss": "log-loss",
    "accuracy": "accuracy",
    "rmse": "RMSE",
    "mae": "MAE",
}


def section(directory: Path) -> str:
    """Write how a later run compares with the peers, where there is one.

    Parameters
    ----------
    directory : Path
        Holds a file for each method.

    Returns
    -------
    str
        Markdown, empty where ours was run once.
    """
    if not (directory / FIRST).exists():
        return ""
    return "\n".join(
        _lines(read_scores(directory), read_scores(directory, is_first=False))
    )


def _lines(first: pd.DataFrame, later: pd.DataFrame) -> Iterator[str]:
    yield "## Held-out tables: a later run\n"
    text = f"What changed: {CHANGES} The first run stays the result."
    yield paragraph(f"{text} Ours against each peer, first and later, as above.")
    for task, (loss, other) in _SCORES.items():
        runs = [scores[scores["task"] == task] for scores in (first, later)]
        found = {
            metric: [against_peers(run, "held-out", metric) for run in runs]
            for metric in (loss, other)
        }
        rows = [
            [
                METHODS[peer].label,
                *(interval(run[peer]) for runs in found.values() for run in runs),
            ]
            for peer in found[loss][1]
        ]
        head = ["peer"]
        for metric in found:
            head += [f"{_WORDS[metric]}, first", f"{_WORDS[metric]}, later"]
        yield ""
        yield from table(head, rows)
    yield ""
