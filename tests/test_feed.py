"""Batches and dropout masks: every row once, in an order that is the member's own."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import make_job, make_kind, make_rows, make_table
from scipy import sparse, stats

from sknnopt import _feed
from sknnopt._feed import Epochs, Feed
from sknnopt._job import Table


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
    return replace(job, train=_numbered(kind, len(job.train.target)))


def _generators(members, first_seed=0):
    seeds = range(first_seed, first_seed + members)
    return [np.random.Generator(np.random.PCG64(seed)) for seed in seeds]


def _walk(epochs, generators):
    """Return copies of one epoch's batches, checked to be counted from zero."""
    batches = []
    for expected, (step, batch) in enumerate(epochs(generators)):
        assert step == expected
        batches.append(copy.deepcopy(batch))
    return batches


def _joined(batches):
    """Return X, target, weight and masks of an epoch, batches side by side."""
    masks = zip(*(b.masks for b in batches), strict=True)
    return {
        "X": torch.cat([b.X for b in batches], 1),
        "target": torch.cat([b.target for b in batches], 1),
        "weight": _cat([b.weight for b in batches]),
        "masks": [_cat(layer) for layer in masks],
    }


def _cat(parts):
    return None if any(part is None for part in parts) else torch.cat(list(parts), 1)


def _equal(a, b):
    if a is None or b is None:
        return a is b
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
    sizes = [batch.X.shape[1] for batch in _walk(epochs, _generators(2))]
    full, left = divmod(23, batch_size)
    assert sizes == [batch_size] * full + ([left] if left else [])
    assert epochs.n_steps.tolist() == [len(sizes)] * 2


def test_steps_of_each_member():
    """A member takes as many steps as its own rows fill."""
    epochs = Epochs(_job((23, 8, 9, 16, 1)))
    assert epochs.n_steps.tolist() == [3, 1, 2, 2, 1]
    assert len(_walk(epochs, _generators(5))) == 3


def test_target_belongs_to_its_row():
    """Features, target and weight of a row stay together."""
    job = _job((23, 17), weighted=True)
    feed = _joined(_walk(Epochs(job), _generators(2)))
    assert torch.equal(feed["X"], feed["target"])
    for member, rows in enumerate(job.rows):
        of_row = dict(zip(rows.index, rows.weight, strict=True))
        n_rows = len(rows)
        met = feed["X"][member, :n_rows, 0].long().tolist()
        expected = torch.tensor([of_row[row] for row in met], dtype=torch.float64)
        assert torch.equal(feed["weight"][member, :n_rows], expected)


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
    first, second = (_joined(_walk(epochs, generators)) for _ in range(2))
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


@pytest.mark.parametrize("weighted", [False, True])
def test_padding_has_no_weight(weighted):
    """Weights are the members' own at real rows and zero at padding."""
    job = _job((23, 9, 16), weighted=weighted)
    feed = _joined(_walk(Epochs(job), _generators(3)))
    assert feed["weight"].shape == (3, 23)
    for member, rows in enumerate(job.rows):
        n_rows, weight = len(rows), feed["weight"][member]
        assert (weight[n_rows:] == 0).all()
        expected = np.ones(n_rows) if rows.weight is None else np.sort(rows.weight)
        assert np.array_equal(np.sort(weight[:n_rows]), expected)
        assert feed["X"].isfinite().all()


def test_no_weight_where_none_is_needed():
    """Without sample weights and padding there is no weight to multiply by."""
    feed = Feed(make_kind(), _numbered(make_kind(), 20), make_rows(20, (9, 9)))
    assert feed.weight is None
    assert feed.mean_weight.tolist() == [1.0, 1.0]


def test_one_weighted_member():
    """Where one member has weights, the rows of the others count one each."""
    kind = make_kind()
    (plain,), (weighted,) = make_rows(20, (9,)), make_rows(20, (9,), weighted=True)
    feed = Feed(kind, _numbered(kind, 20), [plain, weighted])
    assert feed.weight[0].tolist() == [1.0] * 9
    assert feed.weight[1].tolist() == weighted.weight.tolist()


def test_mean_weight():
    """The mean weight is that over the member's own rows, padding apart."""
    kind = make_kind()
    rows = make_rows(30, (23, 9), weighted=True)
    feed = Feed(kind, _numbered(kind, 30), rows)
    expected = [r.weight.mean() for r in rows]
    np.testing.assert_allclose(feed.mean_weight, expected, rtol=1e-14)
    plain = Feed(kind, _numbered(kind, 30), make_rows(30, (23, 9)))
    assert plain.mean_weight.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("hidden", [(5,), (5, 4)])
@pytest.mark.parametrize("chunk", [1, 60, 200, 700])
def test_chunks_do_not_change_batches(monkeypatch, chunk, hidden):
    """Batches hold the same rows and weights, however few are gathered at once."""
    job = _job((50, 41), weighted=True, hidden=hidden)
    whole = _walk(Epochs(job), _generators(2))
    monkeypatch.setattr(_feed, "_CHUNK", chunk)
    parts = _walk(Epochs(job), _generators(2))
    assert len(whole) == len(parts) == 7
    for a, b in zip(whole, parts, strict=True):
        assert _equal(_joined([a])["X"], b.X)
        assert _equal(a.target, b.target)
        assert _equal(a.weight, b.weight)


