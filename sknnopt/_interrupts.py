"""Ctrl-C as a wish that is heard at safe moments, not an exception at any.

Python raises KeyboardInterrupt between any two instructions, and what was being
changed stays half changed. Here it is only noted: training then ends as if its time
were up, and an import ends before the exception is raised.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

#: Who makes many fits one after another: to end one of them would not end the call.
_MAKE_MANY_FITS = (
    "joblib",
    "optuna",
    "sklearn.ensemble",
    "sklearn.feature_selection",
    "sklearn.multiclass",
    "sklearn.multioutput",
    "sklearn.semi_supervised",
)


class Interrupt:
    """Notes Ctrl-C; the second one, or one for many fits, is raised.

    Parameters
    ----------
    is_patient : bool, default=False
        Whether none is raised.

    Attributes
    ----------
    is_requested : bool
        Whether one was noted.
    """

    def __init__(self, *, is_patient: bool = False) -> None:
        self._is_patient, self.is_requested = is_patient, False

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        """Handle the signal."""
        is_last = self.is_requested or _is_one_of_many(frame)
        if is_last and not self._is_patient:
            signal.default_int_handler(signum, frame)
        self.is_requested = True


@contextmanager
def noted_interrupts(*, is_patient: bool = False) -> Iterator[Interrupt]:
    """Note Ctrl-C in this block, where Python's own handler would be called.

    Elsewhere than in the main thread, and where the program handles the signal
    itself, nothing is changed.

    Parameters
    ----------
    is_patient : bool, default=False
        Whether the second one is noted, too, instead of raised.

    Yields
    ------
    Interrupt
        Tells whether one came.
    """
    interrupt = Interrupt(is_patient=is_patient)
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield interrupt
        return
    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def deferred_interrupts() -> Iterator[None]:
    """Raise the KeyboardInterrupt of this block at its end.

    An import that is cut short leaves packages half loaded, torch for one beyond
    repair: the process would have to end.

    Yields
    ------
    None
        Control.
    """
    with noted_interrupts(is_patient=True) as interrupt:
        yield
    if interrupt.is_requested:
        raise KeyboardInterrupt


def _is_one_of_many(frame: FrameType | None) -> bool:
    """Tell whether a call that makes many fits is under way."""
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if any(name == part or name.startswith(f"{part}.") for part in _MAKE_MANY_FITS):
            return True
        frame = frame.f_back
    return False
