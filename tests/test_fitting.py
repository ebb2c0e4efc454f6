"""What happens in a fit: held-out rows, and going on from a model."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from estimators import ESTIMATORS, SMALL, all_weights, plain_classifier, plain_regressor
from sklearn.base import clone
from sklearn.model_selection import KFold

from sknnopt import _assembly

# --------------------------------------------------------------------- device


@pytest.mark.parametrize("device", ["nowhere", "meta", "cuda:99"])
def test_device_that_is_not_there(table, device):
    """The error says what is accepted, and what was given."""
    with pytest.raises(
        ValueError, match=f"'device' parameter must name a torch device.*{device!r}"
    ):
        plain_classifier(**SMALL, device=device).fit(*table)


# ------------------------------------------------------------- early stopping


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_best_weights_are_kept(estimator, rng):
    """The kept weights are those of the epoch with the lowest validation loss."""
    X = rng.normal(size=(80, 4))
    y = rng.integers(0, 2, size=80)
    model = estimator(
        n_units=32,
        learning_rate=0.02,
        early_stopping=True,
        max_epochs=60,
        random_state=0,
    )
    model.fit(X[:60], y[:60], X_val=X[60:], y_val=y[60:])
    history = model.history_.set_index("epoch")
    assert model.best_epoch_ == history.valid_loss.idxmin()
    assert model.n_iter_ < 60
    score = model.score(X[60:], y[60:])
    assert history.valid_score[model.best_epoch_] == pytest.approx(score)


def test_held_out_rows_do_not_train(rng):
    """Held-out rows are the splitter's, and what stands in them is not learned."""
    X = rng.normal(size=(40, 3))
    y = (X[:, 0] > 0).astype(int)
    splitter = KFold(4)
    train, valid = next(splitter.split(X))
    model = plain_classifier(**SMALL, early_stopping=True, validation_fraction=splitter)
    expected = all_weights(clone(model).fit(X, y))
    given = clone(model).fit(X[train], y[train], X_val=X[valid], y_val=y[valid])
    np.testing.assert_array_equal(all_weights(given), expected)


@pytest.mark.parametrize("n_members", [1, 2])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_what_a_splitter_is_given(estimator, table, n_members):
    """A splitter sees one target flat: classes as integers, numbers as they are."""
    given = []

    class Noting(KFold):
        def split(self, X, y=None, groups=None):
            given.append(y)
            return super().split(X, y, groups)

    X, y = table
    is_classifier = estimator is plain_classifier
    y = y if is_classifier else X[:, 0]
    settings = {**SMALL, "early_stopping": True, "n_members": n_members}
    estimator(**settings, validation_fraction=Noting(4)).fit(X, y)
    (seen,) = given
    assert seen.shape == (60,)
    assert seen.dtype.kind == "i" if is_classifier else "f"
    # A regressor may have brought them to another scale.
    assert np.corrcoef(seen, y)[0, 1] == pytest.approx(1.0)


@pytest.mark.parametrize("n_members", [1, 2])
@pytest.mark.parametrize(
    ("estimator", "n_targets", "is_stratified"),
    [
        (plain_classifier, 1, True),
        (plain_classifier, 2, False),
        (plain_regressor, 1, False),
    ],
)
def test_classes_are_held_out_in_their_shares(
    estimator, n_targets, is_stratified, n_members, table, monkeypatch
):
    """Held-out rows are stratified by the classes of a single target alone."""
    told = _note_splits(monkeypatch)
    X, y = table
    y = y if n_targets == 1 else np.c_[y, 1 - y]
    settings = {**SMALL, "early_stopping": True, "n_members": n_members}
    estimator(**settings).fit(X, y)
    assert [options["stratify"] for options in told] == [is_stratified]


def test_held_out_rows_follow_the_random_state(table, monkeypatch):
    """Fits of one random state hold out the same rows, fits of another one others."""
    told = _note_splits(monkeypatch)
    for seed in (0, 1, 0):
        plain_classifier(
            n_units=4, max_epochs=1, early_stopping=True, random_state=seed
        ).fit(*table)
    first, other, again = (options["seed"] for options in told)
    assert first == again
    assert first != other


def _note_splits(monkeypatch):
    """Return a list that the options of each later split are put into."""
    told = []

    def noted(split):
        def with_note(*given, **options):
            told.append(options)
            return split(*given, **options)

        return with_note

    for name in ("held_out_rows", "held_out_folds"):
        monkeypatch.setattr(_assembly, name, noted(getattr(_assembly, name)))
    return told


@pytest.mark.parametrize(("n_rows", "is_on"), [(99, False), (100, True)])
def test_automatic_early_stopping(rng, n_rows, is_on):
    """early_stopping='auto' holds rows out from 100 rows on."""
    X = rng.normal(size=(n_rows, 2))
    model = plain_classifier(**{**SMALL, "early_stopping": "auto"})
    history = model.fit(X, X[:, 0] > 0).history_
    assert ("valid_loss" in history) == is_on


def test_validation_set_is_only_watched(table):
    """With early_stopping=False a validation set is measured, and changes nothing."""
    X, y = table
    model = plain_classifier(**SMALL, early_stopping=False)
    plain = all_weights(clone(model).fit(X, y))
    watched = clone(model).fit(X, y, X_val=X[:10], y_val=1 - y[:10])
    np.testing.assert_array_equal(all_weights(watched), plain)
    assert watched.history_.valid_loss.notna().all()


