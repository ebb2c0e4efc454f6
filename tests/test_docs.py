"""The documentation names what the package offers."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

import sknnopt

DOCS = Path(__file__).parents[1] / "docs"
ESTIMATORS = (sknnopt.OptimizedMLPClassifier, sknnopt.OptimizedMLPRegressor)
PARAMETERS = sorted({name for e in ESTIMATORS for name in e().get_params()})


def glossary_entries() -> set[str]:
    """Return the names that have an entry of their own in the glossary."""
    text = (DOCS / "glossary.rst").read_text(encoding="utf-8")
    heads = re.findall(r"^``.+``$", text, flags=re.MULTILINE)
    return {name for head in heads for name in re.findall(r"``(\w+)``", head)}


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_glossary_has_every_parameter(parameter: str) -> None:
    """Each constructor parameter of the estimators has a line in the glossary."""
    assert parameter in glossary_entries()


def test_glossary_has_no_stale_parameter() -> None:
    """An entry that is no attribute is a parameter of an estimator."""
    entries = {name for name in glossary_entries() if not name.endswith("_")}
    assert entries <= set(PARAMETERS)


def test_option_table_has_a_row_for_each_option() -> None:
    """Prose stays as it is, None is a dash, names and numbers are literals."""
    list_table = pytest.importorskip("option_tables").list_table
    option = SimpleNamespace(summary="Some prose.", learning_rate=0.5, task="both")
    fields = ["summary", "learning_rate", "task"]
    nothing = SimpleNamespace(summary=None, learning_rate=1, task=None)
    assert list(list_table({"first": option, "second": nothing}, fields)) == [
        ".. list-table::",
        "   :header-rows: 1",
        "   :widths: auto",
        "",
        "   * - Name",
        "     - Summary",
        "     - Learning rate",
        "     - Task",
        "   * - ``first``",
        "     - Some prose.",
        "     - ``0.5``",
        "     - ``both``",
        "   * - ``second``",
        "     - –",
        "     - ``1``",
        "     - –",
    ]
