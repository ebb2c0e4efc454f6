"""What both estimators share: parameters, checks, the fit and its state.

``fit`` works on a shallow copy of the estimator and adopts the copy's state as its
last act, so that a fit that fails or is interrupted leaves everything as it was.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Self
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
from sklearn.base import _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import (
    check_is_fitted,
)

from sknnopt._architecture import Architecture
from sknnopt._assembly import Data
from sknnopt._callbacks import check_callbacks
from sknnopt._checked import Checked
from sknnopt._diagnosed import Diagnosed
from sknnopt._export import Exported
from sknnopt._fitting import (
    Mode,
    Trained,
    is_gathered,
    threads_of,
    train,
)
from sknnopt._guard import Guard
from sknnopt._history import expanded, join_lines
from sknnopt._inputs import Inputs
from sknnopt._interrupts import Interrupt, noted_interrupts
from sknnopt._job import Kind
from sknnopt._layout import Layout
from sknnopt._oof import OutOfFold
from sknnopt._parameters import MLPParameters
from sknnopt._pickling import Pickled
from sknnopt._plan import check_layers, epoch_limit, make_architecture
from sknnopt._record import Record
from sknnopt._responses import Responder
from sknnopt._sklearn_callbacks import (
    CallbackSupport,
    EpochWatch,
    FitTask,
    has_callbacks,
)
from sknnopt._training import MemberNet

#: Rows of a prediction from which on libraries use several threads.
_MANY_ROWS = 256
#: What a fit sets besides the public attributes that end in an underscore.
_PRIVATE_STATE = frozenset(
    {
        "_inputs",
        "_record",
        "_history",
        "_facts",
        "_loss_parameter",
        "_folds",
        "_target",
        "_is_1d",
        "_is_multilabel",
        "_class_factors",
    }
)
#: What answers for an estimator, and the record that it was made of. A prediction must
#: leave the estimator as it is, and a pickle hold nothing twice.
_responders: WeakKeyDictionary[
    BaseOptimizedMLP, tuple[dict[str, np.ndarray], Responder]
] = WeakKeyDictionary()


class BaseOptimizedMLP(
    CallbackSupport,
    OutOfFold,
    Diagnosed,
    Exported,
    Pickled,
    Checked,
    MLPParameters,
    ABC,
):
    """Base of :class:`OptimizedMLPClassifier` and :class:`OptimizedMLPRegressor`.

    The parameters are documented there.
    """

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        """Train on ``X`` and ``y``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows, or a DataFrame with categories and missing numbers.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Target.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; rows of weight zero are left out.
        X_val : {array-like, sparse matrix} of shape (n_val, n_features), default=None
            Validation rows for all members; without them, rows of ``X`` are held out
            where early stopping is on, as ``validation_fraction`` says.
        y_val : array-like of shape (n_val,) or (n_val, n_outputs), default=None
            Target of the validation rows.
        sample_weight_val : array-like of shape (n_val,), default=None
            Weights of the validation rows.

        Returns
        -------
        self : object
            The fitted estimator. If the fit fails, the estimator is as it was before.

        Warns
        -----
        UserWarning
            If training was interrupted by Ctrl-C: it ends as if ``max_seconds`` were
            over, and the estimator is fitted. Pressed once more, or where the fit is
            one of many, as in a search, Ctrl-C is raised, and the estimator is as it
            was before.
        """
        self._check_parameters()
        is_warm = bool(self.warm_start) and hasattr(self, "_record")
        mode: Mode = "warm" if is_warm else "new"
        twin = self._copy(with_state=is_warm)
        data = twin._checked(X, y, sample_weight, mode=mode)
        valid = twin._checked_validation(X_val, y_val, sample_weight_val)
        task = self._begin_task(twin, data, X, y, sample_weight)
        # From here on there is something to keep.
        with noted_interrupts() as interrupt:
            guard = twin._train(data, valid, interrupt, mode=mode, task=task)
            twin._warn_of_divergence(stacklevel=4)
            self._adopt(twin, task)
            guard.close()
        if interrupt.is_requested:
            self._warn_of_interrupt(stacklevel=4)
        return self

    def _partial_fit(
        self, X: Any, y: Any, sample_weight: Any, classes: Any = None
    ) -> Self:
        """Train one epoch more, from the state of the last call if there is one."""
        self._check_parameters()
        mode: Mode = "continue" if hasattr(self, "_record") else "new"
        twin = self._copy(with_state=True)
        data = twin._checked(X, y, sample_weight, mode=mode, classes=classes)
        task = self._begin_task(twin, data, X, y, sample_weight, n_epochs=1)
        # It ends soon, and Ctrl-C is for its caller.
        twin._train(data, None, Interrupt(), mode=mode, n_epochs=1, task=task)
        twin._warn_of_divergence(stacklevel=5)
        self._adopt(twin, task)
        return self

    def _check_parameters(self) -> None:
        """Check what their types alone do not tell, before any data are looked at."""
        check_layers(self)
        check_callbacks(self.callbacks or ())

    def _begin_task(
        self, twin: Self, data: Data, *given: Any, n_epochs: int | None = None
    ) -> FitTask | None:
        """Tell scikit-learn's callbacks, if there are any, of a fit that begins."""
        if not has_callbacks(self):
            return None
        name = "fit" if n_epochs is None else "partial_fit"
        n_epochs = n_epochs or epoch_limit(self.max_epochs, len(data.counted))
        # An epoch of fits that train together is no single fit's.
        n_told = 0 if is_gathered(self) else n_epochs
        return FitTask.begin(self, twin, *given, name=name, n_epochs=n_told)

    def _adopt(self, twin: Self, task: FitTask | None) -> None:
        """Become what the copy is, once callbacks have heard of it."""
        if task is not None:
            task.end(twin)
        self.__dict__ = twin.__dict__

    def _copy(self, *, with_state: bool) -> Self:
        """Return a shallow copy, on which a fit may fail without harm."""
        twin = object.__new__(type(self))
        twin.__dict__.update(
            {
                name: value
                for name, value in vars(self).items()
                if with_state or not _is_state(name)
            }
        )
        return twin

    #: What a run leaves: the record's arrays, the columns of its history, and the
    #: parameter that its loss read; and what it noted for a diagnosis.
    _inputs: Inputs
    _record: dict[str, np.ndarray]
    _history: dict[str, np.ndarray]
    _facts: dict[str, Any]
    _loss_parameter: float

    @abstractmethod
    def _resolve_head(self) -> tuple[str, int]:
        """Return the loss and the number of raw outputs."""

    def _train(
        self,
        data: Data,
        valid: Data | None,
        interrupt: Interrupt,
        *,
        mode: Mode,
        n_epochs: int | None = None,
        task: FitTask | None = None,
    ) -> Guard:
        """Train, and set the fitted attributes; return who guarded the training."""
        loss, n_outputs = self._resolve_head()
        architecture = make_architecture(self, self._inputs.n_columns_, n_outputs)
        if mode != "new":
            self._check_same_networks(architecture, loss)
        watch = None
        if task is not None and task.has_epochs:
            fitted = partial(self._fitted, loss=loss, data=data, mode=mode)
            watch = EpochWatch(task, fitted)
        trained = train(
            self,
            architecture,
            loss,
            data,
            valid,
            interrupt=interrupt,
            mode=mode,
            record=getattr(self, "_record", None),
            fold_seed=self._fold_seed,
            n_epochs=n_epochs,
            watch=watch,
        )
        self._set_fitted(trained, loss, data, mode)
        return trained.guard

    def _fitted(self, trained: Trained, **known: Any) -> Self:
        """Return a copy that holds what has been trained so far."""
        twin = self._copy(with_state=True)
        twin._set_fitted(trained, **known)
        return twin

    def _set_fitted(self, trained: Trained, loss: str, data: Data, mode: Mode) -> None:
        """Set the fitted attributes."""
        before = [] if mode == "new" else [self._history]
        architecture = trained.kind.architecture
        self._record = trained.record
        self._history = join_lines([*before, *trained.lines])
        self.hidden_layer_sizes_ = architecture.hidden
        self.activations_ = architecture.activations
        self.dropouts_ = trained.dropouts
        self.normalization_ = architecture.normalization
        self.n_outputs_ = architecture.n_outputs
        self.loss_name_ = loss
        self._loss_parameter = trained.loss_parameter
        self._facts = trained.facts
        self._set_outcome(trained)
        self._set_out_of_fold(
            data.X, data.target, data.sample_weight, trained.folds, is_new=mode == "new"
        )

    def _set_outcome(self, trained: Trained) -> None:
        record, kind = trained.record, trained.kind
        epochs = record["epochs"]
        diverged = record["diverged"]
        # A network that diverged went back to before its last epoch.
        best = record["best_epoch"] if kind.restore_best else epochs - diverged
        is_single = len(epochs) == 1
        self.n_iter_ = int(epochs.max())
        self.best_epoch_ = int(best[0]) if is_single else best
        self.diverged_ = bool(diverged[0]) if is_single else diverged

    def _warn_of_divergence(self, *, stacklevel: int) -> None:
        diverged = np.atleast_1d(self.diverged_)
        if diverged.any():
            warnings.warn(
                f"Training diverged: in {np.count_nonzero(diverged)} of "
                f"{len(diverged)} networks the loss or a weight was no longer finite, "
                f"at latest in epoch {self.n_iter_} (optimizer={self.optimizer!r}, "
                f"learning_rate={self.learning_rate!r}). They hold their last finite "
                "weights. Lower 'learning_rate', set scale_inputs=True, or set "
                "'clip_norm'.",
                ConvergenceWarning,
                stacklevel=stacklevel,
            )

    def _warn_of_interrupt(self, *, stacklevel: int) -> None:
        kept = "the weights that they had then"
        if self._facts["restores_best"]:
            kept = "the weights of their best epoch"
        text = (
            f"Training was interrupted in epoch {self.n_iter_}: the networks hold "
            f"{kept}."
        )
        if self.checkpoint is not None:
            text += (
                " If a checkpoint was written, the next fit goes on from it: "
                f"{str(self.checkpoint)!r}."
            )
        warnings.warn(text, UserWarning, stacklevel=stacklevel)

    def _check_same_networks(self, architecture: Architecture, loss: str) -> None:
        before = self._architecture
        same = (before.sizes, before.normalization, self.loss_name_)
        now = (architecture.sizes, architecture.normalization, loss)
        members = len(self._record["weights"])
        if same != now or members != self.n_members:
            raise ValueError(
                "warm_start=True and partial_fit continue the networks of the last "
                f"fit: {members} with layers {before.sizes}, normalization "
                f"{before.normalization!r}, loss {self.loss_name_!r}. The parameters "
                f"now describe {self.n_members} with layers {architecture.sizes}, "
                f"normalization {architecture.normalization!r}, loss {loss!r}. "
                "Restore the parameters, or start anew: warm_start=False and fit."
            )

    @property
    def _architecture(self) -> Architecture:
        return Architecture(
            self._inputs.n_columns_,
            self.hidden_layer_sizes_,
            self.n_outputs_,
            self.activations_,
            self.normalization_,
        )

    def _respond(self, X: Any) -> np.ndarray:
        """Return the members' mean response, ``(n_samples, n_outputs)``."""
        X = self._checked_rows(X)
        with self._threads_for(X):
            return self._responder().mean(X)

    def _threads_for(self, X: Any) -> AbstractContextManager[None]:
        """Return the context in which rows are predicted."""
        # A few take no more than one thread, and not the time to say so.
        return threads_of(self) if X.shape[0] >= _MANY_ROWS else nullcontext()

    def _responder(self) -> Responder:
        """Return what answers for the networks; it is kept until they change."""
        # One tuple, which other threads see as a whole.
        record, responder = _responders.get(self, (None, None))
        is_new = responder is None or record is not self._record
        if responder is None or is_new or responder.device != self.device:
            responder = Responder(
                self._architecture,
                self._record["weights"],
                self.loss_name_,
                self._limits(),
                self.device,
            )
            _responders[self] = self._record, responder
        return responder

    def _limits(self) -> tuple[np.ndarray, ...]:
        """Return the bounds of a member's response, in its own units, if any."""
        return ()

    def _units(self) -> dict[str, np.ndarray]:
        """Return what turns responses into the target's units, if anything does."""
        return {}

    @property
    def net_(self) -> MemberNet:
        """The fitted networks as a skorch net, made anew at every access."""
        check_is_fitted(self)
        kind = Kind(
            self._architecture,
            self.loss_name_,
            self.optimizer,
            dtype=self._record["weights"].dtype,
            device=self.device,
        )
        record = Record.from_arrays(self._record, kind)
        parameter = np.full(len(record.epochs), self._loss_parameter)
        return MemberNet.fitted(kind, record, parameter, self._history)

    @property
    def history_(self) -> pd.DataFrame:
        """One row for each member and epoch."""
        check_is_fitted(self)
        return pd.DataFrame(expanded(self._history))

    @property
    def coefs_(self) -> list[np.ndarray]:
        """Weights of each layer, ``(fan_in, fan_out)``; members first if several."""
        return self._parts("weight")

    @property
    def intercepts_(self) -> list[np.ndarray]:
        """Biases of each layer, ``(fan_out,)``; members first if several."""
        return [bias[..., 0, :] for bias in self._parts("bias")]

    def _parts(self, kind: str) -> list[np.ndarray]:
        check_is_fitted(self)
        weights = self._record["weights"]
        parts = [
            weights[:, segment.columns].reshape(-1, *segment.shape)
            for segment in Layout.of(self._architecture).of_kind(kind)
        ]
        return parts if len(weights) > 1 else [part[0] for part in parts]

    def __sklearn_is_fitted__(self) -> bool:
        return "_record" in vars(self)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = bool(self.impute_missing)
        return tags


def can_fit_partially(estimator: BaseOptimizedMLP) -> bool:
    """Tell whether ``partial_fit`` is there, or raise and say why not.

    Parameters
    ----------
    estimator : BaseOptimizedMLP
        Whose ``early_stopping`` decides.

    Returns
    -------
    bool
        True.

    Raises
    ------
    AttributeError
        If early stopping is asked for: one call is one epoch, and holds no rows out.
    """
    if not isinstance(estimator.early_stopping, str) and estimator.early_stopping:
        raise AttributeError(
            "partial_fit does not support early_stopping=True, as one call is one "
            "epoch and holds no rows out. Set early_stopping=False (or 'auto', which "
            "means off here) and stop calling when you like."
        )
    return True


def _is_state(name: str) -> bool:
    """Tell whether an attribute was set by a fit."""
    is_public = name.endswith("_") and not name.startswith("_")
    return is_public or name in _PRIVATE_STATE
