from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from sknnopt._cli import candidates
from sknnopt._cli.figures import (
    convergence_svg,
    curves_svg,
    history_svg,
    importance_svg,
    prediction_svg,
)
from sknnopt._cli.page import SCRIPT
from sknnopt._cli.report import report_html
from sknnopt._cli.results import (
    DataSummary,
    Measured,
    ModelScores,
    SearchSummary,
    TuneResult,
)
from sknnopt.diagnostics import Diagnosis, Finding

if TYPE_CHECKING:
    from collections.abc import Callable

pytest.importorskip("matplotlib")

FINDING = Finding(
    "dead_units",
    "mild",
    {"dead in layer 0": 0.625},
    "Most units <are> silent.",
    {"activation": "leaky_relu"},
    layers=(0,),
    epochs=(1, 4),
)
VOID = {"meta", "br", "path", "use", "rect"}


def searched(**changes: object) -> SearchSummary:
    """Return four candidates by hand: the second is the best, the third has left."""
    trials = pd.DataFrame(
        {
            "candidate": range(4),
            "l2": [0.125, 0.25, np.nan, 0.5],
            "optimizer": pd.array(["adam", "sgd", "adam", pd.NA], dtype="string"),
            "clip_norm": pd.Series([None, 1.0, 5.0, None], dtype="object"),
            "n_units__1": pd.array([8, 16, None, 8], dtype="Int64"),
            "mean_test_score": [0.6, 0.9, 0.7, 0.8],
            "std_test_score": [0.01] * 4,
            "rank": [3, 1, 4, 2],
            "fit_time": [0.5, 0.25, 0.125, 1.0],
            "pruned": [False, False, True, False],
            "diverged": [0, 0, 0, 2],
            "n_epochs": [20.0, 30.0, 6.0, 25.5],
        }
    )
    curves = pd.DataFrame(
        {"candidate": [0, 0, 1, 1, 2], "epoch": [1, 2, 1, 2, 1], "loss": 0.5}
    )
    importance = pd.DataFrame(
        {
            "parameter": ["l2", "optimizer"],
            "importance": [0.5, 0.1],
            "spread": [0.1, 0.2],
        }
    )
    record = SearchSummary(
        trials=trials,
        parameters=("l2", "optimizer", "clip_norm", "n_units__1"),
        best=1,
        params={"l2": 0.25, "optimizer": "sgd", "clip_norm": 1.0, "n_units__1": 16},
        best_so_far=np.array([0.6, 0.9, 0.9, 0.9]),
        curves=curves,
        curves_note="Curves of some.",
        importance=importance,
        importance_note="How important.",
    )
    return replace(record, **changes)


def result(**changes: object) -> TuneResult:
    """Return a small record by hand."""
    data = DataSummary(
        name="trees & <shrubs>.csv",
        target="kind",
        task="classification",
        reason="the target has 2 distinct values",
        n_train=8,
        n_test=4,
        numeric=("height",),
        text=("leaf",),
        n_missing=3,
        classes={"oak": 9, "elm": 3},
        notes=("Column 'name' was left out.",),
    )
    scores = (
        ModelScores(
            "sknnopt, tuned",
            {
                "accuracy": Measured(0.9, 0.01, 0.75),
                "log-loss": Measured(0.2, 0.02, 0.31),
            },
        ),
        ModelScores(
            "baseline",
            {
                "accuracy": Measured(0.8, 0.03, 0.875),
                "log-loss": Measured(0.4, 0.04, 0.5),
            },
        ),
    )
    epochs = np.arange(1, 5)
    record = TuneResult(
        data=data,
        settings={"search": "tpe", "space": "standard", "cv": 3, "test_size": 0.25},
        search=searched(),
        scores=scores,
        history={
            "member": np.zeros(4, dtype=int),
            "epoch": epochs,
            "train_loss": 1 / epochs,
            "valid_loss": 1.1 / epochs,
            "train_score": 1 - 0.5 / epochs,
            "valid_score": 1 - 0.6 / epochs,
        },
        diagnosis=Diagnosis((FINDING,), "1 network, 4 epochs."),
        best_epoch=np.array([3]),
        truth=np.array(["oak", "oak", "elm", "elm"]),
        predicted=np.array(["oak", "elm", "elm", "elm"]),
        labels=("elm", "oak"),
        seconds=12.4,
        search_seconds=9.6,
        versions={"sknnopt": "0.1"},
    )
    return replace(record, **changes)


