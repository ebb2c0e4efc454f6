"""Batches and dropout masks: every row once, in an order that is the member's own."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import make_job, make_kind, make_rows, make_table, on_table
from scipy import sparse, stats

from sknnopt import _feed
from sknnopt._blocks import place
from sknnopt._feed import (
    ROW_STEP,
    Batch,
    Epochs,
    gather,
    padded_rows,
    row_number_dtype,
    row_numbers,
)
from sknnopt._job import Table

_ALL = slice(None)


def _numbered(kind, n_rows):
    """Return a table whose rows say their own number, in features and target."""
    number = np.arange(n_rows, dtype=kind.dtype)
    return Table(
        np.repeat(number[:, None], kind.architecture.n_inputs, axis=1),
        np.repeat(number[:, None], kind.architecture.n_outputs, axis=1),
    )


def _job(sizes, *, weighted=False, dropout=0.0, **changes):
    kind = make_kind(**changes)
    job = make_job(kind, sizes, weighted=weighted, dropout=dropout)
    table = _numbered(kind, len(job.rows[0].table.target))
    return on_table(job, table.X, table.target)


def _generators(members, first_seed=0):
    seeds = range(first_seed, first_seed + members)
    return [np.random.Generator(np.random.PCG64(seed)) for seed in seeds]


def _walk(epochs, generators):
    """Return copies of one epoch's batches, checked to be counted from zero."""
    batches = []
    for chunk in epochs(generators):
        assert chunk.first == len(batches)
        batches += [_copied(batch) for batch in chunk.batches()]
    return batches


def _copied(batch):
    parts = batch._asdict()
    masks = tuple(None if m is None else m.clone() for m in parts.pop("masks"))
    copies = {name: None if t is None else t.clone() for name, t in parts.items()}
    return Batch(**copies, masks=masks)


def _joined(batches, size=8):
    """Return an epoch's tensors, the ``size`` rows of each batch side by side."""
    masks = zip(*(b.masks for b in batches), strict=True)
    return {
        "X": _cat([b.X for b in batches], size),
        "target": _cat([b.target for b in batches], size),
        "scale": _cat([b.scale for b in batches], size),
        "weight": _cat([b.weight for b in batches], size),
        "masks": [_cat(layer, size) for layer in masks],
    }


def _counted(batches):
    """Return the same with zeros at padding, where anything may stand."""
    joined = _joined(batches)
    counts = joined["scale"] > 0
    for name in ("X", "target"):
        joined[name] = joined[name] * counts
    masks = joined["masks"]
    joined["masks"] = [None if mask is None else mask * counts for mask in masks]
    return joined


def _cat(parts, size):
    if any(part is None for part in parts):
        return None
    return torch.cat([part[:, :size] for part in parts], 1)


def _sizes(batches, member):
    """Return how many rows of each batch count."""
    return [int((batch.scale[member] > 0).sum()) for batch in batches]


def _equal(a, b):
    if a is None or b is None:
        return a is b
    if isinstance(a, dict):
        return set(a) == set(b) and all(_equal(a[name], b[name]) for name in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(_equal, a, b))
    return torch.equal(a, b)


def _order(batches, member, n_rows):
    """Return which rows a member met in an epoch, in order, without padding."""
    return _joined(batches)["X"][member, :n_rows, 0].long().numpy()


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("sizes", [(23,), (23, 23), (23, 8, 9, 16)])
def test_every_row_once(sizes, shuffle):
    """In every epoch a member meets each of its rows exactly once."""
    job = _job(sizes, shuffle=shuffle)
    epochs, generators = Epochs(job), _generators(len(sizes))
    for _ in range(3):
        batches = _walk(epochs, generators)
        for member, rows in enumerate(job.rows):
            met = _order(batches, member, len(rows))
            assert sorted(met) == sorted(rows.index)


