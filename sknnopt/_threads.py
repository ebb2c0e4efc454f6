"""The number of torch threads while a fit runs.

The number belongs to the process, not to the fit. So fits that ask for one are
counted: the first remembers what was there, the last one out brings it back.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_lock = threading.Lock()
_users = 0
_original = 0


@contextmanager
def n_torch_threads(n_threads: int | None) -> Iterator[None]:
    """Run the block with ``n_threads`` torch threads.

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
    global _users, _original
    with _lock:
        if _users == 0:
            _original = torch.get_num_threads()
        _users += 1
        torch.set_num_threads(n_threads)


def _leave() -> None:
    global _users
    with _lock:
        _users -= 1
        if _users == 0:
            torch.set_num_threads(_original)
