"""The tables of names in the pages on coming from elsewhere are whole and true."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
import warnings
from pathlib import Path

import numpy as np
import pytest
import skorch
import skorch.callbacks
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from sknnopt import OptimizedMLPClassifier, OptimizedMLPRegressor
from sknnopt.datasets import load_pima
from sknnopt.presets import PLAIN
from sknnopt.search import MLPSearchCV

DOCS = Path(__file__).parents[1] / "docs"
OURS = {
    *OptimizedMLPClassifier().get_params(),
    *OptimizedMLPRegressor().get_params(),
}
LITERAL = re.compile(r"``(.+?)``")
NAME = re.compile(r"(\w+)(?:=(.+))?")


def table(page: str, title: str) -> list[list[list[str]]]:
    """Return the rows of a table below its header: cells as lists of literals."""
    text = (DOCS / f"{page}.rst").read_text(encoding="utf-8")
    _, found, rest = text.partition(f".. list-table:: {title}\n")
    assert found, f"no table {title!r} on the page {page!r}"
    body = re.split(r"\n(?=\S)", rest)[0]
    _, _, *rows = re.split(r"^   \* - ", body, flags=re.MULTILINE)
    return [
        [
            LITERAL.findall(cell)
            for cell in re.split(r"^     -", row, flags=re.MULTILINE)
        ]
        for row in rows
    ]


def names(literals: list[str]) -> set[str]:
    """Return the names that literals begin with."""
    return {match[1] for text in literals if (match := NAME.match(text))}


def column(page: str, title: str, number: int) -> list[str]:
    """Return all literals of a column."""
    return [text for row in table(page, title) for text in row[number]]


SKLEARN = ("from_mlpclassifier", "Parameters of MLPClassifier and MLPRegressor")
SKORCH = ("from_skorch", "Parameters of NeuralNetClassifier and NeuralNetRegressor")
CALLBACKS = ("from_skorch", "Callbacks of skorch")
KERAS = ("from_keras_tuner", "Names of Keras, and parameters here")
TUNERS = (
    "from_keras_tuner",
    "Arguments of Keras-Tuner's tuners, and of MLPSearchCV",
)


def test_every_parameter_of_sklearns_network() -> None:
    """The table has each parameter of both of scikit-learn's networks, and no other."""
    theirs = {*MLPClassifier().get_params(), *MLPRegressor().get_params()}
    since_1_7 = {"loss"}
    assert names(column(*SKLEARN, 0)) == theirs | since_1_7


