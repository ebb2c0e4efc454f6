"""What a fit shows while it runs: a bar where rich is installed, else lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from skorch.callbacks import Callback

_SHOWN = ("train_loss", "valid_loss", "valid_score")


class ProgressCallback(Callback):
    """A callback that only shows how far a fit is."""

    def begin(self, n_epochs: int) -> None:
        """Take in that the run begins after so many epochs of an earlier process."""


class _Lines(ProgressCallback):
    """Print one line an epoch."""

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Print the epoch's numbers."""
        print(_text(net.history[-1]))


class _Bar(ProgressCallback):
    """Advance a rich progress bar by one an epoch."""

    def __init__(self, progress: Any, n_epochs: int) -> None:
        self.progress = progress
        self.task = progress.add_task("", total=n_epochs)

    def begin(self, n_epochs: int) -> None:
        """Begin the bar there."""
        self.progress.update(self.task, completed=n_epochs)

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Advance the bar and show the epoch's numbers."""
        self.progress.update(self.task, advance=1, description=_text(net.history[-1]))


class SearchProgress:
    """What all fits of a search show together: one bar over the epochs of all.

    It appears with the first epoch that is expected; without rich there is none.
    """

    def __init__(self) -> None:
        self._bar: Any = None
        self._total = 0

    def expect(self, n_epochs: int) -> None:
        """Take in that so many epochs are to come; show the bar."""
        self._total += n_epochs
        if self._bar is None:
            self._bar = _make_bar()
            if self._bar is None:
                return
            self._bar.start()
            self._task = self._bar.add_task("epochs of all networks", total=0)
        self._bar.update(self._task, total=self._total)

    def advance(self, n_epochs: int) -> None:
        """Take in that so many epochs are done."""
        if self._bar is not None:
            self._bar.update(self._task, advance=n_epochs)

    def close(self) -> None:
        """Take the bar down."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


class CandidateBar:
    """How many candidates of a search are done, and the best score so far.

    Parameters
    ----------
    progress : rich.progress.Progress
        Where it is shown.
    n_candidates : int or None
        All that may be evaluated; None: it is not known.
    """

    def __init__(self, progress: Any, n_candidates: int | None) -> None:
        self._progress = progress
        self._task = progress.add_task("candidates", total=n_candidates)

    def show(self, n_done: int, best: float) -> None:
        """Show so many candidates and a score, NaN if there is none."""
        text = _candidates_text(best)
        self._progress.update(self._task, completed=n_done, description=text)


class CandidateLines:
    """The same in lines, for what is no terminal: at most one a second.

    Parameters
    ----------
    n_candidates : int or None
        All that may be evaluated; None: it is not known.
    """

    def __init__(self, n_candidates: int | None) -> None:
        self._of = "" if n_candidates is None else f"/{n_candidates}"
        self._shown, self._last = -np.inf, ""

    def show(self, n_done: int, best: float) -> None:
        """Print so many candidates and a score, unless a line has just been printed."""
        self._last = f"{n_done}{self._of} {_candidates_text(best)}"
        if time.monotonic() - self._shown >= 1:
            self.close()

    def close(self) -> None:
        """Print what has not been printed yet."""
        if self._last:
            print(self._last, file=sys.stderr, flush=True)
            self._shown, self._last = time.monotonic(), ""


@contextmanager
def candidate_bar(
    verbose: bool | int, n_candidates: int | None
) -> Iterator[CandidateBar | CandidateLines | None]:
    """Give what shows the progress of a search on standard error.

    Parameters
    ----------
    verbose : bool or int
        False or 0: none.
    n_candidates : int or None
        All that may be evaluated; None: it is not known.

    Yields
    ------
    CandidateBar, CandidateLines or None
        A bar on a terminal or in a notebook, where rich is installed, else lines.
    """
    if not verbose:
        yield None
        return
    bar = _make_bar(with_time=True)
    console = None if bar is None else bar.console
    if console is None or not (console.is_terminal or console.is_jupyter):
        lines = CandidateLines(n_candidates)
        try:
            yield lines
        finally:
            lines.close()
        return
    with bar:
        yield CandidateBar(bar, n_candidates)


def _candidates_text(best: float) -> str:
    return "candidates" if np.isnan(best) else f"candidates  best score {best:.4f}"


@contextmanager
def progress_callbacks(verbose: bool | int, n_epochs: int) -> Iterator[list[Callback]]:
    """Give the callbacks that report on a fit.

    Parameters
    ----------
    verbose : bool or int
        False or 0: none.
    n_epochs : int
        The most epochs that the fit may take.

    Yields
    ------
    list of skorch callbacks
        None, a progress bar, or a printer of lines.
    """
    if not verbose:
        yield []
        return
    bar = _make_bar()
    if bar is None:
        yield [_Lines()]
        return
    with bar:
        yield [_Bar(bar, n_epochs)]


def _make_bar(*, with_time: bool = False) -> Any:
    """Return a rich progress display, or None where rich is not installed."""
    try:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
        )
    except ImportError:
        return None
    columns: list[Any] = [BarColumn(), MofNCompleteColumn()]
    if with_time:
        columns.append(TimeElapsedColumn())
    columns.append(TextColumn("{task.description}"))
    # Progress goes to standard error, as in tqdm: output may be redirected.
    return Progress(*columns, console=Console(file=sys.stderr))


def _text(row: Any) -> str:
    numbers = [f"{name} {row[name]:.4f}" for name in _SHOWN if name in row]
    return "  ".join([f"epoch {row['epoch']}", *numbers])
