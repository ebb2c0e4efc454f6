"""When members stop, what they return to, and what they do on a plateau."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers import (
    PlainTrainer,
    assert_same_member,
    combined,
    duplicate,
    history_of,
    make_job,
    make_kind,
    on_table,
    start,
    take_member,
    train,
)

from sknnopt import _feed
from sknnopt._loop import Loop
from sknnopt._record import fresh_slots
from sknnopt._scores import Evaluation
from sknnopt._snapshot import Snapshot
from sknnopt.optimizers import OPTIMIZERS

DTYPES = [np.float32, np.float64]
NORMALIZATIONS = [None, "batch", "layer"]
CLOSE = {"rtol": 1e-9, "atol": 1e-12}


# ---------------------------------------------------------------- stopping


def test_stopped_member_keeps_its_weights():
    """A member that has stopped no longer changes while others go on."""
    job = make_job(make_kind(), (20, 20, 20), max_epochs=[2, 6, 4])
    loop = Loop(job, start(job))
    kept, alive = {}, []
    goes_on = True
    while goes_on:
        alive.append(loop.live.tolist())
        goes_on = loop.settle(loop.epoch())
        for member in set(alive[-1]) - set(loop.live.tolist()):
            one = np.array([member])
            kept[member] = duplicate(loop.result().take(one))
    result = loop.result()
    assert alive == [[0, 1, 2]] * 2 + [[1, 2]] * 2 + [[1]] * 2
    assert result.epochs.tolist() == [2, 6, 4]
    assert result.run_epochs.tolist() == [2, 6, 4]
    for member in (0, 2):
        assert_same_member(result, kept[member], member)


@pytest.mark.parametrize("restore_best", [False, True])
def test_nobody_is_left(restore_best):
    """A run whose members had all ended is gone on with as it is."""
    job = make_job(make_kind(restore_best=restore_best), (20, 13), valid=(8, 8))
    ended = Snapshot.start(job, start(job))
    ended.is_live[:] = False
    ended.record.best_weights.zero_()
    weights = ended.record.weights.clone()
    loop = Loop(job, start(job), guard=SimpleNamespace(resumed=lambda: ended))
    assert not len(loop.live)
    expected = ended.record.best_weights if restore_best else weights
    assert torch.equal(loop.result().weights, expected)


@pytest.mark.parametrize("monitor", ["light", "full"])
def test_time_is_up_after_the_first_step(monkeypatch, monitor):
    """A cut epoch is the last one, and tells of the steps that were taken alone."""
    monkeypatch.setattr(_feed, "_CHUNK", 1)
    kind = make_kind(monitor=monitor, lr_schedule="cosine")
    sizes = (20, 13, 7)
    job = make_job(kind, sizes, max_epochs=2, max_seconds=0.0, valid=(5, 5, 5))
    result, history = train(job)
    assert len(history) == 1
    line = history[0]
    assert result.epochs.tolist() == [1, 1, 1]
    assert line["learning_rate"] == pytest.approx(job.settings.learning_rate)
    assert np.isfinite(line["train_loss"]).all()
    assert np.isfinite(line["valid_loss"]).all()
    is_told = np.isfinite(line["gradient_norm"]).tolist()
    assert is_told == ([True] * 3 if monitor == "full" else [False, False, True])


@pytest.mark.parametrize("max_epochs", [[1, 2, 3], [3, 1, 2], [2, 3, 1], [2, 2, 2]])
def test_results_in_the_original_order(max_epochs):
    """Whoever leaves first, each result stands at its member's place."""
    job = make_job(make_kind(), (20, 20, 20), max_epochs=max_epochs)
    result, history = train(job)
    assert result.epochs.tolist() == max_epochs
    for member, n_epochs in enumerate(max_epochs):
        columns = history_of(history, member)
        assert columns["epoch"].tolist() == list(range(1, n_epochs + 1))
        alone = start(job.take(np.array([member])), first_seed=member)
        expected = PlainTrainer(job.take(np.array([member])), alone).train(n_epochs)
        torch.testing.assert_close(result.weights[member], expected.weights, **CLOSE)


def test_record_is_trained_in_place():
    """The record that went in comes back."""
    job = make_job(make_kind(), (20, 20), max_epochs=[1, 2])
    record = start(job)
    assert train(job, record)[0] is record


@pytest.mark.parametrize("stop_at", [1, 3])
def test_stop_all(stop_at):
    """A callback's wish ends the training of every member."""
    job = make_job(make_kind(), (20, 20), max_epochs=9)
    loop = Loop(job, start(job))
    for epoch in range(1, stop_at + 1):
        goes_on = loop.settle(loop.epoch(), stop_all=epoch == stop_at)
    assert not goes_on
    assert loop.result().epochs.tolist() == [stop_at] * 2


