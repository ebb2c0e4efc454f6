"""The options of the tune command, and which of them go together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from sknnopt._cli.tables import InputError

#: Candidates without a limit of time.
N_ITER = 50
#: More than fit into any time.
_ENOUGH = 10_000


@dataclass(frozen=True)
class TuneSettings:
    """Options of the tune command.

    Parameters
    ----------
    search : {"random", "tpe", "bayes", "grid"}, default="random"
        Who proposes candidates.
    space : {"small", "standard", "regularization", "guide"}, default="small"
        The preset of the search space.
    pruning : {"halving", "hyperband", "none"} or None, default=None
        How candidates leave early; None: by halving, and not at all from a grid.
    n_iter : int or None, default=None
        Most candidates; None: 50, or with a budget as many as it allows.
    budget : float or None, default=None
        Seconds for the search; None: no limit.
    study : str or None, default=None
        File in which candidates are kept, and from which the search goes on.
    cv : int, default=5
        Folds.
    test_size : float, default=0.2
        Share of the rows to hold out.
    seed : int, default=0
        Seed of all that is drawn.
    max_epochs : int, default=200
        Epochs that a fit may take at most.
    n_jobs : int, default=-1
        Fits that train side by side; -1: 256, or what memory allows.

    Raises
    ------
    InputError
        If options contradict each other.
    """

    search: str = "random"
    space: str = "small"
    pruning: str | None = None
    n_iter: int | None = None
    budget: float | None = None
    study: str | None = None
    cv: int = 5
    test_size: float = 0.2
    seed: int = 0
    max_epochs: int = 200
    n_jobs: int = -1

    def __post_init__(self) -> None:
        """Refuse what a grid cannot do."""
        if self.search != "grid":
            return
        if self.study is not None:
            raise InputError(
                "--resume cannot keep a grid; use --search random, tpe or bayes"
            )
        if self.budget is not None:
            raise InputError(
                "--budget cannot bound a grid; use --n-iter, or another --search"
            )
        if self.rule is not None:
            raise InputError(
                f"--pruning {self.rule} cannot prune a grid; use another --search"
            )
        if self.space == "guide":
            raise InputError(
                "--space guide is too large for a grid; use another --space or --search"
            )

    @property
    def rule(self) -> str | None:
        """How candidates are pruned, None if they are not."""
        if self.pruning is None:
            return None if self.search == "grid" else "halving"
        return None if self.pruning == "none" else self.pruning

    @property
    def n_candidates(self) -> int:
        """Candidates at most."""
        if self.n_iter is not None:
            return self.n_iter
        return N_ITER if self.budget is None else _ENOUGH

    def listed(self) -> dict[str, Any]:
        """Return what a report says of them.

        Returns
        -------
        dict
            Values by name, those that are switched off left out.
        """
        listed = {
            "search": self.search,
            "space": self.space,
            "pruning": self.rule,
            "candidates": self.n_iter or (None if self.budget else N_ITER),
            "budget": None if self.budget is None else f"{self.budget:g} s",
            "cv": self.cv,
            "test_size": self.test_size,
            "seed": self.seed,
            "max_epochs": self.max_epochs,
        }
        return {name: value for name, value in listed.items() if value is not None}


def seconds(text: str) -> float:
    """Read a duration.

    Parameters
    ----------
    text : str
        A number, of seconds unless ``s``, ``m`` or ``h`` follows.

    Returns
    -------
    float
        Seconds, greater than 0.

    Raises
    ------
    ValueError
        If it is none.
    """
    unit = {"s": 1, "m": 60, "h": 3600}.get(text[-1:])
    value = float(text if unit is None else text[:-1]) * (unit or 1)
    if not (math.isfinite(value) and value > 0):
        raise ValueError("a duration is greater than 0 and finite")
    return value
