"""Errors of other libraries, which do not say what they speak of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

#: What is raised where a value cannot be read; of a tensor with gradients it is the
#: last, and of a number beyond all limits the one before.
_UNREADABLE = (TypeError, ValueError, AttributeError, OverflowError, RuntimeError)


@contextmanager
def named(name: str) -> Iterator[None]:
    """Let an error say which argument it is about.

    Parameters
    ----------
    name : str
        The argument that is read in this context.

    Raises
    ------
    TypeError or ValueError
        What was raised, with the name before its message if it names neither the
        argument nor a parameter; of other kinds of errors a ValueError.
    """
    try:
        yield
    except _UNREADABLE as error:
        is_usual = isinstance(error, TypeError | ValueError)
        if is_usual and re.search(rf"\b{name}\b|'\w+' parameter", str(error)):
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{name} cannot be used: {error}") from error