@pytest.mark.parametrize("dropout", [(0.5, 0.0), (0.0, 0.3)])
@pytest.mark.parametrize("chunk", [1, 60, 200, 700])
def test_chunks_do_not_change_masks(monkeypatch, chunk, dropout):
    """Where one layer drops units, the masks are the same in smaller chunks too."""
    job = _job((50, 41), dropout=[dropout] * 2)
    whole = _joined(_walk(Epochs(job), _generators(2)))
    monkeypatch.setattr(_feed, "_CHUNK", chunk)
    epochs = Epochs(job)
    n_gathered = []
    gather = epochs.feed.chunk

    def counted(order):
        n_gathered.append(order.shape[1])
        return gather(order)

    epochs.feed.chunk = counted
    parts = _joined(_walk(epochs, _generators(2)))
    assert all(_equal(whole[name], parts[name]) for name in whole)
    steps = max(1, chunk // (8 * (3 + 5 + 4)))
    assert max(n_gathered) == min(50, 8 * steps)
    assert sum(n_gathered) == 50


@pytest.mark.parametrize(("chunk", "is_whole"), [(1, 0), (50, 0), (1 << 21, 1)])
@pytest.mark.parametrize("members", [1, 3])
def test_in_order(monkeypatch, chunk, is_whole, members):
    """All rows come as they are listed, once each, whatever the chunks."""
    monkeypatch.setattr(_feed, "_MEASURED_CHUNK", chunk)
    kind = make_kind()
    rows = make_rows(40, (33, 20, 33)[:members])
    feed = Feed(kind, _numbered(kind, 40), rows)
    chunks = list(feed.in_order())
    joined = _joined(chunks)
    assert (len(chunks) == 1) == is_whole
    for member, r in enumerate(rows):
        met = joined["X"][member, : len(r), 0].long().tolist()
        assert met == r.index.tolist()
        if joined["weight"] is not None:
            assert joined["weight"][member].sum() == len(r)


@pytest.mark.parametrize("chunk", [1000, 5000])
def test_in_order_does_not_depend_on_company(monkeypatch, chunk):
    """A member's rows are cut into the same chunks alone and beside others."""
    monkeypatch.setattr(_feed, "_MEASURED_CHUNK", chunk)
    kind = make_kind()
    table, rows = _numbered(kind, 400), make_rows(400, (350,))
    widths = [
        [chunk.X.shape[1] for chunk in Feed(kind, table, rows * members).in_order()]
        for members in (1, 7)
    ]
    assert widths[0] == widths[1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout", [sparse.csr_matrix, sparse.csr_array])
def test_sparse_equals_dense(rng, layout, dtype):
    """Sparse features give the batches that their dense copy gives."""
    kind = make_kind(dtype=np.dtype(dtype), n_inputs=6)
    table = make_table(kind, 40)
    X = np.where(rng.random(table.X.shape) < 0.7, 0, table.X).astype(dtype)
    job = make_job(kind, (30, 21), dropout=0.3)
    joined = [
        _joined(
            _walk(Epochs(replace(job, train=Table(x, table.target))), _generators(2))
        )
        for x in (X, layout(X))
    ]
    assert joined[0]["X"].count_nonzero() > 0
    assert all(_equal(joined[0][name], joined[1][name]) for name in joined[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtypes(untouched_globals, dtype):
    """Features, weights and masks have the kind's dtype; class indices stay int64."""
    kind = make_kind(dtype=np.dtype(dtype), loss="categorical_cross_entropy")
    job = make_job(kind, (20, 12), weighted=True, dropout=0.5)
    job = replace(job, train=Table(job.train.X.astype(np.float64), job.train.target))
    for batch in _walk(Epochs(job), _generators(2)):
        of_kind = [batch.X, batch.weight, *batch.masks]
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
            kept = np.asarray(1 / (1 - rates[member][layer]), dtype=dtype)
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
        joined = _joined(_walk(together, generators))
        for member, rows in enumerate(job.rows):
            expected = _joined(_walk(alone[member], own[member]))
            n_rows = len(rows)
            mine = joined["X"][member, :n_rows]
            assert torch.equal(mine, expected["X"][0])
            _assert_same_masks(joined, expected, member, n_rows)
    for generator, (other,) in zip(generators, own, strict=True):
        assert generator.bit_generator.state == other.bit_generator.state


def _assert_same_masks(joined, expected, member, n_rows):
    for layer, mask in enumerate(joined["masks"]):
        alone = expected["masks"][layer] if expected["masks"] else None
        mine = mask[member, :n_rows]
        assert torch.equal(mine, torch.ones_like(mine) if alone is None else alone[0])


def test_batch_is_a_view():
    """A batch of a chunk shares its memory with the chunk."""
    job = _job((23, 23), weighted=True)
    feed = Feed(job.kind, job.train, job.rows)
    chunk = feed.chunk(np.broadcast_to(np.arange(23), (2, 23)))
    batch = chunk.batch(slice(8, 16))
    assert torch.equal(batch.X, chunk.X[:, 8:16])
    for part, whole in (
        (batch.X, chunk.X),
        (batch.target, chunk.target),
        (batch.weight, chunk.weight),
    ):
        part.fill_(-1.0)
        assert (whole[:, 8:16] == -1).all()


def test_table_stays_as_it_is():
    """Batches are copies: to write into one does not reach the user's table."""
    job = _job((23, 23))
    before = job.train.X.copy()
    for _, batch in Epochs(job)(_generators(2)):
        batch.X.fill_(-1.0)
        batch.target.fill_(-1.0)
    assert np.array_equal(job.train.X, before)
    assert np.array_equal(job.train.target, before)


def test_global_generators_stay(untouched_globals):
    """Nothing is drawn from numpy's or torch's global generator."""
    _walk(Epochs(_job((23, 9), dropout=0.5)), _generators(2))
