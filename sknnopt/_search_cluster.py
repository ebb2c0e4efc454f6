"""A search's fits on the workers of a Dask cluster, in chunks that train as one batch.

joblib's own Dask backend hands a worker one task at a time, which can meet no other.
Here a task is a chunk: some candidates with all their folds. If its worker dies, Dask
gives the chunk to another.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from joblib import Parallel, delayed, parallel_config
from joblib._parallel_backends import ParallelBackendBase

from sknnopt._gathering import GatheringBackend
from sknnopt._rungs import Rungs
from sknnopt._search_backend import SearchBackend
from sknnopt._search_run import SearchRun

#: Chunks that each worker gets: with one, all would wait for the slowest.
_CHUNKS_PER_WORKER = 2


@dataclass
class Chunk:
    """What came of the fits of a chunk, in the worker that trained them.

    Parameters
    ----------
    rungs : Rungs or None
        What they are pruned by.
    results : dict
        By fit, what joblib expects of its task.
    networks : list of tuple
        Fit, record and history of what was trained.
    """

    rungs: Rungs | None
    results: dict[int, Any] = field(default_factory=dict)
    networks: list[tuple[int, dict[str, np.ndarray], Any]] = field(default_factory=list)

    def begin_round(self) -> Rungs | None:
        """Return what the fits are pruned by."""
        return self.rungs

    def answer(self, number: int) -> None:
        """Know nothing: what is known is not sent."""

    def scored(self, number: int, result: Any) -> None:
        """Keep the result of a fit."""
        self.results[number] = result

    def trained(self, number: int, record: Any, history: Any) -> None:
        """Keep what is read of a fit's networks."""
        kept = {name: record[name] for name in ("epochs", "diverged")}
        self.networks.append((number, kept, history))


def train_chunk(
    fits: list[Callable[[], Any]], n_splits: int, rule: str | None, seconds: float
) -> Chunk:
    """Train some candidates with all their folds; runs in a worker.

    Parameters
    ----------
    fits : list of callable
        What joblib's tasks do, fold by fold.
    n_splits : int
        Folds.
    rule : str or None
        How candidates are pruned.
    seconds : float
        Time that is left.

    Returns
    -------
    Chunk
        What came of it.
    """
    rungs = None
    if rule is not None or np.isfinite(seconds):
        rungs = Rungs(n_splits, rule=rule, deadline=time.monotonic() + seconds)
    chunk = Chunk(rungs)
    with parallel_config(backend=SearchBackend(watcher=chunk)):
        Parallel(pre_dispatch="all")(delayed(fit)() for fit in fits)
    return chunk


@dataclass(frozen=True)
class _Pending:
    """A task of joblib's that waits for its chunk."""

    number: int
    func: Callable[[], Any]
    callback: Callable[[Any], Any]


class ClusterBackend(ParallelBackendBase):
    """Send the fits of a search to a Dask cluster, chunk by chunk.

    Parameters
    ----------
    nesting_level : int or None, default=None
        Set by joblib.
    run : SearchRun
        Who is told of the fits.
    client : distributed.Client
        The cluster.
    """

    default_n_jobs = -1
    supports_retrieve_callback = True

    def __init__(
        self, nesting_level: int | None = None, *, run: SearchRun, client: Any
    ) -> None:
        super().__init__(nesting_level=nesting_level)
        self._run, self._client = run, client
        self._answers = ThreadPoolExecutor(1)
        self._pending: list[_Pending] = []
        self._futures: list[Any] = []
        self._n_submitted = 0

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Return a number that keeps joblib from computing in this process."""
        return max(2, len(self._client.scheduler_info()["workers"]))

    def configure(self, n_jobs: int = 1, parallel: Any = None, **options: Any) -> int:
        """Belong to a call of joblib's."""
        self.parallel = parallel
        return self.effective_n_jobs(n_jobs)

    def get_nested_backend(self) -> tuple[ParallelBackendBase, None]:
        """Return what inner calls use in a worker: they meet others of the chunk."""
        return GatheringBackend((self.nesting_level or 0) + 1), None

    def start_call(self) -> None:
        """Begin a round."""
        self._n_submitted = 0
        self._rungs = self._run.begin_round()
        n_workers = self.effective_n_jobs(None)
        n_chunks = _CHUNKS_PER_WORKER * n_workers
        self._chunk_size = self._run.n_splits * -(-self._run.n_of_round // n_chunks)

    def submit(self, func: Callable[[], Any], callback: Callable[[Any], Any]) -> Any:
        """Take in a task; send what makes a chunk."""
        number, self._n_submitted = self._n_submitted, self._n_submitted + 1
        known = self._run.answer(number)
        if known is not None:
            # joblib expects to be called back from another thread.
            return self._answers.submit(callback, [known])
        pending = _Pending(number, func, callback)
        self._pending.append(pending)
        if len(self._pending) == self._chunk_size:
            self._send()
        return pending

    #: The name that joblib before 1.5 calls.
    apply_async = submit

    @contextmanager
    def retrieval_context(self) -> Iterator[None]:
        """Send the rest: no more tasks come."""
        self._send()
        yield

    def _send(self) -> None:
        chunk, self._pending = self._pending, []
        if not chunk:
            return
        future = self._client.submit(
            train_chunk,
            [pending.func for pending in chunk],
            self._run.n_splits,
            self._run.pruning,
            self._run.seconds_left,
            pure=False,
        )
        self._futures.append(future)
        future.add_done_callback(lambda done: self._settle(chunk, done))

    def _settle(self, chunk: list[_Pending], future: Any) -> None:
        """Tell the search and joblib what came of a chunk, in a thread of Dask's."""
        try:
            trained: Chunk = future.result()
        except BaseException as error:  # noqa: BLE001  # joblib raises it
            for pending in chunk:
                pending.callback(error)
            return
        first = chunk[0].number
        if self._rungs is not None and trained.rungs is not None:
            begin = first // self._run.n_splits
            self._rungs.adopt(trained.rungs, begin)
        for number, record, history in trained.networks:
            self._run.trained(first + number, record, history)
        for pending in chunk:
            result = trained.results[pending.number - first]
            self._run.scored(pending.number, result[0])
            pending.callback(result)

    def retrieve_result_callback(self, outcome: Any) -> Any:
        """Return what a task returned, or raise its error."""
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Take back what was sent."""
        self._pending = []
        self._client.cancel(self._futures, force=True)

    def stop_call(self) -> None:
        """Forget the round."""
        self._pending, self._futures = [], []