def regression() -> TuneResult:
    """Return a record of a regression."""
    plain = result()
    scores = tuple(
        ModelScores(
            s.name, {"R²": Measured(0.5, 0.1, 0.4), "RMSE": Measured(2, 0.1, 3)}
        )
        for s in plain.scores
    )
    data = replace(
        plain.data,
        task="regression",
        classes={},
        target_range=(1.0, 9.0),
        target="cost",
    )
    truth = np.array([1.0, 2.0, 9.0, 4.0])
    return replace(
        plain, data=data, scores=scores, truth=truth, predicted=truth + 1, labels=()
    )


@cache
def plain_page() -> str:
    """Return the page of the small record, which takes a moment to draw."""
    return report_html(result())


@cache
def regression_page() -> str:
    """Return the page of a regression."""
    return report_html(regression())


class _Balance(HTMLParser):
    """Checks that tags close in order, and gathers text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def text_of(page: str) -> str:
    """Return what a reader sees, after a check of the tags."""
    parser = _Balance()
    parser.feed(page)
    assert parser.open == []
    return " ".join(" ".join(parser.text).split())


def rows_of(page: str) -> list[list[str]]:
    """Return the cells of all table rows."""
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", page, flags=re.DOTALL)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]
    return [[re.sub(r"<[^>]+>", "", cell) for cell in row] for row in cells]


@pytest.mark.parametrize("page_of", [plain_page, regression_page])
def test_page_needs_nothing_but_itself(page_of: Callable[[], str]) -> None:
    """One script of its own, no link, no address but names of XML vocabularies."""
    page = page_of()
    for word in ("<link", "<img", "@import", "src=", "fetch(", "import("):
        assert word not in page
    assert re.findall(r"<script[^>]*>", page) == ["<script>"]
    addresses = re.findall(r"https?://[^\"'<> ]+", page)
    assert set(addresses) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    references = re.findall(r"(?:href=\"|url\()([^\")]+)", page)
    assert all(reference.startswith("#") for reference in references)


def test_page_opens_with_the_verdict() -> None:
    """The diagnosis stands before pictures and scores, with evidence and remedy."""
    page = plain_page()
    heads = re.findall("<h2>(.*?)</h2>", page)
    assert heads[:3] == ["Diagnosis", "Training of the best model", "Scores"]
    opening = page[page.index("Diagnosis</h2>") : page.index("Training of the best")]
    for text in ("1 finding.", "dead units", "layer 0, epochs 1 to 4", "0.625"):
        assert text in opening
    assert "Most units &lt;are&gt; silent." in opening
    assert "set_params(activation=&#x27;leaky_relu&#x27;)" in opening


@pytest.mark.parametrize("page_of", [plain_page, regression_page])
def test_ids_are_unique_and_found(page_of: Callable[[], str]) -> None:
    """Each picture refers to its own parts."""
    page = page_of()
    ids = re.findall(r"\sid=\"([^\"]+)\"", page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"(?:href=\"|url\()#([^\")]+)", page)) <= set(ids)


def test_page_is_the_same_each_time() -> None:
    """Equal records give equal pages."""
    assert report_html(result()) == plain_page()


def test_names_are_escaped() -> None:
    """A table's name is text, not markup."""
    page = plain_page()
    assert "<shrubs>" not in page
    assert "trees & <shrubs>.csv" in text_of(page)


def test_dollar_signs_are_kept() -> None:
    """A name that looks like a placeholder stays as it is."""
    data = replace(result().data, name="$title", target="$100")
    assert "Tuning report: $title" in text_of(report_html(result(data=data)))


def candidate_rows(page: str) -> list[list[str]]:
    """Return the rows of the table of candidates, its head first."""
    table = re.search(r'<table class="sortable">.*?</table>', page, flags=re.DOTALL)
    assert table is not None
    return rows_of(table[0])


def test_candidates_are_listed_best_first() -> None:
    """The table holds every candidate by rank, blank where it has no such parameter."""
    head, *rows = candidate_rows(plain_page())
    assert head == [
        *("candidate", "rank", "mean accuracy", "sd", "state", "epochs", "s per fit"),
        *("l2", "optimizer", "clip_norm", "n_units__1"),
    ]
    assert [row[0] for row in rows] == ["1", "3", "0", "2"]
    scores = ["1", "1", "0.9000", "0.0100", "complete", "30", "0.25"]
    assert rows[0] == [*scores, "0.25", "sgd", "1", "16"]
    assert rows[1][-3:] == ["", "None", "8"]
    assert rows[3][-4:] == ["", "adam", "5", ""]
    assert [row[4] for row in rows] == [
        *("complete", "complete, diverged in 2 folds", "complete", "pruned")
    ]


