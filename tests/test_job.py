"""Jobs, settings and records: what is sliced, written back, dumped and taken up."""

from __future__ import annotations

import io
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from helpers import (
    assert_same_member,
    duplicate,
    make_job,
    make_kind,
    make_settings,
    make_table,
    start,
    train,
)

from sknnopt._job import Job, Kind, Rows, Settings
from sknnopt._layout import Layout, initial_weights
from sknnopt._record import Record, fresh_slots
from sknnopt.optimizers import OPTIMIZERS, initial_slots

SLOT_NAMES = {name: set(option.slots) for name, option in OPTIMIZERS.items()}


def _trained(optimizer="adam", dtype=np.float64, **changes):
    """Return a job of three members that stopped at different epochs, and its record.

    The optimizer's memory, the counts and the generators are all in use.
    """
    kind = make_kind(
        optimizer=optimizer,
        dtype=np.dtype(dtype),
        restore_best=True,
        normalization="batch",
        **changes,
    )
    job = make_job(
        kind, (20, 20, 20), valid=(6, 6, 6), dropout=0.2, max_epochs=[2, 3, 4]
    )
    return job, train(job)[0]


def _values(record):
    """Return all arrays and tensors of a record by name."""
    values = {f.name: getattr(record, f.name) for f in fields(record)}
    generators = values.pop("generators")
    slots = values.pop("slots")
    values.update({f"slot {name}": slot for name, slot in slots.items()})
    values["draws"] = [duplicate(g).random() for g in generators]
    return {name: torch.as_tensor(value) for name, value in values.items()}


def _assert_equal(a, b, but=()):
    a, b = _values(a), _values(b)
    assert set(a) == set(b)
    for name, value in a.items():
        if name not in but:
            np.testing.assert_array_equal(value, b[name], name)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_torch_dtype(dtype):
    """The dtype has the same name in numpy and in torch."""
    kind = make_kind(dtype=np.dtype(dtype))
    assert torch.zeros(1, dtype=kind.torch_dtype).numpy().dtype == dtype


def test_start():
    """Each member's weights are drawn from its own seed, and its generator goes on."""
    kind = make_kind(normalization="batch")
    names = ("he_normal", "xavier_normal", "random_uniform")
    record = Record.start(kind, names, 0.3, [11, 5])
    assert record.weights.dtype == torch.float64
    for member, seed in enumerate([11, 5]):
        rng = np.random.Generator(np.random.PCG64(seed))
        expected = initial_weights(kind.architecture, names, 0.3, rng)
        assert np.array_equal(record.weights[member].numpy(), expected)
        assert record.generators[member].random() == rng.random()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_start_of_counts(optimizer):
    """A new record has counted nothing, and knows no best loss."""
    kind = make_kind(optimizer=optimizer)
    record = start(make_job(kind, (20, 20)))
    zeros = ("run_epochs", "epochs", "best_epoch", "stale", "plateau_stale", "diverged")
    for name in zeros:
        assert (getattr(record, name) == 0).all()
    assert (record.best_loss == np.inf).all()
    assert (record.plateau_best == np.inf).all()
    assert (record.plateau_factor == 1).all()
    assert torch.equal(record.best_weights, record.weights)
    expected = initial_slots(
        optimizer, record.weights[:, : Layout.of(kind.architecture).n_trained]
    )
    assert set(record.slots) == set(expected)
    for name, slot in expected.items():
        assert torch.equal(record.slots[name], slot)


def test_start_shares_nothing():
    """No two arrays of a new record share memory, so that each counts for itself."""
    record = start(make_job(make_kind(), (20, 20)))
    arrays = [getattr(record, f.name) for f in fields(record)]
    arrays = [np.asarray(a) for a in arrays if isinstance(a, np.ndarray | torch.Tensor)]
    assert len(arrays) == 12
    for i, a in enumerate(arrays):
        assert not any(np.shares_memory(a, b) for b in arrays[:i])


