"""The number of torch threads: set for a block, and brought back after it."""

from __future__ import annotations

import threading

import pytest
import torch
from joblib import Parallel, cpu_count, delayed

from sknnopt import _threads
from sknnopt._threads import n_cores, n_torch_threads

ORIGINAL = 3


@pytest.fixture(autouse=True)
def original():
    """Start every test with a number that no test asks for."""
    before = torch.get_num_threads()
    torch.set_num_threads(ORIGINAL)
    yield
    assert _threads._users == 0
    torch.set_num_threads(before)


class Worker:
    """A thread that enters a block and leaves it when told to."""

    def __init__(self, n_threads):
        self.inside, self.leave = threading.Event(), threading.Event()
        self.seen, self.after = [], []
        self.thread = threading.Thread(target=self._work, args=(n_threads,))
        self.thread.start()
        assert self.inside.wait(10)

    def _work(self, n_threads):
        with n_torch_threads(n_threads):
            self.seen.append(torch.get_num_threads())
            self.inside.set()
            assert self.leave.wait(10)
        self.after.append(torch.get_num_threads())

    def end(self):
        """Let the thread leave its block and end."""
        self.leave.set()
        self.thread.join(10)
        assert not self.thread.is_alive()


def _of_new_thread():
    seen = []
    thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    thread.start()
    thread.join(10)
    return seen[0]


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_set_and_restored(n_threads):
    """The number holds inside the block, and the old one after it."""
    with n_torch_threads(n_threads):
        assert torch.get_num_threads() == n_threads
    assert torch.get_num_threads() == ORIGINAL


def test_none():
    """None leaves the number alone, and restores nothing that the block changes."""
    with n_torch_threads(None):
        assert torch.get_num_threads() == ORIGINAL
        torch.set_num_threads(2)
    assert torch.get_num_threads() == 2


def test_none_within():
    """None within another block leaves that block's number in force."""
    with n_torch_threads(2):
        with n_torch_threads(None):
            assert torch.get_num_threads() == 2
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == ORIGINAL


def test_error():
    """An error that leaves the block brings the old number back."""
    with pytest.raises(ZeroDivisionError), n_torch_threads(1):
        _ = 1 / 0
    assert torch.get_num_threads() == ORIGINAL


def test_nested():
    """The latest block to begin decides; the outermost brings the old number back."""
    with n_torch_threads(2):
        with n_torch_threads(1):
            assert torch.get_num_threads() == 1
        with n_torch_threads(4):
            assert torch.get_num_threads() == 4
    assert torch.get_num_threads() == ORIGINAL


def test_one_after_the_other():
    """Each block by itself finds and leaves the old number."""
    for n_threads in (1, 2, 1):
        with n_torch_threads(n_threads):
            assert torch.get_num_threads() == n_threads
        assert torch.get_num_threads() == ORIGINAL


@pytest.mark.parametrize("first_out", [0, 1])
def test_two_threads(first_out):
    """Whichever of two threads leaves first, all find the old number in the end."""
    workers = [Worker(1), Worker(2)]
    workers[first_out].end()
    workers[1 - first_out].end()
    assert [w.seen for w in workers] == [[1], [2]]
    assert [w.after for w in workers] == [[ORIGINAL]] * 2
    assert torch.get_num_threads() == ORIGINAL
    assert _of_new_thread() == ORIGINAL


def test_thread_that_outlives_this_one():
    """A thread has its number back though another is still inside a block."""
    with n_torch_threads(1):
        worker = Worker(2)
    assert torch.get_num_threads() == ORIGINAL
    worker.end()
    assert worker.after == [ORIGINAL]
    assert torch.get_num_threads() == ORIGINAL
    assert _of_new_thread() == ORIGINAL


def test_thread_within_this_one():
    """A thread that comes and goes leaves this one's block as it was."""
    with n_torch_threads(1):
        worker = Worker(2)
        worker.end()
        assert torch.get_num_threads() == 1
    assert worker.after == [ORIGINAL]
    assert torch.get_num_threads() == ORIGINAL
    assert _of_new_thread() == ORIGINAL


def test_many_threads():
    """However many threads come and go in whatever order, the old number is back."""
    workers = [Worker(1 + i % 2) for i in range(8)]
    for i in (3, 0, 7, 1, 6, 2, 5, 4):
        workers[i].end()
    assert [w.seen[0] for w in workers] == [1, 2] * 4
    assert {w.after[0] for w in workers} == {ORIGINAL}
    assert torch.get_num_threads() == ORIGINAL
    assert _of_new_thread() == ORIGINAL


def test_the_library_for_matrices_follows():
    """What multiplies numpy's matrices has that number too, until all blocks end."""
    libraries = _threads._libraries()
    assert libraries
    before = [library.get_num_threads() for library in libraries]
    with n_torch_threads(2):
        with n_torch_threads(1):
            assert {library.get_num_threads() for library in libraries} == {1}
        worker = Worker(1)
    assert {library.get_num_threads() for library in libraries} == {1}
    worker.end()
    worker.thread.join(10)
    assert [library.get_num_threads() for library in libraries] == before


@pytest.mark.parametrize(
    ("told", "expected"),
    [(None, 8), ("", 8), ("3", 3), (" 2,1", 2), ("99", 8), ("0", 8), ("-1", 8)],
)
def test_cores_of_a_worker(monkeypatch, told, expected):
    """A process takes all cores, or the share that its environment gives it."""
    monkeypatch.setattr(_threads, "cpu_count", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if told is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", told)
    assert n_cores() == expected


def _n_cores_of_a_worker(_):
    return n_cores()


def test_workers_share_the_cores(monkeypatch):
    """Processes that joblib starts side by side take their share of the cores."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    found = Parallel(2)(delayed(_n_cores_of_a_worker)(i) for i in range(2))
    assert found == [max(1, cpu_count() // 2)] * 2
