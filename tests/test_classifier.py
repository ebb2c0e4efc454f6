"""The classifier: labels, heads, losses and weights of classes."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from estimators import SKLEARN, plain_classifier
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_blobs, make_multilabel_classification
from sklearn.metrics import log_loss

from sknnopt._feed import padded_rows
from sknnopt.losses import LOSSES

SMALL = {"n_units": 8, "max_epochs": 20, "learning_rate": 0.02, "random_state": 0}


@pytest.fixture(scope="module")
def blobs():
    """Return 90 rows in three groups."""
    return make_blobs(90, centers=3, n_features=4, random_state=0)


@pytest.mark.parametrize(
    "labels",
    [
        ["ant", "bee", "cow"],
        [-7, 3, 1000],
        [1.5, 2.5, 3.5],
        pd.Categorical(["x", "y", "z"]),
    ],
)
def test_labels_come_back(blobs, labels):
    """Labels of any kind, gaps and all, come back as they were given."""
    X, index = blobs
    y = np.asarray(labels)[index]
    # scikit-learn takes floats with a fraction for numbers to regress on.
    if y.dtype == float:
        y = y.astype(str)
    model = plain_classifier(**SMALL).fit(X, y)
    np.testing.assert_array_equal(model.classes_, np.unique(y))
    assert set(model.predict(X)) <= set(y)
    assert model.score(X, y) > 0.9


def test_boolean_labels(blobs):
    """Booleans are two classes, predicted as booleans."""
    X, index = blobs
    model = plain_classifier(**SMALL).fit(X, index == 0)
    assert model.predict(X).dtype == bool


@pytest.mark.parametrize(
    ("n_classes", "loss", "expected", "n_outputs"),
    [
        (1, "auto", "categorical_cross_entropy", 1),
        (2, "auto", "binary_cross_entropy", 1),
        (2, "categorical_cross_entropy", "categorical_cross_entropy", 2),
        (3, "auto", "categorical_cross_entropy", 3),
    ],
)
def test_head(blobs, n_classes, loss, expected, n_outputs):
    """The head is one sigmoid for two classes and softmax for more, or as asked."""
    X, index = blobs
    y = index % n_classes
    model = plain_classifier(**SMALL, loss=loss).fit(X, y)
    assert (model.loss_name_, model.n_outputs_) == (expected, n_outputs)
    probability = model.predict_proba(X)
    assert probability.shape == (90, n_classes)
    np.testing.assert_allclose(probability.sum(axis=1), 1.0)
    np.testing.assert_allclose(
        np.log(probability), model.predict_log_proba(X), atol=1e-12
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_loss_is_the_logarithmic_loss(blobs, n_classes, smoothing):
    """The validation loss is scikit-learn's log-loss, against smoothed targets."""
    X, index = blobs
    y = index % n_classes
    model = plain_classifier(
        **SMALL, label_smoothing=smoothing, early_stopping=False
    ).fit(X, y, X_val=X, y_val=y)
    target = (1 - smoothing) * np.eye(n_classes)[y] + smoothing / n_classes
    expected = -(target * model.predict_log_proba(X)).sum(axis=1).mean()
    assert model.history_.valid_loss.iloc[-1] == pytest.approx(expected)
    if smoothing == 0:
        assert expected == pytest.approx(log_loss(y, model.predict_proba(X)))
    assert model.history_.valid_score.iloc[-1] == pytest.approx(model.score(X, y))


def test_multilabel():
    """A multilabel target gets a sigmoid for each label, dense or sparse."""
    X, y = make_multilabel_classification(80, n_classes=3, random_state=0)
    model = plain_classifier(**SMALL).fit(X, y)
    probability = model.predict_proba(X)
    assert (model.loss_name_, model.n_outputs_) == ("binary_cross_entropy", 3)
    np.testing.assert_array_equal(model.predict(X), probability > 0.5)
    scarce = clone(model).fit(X, sparse.csr_matrix(y))
    np.testing.assert_array_equal(scarce.predict_proba(X), probability)
    watched = clone(model).fit(X, y, X_val=X, y_val=y)
    best = watched.history_.set_index("epoch").valid_score[watched.best_epoch_]
    assert best == pytest.approx(watched.score(X, y))


