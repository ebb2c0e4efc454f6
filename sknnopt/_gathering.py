"""The joblib backend whose tasks train their networks together.

joblib calls a backend at fixed points of a ``Parallel`` call: ``configure``,
``start_call``, ``submit`` for each task, ``retrieval_context`` once the caller waits,
``abort_everything`` after an error or Ctrl-C, then ``stop_call`` and ``terminate``.
This module translates them for the `Rendezvous`, which knows nothing of joblib.
"""

from __future__ import annotations

import math
import traceback
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from numbers import Integral, Real
from typing import Any

from joblib._parallel_backends import (
    FallbackToBackend,
    ParallelBackendBase,
    SequentialBackend,
)

from sknnopt import _interleaving
from sknnopt._memory import free_memory
from sknnopt._rendezvous import (
    ENDING_SECONDS,
    Rendezvous,
    TaskCancelledError,
    current,
)
from sknnopt._rungs import Rungs
from sknnopt._tasks import Call, Task
from sknnopt._threads import n_cores

#: Number of fits that wait for each other, where no ``n_jobs`` says less.
WIDTH = 256


class GatheringBackend(ParallelBackendBase):
    """Run tasks in threads and train the networks of waiting ones together.

    Parameters
    ----------
    nesting_level : int or None
        Set by joblib.
    width : int, default=256
        Number of fits that may be held at a time, and what ``n_jobs=-1`` means.
    memory : float or None, default=None
        Bytes that the held fits may take together. None: a third of what is free when
        a search begins. A fit that needs more alone is still trained, alone.
    rungs : Rungs or None, default=None
        Where fits are compared on their way, and the worst leave. They serve one call,
        the first that trains: what comes after it, such as a search's refit, trains
        to its end.
    """

    default_n_jobs = -1
    supports_retrieve_callback = True
    supports_sharedmem = True
    uses_threads = True

    def __init__(
        self,
        nesting_level: int | None = None,
        *,
        width: int = WIDTH,
        memory: float | None = None,
        rungs: Rungs | None = None,
    ) -> None:
        super().__init__(nesting_level=nesting_level)
        self.width = _checked_width(width)
        self.memory = _checked_memory(memory)
        self.rungs = _checked_rungs(rungs)
        self.parallel: Any = None
        self._call: Call | None = None
        self._training: Training | None = None
        self._finalizer: Any = None

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """Return how many tasks of a call are held at a time.

        Parameters
        ----------
        n_jobs : int or None
            None or -1: the width. Other negative numbers count down from there.

        Returns
        -------
        int
            At most the width.
        """
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is None:
            return self.width
        if n_jobs < 0:
            return max(self.width + 1 + n_jobs, 1)
        return min(n_jobs, self.width)

    def configure(self, n_jobs: int = 1, parallel: Any = None, **options: Any) -> int:
        """Return the number of jobs, or have joblib use another backend."""
        n_jobs = self.effective_n_jobs(n_jobs)
        # While a task consumes a generator no one could tell whether it computes or
        # waits.
        is_generating = getattr(parallel, "return_generator", False)
        if n_jobs == 1 or (is_generating and current() is not None):
            raise FallbackToBackend(SequentialBackend(nesting_level=self.nesting_level))
        if self.parallel is not parallel:
            # The active backend is shared by all calls; each gets one of its own.
            own = self._for_call()
            own.parallel = parallel
            raise FallbackToBackend(own)
        return n_jobs

    def get_nested_backend(self) -> tuple[ParallelBackendBase, None]:
        """Return what inner calls of tasks use: the same, at the same rendezvous."""
        return self._copy((self.nesting_level or 0) + 1), None

    def _for_call(self) -> GatheringBackend:
        return self._copy(self.nesting_level)

    def _copy(self, nesting_level: int | None) -> GatheringBackend:
        return GatheringBackend(
            nesting_level, width=self.width, memory=self.memory, rungs=self.rungs
        )

    def _make_training(self) -> Training:
        return Training(n_cores(), self.rungs)

    # ------------------------------------------------------------- one call

    def start_call(self) -> None:
        """Meet where the calling task does, or at a new place."""
        task = current()
        cap = self.effective_n_jobs(self.parallel.n_jobs)
        if task is not None:
            self._call = task.call.rendezvous.open_call(cap)
            return
        memory = free_memory() / 3 if self.memory is None else self.memory
        self._training = self._make_training()
        rendezvous = Rendezvous(
            self._training, width=self.width, slots=n_cores(), budget=memory
        )
        _interleaving.remember(rendezvous)
        probe = None
        if self.parallel.return_generator:
            probe = partial(_is_dispatching, weakref.ref(self.parallel))
        self._call = rendezvous.open_call(cap, probe)
        # An interrupt between joblib's own steps may keep it from stopping the call.
        self._finalizer = weakref.finalize(self, rendezvous.end)
        self._finalizer.atexit = False

    def submit(self, func: Callable[[], Any], callback: Callable[..., Any]) -> Any:
        """Hand over a task.

        Parameters
        ----------
        func : callable
            What the task does.
        callback : callable
            Called in the task's thread when it has ended.

        Returns
        -------
        Task or None
            None if the call has ended meanwhile.
        """

        def done(task: Task) -> bool:
            callback(task)
            return bool(self.parallel._aborting)

        call = self._call
        return None if call is None else call.submit(func, done)

    #: The name that joblib before 1.5 calls.
    apply_async = submit

    def retrieve_result_callback(self, task: Task) -> Any:
        """Return what a task returned, or raise its error with a note of its origin."""
        try:
            return task.result()
        except TaskCancelledError:
            raise
        except BaseException as error:
            # joblib drops the traceback.
            lines = traceback.format_exception(error, chain=False)
            error.add_note(f"In a task:\n{''.join(lines)}".rstrip())
            raise

    @contextmanager
    def retrieval_context(self) -> Iterator[None]:
        """Know that the caller waits, and spare a waiting task from polling."""
        call = self._call
        if call is None:
            yield
            return
        with call.retrieving(sleeps=self.parallel.timeout is None):
            yield

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """End the tasks that wait and drop those that have not begun."""
        if self._call is not None:
            self._call.abort()

    def stop_call(self) -> None:
        """Leave the rendezvous; the outermost call waits a little for aborted tasks."""
        call, self._call = self._call, None
        if call is None:
            return
        try:
            if call.aborted and call.parent is None:
                call.abort()  # once more: an interrupt may have cut it short
                call.rendezvous.join(ENDING_SECONDS)
        finally:
            call.close()
            if call.parent is None:
                self._finalizer.detach()
                _interleaving.bring_back(call.rendezvous)
                if self._training is not None:
                    self._training.close()

    def terminate(self) -> None:
        """Leave nothing behind if joblib did not come to stop the call."""
        if self._call is not None:
            self._call.abort()
            self.stop_call()