def test_failed_candidate_has_no_score() -> None:
    """A candidate without a score is blank there, and says that it failed."""
    trials = searched().trials.assign(mean_test_score=[0.6, 0.9, 0.7, np.nan])
    page = report_html(result(search=searched(trials=trials)))
    failed = next(row for row in candidate_rows(page) if row[0] == "3")
    assert failed[2:5] == ["", "0.0100", "failed"]


def test_table_can_be_sorted() -> None:
    """Its order is announced, and rounded numbers have the whole one to sort by."""
    trials = searched().trials.assign(mean_test_score=[0.6, 0.98765432, 0.7, 0.8])
    page = report_html(result(search=searched(trials=trials)))
    assert re.findall(r"<th[^>]*aria-sort[^>]*>.*?</th>", page) == [
        '<th scope="col" aria-sort="ascending">rank</th>'
    ]
    assert '<td data-value="0.98765432">0.9877</td>' in page


def test_table_scrolls_by_key() -> None:
    """The frame around the table has a name and can be focused."""
    page = plain_page()
    frame = re.search(r'<div class="tall"[^>]*>', page)
    assert frame is not None
    assert 'tabindex="0"' in frame[0]
    assert 'aria-labelledby="candidates"' in frame[0]
    assert 'id="candidates"' in page


def test_rows_that_stand_out() -> None:
    """The chosen candidate and those that left early are marked."""
    page = plain_page()
    marks = re.findall(r'<tr class="(\w+)"><th[^>]*>(\d+)', page)
    assert marks == [("best", "1"), ("pruned", "2")]


