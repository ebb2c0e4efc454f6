from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from estimators import plain_classifier
from searches import finished, learned, pruning_search, with_curves
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknnopt._drawing import short_names
from sknnopt.displays import (
    ParallelCoordinatesDisplay,
    ParameterEffectDisplay,
    ParameterImportanceDisplay,
    SearchConvergenceDisplay,
    SearchCurvesDisplay,
)
from sknnopt.search import parameter_importance, partial_dependence

pyplot = pytest.importorskip("matplotlib.pyplot")

DRAW = {
    "convergence": SearchConvergenceDisplay.from_search,
    "parallel": ParallelCoordinatesDisplay.from_search,
    "importance": ParameterImportanceDisplay.from_search,
    "number": lambda search, ax=None: ParameterEffectDisplay.from_search(
        search, "rate", ax
    ),
    "category": lambda search, ax=None: ParameterEffectDisplay.from_search(
        search, "method", ax
    ),
}


# Pictures are compared with what was computed, however well.
pytestmark = pytest.mark.usefixtures("few_trees")


@pytest.fixture(autouse=True)
def _closed_figures() -> Iterator[None]:
    yield
    pyplot.close("all")


def offsets(artist: Any) -> list[list[float]]:
    """Return the places of a scatter's points."""
    return np.asarray(artist.get_offsets()).tolist()


def test_convergence_shows_scores_and_the_best_so_far() -> None:
    """Points are the scores, and pruned ones never lead a finished one."""
    params = [{"alpha": float(i)} for i in range(6)]
    scores = [0.9, 0.5, np.nan, 0.4, 0.7, 0.8]
    pruned = [True, False, False, False, False, True]
    display = SearchConvergenceDisplay.from_search(
        finished(params, scores, pruned=pruned)
    )
    finite = [[1, 0.5], [3, 0.4], [4, 0.7]]
    assert [p for p in offsets(display.finished_) if p[0] != 2] == finite
    assert offsets(display.pruned_) == [[0, 0.9], [5, 0.8]]
    assert display.line_.get_xdata().tolist() == list(range(6))
    assert display.line_.get_ydata().tolist() == [0.9, 0.5, 0.5, 0.5, 0.7, 0.7]
    assert display.ax_.get_ylabel() == "Score"
    legend = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert legend == ["candidate", "pruned", "best so far"]


def test_convergence_over_time_adds_up_the_fits() -> None:
    """The place of a candidate is the time of all folds up to its end."""
    params = [{"alpha": float(i)} for i in range(3)]
    search = finished(params, [1.0, 2.0, 3.0], folds=[[1.0, 2.0, 3.0]] * 5)
    display = SearchConvergenceDisplay.from_search(search, x="fit_time")
    assert display.line_.get_xdata().tolist() == [5, 15, 30]
    assert [point[0] for point in offsets(display.finished_)] == [5, 15, 30]


def test_convergence_of_halving_begins_anew_in_each_iteration() -> None:
    """Scores with other resources are not compared."""
    params = [{"a": i} for i in (0, 1, 2, 3, 2, 3)]
    search = finished(params, [0.1, 0.6, 0.9, 0.8, 0.3, 0.5], iter=[0, 0, 0, 0, 1, 1])
    display = SearchConvergenceDisplay.from_search(search)
    assert display.line_.get_ydata().tolist() == [0.1, 0.6, 0.9, 0.9, 0.3, 0.5]
    assert [point[0] for point in offsets(display.pruned_)] == [0, 1]


def test_convergence_needs_a_known_axis() -> None:
    """The error lists the axes that there are."""
    display = SearchConvergenceDisplay([0], [1.0], [1.0])
    with pytest.raises(ValueError, match=r"'x' .* \['candidate'\]. Got 'fit_time'"):
        display.plot(x="fit_time")


def test_disaster_is_out_of_view_and_counted() -> None:
    """One score far below does not flatten the others, and is told."""
    scores = np.append(np.linspace(0.7, 0.8, 20), -50.0)
    params = [{"alpha": float(i)} for i in range(21)]
    display = SearchConvergenceDisplay.from_search(finished(params, scores))
    low, high = display.ax_.get_ylim()
    assert 0.6 < low < 0.7
    assert 0.8 < high < 0.9
    assert [text.get_text() for text in display.ax_.texts] == ["1 below"]
    assert offsets(display.finished_)[-1] == [20, -50]


