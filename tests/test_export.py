from __future__ import annotations

import json
import pickle
import sys
import warnings
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import torch
from estimators import plain_classifier, plain_regressor
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import ShuffleSplit
from sklearn.neural_network import MLPClassifier

from sknnopt import OptimizedMLPClassifier, OptimizedMLPRegressor
from sknnopt.activations import ACTIVATIONS

if TYPE_CHECKING:
    from pathlib import Path

onnx = pytest.importorskip("onnx", reason="onnx, an optional package, is missing")
ort = pytest.importorskip(
    "onnxruntime", reason="onnxruntime, an optional package, is missing"
)

ROWS = 110
X = np.random.default_rng(0).normal([0, 5, -3, 1], [1, 2, 0.1, 4], size=(ROWS, 4))
GAPS = np.where(np.random.default_rng(1).random(X.shape) < 0.1, np.nan, X)
CODES = np.column_stack([X[:, 0], np.arange(ROWS) % 3, X[:, 2], np.arange(ROWS) % 5])
BINARY = np.where(X[:, 0] > 0, "yes", "no")
THREE = np.digitize(X[:, 0], [-0.5, 0.5])
LABELS = np.column_stack([X[:, 0] > 0, X[:, 1] > 5, X[:, 3] > 1]).astype(int)
TARGET = 3e5 + 1e5 * X[:, 0]
TWO = np.column_stack([TARGET, X[:, 1]])
COUNTS = np.random.default_rng(2).poisson(np.exp(X[:, 0]))
DOUBLE = {"dtype": "float64"}
BARE = {"n_members": 1, "n_bins": None, "dtype": "float64"}


def classifier(**params: Any) -> OptimizedMLPClassifier:
    """Return a classifier with all that helps, that fits in no time."""
    given = {"n_units": 6, "max_epochs": 3, "n_members": 3, "random_state": 0}
    return OptimizedMLPClassifier(**{**given, **params})


def regressor(**params: Any) -> OptimizedMLPRegressor:
    """Return the same for numbers."""
    given = {"n_units": 6, "max_epochs": 3, "n_members": 3, "random_state": 0}
    return OptimizedMLPRegressor(**{**given, **params})


CASES: dict[str, Any] = {
    "defaults": (classifier(), X, BINARY),
    "double": (classifier(**DOUBLE), X, BINARY),
    "gaps": (classifier(), GAPS, BINARY),
    "gaps without bins": (classifier(n_bins=None, **DOUBLE), GAPS, THREE),
    "categories": (
        classifier(categorical_features=[1, 3], **DOUBLE),
        np.where(np.isnan(GAPS), np.nan, CODES),
        BINARY,
    ),
    "frame": (classifier(), pd.DataFrame(CODES).astype({1: "category"}), BINARY),
    "three": (classifier(), X, THREE),
    "labels": (classifier(**DOUBLE), X, LABELS),
    "softmax": (classifier(loss="categorical_cross_entropy"), X, BINARY),
    "batch": (classifier(normalization="batch", **DOUBLE), X, BINARY),
    "layer": (classifier(normalization="layer", **DOUBLE), X, BINARY),
    "sparse": (classifier(), sparse.csr_array(np.round(X)), BINARY),
    "strict": (classifier(impute_missing=False), X, BINARY),
    "no layer": (classifier(n_layers=0), X, BINARY),
    "plain": (plain_classifier(max_epochs=2, random_state=0), X, THREE),
    "number": (regressor(), GAPS, TARGET),
    "numbers": (regressor(**DOUBLE), X, TWO),
    "counts": (regressor(loss="poisson", **DOUBLE), X, COUNTS),
    "quantile": (
        plain_regressor(loss="quantile", max_epochs=2, random_state=0),
        X,
        TARGET,
    ),
}


@cache
def fitted(name: str) -> Any:
    """Return the model of a case, its rows as numbers, and the rows it takes."""
    model, table, target = CASES[name]
    dense = table.toarray() if sparse.issparse(table) else table
    return model.fit(table, target), np.asarray(dense, dtype=float), dense


def expected(model: Any, rows: Any) -> np.ndarray:
    """Return what the export has to predict."""
    is_classifier = hasattr(model, "predict_proba")
    found: np.ndarray = (model.predict_proba if is_classifier else model.predict)(rows)
    return found


# ---------------------------------------------------------------- torch


@pytest.mark.parametrize("name", CASES)
def test_module_predicts_the_same(name: str) -> None:
    """The module encodes, averages and gives units as the estimator does."""
    model, numbers, rows = fitted(name)
    with torch.no_grad():
        found = model.to_torch()(torch.from_numpy(numbers)).numpy()
    wanted = expected(model, rows)
    assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
    tolerance = 1e-12 if model._record["weights"].dtype == np.float64 else 1e-5
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", ["defaults", "number"])
def test_module_bounds_the_absurd(name: str) -> None:
    """Where the estimator's prediction is finite and bounded, so is the module's."""
    model, _, _ = fitted(name)
    absurd = np.array([[1e300, -1e300, 1e300, 0.0], [-1e30, 1e30, 0.0, 1e30]])
    with torch.no_grad():
        found = model.to_torch()(torch.from_numpy(absurd)).numpy()
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, expected(model, absurd), rtol=1e-6)


