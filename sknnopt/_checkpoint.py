"""The file that a long run is kept in, and gone on with.

It holds where the run stands, the seeds that it began with, and what tells it from any
other: the parameters, and a digest of the data. The data themselves are not in it.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from sknnopt import _files
from sknnopt._digests import described, digest
from sknnopt._files import FileFormatError
from sknnopt._job import Job, Kind
from sknnopt._snapshot import Snapshot

_FORMAT = "sknnopt-checkpoint"
_FORMAT_VERSION = 1
#: Packages whose versions may change how numbers are rounded.
_NOTED = ("numpy", "torch")
#: Parameters that change nothing of what is trained.
WITHOUT_EFFECT = frozenset({"checkpoint", "checkpoint_seconds", "n_threads", "verbose"})
#: And what a run with a checkpoint has none of.
_NOT_DESCRIBED = WITHOUT_EFFECT | {"callbacks"}
#: Bytes of a line of history for each member: what is there once, and for each layer.
_LINE_BYTES, _LAYER_BYTES = 8 * 16, 8 * 6


def identity_of(
    estimator: Any, record: Mapping[str, np.ndarray] | None
) -> dict[str, Any]:
    """Return what tells a run from others, but for its data.

    Parameters
    ----------
    estimator : estimator
        Whose parameters are read.
    record : mapping of str to ndarray or None
        What the run starts from; None: from new networks.

    Returns
    -------
    dict
        Texts by parameter, and a digest of the record.
    """
    given = estimator.get_params(deep=False)
    return {
        "class": type(estimator).__name__,
        "parameters": {
            name: described(value)
            for name, value in given.items()
            if name not in _NOT_DESCRIBED
        },
        "started from": None if record is None else digest(record.values()),
    }


def data_digest(job: Job) -> str:
    """Return a short text that is the same for the same rows only.

    Parameters
    ----------
    job : Job
        Its tables, and which rows of them each member has.

    Returns
    -------
    str
        The digest.
    """
    rows = [*job.rows, *job.held_out]
    # Members share tables, and often rows.
    tables = {id(part.table): part.table for part in rows}.values()
    parts = {id(part): part for part in rows}.values()
    return digest(
        [
            *(of_table for t in tables for of_table in (t.X, t.target)),
            *(of_part for p in parts for of_part in (p.index, p.weight)),
        ]
    )


class Checkpoint:
    """The file of one run.

    Parameters
    ----------
    path : str or path-like
        The file.
    seconds : float
        Least time between two writings.
    identity : dict
        From `identity_of`.

    Raises
    ------
    ImportError
        If safetensors is not installed.
    ValueError
        If the file is there and is no checkpoint, damaged, or of a run with other
        parameters.

    Attributes
    ----------
    seeds : list of int or None
        What the run that is gone on with began with; None if there is none.
    """

    def __init__(
        self, path: str | os.PathLike[str], seconds: float, identity: dict[str, Any]
    ) -> None:
        _files.safetensors("The 'checkpoint' parameter needs")
        self.path, self.seconds = Path(path), float(seconds)
        self._identity = identity
        self._document: dict[str, Any] | None = None
        self._is_given_up = self._has_warned = self.is_written = False
        self.seeds: list[int] | None = None
        self._arrays: dict[str, np.ndarray] = {}
        if self.path.is_dir():
            raise ValueError(
                f"The 'checkpoint' parameter names a folder, {str(path)!r}: name a "
                "file in it."
            )
        if self.path.exists():
            self._read()

    def _read(self) -> None:
        try:
            document, self._arrays = _files.read(self.path)
            _check_format(document)
        except FileFormatError as error:
            self._refuse(str(error), error)
        self._compare(document["identity"])
        self.seeds = [int(seed) for seed in document["seeds"]]
        self._document = document

    def _compare(self, stored: Mapping[str, Any]) -> None:
        """Refuse a run with other parameters."""
        own, told = self._identity, []
        if stored["class"] != own["class"]:
            told.append(f"of an {stored['class']}, and this is an {own['class']}")
        if stored["started from"] != own["started from"]:
            told.append("of a warm start from other networks than these")
        before, now = stored["parameters"], own["parameters"]
        told += [
            f"where {name!r} was {before.get(name)} and is {now.get(name)} now"
            for name in dict.fromkeys([*before, *now])
            if before.get(name) != now.get(name)
        ]
        if told:
            self._refuse(f"holds a run {'; '.join(told)}")

    def _refuse(self, reason: str, cause: BaseException | None = None) -> NoReturn:
        raise ValueError(
            f"The 'checkpoint' parameter names {str(self.path)!r}, and this file "
            f"{reason}. To begin anew delete it, or give another name; to go on with "
            "its run give fit the same parameters and data."
        ) from cause

    def begin(self, seeds: Sequence[int], data: str, kind: Kind) -> Snapshot | None:
        """Return where the run goes on, once its data are known.

        Parameters
        ----------
        seeds : sequence of int
            What it begins with.
        data : str
            From `data_digest`.
        kind : Kind
            What its networks share.

        Returns
        -------
        Snapshot or None
            None: at its beginning.

        Raises
        ------
        ValueError
            If the file is damaged or of a run on other data.
        """
        document, self._document = self._document, self._content(seeds, data)
        if document is None:
            return None
        if document["data"] != data:
            self._refuse("holds a run on other data, or on other rows of them")
        _warn_of_versions(self.path, document["versions"])
        try:
            snapshot = Snapshot.from_arrays(self._arrays, kind)
        except (LookupError, RuntimeError, TypeError, ValueError) as error:
            self._refuse(f"is damaged ({' '.join(str(error).split())})", error)
        self._arrays = {}
        self.is_written = True
        return snapshot

    def _content(self, seeds: Sequence[int], data: str) -> dict[str, Any]:
        return {
            "format": _FORMAT,
            "format_version": _FORMAT_VERSION,
            "versions": _files.versions_of(*_NOTED),
            "identity": self._identity,
            "data": data,
            "seeds": list(seeds),
        }

    def try_writing(self, job: Job, snapshot: Snapshot) -> None:
        """Find out now whether there will be room.

        Parameters
        ----------
        job : Job
            What is trained, and for how long.
        snapshot : Snapshot
            Where it begins.

        Raises
        ------
        OSError
            If the file cannot be written, or has no room.
        """
        n_layers = len(job.kind.architecture.sizes) - 1
        n_epochs = int((snapshot.last_epoch - snapshot.record.epochs).sum())
        n_bytes = n_epochs * (_LINE_BYTES + n_layers * _LAYER_BYTES)
        n_bytes += sum(values.nbytes for values in snapshot.to_arrays().values())
        # The older file stays until the newer is whole.
        n_files = 1 if self.path.exists() else 2
        try:
            _files.remove_drafts(self.path)
            _files.try_writing(self.path, n_files * n_bytes)
        except OSError as error:
            raise type(error)(
                error.errno,
                f"The 'checkpoint' parameter names a file that cannot be written "
                f"({error.strerror}; {n_files * n_bytes / 1e6:.1f} MB were tried). "
                "Name one in a folder that is there and has room",
                str(self.path),
            ) from error

    def write(self, snapshot: Snapshot) -> None:
        """Replace the file; a failure leaves the older one and only warns.

        Parameters
        ----------
        snapshot : Snapshot
            Where the run stands.
        """
        if self._is_given_up:
            return
        try:
            if self._is_anothers():
                self._is_given_up = True
                self._warn("it holds another fit's run, which is left as it is")
                return
            content = _files.to_bytes(self._document, snapshot.to_arrays())
            _files.write_whole(self.path, content)
            self.is_written = True
        except (OSError, MemoryError) as error:
            self._warn(str(getattr(error, "strerror", None) or "no memory is left"))

    def _is_anothers(self) -> bool:
        """Tell whether some other fit has written meanwhile."""
        try:
            found = _files.read_document(self.path)
        except (FileNotFoundError, FileFormatError):
            return False
        own: Any = self._document
        return any(found.get(name) != own[name] for name in ("identity", "data"))

    def _warn(self, reason: str) -> None:
        if self._has_warned:
            return
        self._has_warned = True
        # Where warnings are errors it is one, but must not end the fit.
        with suppress(UserWarning):
            warnings.warn(
                f"The checkpoint {str(self.path)!r} cannot be written: {reason}. "
                "Training goes on, and an older checkpoint is as it was.",
                UserWarning,
                stacklevel=2,
            )

    def remove(self) -> None:
        """Take the file away, if it is this run's: it is finished."""
        try:
            if self.is_written and not self._is_anothers():
                self.path.unlink(missing_ok=True)
        except OSError as error:
            warnings.warn(
                f"The checkpoint {str(self.path)!r} of a finished fit cannot be "
                f"removed: {error.strerror}. Delete it, or the next fit goes on "
                "from it.",
                UserWarning,
                stacklevel=2,
            )


def _check_format(document: Any) -> None:
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        raise FileFormatError("is no checkpoint of a fit")
    found = document.get("format_version")
    if found != _FORMAT_VERSION:
        raise FileFormatError(
            f"has format version {found!r}, where this sknnopt reads version "
            f"{_FORMAT_VERSION}"
        )


def _warn_of_versions(path: Path, found: Mapping[str, str]) -> None:
    other = [
        f"{name} {found.get(name)} (now {own})"
        for name, own in _files.versions_of(*_NOTED).items()
        if found.get(name) != own
    ]
    if other:
        warnings.warn(
            f"The checkpoint {str(path)!r} was written with {', '.join(other)}: the "
            "fit goes on, but its numbers may be rounded otherwise.",
            UserWarning,
            stacklevel=2,
        )
