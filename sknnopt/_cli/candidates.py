"""The report's table of candidates, which a reader can sort."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from sknnopt._cli.console import number
from sknnopt._cli.results import SearchSummary

#: More rows than that make a page slow; the file with the candidates has all.
MOST_ROWS = 500


class _Column(NamedTuple):
    """A column: its name, what its cells show, and the values that they stand for."""

    name: str
    texts: list[str]
    values: list[Any]

    @property
    def is_text(self) -> bool:
        """Whether it reads from the left."""
        return not all(map(_is_number, self.values))


def candidate_table(search: SearchSummary, measure: str) -> str:
    """Write the candidates as a table.

    Parameters
    ----------
    search : SearchSummary
        What was tried.
    measure : str
        What the score measures.

    Returns
    -------
    str
        An HTML element: one row for each candidate, best first. The values by which to
        sort are in ``data-value`` where the text says less.
    """
    ranking = search.ranking
    shown = ranking.head(MOST_ROWS)
    columns = list(_columns(search, shown, measure))
    head = "".join(map(_head, columns))
    cells = zip(*[map(_cell, c.texts, c.values) for c in columns], strict=True)
    rows = "".join(
        f"<tr{_mark(search, row)}>{''.join(_row(columns, line))}</tr>"
        for (_, row), line in zip(shown.iterrows(), cells, strict=True)
    )
    note = "A fit's seconds pass for all that train beside it."
    if len(shown) < len(ranking):
        note = f"The best {MOST_ROWS} of {len(ranking)}. {note}"
    return (
        '<div class="tall" tabindex="0" role="region" aria-labelledby="candidates">'
        f'<table class="sortable"><thead><tr>{head}</tr></thead>'
        f'<tbody>{rows}</tbody></table></div><p class="note">{escape(note)}</p>'
    )


def state_of(row: pd.Series) -> str:
    """Say what became of a candidate.

    Parameters
    ----------
    row : Series
        Its row in the table of trials.

    Returns
    -------
    str
        Such as ``"complete"`` or ``"pruned, diverged in 2 folds"``.
    """
    if not np.isfinite(row["mean_test_score"]):
        return "failed"
    state = "pruned" if row["pruned"] else "complete"
    n_diverged = int(row.get("diverged", 0))
    if n_diverged:
        state += f", diverged in {n_diverged} fold{'s' if n_diverged > 1 else ''}"
    return state


def _columns(
    search: SearchSummary, frame: pd.DataFrame, measure: str
) -> Iterator[_Column]:
    counts = {"candidate": "candidate", "rank": "rank"}
    scores = {"mean_test_score": f"mean {measure}", "std_test_score": "sd"}
    for name, title in counts.items():
        yield _column(frame, name, title, "d")
    for name, title in scores.items():
        yield _column(frame, name, title, ".4f")
    states = [state_of(row) for _, row in frame.iterrows()]
    yield _Column("state", states, states)
    if "n_epochs" in frame:
        yield _column(frame, "n_epochs", "epochs", ".0f")
    yield _column(frame, "fit_time", "s per fit", ".2f")
    for name in search.parameters:
        values = frame[name].tolist()
        texts = ["" if _is_blank(value) else number(value) for value in values]
        yield _Column(name, texts, values)


def _column(frame: pd.DataFrame, name: str, title: str, form: str) -> _Column:
    values = frame[name].tolist()
    texts = ["" if _is_blank(value) else format(value, form) for value in values]
    return _Column(title, texts, values)


def _is_blank(value: Any) -> bool:
    """Whether a value is missing; None is one that a parameter may have."""
    return value is pd.NA or (isinstance(value, float) and bool(np.isnan(value)))


def _is_number(value: Any) -> bool:
    is_bool = isinstance(value, bool)
    return _is_blank(value) or (isinstance(value, int | float) and not is_bool)


def _head(column: _Column) -> str:
    kind = ' class="text"' if column.is_text else ""
    # The rows come in this order.
    order = ' aria-sort="ascending"' if column.name == "rank" else ""
    return f'<th scope="col"{kind}{order}>{escape(column.name)}</th>'


def _cell(text: str, value: Any) -> str:
    """Return attributes and content."""
    sorted_by = ""
    if isinstance(value, float) and text not in {"", repr(value)}:
        sorted_by = f' data-value="{value!r}"'
    return f"{sorted_by}>{escape(text)}"


def _row(columns: list[_Column], cells: tuple[str, ...]) -> Iterator[str]:
    yield f'<th scope="row"{cells[0]}</th>'
    for column, cell in zip(columns[1:], cells[1:], strict=True):
        kind = ' class="text"' if column.is_text else ""
        yield f"<td{kind}{cell}</td>"


def _mark(search: SearchSummary, row: pd.Series) -> str:
    if row["candidate"] == search.number:
        return ' class="best"'
    return ' class="pruned"' if row["pruned"] else ""
