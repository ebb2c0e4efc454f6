"""What all displays of fits have in common: see test_search_displays for searches."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from sknnopt import displays

pyplot = pytest.importorskip("matplotlib.pyplot")

SMALL = {"figure.figsize": (3, 2.4), "figure.dpi": 100}
HISTORY = {
    "member": np.tile([0, 1], 40),
    "epoch": np.repeat(np.arange(1, 41), 2),
    "train_loss": np.geomspace(0.9, 0.02, 80),
    "valid_loss": np.geomspace(0.9, 0.4, 80),
    **{f"gradient_norm_{i}": np.geomspace(10.0**-i, 1e-3, 80) for i in range(6)},
}


def _histograms(n_layers: int) -> tuple[np.ndarray, np.ndarray]:
    """Return counts and edges of layers of numbers of very different size."""
    edges = np.linspace(0, 1, 11) * np.geomspace(1, 1e3, n_layers)[:, None]
    return np.tile(np.arange(10), (n_layers, 1)), edges


def _activations(ax: Any = None, n_layers: int = 6) -> Any:
    share = np.linspace(0.001, 1, n_layers)
    display = displays.ActivationHistogramDisplay(
        *_histograms(n_layers), zero_share=share
    )
    return display.plot(ax)


def _compared(ax: Any = None) -> Any:
    names = ("sigmoid, 10 layers", "relu", "one network", "ensemble of eight")
    fits = dict.fromkeys((*names, "a name that is much longer than a picture is wide"))
    return displays.FitComparisonDisplay.from_fits(dict.fromkeys(fits, HISTORY), ax)


DRAW = {
    "history": lambda ax=None: displays.TrainingHistoryDisplay.from_history(
        HISTORY, [40, 30], ax
    ),
    "members": lambda ax=None: displays.TrainingHistoryDisplay.from_history(
        HISTORY, [40, 30], ax, members="lines"
    ),
    "comparison": _compared,
    "gradients": lambda ax=None: displays.GradientFlowDisplay.from_history(HISTORY, ax),
    "activations": _activations,
    "weights": lambda ax=None: displays.WeightDistributionDisplay(*_histograms(4)).plot(
        ax
    ),
    "functions": lambda ax=None: displays.ActivationFunctionDisplay.from_names(ax=ax),
}


@pytest.fixture(autouse=True)
def _closed_figures() -> Iterator[None]:
    yield
    pyplot.close("all")


def _boxes(figure: Any) -> dict[str, Any]:
    """Return where the texts of a figure are: ticks, labels, legends, notes."""
    figure.canvas.draw()
    texts = []
    for ax in figure.axes:
        texts += [ax.title, ax.xaxis.label, ax.yaxis.label, *ax.texts]
        legend = ax.get_legend()
        texts += [] if legend is None else legend.get_texts()
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = axis.get_major_ticks() + axis.get_minor_ticks()
            for tick in ticks:
                if low <= tick.get_loc() <= high:
                    texts += [tick.label1, tick.label2]
    return [
        (text.get_text(), text.get_window_extent())
        for text in texts
        if text.get_text() and text.get_visible()
    ]


@pytest.mark.parametrize("name", DRAW)
def test_small_pictures_are_readable(name: str) -> None:
    """At 300 pixels no text covers another one, and none leaves the picture."""
    with pyplot.rc_context(SMALL):
        figure = DRAW[name]().figure_
        texts = _boxes(figure)
    assert len(texts) > 8
    for i, (text, box) in enumerate(texts):
        covered = [other for other, place in texts[:i] if place.overlaps(box)]
        assert not covered, text
        assert min(box.x0, box.y0) >= 0, text
        assert box.x1 <= 300, text
        assert box.y1 <= 240, text


@pytest.mark.parametrize("n_layers", [1, 2, 11, 40])
def test_layers_are_named_as_there_is_room(n_layers: int) -> None:
    """However many layers there are, texts stand apart, and the last is named."""
    with pyplot.rc_context(SMALL):
        display = _activations(n_layers=n_layers)
        texts = _boxes(display.figure_)
    for i, (text, box) in enumerate(texts):
        assert not [other for other, place in texts[:i] if place.overlaps(box)], text
    labels = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert labels[-1] == str(n_layers - 1)
    assert len(labels) >= min(n_layers, 8)


@pytest.mark.parametrize("name", ["history", "comparison", "functions"])
@pytest.mark.parametrize("is_first", [True, False])
def test_title_stands_above_the_legend(name: str, is_first: bool) -> None:
    """A title covers no legend, whichever is there first."""
    figure, ax = pyplot.subplots(layout="constrained")
    if is_first:
        ax.set_title("A title")
    DRAW[name](ax)
    if not is_first:
        ax.set_title("A title")
    figure.canvas.draw()
    title, legend = ax.title.get_window_extent(), ax.get_legend().get_window_extent()
    assert legend.y1 <= title.y0
    assert title.y1 <= figure.bbox.height
    ax.get_legend().remove()
    figure.canvas.draw()
    assert ax.title.get_window_extent().y0 < ax.bbox.y1 + 20


def test_figures_can_be_pickled() -> None:
    """A figure with its legend above comes back from a pickle and can be drawn."""
    display = DRAW["history"]()
    pickle.loads(pickle.dumps(display.figure_)).canvas.draw()


@pytest.mark.parametrize("background", ["black", "none"])
@pytest.mark.parametrize("name", [name for name in DRAW if name != "gradients"])
def test_colors_stand_out(name: str, background: str) -> None:
    """The blue is light on black, and where only the light labels tell so."""
    from matplotlib.colors import to_hex

    colors = {f"{part}.facecolor": background for part in ("axes", "figure")}
    with pyplot.rc_context({**colors, "axes.labelcolor": "white"}):
        display = DRAW[name]()
    if hasattr(display, "steps_"):
        color = display.steps_[0].get_edgecolor()
    else:
        color = display.lines_[0].get_color()
    assert to_hex(color).upper() == "#56B4E9"


@pytest.mark.parametrize("name", DRAW)
def test_given_axes_are_used(name: str) -> None:
    """Nothing is drawn outside of the axes that are given, but a map's own scale."""
    ax = pyplot.figure().subplots()
    display = DRAW[name](ax)
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    assert pyplot.get_fignums() == [1]
    others = [other for other in ax.figure.axes if other is not ax]
    assert others == ([display.colorbar_.ax] if name == "gradients" else [])


@pytest.mark.parametrize("name", DRAW)
def test_missing_matplotlib_is_explained(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without matplotlib the error names the extra to install."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'sknnopt\[plot\]'"):
        DRAW[name]()


@pytest.mark.parametrize(("figure", "color"), [("white", "#0072B2"), ("k", "#56B4E9")])
def test_figure_behind_the_axes_counts(figure: str, color: str) -> None:
    """Where axes have no background of their own, the blue suits the figure's."""
    with pyplot.rc_context({"axes.facecolor": "none", "figure.facecolor": figure}):
        display = DRAW["functions"]()
    assert display.lines_[0].get_color() == color
