"""What a fit says of its size, and how fits are cut into parts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers import make_job, make_kind, on_table
from scipy.sparse import csr_array

from sknnopt import _fits
from sknnopt._fits import Fit, cut, halves, is_worth_a_thread


def fit_of(job):
    """Return a fit that is measured and never started."""
    return Fit(job, start=None)


def _step_time(job, n_products, n_units, n_rows):
    """Return nanoseconds by hand: three products, passes over weights and units."""
    numbers = 12 * job.kind.layout.n_columns + 8 * n_rows * n_units
    return len(job) * (0.03 * 3 * n_rows * n_products + 0.3 * numbers)


@pytest.mark.parametrize(("dtype", "factor"), [("float32", 1), ("float64", 2)])
def test_time_of_a_step(dtype, factor):
    """The arithmetic of a step is counted by hand; double precision takes twice it."""
    job = make_job(make_kind(dtype=np.dtype(dtype), batch_size=9), (20, 17))
    fit = fit_of(job)
    # 3 inputs, 5 and 4 units, 3 outputs; nine rows take the room of sixteen.
    expected = factor * _step_time(job, 15 + 20 + 12, 5 + 4 + 3, n_rows=16)
    assert fit.step_time == pytest.approx(expected)
    assert fit.layer_time == pytest.approx(expected / 3)


@pytest.mark.parametrize(("sizes", "n_steps"), [((16,), 2), ((17,), 3), ((8, 20), 3)])
def test_steps_of_an_epoch(sizes, n_steps):
    """The last batch may be short, and the member with most rows counts."""
    found = fit_of(make_job(make_kind(), sizes)).n_steps
    assert isinstance(found, int)
    assert found == n_steps


def test_number_of_epochs():
    """All members' epochs count, up to the most of them or those that a call is of."""
    job = make_job(make_kind(), (20, 20), max_epochs=np.array([3, 7]))
    assert (fit_of(job).horizon, fit_of(job).n_epochs) == (7, 14)
    one = fit_of(replace(job, n_epochs=1))
    assert (one.horizon, one.n_epochs) == (1, 2)


@pytest.mark.parametrize("is_sparse", [False, True])
def test_memory_of_a_fit(is_sparse):
    """A table counts twice and once for all rows of it; each member's training counts.

    That is twenty numbers for each weight, four for each unit and row of a batch, two
    for each unit and row of the longest part, and two row numbers.
    """
    job = make_job(make_kind(), (20, 17), valid=(6, 9))
    table = job.rows[0].table
    held = table.X.nbytes + table.target.nbytes
    if is_sparse:
        X = csr_array(np.where(table.X > 0, table.X, 0.0))
        job = on_table(job, X=X)
        parts = (X.data, X.indices, X.indptr, table.target)
        held = sum(part.nbytes for part in parts)
    n_units = 3 + 5 + 4 + 3
    numbers = 20 * job.kind.layout.n_columns + 4 * 8 * n_units + 2 * 20 * n_units
    member = numbers * job.kind.dtype.itemsize + 16 * 20
    assert fit_of(job).n_bytes == 2 * held + 2 * member


def test_fits_are_not_compared_by_what_they_hold():
    """A fit is equal to itself alone: its arrays have no truth value in common."""
    job = make_job(make_kind())
    one, other = fit_of(job), fit_of(job)
    assert one != other
    assert len({one, other, one}) == 2


def test_worth_a_thread_counts_all_fits(monkeypatch):
    """A part is worth a thread from the limit on, the times of its fits added."""
    fits = [fit_of(make_job(make_kind()))] * 3
    monkeypatch.setattr(_fits, "_WORTH_A_THREAD", 2 * fits[0].layer_time)
    worth = [is_worth_a_thread(fits, part) for part in ([0], [0, 1], [0, 1, 2])]
    assert worth == [False, True, True]


def test_halves():
    """Both halves together are the part, and none is empty."""
    assert halves([5, 3]) == ([5], [3])
    assert halves([5, 3, 8]) == ([5], [3, 8])


def test_ladders_keep_fits_apart():
    """Fits that meet others at other epochs are in parts of their own."""
    fits = [fit_of(make_job(make_kind())) for _ in range(3)]
    assert cut(fits, 1) == [[0, 1, 2]]
    assert sorted(cut(fits, 1, [(1, 3), (2,), (1, 3)])) == [[0, 2], [1]]


def test_the_longest_part_comes_first():
    """Parts are ordered by the time of a step, the steps and the epochs together."""
    settings = ({"max_epochs": 2}, {"max_epochs": 9}, {"max_epochs": 5})
    jobs = [make_job(make_kind(), **each) for each in settings]
    fits = [
        fit_of(replace(job, n_epochs=n)) for job, n in zip(jobs, (2, 9, 5), strict=True)
    ]
    assert cut(fits, 1) == [[1], [2], [0]]
    long_epoch = fit_of(make_job(make_kind(), (160,), max_epochs=3))
    wide = fit_of(make_job(make_kind(hidden=(40, 40)), max_epochs=3))
    plain = fit_of(make_job(make_kind(), max_epochs=3))
    assert cut([plain, long_epoch], 1) == [[1], [0]]
    assert cut([plain, wide], 1) == [[1], [0]]
