"""What both estimators share: determinism, safety, state and data."""

from __future__ import annotations

import pickle
import threading
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from estimators import ESTIMATORS, SMALL, all_weights, plain_classifier, plain_regressor
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from skorch.callbacks import Callback

from sknnopt._responses import Responder

# --------------------------------------------------------------- determinism


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_same_seed_same_model(estimator, table):
    """The same random_state gives the same weights, in threads too, bit for bit."""
    model = estimator(**SMALL, dropout=0.2, batch_size=16, n_members=2)
    alone = all_weights(clone(model).fit(*table))
    threaded = Parallel(n_jobs=4, backend="threading")(
        delayed(lambda: all_weights(clone(model).fit(*table)))() for _ in range(8)
    )
    for weights in threaded:
        np.testing.assert_array_equal(weights, alone)
    other = all_weights(clone(model).set_params(random_state=1).fit(*table))
    assert not np.array_equal(other, alone)


@pytest.mark.parametrize("seed", [0, np.random.RandomState(0)])
def test_global_generators_stay(table, seed):
    """With a seed or generator of its own a fit moves no global generator."""
    numpy_state = np.random.get_state()[1].copy()
    torch_state = torch.get_rng_state()
    plain_classifier(
        n_units=8, max_epochs=3, dropout=0.2, batch_size=16, random_state=seed
    ).fit(*table)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)
    assert torch.equal(torch.get_rng_state(), torch_state)


def test_no_seed_draws_one_number(table):
    """With random_state=None one seed comes from numpy's generator, torch's stays."""
    torch_state = torch.get_rng_state()
    np.random.seed(3)
    plain_classifier(n_units=4, max_epochs=1).fit(*table)
    after = np.random.get_state()
    np.random.seed(3)
    np.random.randint(np.iinfo(np.int32).max, size=1)
    expected = np.random.get_state()
    np.testing.assert_array_equal(after[1], expected[1])
    assert after[2] == expected[2]
    assert torch.equal(torch.get_rng_state(), torch_state)


# --------------------------------------------------------------- user context


class _HalfByDefault:
    def __enter__(self):
        self.before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float16)

    def __exit__(self, *_):
        torch.set_default_dtype(self.before)


class _Deterministic:
    def __enter__(self):
        torch.use_deterministic_algorithms(True)

    def __exit__(self, *_):
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(
    "context",
    [
        torch.inference_mode,
        torch.no_grad,
        lambda: torch.device("meta"),
        _HalfByDefault,
        _Deterministic,
        lambda: np.errstate(all="raise"),
        lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    ],
)
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_context_of_the_caller(estimator, table, context):
    """A fit gives the same model, and leaves the context, whatever the caller set."""
    X, y = table
    settings = {**SMALL, "dropout": 0.1, "early_stopping": True, "l1": 1e-3}
    model = estimator(**settings, normalization="batch", optimizer="adamw")
    expected = clone(model).fit(X, y)
    with context():
        before = torch.is_grad_enabled(), torch.get_default_dtype()
        inside = clone(model).fit(X, y)
        prediction = inside.predict(X)
        assert (torch.is_grad_enabled(), torch.get_default_dtype()) == before
    np.testing.assert_array_equal(all_weights(inside), all_weights(expected))
    np.testing.assert_array_equal(prediction, expected.predict(X))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype(table, dtype):
    """float32 in trains in float32, float64 in float64."""
    X, y = table
    model = plain_classifier(**SMALL).fit(X.astype(dtype), y)
    assert {part.dtype for part in model.coefs_} == {np.dtype(dtype)}
    assert model.predict_proba(X.astype(dtype)).dtype == dtype