def test_lines_cross_the_axes_at_the_values() -> None:
    """Places by hand: linear, logarithmic, categories; a gap where nothing is."""
    params = [
        {"mlp__rate": 1e-4, "mlp__kind": "b", "mlp__units": 10},
        {"mlp__rate": 1e-1, "mlp__kind": "a"},
        {"mlp__rate": 1e-2, "mlp__kind": None, "mlp__units": 20},
    ]
    display = ParallelCoordinatesDisplay.from_search(finished(params, [4.0, 0.0, 1.0]))
    assert [axis.name for axis in display.axes] == ["Score", "rate", "kind", "units"]
    lines = np.array([path.vertices[:, 0] for path in display.lines_.get_paths()])
    expected = [[0, 1, 0.5, np.nan], [0.25, 2 / 3, 0, 1]]
    np.testing.assert_allclose(lines, expected)
    np.testing.assert_allclose(display.best_.get_xdata(), [1, 0, 1, 0])
    assert display.best_.get_ydata().tolist() == [0, 1, 2, 3]
    written = [[label.get_text() for label in row] for row in display.labels_]
    assert written[2] == ["None", "a", "b"]
    assert written[3] == ["10", "15", "20"]
    strength = display.lines_.get_colors()[:, 3]
    assert strength[0] < strength[1]


def test_parallel_parameters_can_be_chosen() -> None:
    """Rows are the given parameters in their order; an unknown one is refused."""
    search = learned(10)
    display = ParallelCoordinatesDisplay.from_search(
        search, parameters=["luck", "rate"]
    )
    assert [axis.name for axis in display.axes] == ["Score", "luck", "rate"]
    with pytest.raises(ValueError, match=r"'parameters' .*'rate'.*Got 'speed'"):
        ParallelCoordinatesDisplay.from_search(search, parameters=["speed"])


@pytest.mark.parametrize("width", [3.0, 10.0])
def test_labels_do_not_overlap(width: float) -> None:
    """At 300 and at 1000 pixels no label of an axis covers another of it."""
    names = ["adam", "adamw", "rmsprop", "sgd", "nadam", "adagrad", "adadelta"]
    params = [{"optimizer": name} for name in names]
    with pyplot.rc_context({"figure.figsize": (width, 4), "figure.dpi": 100}):
        display = ParallelCoordinatesDisplay.from_search(finished(params, range(7)))
    display.figure_.canvas.draw()
    for row in display.labels_:
        boxes = [x.get_window_extent() for x in row if x.get_visible()]
        for i, box in enumerate(boxes):
            assert not any(box.overlaps(other) for other in boxes[:i])
    if width == 10:
        assert all(label.get_visible() for label in display.labels_[1])


def test_bars_are_the_importances() -> None:
    """Length and spread of each bar are the computed numbers, the greatest on top."""
    search = learned(30)
    frame = parameter_importance(search)
    display = ParameterImportanceDisplay.from_search(search)
    widths = [bar.get_width() for bar in display.bars_]
    assert widths == frame["importance"].tolist()
    segments = display.bars_.errorbar.lines[2][0].get_segments()
    halves = [np.ptp(segment[:, 0]) / 2 for segment in segments]
    np.testing.assert_allclose(halves, frame["spread"])
    names = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert names == frame["parameter"].tolist()
    assert display.ax_.yaxis_inverted()
    few = ParameterImportanceDisplay(frame).plot(n_parameters=2)
    assert [bar.get_width() for bar in few.bars_] == widths[:2]


def test_effect_of_a_number_is_a_curve() -> None:
    """Curve, band and points are the computed numbers and the candidates."""
    search = learned(30)
    frame = partial_dependence(search, "rate")
    display = ParameterEffectDisplay.from_search(search, "rate")
    assert display.line_.get_xdata().tolist() == frame["value"].tolist()
    assert display.line_.get_ydata().tolist() == frame["mean"].tolist()
    edge = display.band_.get_paths()[0].vertices
    for sign in (-1, 1):
        expected = np.column_stack(
            [frame["value"], frame["mean"] + sign * frame["spread"]]
        )
        assert all((edge == point).all(axis=1).any() for point in expected)
    results = search.cv_results_
    tried = [p["rate"] for p in results["params"]]
    expected = np.column_stack([tried, results["mean_test_score"]])
    np.testing.assert_array_equal(offsets(display.points_), expected)
    assert display.ax_.get_xscale() == "log"


