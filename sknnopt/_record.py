"""What a training run carries from step to step: the record.

Its arrays have a leading member axis, so that to leave a member out, to continue later
or to save is to slice or to copy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sknnopt._history import STATISTICS
from sknnopt._job import Kind
from sknnopt._layout import Layout, initial_weights
from sknnopt.optimizers import OPTIMIZERS, initial_slots

_WORD = (1 << 64) - 1
#: Begins the names of what an optimizer remembers in a dump.
_SLOT = "slot:"


@dataclass
class Record:
    """All that a run carries from step to step; axis 0 is the member.

    Parameters
    ----------
    weights, best_weights : Tensor of shape (members, columns)
        The networks as they are, and as they were at their best epoch.
    slots : dict of Tensor
        What the optimizer remembers.
    epochs, run_epochs, best_epoch, stale, plateau_stale : ndarray of int, (members,)
        Epochs done since the weights were drawn and since the schedule began, the
        best epoch (1 is the first, 0 is none), epochs since the monitored loss last
        improved, and the same for the schedule.
    best_loss, plateau_best, plateau_factor : ndarray of float, (members,)
        Best monitored loss, the same for the schedule, and the schedule's factor.
    diverged : ndarray of bool, (members,)
        Members that met a number that is not finite.
    initial : ndarray of float, (members, statistics, layers)
        What the first step found in the networks as they were drawn; NaN if nobody
        looked.
    generators : list of numpy.random.Generator
        Each member's own randomness.
    """

    weights: Tensor
    best_weights: Tensor
    slots: dict[str, Tensor]
    epochs: np.ndarray
    run_epochs: np.ndarray
    best_epoch: np.ndarray
    stale: np.ndarray
    plateau_stale: np.ndarray
    best_loss: np.ndarray
    plateau_best: np.ndarray
    plateau_factor: np.ndarray
    diverged: np.ndarray
    initial: np.ndarray
    generators: list[np.random.Generator]

    @classmethod
    def start(
        cls,
        kind: Kind,
        weight_init: Sequence[str],
        init_scale: float,
        seeds: Sequence[int],
    ) -> Record:
        """Draw new networks, one a seed."""
        generators = make_generators(seeds)
        drawn = [
            initial_weights(kind.architecture, weight_init, init_scale, generator)
            for generator in generators
        ]
        return cls.from_weights(kind, np.stack(drawn), generators)

    @classmethod
    def from_weights(
        cls, kind: Kind, weights: np.ndarray, generators: list[np.random.Generator]
    ) -> Record:
        """Start from given networks, with a fresh optimizer."""
        members = len(weights)
        flat = torch.tensor(weights, dtype=kind.torch_dtype, device=kind.device)
        zeros = np.zeros(members, dtype=np.int64)
        n_layers = len(kind.architecture.sizes) - 1
        return cls(
            weights=flat,
            best_weights=flat.clone(),
            slots=fresh_slots(kind, flat),
            epochs=zeros,
            run_epochs=zeros.copy(),
            best_epoch=zeros.copy(),
            stale=zeros.copy(),
            plateau_stale=zeros.copy(),
            best_loss=np.full(members, np.inf),
            plateau_best=np.full(members, np.inf),
            plateau_factor=np.ones(members),
            diverged=np.zeros(members, dtype=bool),
            initial=np.full((members, len(STATISTICS), n_layers), np.nan),
            generators=generators,
        )

    def take(self, members: np.ndarray) -> Record:
        """Return a copy of some of the members."""
        where = torch.tensor(members, device=self.weights.device)
        taken: dict[str, Any] = {}
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, Tensor):
                taken[f.name] = value[where]
            elif isinstance(value, dict):
                taken[f.name] = {name: slot[where] for name, slot in value.items()}
            elif isinstance(value, list):
                taken[f.name] = [value[i] for i in members]
            else:
                taken[f.name] = value[members]
        return Record(**taken)

    @classmethod
    def join(cls, parts: Sequence[Record]) -> Record:
        """Return a new record of the members of all parts, in their order."""
        joined: dict[str, Any] = {}
        for f in fields(cls):
            values = [getattr(part, f.name) for part in parts]
            if isinstance(values[0], Tensor):
                joined[f.name] = torch.cat(values)
            elif isinstance(values[0], dict):
                joined[f.name] = _joined_slots(parts)
            elif isinstance(values[0], list):
                joined[f.name] = [item for value in values for item in value]
            else:
                joined[f.name] = np.concatenate(values)
        return cls(**joined)

    def padded(self, kind: Kind) -> Record:
        """Return a copy whose numbers lie where training wants them."""
        return self._mapped(kind.layout.pad)

    def compact(self, kind: Kind) -> Record:
        """Return a copy without the padding of :meth:`padded`."""
        return self._mapped(kind.layout.strip)

    def _mapped(self, change: Callable[[Tensor], Tensor]) -> Record:
        """Return a copy, with a change to all that has a number for each weight."""
        copy = self.take(np.arange(len(self.epochs)))
        copy.weights = change(copy.weights)
        copy.best_weights = change(copy.best_weights)
        for name, slot in copy.slots.items():
            if slot.shape[1] > 1:  # else it is one number for each member
                copy.slots[name] = change(slot)
        return copy

    def put(self, members: np.ndarray, part: Record) -> None:
        """Write ``part`` over some of the members."""
        where = torch.tensor(members, device=self.weights.device)
        for f in fields(self):
            mine, theirs = getattr(self, f.name), getattr(part, f.name)
            if isinstance(mine, Tensor):
                mine[where] = theirs
            elif isinstance(mine, dict):
                for name, slot in mine.items():
                    slot[where] = theirs[name]
            elif isinstance(mine, list):
                for i, member in enumerate(members):
                    mine[member] = theirs[i]
            else:
                mine[members] = theirs

    def note_best(
        self, monitored: np.ndarray, tol: np.ndarray, is_lost: np.ndarray
    ) -> np.ndarray:
        """Note an epoch's losses: whose is the best, and since when none has been.

        Parameters
        ----------
        monitored : ndarray of shape (members,)
            The losses.
        tol : ndarray of shape (members,)
            By how much a loss must fall to count for early stopping.
        is_lost : ndarray of bool of shape (members,)
            Whose epoch is not to be the best.

        Returns
        -------
        ndarray of bool of shape (members,)
            Who is at their best.
        """
        improved = monitored < self.best_loss - tol
        self.stale = np.where(improved, 0, self.stale + 1)
        is_best: np.ndarray = (monitored < self.best_loss) & ~is_lost
        self.best_loss = np.where(is_best, monitored, self.best_loss)
        self.best_epoch = np.where(is_best, self.epochs, self.best_epoch)
        return is_best

    def forget_best(self) -> None:
        """Start early stopping and the schedule's plateau anew."""
        self.best_loss[:] = np.inf
        self.plateau_best[:] = np.inf
        self.stale[:] = 0
        self.plateau_stale[:] = 0

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Dump the record as numpy arrays, without the best weights.

        Returns
        -------
        dict of ndarray
            What :meth:`from_arrays` takes.
        """
        arrays = {}
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, np.ndarray):
                arrays[f.name] = value.copy()
        arrays["weights"] = self.weights.cpu().numpy().copy()
        for name, slot in self.slots.items():
            arrays[_SLOT + name] = slot.cpu().numpy().copy()
        arrays["generators"] = np.stack([_to_words(g) for g in self.generators])
        return arrays

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], kind: Kind) -> Record:
        """Take up a run again from what :meth:`to_arrays` dumped."""
        generators = [_from_words(words) for words in arrays["generators"]]
        record = cls.from_weights(kind, arrays["weights"], generators)
        for f in fields(cls):
            if isinstance(getattr(record, f.name), np.ndarray):
                setattr(record, f.name, arrays[f.name].copy())
        dumped = {k.removeprefix(_SLOT) for k in arrays if k.startswith(_SLOT)}
        # A change of optimizer between two calls starts the new one afresh.
        if dumped == set(record.slots):
            for name, slot in record.slots.items():
                dumped_slot = torch.tensor(arrays[_SLOT + name], device=slot.device)
                slot.copy_(dumped_slot)
        return record


def part_of(
    arrays: dict[str, np.ndarray], members: slice, optimizer: str
) -> dict[str, np.ndarray]:
    """Return a copy of what a dump holds of some members of one update rule.

    Parameters
    ----------
    arrays : dict of ndarray
        From `Record.to_arrays`, of members of any rules.
    members : slice
        Which of them.
    optimizer : str
        Their rule; what others remember is left out.

    Returns
    -------
    dict of ndarray
        As if they had been alone.
    """
    own = {_SLOT + name for name in OPTIMIZERS[optimizer].slots}
    return {
        name: values[members].copy()
        for name, values in arrays.items()
        if name in own or not name.startswith(_SLOT)
    }


def _joined_slots(parts: Sequence[Record]) -> dict[str, Tensor]:
    """Join what rules remember; zero where a member's rule has nothing of a name."""
    widths = {n: slot.shape[1] for part in parts for n, slot in part.slots.items()}

    def slot_of(part: Record, name: str) -> Tensor:
        if name in part.slots:
            return part.slots[name]
        return part.weights.new_zeros(len(part.weights), widths[name])

    return {name: torch.cat([slot_of(part, name) for part in parts]) for name in widths}