def test_thread_count_is_restored(table):
    """n_threads holds during the fit and not after; None never sets the number."""
    seen = []

    class Look(Callback):
        def on_epoch_end(self, net, **kwargs):
            seen.append(torch.get_num_threads())

    before = torch.get_num_threads()
    wanted = before + 1
    model = plain_classifier(**SMALL, callbacks=[Look()])
    model.fit(*table)
    assert set(seen) == {before}
    seen.clear()
    model.set_params(n_threads=wanted).fit(*table)
    assert set(seen) == {wanted}
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(("n_threads", "inside"), [(None, 1), (3, 3)])
@pytest.mark.parametrize("n_rows", [10, 2000])
def test_threads_of_predictions(table, monkeypatch, n_threads, inside, n_rows):
    """Many rows are predicted with n_threads, a few without setting the number."""
    seen, mean = [], Responder.mean

    def look(self, X):
        seen.append(torch.get_num_threads())
        return mean(self, X)

    model = plain_classifier(**SMALL, n_threads=n_threads).fit(*table)
    monkeypatch.setattr(Responder, "mean", look)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        model.predict(np.repeat(table[0][:1], n_rows, axis=0))
        assert seen == [2 if n_rows == 10 else inside]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


# --------------------------------------------------------- nothing lost, no silence


class _FailAt(Callback):
    """Raise in a given epoch."""

    def __init__(self, epoch, error):
        self.epoch, self.error = epoch, error

    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == self.epoch:
            raise self.error


@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt()])
@pytest.mark.parametrize("warm_start", [False, True])
def test_failed_refit_changes_nothing(table, error, warm_start):
    """A refit that fails or is interrupted leaves the old model whole."""
    X, y = table
    model = plain_classifier(**SMALL, warm_start=warm_start).fit(X, y)
    state = pickle.dumps({k: v for k, v in vars(model).items() if k != "callbacks"})
    expected = model.predict_proba(X)
    model.set_params(callbacks=[_FailAt(2, error)])
    wide = X if warm_start else np.hstack([X, X])
    with pytest.raises(type(error)):
        model.fit(wide, y)
    np.testing.assert_array_equal(model.predict_proba(X), expected)
    model.set_params(callbacks=None)
    after = pickle.dumps({k: v for k, v in vars(model).items() if k != "callbacks"})
    assert after == state


def test_failed_data_check_changes_nothing(table):
    """A refit on data that are refused leaves the number of features as it was."""
    X, y = table
    model = plain_classifier(**SMALL).fit(X, y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(np.ones((5, 2)), [0, 1, 0])
    assert model.n_features_in_ == 4
    assert model.predict(X).shape == (60,)


def test_failed_first_fit(table):
    """After a first fit that fails there is no model."""
    model = plain_classifier(**SMALL, callbacks=[_FailAt(2, RuntimeError())])
    with pytest.raises(RuntimeError):
        model.fit(*table)
    with pytest.raises(NotFittedError):
        model.predict(table[0])


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("n_members", [1, 3])
def test_divergence(estimator, table, n_members):
    """A fit that overflows warns, says so, and predicts finite numbers."""
    X, y = table
    model = estimator(
        optimizer="sgd",
        learning_rate=1e200,
        max_epochs=20,
        n_members=n_members,
        random_state=0,
    )
    with pytest.warns(ConvergenceWarning, match="no longer finite.*learning_rate"):
        model.fit(X, y)
    assert np.all(model.diverged_)
    assert np.shape(model.diverged_) == (() if n_members == 1 else (n_members,))
    assert np.isfinite(all_weights(model)).all()
    for rows in (X, 1e300 * X):
        assert np.isfinite(model.predict(rows)).all()
        if hasattr(model, "predict_proba"):
            assert np.isfinite(model.predict_proba(rows)).all()


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rmsprop", "adadelta"])
def test_huge_learning_rate_is_finite(estimator, table, optimizer):
    """With learning rate 1e3 predictions and scores are finite all the same."""
    X, y = table
    model = estimator(**SMALL, optimizer=optimizer, learning_rate=1e3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    assert np.isfinite(model.score(X, y))
    assert np.isfinite(model.predict(X)).all()


def test_healthy_fit_does_not_warn(table, recwarn):
    """An ordinary fit gives no warning and is not marked as diverged."""
    model = plain_classifier(**SMALL).fit(*table)
    assert model.diverged_ is False
    assert len(recwarn) == 0


def test_divergence_is_of_this_call(table):
    """A healthy partial_fit after one that diverged neither warns nor is marked."""
    X, y = table
    model = plain_regressor(**SMALL, optimizer="sgd", learning_rate=0.01)
    model.partial_fit(X, y)
    with pytest.warns(ConvergenceWarning):
        model.partial_fit(1e200 * X, y)
    assert model.diverged_
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.partial_fit(X, y)
    assert not model.diverged_


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_divergence_points_at_the_caller(table, method):
    """The warning names the line that called, and the epoch kept is the one before."""
    X, y = table
    model = plain_regressor(**SMALL)
    with pytest.warns(ConvergenceWarning) as caught:
        getattr(model, method)(1e200 * X, y)
    assert caught[0].filename == __file__
    assert model.best_epoch_ == model.n_iter_ - 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-320, 1e-40, 1e40, 8e307])