@pytest.mark.parametrize("restore_best", [False, True])
def test_leaving(restore_best):
    """Who is let go keeps its last weights, the others return to their best."""
    kind = make_kind(restore_best=restore_best)
    sizes, valid = (26, 11, 20, 15), (6, 6, 6, 6)
    settings = {"learning_rate": [0.1, 0.03, 0.3, 0.2], "max_epochs": [20, 20, 20, 3]}
    job = make_job(kind, sizes, valid=valid, **settings)
    record = start(job)
    expected, lines = train(job, duplicate(record))
    loop = Loop(job, record)
    for _ in range(4):
        loop.settle(loop.epoch())
    last = loop.record.compact(kind).weights.clone()
    # The last one has ended already, and is not let go.
    assert loop.leave(np.array([1, 2, 3]))
    assert loop.live.tolist() == [0]
    while loop.settle(loop.epoch()):
        pass
    result = loop.result()
    assert torch.equal(result.weights[1:3], last[1:3])
    assert result.best_epoch[1:3].tolist() == result.epochs[1:3].tolist() == [4, 4]
    for member in (0, 3):
        assert_same_member(result, expected.take(np.array([member])), member)
    for member, n_epochs in ((0, 20), (1, 4), (2, 4), (3, 3)):
        mine, whole = history_of(loop.history, member), history_of(lines, member)
        for name, values in whole.items():
            np.testing.assert_array_equal(mine[name], values[:n_epochs], name)


@pytest.mark.parametrize("restore_best", [False, True])
def test_leaving_at_best(restore_best):
    """Who is let go at its best ends as if it had had so many epochs."""
    kind = make_kind(restore_best=restore_best)
    sizes, valid = (26, 11, 20), (6, 6, 6)
    rates = [0.1, 0.03, 0.3]
    job = make_job(kind, sizes, valid=valid, learning_rate=rates, max_epochs=20)
    limits = [20, 4, 4]
    short = make_job(kind, sizes, valid=valid, learning_rate=rates, max_epochs=limits)
    record = start(job)
    expected, _ = train(short, duplicate(record))
    loop = Loop(job, record)
    for _ in range(4):
        loop.settle(loop.epoch())
    assert loop.leave(np.array([1, 2]), at_best=True)
    while loop.settle(loop.epoch()):
        pass
    result = loop.result()
    for member in range(3):
        assert_same_member(result, expected.take(np.array([member])), member)


def test_all_leave():
    """When all are let go the loop is over; who diverged before is told."""
    job = make_job(make_kind(optimizer="sgd"), (20, 20), learning_rate=[1e200, 1e-3])
    loop = Loop(job, start(job))
    loop.settle(loop.epoch())
    loop.settle(loop.epoch())
    assert not loop.leave(np.array([0, 1]))
    assert loop.diverged.tolist() == [True, False]
    assert loop.result().epochs[1] == 2


@pytest.mark.parametrize("sizes", [(26, 26, 26), (26, 11, 20)])
def test_best_weights(sizes):
    """The weights are those of the epoch with the lowest validation loss."""
    kind = make_kind(restore_best=True)
    job = make_job(
        kind, sizes, valid=(6, 6, 6), max_epochs=25, learning_rate=[0.1, 0.03, 0.3]
    )
    loop = Loop(job, start(job))
    after = []
    goes_on = True
    while goes_on:
        line = loop.epoch()
        after.append(loop.record.compact(kind).weights)
        goes_on = loop.settle(line)
    result = loop.result()
    for member in range(3):
        losses = history_of(loop.history, member)["valid_loss"]
        best = int(np.argmin(losses))
        assert result.best_epoch[member] == best + 1
        assert result.best_loss[member] == losses[best]
        assert torch.equal(result.weights[member], after[best][member])
        assert best < 24
    nothing = torch.zeros((3, 1, 1), dtype=torch.float64)
    again, _ = Evaluation(kind, job.held_out, nothing)(result.padded(kind).weights)
    np.testing.assert_allclose(again, result.best_loss, rtol=1e-12)


def test_last_weights_without_early_stopping():
    """Without early stopping the weights are the last, whatever was best."""
    job = make_job(make_kind(), valid=(6,), max_epochs=10, learning_rate=0.3)
    loop = Loop(job, start(job))
    for _ in range(10):
        line = loop.epoch()
        last = loop.record.compact(job.kind).weights
        loop.settle(line)
    assert torch.equal(loop.result().weights, last)


