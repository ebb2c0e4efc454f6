from __future__ import annotations

import importlib
import json
from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
from nursery import call_here
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss, mean_squared_error
from sklearn.neural_network import MLPClassifier, MLPRegressor

pytest.importorskip("matplotlib")

from benchmarks import __main__ as command_line
from benchmarks import _peers, _scale_report, _speed_report, _torch_peers, scale
from benchmarks._problems import ALPHA, SHAPES, Shape, draw, load, mean_loss

FITTING = [name for name in _peers.PEERS if name != "products"]
TINY = {
    task: Shape(240, 5, (16,), 40, epochs=100, slow_epochs=100, task=task)
    for task in ("classification", "regression")
}


def _fitted(peer, shape, seed=0):
    """Return the final training loss of a fit."""
    X, y = load(shape.rows, shape.features, shape.task, "float32")
    predict = peer.prepare(shape, "float32", shape.epochs)(seed)
    return mean_loss(shape.task, y, predict(X))


@cache
def _mean_loss(peer, shape):
    """Return the final training loss over seeds; ours stands beside each peer's."""
    return np.mean([_fitted(peer, shape, seed) for seed in range(3)])


def test_log_loss_in_closed_form():
    """Probability 1/2 costs log 2, a sure and right one next to nothing."""
    y = np.array([0, 1, 1])
    assert mean_loss("classification", y, np.full(3, 0.5)) == pytest.approx(np.log(2))
    assert mean_loss("classification", y, y) == pytest.approx(0)
    found = mean_loss("classification", y, np.array([0.2, 0.5, 0.9]))
    assert found == pytest.approx(-np.log([0.8, 0.5, 0.9]).mean())


def test_loss_of_a_sure_and_wrong_prediction_is_finite():
    """A probability that rounding has made 0 costs a finite amount."""
    found = mean_loss("classification", np.array([1]), np.array([0.0]))
    assert found == pytest.approx(-np.log(np.finfo(np.float32).eps))


def test_squared_error_in_closed_form():
    """Errors are squared and averaged, without a factor 1/2, also from columns."""
    y = np.array([1.0, 2.0, 3.0])
    assert mean_loss("regression", y, np.array([[1.0], [4.0], [2.0]])) == 5 / 3


def test_losses_are_scikit_learns_metrics(rng):
    """The loss of random predictions is what scikit-learn's metrics give."""
    y, predicted = rng.integers(2, size=50), rng.uniform(0.01, 0.99, size=50)
    found = mean_loss("classification", y, predicted)
    assert found == pytest.approx(log_loss(y, predicted))
    found = mean_loss("regression", y, predicted)
    assert found == pytest.approx(mean_squared_error(y, predicted))


@pytest.mark.parametrize("task", list(TINY))
def test_l2_penalty_is_scikit_learns(task):
    """For an equal batch, scikit-learn's own loss is ours with ``shape.l2``.

    scikit-learn's squared error is half of ours, so its penalty is too.
    """
    shape = TINY[task]
    X, y = load(shape.rows, shape.features, task, "float64")
    kind = MLPClassifier if task == "classification" else MLPRegressor
    model = kind(
        hidden_layer_sizes=shape.hidden,
        alpha=ALPHA * 1e4,
        batch_size=shape.batch,
        learning_rate_init=1e-12,  # the weights stay where they are
        max_iter=1,
    )
    with pytest.warns(ConvergenceWarning):
        model.fit(X, y)
    squares = sum(float(np.sum(W**2)) for W in model.coefs_)
    loss = mean_loss(task, y, _peers.predictor(model)(X))
    half = 0.5 if task == "regression" else 1.0
    expected = half * (loss + shape.l2 * 1e4 * squares)
    assert model.loss_ == pytest.approx(expected, rel=1e-6)


# Keras converts tensors in a way that numpy 2 warns of.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("task", list(TINY))
@pytest.mark.parametrize("name", FITTING)
def test_peer_trains_to_a_loss_near_ours(name, task):
    """On a small problem every peer's loss, averaged over seeds, is near ours."""
    peer = _peers.PEERS[name]
    if not peer.is_installed:
        pytest.skip(f"{peer.package} is not installed")
    ours, theirs, untrained = (
        _mean_loss(each, TINY[task]) for each in (_peers.OURS, peer, _Constant)
    )
    assert theirs == pytest.approx(ours, rel=0.1)
    assert theirs < 0.85 * untrained


class _Constant:
    """Predicts the mean of the targets."""

    @staticmethod
    def prepare(shape, dtype, epochs):
        """Return a fit that ignores the rows."""
        y = load(shape.rows, shape.features, shape.task, dtype)[1]
        return lambda seed: lambda rows: np.full(len(rows), y.mean())