@pytest.mark.parametrize("batch_size", [1, 5, 8, 23, 40])
def test_batch_sizes(batch_size):
    """All batches are full but the last, which has what is left."""
    job = _job((23, 23), batch_size=batch_size)
    epochs = Epochs(job)
    batches = _walk(epochs, _generators(2))
    sizes = _sizes(batches, 0)
    assert _sizes(batches, 1) == sizes
    full, left = divmod(23, batch_size)
    assert sizes == [batch_size] * full + ([left] if left else [])
    assert {b.X.shape[1] for b in batches} == {padded_rows(min(23, batch_size))}
    assert epochs.n_steps.tolist() == [len(sizes)] * 2


def test_steps_of_each_member():
    """A member takes as many steps as its own rows fill."""
    epochs = Epochs(_job((23, 8, 9, 16, 1)))
    assert epochs.n_steps.tolist() == [3, 1, 2, 2, 1]
    assert epochs.n_common_steps == 1
    batches = _walk(epochs, _generators(5))
    rows = [[8, 8, 8, 8, 1], [8, 0, 1, 8, 0], [7, 0, 0, 0, 0]]
    assert epochs.rows_of_step.tolist() == rows
    assert [_sizes(batches, member) for member in range(5)] == np.transpose(
        rows
    ).tolist()


def test_target_belongs_to_its_row():
    """Features, target and weight of a row stay together."""
    job = _job((23, 17), weighted=True, normalization="batch")
    feed = _joined(_walk(Epochs(job), _generators(2)))
    assert torch.equal(feed["X"], feed["target"])
    for member, rows in enumerate(job.rows):
        of_row = dict(zip(rows.index, rows.weight, strict=True))
        n_rows = len(rows)
        met = feed["X"][member, :n_rows, 0].long().tolist()
        expected = torch.tensor([of_row[row] for row in met], dtype=torch.float64)
        assert torch.equal(feed["weight"][member, :n_rows, 0], expected)


def test_order_is_the_generators():
    """Rows come in the permutations that the member's generator draws next."""
    job = _job((23, 23))
    epochs, generators = Epochs(job), _generators(2)
    expected = _generators(2)
    for _ in range(3):
        batches = _walk(epochs, generators)
        for member, rows in enumerate(job.rows):
            permutation = expected[member].permutation(23)
            met = _order(batches, member, 23)
            assert np.array_equal(met, rows.index[permutation])


def test_order_differs():
    """The order differs between epochs, and between members with the same rows."""
    job = _job((23, 23))
    job = replace(job, rows=[job.rows[0]] * 2)
    epochs, generators = Epochs(job), _generators(2)
    first, second = (_walk(epochs, generators) for _ in range(2))
    assert not np.array_equal(_order(first, 0, 23), _order(second, 0, 23))
    assert not np.array_equal(_order(first, 0, 23), _order(first, 1, 23))


def test_without_shuffle():
    """Rows come as they are listed, and nothing is drawn."""
    job = _job((23,), shuffle=False)
    (generator,) = generators = _generators(1)
    before = generator.bit_generator.state
    for _ in range(2):
        batches = _walk(Epochs(job), generators)
        assert np.array_equal(_order(batches, 0, 23), job.rows[0].index)
    assert generator.bit_generator.state == before


@pytest.mark.parametrize("batch_size", [23, 24, 1000])
def test_full_batch_draws_nothing(batch_size):
    """Where all rows are one batch, order is of no consequence and costs no draw."""
    job = _job((23, 23), batch_size=batch_size)
    epochs, generators = Epochs(job), _generators(2)
    states = [copy.deepcopy(g.bit_generator.state) for g in generators]
    first, second = (_joined(_walk(epochs, generators), 23) for _ in range(2))
    assert [g.bit_generator.state for g in generators] == states
    assert torch.equal(first["X"], second["X"])
    for member, rows in enumerate(job.rows):
        assert first["X"][member, :, 0].long().tolist() == rows.index.tolist()


def test_small_member_draws_nothing():
    """A member whose rows fit into one batch draws no order, as it does alone."""
    generators = _generators(2)
    _walk(Epochs(_job((23, 8))), generators)
    untouched = _generators(2)
    assert generators[1].bit_generator.state == untouched[1].bit_generator.state
    assert generators[0].bit_generator.state != untouched[0].bit_generator.state


