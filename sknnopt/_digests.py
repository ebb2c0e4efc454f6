"""Short texts for long values, by which another process can tell them again."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from sknnopt._blocks import blocks

#: Rows that are hashed at once.
_BLOCK = 1 << 14


def described(value: Any) -> str:
    """Return a text that is the same in another process: without addresses.

    Parameters
    ----------
    value : object
        Such as a parameter.

    Returns
    -------
    str
        Its ``repr``.
    """
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def digest(tables: Iterable[Any]) -> str:
    """Return a short text that is the same for the same numbers only.

    Parameters
    ----------
    tables : iterable of ndarray, CSR matrix, or what gives rows as ndarray
        In their order; None stands for a table that is not there.

    Returns
    -------
    str
        Of 32 characters.
    """
    hashed = hashlib.blake2b(digest_size=16)
    for table in tables:
        if hasattr(table, "indptr"):
            parts = [table.indptr, table.indices, table.data]
        else:
            parts = [table]
        for part in parts:
            _add(hashed, part)
    return hashed.hexdigest()


def _add(hashed: Any, table: Any) -> None:
    if table is None:
        hashed.update(b"None")
        return
    hashed.update(repr((table.shape, str(table.dtype))).encode())
    for rows in blocks(len(table), _BLOCK):
        hashed.update(np.ascontiguousarray(table[rows]).reshape(-1).view(np.uint8))
