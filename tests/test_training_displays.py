from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import pytest
from estimators import plain_classifier, plain_regressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknnopt import OptimizedMLPClassifier
from sknnopt.displays import TrainingHistoryDisplay

pyplot = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def _closed_figures() -> Iterator[None]:
    yield
    pyplot.close("all")


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    """Return a small table with two classes."""
    X = np.random.default_rng(0).normal(size=(60, 3))
    return X, (X[:, 0] > 0).astype(int)


@pytest.fixture(scope="module")
def model(data: tuple[np.ndarray, np.ndarray]) -> OptimizedMLPClassifier:
    """Return a classifier that has recorded everything."""
    return plain_classifier(
        max_epochs=8, early_stopping=True, monitor="full", random_state=0
    ).fit(*data)


@pytest.mark.parametrize("metric", ["loss", "score"])
def test_curves_are_the_history(model: OptimizedMLPClassifier, metric: str) -> None:
    """The lines hold the columns of the history, training first."""
    display = TrainingHistoryDisplay.from_estimator(model, metric=metric)
    history = model.history_
    for line, column in zip(display.lines_, ["train", "valid"], strict=True):
        np.testing.assert_array_equal(line.get_xdata(), history["epoch"])
        np.testing.assert_array_equal(line.get_ydata(), history[f"{column}_{metric}"])


def test_best_epoch_is_marked(model: OptimizedMLPClassifier) -> None:
    """The mark is on the validation curve at the epoch whose weights were kept."""
    display = TrainingHistoryDisplay.from_estimator(model)
    mark = display.ax_.lines[-1]
    best = model.best_epoch_
    assert mark.get_xdata().tolist() == [best]
    assert mark.get_ydata()[0] == model.history_["valid_loss"].min()
    assert mark.get_label() == f"best epoch ({best})"


def test_each_member_has_its_curves(data: tuple[np.ndarray, np.ndarray]) -> None:
    """Three members give three training and three validation curves, named once."""
    model = plain_classifier(
        n_members=3, max_epochs=6, early_stopping=True, random_state=0
    ).fit(*data)
    display = TrainingHistoryDisplay.from_estimator(model)
    assert len(display.lines_) == 6
    history = model.history_
    for member, line in enumerate(display.lines_[3:]):
        expected = history.loc[history["member"] == member, "valid_loss"]
        np.testing.assert_array_equal(line.get_ydata(), expected)
    marks = display.ax_.lines[-1]
    assert marks.get_xdata().tolist() == model.best_epoch_.tolist()
    legend = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert legend == ["training", "validation", "best epochs"]


def test_pipeline_is_looked_into(data: tuple[np.ndarray, np.ndarray]) -> None:
    """A pipeline shows the history of its last step, on the axes that are given."""
    pipeline = make_pipeline(
        StandardScaler(), plain_regressor(max_epochs=3, random_state=0)
    ).fit(*data)
    ax = pyplot.figure().subplots()
    display = TrainingHistoryDisplay.from_estimator(pipeline, ax)
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    expected = pipeline[-1].history_["train_loss"]
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), expected)


def test_no_best_epoch_without_validation(
    data: tuple[np.ndarray, np.ndarray],
) -> None:
    """Where no epoch was chosen, none is marked."""
    model = plain_classifier(max_epochs=3, early_stopping=False, random_state=0).fit(
        *data
    )
    display = TrainingHistoryDisplay.from_estimator(model)
    assert list(display.ax_.lines) == display.lines_


def test_score_axis_says_what_is_measured(model: OptimizedMLPClassifier) -> None:
    """A classifier's score is its accuracy; a plain history's is a score."""
    display = TrainingHistoryDisplay.from_estimator(model, metric="score")
    assert display.ax_.get_ylabel() == "Accuracy"
    plain = TrainingHistoryDisplay.from_history(model.history_, metric="score")
    assert plain.ax_.get_ylabel() == "Score"


def test_history_of_lists_can_be_drawn() -> None:
    """A mapping of lists without members is one network's history."""
    history = {"epoch": [1, 2, 3], "train_loss": [3.0, 2.0, 1.0]}
    display = TrainingHistoryDisplay.from_history(history, best_epoch=2)
    assert display.lines_[0].get_ydata().tolist() == [3.0, 2.0, 1.0]
    assert display.ax_.lines[-1].get_ydata().tolist() == [2.0]


def test_missing_metric_is_explained() -> None:
    """The error says which parameter records the metric."""
    display = TrainingHistoryDisplay({"epoch": [1], "train_loss": [1.0]})
    with pytest.raises(ValueError, match=r"no score to draw.*monitor='full'"):
        display.plot(metric="score")


def test_unknown_metric_is_refused() -> None:
    """The error lists the metrics."""
    display = TrainingHistoryDisplay({"epoch": [1], "train_loss": [1.0]})
    with pytest.raises(ValueError, match=r"'metric' .* \['loss', 'score'\].*'auc'"):
        display.plot(metric="auc")


def test_foreign_estimator_is_refused() -> None:
    """The error names what was given."""
    with pytest.raises(ValueError, match="Got a StandardScaler"):
        TrainingHistoryDisplay.from_estimator(StandardScaler())


def test_missing_matplotlib_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without matplotlib the error names the extra to install."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    display = TrainingHistoryDisplay({"epoch": [1], "train_loss": [1.0]})
    with pytest.raises(ImportError, match=r"pip install sknnopt\[plot\]"):
        display.plot()