def make_generators(seeds: Sequence[int]) -> list[np.random.Generator]:
    """Return a new source of randomness for each seed."""
    return [np.random.Generator(np.random.PCG64(seed)) for seed in seeds]


def fresh_slots(kind: Kind, flat: Tensor) -> dict[str, Tensor]:
    """Return the optimizer's empty memory for networks ``flat``."""
    n_trained = Layout.of(kind.architecture).n_trained
    return initial_slots(kind.optimizer, flat[:, :n_trained])


def _to_words(generator: np.random.Generator) -> np.ndarray:
    """Write a PCG64 generator's state, 128-bit integers, as six words."""
    state: dict[str, Any] = dict(generator.bit_generator.state)
    inner = state["state"]
    words = [
        inner["state"] >> 64,
        inner["state"] & _WORD,
        inner["inc"] >> 64,
        inner["inc"] & _WORD,
        state["has_uint32"],
        state["uinteger"],
    ]
    return np.array(words, dtype=np.uint64)


def _from_words(words: np.ndarray) -> np.random.Generator:
    high, low, inc_high, inc_low, has_uint32, uinteger = (int(word) for word in words)
    bits = np.random.PCG64()
    bits.state = {
        "bit_generator": "PCG64",
        "state": {"state": high << 64 | low, "inc": inc_high << 64 | inc_low},
        "has_uint32": has_uint32,
        "uinteger": uinteger,
    }
    return np.random.Generator(bits)