def test_scale_of_weights_does_not_matter(table, dtype, scale):
    """Weights too small or large for the arithmetic train like moderate ones."""
    X, y = table
    weight = np.r_[np.full(30, 2.0), np.full(30, 1.0)]
    model = plain_classifier(**SMALL)
    expected = clone(model).fit(X.astype(dtype), y, weight)
    scaled = clone(model).fit(X.astype(dtype), y, weight * scale)
    assert not scaled.diverged_
    np.testing.assert_allclose(all_weights(scaled), all_weights(expected), rtol=1e-3)


# ---------------------------------------------------------------------- state


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_pickle_holds_plain_values(estimator, table):
    """A pickle names nothing of torch or skorch, holds no training row, and works."""
    X, y = table
    model = estimator(**SMALL, early_stopping=True).fit(X, y)
    assert model.net_.module_ is not None
    dumped = pickle.dumps(model)
    assert b"torch" not in dumped
    assert b"skorch" not in dumped
    assert X[0].tobytes() not in dumped
    loaded = pickle.loads(dumped)
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    pd.testing.assert_frame_equal(loaded.history_, model.history_)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_net_predicts_the_same(estimator, table):
    """net_ is a skorch net whose prediction is the estimator's own."""
    X, y = table
    model = estimator(**SMALL, n_members=2).fit(X, y)
    net = model.net_
    if estimator is plain_classifier:
        expected = model.predict_proba(X)
        np.testing.assert_allclose(net.predict_proba(X), expected, rtol=1e-13)
        np.testing.assert_array_equal(model.classes_[net.predict(X)], model.predict(X))
    else:
        inside = y.mean() + y.std() * net.predict(X)[:, 0]
        np.testing.assert_allclose(inside, model.predict(X))
    assert len(net.history) == model.n_iter_
    assert net.history[-1, "train_loss"] == pytest.approx(
        model.history_.query("epoch == epoch.max()").train_loss.mean()
    )
    with pytest.raises(NotImplementedError, match="estimator"):
        net.fit(X, y)


def test_history(table):
    """history_ has one row for each member and epoch, with the promised columns."""
    X, y = table
    model = plain_classifier(
        **SMALL, n_members=2, l2=1e-3, monitor="full", lr_schedule="step"
    ).fit(X, y, X_val=X[:20], y_val=y[:20])
    history = model.history_
    assert len(history) == 2 * 5
    assert history.groupby("member").epoch.apply(list).tolist() == [[1, 2, 3, 4, 5]] * 2
    expected = {
        "member", "epoch", "train_loss", "penalty", "train_score", "valid_loss",
        "valid_score", "learning_rate", "gradient_norm", "gradient_decay",
    }  # fmt: skip
    expected |= {f"gradient_norm_{i}" for i in range(3)}
    expected |= {f"update_ratio_{i}" for i in range(3)}
    own = {name.rpartition("_")[0] for name in set(history) - expected}
    shares = {"dead_share", "saturated_share"} & own
    assert len(shares) <= 1
    assert own - shares == {"activation_mean", "activation_variance"}
    assert history.notna().all(axis=None)
    norms = history[[f"gradient_norm_{i}" for i in range(3)]]
    assert (norms.max(axis=1) <= history.gradient_norm).all()
    rates = history.query("member == 0").learning_rate
    np.testing.assert_allclose(rates, 1e-3 * np.array([1, 1, 1, 0.1, 0.01]))


