"""A search on disk, as a study of Optuna."""

from __future__ import annotations

import dataclasses
import json
import os
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Self

import numpy as np

from sknnopt._dimensions import Dimension
from sknnopt._labels import Labels, find_subspace, import_optuna
from sknnopt._reading import Subspace, read_space
from sknnopt._study_file import close, open_study, plain

#: What a search of other databases than SQLite holds of text in one attribute.
_PIECE = 16_000


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
        import_optuna("A study on disk")
        subspaces = read_space(space)
        described = {**settings, "space": _description(subspaces)}
        storage, study = open_study(path, described)
        try:
            return cls(storage, study, subspaces)
        except BaseException:
            close(storage)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        close(self._storage)

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
        text = json.dumps(content, default=plain)
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