def test_every_attribute_of_sklearns_network() -> None:
    """The table has each attribute that scikit-learn's fitted network shows."""
    X, y = load_pima(return_X_y=True)
    network = MLPClassifier(early_stopping=True, max_iter=2, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        network.fit(X, y)
    public = {n for n in vars(network) if n.endswith("_") and not n.startswith("_")}
    title = "Attributes of a fitted MLPClassifier"
    assert names(column("from_mlpclassifier", title, 0)) == public


def test_every_parameter_of_skorchs_nets() -> None:
    """The table has each parameter of skorch's nets that is named in a signature."""
    kinds = (skorch.NeuralNet, skorch.NeuralNetClassifier, skorch.NeuralNetRegressor)
    signatures = {name for kind in kinds for name in inspect.signature(kind).parameters}
    listed = {n for n in names(column(*SKORCH, 0)) if "__" not in n}
    assert listed == signatures - {"args", "kwargs"}


def test_skorchs_callbacks() -> None:
    """What the table calls a callback of skorch is one."""
    for name in names(column(*CALLBACKS, 0)):
        assert issubclass(getattr(skorch.callbacks, name), skorch.callbacks.Callback)


@pytest.mark.parametrize(
    ("page", "title"), [SKLEARN, SKORCH, CALLBACKS, KERAS], ids=lambda text: text[:16]
)
def test_our_names_are_parameters(page: str, title: str) -> None:
    """Each name on our side is a parameter, and a value beside it is accepted."""
    literals = column(page, title, 1)
    assert names(literals) <= OURS
    for literal in literals:
        name, value = NAME.fullmatch(literal).groups()
        for kind in (OptimizedMLPClassifier, OptimizedMLPRegressor):
            if value and name in kind().get_params() and name != "loss":
                kind(**{name: ast.literal_eval(value)})._validate_params()


def test_our_attributes_are_there() -> None:
    """What the tables say of fitted attributes is true of a fitted estimator."""
    X, y = load_pima(return_X_y=True)
    network = OptimizedMLPClassifier(max_epochs=1, random_state=0).fit(X, y)
    theirs = column("from_mlpclassifier", "Attributes of a fitted MLPClassifier", 1)
    assert all(hasattr(network, name) for name in names(theirs))


def test_arguments_of_our_search() -> None:
    """What stands beside an argument of Keras-Tuner is one of MLPSearchCV."""
    listed = names(column(*TUNERS, 1))
    assert listed <= set(inspect.signature(MLPSearchCV).parameters)


def test_arguments_of_keras_tuner() -> None:
    """The table has each argument of Keras-Tuner's tuners and of their base class."""
    tuner = pytest.importorskip("keras_tuner")
    kinds = (
        tuner.RandomSearch,
        tuner.BayesianOptimization,
        tuner.Hyperband,
        tuner.GridSearch,
        tuner.SklearnTuner,
        tuner.Tuner,
    )
    signatures = {name for kind in kinds for name in inspect.signature(kind).parameters}
    assert names(column(*TUNERS, 0)) == signatures - {"oracle", "kwargs"}
    for name in names(column("from_keras_tuner", "Tuners of Keras-Tuner", 0)):
        assert issubclass(getattr(tuner, name), tuner.Tuner | tuner.SklearnTuner)


@pytest.mark.filterwarnings("ignore")
def test_code_of_keras_tuner_runs(tmp_path: Path) -> None:
    """The search that the page shows runs, and asks for what the page says."""
    pytest.importorskip("keras_tuner")
    text = (DOCS / "from_keras_tuner.rst").read_text(encoding="utf-8")
    block = text.partition(":name: keras-tuner-search\n")[2]
    code = textwrap.dedent(re.split(r"\n(?=\S)", block)[0])
    X, y = load_pima(return_X_y=True)
    scope = {"X": X.to_numpy(), "y": y.to_numpy(), "directory": str(tmp_path)}
    exec(code, scope)
    assert {"n_layers", "optimizer", "units_0"} <= set(scope["best"])


# ------------------------------------------- the same network as scikit-learn's


def trained_alike(theirs, ours, X, y, rate):
    """Train both on all rows at once from our initial weights; return all weights.

    ``rate`` is ours; a fit that leaves the weights as they are shows the initial ones.
    """
    settings = {"shuffle": False, "tol": 0.0, "batch_size": len(X)}
    start = ours.set_params(**settings, n_iter_no_change=None, random_state=0)
    start.set_params(max_epochs=1, learning_rate=1e-300).fit(X, y)
    coefs = [weights.copy() for weights in start.coefs_]
    intercepts = [np.zeros_like(biases) for biases in start.intercepts_]
    theirs.set_params(**settings, n_iter_no_change=99, warm_start=True, max_iter=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs.fit(X, y)
        theirs.coefs_, theirs.intercepts_ = coefs, intercepts
        theirs.set_params(max_iter=20).fit(X, y)
    ours.set_params(max_epochs=20, learning_rate=rate).fit(X, y)
    return [
        np.concatenate([part.ravel() for part in (*m.coefs_, *m.intercepts_)])
        for m in (theirs, ours)
    ]


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize(
    ("solver", "nesterov", "atol"),
    [("sgd", True, 1e-12), ("sgd", False, 1e-12), ("adam", False, 1e-3)],
)
def test_the_table_gives_the_same_classifier(rng, n_classes, solver, nesterov, atol):
    """With the names and the ``l2`` of the table both end at the same weights."""
    X = rng.normal(size=(60, 4))
    y = np.digitize(X[:, 0], [0.0, 0.7][: n_classes - 1])
    theirs = MLPClassifier(
        (5, 3),
        activation="logistic",
        solver=solver,
        alpha=0.3,
        learning_rate_init=0.05,
        nesterovs_momentum=nesterov,
    )
    ours = OptimizedMLPClassifier(**PLAIN).set_params(
        hidden_layer_sizes=(5, 3),
        activation="sigmoid",
        optimizer=solver,
        l2=0.3 / (2 * 60),
        nesterov=nesterov,
    )
    expected, actual = trained_alike(theirs, ours, X, y, 0.05)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=atol)


@pytest.mark.parametrize(("loss", "halved"), [("squared_error", 2), ("poisson", 1)])
def test_the_table_gives_the_same_regressor(rng, loss, halved):
    """The squared error is not halved here: twice the penalty at half the rate."""
    X = rng.normal(size=(60, 4))
    y = X @ [1.0, -1.0, 0.5, 0.0] + rng.normal(size=60)
    # What our networks learn: a standardized target, or one of mean 1.
    y = np.exp(y) if loss == "poisson" else y - y.mean()
    y /= y.mean() if loss == "poisson" else y.std()
    theirs = MLPRegressor(
        hidden_layer_sizes=(5, 3),
        activation="tanh",
        solver="sgd",
        alpha=0.3,
        learning_rate_init=0.01,
    )
    if loss != "squared_error":
        if "loss" not in theirs.get_params():
            pytest.skip("scikit-learn has no losses before 1.7")
        theirs.set_params(loss=loss)
    ours = OptimizedMLPRegressor(**PLAIN).set_params(
        hidden_layer_sizes=(5, 3),
        loss=loss,
        activation="tanh",
        optimizer="sgd",
        nesterov=True,
        l2=halved * 0.3 / (2 * 60),
    )
    expected, actual = trained_alike(theirs, ours, X, y, 0.01 / halved)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-12)