def _is_dispatching(parallel: weakref.ref[Any]) -> bool:
    """Tell whether the call that returns a generator has not returned yet."""
    call_ref = getattr(parallel(), "_call_ref", None)
    generator = call_ref() if call_ref is not None else None
    return generator is not None and generator.gi_running


class Training:
    """Trains the payloads of one search, with one progress bar for all its rounds."""

    def __init__(self, n_workers: int, rungs: Rungs | None = None) -> None:
        self._n_workers, self._rungs = n_workers, rungs
        self._progress: Any = None

    def __call__(
        self, payloads: list[Any], is_cancelled: Callable[..., bool]
    ) -> list[Any]:
        # Only now: networks are to be trained, and torch takes its time.
        from sknnopt._batching import train_together
        from sknnopt._progress import SearchProgress

        if self._progress is None:
            self._progress = SearchProgress()
        rungs = self._rungs
        if rungs is not None and not rungs.serves(self):
            rungs = None
        return train_together(
            payloads,
            is_cancelled,
            n_workers=self._n_workers,
            progress=self._progress,
            rungs=rungs,
        )

    def close(self) -> None:
        """Take the bar down."""
        if self._progress is not None:
            self._progress.close()


def _checked_width(width: Any) -> int:
    if isinstance(width, bool) or not isinstance(width, Integral) or width < 1:
        raise ValueError(
            f"width={width!r} of backend 'sknnopt': the number of fits that may be "
            f"held at a time must be a whole number from 1; leave it out for {WIDTH}."
        )
    return int(width)


def _checked_memory(memory: Any) -> float | None:
    if memory is None:
        return None
    is_number = isinstance(memory, Real) and not isinstance(memory, bool)
    if not is_number or math.isnan(memory) or memory <= 0:
        raise ValueError(
            f"memory={memory!r} of backend 'sknnopt': the bytes that held fits may "
            "take must be a number above 0, such as 2e9; leave it out for a third of "
            "the free memory."
        )
    return float(memory)


def _checked_rungs(rungs: Any) -> Rungs | None:
    if rungs is None or isinstance(rungs, Rungs):
        return rungs
    raise ValueError(
        f"rungs={rungs!r} of backend 'sknnopt': must be Rungs, made anew for each "
        "search; leave it out to train all fits to their end."
    )