@pytest.mark.parametrize("name", ["sklearn", "skorch", "torch"])
def test_peer_computes_in_the_type_of_the_rows(name):
    """Predictions, and so the weights, have the precision that was asked for."""
    shape = TINY["regression"]
    for dtype in ("float32", "float64"):
        X, _ = load(shape.rows, shape.features, shape.task, dtype)
        predict = _peers.PEERS[name].prepare(shape, dtype, 1)(0)
        assert predict(X).dtype == dtype


@pytest.mark.parametrize("name", ["sklearn", "skorch", "torch"])
def test_seed_decides_a_fit(name):
    """One seed gives one fit, another seed another."""
    peer, shape = _peers.PEERS[name], replace(TINY["classification"], epochs=3)
    first, again, other = (_fitted(peer, shape, seed) for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_products_are_those_of_a_fit():
    """The bare products count the multiplications of forward and backward pass.

    For widths a, b, c and n rows: n (ab + bc) forward, the same for the weights'
    gradients, and n bc for the gradient of the hidden layer.
    """
    shape = Shape(70, 3, (5,), 32, epochs=1, slow_epochs=1)
    assert _torch_peers._batches(shape) == [32, 32, 6]
    factors = _torch_peers._factors(shape.widths, 32, "float32")
    count = sum(
        left.shape[0] * left.shape[1] * right.shape[1] for left, right in factors
    )
    assert count == 32 * (2 * (3 * 5 + 5 * 1) + 5 * 1)


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_product_multiplies(library, rng):
    """Both libraries return the product, also of a transposed factor."""
    left, right = rng.standard_normal((4, 3)), rng.standard_normal((5, 3)).T
    product = _torch_peers._product(left, right, library)
    np.testing.assert_allclose(np.asarray(product()), left @ right)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_problem_has_the_size_it_says(shape):
    """Rows are standardized and as many as named, targets of the right kind."""
    X, y = load(shape.rows, shape.features, shape.task, "float32")
    assert X.shape == (shape.rows, shape.features)
    assert X.dtype == np.float32
    np.testing.assert_allclose(X.mean(axis=0), 0, atol=0.1)
    np.testing.assert_allclose(X.std(axis=0), 1, atol=0.1)
    if shape.task == "classification":
        assert set(y) == {0, 1}
    else:
        assert (y.mean(), y.std()) == pytest.approx((0, 1), abs=1e-6)


def test_names_of_shapes_are_distinct():
    """Rows of a result are told apart by the names of their shapes."""
    assert len({shape.name for shape in SHAPES}) == len(SHAPES)


def test_drawn_rows_depend_on_the_generator_alone():
    """The same generator draws the same problem."""
    first, again = (
        draw(50, 4, "regression", np.random.default_rng(3)) for _ in range(2)
    )
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])


def test_missing_peer_is_named_and_left_out(monkeypatch, capsys):
    """A peer that is not installed is skipped with a message that names it."""
    from benchmarks._settings import Settings
    from benchmarks.speed import available_peers

    monkeypatch.setattr(_peers, "find_spec", lambda name: None)
    assert "keras" not in available_peers(Settings())
    assert "keras is not installed" in capsys.readouterr().out


