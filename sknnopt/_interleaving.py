"""State of the process that tasks set and bring back, but not in the order of a stack.

`warnings.catch_warnings` and limits of BLAS threads are meant to nest. When tasks
interleave, the last to leave may bring back what another had set. So what was there
before the first task is remembered, and brought back after the last.
"""

from __future__ import annotations

import threading
import warnings
import weakref
from collections.abc import Callable
from typing import Any

from threadpoolctl import ThreadpoolController

_lock = threading.Lock()
# Weak: an interrupt may keep a user from saying that it has ended.
_users: weakref.WeakSet[Any] = weakref.WeakSet()
_restore: Callable[[], None] | None = None


def remember(user: Any) -> None:
    """Note the state, if no one else has; to be followed by `bring_back`."""
    global _restore
    with _lock:
        if not _users:
            _restore = _snapshot()
        _users.add(user)


def bring_back(user: Any) -> None:
    """Set the state as it was, if no one else still changes it."""
    global _restore
    with _lock:
        _users.discard(user)
        if not _users and _restore is not None:
            _restore()
            _restore = None


def _snapshot() -> Callable[[], None]:
    module: Any = warnings
    filters, copies = module.filters, list(module.filters)
    shown = {
        name: getattr(module, name)
        for name in ("showwarning", "_showwarnmsg_impl")
        if hasattr(module, name)
    }
    threads = ThreadpoolController().limit(limits=None)

    def restore() -> None:
        module.filters = filters
        filters[:] = copies
        for name, function in shown.items():
            setattr(module, name, function)
        # Registries of warnings already shown are valid for one state of the filters.
        getattr(module, "_filters_mutated", _nothing)()
        threads.restore_original_limits()

    return restore


def _nothing() -> None:
    """Do nothing."""