@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_fresh_slots(optimizer, normalization):
    """The optimizer remembers what is trained, and no running statistics."""
    kind = make_kind(optimizer=optimizer, normalization=normalization)
    layout = Layout.of(kind.architecture)
    slots = fresh_slots(kind, torch.ones(2, layout.n_columns, dtype=torch.float64))
    shapes = {
        name: (2, layout.n_trained if width is None else width)
        for name, width in OPTIMIZERS[optimizer].slots.items()
    }
    assert {name: tuple(slot.shape) for name, slot in slots.items()} == shapes


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_take(optimizer):
    """Members are taken in the order asked for, with all that belongs to them."""
    _, record = _trained(optimizer)
    taken = record.take(np.array([2, 0]))
    for i, member in enumerate([2, 0]):
        assert_same_member(taken, record.take(np.array([member])), i)
    before, after = _values(record), _values(taken)
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value[[2, 0]], name)


def test_take_is_a_copy():
    """What happens to the taken members does not happen to the whole."""
    _, record = _trained()
    before = duplicate(record)
    part = record.take(np.array([0, 1, 2]))
    for value in [part.weights, part.best_weights, *part.slots.values()]:
        value.fill_(7.0)
    for name, value in vars(part).items():
        if isinstance(value, np.ndarray):
            value[:] = 1 if name == "diverged" else 7
    _assert_equal(record, before)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_put(optimizer):
    """Members are written over, each at its place; the others stay as they are."""
    job, record = _trained(optimizer)
    other = start(job, first_seed=70)
    mixed = duplicate(record)
    mixed.put(np.array([2, 0]), other.take(np.array([0, 1])))
    for member, source, place in ((2, other, 0), (0, other, 1), (1, record, 1)):
        assert_same_member(mixed, source.take(np.array([place])), member)


def test_put_back_what_was_taken():
    """To take members and to put them back changes nothing."""
    _, record = _trained()
    before = duplicate(record)
    members = np.array([2, 1])
    record.put(members, record.take(members))
    _assert_equal(record, before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_dump_and_take_up(optimizer, dtype):
    """A dumped record is taken up as it was, but for the best weights."""
    job, record = _trained(optimizer, dtype)
    again = Record.from_arrays(record.to_arrays(), job.kind)
    _assert_equal(again, record, but=["best_weights"])
    assert torch.equal(again.best_weights, record.weights)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_go_on_from_a_dump(optimizer):
    """A run taken up from a dump goes on bit for bit as if never interrupted."""
    kind = make_kind(optimizer=optimizer, normalization="batch")
    whole = make_job(kind, (20, 20), dropout=0.3, max_epochs=6)
    record = start(whole)
    expected, _ = train(whole, duplicate(record))
    half = replace(whole, n_epochs=3)
    first, _ = train(half, record)
    second, _ = train(half, Record.from_arrays(first.to_arrays(), kind))
    _assert_equal(second, expected, but=["best_weights"])


def test_generators_continue():
    """Generators go on identically, whatever they have drawn before."""
    job, record = _trained()
    generators = record.generators
    # The second draws half of a 64-bit word, so that it keeps the other half.
    generators[0].random(13)
    generators[1].random(dtype=np.float32)
    generators[2].permutation(17)
    again = Record.from_arrays(record.to_arrays(), job.kind).generators
    for old, new in zip(generators, again, strict=True):
        assert old.bit_generator.state == new.bit_generator.state
        for dtype in (np.float32, np.float64):
            assert np.array_equal(
                old.random(5, dtype=dtype), new.random(5, dtype=dtype)
            )
        assert np.array_equal(old.permutation(9), new.permutation(9))


def test_dump_is_plain_and_a_copy():
    """A dump holds plain numeric arrays that training does not change."""
    job, record = _trained()
    arrays = record.to_arrays()
    kept = {name: array.copy() for name, array in arrays.items()}
    record.epochs[:] = 0
    train(job, record)
    for name, array in arrays.items():
        assert type(array) is np.ndarray
        assert array.dtype.kind in "biuf"
        np.testing.assert_array_equal(array, kept[name])


def test_dump_passes_through_a_file():
    """A dump survives numpy's file format without pickle."""
    job, record = _trained()
    file = io.BytesIO()
    np.savez(file, **record.to_arrays(), allow_pickle=False)
    file.seek(0)
    with np.load(file, allow_pickle=False) as loaded:
        again = Record.from_arrays(dict(loaded), job.kind)
    _assert_equal(again, record, but=["best_weights"])


def test_taken_up_record_is_a_copy():
    """To train what was taken up leaves the dump as it was."""
    job, record = _trained()
    arrays = record.to_arrays()
    kept = {name: array.copy() for name, array in arrays.items()}
    again = Record.from_arrays(arrays, job.kind)
    again.forget_best()
    train(replace(job, n_epochs=2), again)
    assert (again.epochs > kept["epochs"]).all()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, kept[name], name)


