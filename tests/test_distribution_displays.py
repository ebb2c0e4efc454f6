from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from estimators import plain_classifier, plain_regressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknnopt import _responses
from sknnopt._hidden_outputs import hidden_outputs
from sknnopt.displays import ActivationHistogramDisplay, WeightDistributionDisplay

pyplot = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def _closed_figures() -> Iterator[None]:
    yield
    pyplot.close("all")


@pytest.fixture
def model(table: tuple[np.ndarray, np.ndarray]) -> Any:
    """Return two networks of three layers."""
    return plain_classifier(
        n_members=2,
        hidden_layer_sizes=(5, 6, 4),
        activation=["relu", "tanh", "relu"],
        max_epochs=3,
        random_state=0,
    ).fit(*table)


def _check(display: Any, layers: list[np.ndarray], bins: int) -> None:
    """Assert that counts and patches are numpy's histograms of all but zeros."""
    assert len(display.steps_) == len(layers)
    for layer, numbers in enumerate(layers):
        shown = numbers[numbers != 0].astype(float)
        counts, edges = np.histogram(shown, bins)
        np.testing.assert_array_equal(display.counts[layer], counts)
        np.testing.assert_array_equal(display.edges[layer], edges)
        assert display.zero_share[layer] == np.mean(numbers == 0)
        drawn = display.steps_[layer].get_data()
        np.testing.assert_allclose(
            drawn.values, layer + 0.8 * counts / counts.max(), rtol=1e-12
        )
        np.testing.assert_array_equal(drawn.edges, edges)
        assert drawn.baseline == layer


def test_activations_are_counted_as_numpy_does(
    model: Any, table: tuple[np.ndarray, np.ndarray]
) -> None:
    """Counts, bins, shares of zeros and patches are those of the hidden outputs."""
    X, _ = table
    display = ActivationHistogramDisplay.from_estimator(model, X, bins=12)
    layers = hidden_outputs(model, X)
    _check(display, layers, 12)
    share = 100 * np.mean(layers[0] == 0)
    texts = [text.get_text() for text in display.texts_]
    assert texts[:2] == [f"{share:.0f} % zero", ""]
    labels = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert labels == ["0", "1", "2"]


def test_chunks_of_rows_add_up(
    model: Any,
    table: tuple[np.ndarray, np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where memory holds few rows at a time, the counts are the same."""
    X, _ = table
    whole = ActivationHistogramDisplay.from_estimator(model, X)
    monkeypatch.setattr(_responses, "_CHUNK", 2 * 6 * 7)
    chunked = ActivationHistogramDisplay.from_estimator(model, X)
    np.testing.assert_array_equal(chunked.counts, whole.counts)
    np.testing.assert_allclose(chunked.edges, whole.edges)
    assert chunked.zero_share.tolist() == whole.zero_share.tolist()


def test_pipeline_transforms_the_rows(table: tuple[np.ndarray, np.ndarray]) -> None:
    """The networks see rows as the steps before them leave these."""
    X, y = table
    pipeline = make_pipeline(
        StandardScaler(), plain_regressor(max_epochs=2, n_units=4, random_state=0)
    ).fit(100 * X, y)
    ax = pyplot.figure().subplots()
    display = ActivationHistogramDisplay.from_estimator(pipeline, 100 * X, ax, bins=9)
    assert display.ax_ is ax
    scaled = pipeline[0].transform(100 * X)
    _check(display, hidden_outputs(pipeline[1], scaled), 9)
    WeightDistributionDisplay.from_estimator(pipeline, ax)
    assert pyplot.get_fignums() == [1]


def test_weights_are_counted_as_numpy_does(model: Any) -> None:
    """Counts, bins and patches are those of all members' weights, the head last."""
    display = WeightDistributionDisplay.from_estimator(model, bins=15)
    _check(display, model.coefs_, 15)
    labels = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert labels == ["0", "1", "2", "head"]
    assert [text.get_text() for text in display.texts_] == [""] * 4


def test_nothing_but_zeros_is_told(table: tuple[np.ndarray, np.ndarray]) -> None:
    """Networks that begin at zero stay there behind relu units, and are drawn so."""
    X, y = table
    model = plain_classifier(
        n_units=3, weight_init="zeros", max_epochs=1, random_state=0
    ).fit(X, y)
    for display in (
        WeightDistributionDisplay.from_estimator(model),
        ActivationHistogramDisplay.from_estimator(model, X),
    ):
        assert (display.counts == 0).all()
        assert (display.zero_share == 1).all()
        assert {text.get_text() for text in display.texts_} == {"100 % zero"}
        display.figure_.canvas.draw()


def test_one_number_is_a_histogram(table: tuple[np.ndarray, np.ndarray]) -> None:
    """Where all units answer alike, all counts are in one bin."""
    X, y = table
    model = plain_classifier(
        n_layers=1, n_units=3, weight_init="zeros", activation="sigmoid", max_epochs=2
    )
    display = ActivationHistogramDisplay.from_estimator(model.fit(0 * X, y), 0 * X)
    assert display.counts.max() == display.counts.sum() == 3 * len(X)


@pytest.mark.parametrize("bins", [0, 2.5, "auto"])
def test_bins_are_a_number(model: Any, bins: Any) -> None:
    """The error says what is accepted."""
    with pytest.raises(ValueError, match=r"'bins' .* int of at least 1. Got"):
        WeightDistributionDisplay.from_estimator(model, bins=bins)
