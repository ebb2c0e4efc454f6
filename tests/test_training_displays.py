from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from estimators import plain_classifier, plain_regressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknnopt import OptimizedMLPClassifier
from sknnopt.displays import FitComparisonDisplay, TrainingHistoryDisplay

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
    mark = display.marks_
    best = model.best_epoch_
    assert mark.get_xdata().tolist() == [best]
    assert mark.get_ydata()[0] == model.history_["valid_loss"].min()
    assert mark.get_label() == f"best epoch ({best})"


@pytest.fixture(scope="module")
def ensemble(data: tuple[np.ndarray, np.ndarray]) -> OptimizedMLPClassifier:
    """Return three networks."""
    return plain_classifier(
        n_members=3, max_epochs=6, early_stopping=True, random_state=0
    ).fit(*data)


def test_each_member_has_its_curves(ensemble: OptimizedMLPClassifier) -> None:
    """Three members give three training and three validation curves, named once."""
    display = TrainingHistoryDisplay.from_estimator(ensemble, members="lines")
    assert len(display.lines_) == 6
    assert display.bands_ == []
    history = ensemble.history_
    for member, line in enumerate(display.lines_[3:]):
        expected = history.loc[history["member"] == member, "valid_loss"]
        np.testing.assert_array_equal(line.get_ydata(), expected)
    assert display.marks_.get_xdata().tolist() == ensemble.best_epoch_.tolist()
    assert _legend(display) == ["training", "validation", "best epochs"]


def test_members_are_a_band(ensemble: OptimizedMLPClassifier) -> None:
    """The line is the members' mean, and the band ends at the least and greatest."""
    display = TrainingHistoryDisplay.from_estimator(ensemble)
    table = ensemble.history_.pivot_table(
        index="epoch", columns="member", values=["train_loss", "valid_loss"]
    )
    assert table.notna().all(axis=None)
    columns = "train_loss", "valid_loss"
    parts = zip(columns, display.lines_, display.bands_, strict=True)
    for column, line, band in parts:
        np.testing.assert_allclose(line.get_ydata(), table[column].mean(axis=1))
        np.testing.assert_array_equal(line.get_xdata(), table.index)
        for ends in (table[column].min(axis=1), table[column].max(axis=1)):
            _check_outline(band, table.index, ends)
    assert _legend(display) == ["training", "validation", "best epochs"]


def test_stopped_member_counts_with_its_last_loss() -> None:
    """Band by hand: member 1 ends at epoch 2, and lies in the band at epoch 3."""
    history = {
        "member": [0, 1, 0, 1, 0],
        "epoch": [1, 1, 2, 2, 3],
        "train_loss": [4.0, 2.0, 3.0, 1.0, 2.0],
    }
    display = TrainingHistoryDisplay.from_history(history)
    assert display.lines_[0].get_ydata().tolist() == [3.0, 2.0, 1.5]
    _check_outline(display.bands_[0], [1, 2, 3], [2.0, 1.0, 1.0])
    _check_outline(display.bands_[0], [1, 2, 3], [4.0, 3.0, 2.0])
    assert display.marks_ is None


def _check_outline(band: Any, x: Any, y: Any) -> None:
    """Assert that points are corners of a band."""
    corners = band.get_paths()[0].vertices
    for point in np.column_stack([x, y]):
        assert (corners == point).all(axis=1).any()


def _legend(display: Any) -> list[str]:
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]


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
    compared = FitComparisonDisplay.from_fits({"all": pipeline}, ax)
    np.testing.assert_array_equal(compared.lines_[0].get_ydata(), expected)


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


def test_unknown_way_to_draw_members_is_refused() -> None:
    """The error lists the ways."""
    display = TrainingHistoryDisplay({"epoch": [1], "train_loss": [1.0]})
    with pytest.raises(ValueError, match=r"'members' .* 'band' or 'lines'. Got 'all'"):
        display.plot(members="all")


def test_foreign_estimator_is_refused() -> None:
    """The error names what was given."""
    with pytest.raises(ValueError, match="Got a StandardScaler"):
        TrainingHistoryDisplay.from_estimator(StandardScaler())
    with pytest.raises(ValueError, match="Got a StandardScaler"):
        FitComparisonDisplay.from_fits({"scaler": StandardScaler()})


def test_fits_are_compared(
    model: OptimizedMLPClassifier, ensemble: OptimizedMLPClassifier
) -> None:
    """Each fit, or history of one, is the mean of its members, its lowest marked."""
    fits = {"one": model, "three": ensemble.history_}
    display = FitComparisonDisplay.from_fits(fits)
    assert _legend(display) == ["one", "three"]
    assert display.ax_.get_ylabel() == "Validation loss"
    pairs = zip([model, ensemble], display.lines_, display.marks_, strict=True)
    for fit, line, mark in pairs:
        expected = fit.history_.groupby("epoch")["valid_loss"].mean()
        np.testing.assert_array_equal(line.get_xdata(), expected.index)
        np.testing.assert_allclose(line.get_ydata(), expected)
        assert mark.get_xdata().tolist() == [expected.idxmin()]
        assert mark.get_ydata()[0] == line.get_ydata().min()
    colors = [line.get_color() for line in display.lines_]
    assert colors == [mark.get_color() for mark in display.marks_]
    assert len(set(colors)) == 2


def test_loss_of_training_is_compared_where_validation_is_lacking(
    model: OptimizedMLPClassifier,
) -> None:
    """Losses of two kinds are never compared; the error names who lacks one."""
    fits = {"full": model, "short": {"epoch": [1, 2], "train_loss": [0.5, 0.4]}}
    display = FitComparisonDisplay.from_fits(fits)
    assert display.ax_.get_ylabel() == "Training loss"
    expected = model.history_["train_loss"]
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), expected)
    assert display.lines_[1].get_ydata().tolist() == [0.5, 0.4]
    with pytest.raises(ValueError, match=r"\['short'\] have no valid_loss"):
        FitComparisonDisplay.from_fits(fits, loss="valid")


def test_many_fits_look_different() -> None:
    """No two of twenty fits have color and dashes in common."""
    history = {"epoch": [1, 2], "train_loss": [0.5, 0.4]}
    display = FitComparisonDisplay.from_fits({f"{i}": history for i in range(20)})
    looks = {(line.get_color(), line.get_linestyle()) for line in display.lines_}
    assert len(looks) == 20


@pytest.mark.parametrize(
    ("fits", "options", "message"),
    [
        ({}, {}, "at least one fit"),
        ({"a": {"train_loss": [1.0]}}, {}, r"'epoch'.*\['train_loss'\]"),
        ({"a": {"epoch": [1]}}, {}, r"\['a'\] have no train_loss"),
        ({"a": {"epoch": [1]}}, {"loss": "test"}, "'loss' .* Got 'test'"),
    ],
)
def test_what_cannot_be_compared_is_refused(fits, options, message) -> None:
    """The error says what is missing."""
    with pytest.raises(ValueError, match=message):
        FitComparisonDisplay.from_fits(fits, **options)
