"""skorch's seams: callbacks see, stop and change a training run."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from estimators import plain_classifier, plain_regressor
from helpers import make_job, make_kind, start
from skorch.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    Freezer,
    GradientNormClipping,
    LRScheduler,
    PassthroughScoring,
    PrintLog,
    ProgressBar,
)

from sknnopt._training import MemberOptimizer

SMALL = {"n_units": 8, "max_epochs": 4, "batch_size": 16, "random_state": 0}


class _Log(Callback):
    """Write down every hook that is called."""

    def initialize(self):
        self.calls = []
        return self

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        self.calls.append("train begin")

    def on_train_end(self, net, X=None, y=None, **kwargs):
        self.calls.append("train end")

    def on_epoch_begin(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        self.calls.append("epoch begin")

    def on_epoch_end(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        self.calls.append("epoch end")
        self.shapes = [
            part.shape for d in (dataset_train, dataset_valid) for part in (d.X, d.y)
        ]

    def on_batch_begin(self, net, batch=None, training=None, **kwargs):
        self.calls.append("batch begin")

    def on_batch_end(self, net, batch=None, training=None, **kwargs):
        assert kwargs["y_pred"].shape == (len(batch[1]), 1)
        self.calls.append("batch end")

    def on_grad_computed(
        self, net, named_parameters, X=None, y=None, training=None, **kwargs
    ):
        names = [name for name, parameter in named_parameters if parameter.grad.any()]
        assert names[:2] == ["weight_0", "bias_0"]
        self.calls.append("gradient")


def test_order_of_hooks(table):
    """All hooks are called, in skorch's order, with the rows of both kinds."""
    X, y = table
    log = _Log()
    plain_classifier(**SMALL, callbacks=[log]).fit(X, y, X_val=X[:10], y_val=y[:10])
    step = ["batch begin", "gradient", "batch end"]
    epoch = ["epoch begin", *(4 * step), "epoch end"]
    assert log.calls == ["train begin", *(4 * epoch), "train end"]
    assert log.shapes == [(60, 4), (60,), (10, 4), (10,)]


def test_callbacks_that_watch_change_nothing(table):
    """A callback with all hooks that only watches leaves the weights bit for bit."""
    X, y = table
    plain = plain_classifier(**SMALL).fit(X, y)
    watched = plain_classifier(**SMALL, callbacks=[_Log()])
    watched.fit(X, y, X_val=X, y_val=y)
    plain.fit(X, y, X_val=X, y_val=y)
    np.testing.assert_array_equal(watched.predict_proba(X), plain.predict_proba(X))


def test_response_has_a_gradient(table):
    """Where torch is asked for it, the net's response can be differentiated."""
    net = plain_classifier(**SMALL).fit(*table).net_
    with torch.no_grad():
        assert not net.infer(table[0]).requires_grad
    net.infer(table[0])[:, 0].sum().backward()
    assert all(parameter.grad.any() for parameter in net.module_.parameters())


def test_gradient_clipping_callback(table):
    """skorch's clipping callback does what clip_norm does."""
    X, y = table
    ours = plain_regressor(**SMALL, optimizer="sgd", clip_norm=0.05)
    theirs = plain_regressor(
        **SMALL, optimizer="sgd", callbacks=[GradientNormClipping(0.05)]
    )
    free = plain_regressor(**SMALL, optimizer="sgd").fit(X, y).predict(X)
    np.testing.assert_allclose(
        ours.fit(X, y).predict(X), theirs.fit(X, y).predict(X), rtol=1e-9
    )
    assert not np.allclose(ours.predict(X), free)


def test_scoring_callback_enters_the_history(table):
    """What EpochScoring records is a column of history_, and is right."""
    X, y = table
    model = plain_classifier(
        **SMALL, callbacks=[EpochScoring("accuracy", lower_is_better=False)]
    ).fit(X, y, X_val=X[:20], y_val=y[:20])
    history = model.history_
    np.testing.assert_allclose(history.accuracy, history.valid_score)


def test_stopping_callback_stops(table):
    """skorch's EarlyStopping ends the fit, and the model is there."""
    X, y = table
    settings = {**SMALL, "max_epochs": 50, "learning_rate": 1e-12}
    model = plain_classifier(
        **settings,
        early_stopping=False,
        n_iter_no_change=None,
        callbacks=[EarlyStopping(patience=3, threshold=1e-3)],
    ).fit(X, y, X_val=X, y_val=y)
    assert model.n_iter_ == 4
    assert model.predict(X).shape == (60,)


def test_interrupt_outside_callbacks_is_an_interrupt(table):
    """Ctrl-C during the epoch is not taken for a callback's wish to stop."""

    class Interrupt(Callback):
        def on_grad_computed(self, net, named_parameters, **kwargs):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        plain_classifier(**SMALL, callbacks=[Interrupt()]).fit(*table)


def test_checkpoint_callback(table, tmp_path):
    """skorch's Checkpoint saves, and restores the best epoch at the end."""
    X, y = table
    saver = Checkpoint(
        monitor=lambda net: len(net.history) == 2, dirname=tmp_path, load_best=True
    )
    model = plain_classifier(**SMALL, callbacks=[saver]).fit(X, y)
    two = plain_classifier(**{**SMALL, "max_epochs": 2}).fit(X, y)
    np.testing.assert_allclose(model.predict_proba(X), two.predict_proba(X))


