"""The documentation names what the package offers."""

from __future__ import annotations

import ast
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


def test_option_table_puts_references_below_summaries() -> None:
    """A reference is a paragraph in the summary's cell, indented as that is."""
    list_table = pytest.importorskip("option_tables").list_table
    option = SimpleNamespace(summary="Some prose.", reference="A book", task="both")
    lines = list(list_table({"name": option}, ["summary", "task", "reference"]))
    assert "\n".join(lines).partition("``name``\n")[2].splitlines() == [
        "     - Some prose.",
        "",
        "       .. rst-class:: source",
        "",
        "       A book",
        "     - ``both``",
    ]


# ---------------------------------------------------------------- the guide

CHAPTERS = sorted((DOCS / "guide").glob("plot_*.py"))
#: What is a number only in looks: literals, references, layers such as 64-64.
NO_NUMBER = re.compile(r"``.*?``|:\w+:`.*?`|\d+-\d+", flags=re.DOTALL)


@pytest.fixture(params=CHAPTERS, ids=lambda path: path.stem)
def chapter(request: pytest.FixtureRequest) -> SimpleNamespace:
    """Prose and code of each chapter in turn, as sphinx-gallery takes them apart."""
    parser = pytest.importorskip("sphinx_gallery.py_source_parser")
    _, blocks = parser.split_code_and_text_blocks(request.param)
    prose, code = (
        "\n\n".join(block.content for block in blocks if block.type == kind)
        for kind in ("text", "code")
    )
    return SimpleNamespace(prose=prose, code=code)


def test_chapters_are_numbered_in_their_order() -> None:
    """Chapters are numbered from 1 on, so that none is lost on the way."""
    numbers = [int(path.stem.split("_")[1]) for path in CHAPTERS]
    assert numbers == list(range(1, 12))


def test_gallery_runs_every_chapter() -> None:
    """All files of the gallery are named so that sphinx-gallery executes them."""
    assert sorted((DOCS / "guide").glob("*.py")) == CHAPTERS


def test_chapter_has_its_parts(chapter: SimpleNamespace) -> None:
    """A chapter has a title, a claim, where that is imprecise, and last a source."""
    title, underline = chapter.prose.strip().splitlines()[:2]
    assert underline == "=" * len(title)
    assert "**The claim.**" in chapter.prose
    headings = re.findall(r"^(\S.*)\n-+$", chapter.prose, flags=re.MULTILINE)
    assert headings[-2:] == ["Where the claim is imprecise", "Source"]
    source = chapter.prose.split("Source\n------\n")[1]
    assert re.search(r"\b(19|20)\d\d\b", source)


def test_chapter_states_no_measured_number(chapter: SimpleNamespace) -> None:
    """Numbers in the prose are settings, which the code has too; none is a result."""
    prose = NO_NUMBER.sub("", chapter.prose.split("Source\n------\n")[0])
    stated = re.findall(r"(?<![\w.])\d[\d,]*\.?\d+(?![\w])", prose)
    code = re.findall(r"(?<![a-zA-Z_])\d[\d_]*\.?\d*(?:e-?\d+)?", chapter.code)
    settings = {float(number.replace("_", "")) for number in code}
    assert {float(number.replace(",", "")) for number in stated} <= settings


def test_chapter_checks_what_it_says(chapter: SimpleNamespace) -> None:
    """The code of a chapter ends with assertions on what it has measured."""
    assert isinstance(ast.parse(chapter.code).body[-1], ast.Assert)


def test_chapter_draws(chapter: SimpleNamespace) -> None:
    """A chapter has a picture, with a title that describes it to those who hear it."""
    assert re.search(r"title\(|title=", chapter.code)


# ---------------------------------------------------------------- links

PAGE = """<a href="{}">there</a> <p id="here"></p>"""


def test_broken_links_are_found(tmp_path: Path) -> None:
    """Missing pages, places and pictures are found, and nothing else."""
    broken_links = pytest.importorskip("local_links").broken_links
    (tmp_path / "folder").mkdir()
    (tmp_path / "small.png").touch()
    pages = {
        "index.html": PAGE.format("folder/#here"),
        "folder/index.html": PAGE.format("../index.html?x=1#nowhere"),
        "other.html": PAGE.format("missing.html"),
        "web.html": PAGE.format("https://example.org/missing.html"),
        "own.html": PAGE.format("#here"),
        "picture.html": '<img src="small.png" srcset="small.png, large.png 2.00x">',
    }
    for page, text in pages.items():
        (tmp_path / page).write_text(text, encoding="utf-8")
    assert set(broken_links(tmp_path)) == {
        ("folder/index.html", "../index.html?x=1#nowhere"),
        ("other.html", "missing.html"),
        ("picture.html", "large.png"),
    }


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
