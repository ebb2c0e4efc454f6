"""What keeps the work of one fit from being lost: Ctrl-C is heard, a file is kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np

from sknnopt._checkpoint import Checkpoint
from sknnopt._interrupts import Interrupt
from sknnopt._snapshot import Snapshot


class Guard:
    """Guards all members of a fit, which may train in several loops at a time.

    Parameters
    ----------
    interrupt : Interrupt
        Tells whether the user wants the fit to end.
    checkpoint : Checkpoint or None, default=None
        The file.
    whole : Snapshot or None, default=None
        Where all members begin or go on, if there is a file.
    """

    def __init__(
        self,
        interrupt: Interrupt,
        checkpoint: Checkpoint | None = None,
        whole: Snapshot | None = None,
    ) -> None:
        self.interrupt, self.checkpoint = interrupt, checkpoint
        self._lock = threading.Lock()
        # Kept up as loops tell where they stand.
        self._whole = whole

    def of(self, members: np.ndarray) -> GuardOfSome:
        """Return what a loop of some of the members is guarded by.

        Parameters
        ----------
        members : ndarray of int
            Which of the fit.

        Returns
        -------
        GuardOfSome
            The guard.
        """
        return GuardOfSome(self, members)

    def close(self) -> None:
        """Remove the file of a fit that has come to its own end."""
        if self.checkpoint is not None and not self.interrupt.is_requested:
            self.checkpoint.remove()

    def _resumed(self, members: np.ndarray) -> Snapshot | None:
        with self._lock:
            return None if self._whole is None else self._whole.take(members)

    def _keep(self, members: np.ndarray, part: Snapshot) -> None:
        with self._lock:
            if self._whole is None or self.checkpoint is None:
                return
            self._whole.put(members, part)
            self.checkpoint.write(self._whole)


class GuardOfSome:
    """Guards the members of one loop.

    Parameters
    ----------
    guard : Guard
        Of the whole fit.
    members : ndarray of int
        Which of its members they are.
    """

    def __init__(self, guard: Guard, members: np.ndarray) -> None:
        self.guard, self.members = guard, members
        self._last = time.monotonic()

    def resumed(self) -> Snapshot | None:
        """Return where the loop shall go on, or None: at its beginning."""
        return self.guard._resumed(self.members)

    def is_interrupted(self) -> bool:
        """Tell whether the loop shall end now."""
        return self.guard.interrupt.is_requested

    def epoch_done(self, standing: Callable[[], Snapshot]) -> None:
        """Keep where the loop stands, from time to time."""
        checkpoint = self.guard.checkpoint
        # An epoch that was cut short is none of the run's.
        if checkpoint is None or self.is_interrupted():
            return
        if time.monotonic() - self._last >= checkpoint.seconds:
            self.guard._keep(self.members, standing())
            self._last = time.monotonic()


def joined(guards: list[GuardOfSome | None]) -> GuardOfSome | None:
    """Return what guards the members of several guards together.

    Parameters
    ----------
    guards : list of GuardOfSome or None
        Of one fit, or none of any.

    Returns
    -------
    GuardOfSome or None
        None where there is none.
    """
    known = [guard for guard in guards if guard is not None]
    if len(known) < len(guards):
        return None
    members = np.concatenate([guard.members for guard in known])
    return GuardOfSome(known[0].guard, members)
