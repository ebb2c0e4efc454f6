"""A search on disk, as a study of Optuna."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import numpy as np

from sknnopt._dimensions import Dimension, native
from sknnopt._labels import Labels, find_subspace, import_optuna, quiet
from sknnopt._reading import Subspace, read_space

STUDY_NAME = "sknnopt"
#: What a search of other databases than SQLite holds of text in one attribute.
_PIECE = 16_000
_SQLITE_MAGIC = b"SQLite format 3\x00"
#: Seconds for which a writer waits for others, such as a dashboard.
_PATIENCE = 60
#: How often a database may refuse to be opened, and seconds between two tries: another
#: process may be making its tables.
_TRIES, _BETWEEN_TRIES = 100, 0.05
_LONGEST_SHOWN = 60
#: Of long ones, what is shown before the difference.
_BEFORE = 30


@dataclasses.dataclass(frozen=True)
class StudyRecord:
    """A finished trial.

    Parameters
    ----------
    number : int
        Place of the candidate in the search, from 0.
    params : dict
        Values by parameter.
    score : float
        Greater is better; NaN: it failed.
    state : {"complete", "pruned", "failed"}
        How it ended.
    record : object
        What was stored of it.
    curve : tuple of (int, float), default=()
        Epochs and validation losses, by epoch.
    """

    number: int
    params: dict[str, Any]
    score: float
    state: str
    record: Any
    curve: tuple[tuple[int, float], ...] = ()


class Study:
    """Finished trials of one search, on disk.

    Each is a trial of Optuna, written in one transaction: it is there as a whole or not
    at all. Optuna's tools can read the file; intermediate values are negative
    validation losses there, because the study maximizes.

    Parameters
    ----------
    storage : optuna.storages.BaseStorage
        The database.
    study : optuna.Study
        The study in it.
    subspaces : list of dict
        Dimensions by parameter.
    """

    def __init__(self, storage: Any, study: Any, subspaces: list[Subspace]) -> None:
        self._storage = storage
        self._study = study
        self._subspaces = subspaces
        self._labels = Labels([_for_optuna(subspace) for subspace in subspaces])
        self._lock = threading.Lock()
        self._numbers = {record.number for record in self.records()}

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], *, space: Any, settings: Mapping[str, Any]
    ) -> Self:
        """Begin a study, or go on with one.

        Parameters
        ----------
        path : str or path
            A file, or the URL of a database such as ``"sqlite:///search.db"``.
        space : dict or list of dict
            The search space.
        settings : mapping
            What describes the search, as JSON can hold it.

        Returns
        -------
        Study
            With the finished trials that are there.

        Raises
        ------
        ImportError
            If Optuna is not installed.
        ValueError
            If the study there has other settings, the file is none, or the database
            cannot be opened.
        """
        optuna = import_optuna("A study on disk")
        subspaces = read_space(space)
        url = _url(path)
        waits = {"connect_args": {"timeout": _PATIENCE}}
        options = waits if url.startswith("sqlite") else None
        storage, study = _patiently(str(path), lambda: _opened(optuna, url, options))
        try:
            described = {**settings, "space": _description(subspaces)}
            _agree(study, described, str(path))
            return cls(storage, study, subspaces)
        except BaseException:
            _close(storage)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        _close(self._storage)

    def records(self) -> list[StudyRecord]:
        """Return the finished trials.

        Returns
        -------
        list of StudyRecord
            By number, each once.
        """
        found: dict[int, StudyRecord] = {}
        for trial in self._study.get_trials(deepcopy=False):
            if trial.state.is_finished() and "record" in trial.user_attrs:
                record = self._read(trial)
                found.setdefault(record.number, record)
        return [found[number] for number in sorted(found)]

    def add(
        self,
        number: int,
        params: Mapping[str, Any],
        score: float,
        record: Any,
        *,
        state: str = "complete",
        curve: Sequence[tuple[int, float]] = (),
    ) -> None:
        """Write one finished trial.

        Parameters
        ----------
        number : int
            Place of the candidate in the search.
        params : mapping
            Values by parameter.
        score : float
            Greater is better; NaN: it failed.
        record : object
            What else is to be kept, as JSON can hold it.
        state : {"complete", "pruned", "failed"}, default="complete"
            How it ended.
        curve : sequence of (int, float), default=()
            Epochs and validation losses.

        Raises
        ------
        ValueError
            If there is a trial of this number, or the candidate is not of the space.
        """
        index = find_subspace(self._subspaces, params)
        opaque = {
            name: params[name]
            for name, dimension in self._subspaces[index].items()
            if dimension.kind == "opaque"
        }
        content = [int(number), index, state, float(score), opaque, record]
        text = json.dumps(content, default=_plain)
        trial = self._make_trial(params, index, score, state, curve, text)
        with self._lock:
            if number in self._numbers:
                raise ValueError(
                    f"The study has a trial with the number {number} already. Each "
                    "candidate is written once."
                )
            self._study.add_trial(trial)
            self._numbers.add(number)

    def _make_trial(
        self,
        params: Mapping[str, Any],
        index: int,
        score: float,
        state: str,
        curve: Sequence[tuple[int, float]],
        text: str,
    ) -> Any:
        from optuna.trial import TrialState, create_trial

        states = {
            "complete": TrialState.FAIL if np.isnan(score) else TrialState.COMPLETE,
            "pruned": TrialState.PRUNED,
            "failed": TrialState.FAIL,
        }
        if state not in states:
            raise ValueError(
                f"The state of a trial must be one of {list(states)}. Got {state!r}."
            )
        is_complete = states[state] == TrialState.COMPLETE
        pieces = [text[i : i + _PIECE] for i in range(0, len(text), _PIECE)]
        keys = ["record", *(f"record:{i}" for i in range(1, len(pieces)))]
        trial = create_trial(
            state=states[state],
            value=float(score) if is_complete else None,
            params=self._labels.encode(params, index),
            distributions=self._labels.distributions(index),
            user_attrs=dict(zip(keys, pieces, strict=True)),
            intermediate_values={int(epoch): -float(loss) for epoch, loss in curve},
        )
        trial.datetime_complete = datetime.now()
        return trial

    def _read(self, trial: Any) -> StudyRecord:
        attributes = trial.user_attrs
        pieces = [attributes["record"]]
        while (key := f"record:{len(pieces)}") in attributes:
            pieces.append(attributes[key])
        number, index, state, score, opaque, record = json.loads("".join(pieces))
        params = {**self._labels.decode(trial.params, index), **opaque}
        return StudyRecord(
            number,
            {name: params[name] for name in self._subspaces[index]},
            score,
            state,
            record,
            tuple(
                (e, -value) for e, value in sorted(trial.intermediate_values.items())
            ),
        )


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


def _opened(optuna: Any, url: str, options: Any) -> tuple[Any, Any]:
    """Return the database, and the study in it."""
    storage = optuna.storages.RDBStorage(url, engine_kwargs=options)
    try:
        with quiet():
            study = optuna.create_study(
                storage=storage,
                study_name=STUDY_NAME,
                direction="maximize",
                load_if_exists=True,
            )
    except BaseException:
        _close(storage)
        raise
    return storage, study


def _for_optuna(subspace: Subspace) -> Subspace:
    return {
        name: dataclasses.replace(dimension, weights=None)
        for name, dimension in subspace.items()
        if dimension.kind != "opaque"
    }


def _description(subspaces: Sequence[Subspace]) -> list[dict[str, str]]:
    return [{name: _describe(d) for name, d in s.items()} for s in subspaces]


def _describe(dimension: Dimension) -> str:
    from optuna.distributions import distribution_to_json

    if dimension.kind == "opaque":
        dist = getattr(dimension.source, "dist", dimension.source)
        args = getattr(dimension.source, "args", ())
        kwds = getattr(dimension.source, "kwds", {})
        return f"{type(dist).__name__}{args}{kwds}"
    text: str = distribution_to_json(
        dataclasses.replace(dimension, weights=None).to_optuna()
    )
    return text if dimension.weights is None else f"{text} {dimension.weights}"


def _agree(study: Any, settings: Mapping[str, Any], path: str) -> None:
    """Store the settings, or refuse if others are stored."""
    stored = study.user_attrs.get("settings")
    if stored is None:
        if study.get_trials(deepcopy=False):
            raise ValueError(
                f"The study in {path!r} was not begun by a search of sknnopt. Give "
                "another file."
            )
        text = json.dumps(settings, default=_plain)
        study.set_user_attr("settings", text)
        return
    old, new = json.loads(stored), json.loads(json.dumps(settings, default=_plain))
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


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    plain = native(value)
    if plain is value:
        raise TypeError(
            f"A study holds what JSON can hold, which {value!r} (a "
            f"{type(value).__name__}) is not."
        )
    return plain


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


def _close(storage: Any) -> None:
    storage.remove_session()
    storage.engine.dispose()