@pytest.mark.parametrize(
    ("callback", "word"),
    [
        (LRScheduler(), "'lr_schedule'"),
        (Freezer("weight_0"), "Freezer"),
        (("named", LRScheduler), "LRScheduler"),
        ("progress", "'progress'"),
        (None, "None"),
    ],
)
def test_callback_is_refused(table, callback, word):
    """What is no callback, or cannot work here, is refused by name."""
    model = plain_classifier(**SMALL, callbacks=[callback])
    with pytest.raises(ValueError, match=f"'callbacks' parameter.*{word}"):
        model.fit(*table)


def test_callbacks_that_read_batches(table):
    """skorch's callbacks that read the history's batches find what they need."""
    X, y = table
    model = plain_classifier(
        **SMALL,
        callbacks=[
            ProgressBar(),
            PassthroughScoring("train_loss", on_train=True),
            PassthroughScoring("valid_loss"),
            PrintLog(),
        ],
    ).fit(X, y, X_val=X[:20], y_val=y[:20])
    plain = plain_classifier(**SMALL).fit(X, y, X_val=X[:20], y_val=y[:20])
    for name in ("train_loss", "valid_loss"):
        np.testing.assert_allclose(model.history_[name], plain.history_[name])


def test_checkpoint_of_the_best_epoch(table, tmp_path):
    """Checkpoint finds the best validation loss, and loads that epoch at the end."""
    X, y = table
    settings = {**SMALL, "max_epochs": 30, "learning_rate": 0.05}
    model = plain_classifier(
        **settings,
        early_stopping=False,
        n_iter_no_change=None,
        callbacks=[Checkpoint(dirname=tmp_path, load_best=True)],
    ).fit(X[:40], y[:40], X_val=X[40:], y_val=y[40:])
    ours = plain_classifier(**settings, early_stopping=True, n_iter_no_change=None).fit(
        X[:40], y[:40], X_val=X[40:], y_val=y[40:]
    )
    np.testing.assert_array_equal(model.predict_proba(X), ours.predict_proba(X))
    assert ours.best_epoch_ < 30


def test_interrupt_in_the_bar_is_an_interrupt(table, monkeypatch):
    """Ctrl-C while the progress is drawn is not taken for a wish to stop."""
    from sknnopt import _progress

    def interrupt(row):
        raise KeyboardInterrupt

    monkeypatch.setattr(_progress, "_text", interrupt)
    with pytest.raises(KeyboardInterrupt):
        plain_classifier(**SMALL, verbose=True).fit(*table)


def test_multilabel_net(table):
    """net_ predicts the labels that the estimator predicts."""
    X, y = table
    labels = np.c_[y, 1 - y]
    model = plain_classifier(**SMALL).fit(X, labels)
    np.testing.assert_array_equal(model.net_.predict(X), model.predict(X))


def test_net_does_not_train(table):
    """net_ refuses to be trained, with the way to go on."""
    X, y = table
    net = plain_classifier(**SMALL).fit(X, y).net_
    for method in (net.fit, net.partial_fit):
        with pytest.raises(NotImplementedError, match="estimator's fit"):
            method(X, y)


class _KeepHistory(Callback):
    """Keep skorch's history of a run."""

    def on_train_end(self, net, X=None, y=None, **kwargs):
        self.history = net.history


def test_time_of_epochs(table):
    """The epochs took some time each, and together no more than the fit."""
    keep = _KeepHistory()
    began = time.perf_counter()
    plain_classifier(**SMALL, callbacks=[keep]).fit(*table)
    elapsed = time.perf_counter() - began
    seconds = keep.history[:, "dur"]
    assert len(seconds) == 4
    assert min(seconds) > 0
    assert sum(seconds) <= elapsed


def test_an_epoch_is_one_batch_of_weight_one(table):
    """Where nobody asks for steps, skorch's callbacks find one batch with the means."""
    keep = _KeepHistory()
    X, y = table
    model = plain_classifier(**SMALL, callbacks=[keep])
    model.fit(X[:40], y[:40], X_val=X[40:], y_val=y[40:])
    for row in keep.history:
        (batch,) = row["batches"]
        for part in ("train", "valid"):
            assert batch[f"{part}_batch_size"] == 1
            assert batch[f"{part}_loss"] == row[f"{part}_loss"]


@pytest.mark.parametrize("is_padded", [True, False])
def test_state_of_the_optimizer(is_padded):
    """What the optimizer is given to remember it remembers, in training and after."""
    job = make_job(make_kind(optimizer="adam"), (20, 17))
    record = start(job)
    optimizer = MemberOptimizer(
        record.padded(job.kind) if is_padded else record, job.kind
    )
    rng = np.random.default_rng(0)
    given = {
        name: torch.from_numpy(rng.uniform(size=slot.shape))
        for name, slot in optimizer.state_dict().items()
    }
    optimizer.load_state_dict(given)
    kept = optimizer.state_dict()
    assert kept.keys() == given.keys() == record.slots.keys()
    for name, slot in given.items():
        assert torch.equal(kept[name], slot), name


def test_epochs_go_on_in_partial_fits(table):
    """skorch's history counts epochs from the first call on, as ``history_`` does."""
    keep = _KeepHistory()
    model = plain_regressor(**SMALL, callbacks=[keep])
    for epoch in (1, 2, 3):
        model.partial_fit(*table)
        assert keep.history[:, "epoch"] == [epoch]
    assert model.history_.epoch.tolist() == [1, 2, 3]
