"""What the command line asks of a benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks._timing import N_PAIRS


@dataclass(frozen=True)
class Settings:
    """Options that benchmarks share; each reads those that concern it.

    Parameters
    ----------
    quick : bool, default=False
        Whether this is a smoke test, whose numbers mean nothing.
    jobs : int, default=1
        Processes at a time, where times are not measured.
    pairs : int or None, default=None
        Pairs of measurements; None: 15, and 2 in a smoke test.
    shapes, peers, parts : sequence of str or None, default=None
        Names to restrict the work to; None takes all, but of the parts of ``quality``,
        ``tuning`` and ``diagnosis`` those that they have as their default.
    full : bool, default=False
        Whether ``quality`` uses long tables whole.
    seconds : float or None, default=None
        Wall time that ``tuning`` gives each search; None: its own default.
    """

    quick: bool = False
    jobs: int = 1
    pairs: int | None = None
    shapes: Sequence[str] | None = None
    peers: Sequence[str] | None = None
    parts: Sequence[str] | None = None
    full: bool = False
    seconds: float | None = None

    @property
    def n_pairs(self) -> int:
        """Return the number of pairs."""
        return self.pairs or (2 if self.quick else N_PAIRS)

    def wants(self, kind: str, name: str) -> bool:
        """Tell whether a name is among those asked for.

        Parameters
        ----------
        kind : {"shapes", "peers", "parts"}
            Which restriction.
        name : str
            The name in question.

        Returns
        -------
        bool
            True also without a restriction.
        """
        wanted = getattr(self, kind)
        return wanted is None or name in wanted