@pytest.mark.parametrize("batch_size", [5, 8, 100])
@pytest.mark.parametrize("weighted", [False, True])
def test_padding_has_no_weight(weighted, batch_size):
    """Weights are the members' own at real rows and zero at padding."""
    job = _job(
        (23, 9, 16), weighted=weighted, normalization="batch", batch_size=batch_size
    )
    epochs = Epochs(job)
    for batch, n_rows in zip(
        _walk(epochs, _generators(3)), epochs.rows_of_step, strict=True
    ):
        assert batch.weight.shape == batch.scale.shape
        assert batch.X.shape[1] % ROW_STEP == 0
        assert batch.X.isfinite().all()
        for member, rows in enumerate(job.rows):
            met = batch.X[member, : n_rows[member], 0].long().numpy()
            weight = batch.weight[member, :, 0].numpy()
            of_row = dict(zip(rows.index, rows.weight, strict=True)) if weighted else {}
            expected = [of_row.get(row, 1.0) for row in met]
            assert weight[: n_rows[member]].tolist() == expected
            assert (weight[n_rows[member] :] == 0).all()


@pytest.mark.parametrize("batch_size", [5, 8, 16, 100])
def test_padding(batch_size):
    """Padding is known step by step, and None where all rows count."""
    epochs = Epochs(_job((24, 9, 16), batch_size=batch_size))
    for step, counts in enumerate(epochs.rows_of_step):
        padding = epochs.padding(step)
        if (counts == epochs.padded_size).all():
            assert padding is None
            continue
        assert padding.shape == (3, epochs.padded_size, 1)
        for member, n_rows in enumerate(counts):
            assert not padding[member, :n_rows].any()
            assert padding[member, n_rows:].all()


@pytest.mark.parametrize("weighted", [False, True])
def test_scale(weighted):
    """A row's loss is scaled by its weight over rows of the batch times mean weight."""
    job = _job((23, 9, 16), weighted=weighted, normalization="batch")
    epochs = Epochs(job)
    for batch, n_rows in zip(
        _walk(epochs, _generators(3)), epochs.rows_of_step, strict=True
    ):
        for member, rows in enumerate(job.rows):
            mean = rows.weight.mean() if weighted else 1.0
            expected = batch.weight[member] / (max(1, n_rows[member]) * mean)
            torch.testing.assert_close(
                batch.scale[member], expected, rtol=1e-14, atol=0
            )


def test_no_weight_where_none_is_needed():
    """Without batch normalization there is no weight beside the scale."""
    epochs = Epochs(_job((9, 9)))
    assert all(batch.weight is None for batch in _walk(epochs, _generators(2)))
    assert epochs.mean_weight.tolist() == [1.0, 1.0]


def test_one_weighted_member():
    """Where one member has weights, the rows of the others count one each."""
    kind = make_kind()
    table = _numbered(kind, 20)
    (plain,) = make_rows(table, (9,))
    (weighted,) = make_rows(table, (9,), weighted=True)
    batch = gather(kind, [plain, weighted], slice(0, 9))
    assert batch.scale[0, :9, 0].tolist() == [1.0] * 9
    assert batch.scale[1, :9, 0].tolist() == weighted.weight.tolist()
    assert (batch.scale[:, 9:] == 0).all()


def test_mean_weight():
    """The mean weight is that over the member's own rows, padding apart."""
    job = _job((23, 9), weighted=True)
    expected = [r.weight.mean() for r in job.rows]
    np.testing.assert_allclose(Epochs(job).mean_weight, expected, rtol=1e-14)
    assert Epochs(_job((23, 9))).mean_weight.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("hidden", [(5,), (5, 4)])
@pytest.mark.parametrize("chunk", [1, 60, 200, 700])
def test_chunks_do_not_change_batches(monkeypatch, chunk, hidden):
    """Batches hold the same rows and weights, however few are gathered at once."""
    job = _job((50, 41), weighted=True, hidden=hidden, normalization="batch")
    whole = _walk(Epochs(job), _generators(2))
    monkeypatch.setattr(_feed, "_CHUNK", chunk)
    parts = _walk(Epochs(job), _generators(2))
    assert len(whole) == len(parts) == 7
    for a, b in zip(whole, parts, strict=True):
        assert _equal(_counted([a]), _counted([b]))