class Scripted:
    """A loop whose epochs are made up: losses are given, and weights count epochs."""

    def __init__(self, losses, *, restore_best=True, schedule="constant", **settings):
        self.name = "valid_loss" if restore_best else "train_loss"
        self.losses = np.array(losses, dtype=float)
        members, n_epochs = self.losses.shape
        kind = make_kind(restore_best=restore_best, lr_schedule=schedule)
        job = make_job(
            kind,
            (10,) * members,
            valid=(5,) * members if restore_best else None,
            **{"max_epochs": n_epochs, **settings},
        )
        self.loop = Loop(job, start(job))
        #: The factor of the schedule after each epoch, for each member.
        self.factors = []

    def run(self):
        """Settle the epochs, as many as the loop asks for."""
        loop = self.loop
        for epoch, losses in enumerate(self.losses.T, start=1):
            record = loop.record
            loop._before = record.weights.clone()
            record.weights.fill_(epoch)
            record.epochs += 1
            of_living = losses[loop.live]
            line = {"train_loss": np.zeros(len(of_living)), self.name: of_living}
            goes_on = loop.settle(line)
            self.factors.append(record.plateau_factor.copy())
            if not goes_on:
                break
        return loop.result()


# Losses, patience, tol; then the epochs trained and the best epoch, by hand.
SEQUENCES = [
    ([5, 4, 4, 4, 4, 4, 4], 3, 0.0, 5, 2),
    ([5, 4, 4, 4, 3, 3, 3, 3], 3, 0.0, 8, 5),
    ([5, 6, 7, 8], 1, 0.0, 2, 1),
    ([5, 4, 3, 2, 1], 1, 0.0, 5, 5),
    ([5, 6, 4, 6, 3, 6, 2], 2, 0.0, 7, 7),
    # Better by less than tol: not enough to go on, but the best all the same.
    ([1.0, 0.95, 0.91, 0.9], 2, 0.1, 3, 3),
    ([1.0, 0.75, 0.5, 0.25], 1, 0.125, 4, 4),
    # Better by tol exactly, which is not enough.
    ([1.0, 0.75, 0.5, 0.25], 1, 0.25, 2, 2),
    ([1.0, 0.75, 0.5, 0.25], 3, 0.25, 4, 4),
    # Small steps, one after the other, compared with the best so far.
    ([1.0, 0.95, 0.8, 0.75, 0.7, 0.65], 2, 0.1, 5, 5),
]


@pytest.mark.parametrize("restore_best", [True, False])
@pytest.mark.parametrize(("losses", "patience", "tol", "n_epochs", "best"), SEQUENCES)
def test_patience(losses, patience, tol, n_epochs, best, restore_best):
    """Training ends after so many epochs in a row without improvement by tol."""
    settings = {"patience": patience, "tol": tol, "restore_best": restore_best}
    result = Scripted([losses], **settings).run()
    assert result.epochs.tolist() == [n_epochs]
    assert result.best_epoch.tolist() == [best]
    assert result.best_loss.tolist() == [losses[best - 1]]
    assert (result.weights == (best if restore_best else n_epochs)).all()


def test_patience_of_each_member():
    """Side by side, every member stops and is restored by its own sequence."""
    length = max(len(losses) for losses, *_ in SEQUENCES)
    padded = [[*s[0], *[np.nan] * (length - len(s[0]))] for s in SEQUENCES]
    result = Scripted(
        padded,
        patience=[s[1] for s in SEQUENCES],
        tol=[s[2] for s in SEQUENCES],
        max_epochs=[len(s[0]) for s in SEQUENCES],
    ).run()
    assert result.epochs.tolist() == [s[3] for s in SEQUENCES]
    assert result.best_epoch.tolist() == [s[4] for s in SEQUENCES]
    assert not result.diverged.any()
    for member, (*_, best) in enumerate(SEQUENCES):
        assert (result.weights[member] == best).all()


def test_penalty_is_monitored():
    """Without early stopping the monitored loss is training loss and penalty."""
    job = make_job(make_kind(), l1=0.05, l2=0.1, max_epochs=5)
    result, history = train(job)
    columns = history_of(history, 0)
    monitored = columns["train_loss"] + columns["penalty"]
    assert result.best_loss[0] == monitored.min()
    assert result.best_epoch[0] == monitored.argmin() + 1