def test_effect_of_a_category_is_a_row_of_points() -> None:
    """Mean, spread and candidates of each category are in its row."""
    search = learned(30)
    frame = partial_dependence(search, "method")
    display = ParameterEffectDisplay.from_search(search, "method")
    names = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert names == frame["value"].tolist() == ["bad", "good"]
    assert display.line_.get_xdata().tolist() == frame["mean"].tolist()
    segments = display.band_.lines[2][0].get_segments()
    halves = [np.ptp(segment[:, 0]) / 2 for segment in segments]
    np.testing.assert_allclose(halves, frame["spread"])
    results = search.cv_results_
    rows = [names.index(p["method"]) for p in results["params"]]
    expected = np.column_stack([results["mean_test_score"], rows])
    np.testing.assert_array_equal(offsets(display.points_), expected)


@pytest.mark.parametrize("loss", [None, "valid", "train"])
def test_curves_are_means_over_folds_and_members(loss: str | None) -> None:
    """The curve of each candidate is the mean of its networks, the best apart."""
    search, curves = with_curves()
    display = SearchCurvesDisplay.from_search(search, loss=loss)
    column = "train_loss" if loss == "train" else "valid_loss"
    means = curves.groupby(["candidate", "epoch"])[column].mean()
    np.testing.assert_allclose(display.best_.get_ydata(), means[3])
    assert display.best_.get_xdata().tolist() == [1, 2, 3]
    for number, line in enumerate(display.others_.get_segments()):
        np.testing.assert_allclose(line[:, 1], means[number])
    assert len(display.others_.get_segments()) == 3
    expected = "Training loss" if loss == "train" else "Validation loss"
    assert display.ax_.get_ylabel() == expected


def test_curve_keeps_those_that_have_stopped() -> None:
    """A network that has stopped counts with its last loss."""
    search, curves = with_curves(2)
    stopped = (curves["split"] == 0) & (curves["epoch"] > 1)
    search.curves_ = curves[~stopped]
    display = SearchCurvesDisplay.from_search(search)
    table = curves[curves["candidate"] == 1].set_index(["split", "member", "epoch"])
    loss = table["valid_loss"]
    first = (loss[0, 0, 1] + loss[0, 1, 1]) / 4
    rest = [(loss[1, 0, e] + loss[1, 1, e]) / 4 for e in (1, 2, 3)]
    np.testing.assert_allclose(display.best_.get_ydata(), first + np.array(rest))


def test_pruned_curves_end_with_a_cross() -> None:
    """The cross is at the last epoch of each pruned candidate."""
    search, curves = with_curves(4, pruned={0, 2})
    display = SearchCurvesDisplay.from_search(search)
    means = curves.groupby(["candidate", "epoch"])["valid_loss"].mean()
    expected = [[1, means[number, 1]] for number in (0, 2)]
    np.testing.assert_allclose(offsets(display.ends_), expected)


def test_own_search_shows_every_candidate(
    table: tuple[np.ndarray, np.ndarray],
) -> None:
    """All curves of MLPSearchCV are there, and a cross for each pruned candidate."""
    search = pruning_search(table)
    display = SearchCurvesDisplay.from_search(search)
    assert len(display.others_.get_segments()) == 8
    pruned = search.cv_results_["pruned"]
    assert len(offsets(display.ends_)) == pruned.sum() > 0
    means = search.curves_.groupby(["candidate", "epoch"])["valid_loss"].mean()
    first = means[search.best_index_].iloc[0]
    np.testing.assert_allclose(display.best_.get_ydata()[0], first)
    convergence = SearchConvergenceDisplay.from_search(search)
    assert convergence.line_.get_ydata()[-1] == search.best_score_


def test_training_loss_stands_in() -> None:
    """Where nothing was held out, the training loss is shown and named."""
    search, curves = with_curves()
    search.curves_ = curves.assign(valid_loss=np.nan)
    display = SearchCurvesDisplay.from_search(search)
    assert display.ax_.get_ylabel() == "Training loss"
    with pytest.raises(ValueError, match=r"loss='valid'.*early_stopping=True"):
        SearchCurvesDisplay.from_search(search, loss="valid")


def test_history_of_the_best_stands_in(table: tuple[np.ndarray, np.ndarray]) -> None:
    """A search without curves shows the history of its refitted model."""
    model = make_pipeline(
        StandardScaler(), plain_classifier(max_epochs=3, random_state=0)
    )
    grid = {"optimizedmlpclassifier__n_units": [2, 3]}
    search = GridSearchCV(model, grid, cv=2).fit(*table)
    display = SearchCurvesDisplay.from_search(search)
    history = search.best_estimator_[-1].history_
    assert display.best_.get_ydata().tolist() == history["train_loss"].tolist()
    assert display.best_.get_label() == f"best, no. {search.best_index_}"
    assert not display.others_.get_segments()