@pytest.mark.parametrize("dropout", [(0.5, 0.0), (0.0, 0.3)])
@pytest.mark.parametrize("chunk", [1, 60, 200, 700])
def test_chunks_do_not_change_masks(monkeypatch, chunk, dropout):
    """Where one layer drops units, the masks are the same in smaller chunks too."""
    job = _job((50, 41), dropout=[dropout] * 2)
    whole = _counted(_walk(Epochs(job), _generators(2)))
    monkeypatch.setattr(_feed, "_CHUNK", chunk)
    chunks = list(Epochs(job, reuses=False)(_generators(2)))
    parts = _counted(_walk(Epochs(job), _generators(2)))
    assert _equal(whole, parts)
    steps = max(1, chunk // (8 * (3 + 5 + 4)))
    assert [len(c.target) for c in chunks] == [
        min(steps, 7 - first) for first in range(0, 7, steps)
    ]


@pytest.mark.parametrize("size", [1, 10, 33, 100])
@pytest.mark.parametrize("members", [1, 3])
def test_gather(members, size):
    """Stretches of the rows come as they are listed, once each, and padded."""
    kind = make_kind()
    rows = make_rows(_numbered(kind, 40), (33,) * members, weighted=True)
    batches = [
        gather(kind, rows, slice(begin, begin + size)) for begin in range(0, 33, size)
    ]
    assert {batch.X.shape[1] % ROW_STEP for batch in batches} == {0}
    joined = _joined(batches, size)
    assert torch.equal(joined["X"], joined["target"])
    for member, r in enumerate(rows):
        assert joined["X"][member, :33, 0].long().tolist() == r.index.tolist()
        assert joined["scale"][member, :33, 0].tolist() == r.weight.tolist()
        assert (joined["scale"][member, 33:] == 0).all()


@pytest.mark.parametrize("n_rows", range(1, 26))
def test_padded_rows(n_rows):
    """The number of rows is the next multiple of eight."""
    padded = padded_rows(n_rows)
    assert padded % 8 == 0
    assert n_rows <= padded < n_rows + 8


@pytest.mark.parametrize("n_rows", [0, 1, 4, 5, 9, 10, 15])
def test_place(n_rows):
    """Rows fill the batches one after another; what is beyond stays as it is."""
    values = np.arange(1.0, n_rows + 1)[:, None] * [1.0, 10.0]
    steps = np.full((3, 8, 2), -1.0)
    place(steps, values, 5)
    assert np.array_equal(steps[:, :5].reshape(15, 2)[:n_rows], values)
    assert (steps[:, :5].reshape(15, 2)[n_rows:] == -1).all()
    assert (steps[:, 5:] == -1).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout", [sparse.csr_matrix, sparse.csr_array])
def test_sparse_equals_dense(rng, layout, dtype):
    """Sparse features give the batches that their dense copy gives."""
    kind = make_kind(dtype=np.dtype(dtype), n_inputs=6)
    table = make_table(kind, 40)
    X = np.where(rng.random(table.X.shape) < 0.7, 0, table.X).astype(dtype)
    job = make_job(kind, (30, 21), dropout=0.3)
    jobs = [on_table(job, x, table.target) for x in (X, layout(X))]
    joined = [_joined(_walk(Epochs(job), _generators(2))) for job in jobs]
    assert joined[0]["X"].count_nonzero() > 0
    assert _equal(*joined)
    gathered = [gather(kind, job.rows[:1], slice(4, 20)) for job in jobs]
    assert torch.equal(gathered[0].X, gathered[1].X)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtypes(untouched_globals, dtype):
    """Features, weights and masks have the kind's dtype; class indices stay int64."""
    kind = make_kind(
        dtype=np.dtype(dtype), loss="categorical_cross_entropy", normalization="batch"
    )
    job = make_job(kind, (20, 12), weighted=True, dropout=0.5)
    job = on_table(job, job.rows[0].table.X.astype(np.float64))
    batches = [*_walk(Epochs(job), _generators(2)), gather(kind, job.rows[:1], _ALL)]
    for batch in batches:
        weights = [] if batch.weight is None else [batch.weight]
        of_kind = [batch.X, batch.scale, *weights, *batch.masks]
        assert {tensor.dtype for tensor in of_kind} == {kind.torch_dtype}
        assert batch.target.dtype == torch.int64


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_mask_values(dtype):
    """A mask is zero or the reciprocal of the share that is kept."""
    rates = [[0.5, 0.2], [0.9, 0.75]]
    job = _job((40, 40), dropout=rates, dtype=np.dtype(dtype))
    masks = _joined(_walk(Epochs(job), _generators(2)))["masks"]
    for member in range(2):
        for layer in range(2):
            # The rate is drawn in steps of 2**-16.
            drawn = round(rates[member][layer] * 2**16) / 2**16
            kept = np.asarray(1 / (1 - drawn), dtype=dtype)
            values = masks[layer][member].unique().tolist()
            assert values == [0.0, float(kept)]


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.5, 0.95])
def test_mask_rate(rate):
    """The share of dropped units is binomial, and the mean of a mask one."""
    job = _job((200, 200), dropout=rate, hidden=(50, 20))
    epochs, generators = Epochs(job), _generators(2)
    masks = [_joined(_walk(epochs, generators))["masks"] for _ in range(5)]
    for layer in range(2):
        for member in range(2):
            values = torch.cat([epoch[layer][member] for epoch in masks])
            n_dropped = int((values == 0).sum())
            n_values = values.numel()
            low, high = stats.binom.interval(1 - 1e-6, n_values, rate)
            assert low <= n_dropped <= high
            error = abs(values.mean().item() - 1)
            assert error < 6 * np.sqrt(rate / (1 - rate) / n_values)


