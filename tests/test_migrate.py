from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor

from sknnopt import OptimizedMLPClassifier, OptimizedMLPRegressor
from sknnopt.migrate import from_sklearn

X = np.random.default_rng(0).normal(size=(80, 3))
BINARY = np.where(X[:, 0] > 0, "yes", "no")
THREE = np.digitize(X[:, 0], [-0.5, 0.5])
LABELS = np.column_stack([X[:, 0] > 0, X[:, 1] > 0]).astype(int)
TARGET = 3e5 + 1e5 * X[:, 0]


def trained(estimator: Any, y: Any, table: Any = X) -> Any:
    """Return a fitted network that is not done, without a word of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.set_params(max_iter=4, random_state=0).fit(table, y)


def test_parameters_of_a_classifier() -> None:
    """Each parameter is found under its name here, by value."""
    theirs = MLPClassifier(
        hidden_layer_sizes=[32, 16], activation="logistic", solver="sgd", alpha=1e-3,
        batch_size=64, learning_rate="adaptive", learning_rate_init=0.02, max_iter=60,
        tol=1e-3, momentum=0.8, nesterovs_momentum=False, early_stopping=True,
        validation_fraction=0.2, n_iter_no_change=np.inf, random_state=7,
        shuffle=False, warm_start=True,
    )  # fmt: skip
    ours = from_sklearn(theirs)
    assert type(ours) is OptimizedMLPClassifier
    wanted = {
        "hidden_layer_sizes": (32, 16), "activation": "sigmoid", "optimizer": "sgd",
        "l2": 1e-3 / 128, "batch_size": 64, "lr_schedule": "reduce_on_plateau",
        "lr_decay": 0.2, "learning_rate": 0.02, "max_epochs": 60, "tol": 1e-3,
        "momentum": 0.8, "nesterov": False, "early_stopping": True,
        "validation_fraction": 0.2, "n_iter_no_change": None, "random_state": 7,
        "shuffle": False, "warm_start": True, "n_members": 1, "scale_inputs": False,
        "n_bins": None, "dropout": 0.0,
    }  # fmt: skip
    params = ours.get_params()
    assert params | wanted == params
    assert not hasattr(ours, "n_iter_")


def test_parameters_of_a_regressor() -> None:
    """A halved loss halves the rate of sgd; alpha is divided by the rows of a batch."""
    theirs = MLPRegressor(solver="sgd", alpha=0.01, batch_size=50)
    ours = from_sklearn(theirs)
    assert type(ours) is OptimizedMLPRegressor
    assert (ours.l2, ours.learning_rate) == (0.01 / 50, 0.0005)
    assert from_sklearn(MLPRegressor(alpha=0.01)).learning_rate == 0.001
    assert from_sklearn(MLPRegressor(alpha=0.01)).l2 == 0.01 / 200


def test_defaults_are_those_of_the_page() -> None:
    """What comes of the defaults fits, and refuses what theirs refuses."""
    ours = from_sklearn(MLPClassifier(max_iter=3))
    assert ours.fit(X, BINARY).hidden_layer_sizes_ == (100,)
    with pytest.raises(ValueError, match="NaN"):
        ours.fit(np.where(X > 1, np.nan, X), BINARY)


@pytest.mark.parametrize(
    ("theirs", "names"),
    [
        (MLPClassifier(solver="lbfgs"), ["solver='lbfgs'"]),
        (
            MLPRegressor(solver="sgd", learning_rate="invscaling"),
            ["learning_rate='invscaling'", "lr_schedule"],
        ),
        (MLPClassifier(beta_1=0.8, epsilon=1e-6), ["beta_1=0.8", "epsilon=1e-06"]),
    ],
)
def test_what_has_no_equivalent_is_named(theirs: Any, names: list[str]) -> None:
    """One error lists all parameters that cannot be translated."""
    with pytest.raises(ValueError, match="no equivalent") as caught:
        from_sklearn(theirs)
    assert all(name in str(caught.value) for name in names)


def test_one_class_has_no_equivalent() -> None:
    """A network of one class is refused by the attribute that holds the classes."""
    theirs = MLPClassifier((3,), max_iter=1, solver="sgd", batch_size=X.shape[0])
    theirs.partial_fit(X, np.zeros(len(X)), classes=[0])
    with pytest.raises(
        ValueError, match=r"classes_=array\(\[0\]\).*two classes or more"
    ):
        from_sklearn(theirs)


def test_unused_parameters_are_no_obstacle() -> None:
    """What the solver does not read may be anything."""
    assert from_sklearn(MLPClassifier(learning_rate="invscaling")).optimizer == "adam"
    assert from_sklearn(MLPClassifier(solver="sgd", beta_1=0.5)).optimizer == "sgd"


def test_another_estimator_is_refused() -> None:
    """The error names what was given."""
    with pytest.raises(TypeError, match="Got a LogisticRegression instead"):
        from_sklearn(LogisticRegression())


FITTED: dict[str, Any] = {
    "binary": (MLPClassifier((5, 4)), BINARY),
    "three": (MLPClassifier((5,), activation="tanh"), THREE),
    "labels": (MLPClassifier((5,), activation="logistic", early_stopping=True), LABELS),
    "no layer": (MLPClassifier(()), THREE),
    "number": (
        MLPRegressor(hidden_layer_sizes=(5,), solver="sgd", learning_rate_init=1e-13),
        TARGET,
    ),
    "numbers": (MLPRegressor(hidden_layer_sizes=(5,), activation="identity"), X[:, :2]),
}


@pytest.mark.parametrize("name", FITTED)
def test_trained_weights_predict_the_same(name: str) -> None:
    """Probabilities and values, labels and shapes are those of the given network."""
    theirs, y = FITTED[name]
    ours = from_sklearn(trained(theirs, y))
    method = "predict_proba" if hasattr(theirs, "classes_") else "predict"
    np.testing.assert_allclose(
        getattr(ours, method)(X), getattr(theirs, method)(X), rtol=1e-12, atol=1e-14
    )
    assert ours.predict(X).shape == theirs.predict(X).shape
    assert ours.history_["train_loss"].tolist() == theirs.loss_curve_
    assert ours.n_iter_ == theirs.n_iter_
    again = ours.to_sklearn()
    np.testing.assert_allclose(
        getattr(again, method)(X), getattr(theirs, method)(X), rtol=1e-12, atol=1e-14
    )
    same = ("hidden_layer_sizes", "activation", "solver", "max_iter", "tol")
    changed = {k for k in same if getattr(again, k) != getattr(theirs, k)}
    assert changed == set()
    assert again.alpha == pytest.approx(theirs.alpha)


def test_large_values_are_not_cut() -> None:
    """A network without standardization answers far beyond single raw outputs."""
    theirs = trained(
        MLPRegressor(hidden_layer_sizes=(3,), solver="lbfgs"), 1e7 * X[:, 0]
    )
    assert np.abs(theirs.predict(X)).max() > 1e6
    with pytest.warns(UserWarning, match="further training uses 'adam'"):
        ours = from_sklearn(theirs)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-12)


def test_poisson_predicts_the_same() -> None:
    """The exponential of the head is kept, where scikit-learn has one."""
    if "loss" not in MLPRegressor().get_params():
        pytest.skip("scikit-learn has this loss from 1.7 on")
    theirs = trained(
        MLPRegressor(hidden_layer_sizes=(4,), loss="poisson"), np.exp(X[:, 0])
    )
    ours = from_sklearn(theirs)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-12)


def test_names_and_single_precision_are_kept() -> None:
    """Columns' names are checked as before; float32 weights stay float32."""
    frame = pd.DataFrame(X.astype(np.float32), columns=list("abc"))
    theirs = trained(MLPClassifier((4,)), BINARY, frame)
    ours = from_sklearn(theirs)
    assert ours.coefs_[0].dtype == theirs.coefs_[0].dtype
    np.testing.assert_allclose(
        ours.predict_proba(frame), theirs.predict_proba(frame), atol=1e-6
    )
    with pytest.raises(ValueError, match="feature names"):
        ours.predict(frame.rename(columns={"a": "z"}))


@pytest.mark.parametrize("name", ["three", "number"])
def test_training_goes_on(name: str, tmp_path: Any) -> None:
    """partial_fit starts from the weights taken over; files and diagnoses work."""
    theirs, y = FITTED[name]
    ours = from_sklearn(trained(theirs, y))
    before = ours.coefs_[0].copy()
    ours.partial_fit(X, y)
    assert 0 < np.abs(ours.coefs_[0] - before).max() < 0.1
    assert ours.n_iter_ == theirs.n_iter_ + 1
    ours.diagnose()
    pytest.importorskip("safetensors", reason="safetensors, an optional package")
    from sknnopt.persistence import load, save

    save(ours, tmp_path / "model.safetensors")
    loaded = load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(loaded.predict(X), ours.predict(X))


def test_diagnosis_of_what_was_taken_over() -> None:
    """Before any training here, what scikit-learn noted is looked at."""
    ours = from_sklearn(trained(MLPClassifier((4,)), BINARY))
    assert ours.diagnose() is not None
