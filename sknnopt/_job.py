"""What a training run is given: a job, of one or of many networks.

Everything that may differ between them is an array with a leading member axis, so that
to leave a member out is to slice, and to train beside others is to join.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import torch

from sknnopt._architecture import Architecture
from sknnopt._layout import Layout


@dataclass(frozen=True)
class Kind:
    """What the members of a batch are, but for numbers.

    Parameters
    ----------
    architecture : Architecture
        Shape of the networks.
    loss, optimizer, lr_schedule : str
        Names in the registries.
    batch_size : int
        Rows in an update.
    nesterov, shuffle, clip_per_tensor : bool
        As the estimator's parameters.
    monitor : {"off", "light", "full"}
        How much is recorded of each epoch.
    restore_best : bool
        Whether members stop on, and return to, their best validation loss.
    dtype : numpy dtype
        Of all arithmetic.
    device : str
        A torch device.
    """

    architecture: Architecture
    loss: str
    optimizer: str
    lr_schedule: str = "constant"
    batch_size: int = 32
    nesterov: bool = False
    shuffle: bool = True
    clip_per_tensor: bool = False
    monitor: str = "light"
    restore_best: bool = False
    dtype: np.dtype = field(default_factory=lambda: np.dtype(np.float64))
    device: str = "cpu"

    @property
    def choice(self) -> tuple[str, tuple[str, ...]]:
        """What members of one batch may choose for themselves."""
        return self.optimizer, self.architecture.activations

    @property
    def common(self) -> tuple[Any, ...]:
        """All else, which they must have in common."""
        chosen = "architecture", "optimizer"
        rest = [getattr(self, f.name) for f in fields(self) if f.name not in chosen]
        return self.architecture.sizes, self.architecture.normalization, *rest

    @property
    def layout(self) -> Layout:
        """Where the numbers of a member lie in training."""
        return Layout.padded(self.architecture)

    @property
    def torch_dtype(self) -> torch.dtype:
        """The dtype as torch names it."""
        return torch.float32 if self.dtype == np.float32 else torch.float64


@dataclass(frozen=True)
class Settings:
    """What may differ from member to member; axis 0 of every array is the member.

    ``l1`` and ``l2`` have one column a layer (the output's last), ``dropout`` one a
    hidden layer; all others are vectors. Infinity switches a threshold off.
    """

    learning_rate: np.ndarray
    lr_decay: np.ndarray
    warmup: np.ndarray
    momentum: np.ndarray
    weight_decay: np.ndarray
    l1: np.ndarray
    l2: np.ndarray
    dropout: np.ndarray
    clip_norm: np.ndarray
    clip_value: np.ndarray
    loss_parameter: np.ndarray
    max_epochs: np.ndarray
    max_seconds: np.ndarray
    patience: np.ndarray
    tol: np.ndarray

    @classmethod
    def repeat(cls, members: int, **values: Any) -> Settings:
        """Give every member the same values."""
        return cls(
            **{
                name: np.repeat(np.asarray(value)[None], members, axis=0)
                for name, value in values.items()
            }
        )

    @classmethod
    def join(cls, parts: Sequence[Settings]) -> Settings:
        """Return the settings of the members of all parts, in their order."""
        return cls(
            **{
                f.name: np.concatenate([getattr(part, f.name) for part in parts])
                for f in fields(cls)
            }
        )

    def take(self, members: np.ndarray) -> Settings:
        """Return the settings of some of the members."""
        return Settings(
            **{f.name: getattr(self, f.name)[members] for f in fields(self)}
        )


@dataclass(frozen=True, eq=False)
class Table:
    """Features and encoded target of the rows that members draw from.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_rows, n_features)
        Features.
    target : ndarray of shape (n_rows, n_targets)
        Class indices, indicators, or standardized numbers.
    """

    X: Any
    target: np.ndarray


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of a table that one member trains on, or is validated on.

    Parameters
    ----------
    table : Table
        Where they are.
    index : ndarray of int, (n_rows,)
        Which they are.
    weight : ndarray of shape (n_rows,) or None, default=None
        Their sample weights.
    """

    table: Table
    index: np.ndarray
    weight: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.index)


@dataclass(frozen=True, eq=False)
class Job:
    """A training run: what to train, on what, and how.

    Parameters
    ----------
    kind : Kind
        What the members share; the first one's, where they choose.
    settings : Settings
        Numbers, in which they differ.
    rows : sequence of Rows
        Each member's training rows.
    held_out : sequence of Rows
        Each member's validation rows; empty without a validation set.
    n_epochs : int or None, default=None
        Epochs to train now; None: each member's ``max_epochs``, which in any case
        is the horizon of its learning-rate schedule.
    kinds : sequence of Kind
        Each member's own, where they differ in their `Kind.choice`; those of one
        choice lie side by side.
    """

    kind: Kind
    settings: Settings
    rows: Sequence[Rows]
    held_out: Sequence[Rows] = ()
    n_epochs: int | None = None
    kinds: Sequence[Kind] = ()

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def member_kinds(self) -> Sequence[Kind]:
        """Each member's kind."""
        return self.kinds or [self.kind] * len(self)

    def take(self, members: np.ndarray) -> Job:
        """Return the job of some of the members."""
        kinds = [self.kinds[i] for i in members] if self.kinds else ()
        return replace(
            self,
            kind=kinds[0] if kinds else self.kind,
            kinds=kinds,
            settings=self.settings.take(members),
            rows=[self.rows[i] for i in members],
            held_out=[self.held_out[i] for i in members] if self.held_out else (),
        )

    @classmethod
    def join(cls, jobs: Sequence[Job]) -> Job:
        """Return one job of the members of all, of kinds that differ in choices."""
        kinds = [kind for job in jobs for kind in job.member_kinds]
        return replace(
            jobs[0],
            kinds=kinds if any(kind != kinds[0] for kind in kinds) else (),
            settings=Settings.join([job.settings for job in jobs]),
            rows=[rows for job in jobs for rows in job.rows],
            held_out=[rows for job in jobs for rows in job.held_out],
        )