def test_continued_run():
    """A second call goes on counting epochs, updates and patience."""
    job = make_job(make_kind(), (20, 20), max_epochs=8)
    record = start(job)
    whole, history = train(job, duplicate(record))
    first, one = train(replace(job, n_epochs=3), record)
    second, two = train(replace(job, n_epochs=5), first)
    for member in range(2):
        assert_same_member(second, whole.take(np.array([member])), member)
        columns = history_of([*one, *two], member)
        for name, values in history_of(history, member).items():
            np.testing.assert_array_equal(columns[name], values)


# ---------------------------------------------------------------- plateau


def test_plateau():
    """The factor falls at half the patience without improvement, and again later."""
    losses = [[9, 8, 8, 8, 8, 8, 8, 8, 8], [9, 8, 7, 6, 5, 4, 3, 2, 1]]
    scripted = Scripted(
        losses, schedule="reduce_on_plateau", patience=4, lr_decay=[0.5, 0.1]
    )
    scripted.run()
    # Half of 4 is 2: it falls after epochs 4 and 6, and 6 is the end.
    factors = [row.tolist() for row in scripted.factors]
    assert factors == [[1, 1]] * 3 + [[0.5, 1]] * 2 + [[0.25, 1]] + [[1]] * 3


@pytest.mark.parametrize(
    ("patience", "waited"), [(2, 1), (3, 1), (8, 4), (20, 10), (100, 10), (10**18, 10)]
)
def test_patience_of_the_plateau(patience, waited):
    """The schedule acts every half patience, at most 10 epochs, before the end."""
    n_epochs = min(1 + patience, 32)
    scripted = Scripted(
        [[1.0] * n_epochs],
        schedule="reduce_on_plateau",
        patience=patience,
        lr_decay=0.5,
    )
    result = scripted.run()
    assert result.epochs.tolist() == [n_epochs]
    stale = np.arange(n_epochs)
    assert (
        np.concatenate(scripted.factors).tolist() == (0.5 ** (stale // waited)).tolist()
    )


def test_rates_on_a_plateau():
    """Steps are multiplied by the factor, from the next epoch on."""
    kind = make_kind(lr_schedule="reduce_on_plateau")
    job = make_job(
        kind, max_epochs=9, patience=4, tol=1e9, learning_rate=0.01, lr_decay=0.5
    )
    _, history = train(job)
    rates = [line["learning_rate"].item() for line in history]
    assert rates == [0.01, 0.01, 0.01, 0.005, 0.005]


def test_plateau_is_left_by_an_improvement():
    """An improvement by tol starts the count again, a smaller one does not."""
    losses = [[9, 8, 8, 7, 7, 6.5, 6.5, 4]]
    settings = {"schedule": "reduce_on_plateau", "patience": 4, "lr_decay": 0.5}
    scripted = Scripted(losses, tol=0.75, **settings)
    scripted.run()
    factors = np.concatenate(scripted.factors).tolist()
    assert factors == [1, 1, 1, 1, 1, 0.5, 0.5, 0.5]


def test_plateau_lowers_the_learning_rate():
    """The next epoch trains with the base rate times the factor."""
    kind = make_kind(lr_schedule="reduce_on_plateau")
    job = make_job(kind, (20, 20), max_epochs=60, learning_rate=[0.5, 0.01], patience=6)
    record = start(job)
    job.settings.lr_decay[:] = 0.5
    loop = Loop(job, record)
    factors = {0: [1.0], 1: [1.0]}
    goes_on = True
    while goes_on:
        live = loop.live
        line = loop.epoch()
        for place, member in enumerate(live):
            base = job.settings.learning_rate[member]
            assert line["learning_rate"][place] == base * factors[member][-1]
        before = loop.record
        goes_on = loop.settle(line)
        for place, member in enumerate(live):
            factors[member].append(before.plateau_factor[place])
    assert min(factors[0]) < 1


def test_other_schedules_have_no_plateau():
    """Without that schedule a stale loss leaves the factor alone."""
    scripted = Scripted([[1.0] * 9], schedule="cosine")
    assert scripted.run().plateau_factor.tolist() == [1.0]


# ---------------------------------------------------------------- divergence


@combined(dtype=DTYPES, normalization=NORMALIZATIONS, optimizer=OPTIMIZERS)
def test_divergence(optimizer, normalization, dtype):
    """A member that diverges keeps its last finite weights; others do not notice."""
    kind = make_kind(
        optimizer=optimizer, normalization=normalization, dtype=np.dtype(dtype)
    )
    rates = [0.01, 1e200, 0.02]
    job = make_job(kind, (20, 20, 20), learning_rate=rates, max_epochs=8)
    record = start(job)
    first = record.weights.clone()
    result, history = train(job, duplicate(record))
    assert result.weights.isfinite().all()
    assert all(slot.isfinite().all() for slot in result.slots.values())
    fresh = fresh_slots(kind, first)
    for name, slot in fresh.items():
        assert torch.equal(result.slots[name][1], slot[1])
    assert result.epochs[1] == len(history_of(history, 1)["epoch"]) < 8
    assert result.diverged.tolist() == [False, True, False]
    for member in (0, 2):
        own, _ = train(*take_member(job, record, member))
        assert_same_member(result, own, member)


@pytest.mark.parametrize("restore_best", [False, True])
def test_last_finite_weights(restore_best):
    """Weights are those after the last epoch that was finite from end to end."""
    kind = make_kind(
        optimizer="sgd", hidden=(), restore_best=restore_best, dtype=np.dtype("f4")
    )
    valid = (6,) if restore_best else None
    job = make_job(kind, valid=valid, learning_rate=30.0, max_epochs=200)
    loop = Loop(job, start(job))
    after = [loop.record.compact(kind).weights]
    goes_on = True
    while goes_on:
        line = loop.epoch()
        after.append(loop.record.compact(kind).weights)
        goes_on = loop.settle(line)
    result = loop.result()
    assert result.diverged.tolist() == [True]
    assert 2 < len(loop.history) < 200
    assert result.epochs.tolist() == [len(loop.history)]
    losses = [line["train_loss"][0] for line in loop.history]
    assert np.isfinite(losses[:-1]).all()
    if restore_best:
        valid_losses = [line["valid_loss"][0] for line in loop.history]
        best = int(np.nanargmin(valid_losses))
        assert result.best_epoch.tolist() == [best + 1]
        assert torch.equal(result.weights, after[best + 1])
    else:
        assert torch.equal(result.weights, after[-2])


@pytest.mark.parametrize("restore_best", [False, True])
def test_divergence_from_the_start(restore_best):
    """If already the first epoch fails, the initial weights are kept."""
    kind = make_kind(restore_best=restore_best)
    job = make_job(kind, valid=(6,))
    job = on_table(job, target=job.rows[0].table.target * 1e300)
    record = start(job)
    first = record.weights.clone()
    result, history = train(job, record)
    assert torch.equal(result.weights, first)
    assert result.diverged.tolist() == [True]
    assert result.best_epoch.tolist() == [0]
    assert result.best_loss.tolist() == [np.inf]
    assert len(history) == 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_huge_features(normalization, dtype):
    """Features near the largest number of the dtype never leave weights infinite."""
    kind = make_kind(
        hidden=(5,),
        activations="relu",
        normalization=normalization,
        dtype=np.dtype(dtype),
    )
    job = make_job(kind, (20, 20), learning_rate=0.1, max_epochs=5)
    huge = job.rows[0].table.X * (np.finfo(dtype).max / 1e2)
    result, _ = train(on_table(job, huge))
    assert result.weights.isfinite().all()
    assert all(slot.isfinite().all() for slot in result.slots.values())
    # Layer normalization makes moderate numbers of them.
    assert result.diverged.all() or normalization == "layer"


def test_divergence_on_held_out_rows():
    """A validation loss that is not finite is a divergence too."""
    job = make_job(make_kind(restore_best=True), valid=(6,))
    huge = job.rows[0].table.target * 1e300
    job = on_table(job, target=huge, parts=["held_out"])
    record = start(job)
    first = record.weights.clone()
    result, history = train(job, record)
    assert result.diverged.tolist() == [True]
    assert np.isfinite(history[0]["train_loss"]).all()
    assert torch.equal(result.weights, first)


def test_scripted_divergence():
    """A member without a finite loss leaves at once; the best epoch is restored."""
    losses = [[5, 4, np.nan, 1], [5, 4, 3, 2], [5, 6, 7, np.inf]]
    result = Scripted(losses).run()
    assert result.diverged.tolist() == [True, False, True]
    assert result.epochs.tolist() == [3, 4, 4]
    assert result.best_epoch.tolist() == [2, 4, 1]
    assert result.weights[:, 0].tolist() == [2, 4, 1]


def test_time_that_is_not_used_up():
    """Members whose time suffices train all their epochs."""
    job = make_job(
        make_kind(), (20, 17), max_epochs=3, max_seconds=np.array([1e4, np.inf])
    )
    record, history = train(job)
    assert record.epochs.tolist() == [3, 3]
    assert [line["member"].tolist() for line in history] == [[0, 1]] * 3