@pytest.mark.parametrize(
    ("given", "missing"),
    [("X_val", "y_val"), ("y_val", "X_val"), ("sample_weight_val", "X_val and y_val")],
)
def test_half_a_validation_set(table, given, missing):
    """Half a validation set is refused, naming what is missing."""
    X, y = table
    value = {"X_val": X, "y_val": y, "sample_weight_val": np.ones(60)}[given]
    with pytest.raises(ValueError, match=f"{given} without {missing}"):
        plain_classifier(**SMALL).fit(X, y, **{given: value})


def test_weights_of_the_validation_set(table):
    """The validation loss is weighted by sample_weight_val."""
    X, y = table
    weight = np.r_[np.zeros(10), np.ones(10)]
    model = plain_classifier(**SMALL)
    weighted = clone(model).fit(
        X, y, X_val=X[:20], y_val=y[:20], sample_weight_val=weight
    )
    rest = clone(model).fit(X, y, X_val=X[10:20], y_val=y[10:20])
    np.testing.assert_allclose(weighted.history_.valid_loss, rest.history_.valid_loss)


# ------------------------------------------------------- going on from a model


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_partial_fits_are_a_fit(estimator, table, optimizer):
    """Five calls of partial_fit are five epochs of fit, the optimizer's state kept."""
    X, y = table
    settings = {**SMALL, "optimizer": optimizer, "batch_size": 16, "dropout": 0.2}
    whole = estimator(**settings, early_stopping=False, lr_schedule="cosine").fit(X, y)
    parts = estimator(**settings, early_stopping="auto", lr_schedule="cosine")
    known = {"classes": [0, 1]} if estimator is plain_classifier else {}
    for _ in range(5):
        parts.partial_fit(X, y, **known)
    np.testing.assert_array_equal(all_weights(parts), all_weights(whole))
    pd.testing.assert_frame_equal(parts.history_, whole.history_)
    assert parts.n_iter_ == 5


def test_partial_fit_goes_on_after_pickling(table):
    """A pickled model goes on exactly where it stood."""
    X, y = table
    model = plain_regressor(**SMALL, batch_size=16).partial_fit(X, y)
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(
        all_weights(loaded.partial_fit(X, y)), all_weights(model.partial_fit(X, y))
    )


def test_schedule_of_partial_fits(table):
    """The schedule counts calls, whatever the number of rows in each."""
    X, y = table
    model = plain_regressor(
        n_units=4, max_epochs=10, batch_size=10, lr_schedule="exponential"
    )
    for n_rows in (60, 60, 20, 60, 7):
        model.partial_fit(X[:n_rows], y[:n_rows])
    # Of the last update of each call, in epochs since the start.
    epochs = np.array([0 + 5 / 6, 1 + 5 / 6, 2 + 1 / 2, 3 + 5 / 6, 4])
    expected = 1e-3 * 0.1 ** (epochs / 10)
    np.testing.assert_allclose(model.history_.learning_rate, expected)


def test_partial_fit_drops_rows_without_weight(table):
    """Rows of weight zero are left out before batches are made."""
    X, y = table
    weight = np.r_[np.zeros(20), np.ones(40)]
    one = plain_regressor(**SMALL, batch_size=8).partial_fit(X, y, weight)
    other = plain_regressor(**SMALL, batch_size=8)
    other.partial_fit(X[20:], y[20:], weight[20:])
    np.testing.assert_allclose(all_weights(one), all_weights(other), rtol=1e-12)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_partial_fit_needs_no_early_stopping(estimator, table):
    """With early_stopping=True there is no partial_fit, and the error says why."""
    with pytest.raises(AttributeError) as caught:
        estimator(early_stopping=True).partial_fit(*table)
    assert "early_stopping=True" in str(caught.value.__cause__)


def test_warm_start(table):
    """A warm start begins at the weights of the last fit, with a fresh optimizer."""
    X, y = table
    model = plain_classifier(**SMALL, warm_start=True, learning_rate=1e-12)
    first = all_weights(model.fit(X, y))
    np.testing.assert_allclose(all_weights(model.fit(X, y)), first, atol=1e-9)
    assert model.n_iter_ == 10
    assert model.history_.epoch.tolist() == list(range(1, 11))
    model.set_params(n_units=9)
    with pytest.raises(ValueError, match=r"\(4, 8, 8, 1\).*\(4, 9, 9, 1\)"):
        model.fit(X, y)
    model.set_params(warm_start=False)
    assert model.fit(X, y).n_iter_ == 5


def test_warm_start_begins_the_schedule_anew(table):
    """The learning rates of a warm start are those of the first fit."""
    model = plain_classifier(**SMALL, warm_start=True, lr_schedule="exponential")
    first = model.fit(*table).history_.learning_rate
    both = model.fit(*table).history_.learning_rate
    assert first.nunique() == len(first)
    np.testing.assert_array_equal(both, [*first, *first])


@pytest.mark.parametrize("largest", [1e-60, 1e60])
def test_extreme_weights_are_rescaled(largest):
    """Weights that are no moderate numbers are divided by the largest; others stay."""
    np.testing.assert_allclose(
        _assembly.rescaled(np.array([0.0, 0.5, 1.0]) * largest), [0.0, 0.5, 1.0]
    )
    for moderate in (np.array([0.0, 0.5, 3.0]), np.zeros(3)):
        assert _assembly.rescaled(moderate) is moderate