def _quick(tmp_path, *words):
    """Run the command line and return result and report."""
    command_line.main([*words, "--quick", "--out", str(tmp_path)])
    name = words[0]
    assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    result = json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))
    return result, (tmp_path / f"{name}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("option", ["--shapes", "--peers", "--parts"])
def test_command_line_refuses_an_unknown_restriction(option, capsys):
    """A word that restricts to nothing ends in a message that names it."""
    with pytest.raises(SystemExit):
        command_line.main(["speed", option, "nothing"])
    assert "'nothing' is none of" in capsys.readouterr().err


def test_quick_speed_leaves_all_files(tmp_path):
    """A quick run times each peer that is wanted, and reports what it stored."""
    parts = ["--parts", "fit,predict", "--peers", "sklearn,products"]
    shapes = ["--shapes", f"{SHAPES[0].name},{SHAPES[-1].name}"]
    result, text = _quick(tmp_path, "speed", *parts, *shapes)
    assert text == _speed_report.report(result)
    fits = _speed_report.of_part(result, "fit")
    assert len(fits) == 4
    assert "A trial" in text
    assert len(_speed_report.of_part(result, "predict")) == 2
    for row in result["rows"]:
        for side in row["pairs"].values():
            assert len(side["wall"]) == row["design"]["n_pairs"] == 2


def test_quick_search_leaves_all_files(tmp_path):
    """A quick run searches with ours and scikit-learn's network."""
    parts = ["--parts", "grid,growth,reference,members"]
    result, text = _quick(tmp_path, "search", "--peers", "sklearn", *parts)
    kinds = [row["design"]["part"] for row in result["rows"]]
    assert kinds == ["grid", "growth", "reference", "members", "members"]
    assert "| (10, 10) | 4 | scikit-learn's MLP" in text


def test_quick_scale_leaves_all_files(tmp_path, monkeypatch):
    """A quick run measures fits of a memory map."""
    monkeypatch.setattr(scale, "run_fresh", call_here)
    peak = SimpleNamespace(rise=lambda: 1_000)
    monkeypatch.setattr(scale, "PeakMemory", lambda: peak)
    result, text = _quick(tmp_path, "scale", "--parts", "rows")
    assert text == _scale_report.report(result)
    assert [row["design"]["rows"] for row in result["rows"]] == [2000, 4000]
    assert all(row["wall"][0] > 0 and row["peak"][0] > 0 for row in result["rows"])


def _fit(peer, ratio, *, shape=SHAPES[0], loss=1.0):
    """Return a stored row of a fit, with a ratio that is the same in all pairs."""
    ours, theirs = ({"wall": [t] * 15, "cpu": [t] * 15} for t in (ratio, 1.0))
    design = {
        "part": "fit",
        "shape": {"label": shape.label},
        "dtype": "float32",
        "threads": "one",
        "peer": peer,
        "peer_label": peer,
        "epochs": 1,
        "n_pairs": 15,
    }
    return {
        "design": design,
        "pairs": {"ours": {**ours, "loss": [loss]}, "peer": {**theirs, "loss": [1.0]}},
    }


def _verdicts(rows):
    """Return the means and what the report says of the first."""
    result = {"rows": rows}
    found = _speed_report.means(_speed_report.of_part(result, "fit"))
    return found, _speed_report._mean_verdict(found[0])


def test_mean_over_shapes_is_geometric_and_judged():
    """Ratios 1/2 and 2 make 1, which meets the mean's bar; 2 misses each shape's."""
    rows = [
        _fit("sklearn", 0.5 if n % 2 else 2.0, shape=shape)
        for n, shape in enumerate(SHAPES)
    ]
    found, text = _verdicts(rows)
    assert found[0]["wall"]["value"] == pytest.approx(1)
    assert found[0]["worst"]["wall"]["value"] == 2
    assert text.endswith("every shape at most 1.3: **missed**")


def test_invalid_row_leaves_the_verdict_open():
    """A fit that trained less counts in no mean, which then is not judged."""
    rows = [_fit("sklearn", 0.5, shape=shape) for shape in SHAPES[1:]]
    found, text = _verdicts([_fit("sklearn", 0.1, loss=1.06), *rows])
    assert found[0]["wall"]["value"] == pytest.approx(0.5)
    assert text == "undecided: 5 of 6 shapes"


def test_exponent_of_linear_time_is_one():
    """Constant time per row is power 1; time per row that grows with rows, power 2."""
    rows = [{"design": {"rows": n}, "wall": [3.0]} for n in (10, 100, 1000)]
    assert _scale_report.exponent(rows) == pytest.approx(1)
    rows = [{"design": {"rows": n}, "wall": [3.0 * n]} for n in (10, 100, 1000)]
    assert _scale_report.exponent(rows) == pytest.approx(2)


def test_map_is_written_whole_over_several_chunks(tmp_path, monkeypatch):
    """Every row of a map is drawn, and its class is beside it."""
    monkeypatch.setattr(scale, "_CHUNK", 40)
    path = tmp_path / "map.npy"
    scale.write_map(path, 100)
    X, y = np.load(path, mmap_mode="r"), np.load(scale.labels_of(path))
    assert X.shape == (100, scale.N_FEATURES)
    assert len(np.unique(X, axis=0)) == 100
    assert y.shape == (100,)
    assert set(y) == {0, 1}


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_products_take_most_of_the_time_of_products(library):
    """The profiler sees products as such, numpy's and torch's, and not other work."""
    library = importlib.import_module(library)
    matrix, product = library.ones((400, 400)), np.matmul

    def products():
        for _ in range(30):
            library.matmul(matrix, matrix)

    def others():
        for _ in range(30):
            library.exp(matrix)

    assert scale.share_of_products(products)["share"] > 0.5
    assert scale.share_of_products(others)["share"] == 0
    assert np.matmul is product


def test_keras_is_not_needed(nursery):
    """All benchmarks can be imported and listed where Keras cannot be."""
    block = "import sys; sys.modules['keras'] = None; "
    command = block + "from benchmarks.__main__ import main; main(['--list'])"
    assert "speed" in nursery.run(command)
