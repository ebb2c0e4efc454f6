"""The file of a search on disk: how a study of Optuna is begun, or found again."""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sknnopt._dimensions import native
from sknnopt._labels import quiet

STUDY_NAME = "sknnopt"
_SQLITE_MAGIC = b"SQLite format 3\x00"
#: Seconds for which a writer waits for others, such as a dashboard.
_PATIENCE = 60
#: How often a database may refuse to be opened, and seconds between two tries: another
#: process may be making its tables.
_TRIES, _BETWEEN_TRIES = 100, 0.05
_LONGEST_SHOWN = 60
#: Of long ones, what is shown before the difference.
_BEFORE = 30


def open_study(
    path: str | os.PathLike[str], settings: Mapping[str, Any]
) -> tuple[Any, Any]:
    """Begin a study, or go on with one.

    Parameters
    ----------
    path : str or path
        A file, or the URL of a database.
    settings : mapping
        What describes the search, as JSON can hold it.

    Returns
    -------
    storage : optuna.storages.RDBStorage
        The database.
    study : optuna.Study
        The study in it.

    Raises
    ------
    ValueError
        If the study there has other settings, the file is none, or the database cannot
        be opened.

    Notes
    -----
    Of several that begin a study in the same moment one makes it, and writes its
    settings; the others wait for these.
    """
    url = _url(path)
    waits = {"connect_args": {"timeout": _PATIENCE}}
    options = waits if url.startswith("sqlite") else None
    storage, study, is_new = _patiently(str(path), lambda: _opened(url, options))
    try:
        stored = None if is_new else _stored_settings(study, str(path))
        if stored is None:
            study.set_user_attr("settings", json.dumps(settings, default=plain))
        else:
            _agree(stored, settings, str(path))
    except BaseException:
        close(storage)
        raise
    return storage, study


def close(storage: Any) -> None:
    """Let go of a database."""
    storage.remove_session()
    storage.engine.dispose()


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it, or refuse it.

    Parameters
    ----------
    value : object
        What JSON does not know.

    Returns
    -------
    object
        A number, or a list of numbers.

    Raises
    ------
    TypeError
        If it is neither an array nor a number.
    """
    if isinstance(value, np.ndarray):
        return value.tolist()
    number = native(value)
    if number is value:
        raise TypeError(
            f"A study holds what JSON can hold, which {value!r} (a "
            f"{type(value).__name__}) is not."
        )
    return number


def _patiently(path: str, action: Callable[[], Any]) -> Any:
    """Do it, again for a while where the database refuses.

    Tables are made one by one: whoever comes meanwhile finds some of them.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

    n_left = _TRIES
    while True:
        n_left -= 1
        try:
            return action()
        except (DBAPIError, StorageInternalError) as error:
            # A damaged file, for one, stays as it is.
            may_pass = isinstance(
                error, OperationalError | IntegrityError | StorageInternalError
            )
            if may_pass and n_left:
                time.sleep(_BETWEEN_TRIES)
                continue
            # SQLAlchemy's own text has the statement and a link, too.
            cause = getattr(error, "orig", None) or error.__cause__ or error
            reason = str(cause).partition("\n")[0]
            raise ValueError(
                f"The study {path!r} cannot be opened: {reason}. Make sure that its "
                "folder can be written to. If another process is beginning it, try "
                "again when it has."
            ) from error


def _opened(url: str, options: Any) -> tuple[Any, Any, bool]:
    """Return the database, the study in it, and whether it has been made just now."""
    import optuna

    storage = optuna.storages.RDBStorage(url, engine_kwargs=options)
    named: dict[str, Any] = {"study_name": STUDY_NAME, "storage": storage}
    try:
        with quiet():
            try:
                study = optuna.create_study(direction="maximize", **named)
            except optuna.exceptions.DuplicatedStudyError:
                return storage, optuna.load_study(**named), False
    except BaseException:
        close(storage)
        raise
    return storage, study, True


def _stored_settings(study: Any, path: str) -> str | None:
    """Return a study's settings; None where whoever began it has not written any."""
    for _ in range(_TRIES):
        stored: str | None = study.user_attrs.get("settings")
        if stored is not None:
            return stored
        if study.get_trials(deepcopy=False):
            raise ValueError(
                f"The study in {path!r} was not begun by a search of sknnopt. Give "
                "another file."
            )
        time.sleep(_BETWEEN_TRIES)
    return None


def _agree(stored: str, settings: Mapping[str, Any], path: str) -> None:
    """Refuse settings that are not those stored."""
    old, new = json.loads(stored), json.loads(json.dumps(settings, default=plain))
    names = list(dict.fromkeys([*old, *new]))
    changed = [n for n in names if _shown(old.get(n)) != _shown(new.get(n))]
    if changed:
        told = "; ".join(
            "{!r} was {} and is {} now".format(
                name, *_cut(old.get(name), new.get(name))
            )
            for name in changed
        )
        raise ValueError(
            f"The study in {path!r} was begun with other settings: {told}. Search with "
            "those that it was begun with, or give another file."
        )


def _shown(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _cut(*values: Any) -> tuple[str, ...]:
    """Return values as text, of long ones the part from a little before they differ."""
    texts = [_shown(value) for value in values]
    if max(map(len, texts)) <= _LONGEST_SHOWN:
        return tuple(texts)
    letters = zip(*texts, strict=False)
    same = itertools.takewhile(lambda pair: len(set(pair)) == 1, letters)
    start = max(0, sum(1 for _ in same) - _BEFORE)
    return tuple(
        ("..." if start else "")
        + text[start : start + _LONGEST_SHOWN]
        + ("..." if len(text) > start + _LONGEST_SHOWN else "")
        for text in texts
    )


def _url(path: str | os.PathLike[str]) -> str:
    text = os.fspath(path)
    if "://" in text:
        return text
    file = Path(text).absolute()
    if not file.parent.is_dir():
        raise ValueError(
            f"The study {text!r} has no folder to be in: make {str(file.parent)!r}."
        )
    if file.is_dir() or (file.exists() and not _is_sqlite(file)):
        raise ValueError(
            f"The study {text!r} is no SQLite database. Give another file."
        )
    # In its folder, too, SQLite writes: a journal.
    if not all(os.access(p, os.W_OK) for p in (file.parent, file) if p.exists()):
        raise ValueError(
            f"The study {text!r} cannot be written to. Give the right to write to the "
            "file and its folder, or give another one."
        )
    return f"sqlite:///{file}"


def _is_sqlite(file: Path) -> bool:
    with file.open("rb") as stream:
        start = stream.read(len(_SQLITE_MAGIC))
    return start in {b"", _SQLITE_MAGIC}
