"""The directive ``result-table``: rows of a table that a benchmark has written.

``.. result-table:: speed.md Fits`` takes the first table under the heading ``Fits`` of
``benchmarks/results/speed.md``, so that no page repeats a figure that a later run would
change. The option ``:columns:`` names the columns to show, in their order, ``:where:``
the rows, as ``column = value``, ``:titles:`` renames the columns. Each is a list,
separated by semicolons.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from docutils.parsers.rst import directives
from option_tables import write
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from docutils import nodes
    from sphinx.application import Sphinx

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


def parts(text: str) -> list[str]:
    """Split an option at its semicolons."""
    return [part.strip() for part in text.split(";")]


def cells(line: str) -> list[str]:
    """Split a row of a Markdown table."""
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def kept_together(cell: str) -> str:
    """Let no line end between a number and its unit."""
    return re.sub(r"(\d) (µs|ms|s|MB|%)(?!\w)", "\\1\N{NO-BREAK SPACE}\\2", cell)


def read_table(text: str, heading: str) -> list[dict[str, str]]:
    """Read the first table under a heading.

    Parameters
    ----------
    text : str
        A report in Markdown.
    heading : str
        The heading's words.

    Returns
    -------
    list of dict
        The rows, by column.

    Raises
    ------
    ValueError
        If there is no such heading, or no table before the next one.
    """
    pattern = rf"^#+ {re.escape(heading)}$(.*?)(?=^#|\Z)"
    section = re.search(pattern, text, flags=re.MULTILINE | re.DOTALL)
    if section is None:
        raise ValueError(f"no heading {heading!r}")
    table = re.search(r"(?:^\|.*\n?)+", section[1], flags=re.MULTILINE)
    if table is None:
        raise ValueError(f"no table under {heading!r}")
    header, _, *rows = table[0].splitlines()
    return [dict(zip(cells(header), cells(row), strict=True)) for row in rows]


def choose(
    rows: Sequence[dict[str, str]], columns: Sequence[str], where: Sequence[str]
) -> list[list[str]]:
    """Take some columns of those rows that have the given values.

    Parameters
    ----------
    rows : sequence of dict
        All rows, by column.
    columns : sequence of str
        The columns to take.
    where : sequence of str
        Conditions, as ``column = value``.

    Returns
    -------
    list of list of str
        The cells.

    Raises
    ------
    ValueError
        If there is no such column, or no row meets the conditions.
    """
    wanted = dict(re.split(r"\s*=\s*", condition, maxsplit=1) for condition in where)
    unknown = {*columns, *wanted} - set(rows[0])
    if unknown:
        raise ValueError(f"no columns {sorted(unknown)} among {list(rows[0])}")
    found = [
        [row[column] for column in columns]
        for row in rows
        if all(row[column] == value for column, value in wanted.items())
    ]
    if not found:
        raise ValueError(f"no row where {'; '.join(where)}")
    return found


def list_table(rows: Sequence[Sequence[str]], source: str) -> Iterator[str]:
    """Write the lines of a ``list-table`` that names its source."""
    kept = [[first, *map(kept_together, others)] for first, *others in rows]
    yield from write(kept, f"From ``benchmarks/results/{source}``")


class ResultTable(SphinxDirective):
    """Show figures as the benchmarks have measured them."""

    required_arguments = 2
    final_argument_whitespace = True
    option_spec: ClassVar[dict[str, Any]] = {
        "columns": directives.unchanged_required,
        "where": directives.unchanged_required,
        "titles": directives.unchanged_required,
    }

    def run(self) -> list[nodes.Node]:
        """Read the report and parse the table."""
        source, heading = self.arguments
        path = RESULTS / source
        try:
            table = read_table(path.read_text(encoding="utf-8"), heading)
            columns = parts(self.options.get("columns", ";".join(table[0])))
            where = parts(self.options["where"]) if "where" in self.options else []
            rows = choose(table, columns, where)
        except (OSError, ValueError) as error:
            raise self.error(f"result-table: {source}: {error}") from error
        titles = parts(self.options.get("titles", ";".join(columns)))
        self.env.note_dependency(path)
        return self.parse_text_to_nodes("\n".join(list_table([titles, *rows], source)))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("result-table", ResultTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
