"""Parts of an HTML page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any


def table(
    head: Sequence[str],
    cells: Iterable[Sequence[str]],
    strong: Iterable[tuple[int, int]] = (),
) -> str:
    """Write a table that scrolls within itself.

    Parameters
    ----------
    head : sequence of str
        Names of the columns.
    cells : iterable of sequence of str
        Rows; the first cell names the row.
    strong : iterable of (int, int), default=()
        Row and column of the cells to stand out.

    Returns
    -------
    str
        An HTML element.
    """
    strong = set(strong)
    titles = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    rows = []
    for i, row in enumerate(cells):
        first, *others = (escape(cell) for cell in row)
        values = "".join(
            f"<td><b>{cell}</b></td>" if (i, j) in strong else f"<td>{cell}</td>"
            for j, cell in enumerate(others, start=1)
        )
        rows.append(f'<tr><th scope="row">{first}</th>{values}</tr>')
    return (
        f'<div class="scroll"><table class="plain"><thead><tr>{titles}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def definitions(facts: Mapping[str, Any]) -> str:
    """Write names with their values.

    Parameters
    ----------
    facts : mapping of str to object
        Values by name.

    Returns
    -------
    str
        An HTML element.
    """
    pairs = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>"
        for name, value in facts.items()
    )
    return f"<dl>{pairs}</dl>"