def test_long_table_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of very many candidates only the best are in the page, which says so."""
    monkeypatch.setattr(candidates, "MOST_ROWS", 2)
    page = report_html(result())
    assert len(candidate_rows(page)) == 3
    assert "The best 2 of 4." in text_of(page)


def test_script_sorts(tmp_path: Path) -> None:
    """A click sorts by values, another one turns it round; blanks stay last."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node")
    program = tmp_path / "sort.js"
    program.write_text(DOM + SCRIPT + CLICKS, encoding="utf-8")
    done = subprocess.run([node, program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "b d c a ascending",
        "c d b a descending",
        "a b c d -",
        "c a b d ascending",
    ]


#: As much of a page as the script needs: cells, rows, and a table of two columns.
DOM = """
class Node {
  constructor(text = "", value) {
    this.textContent = text; this.dataset = {value}; this.childNodes = [text];
    this.attributes = {}; this.heard = {};
  }
  append(...nodes) {
    for (const node of nodes) {
      if (node instanceof Node) this.children = [...(this.children ?? []), node];
    }
  }
  addEventListener(name, listener) { this.heard[name] = listener; }
  click() { this.heard.click(); }
  getAttribute(name) { return this.attributes[name] ?? null; }
  setAttribute(name, value) { this.attributes[name] = value; }
  removeAttribute(name) { delete this.attributes[name]; }
}
const row = (name, text, value, word) => ({
  name, cells: [new Node(text, value), new Node(word)]
});
const heads = [new Node("number"), new Node("word")];
const body = {
  rows: [
    row("a", "", undefined, "adam"), row("b", "9.5", "9.46", "relu"),
    row("c", "1e2", undefined, "1"), row("d", "9.5", "9.54", "selu")
  ],
  append(...rows) { this.rows = rows; }
};
const table = {tBodies: [body], tHead: {rows: [{cells: heads}]}};
globalThis.document = {
  querySelectorAll: () => [table], createElement: () => new Node()
};
"""
CLICKS = """
const show = head => console.log(
  ...body.rows.map(row => row.name), head.attributes["aria-sort"] ?? "-"
);
const [number, word] = heads.map(head => head.children[0]);
number.click(); show(heads[0]);
number.click(); show(heads[0]);
word.click(); word.click(); word.click();
body.rows.sort((a, b) => a.name < b.name ? -1 : 1); show(heads[0]);
word.click(); word.click(); show(heads[1]);
"""


def test_best_scores_are_strong() -> None:
    """In each column the best is marked: the most accurate, the least loss."""
    page = plain_page()
    assert re.findall(r"<b>(.*?)</b>", page) == [
        "0.900 ± 0.010",
        "0.200 ± 0.020",
        "0.310",
        "0.875",
    ]


@pytest.mark.parametrize(
    ("predicted", "text"),
    [
        (["oak", "oak", "elm", "elm"], r"All 4 of them .* an accuracy of 0\.473 "),
        (["elm", "elm", "oak", "oak"], r"None of the 4 .* an accuracy of 0\.527 "),
    ],
)
def test_all_or_none_is_not_certain(predicted: list[str], text: str) -> None:
    """Where no row differs, the accuracy is told at which that has probability 5 %.

    Four right ones have it at 0.473, as 0.473 ** 4 = 0.05.
    """
    page = report_html(result(predicted=np.array(predicted)))
    assert re.search(text, text_of(page))


def test_confusion_matrix_counts_rows() -> None:
    """Rows are the true classes, columns the predicted ones."""
    assert result().confusion.tolist() == [[2, 0], [1, 1]]
    rows = rows_of(plain_page())
    assert ["elm", "2100%", "00%"] in rows
    assert ["oak", "150%", "150%"] in rows


def test_many_classes_have_no_matrix() -> None:
    """A matrix that nobody can read is replaced by a count."""
    labels = tuple(f"c{i:02}" for i in range(20))
    truth = np.array(labels)
    predicted = np.roll(truth, 1)
    predicted[:5] = truth[:5]
    page = report_html(result(labels=labels, truth=truth, predicted=predicted))
    assert "5 of 20 rows predicted correctly." in text_of(page)
    assert 'class="matrix"' not in page


def test_page_tells_what_was_found() -> None:
    """Data, best values, uncertainty and the way to use the model are there."""
    text = text_of(plain_page())
    for part in (
        "9 (75%)",
        "3 numbers, replaced by the column's median",
        "Column 'name' was left out.",
        "reaches an accuracy of 0.750",
        "baseline 0.875",
        "uncertain by about ±0.217",
        "keeping the weights of epoch 3",
        'load("model.safetensors")',
        "python -m sknnopt predict",
        "Duration: 12 s",
    ):
        assert part in text, part


def test_regression_shows_a_scatter() -> None:
    """Numbers have a range and a picture in place of classes and a matrix."""
    page = regression_page()
    text = text_of(page)
    assert "Range of the target 1 to 9" in text
    assert "Predicted cost" in text
    assert "uncertain by" not in text
    assert 'class="matrix"' not in page


@pytest.mark.parametrize(
    "draw",
    [
        lambda: history_svg(result(), "loss"),
        lambda: history_svg(result(), "score"),
        lambda: convergence_svg(result()),
        lambda: curves_svg(result()),
        lambda: importance_svg(searched().importance),
        lambda: prediction_svg(regression()),
    ],
    ids=["loss", "score", "convergence", "curves", "importance", "prediction"],
)
def test_picture_follows_the_page(draw: Callable[[], str]) -> None:
    """A picture is one element with a name, and its ink is the page's."""
    svg = draw()
    root = ElementTree.fromstring(svg)
    assert root.tag.endswith("svg")
    assert root.attrib["aria-label"]
    assert "width" not in root.attrib
    assert "currentColor" in svg
    assert "var(--blue)" in svg
    colors = set(re.findall("#[0-9a-f]{6}", svg, flags=re.IGNORECASE))
    assert not colors


def test_drawing_leaves_matplotlib_as_it_was() -> None:
    """Neither settings nor open figures are left behind."""
    import matplotlib as mpl
    from matplotlib import pyplot

    before, figures = dict(mpl.rcParams), pyplot.get_fignums()
    convergence_svg(result())
    assert dict(mpl.rcParams) == before
    assert pyplot.get_fignums() == figures


def test_pictures_that_cannot_be_drawn_are_explained() -> None:
    """Without curves and importances there are their notes, and no empty axes."""
    search = searched(curves=searched().curves.head(0), importance=None)
    page = report_html(result(search=search))
    assert page.count("<svg") == plain_page().count("<svg") - 2
    assert "Curves of some." in text_of(page)
    assert "How important." in text_of(page)


def test_search_is_told() -> None:
    """How candidates were found, how many left early, and how long it took."""
    text = text_of(plain_page())
    assert (
        "4 candidates, proposed by a tree-structured Parzen estimator from the space "
        '"standard", in 10 s. 1 of them left early.' in text
    )
    complete = searched(trials=searched().trials.assign(pruned=False))
    assert "left early" not in text_of(report_html(result(search=complete)))


def test_best_that_left_early_is_no_secret() -> None:
    """Where the time was over too soon, the page says so."""
    assert "larger budget" not in text_of(plain_page())
    pruned = searched(trials=searched().trials.assign(pruned=True))
    assert "larger budget" in text_of(report_html(result(search=pruned)))