def test_coefs_and_intercepts(table):
    """coefs_ and intercepts_ have scikit-learn's shapes, and give the prediction."""
    X, y = table
    model = plain_regressor(**SMALL, activation="tanh").fit(X, y)
    assert [part.shape for part in model.coefs_] == [(4, 8), (8, 8), (8, 1)]
    assert [part.shape for part in model.intercepts_] == [(8,), (8,), (1,)]
    hidden = X
    for weight, bias in zip(model.coefs_[:-1], model.intercepts_[:-1], strict=True):
        hidden = np.tanh(hidden @ weight + bias)
    raw = (hidden @ model.coefs_[-1] + model.intercepts_[-1])[:, 0]
    np.testing.assert_allclose(model.predict(X), y.mean() + y.std() * raw)
    several = plain_regressor(**SMALL, n_members=3).fit(X, y)
    assert several.coefs_[0].shape == (3, 4, 8)
    assert several.intercepts_[2].shape == (3, 1)


class _Fixed(np.random.RandomState):
    """A generator whose draws are one number."""

    def __init__(self, number):
        super().__init__(0)
        self.number = number

    def randint(self, high, size):
        return np.full(size, self.number)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_members_are_single_networks(estimator, table):
    """An ensemble's members are the networks of its seeds, and it predicts the mean."""
    X, y = table
    model = estimator(**{**SMALL, "random_state": 5}, n_members=3, dropout=0.1).fit(
        X, y
    )
    seeds = np.random.RandomState(5).randint(np.iinfo(np.int32).max, size=3)
    predict = "predict_proba" if hasattr(model, "predict_proba") else "predict"
    predictions = []
    for member, seed in enumerate(seeds):
        alone = clone(model).set_params(n_members=1, random_state=_Fixed(seed))
        alone.fit(X, y)
        for ours, theirs in zip(model.coefs_, alone.coefs_, strict=True):
            np.testing.assert_allclose(ours[member], theirs, rtol=1e-9, atol=1e-12)
        predictions.append(getattr(alone, predict)(X))
    np.testing.assert_allclose(getattr(model, predict)(X), np.mean(predictions, axis=0))


# ------------------------------------------------------------------------ data


def test_sparse_input_equals_dense(table):
    """A sparse matrix trains and predicts like its dense copy."""
    from scipy import sparse

    X, y = table
    X = np.where(np.abs(X) > 0.5, X, 0.0)
    model = plain_classifier(**SMALL, batch_size=16, early_stopping=True)
    dense = clone(model).fit(X, y)
    scarce = clone(model).fit(sparse.csr_array(X), y)
    np.testing.assert_array_equal(all_weights(scarce), all_weights(dense))
    np.testing.assert_array_equal(scarce.predict(sparse.csc_array(X)), dense.predict(X))


def test_data_frames(table):
    """Column names are kept, checked, and another order is refused."""
    X, y = table
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = plain_regressor(**SMALL).fit(frame, pd.Series(y))
    assert model.feature_names_in_.tolist() == list("abcd")
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame[list("dcba")])
    with pytest.raises(ValueError, match="feature names should match"):
        model.fit(frame, y, X_val=frame[list("dcba")], y_val=y)


def test_weights_zero(table):
    """A class weight of zero for every row is refused in plain words."""
    X, y = table
    model = plain_classifier(**SMALL, class_weight={0: 0.0, 1: 0.0})
    with pytest.raises(ValueError, match="weight zero"):
        model.fit(X, y)


def test_fits_in_threads_do_not_share(table):
    """Fits of one process in several threads leave the main thread's state alone."""
    results = {}

    def fit(seed):
        settings = {**SMALL, "random_state": seed, "n_threads": 1}
        results[seed] = plain_classifier(**settings).fit(*table)

    before = torch.get_num_threads()
    threads = [threading.Thread(target=fit, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert torch.get_num_threads() == before
    for seed, model in results.items():
        expected = plain_classifier(**{**SMALL, "random_state": seed})
        np.testing.assert_array_equal(
            all_weights(model), all_weights(expected.fit(*table))
        )
