"""Where a training run stands between two epochs, so that it can go on from there."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

import numpy as np
import torch

from sknnopt._history import join_lines
from sknnopt._job import Job, Kind
from sknnopt._record import Record

#: Begins the names of the history's columns in a dump; their place follows.
_HISTORY = "history:"


@dataclass
class Snapshot:
    """All that a run would have to know to go on; axis 0 is the member.

    Parameters
    ----------
    record : Record
        The networks, as they are and at their best, and all that goes with them.
    is_live : ndarray of bool of shape (members,)
        Which of them go on.
    last_epoch : ndarray of int of shape (members,)
        The epoch with which they end at the latest.
    seconds : ndarray of float of shape (members,)
        How long they have trained.
    history : dict of ndarray
        Columns with an entry for each member and epoch; empty before the first.
    """

    record: Record
    is_live: np.ndarray
    last_epoch: np.ndarray
    seconds: np.ndarray
    history: dict[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def start(cls, job: Job, record: Record) -> Snapshot:
        """Return where a run stands before its first epoch."""
        n_epochs = job.settings.max_epochs if job.n_epochs is None else job.n_epochs
        return cls(
            record,
            is_live=np.ones(len(job), dtype=bool),
            last_epoch=record.epochs + n_epochs,
            seconds=np.zeros(len(job)),
        )

    def take(self, members: np.ndarray) -> Snapshot:
        """Return a copy of what is known of some of the members."""
        record = self.record.take(members)
        record.generators = deepcopy(record.generators)
        return Snapshot(
            record,
            self.is_live[members],
            self.last_epoch[members],
            self.seconds[members],
            _renumbered(self.history, members, len(self.is_live)),
        )

    def put(self, members: np.ndarray, part: Snapshot) -> None:
        """Write ``part`` over what is known of some of the members."""
        self.record.put(members, part.record)
        for name in ("is_live", "last_epoch", "seconds"):
            getattr(self, name)[members] = getattr(part, name)
        others = np.setdiff1d(np.arange(len(self.is_live)), members)
        kept = _renumbered(self.history, others, len(self.is_live))
        lines = []
        for history, numbers in ((kept, others), (part.history, members)):
            if history and len(history["member"]):
                lines.append({**history, "member": numbers[history["member"]]})
        self.history = join_lines(lines) if lines else {}

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Dump the snapshot as numpy arrays.

        Returns
        -------
        dict of ndarray
            What :meth:`from_arrays` takes.
        """
        arrays = self.record.to_arrays()
        arrays["best_weights"] = self.record.best_weights.cpu().numpy().copy()
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, np.ndarray):
                arrays[f.name] = value
        for place, (name, values) in enumerate(self.history.items()):
            arrays[f"{_HISTORY}{place:03}:{name}"] = values
        return arrays

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], kind: Kind) -> Snapshot:
        """Take up what :meth:`to_arrays` dumped."""
        record = Record.from_arrays(arrays, kind)
        best = arrays["best_weights"]
        record.best_weights.copy_(torch.tensor(best, device=record.weights.device))
        own = {f.name: arrays[f.name] for f in fields(cls) if f.name in arrays}
        history = {
            name.split(":", 2)[2]: arrays[name]
            for name in sorted(arrays)
            if name.startswith(_HISTORY)
        }
        return cls(record, **own, history=history)


class RunGuard(Protocol):
    """Who keeps the work of a run from being lost."""

    def resumed(self) -> Snapshot | None:
        """Return where the run shall go on, or None: at its beginning."""

    def is_interrupted(self) -> bool:
        """Tell whether the run shall end now."""

    def epoch_done(self, standing: Any) -> None:
        """Hear that an epoch is over and another follows.

        ``standing`` makes the snapshot of it.
        """


def _renumbered(
    history: dict[str, np.ndarray], members: np.ndarray, n_members: int
) -> dict[str, np.ndarray]:
    """Return the rows of some members, numbered by their place among them."""
    if not history:
        return {}
    place = np.full(n_members, -1)
    place[members] = np.arange(len(members))
    own = place[history["member"]]
    rows = {name: values[own >= 0] for name, values in history.items()}
    return {**rows, "member": own[own >= 0]}
