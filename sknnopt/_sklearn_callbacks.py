"""scikit-learn's callbacks: a fit is a task, and each of its epochs a subtask.

They are experimental, and there from scikit-learn 1.9 on. Before that nothing here is
ever called, and estimators have no ``set_callbacks``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sknnopt._job import Job
from sknnopt._loop import Loop
from sknnopt._record import Record

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:

    class CallbackSupportMixin:  # type: ignore[no-redef]  # one of the two is there
        """Stands in for scikit-learn's."""


class CallbackSupport(CallbackSupportMixin):
    """Gives an estimator ``set_callbacks``, where scikit-learn has it."""


#: What scikit-learn sets for the time of one call, and reads when the call ends.
_OF_CALL = ("_callback_fit_ctx", "_skl_callbacks_to_teardown")
#: The same, and what it sets for the time of a meta-estimator's call.
_PASSING = frozenset({*_OF_CALL, "_parent_callback_ctx"})


def has_callbacks(estimator: Any) -> bool:
    """Tell whether an estimator has scikit-learn callbacks.

    Parameters
    ----------
    estimator : estimator
        Any.

    Returns
    -------
    bool
        Whether some were set, by the user or for the time of a meta-estimator's fit.
    """
    return bool(getattr(estimator, "_skl_callbacks", None))


def has_own_callbacks(estimator: Any) -> bool:
    """Tell whether an estimator has callbacks that nobody handed down to it.

    Parameters
    ----------
    estimator : estimator
        Any.

    Returns
    -------
    bool
        False where all belong to a meta-estimator, as the progress bar of a search.
    """
    if not has_callbacks(estimator):
        return False
    if not hasattr(estimator, "_parent_callback_ctx"):
        return True
    from sklearn.callback import AutoPropagatedCallback

    # scikit-learn refuses them on a sub-estimator: these came from above.
    return not all(
        isinstance(callback, AutoPropagatedCallback)
        for callback in estimator._skl_callbacks
    )


class FitTask:
    """One call of ``fit`` as callbacks see it.

    Parameters
    ----------
    estimator : estimator
        Whose call it is, and whom callbacks are given. It is as it was before the call.
    context : sklearn.callback.CallbackContext
        The call's place among tasks.
    X, y : array-like
        As the user gave them.
    sample_weight : array-like or None
        As the user gave them.
    """

    def __init__(
        self, estimator: Any, context: Any, X: Any, y: Any, sample_weight: Any
    ) -> None:
        self._context = context
        # Scorers are called with the metadata: without weights there is none.
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        self._given = {"estimator": estimator, "X": X, "y": y, "metadata": metadata}

    @classmethod
    def begin(
        cls,
        estimator: Any,
        twin: Any,
        *given: Any,
        name: str,
        n_epochs: int,
    ) -> FitTask:
        """Set the callbacks up, and tell them that a fit begins.

        Parameters
        ----------
        estimator : estimator
            Whose call it is.
        twin : estimator
            The copy that the call works on.
        *given : array-like or None
            ``X``, ``y`` and ``sample_weight``.
        name : str
            Name of the method.
        n_epochs : int
            The most epochs that will be told of; 0: none will.

        Returns
        -------
        FitTask
            The task.
        """
        context = estimator._init_callback_context(
            task_name=name, max_subtasks=n_epochs
        )
        # The twin's state is adopted before scikit-learn tears the callbacks down.
        vars(twin).update({key: vars(estimator)[key] for key in _OF_CALL})
        task = cls(estimator, context, *given)
        context.call_on_fit_task_begin(**task._given)
        return task

    @property
    def has_epochs(self) -> bool:
        """Whether callbacks are told of each epoch."""
        return bool(self._context.max_subtasks)

    def begin_epoch(self) -> None:
        """Tell that an epoch begins."""
        self._epoch = self._context.subcontext(task_name="epoch")
        self._epoch.call_on_fit_task_begin(**self._given)

    def end_epoch(self, fitted: Callable[[], Any]) -> bool:
        """Tell that the epoch has ended.

        Parameters
        ----------
        fitted : callable
            Makes an estimator as if the fit had ended now; called if a callback asks
            for it.

        Returns
        -------
        bool
            Whether a callback wants the fit to stop.
        """
        return self._end(self._epoch, fitted)

    def end(self, twin: Any) -> None:
        """Tell that the fit has ended, just before the twin's state is adopted."""
        self._end(self._context, lambda: twin)

    def _end(self, context: Any, fitted: Callable[[], Any]) -> bool:
        return bool(
            context.call_on_fit_task_end(
                **self._given, reconstruction_attributes=lambda: _state(fitted())
            )
        )


def _state(fitted: Any) -> dict[str, Any]:
    """Return what scikit-learn sets on a copy to make it the ``fitted`` estimator."""
    # All at once: single attributes would leave what only the fit before had set.
    state = {key: value for key, value in vars(fitted).items() if key not in _PASSING}
    return {"__dict__": state}


@dataclass(frozen=True)
class EpochWatch:
    """Who is told of epochs, and what they are shown.

    Parameters
    ----------
    task : FitTask
        The fit.
    fitted : callable
        Makes a fitted estimator of what has been trained so far.
    """

    task: FitTask
    fitted: Callable[[Any], Any]


class WatchedLoop(Loop):
    """A training loop that tells scikit-learn's callbacks of its epochs.

    Parameters
    ----------
    watch : EpochWatch
        Who is told.
    trained : callable
        Makes what a fit leaves, of the dump of a record and the history's lines.
    job, record, hooks, **options
        As in :class:`~sknnopt._loop.Loop`.
    """

    def __init__(
        self,
        watch: EpochWatch,
        trained: Callable[[dict[str, np.ndarray], list[dict[str, np.ndarray]]], Any],
        job: Job,
        record: Record,
        hooks: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(job, record, hooks, **options)
        self._watch, self._trained = watch, trained

    def epoch(self, *, at_once: bool = True) -> dict[str, np.ndarray]:
        """Train for one epoch, and tell of its beginning."""
        self._watch.task.begin_epoch()
        return super().epoch(at_once=at_once)

    def settle(self, line: dict[str, np.ndarray], stop_all: bool = False) -> bool:
        """Judge the epoch, tell of its end, and stop if a callback wants it."""
        goes_on = super().settle(line, stop_all)
        if self._watch.task.end_epoch(self._fitted) and goes_on:
            self._release(np.ones(len(self.live), dtype=bool))
            return False
        return goes_on

    def _fitted(self) -> Any:
        """Return an estimator as if training had ended with this epoch."""
        arrays = self._at_best(self.standing().record).to_arrays()
        return self._watch.fitted(self._trained(arrays, list(self.history)))