def test_module_stands_alone() -> None:
    """It survives a pickle and a change of type, trains, and leaves the model be."""
    model, numbers, _ = fitted("batch")
    before = expected(model, numbers)
    module = pickle.loads(pickle.dumps(model.to_torch())).float()
    assert not module.training
    rows = torch.from_numpy(numbers).float()
    first = module(rows)
    np.testing.assert_allclose(first.detach().numpy(), before, atol=1e-5)
    optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
    (-first[:, 0].log().mean()).backward()
    optimizer.step()
    assert module(rows)[:, 0].mean() > first[:, 0].mean()
    np.testing.assert_array_equal(expected(model, numbers), before)


@pytest.mark.parametrize("export", ["to_torch", "to_onnx"])
def test_category_of_text_is_refused(export: str, tmp_path: Path) -> None:
    """A tensor holds no text; the error names a category and the remedy."""
    frame = pd.DataFrame({"a": X[:, 0], "b": np.array(["x", "y"])[np.arange(ROWS) % 2]})
    model = classifier(max_epochs=1).fit(frame, BINARY)
    arguments = [tmp_path / "model.onnx"] if export == "to_onnx" else []
    with pytest.raises(ValueError, match=r"categories is 'x'.*OrdinalEncoder"):
        getattr(model, export)(*arguments)
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- ONNX