@pytest.mark.parametrize("new", OPTIMIZERS)
def test_change_of_optimizer(new):
    """Another optimizer starts with an empty memory, the same one keeps its own."""
    job, record = _trained("rmsprop")
    kind = replace(job.kind, optimizer=new)
    again = Record.from_arrays(record.to_arrays(), kind)
    expected = fresh_slots(kind, record.weights)
    if SLOT_NAMES[new] == SLOT_NAMES["rmsprop"]:
        expected = record.slots
    for name, slot in expected.items():
        assert torch.equal(again.slots[name], slot)


def test_forget_best():
    """Early stopping and plateau start anew; weights and counts stay."""
    _, record = _trained()
    record.best_loss[:] = record.plateau_best[:] = 0.5
    record.stale[:] = record.plateau_stale[:] = 3
    before = duplicate(record)
    record.forget_best()
    assert (record.best_loss == np.inf).all()
    assert (record.plateau_best == np.inf).all()
    assert (record.stale == 0).all()
    assert (record.plateau_stale == 0).all()
    anew = ["best_loss", "plateau_best", "stale", "plateau_stale"]
    _assert_equal(record, before, but=anew)


def test_settings_repeat():
    """Every member is given the same value, along a new first axis."""
    one = make_settings(make_kind(), l1=[0.1, 0.2, 0.3], learning_rate=0.5)
    values = {f.name: getattr(one, f.name)[0] for f in fields(one)}
    repeated = Settings.repeat(4, **values)
    for name, value in values.items():
        array = getattr(repeated, name)
        assert array.shape == (4, *np.shape(value))
        assert (array == value).all()


def test_settings_take():
    """Members are taken in the order asked for, from every array."""
    settings = make_settings(make_kind(), 3)
    rng = np.random.default_rng(0)
    drawn = Settings(
        **{
            f.name: rng.random(getattr(settings, f.name).shape)
            for f in fields(Settings)
        }
    )
    taken = drawn.take(np.array([2, 0]))
    for f in fields(Settings):
        whole = getattr(drawn, f.name)
        assert np.array_equal(getattr(taken, f.name), np.stack([whole[2], whole[0]]))


@pytest.mark.parametrize("valid", [None, (4, 5, 6)])
def test_job_take(valid):
    """A job of some members has their rows, their held-out rows and settings."""
    job = make_job(make_kind(), (10, 11, 12), valid=valid, learning_rate=[1, 2, 3])
    taken = job.take(np.array([2, 0]))
    assert len(job) == 3
    assert len(taken) == 2
    assert taken.settings.learning_rate.tolist() == [3, 1]
    assert taken.rows == [job.rows[2], job.rows[0]]
    assert list(taken.held_out) == (
        [] if valid is None else [job.held_out[2], job.held_out[0]]
    )
    assert taken.kind is job.kind
    assert {id(rows.table) for rows in taken.rows} == {id(job.rows[0].table)}


def test_rows():
    """The length of rows is how many there are."""
    table = make_table(make_kind())
    assert len(Rows(table, np.array([4, 4, 9]))) == 3


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_padded_and_compact(optimizer, dtype):
    """Padded, all stands at its place in training; made compact, it is as before."""
    job, record = _trained(optimizer, dtype)
    kind, before = job.kind, duplicate(record)
    plain, layout = Layout.of(kind.architecture), kind.layout
    padded = record.padded(kind)
    _assert_equal(record, before)
    tensors = [(padded.weights, record.weights)]
    tensors += [(padded.best_weights, record.best_weights)]
    for wide, flat in tensors:
        assert wide.shape[1] == layout.n_columns
        assert wide.dtype == flat.dtype
        for a, b in zip(layout.segments, plain.segments, strict=True):
            assert torch.equal(a.view(wide), b.view(flat))
        assert wide.count_nonzero() == flat.count_nonzero()
    for name, slot in padded.slots.items():
        is_whole = OPTIMIZERS[optimizer].slots[name] is None
        assert slot.shape[1] == (layout.n_trained if is_whole else 1)
        assert slot.count_nonzero() == record.slots[name].count_nonzero()
    _assert_equal(padded.compact(kind), record)


