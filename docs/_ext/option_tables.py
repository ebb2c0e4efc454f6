"""The directive ``option-table``: a table of the options in a registry.

``.. option-table:: losses LOSSES`` writes one row for each entry of
``sknnopt.losses.LOSSES``. The option ``:fields:`` names the attributes of the
entries that become columns after the name; ``reference``, which is long, stands below
the first of them.

The directive ``preset-table`` shows what the search spaces named as its arguments have
in common and where they differ: a row for each parameter, a column for each space.
"""

from __future__ import annotations

from importlib import import_module
from textwrap import indent
from typing import TYPE_CHECKING, Any, ClassVar

from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from docutils import nodes
    from sphinx.application import Sphinx


def header(field: str) -> str:
    """Turn an attribute's name into a column's title."""
    return field.replace("_", " ").capitalize()


def cell(value: object) -> str:
    """Write prose as it is, nothing as a dash, names and numbers as literals."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return f"``{value}``" if value.isidentifier() else value
    return f"``{value!r}``"


def list_table(registry: Mapping[str, Any], fields: Sequence[str]) -> Iterator[str]:
    """Write the lines of a ``list-table`` with one row for each option.

    Parameters
    ----------
    registry : mapping of str to Option
        The options by name.
    fields : sequence of str
        Attributes of an option, one column each but for ``"reference"``.

    Yields
    ------
    str
        One line of reStructuredText.
    """
    columns = [field for field in fields if field != "reference"]
    rows = [["Name", *map(header, columns)]]
    for name, option in registry.items():
        first, *others = (cell(getattr(option, column)) for column in columns)
        if "reference" in fields:
            first += f"\n\n.. rst-class:: source\n\n{option.reference}"
        rows.append([f"``{name}``", first, *others])
    yield from write(rows)


def preset_table(spaces: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Write the lines of a ``list-table`` with one row for each parameter.

    Parameters
    ----------
    spaces : mapping of str to mapping
        By preset the dimensions of scikit-optimize, by parameter.

    Yields
    ------
    str
        One line of reStructuredText.
    """
    rows = [["Parameter", *(f"``{preset}``" for preset in spaces)]]
    for name in dict.fromkeys(name for space in spaces.values() for name in space):
        found = [space.get(name) for space in spaces.values()]
        rows.append([f"``{name}``", *map(values, found)])
    yield from write(rows)


def values(dimension: Any) -> str:
    """Write what a dimension of scikit-optimize may be."""
    if dimension is None:
        return "–"
    if hasattr(dimension, "categories"):
        return ", ".join(map(str, dimension.categories))
    scale = " (log)" if dimension.prior == "log-uniform" else ""
    return f"{dimension.low:g} to {dimension.high:g}{scale}"


def write(rows: Sequence[Sequence[str]], title: str = "") -> Iterator[str]:
    """Write the lines of a ``list-table``, the header first."""
    directive = f".. list-table:: {title}".rstrip()
    yield from (directive, "   :header-rows: 1", "   :widths: auto", "")
    for row in rows:
        first, *others = row
        yield f"   * - {first}"
        yield from (f"     - {indent(text, ' ' * 7).lstrip()}" for text in others)


class OptionTable(SphinxDirective):
    """Show a registry of ``sknnopt`` as a table."""

    required_arguments = 2
    option_spec: ClassVar[dict[str, Any]] = {"fields": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """Import the registry and parse its table."""
        module_name, registry_name = self.arguments
        try:
            module = import_module(f"sknnopt.{module_name}")
            registry = getattr(module, registry_name)
            fields = self.options.get("fields", "summary reference").split()
            lines = list(list_table(registry, fields))
        except (ImportError, AttributeError) as error:
            raise self.error(f"option-table: {error}") from error
        if module.__file__:
            self.env.note_dependency(module.__file__)
        return self.parse_text_to_nodes("\n".join(lines))


class PresetTable(SphinxDirective):
    """Show what search spaces search."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Make the spaces and parse their table."""
        from sknnopt.search import space

        presets = self.arguments[0].split()
        try:
            spaces = {preset: space("skopt", preset) for preset in presets}
        except ValueError as error:
            raise self.error(f"preset-table: {error}") from error
        return self.parse_text_to_nodes("\n".join(preset_table(spaces)))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("option-table", OptionTable)
    app.add_directive("preset-table", PresetTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