def test_masks_are_independent():
    """Masks differ between rows, units, layers, members and epochs."""
    job = _job((40, 40), dropout=0.5, hidden=(6, 6))
    job = replace(job, rows=[job.rows[0]] * 2)
    epochs, generators = Epochs(job), _generators(2)
    first, second = (_joined(_walk(epochs, generators))["masks"] for _ in range(2))
    parts = [*first, *second]
    flat = torch.stack([m[i] > 0 for m in parts for i in range(2)]).flatten(1).double()
    correlation = torch.corrcoef(flat) - torch.eye(8, dtype=flat.dtype)
    assert correlation.abs().max() < 5 / np.sqrt(flat.shape[1])
    units = torch.corrcoef((first[0][0] > 0).double().T)
    assert (units - torch.eye(6, dtype=units.dtype)).abs().max() < 5 / np.sqrt(40)


def test_no_mask_without_dropout():
    """A layer that drops nothing for anybody has no mask, and nothing is drawn."""
    batches = _walk(Epochs(_job((20, 20))), _generators(2))
    assert all(batch.masks == () for batch in batches)
    job = _job((20, 20), dropout=[[0.0, 0.5], [0.0, 0.0]])
    for batch in _walk(Epochs(job), _generators(2)):
        assert batch.masks[0] is None
        assert (batch.masks[1][1] == 1).all()


@pytest.mark.parametrize("batch_size", [8, 100])
@pytest.mark.parametrize("chunk", [1, 300, 1 << 21])
@pytest.mark.parametrize("normalization", [None, "batch"])
def test_company_changes_nothing(monkeypatch, chunk, batch_size, normalization):
    """Rows and masks of a member are those it meets alone, in every epoch."""
    monkeypatch.setattr(_feed, "_CHUNK", chunk)
    rates = [[0.5, 0.2], [0.0, 0.0], [0.0, 0.4], [0.3, 0.0]]
    job = _job(
        (23, 23, 40, 7),
        dropout=rates,
        batch_size=batch_size,
        normalization=normalization,
    )
    together, generators = Epochs(job), _generators(4)
    alone = [Epochs(job.take(np.array([member]))) for member in range(4)]
    own = [_generators(1, member) for member in range(4)]
    for _ in range(3):
        joined = _joined(_walk(together, generators), together.batch_size)
        for member, rows in enumerate(job.rows):
            batches = _walk(alone[member], own[member])
            expected = _joined(batches, alone[member].batch_size)
            n_rows = len(rows)
            mine = joined["X"][member, :n_rows]
            assert torch.equal(mine, expected["X"][0, :n_rows])
            _assert_same_masks(joined, expected, member, n_rows)
    for generator, (other,) in zip(generators, own, strict=True):
        assert generator.bit_generator.state == other.bit_generator.state