def test_search_without_curves_is_refused(
    table: tuple[np.ndarray, np.ndarray],
) -> None:
    """The errors say what is missing, and which losses there are."""
    search = GridSearchCV(Ridge(), {"alpha": [1.0, 2.0]}).fit(*table)
    with pytest.raises(ValueError, match=r"'search' .*curves_.*Ridge.*refit=True"):
        SearchCurvesDisplay.from_search(search)
    with pytest.raises(ValueError, match=r"'loss' .*'valid', 'train'.*Got 'test'"):
        SearchCurvesDisplay.from_search(with_curves()[0], loss="test")


@pytest.mark.parametrize("last", [0.0, np.inf])
def test_high_beginnings_are_out_of_view(last: float) -> None:
    """The view is that of the best curve, and of where the others end, if they do."""
    search, curves = with_curves()
    high = (curves["epoch"] == 1) & (curves["candidate"] != search.best_index_)
    loss = curves["valid_loss"] + np.where(high, 1e3, 0.0)
    loss[curves["candidate"] == 1] += [1e3, 1e3, last] * 4
    search.curves_ = curves.assign(valid_loss=loss)
    display = SearchCurvesDisplay.from_search(search)
    lasts = search.curves_.query("epoch == 3").groupby("candidate")["valid_loss"]
    shown = [*display.best_.get_ydata(), *lasts.mean().loc[np.isfinite]]
    low, high = display.ax_.get_ylim()
    assert low < min(shown) < max(shown) < high < 2


def test_diverged_curve_is_out_of_view() -> None:
    """A curve that ends far above all others does not flatten them."""
    search, curves = with_curves(8)
    wild = curves["candidate"] == 2
    search.curves_ = curves.assign(
        valid_loss=curves["valid_loss"].where(~wild, curves["valid_loss"] * 1e6)
    )
    display = SearchCurvesDisplay.from_search(search)
    assert display.ax_.get_ylim()[1] < 2
    assert [text.get_text() for text in display.ax_.texts] == ["1 above"]


@pytest.mark.parametrize("name", DRAW)
def test_given_axes_are_used(name: str) -> None:
    """Nothing is drawn outside of the axes that are given."""
    ax = pyplot.figure().subplots()
    display = DRAW[name](learned(12), ax)
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    assert pyplot.get_fignums() == [1]


@pytest.mark.parametrize("style", ["default", "dark_background"])
@pytest.mark.parametrize("name", DRAW)
def test_everything_stands_out_and_is_in_the_picture(name: str, style: str) -> None:
    """At 300 pixels nothing is clipped, and the blue suits the background."""
    from matplotlib.colors import to_rgb

    options = {"figure.figsize": (3, 2.25), "figure.dpi": 100}
    with pyplot.style.context(style), pyplot.rc_context(options):
        display = DRAW[name](learned(12))
        display.figure_.canvas.draw()
    drawn = display.figure_.get_tightbbox()
    width, height = display.figure_.get_size_inches()
    assert min(drawn.x0, drawn.y0) > -0.01
    assert drawn.x1 < width + 0.01
    assert drawn.y1 < height + 0.01
    ax = display.ax_
    dark = sum(to_rgb(ax.get_facecolor())) < 1.5
    artists = {"convergence": "finished_", "parallel": "lines_"}
    if name in artists:
        color = getattr(display, artists[name]).get_edgecolor()[0][:3]
        assert (sum(color) > 1.5) == dark


def test_missing_matplotlib_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without matplotlib the error names the extra to install."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for name in ("convergence", "parallel", "importance", "number"):
        with pytest.raises(ImportError, match=r"pip install 'sknnopt\[plot\]'"):
            DRAW[name](learned(12))


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["mlp__a", "mlp__b__0"], ["a", "b__0"]),
        (["mlp__n_units__0", "mlp__n_units__1"], ["n_units__0", "n_units__1"]),
        (["n_units__0"], ["n_units__0"]),
        (["a__x", "b__x"], ["a__x", "b__x"]),
        (["f__mlp__x", "f__pca__y"], ["mlp__x", "pca__y"]),
        ([], []),
    ],
)
def test_names_lose_the_steps_that_they_share(
    names: list[str], short: list[str]
) -> None:
    """A prefix is left out where all names have it, a layer's index never."""
    assert short_names(names) == short
