"""The number of threads that torch and numpy compute with while a fit runs.

torch's number belongs to the process and, once a thread has computed, to that thread
too. So fits that ask for one are counted, the first remembers what was there, and each
thread that leaves its outermost fit brings it back for itself. The number of numpy's
library for matrices belongs to the process; the last fit brings it back.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from joblib import cpu_count
from threadpoolctl import ThreadpoolController

_lock = threading.Lock()
_users = 0
_original = 0
_in_force = 0
_matrix_threads: list[int] = []


class _OfThread(threading.local):
    depth = 0
    before = 0


_of_thread = _OfThread()


def n_cores() -> int:
    """Return how many cores this process may keep busy.

    Returns
    -------
    int
        Those that there are, but not more than ``OMP_NUM_THREADS`` says: by it joblib
        tells its workers the share of each.
    """
    share = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    given = int(share) if share.isdecimal() else 0
    return min(cpu_count(), given or cpu_count())


@contextmanager
def n_torch_threads(n_threads: int | None) -> Iterator[None]:
    """Run the block with ``n_threads`` threads of torch and of numpy's matrices.

    Parameters
    ----------
    n_threads : int or None
        None: the number is left alone, and this fit is not counted. Where fits ask
        for different numbers at a time, the latest to begin decides.

    Yields
    ------
    None
        Control, with the number set.
    """
    if n_threads is None:
        yield
        return
    _enter(int(n_threads))
    try:
        yield
    finally:
        _leave()


def _enter(n_threads: int) -> None:
    global _users, _original, _in_force
    with _lock:
        found = torch.get_num_threads()
        if _users == 0:
            _original = found
            _matrix_threads[:] = [library.get_num_threads() for library in _libraries()]
        if _of_thread.depth == 0:
            # A thread that began meanwhile found the number of another's fit.
            is_borrowed = _users > 0 and found == _in_force
            _of_thread.before = _original if is_borrowed else found
        _users += 1
        _of_thread.depth += 1
        _in_force = n_threads
        torch.set_num_threads(n_threads)
        for library in _libraries():
            library.set_num_threads(n_threads)


def _leave() -> None:
    global _users
    with _lock:
        _users -= 1
        _of_thread.depth -= 1
        if _of_thread.depth == 0:
            torch.set_num_threads(_of_thread.before)
        if _users == 0:
            for library, before in zip(_libraries(), _matrix_threads, strict=True):
                library.set_num_threads(before)


@cache
def _libraries() -> list[Any]:
    """Return the libraries for matrices that are loaded, numpy's among them."""
    # Their own functions: threadpoolctl's limits did nothing in other threads.
    libraries: list[Any] = (
        ThreadpoolController().select(user_api="blas").lib_controllers
    )
    return libraries


def _forget_other_threads() -> None:
    """Let a forked child count its own fits alone: no other thread is there."""
    global _lock, _users
    _lock, _users = threading.Lock(), _of_thread.depth


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_other_threads)