def _assert_same_masks(joined, expected, member, n_rows):
    for layer, mask in enumerate(joined["masks"]):
        alone = expected["masks"][layer] if expected["masks"] else None
        mine = mask[member, :n_rows]
        expected_mask = torch.ones_like(mine) if alone is None else alone[0, :n_rows]
        assert torch.equal(mine, expected_mask)


def test_batch_is_a_view():
    """A batch of a chunk shares its memory with the chunk."""
    job = _job((23, 23), weighted=True, normalization="batch", dropout=0.5)
    (chunk,) = Epochs(job)(_generators(2))
    batches = chunk.batches()
    assert len(batches) == 3
    for step, batch in enumerate(batches):
        for part, whole in (
            (batch.X, chunk.X[:, step]),
            (batch.target, chunk.target[step]),
            (batch.scale, chunk.scale[step]),
            (batch.weight, chunk.weight[step]),
            (batch.masks[1], chunk.masks[1][:, step]),
        ):
            part.fill_(-1.0)
            assert (whole == -1).all()


def test_table_stays_as_it_is():
    """Batches are copies: to write into one does not reach the user's table."""
    job = _job((23, 23))
    table = job.rows[0].table
    before = table.X.copy()
    for chunk in Epochs(job)(_generators(2)):
        for batch in chunk.batches():
            batch.X.fill_(-1.0)
            batch.target.fill_(-1.0)
    assert np.array_equal(table.X, before)
    assert np.array_equal(table.target, before)


@pytest.mark.parametrize("reuses", [False, True])
def test_reuse_of_memory(monkeypatch, reuses):
    """Unless it is reused, what a chunk holds outlives the next one."""
    monkeypatch.setattr(_feed, "_CHUNK", 1)
    epochs = Epochs(_job((24, 24), dropout=0.5), reuses=reuses)
    chunks, values = [], []
    for chunk in epochs(_generators(2)):
        chunks.append(chunk)
        values.append([tensor.clone() for tensor in (chunk.X, *chunk.masks)])
    assert len(chunks) == 3
    for chunk, tensors in zip(chunks, values, strict=True):
        is_last = chunk is chunks[-1]
        for tensor, value in zip((chunk.X, *chunk.masks), tensors, strict=True):
            assert torch.equal(tensor, value) == (is_last or not reuses)


def test_global_generators_stay(untouched_globals):
    """Nothing is drawn from numpy's or torch's global generator."""
    _walk(Epochs(_job((23, 9), dropout=0.5)), _generators(2))


@pytest.mark.parametrize(
    ("n_rows", "expected"),
    [
        (1, np.intp),
        (1 << 16, np.intp),
        ((1 << 16) + 1, np.int32),
        ((1 << 31) - 1, np.int32),
        (1 << 31, np.intp),
    ],
)
def test_type_of_row_numbers(n_rows, expected):
    """Rows of long tables are numbered in 32 bits, as far as these reach."""
    assert row_number_dtype(n_rows) == np.dtype(expected)


def test_row_numbers():
    """Rows are numbered from 0, in the type that their number asks for."""
    for n_rows in (3, (1 << 16) + 3):
        numbers = row_numbers(n_rows)
        assert numbers.dtype == row_number_dtype(n_rows)
        assert np.array_equal(numbers, range(n_rows))


def test_chunks_hold_a_bounded_number_of_numbers(monkeypatch):
    """Steps of a chunk have that many inputs and hidden units, in all rows together."""
    # Eight rows of 3 inputs, 5 and 4 units, three steps of them.
    monkeypatch.setattr(_feed, "_CHUNK", 3 * 8 * (3 + 5 + 4))
    chunks = list(Epochs(_job((80, 75)))(_generators(2)))
    assert [chunk.first for chunk in chunks] == [0, 3, 6, 9]
    assert [len(chunk.target) for chunk in chunks] == [3, 3, 3, 1]
