"""What a fit shows: a bar where rich is installed, else one line an epoch."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest
from skorch.callbacks import Callback
from skorch.history import History

from sknnopt import _progress
from sknnopt._progress import SearchProgress, candidate_bar, progress_callbacks

RICH = ("rich", "rich.console", "rich.progress")
EPOCHS = [
    {"epoch": 1, "train_loss": 0.75, "valid_loss": 0.5, "valid_score": 0.25},
    {"epoch": 2, "train_loss": 0.625, "valid_loss": 0.4375, "valid_score": 0.3},
]
LINES = [
    "epoch 1  train_loss 0.7500  valid_loss 0.5000  valid_score 0.2500",
    "epoch 2  train_loss 0.6250  valid_loss 0.4375  valid_score 0.3000",
]


class Net:
    """What the callbacks read of a net: its history."""

    def __init__(self):
        self.history = History()

    def add(self, row):
        """Begin an epoch and write its numbers."""
        self.history.new_epoch()
        for name, value in row.items():
            self.history.record(name, value)


def _show(verbose, n_epochs=2, epochs=EPOCHS):
    net = Net()
    with progress_callbacks(verbose, n_epochs) as callbacks:
        for row in epochs:
            net.add(row)
            for callback in callbacks:
                assert isinstance(callback, Callback)
                callback.on_epoch_end(net)
    return callbacks


@pytest.fixture
def without_rich(monkeypatch):
    """Let every import of rich fail."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "rich"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rich", None)


@pytest.mark.parametrize("verbose", [False, 0])
def test_silent(capsys, verbose):
    """Not verbose, there is no callback and no word."""
    assert _show(verbose) == []
    assert capsys.readouterr() == ("", "")


def test_search_is_silent_without_rich(without_rich, capsys):
    """The bar of a search is the only thing it shows: without rich there is none."""
    progress = SearchProgress()
    progress.expect(3)
    progress.expect(2)
    progress.advance(5)
    progress.close()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("verbose", [False, 0])
def test_silent_without_rich(without_rich, capsys, verbose):
    """Not verbose, rich is not missed."""
    assert _show(verbose) == []
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("verbose", [True, 1, 2])
def test_lines(without_rich, capsys, verbose):
    """Without rich, every epoch prints one line with its numbers."""
    _show(verbose)
    shown = capsys.readouterr()
    assert shown.out.splitlines() == LINES
    assert shown.err == ""


def test_lines_without_validation(without_rich, capsys):
    """Numbers that are not there are not shown."""
    _show(True, epochs=[{"epoch": 7, "train_loss": 1e-5, "learning_rate": 0.1}])
    assert capsys.readouterr().out == "epoch 7  train_loss 0.0000\n"


@pytest.mark.parametrize("verbose", [True, 1])
def test_bar(capsys, verbose):
    """With rich, a bar on standard error counts epochs and shows the last numbers."""
    pytest.importorskip("rich")
    _show(verbose, n_epochs=2)
    shown = capsys.readouterr()
    words = " ".join(shown.err.split())
    assert shown.out == ""
    assert "2/2" in words
    # A narrow console breaks or cuts the text at its end.
    assert "epoch 2" in words
    assert "train_loss" in words


def test_bar_of_a_run_that_stops(capsys):
    """A run that ends before its last epoch leaves the bar where it is."""
    pytest.importorskip("rich")
    _show(True, n_epochs=50)
    assert re.search(r"\b2/50\b", capsys.readouterr().err)


def test_bar_counts(capsys):
    """The bar's task has as many steps as epochs, and its text is the epoch's line."""
    pytest.importorskip("rich")
    (bar,) = _show(True, n_epochs=5)
    (task,) = bar.progress.tasks
    assert (task.completed, task.total) == (2, 5)
    assert task.description == LINES[-1]


def test_bar_ends_with_an_error(capsys):
    """An error in the fit passes through, and the bar's display ends."""
    pytest.importorskip("rich")
    with pytest.raises(ZeroDivisionError), progress_callbacks(True, 3) as callbacks:
        _ = 1 / 0
    assert callbacks[0].progress.finished is False
    assert not callbacks[0].progress.live.is_started


@pytest.fixture
def clock(monkeypatch):
    """Let time pass at will: the list's last number is the time."""
    times = [100.0]
    monkeypatch.setattr(_progress.time, "monotonic", lambda: times[-1])
    return times


@pytest.mark.parametrize("n_candidates", [3, None])
def test_lines_of_candidates(capsys, clock, n_candidates):
    """Where standard error is no terminal there is a line a second, and the last."""
    with candidate_bar(1, n_candidates) as bar:
        bar.show(1, np.nan)
        bar.show(2, 0.5)
        clock.append(101.0)
        bar.show(2, 0.75)
        bar.show(3, 0.8)
    of = "" if n_candidates is None else "/3"
    assert capsys.readouterr().err.splitlines() == [
        f"1{of} candidates",
        f"2{of} candidates  best score 0.7500",
        f"3{of} candidates  best score 0.8000",
    ]


def test_lines_without_candidates(without_rich, capsys):
    """A search that ends before its first candidate, or is silent, prints nothing."""
    with candidate_bar(1, 3):
        pass
    with candidate_bar(0, 3) as bar:
        assert bar is None
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("n_candidates", [3, None])
def test_bar_of_candidates(monkeypatch, capsys, n_candidates):
    """On a terminal a bar counts candidates, also where it is not known how many."""
    pytest.importorskip("rich")
    monkeypatch.setenv("FORCE_COLOR", "1")
    with candidate_bar(1, n_candidates) as bar:
        bar.show(2, 0.75)
        (task,) = bar._progress.tasks
    assert (task.completed, task.total) == (2, n_candidates)
    assert task.description == "candidates  best score 0.7500"
