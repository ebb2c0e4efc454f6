from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

from sknnopt._cli.figures import convergence_svg, history_svg, prediction_svg
from sknnopt._cli.report import report_html
from sknnopt._cli.results import (
    Candidate,
    DataSummary,
    Measured,
    ModelScores,
    TuneResult,
)

pytest.importorskip("matplotlib")

VOID = {"meta", "br", "path", "use", "rect"}


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
    candidates = tuple(
        Candidate(i, {"optimizer": "adam", "l2": 0.125 * i}, mean, 0.01, 0.5)
        for i, mean in enumerate([0.6, 0.9, 0.3, 0.8], start=1)
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
        settings={"n_iter": 4, "cv": 3, "test_size": 0.25},
        candidates=candidates,
        best=candidates[1],
        scores=scores,
        history={
            "member": np.zeros(4, dtype=int),
            "epoch": epochs,
            "train_loss": 1 / epochs,
            "valid_loss": 1.1 / epochs,
            "train_score": 1 - 0.5 / epochs,
            "valid_score": 1 - 0.6 / epochs,
        },
        best_epoch=np.array([3]),
        truth=np.array(["oak", "oak", "elm", "elm"]),
        predicted=np.array(["oak", "elm", "elm", "elm"]),
        labels=("elm", "oak"),
        seconds=12.4,
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
    rows = re.findall(r"<tr>(.*?)</tr>", page, flags=re.DOTALL)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]
    return [[re.sub(r"<[^>]+>", "", cell) for cell in row] for row in cells]


@pytest.mark.parametrize("record", [result(), regression()], ids=["classes", "numbers"])
def test_page_needs_nothing_but_itself(record: TuneResult) -> None:
    """No script, no link, no address beside the names of XML vocabularies."""
    page = report_html(record)
    for word in ("<script", "<link", "<img", "@import", "src="):
        assert word not in page
    addresses = re.findall(r"https?://[^\"'<> ]+", page)
    assert set(addresses) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    references = re.findall(r"(?:href=\"|url\()([^\")]+)", page)
    assert all(reference.startswith("#") for reference in references)


@pytest.mark.parametrize("record", [result(), regression()], ids=["classes", "numbers"])
def test_ids_are_unique_and_found(record: TuneResult) -> None:
    """Each picture refers to its own parts."""
    page = report_html(record)
    ids = re.findall(r"\sid=\"([^\"]+)\"", page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"(?:href=\"|url\()#([^\")]+)", page)) <= set(ids)


def test_page_is_the_same_each_time() -> None:
    """Equal records give equal pages."""
    assert report_html(result()) == report_html(result())


def test_names_are_escaped() -> None:
    """A table's name is text, not markup."""
    page = report_html(result())
    assert "<shrubs>" not in page
    assert "trees & <shrubs>.csv" in text_of(page)


def test_dollar_signs_are_kept() -> None:
    """A name that looks like a placeholder stays as it is."""
    data = replace(result().data, name="$title", target="$100")
    assert "Tuning report: $title" in text_of(report_html(result(data=data)))


def test_candidates_are_listed_best_first() -> None:
    """The table holds every candidate, in the order of the mean score."""
    rows = rows_of(report_html(result()))
    found = [row for row in rows if len(row) == 6 and row[0].isdigit()]
    assert [row[0] for row in found] == ["2", "4", "1", "3"]
    assert found[0] == ["2", "0.9000", "0.0100", "0.50", "0.25", "adam"]


def test_best_scores_are_strong() -> None:
    """In each column the best is marked: the most accurate, the least loss."""
    page = report_html(result())
    assert re.findall(r"<b>(.*?)</b>", page) == [
        "0.900 ± 0.010",
        "0.200 ± 0.020",
        "0.310",
        "0.875",
    ]


def test_confusion_matrix_counts_rows() -> None:
    """Rows are the true classes, columns the predicted ones."""
    record = result()
    assert record.confusion.tolist() == [[2, 0], [1, 1]]
    rows = rows_of(report_html(record))
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
    text = text_of(report_html(result()))
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
    page = report_html(regression())
    text = text_of(page)
    assert "Range of the target 1 to 9" in text
    assert "Predicted cost" in text
    assert "uncertain by" not in text
    assert 'class="matrix"' not in page


@pytest.mark.parametrize(
    "svg",
    [
        history_svg(result(), "loss"),
        history_svg(result(), "score"),
        convergence_svg(result()),
        prediction_svg(regression()),
    ],
    ids=["loss", "score", "convergence", "prediction"],
)
def test_picture_follows_the_page(svg: str) -> None:
    """A picture is one element with a name, and its ink is the page's."""
    root = ElementTree.fromstring(svg)
    assert root.tag.endswith("svg")
    assert root.attrib["aria-label"]
    assert "width" not in root.attrib
    assert "currentColor" in svg
    assert "var(--blue)" in svg
    assert not re.search("#010203|#0072b2|#d55e00", svg, flags=re.IGNORECASE)


def test_drawing_leaves_matplotlib_as_it_was() -> None:
    """Neither settings nor open figures are left behind."""
    import matplotlib as mpl
    from matplotlib import pyplot

    before, figures = dict(mpl.rcParams), pyplot.get_fignums()
    convergence_svg(result())
    assert dict(mpl.rcParams) == before
    assert pyplot.get_fignums() == figures


def test_failed_candidate_does_not_flatten_the_curve() -> None:
    """A candidate far below is drawn at the lower edge, and named so."""
    means = [0.80, 0.82, 0.81, -50.0]
    candidates = tuple(
        Candidate(i, {}, mean, 0, 0) for i, mean in enumerate(means, start=1)
    )
    assert "further down" in convergence_svg(result(candidates=candidates))
    assert "further down" not in convergence_svg(result(candidates=candidates[:3]))


def test_best_so_far_never_falls() -> None:
    """It is the running maximum of the mean scores."""
    assert result().best_so_far.tolist() == [0.6, 0.9, 0.9, 0.9]