@pytest.mark.parametrize(
    ("loss", "n_classes"),
    [("binary_cross_entropy", 3), ("categorical_cross_entropy", "many")],
)
def test_loss_that_does_not_fit_the_target(blobs, loss, n_classes):
    """A loss that does not fit the target is refused, naming loss and remedy."""
    X, index = blobs
    y = np.eye(3, dtype=int)[index] if n_classes == "many" else index
    with pytest.raises(ValueError, match=f"'loss' parameter must be .*'{loss}'"):
        plain_classifier(loss=loss).fit(X, y)


def test_class_weights_are_sample_weights(blobs):
    """class_weight multiplies into sample_weight."""
    X, index = blobs
    by_class = plain_classifier(**SMALL, class_weight={0: 2.0, 2: 0.5})
    by_row = plain_classifier(**SMALL)
    weight = np.linspace(0.5, 1.5, 90)
    one = by_class.fit(X, index, weight)
    other = by_row.fit(X, index, weight * np.array([2.0, 1.0, 0.5])[index])
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))


def test_balanced_classes_have_equal_weight(blobs):
    """'balanced' gives the weights n / (n_classes * count), of weighted counts."""
    X, index = blobs
    y = (index == 0).astype(int)
    weight = np.linspace(0.5, 1.5, 90)
    counts = np.bincount(y, weights=weight)
    balanced = weight * (weight.sum() / (2 * counts))[y]
    one = plain_classifier(**SMALL, class_weight="balanced").fit(X, y, weight)
    other = plain_classifier(**SMALL).fit(X, y, balanced)
    np.testing.assert_allclose(one.predict_proba(X), other.predict_proba(X))


def test_number_of_labels_is_that_of_the_first_part():
    """Another number of labels than the networks have outputs for is refused."""
    X, y = make_multilabel_classification(80, n_classes=3, random_state=0)
    model = plain_classifier().partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="y has 2 labels, the networks"):
        model.partial_fit(X, y[:, :2])


def test_class_weight_for_multilabel():
    """class_weight with a multilabel target is refused."""
    X, y = make_multilabel_classification(20, random_state=0)
    with pytest.raises(ValueError, match="'class_weight' parameter must be None"):
        plain_classifier(class_weight="balanced").fit(X, y)


def test_validation_labels_must_be_known(blobs):
    """A label in y_val that y lacks is refused by name."""
    X, index = blobs
    with pytest.raises(ValueError, match=r"y_val has labels.*\[2\]"):
        plain_classifier().fit(X[index < 2], index[index < 2], X_val=X, y_val=index)


def test_partial_fit_needs_classes(blobs):
    """The first partial_fit needs all classes; later ones must not change them."""
    X, index = blobs
    model = plain_classifier(**SMALL)
    with pytest.raises(ValueError, match="'classes' parameter"):
        model.partial_fit(X, index)
    model.partial_fit(X[:5], index[:5], classes=[0, 1, 2])
    assert model.predict_proba(X).shape == (90, 3)
    with pytest.raises(ValueError, match=r"'classes' parameter.*\[0, 1, 2\].*Got"):
        model.partial_fit(X, index, classes=[0, 1])
    with pytest.raises(ValueError, match=r"no output for: \[7\]"):
        model.partial_fit(X[:2], [0, 7])
    model.set_params(class_weight="balanced")
    with pytest.raises(ValueError, match="class_weight='balanced'"):
        model.partial_fit(X, index)


def test_rare_class_and_early_stopping(blobs):
    """A class with one row does not stop early stopping from holding rows out."""
    X, index = blobs
    y = index.copy()
    y[0] = 9
    model = plain_classifier(**SMALL, early_stopping=True).fit(X, y)
    assert 9 in model.classes_


