from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from estimators import plain_classifier

from sknnopt.displays import GradientFlowDisplay

pyplot = pytest.importorskip("matplotlib.pyplot")

#: Two members, of which the second ends after one epoch; its layer 0 has no gradient.
HISTORY = {
    "member": [0, 1, 0],
    "epoch": [1, 1, 2],
    "gradient_norm_0": [0.001, 0.0, 0.0],
    "gradient_norm_1": [1.0, 3.0, 4.0],
}


@pytest.fixture(autouse=True)
def _closed_figures() -> Iterator[None]:
    yield
    pyplot.close("all")


def test_fields_are_means_over_members() -> None:
    """By hand: a field for each layer and epoch; zero has no place on a log scale."""
    display = GradientFlowDisplay.from_history(HISTORY)
    fields = display.mesh_.get_array()
    assert fields.filled(-1).tolist() == [[0.0005, -1], [2.0, 4.0]]
    assert display.gradient_norm.tolist() == [[0.0005, 0], [2.0, 4.0]]
    corners = display.mesh_.get_coordinates()
    assert corners[0, :, 0].tolist() == [0.5, 1.5, 2.5]
    assert corners[:, 0, 1].tolist() == [-0.5, 0.5, 1.5]
    scale = display.mesh_.norm
    assert (scale.vmin, scale.vmax) == (0.0005, 4.0)
    np.testing.assert_allclose(scale(np.sqrt(0.0005 * 4.0)), 0.5)
    assert [t.get_text() for t in display.ax_.get_yticklabels()] == ["0", "head"]


def test_estimator_shows_its_history(table: tuple[np.ndarray, np.ndarray]) -> None:
    """The map of a fitted estimator holds the columns of its history."""
    model = plain_classifier(n_layers=3, n_units=4, max_epochs=4, random_state=0)
    history = model.fit(*table).history_
    ax = pyplot.figure().subplots()
    display = GradientFlowDisplay.from_estimator(model, ax, colorbar=False)
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    assert display.colorbar_ is None
    columns = history[[f"gradient_norm_{layer}" for layer in range(4)]]
    np.testing.assert_array_equal(display.mesh_.get_array(), columns.T)
    assert pyplot.get_fignums() == [1]


def test_ends_of_the_scale_can_be_given() -> None:
    """Two pictures with the same ends give a norm the same color."""
    display = GradientFlowDisplay.from_history(HISTORY, vmin=1e-3, vmax=10.0)
    assert (display.mesh_.norm.vmin, display.mesh_.norm.vmax) == (1e-3, 10.0)
    assert display.colorbar_.mappable is display.mesh_


@pytest.mark.parametrize("norm", [0.0, np.inf, np.nan, 2.0])
def test_one_field_can_be_drawn(norm: float) -> None:
    """A single field, with a norm or without one, is no error."""
    display = GradientFlowDisplay([3], [[norm]]).plot()
    display.figure_.canvas.draw()
    drawn = display.mesh_.get_array().compressed().tolist()
    assert drawn == ([2.0] if norm == 2.0 else [])


@pytest.mark.parametrize("monitor", ["off", "nothing read"])
def test_missing_norms_are_explained(monitor: str) -> None:
    """The error says which parameter records them."""
    history = {"epoch": [1], "train_loss": [1.0]}
    if monitor != "off":
        history["gradient_norm_0"] = [np.nan]
    with pytest.raises(ValueError, match=r"no gradient norms.*monitor='light'"):
        GradientFlowDisplay.from_history(history)
