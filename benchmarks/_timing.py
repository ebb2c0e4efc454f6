"""Paired measurement: two pieces of work in turn, in one process, on equal terms."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from benchmarks._statistics import estimate

#: Fewer pairs than this are a trial, and reports say so.
N_PAIRS = 15
#: The two sides of a pair.
SIDES = ("ours", "peer")
_PROC = Path("/proc")


@dataclass(frozen=True)
class Bar:
    """What a ratio must reach.

    Parameters
    ----------
    value : float
        The ratio at which the bar lies.
    at_most : bool, default=True
        Whether lower ratios are better (a share of the peer's time) or higher ones
        (times faster).
    """

    value: float
    at_most: bool = True

    def is_met(self, interval: dict[str, float]) -> bool:
        """Tell whether the worse end of an interval meets the bar."""
        if self.at_most:
            return interval["high"] <= self.value
        return interval["low"] >= self.value

    def __str__(self) -> str:
        """Return the bar as reports write it."""
        return f"{'at most' if self.at_most else 'at least'} {self.value:g}"


def n_cores() -> int:
    """Return the number of cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def limited_threads(n_threads: int) -> Iterator[None]:
    """Run the block with one number of threads for numpy, scikit-learn and torch.

    Parameters
    ----------
    n_threads : int
        Of each BLAS and OpenMP pool that is loaded, and of torch.

    Yields
    ------
    None
        Control, with the limits in force.
    """
    before = torch.get_num_threads()
    with threadpool_limits(n_threads):
        torch.set_num_threads(n_threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def cpu_of_children() -> float:
    """Return the CPU time of the children of this process, ended and alive.

    Children that are alive, such as the workers of a pool, can be seen on Linux only.

    Returns
    -------
    float
        Seconds, of which differences mean something.
    """
    ended = os.times()
    of_ended = ended.children_user + ended.children_system
    return of_ended + sum(map(_cpu_of, _descendants()))


def _descendants() -> list[int]:
    """Return the processes below this one."""
    found, waiting = [], [os.getpid()]
    while waiting:
        parent = waiting.pop()
        for listing in _PROC.glob(f"{parent}/task/*/children"):
            try:
                children = [int(word) for word in listing.read_text().split()]
            except OSError:  # the thread has ended
                continue
            found += children
            waiting += children
    return found


def _cpu_of(process: int) -> float:
    """Return the CPU time of a process and its ended children."""
    try:
        text = (_PROC / str(process) / "stat").read_text(encoding="utf-8")
    except OSError:  # it has ended
        return 0.0
    # The name, in brackets, may itself contain blanks; see proc(5).
    fields = text.rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def clocked(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """Do some work and return its result, wall time and CPU time in seconds."""
    gc.collect()  # no run pays for what the one before has left
    # Looking for children takes time itself, so it lies outside of both clocks.
    of_children = cpu_of_children()
    cpu, wall = time.process_time(), time.perf_counter()
    result = work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return result, wall, cpu + cpu_of_children() - of_children


def measure_pairs(
    ours: Callable[[int], Any],
    peer: Callable[[int], Any],
    n_pairs: int,
    inspect: Callable[[Any], float | None] | None = None,
    *,
    warm_up: bool = True,
    n_rounds: int = 1,
) -> dict[str, dict[str, list[float]]]:
    """Do both works in turn: ours, peer, peer, ours, ...

    Parameters
    ----------
    ours, peer : callable
        Called with a seed, which both works of a pair share.
    n_pairs : int
        How many pairs.
    inspect : callable or None, default=None
        Turns a result into a number, such as a training loss; its time is not
        measured. None where it says nothing about the result.
    warm_up : bool, default=True
        Whether both are done once before, unmeasured, so that pools are alive, code
        is loaded and caches are warm.
    n_rounds : int, default=1
        How often each pair does both works, in turn, its time being the sum: where a
        work is short, what else a machine does falls on one side of a pair alone.

    Returns
    -------
    dict
        For ``"ours"`` and ``"peer"`` lists over pairs: ``wall`` and ``cpu`` in
        seconds and, with ``inspect``, ``loss``.
    """
    works = {"ours": ours, "peer": peer}
    found: dict[str, dict[str, list[float]]] = {
        side: {"wall": [], "cpu": []} for side in SIDES
    }
    if warm_up:
        for work in works.values():
            work(n_pairs)
    for seed in range(n_pairs):
        for side, (result, wall, cpu) in _pair(works, seed, n_rounds).items():
            found[side]["wall"].append(wall)
            found[side]["cpu"].append(cpu)
            if inspect is not None and (value := inspect(result)) is not None:
                found[side].setdefault("loss", []).append(value)
    return found


def _pair(
    works: dict[str, Callable[[int], Any]], seed: int, n_rounds: int
) -> dict[str, tuple[Any, float, float]]:
    """Do both works in turn; return a result, and the sums of wall and CPU time."""
    done: dict[str, tuple[Any, float, float]] = dict.fromkeys(SIDES, (None, 0.0, 0.0))
    for turn in range(seed, seed + n_rounds):
        for side in SIDES if turn % 2 == 0 else SIDES[::-1]:
            _, wall, cpu = done[side]
            result, more_wall, more_cpu = clocked(lambda w=works[side]: w(seed))
            done[side] = (result, wall + more_wall, cpu + more_cpu)
    return done


def ratios(
    pairs: dict[str, Any], quantity: str = "wall", *, speedup: bool = False
) -> np.ndarray:
    """Return the ratio of each pair.

    Parameters
    ----------
    pairs : dict
        What :func:`measure_pairs` returned.
    quantity : {"wall", "cpu"}, default="wall"
        Which time.
    speedup : bool, default=False
        Whether to divide the peer's time by ours (times faster) instead of ours by
        the peer's (share of its time).

    Returns
    -------
    ndarray of shape (n_pairs,)
        One for each pair.
    """
    ours, peer = (np.array(pairs[side][quantity]) for side in SIDES)
    return peer / ours if speedup else ours / peer


def median_ratio(values: np.ndarray) -> dict[str, float]:
    """Return the median of paired ratios with its 95 % interval.

    Parameters
    ----------
    values : ndarray of shape (n_pairs,)
        Ratios of pairs, which are the units that the bootstrap draws.

    Returns
    -------
    dict
        ``value``, ``low`` and ``high``.
    """
    return estimate(values[:, None], np.median, np.random.default_rng(0))


def losses_agree(pairs: dict[str, Any], tolerance: float = 0.05) -> bool:
    """Tell whether the median final losses of both sides are equally good.

    Parameters
    ----------
    pairs : dict
        What :func:`measure_pairs` returned.
    tolerance : float, default=0.05
        Largest relative difference.

    Returns
    -------
    bool
        True also where a side has no loss, like bare matrix products.
    """
    if any("loss" not in pairs[side] for side in SIDES):
        return True
    ours, peer = (float(np.median(pairs[side]["loss"])) for side in SIDES)
    return abs(ours - peer) <= tolerance * peer
