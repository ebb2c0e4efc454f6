"""What all pictures share: labels that do not overlap, ticks, outliers out of view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sknnopt._drawing import hide_outliers, spread_labels, tick_numbers

if TYPE_CHECKING:
    from collections.abc import Iterator

pyplot = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture
def ax() -> Iterator[Any]:
    """Return axes."""
    figure, axes = pyplot.subplots()
    yield axes
    pyplot.close(figure)


def test_labels_without_room_are_hidden(ax: Any) -> None:
    """The last keeps its line, two others move below it, and no more have room."""
    labels = [
        ax.annotate("label", (0.5, 0.5), xytext=(0, 0), textcoords="offset points")
        for _ in range(5)
    ]
    spread_labels(ax.figure, [labels, []])
    assert [label.get_visible() for label in labels] == [True, True, False, False, True]
    size = labels[0].get_fontsize()
    lines = [label.xyann[1] / size for label in labels]
    np.testing.assert_allclose(lines, [-1.3, -2.6, 0, 0, 0])


@pytest.mark.parametrize(
    ("values", "scale", "ticks"),
    [
        (np.array([1, 2, 3]), "linear", [1, 2, 3]),
        (np.array([0.0, 0.5, 1.0]), "linear", [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (np.array([1.0, 20.0]), "log", [1, 2, 5, 10, 20]),
        (np.array([1.0, 100.0]), "log", [1, 10, 100]),
    ],
)
def test_ticks_are_few_but_enough(
    ax: Any, values: np.ndarray, scale: str, ticks: list[float]
) -> None:
    """Integers have whole ones, and less than two decades have more than decades."""
    ax.plot(values, values)
    ax.set_xscale(scale)
    ax.set_xlim(values.min(), values.max())
    tick_numbers(ax, values)
    found = ax.get_xticks()
    inside = found[(found >= values.min() * 0.999) & (found <= values.max() * 1.001)]
    np.testing.assert_allclose(inside, ticks)


def test_without_a_number_there_is_no_outlier(ax: Any) -> None:
    """Axes of values that are all unknown stay as they are."""
    before = ax.get_ylim()
    hide_outliers(ax, [np.nan, np.inf])
    assert ax.get_ylim() == before
    assert not ax.texts
