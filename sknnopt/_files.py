"""Files of arrays with one JSON document, which appear whole or not at all.

They have the safetensors format, and no part of them is a pickle: eight bytes with the
length of a JSON header, the header, the arrays. The document and a checksum over every
byte are texts in the header's metadata.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np

from sknnopt._extras import not_installed
from sknnopt._version import __version__

#: Where the document and the checksum are in the file's metadata.
_KEY, _CHECKSUM = "sknnopt", "sha256"
#: Stands for the checksum while it is computed.
_BLANK = "0" * 64
#: Longest header that safetensors itself reads.
_LONGEST_HEADER = 100_000_000
#: Bytes that are written at once where only their number counts.
_BLOCK = 1 << 20


class FileFormatError(ValueError):
    """A file is not what it should be; the message completes "the file ..."."""


def safetensors(need: str) -> Any:
    """Import safetensors.

    Parameters
    ----------
    need : str
        Who needs it, as "Saving and loading need".

    Returns
    -------
    module
        With its part for numpy.

    Raises
    ------
    ImportError
        If it is not installed; the message names the extra.
    """
    try:
        import safetensors.numpy
    except ImportError as error:
        raise not_installed(need, "safetensors", "save") from error
    return safetensors


def versions_of(*packages: str) -> dict[str, str]:
    """Return by what a file is written.

    Parameters
    ----------
    *packages : str
        What this package computes with.

    Returns
    -------
    dict of str
        The installed versions, this package's first.
    """
    return {"sknnopt": __version__, **{name: version(name) for name in packages}}


def to_bytes(document: Any, arrays: Mapping[str, np.ndarray]) -> bytes:
    """Return the content of a file.

    Parameters
    ----------
    document : object
        What JSON can hold.
    arrays : mapping of str to ndarray
        Of numbers.

    Returns
    -------
    bytes
        What :func:`read` takes.
    """
    import safetensors.numpy

    text = json.dumps(document, allow_nan=False)
    metadata = {_KEY: text, _CHECKSUM: _BLANK}
    # It writes an array's memory as it lies, and does not ask in which order that is.
    ordered = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    content = bytearray(safetensors.numpy.save(ordered, metadata=metadata))
    start = _place(content)
    content[start : start + len(_BLANK)] = _digest(content, start).encode()
    return bytes(content)


def read(path: Path) -> tuple[Any, dict[str, np.ndarray]]:
    """Read a file, no more of it than it takes to see that it is none of ours.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    document : object
        The JSON document.
    arrays : dict of ndarray
        The arrays.

    Raises
    ------
    FileFormatError
        If it is no such file, truncated, or a byte of it has changed.
    OSError
        If there is none.
    """
    # Opened once: another process may replace it at any time.
    with path.open("rb") as file:
        head, fields = _head(file)
        document, checksum = _metadata(fields)
        content = head + file.read()
    if len(content) != len(head) + _n_bytes(fields):
        raise _not_whole()
    start = _place(content)
    if start < 0 or checksum != _digest(content, start):
        raise FileFormatError("is damaged or altered (its checksum is another)")
    return document, _arrays(content)


def read_document(path: Path) -> Any:
    """Read a file's JSON document alone, whatever follows it.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    object
        The document.

    Raises
    ------
    FileFormatError
        If it is no such file.
    OSError
        If there is none.
    """
    with path.open("rb") as file:
        _, fields = _head(file)
    return _metadata(fields)[0]


def _head(file: BinaryIO) -> tuple[bytes, Any]:
    """Return the file up to the end of its header, and what the header says."""
    first = file.read(8)
    length = int.from_bytes(first, "little")
    longest = min(_LONGEST_HEADER, os.fstat(file.fileno()).st_size - 8)
    if len(first) < 8 or not 0 < length <= longest:
        raise _not_whole()
    header = file.read(length)
    try:
        return first + header, json.loads(header)
    except (ValueError, RecursionError) as error:
        raise _not_whole() from error


def _metadata(fields: Any) -> tuple[Any, Any]:
    """Return the document and the checksum."""
    metadata = fields.get("__metadata__") if isinstance(fields, dict) else None
    text = metadata.get(_KEY) if isinstance(metadata, dict) else None
    if not isinstance(metadata, dict) or not isinstance(text, str):
        raise FileFormatError("is a safetensors file, but no model of sknnopt")
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise FileFormatError("is damaged (its JSON cannot be read)") from error
    return document, metadata.get(_CHECKSUM)


def _n_bytes(fields: dict[str, Any]) -> int:
    """Return how long the arrays are together."""
    names = fields.keys() - {"__metadata__"}
    try:
        return max((fields[name]["data_offsets"][1] for name in names), default=0)
    except (LookupError, TypeError) as error:
        raise _not_whole() from error


def _place(content: bytes | bytearray) -> int:
    """Return where the checksum is, or -1."""
    # Within a JSON text quotes have a backslash, so this is no part of the document.
    mark = f'"{_CHECKSUM}":"'.encode()
    end = 8 + int.from_bytes(content[:8], "little")
    found = content.find(mark, 8, end)
    return found if found < 0 else found + len(mark)


def _digest(content: bytes | bytearray, start: int) -> str:
    """Return the checksum of all but the checksum's own place."""
    view = memoryview(content)
    hashed = hashlib.sha256(view[:start])
    hashed.update(_BLANK.encode())
    hashed.update(view[start + len(_BLANK) :])
    return hashed.hexdigest()


def _arrays(content: bytes) -> dict[str, np.ndarray]:
    import safetensors.numpy

    try:
        found: dict[str, np.ndarray] = safetensors.numpy.load(content)
    # Types of numbers that numpy does not have are a LookupError.
    except (safetensors.SafetensorError, LookupError, TypeError, ValueError) as error:
        raise _not_whole() from error
    return found


def _not_whole() -> FileFormatError:
    return FileFormatError("is not a safetensors file, or truncated")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that is whole whenever it can be seen.

    Parameters
    ----------
    path : Path
        The file; an older one is replaced at the end, and untouched by a failure.
    content : bytes
        All of it.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    with _draft(path) as (draft, file):
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
        file.close()
        draft.replace(path)


def try_writing(path: Path, n_bytes: int) -> None:
    """Write as much beside a file as it will take, and take it away again.

    Parameters
    ----------
    path : Path
        The file, which is left as it is.
    n_bytes : int
        How much.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    with _draft(path) as (_, file):
        for start in range(0, n_bytes, _BLOCK):
            file.write(bytes(min(_BLOCK, n_bytes - start)))
        file.flush()
        os.fsync(file.fileno())


def remove_drafts(path: Path) -> None:
    """Take away what writers of a file left behind when they were killed.

    Parameters
    ----------
    path : Path
        The file, which is left as it is.
    """
    for draft in path.parent.glob(f".{glob.escape(path.name)}.{'[0-9a-f]' * 16}.tmp"):
        draft.unlink(missing_ok=True)


@contextmanager
def _draft(path: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Open a new file in the same folder, which is gone at the end."""
    # A folder's own temporary file would be readable by its owner only.
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with draft.open("xb") as file:
            yield draft, file
    except OSError as error:
        # The user knows the file, not its draft.
        reason = error.strerror or str(error)
        raise type(error)(error.errno, reason, str(path)) from error
    finally:
        draft.unlink(missing_ok=True)