def test_held_out_rows_are_stratified():
    """Held-out rows have the classes in proportion, where they can."""
    X = np.arange(200.0)[:, None]
    y = np.r_[np.zeros(160), np.ones(40)].astype(int)
    option = LOSSES["binary_cross_entropy"]
    seen = []

    def spy(raw, target, parameter):
        seen.append(target)
        return option.make(raw, target, parameter)

    model = plain_classifier(
        n_units=2, max_epochs=1, early_stopping=True, random_state=0
    )
    with pytest.MonkeyPatch.context() as patch:
        spying = type(option)(**{**vars(option), "make": spy})
        patch.setitem(LOSSES, "binary_cross_entropy", spying)
        model.fit(X, y)
    held_out = next(t for t in seen if t.shape[1] == padded_rows(20))
    assert held_out.sum().item() == 4


@pytest.mark.parametrize("values", [(1, 2), (-1, 1), (0, 2)])
def test_multilabel_marks(values):
    """Labels marked by anything but 0 and 1 are refused, naming what was found."""
    X, y = make_multilabel_classification(30, n_classes=3, random_state=0)
    marked = np.where(y == 1, values[1], values[0])
    with pytest.raises(ValueError, match=r"y marks its labels.*0 and 1 only"):
        plain_classifier(**SMALL).fit(X, marked)


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf, "heavy"])
def test_class_weight_is_checked(blobs, value):
    """A class weight that is no finite number from 0 on is refused with its class."""
    X, index = blobs
    model = plain_classifier(class_weight={0: 1.0, 2: value})
    with pytest.raises(ValueError, match=r"'class_weight' parameter.*class 2"):
        model.fit(X, index)


def test_balanced_weights_are_those_of_the_training_rows(blobs):
    """The validation loss uses the class weights that training uses."""
    X, index = blobs
    y = (index == 0).astype(int)
    factors = 60 / (2 * np.bincount(y[:60]))
    balanced = plain_classifier(**SMALL, class_weight="balanced")
    given = plain_classifier(**SMALL, class_weight=dict(enumerate(factors)))
    losses = [
        model.fit(X[:60], y[:60], X_val=X[60:], y_val=y[60:]).history_.valid_loss
        for model in (balanced, given)
    ]
    np.testing.assert_allclose(*losses)


def test_log_probabilities_of_certain_predictions(blobs):
    """The logarithm of a tiny probability is finite for either class of a sigmoid."""
    X, index = blobs
    y = (index == 0).astype(int)
    model = plain_classifier(
        n_layers=0, learning_rate=0.1, max_epochs=50, random_state=0
    )
    logs = model.fit(X, y).predict_log_proba(20 * X)
    assert logs.min() < -40
    assert np.isfinite(logs).all()


@pytest.mark.skipif(SKLEARN < (1, 7), reason="scikit-learn warns from 1.7 on")
@pytest.mark.parametrize("dtype", [int, float, str])
def test_warns_where_most_labels_are_their_own(dtype):
    """A target that may be a regression's is met with scikit-learn's warning."""
    y = np.arange(30).astype(dtype)
    model = plain_classifier(max_epochs=1, early_stopping=False, random_state=0)
    with pytest.warns(UserWarning, match="greater than 50%"):
        model.fit(np.zeros((30, 2)), y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(np.zeros((30, 2)), np.repeat(y[:15], 2))
        clone(model).partial_fit(np.zeros((30, 2)), y, classes=y)


@pytest.mark.parametrize(
    ("labels", "types"),
    [(["a", "b", None], "NoneType, str"), (["a", 1, 2.5], "float, int, str")],
)
def test_labels_that_cannot_be_sorted(labels, types):
    """Labels of several types are refused in words that name the types."""
    y = np.array(labels * 4, dtype=object)
    with pytest.raises(TypeError, match=f"y holds labels .* of the types {types}"):
        plain_classifier(**SMALL).fit(np.ones((12, 2)), y)


@pytest.mark.parametrize("as_labels", [np.asarray, pd.Series])
def test_dates_as_labels(as_labels):
    """Dates are labels like others, but one that is missing is refused."""
    days = np.array(["2020-01-01", "2021-01-01"] * 6, dtype="M8[ns]")
    X = np.arange(12.0)[:, None]
    model = plain_classifier(**SMALL).fit(X, as_labels(days))
    assert set(model.predict(X)) <= set(days)
    days[3] = "NaT"
    with pytest.raises(ValueError, match="y holds labels that are missing"):
        plain_classifier(**SMALL).fit(X, as_labels(days))