def session(model: Any, path: Path, **options: Any) -> Any:
    """Return onnxruntime's view of an exported model."""
    model.to_onnx(path, **options)
    return ort.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_onnx_predicts_the_same(name: str, dtype: str, tmp_path: Path) -> None:
    """Under onnxruntime all is equal to 1e-5, of numbers to that of the largest."""
    model, numbers, rows = fitted(name)
    given = numbers.astype(dtype)
    is_text = isinstance(rows, pd.DataFrame)
    wanted = expected(model, rows if is_text else given)
    for count in (ROWS, 1):
        (found,) = session(model, tmp_path / "model.onnx", dtype=dtype).run(
            None, {"X": given[:count]}
        )
        assert found.shape == wanted[:count].shape
        largest = np.abs(wanted).max()
        np.testing.assert_allclose(found / largest, wanted[:count] / largest, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_onnx_has_every_activation(name: str, dtype: type) -> None:
    """Each function is torch's to a few roundings of single precision."""
    from onnx import helper

    from sknnopt._onnx_graph import ACTIVATION_GRAPHS, Graph

    graph = Graph(np.dtype(dtype))
    out = ACTIVATION_GRAPHS[name](graph, "X")
    graph.nodes.append(helper.make_node("Identity", [out], ["Y"]))
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    ends = [helper.make_tensor_value_info(end, kind, ["n"]) for end in ("X", "Y")]
    whole = helper.make_graph(graph.nodes, name, ends[:1], ends[1:], graph.constants)
    model = helper.make_model(
        whole, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    x = np.concatenate([[-100.0, 100.0], np.linspace(-25, 25, 101)]).astype(dtype)
    (found,) = ort.InferenceSession(model.SerializeToString()).run(None, {"X": x})
    wanted = ACTIVATIONS[name].make(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, wanted, rtol=2e-6, atol=2e-6)


def test_onnx_names_its_ends_and_classes(tmp_path: Path) -> None:
    """A reader of the file alone knows columns, classes and shapes."""
    frame = pd.DataFrame(X, columns=list("abcd"))
    run = session(classifier(max_epochs=1).fit(frame, BINARY), tmp_path / "m.onnx")
    (given,), (out,) = run.get_inputs(), run.get_outputs()
    assert (given.name, given.type, given.shape) == (
        "X",
        "tensor(float)",
        ["n_rows", 4],
    )
    assert (out.name, out.shape[0]) == ("probabilities", "n_rows")
    notes = run.get_modelmeta().custom_metadata_map
    assert json.loads(notes["classes"]) == ["no", "yes"]
    assert json.loads(notes["feature_names"]) == list("abcd")


def test_onnx_bounds_the_absurd(tmp_path: Path) -> None:
    """Numbers beyond single precision give what the estimator gives."""
    model, _, _ = fitted("number")
    absurd = np.array([[1e300, -1e300, 1e300, 0.0]])
    run = session(model, tmp_path / "model.onnx", dtype="float64")
    (found,) = run.run(None, {"X": absurd})
    np.testing.assert_allclose(found, expected(model, absurd), rtol=1e-6)


def test_onnx_refuses_another_type(tmp_path: Path) -> None:
    """The error names the parameter and what is accepted."""
    with pytest.raises(ValueError, match=r"'dtype' parameter .*float32.*'float16'"):
        fitted("defaults")[0].to_onnx(tmp_path / "model.onnx", dtype="float16")


def test_missing_onnx_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without onnx the error names the extra to install."""
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"pip install 'sknnopt\[onnx\]'"):
        fitted("defaults")[0].to_onnx(tmp_path / "model.onnx")


# ---------------------------------------------------------------- scikit-learn

ALIKE: dict[str, Any] = {
    "binary": (classifier(**BARE), X, BINARY),
    "softmax": (classifier(loss="categorical_cross_entropy", **BARE), X, BINARY),
    "three": (classifier(activation="tanh", **BARE), X, THREE),
    "labels": (classifier(activation="sigmoid", **BARE), X, LABELS),
    "batch": (classifier(normalization="batch", **BARE), X, BINARY),
    "no layer": (classifier(n_layers=0, **BARE), X, THREE),
    "unscaled": (
        plain_classifier(activation="identity", max_epochs=2, random_state=0),
        X,
        BINARY,
    ),
    "sparse": (classifier(**BARE), sparse.csr_array(np.round(X)), BINARY),
    "trained on gaps": (classifier(**BARE), GAPS, BINARY),
    "number": (regressor(**BARE), X, TARGET),
    "numbers": (regressor(**BARE), X, TWO),
    "counts": (regressor(loss="poisson", **BARE), X, COUNTS),
}


@pytest.mark.parametrize("name", ALIKE)
def test_scikit_learn_predicts_the_same(name: str) -> None:
    """With what surrounds the network absorbed into weights, all agree to rounding."""
    model, table, target = ALIKE[name]
    theirs = model.fit(table, target).to_sklearn()
    rows = table.toarray() if sparse.issparse(table) else X
    np.testing.assert_allclose(
        expected(theirs, rows), expected(model, rows), rtol=1e-11, atol=1e-12
    )
    np.testing.assert_array_equal(theirs.predict(rows)[:3].shape, target[:3].shape)
    if hasattr(theirs, "classes_"):
        np.testing.assert_array_equal(theirs.predict(rows), model.predict(rows))


@pytest.mark.parametrize("early_stopping", [False, True])
def test_scikit_learn_goes_on(early_stopping: bool) -> None:
    """Its own partial_fit, or a warm start, starts from the weights taken over."""
    model = classifier(early_stopping=early_stopping, warm_start=True, **BARE)
    theirs = model.fit(X, BINARY).to_sklearn().set_params(max_iter=1)
    before = theirs.coefs_[0].copy()
    go_on = theirs.fit if early_stopping else theirs.partial_fit
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        go_on(X, BINARY)
    assert 0 < np.abs(theirs.coefs_[0] - before).max() < 0.1
    assert len(theirs.loss_curve_) == model.n_iter_ + 1


def test_scikit_learn_gets_the_parameters() -> None:
    """What both have is set; alpha is l2 by twice the rows of a batch."""
    model = plain_classifier(
        n_units=5, optimizer="sgd", learning_rate=0.02, l2=1e-3, batch_size=16,
        nesterov=True, momentum=0.5, lr_schedule="reduce_on_plateau", max_epochs=4,
        n_iter_no_change=None, random_state=3,
    )  # fmt: skip
    found = model.fit(pd.DataFrame(X, columns=list("abcd")), BINARY).to_sklearn()
    assert found.feature_names_in_.tolist() == list("abcd")
    wanted = {
        "solver": "sgd", "hidden_layer_sizes": (5, 5), "learning_rate_init": 0.02,
        "alpha": 0.032, "batch_size": 16, "nesterovs_momentum": True, "momentum": 0.5,
        "learning_rate": "adaptive", "max_iter": 4, "n_iter_no_change": np.inf,
        "random_state": 3,
    }  # fmt: skip
    params = found.get_params()
    assert params | wanted == params
    assert found.loss_curve_ == pytest.approx(
        model.history_["train_loss"] + model.history_["penalty"]
    )


def test_scikit_learn_holds_out_its_own_share() -> None:
    """A splitter, which it does not take, leaves its share of rows as it is."""
    splitter = ShuffleSplit(1, test_size=0.3, random_state=0)
    model = classifier(early_stopping=True, validation_fraction=splitter, **BARE)
    theirs = model.fit(X, BINARY).to_sklearn()
    assert theirs.early_stopping
    assert theirs.validation_fraction == MLPClassifier().validation_fraction


@pytest.mark.parametrize(
    ("params", "target", "pattern"),
    [
        ({"n_members": 2}, BINARY, "n_members is 2, and it must be 1"),
        ({"n_bins": 4}, BINARY, "n_bins is 4, and it must be None"),
        ({"normalization": "layer"}, BINARY, "normalization is 'layer'"),
        ({"activation": "gelu"}, BINARY, r"activation is \('gelu', 'gelu'\)"),
        ({"activation": ["relu", "tanh"]}, BINARY, "in all layers"),
        ({"categorical_features": [3]}, BINARY, "columns with categories is 1"),
        ({}, np.zeros(ROWS), "number of classes is 1"),
    ],
)
def test_scikit_learn_has_no_such_network(
    params: dict[str, Any], target: np.ndarray, pattern: str
) -> None:
    """The error names the parameter, its value, and where else to go."""
    model = classifier(**{**BARE, "max_epochs": 1, **params}).fit(CODES, target)
    with pytest.raises(ValueError, match=f"no such network: .*{pattern}.*to_onnx"):
        model.to_sklearn()