def test_padded_is_a_copy():
    """What happens to the padded record does not happen to the one it was made of."""
    job, record = _trained()
    before = duplicate(record)
    padded = record.padded(job.kind)
    for value in [padded.weights, padded.best_weights, *padded.slots.values()]:
        value.fill_(7.0)
    for name, value in vars(padded).items():
        if isinstance(value, np.ndarray):
            value[:] = 1 if name == "diverged" else 7
    _assert_equal(record, before)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_record_join(optimizer):
    """Records are joined to one of all members, in their order, and stay apart."""
    job, record = _trained(optimizer)
    other = start(job, first_seed=70)
    joined = Record.join([record, other])
    assert len(joined.generators) == 6
    for place, (source, member) in enumerate(
        [(record, 0), (record, 1), (record, 2), (other, 0), (other, 1), (other, 2)]
    ):
        assert_same_member(joined, source.take(np.array([member])), place)
    before = duplicate(record)
    joined.weights.fill_(7.0)
    joined.epochs[:] = 7
    _assert_equal(record, before)


def test_records_of_different_rules_join():
    """What a rule does not remember of its members is zero."""
    records = [_trained(optimizer)[1] for optimizer in ("adam", "sgd")]
    joined = Record.join(records)
    assert joined.slots.keys() == records[0].slots.keys() | records[1].slots.keys()
    for name, slot in joined.slots.items():
        for part, record in zip(slot.split(3), records, strict=True):
            expected = record.slots.get(name, torch.zeros_like(part))
            assert torch.equal(part, expected)


def test_settings_join():
    """Settings are joined member by member, in their order."""
    parts = [
        make_settings(make_kind(), 2, learning_rate=[1.0, 2.0], l1=[0.1, 0.2]),
        make_settings(make_kind(), 1, learning_rate=3.0),
    ]
    joined = Settings.join(parts)
    assert joined.learning_rate.tolist() == [1.0, 2.0, 3.0]
    for f in fields(Settings):
        array = getattr(joined, f.name)
        assert np.array_equal(array[:2], getattr(parts[0], f.name))
        assert np.array_equal(array[2:], getattr(parts[1], f.name))


@pytest.mark.parametrize("valid", [None, (4, 5)])
def test_job_join(valid):
    """Jobs on tables of their own are joined to one that trains all members as each."""
    kind = make_kind()
    first = make_job(kind, (10, 17), valid=valid, learning_rate=[0.01, 0.02])
    second = make_job(kind, (23, 9), valid=valid, learning_rate=[0.03, 0.04])
    joined = Job.join([first, second])
    assert len(joined) == 4
    assert joined.kind is kind
    assert joined.settings.learning_rate.tolist() == [0.01, 0.02, 0.03, 0.04]
    assert list(joined.rows) == [*first.rows, *second.rows]
    assert list(joined.held_out) == [*first.held_out, *second.held_out]
    records = [start(first), start(second, first_seed=5)]
    result, _ = train(joined, duplicate(Record.join(records)))
    expected = [
        train(job, record)[0]
        for job, record in zip((first, second), records, strict=True)
    ]
    for member in range(4):
        own = expected[member // 2].take(np.array([member % 2]))
        assert_same_member(result, own, member)


def test_a_kind_without_options_is_plain():
    """Momentum does not look ahead, rates stay, no member ends early."""
    architecture = make_kind().architecture
    assert Kind(architecture, "squared_error", "sgd") == Kind(
        architecture,
        loss="squared_error",
        optimizer="sgd",
        lr_schedule="constant",
        batch_size=32,
        nesterov=False,
        shuffle=True,
        clip_per_tensor=False,
        monitor="light",
        restore_best=False,
        dtype=np.dtype("f8"),
        device="cpu",
    )
