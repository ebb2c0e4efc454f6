"""Files of arrays with one JSON document, which appear whole or not at all.

They have the safetensors format; no part of them is a pickle.
"""

from __future__ import annotations

import glob
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np

#: Where the document is in the file's metadata.
_KEY = "sknnopt"
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
        raise ImportError(f"{need} safetensors: pip install sknnopt[save]") from error
    return safetensors


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

    metadata = {_KEY: json.dumps(document, allow_nan=False)}
    content: bytes = safetensors.numpy.save(dict(arrays), metadata=metadata)
    return content


def read(path: Path) -> tuple[Any, dict[str, np.ndarray]]:
    """Read a file.

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
        If it is no such file, or damaged.
    """
    import safetensors

    with _opened(path) as file:
        try:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        except (safetensors.SafetensorError, OSError, ValueError, TypeError) as error:
            raise _not_whole() from error
        return _document(file), arrays


def read_document(path: Path) -> Any:
    """Read a file's JSON document alone.

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
        If it is no such file, or damaged.
    """
    with _opened(path) as file:
        return _document(file)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    import safetensors

    # Opened once before, so that a missing file is a FileNotFoundError.
    with path.open("rb"):
        pass
    try:
        file = safetensors.safe_open(path, framework="np")
    except (safetensors.SafetensorError, OSError, ValueError, TypeError) as error:
        raise _not_whole() from error
    with file:
        yield file


def _not_whole() -> FileFormatError:
    return FileFormatError("is not a safetensors file, or truncated")


def _document(file: Any) -> Any:
    text = (file.metadata() or {}).get(_KEY)
    if text is None:
        raise FileFormatError("is a safetensors file, but no model of sknnopt")
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise FileFormatError("is damaged (its JSON cannot be read)") from error


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
