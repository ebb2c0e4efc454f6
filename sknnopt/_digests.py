"""Short texts for long values, by which another process can tell them again."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
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


def described_parameters(value: Any, is_left_out: Callable[[Any, str], bool]) -> Any:
    """Return an estimator with its parts as JSON can hold it.

    Parameters
    ----------
    value : object
        An estimator, or a parameter of one.
    is_left_out : callable
        Tells of an estimator and the name of a parameter whether not to describe it.

    Returns
    -------
    dict, list or str
        Of an estimator its class and its parameters by name, of other values what
        `described` returns, and of containers the same of what they hold.
    """
    if hasattr(value, "get_params") and not isinstance(value, type):
        given = value.get_params(deep=False)
        parameters = {
            name: described_parameters(each, is_left_out)
            for name, each in given.items()
            if not is_left_out(value, name)
        }
        return {"class": type(value).__name__, **parameters}
    if isinstance(value, list | tuple):
        return [described_parameters(each, is_left_out) for each in value]
    if isinstance(value, Mapping):
        return {
            str(key): described_parameters(each, is_left_out)
            for key, each in value.items()
        }
    return described(value)


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
