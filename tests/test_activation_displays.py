from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from scipy.stats import norm

from sknnopt.activations import ACTIVATIONS
from sknnopt.displays import ActivationFunctionDisplay

pyplot = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def _closed_figures() -> Iterator[None]:
    yield
    pyplot.close("all")


def test_closed_forms() -> None:
    """Curves are the formulas of sigmoid and tanh, and of their derivatives."""
    display = ActivationFunctionDisplay.from_names(["sigmoid", "tanh"], limit=3.0)
    x = np.asarray(display.lines_[0].get_xdata())
    assert (x[0], x[-1]) == (-3.0, 3.0)
    assert 0.0 in x
    sigmoid, tanh = 1 / (1 + np.exp(-x)), np.tanh(x)
    expected = [sigmoid, tanh], [sigmoid * (1 - sigmoid), 1 - tanh**2]
    drawn = display.lines_, display.slope_lines_
    for lines, formulas in zip(drawn, expected, strict=True):
        for line, formula in zip(lines, formulas, strict=True):
            np.testing.assert_allclose(line.get_ydata(), formula, atol=1e-15)
    legend = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert legend == ["sigmoid (0.25)", "tanh (1)", "derivative (max)"]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_derivatives_are_those_of_autograd(name: str) -> None:
    """The dashed curve is the gradient of the other one."""
    display = ActivationFunctionDisplay.from_names(name)
    x = torch.tensor(display.x, requires_grad=True)
    value = ACTIVATIONS[name].make(x)
    value.sum().backward()
    np.testing.assert_array_equal(display.values[name], value.detach())
    np.testing.assert_allclose(display.slopes[name], x.grad, rtol=1e-12, atol=1e-15)
    (line,) = display.slope_lines_
    np.testing.assert_array_equal(line.get_ydata(), display.slopes[name])


@pytest.mark.parametrize(
    ("name", "at", "slope"),
    [
        ("sigmoid", 0.0, 0.25),
        ("tanh", 0.0, 1.0),
        ("identity", 0.0, 1.0),
        ("relu", 0.004, 1.0),
        ("elu", 0.0, 1.0),
        # The second derivative is the normal density times 2 - x^2.
        ("gelu", np.sqrt(2), norm.cdf(np.sqrt(2)) + np.exp(-1) / np.sqrt(np.pi)),
        ("softplus", None, None),
    ],
)
def test_greatest_derivative_is_marked(name, at, slope) -> None:
    """The mark is at the maximum nearest to zero, if it is not an end of the range."""
    display = ActivationFunctionDisplay.from_names(name)
    places = [(m.get_xdata()[0], m.get_ydata()[0]) for m in display.marks_]
    if at is None:
        assert places == []
        return
    np.testing.assert_allclose(places, [(at, slope)], atol=3e-3)
    assert places[0][1] == display.slopes[name].max()


def test_axes_are_used_and_all_options_fit() -> None:
    """All functions can be drawn into one given axes, each with a look of its own."""
    ax = pyplot.figure().subplots()
    display = ActivationFunctionDisplay.from_names(ACTIVATIONS, ax)
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    lines = display.lines_ + display.slope_lines_
    looks = {(line.get_color(), line.get_linestyle()) for line in lines[:11]}
    assert len(looks) == len(ACTIVATIONS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"names": ["relu", "step"]}, r"'names' .*'relu'.*Got \['relu', 'step'\]"),
        ({"names": []}, r"Got \[\]"),
        ({"limit": 0.0}, "'limit' .* positive number. Got 0.0"),
        ({"limit": np.inf}, "'limit' .* positive number. Got inf"),
    ],
)
def test_what_cannot_be_drawn_is_refused(options, message) -> None:
    """The error says what is accepted."""
    with pytest.raises(ValueError, match=message):
        ActivationFunctionDisplay.from_names(**options)
