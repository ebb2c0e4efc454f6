"""The documentation names what the package offers."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from skopt.space import Categorical, Integer, Real

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


def test_preset_table_has_a_row_for_each_parameter() -> None:
    """A range tells its scale, options are listed, and a dash is for none."""
    preset_table = pytest.importorskip("option_tables").preset_table
    wide = {"n_units": Integer(8, 256, prior="log-uniform"), "dropout": Real(0.0, 0.5)}
    narrow = {"n_units": Integer(8, 64), "normalization": Categorical([None, "batch"])}
    lines = "\n".join(preset_table({"wide": wide, "narrow": narrow}))
    assert lines.partition("\n\n")[2].split("   * - ")[1:] == [
        "Parameter\n     - ``wide``\n     - ``narrow``\n",
        "``n_units``\n     - 8 to 256 (log)\n     - 8 to 64\n",
        "``dropout``\n     - 0 to 0.5\n     - –\n",
        "``normalization``\n     - –\n     - None, batch",
    ]


def public_modules() -> list[str]:
    """Return the public modules but for those of the estimators."""
    stems = {path.stem for path in Path(sknnopt.__file__).parent.glob("[!_]*.py")}
    return sorted(stems - {"classifier", "regressor"})


@pytest.mark.parametrize("module", public_modules())
def test_reference_has_every_public_module(module: str) -> None:
    """Each public module has its page in the reference."""
    lines = (DOCS / "api.rst").read_text(encoding="utf-8").split()
    assert f"sknnopt.{module}" in lines


@pytest.mark.parametrize("source", ["README.md", "CHANGELOG.md", "docs"])
def test_files_that_are_linked_exist(source: str) -> None:
    """Links and pictures within the repository lead to files."""
    root = DOCS.parent
    pages = DOCS.glob("*.rst") if source == "docs" else [root / source]
    link = re.compile(r"\]\(([^)#]+)\)|^\.\. (?:figure|image):: (\S+)", re.MULTILINE)
    for page in pages:
        for target in map("".join, link.findall(page.read_text(encoding="utf-8"))):
            assert target.startswith("https://") or (page.parent / target).is_file()


# ------------------------------------------------------- figures of the benchmarks

REPORT = """# Report

## Fits

Some words.

| peer | ratio |
| --- | --- |
| one | 0.5 [0.4, 0.6] |
| other | 2 |

## Nothing

Words alone.
"""


def test_result_table_takes_rows_and_columns() -> None:
    """Columns come in the order asked for, of those rows that meet the conditions."""
    tables = pytest.importorskip("result_tables")
    rows = tables.read_table(REPORT, "Fits")
    assert rows[1] == {"peer": "other", "ratio": "2"}
    chosen = tables.choose(rows, ["ratio", "peer"], ["peer = one"])
    assert chosen == [["0.5 [0.4, 0.6]", "one"]]
    lines = list(tables.list_table([["peer", "time"], ["one", "2 ms"]], "fits.md"))
    assert lines[-4:] == [
        "   * - peer",
        "     - time",
        "   * - one",
        "     - 2\N{NO-BREAK SPACE}ms",
    ]


@pytest.mark.parametrize(
    ("heading", "columns", "where", "message"),
    [
        ("Fit", ["peer"], [], "no heading 'Fit'"),
        ("Nothing", ["peer"], [], "no table under 'Nothing'"),
        ("Fits", ["loss"], [], r"no columns \['loss'\]"),
        ("Fits", ["peer"], ["peer = third"], "no row where peer = third"),
    ],
)
def test_result_table_says_what_is_missing(heading, columns, where, message) -> None:
    """A figure that is no longer there ends the build instead of vanishing."""
    tables = pytest.importorskip("result_tables")
    with pytest.raises(ValueError, match=message):
        tables.choose(tables.read_table(REPORT, heading), columns, where)
