"""The skorch net around a batch of networks.

skorch gives the seams that users know: ``history``, callbacks, ``on_grad_computed``,
``forward``. Its DataLoader and per-batch bookkeeping cost several times the
arithmetic of a small network, so the epochs are walked by :mod:`sknnopt._loop`, and
a per-batch hook is called only where a callback overrides it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback
from skorch.dataset import Dataset, unpack_data
from torch import Tensor, nn

from sknnopt._callbacks import CallbackHooks, check_callbacks
from sknnopt._history import expanded
from sknnopt._job import Job, Kind, Rows
from sknnopt._loop import Loop
from sknnopt._network import MemberNetwork, plain_mode
from sknnopt._progress import ProgressCallback
from sknnopt._record import Record
from sknnopt.losses import LOSSES, respond

#: Losses of which skorch's history tells when they were at their best.
_BEST = frozenset({"train_loss", "valid_loss"})
#: Rows that pass through the network at once in ``forward`` and ``predict``.
_ROWS_AT_ONCE = 8192


class MemberLoss(nn.Module):
    """A loss of the registry as a torch module: one value a row.

    Parameters
    ----------
    loss : str
        Name in ``LOSSES``.
    parameter : Tensor of shape (members, 1, 1)
        Label smoothing, Huber's delta or the quantile.
    """

    def __init__(self, loss: str, parameter: Tensor) -> None:
        super().__init__()
        self.loss, self.parameter = loss, parameter

    def forward(self, raw: Tensor, target: Tensor) -> Tensor:
        """Return the loss of each row, ``(members, rows)``."""
        losses: Tensor = LOSSES[self.loss].make(raw, target, self.parameter)
        return losses


class MemberOptimizer:
    """What skorch and its callbacks expect to find as ``optimizer_``.

    The update is a function over the flat weights; this shows what it remembers.

    Parameters
    ----------
    record : Record
        The run's state.
    kind : Kind
        What the networks share.
    """

    def __init__(self, record: Record, kind: Kind) -> None:
        self.record, self._kind = record, kind
        #: As in torch, for callbacks that read the learning rate.
        self.param_groups: list[dict[str, Any]] = [{"lr": np.nan}]

    def state_dict(self) -> dict[str, Tensor]:
        """Return the optimizer's memory, ``(members, ...)`` each."""
        is_padded = self.record.weights.shape[1] == self._kind.layout.n_columns
        return (self.record.compact(self._kind) if is_padded else self.record).slots

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Copy ``state`` over the optimizer's memory."""
        for name, slot in self.record.slots.items():
            given = state[name]
            # In training there is padding between the numbers.
            is_alike = given.shape == slot.shape
            slot.copy_(given if is_alike else self._kind.layout.pad(given))


class MemberNet(NeuralNet):
    """A skorch net of networks that train, and predict, together.

    Parameters
    ----------
    kind : Kind
        What the networks share.
    record : Record
        Their numbers, which the module's parameters are views of.
    loss_parameter : ndarray of shape (members,)
        Label smoothing, Huber's delta or the quantile.
    callbacks : list or None, default=None
        skorch callbacks.

    Notes
    -----
    It trains on a :class:`~sknnopt._job.Job`, by :meth:`train`; ``fit`` on raw data
    is the estimator's. What it predicts is the mean over the members.
    """

    def __init__(
        self,
        kind: Kind,
        record: Record,
        loss_parameter: np.ndarray,
        callbacks: Sequence[Any] | None = None,
    ) -> None:
        super().__init__(
            MemberNetwork,
            MemberLoss,
            optimizer=MemberOptimizer,
            callbacks=callbacks,
            train_split=None,
            predict_nonlinearity=None,
            batch_size=kind.batch_size,
            verbose=0,
            device=kind.device,
            use_caching=False,
        )
        self.kind = kind
        self.record = record
        self.loss_parameter = loss_parameter

    @classmethod
    def fitted(
        cls,
        kind: Kind,
        record: Record,
        loss_parameter: np.ndarray,
        history: dict[str, np.ndarray],
    ) -> MemberNet:
        """Return a net for networks that were trained before.

        Parameters
        ----------
        kind : Kind
            What the networks share.
        record : Record
            Their numbers.
        loss_parameter : ndarray of shape (members,)
            What the loss read.
        history : dict of ndarray
            Columns, with one entry for each member and epoch.

        Returns
        -------
        MemberNet
            Ready to predict.
        """
        net = cls(kind, record, loss_parameter).initialize()
        means = (
            pd.DataFrame(expanded(history))
            .drop(columns="member")
            .groupby("epoch")
            .mean()
        )
        for epoch, row in zip(means.index, means.to_dict("records"), strict=True):
            net.history.append({"batches": [], "epoch": int(epoch), **row})
        return net

    @property
    def _default_callbacks(self) -> list[tuple[str, Callback]]:
        # The loop writes the history itself.
        return []

    def initialize_module(self) -> MemberNet:
        """Make ``module_``, whose parameters are views of the record's weights."""
        self.module_ = MemberNetwork(self.kind.architecture, self.record.weights)
        return self

    def initialize_criterion(self) -> MemberNet:
        """Make ``criterion_``."""
        parameter = torch.tensor(
            self.loss_parameter, dtype=self.kind.torch_dtype, device=self.kind.device
        )
        self.criterion_ = MemberLoss(self.kind.loss, parameter[:, None, None])
        return self

    def initialize_optimizer(self, triggered_directly: Any = None) -> MemberNet:
        """Make ``optimizer_``."""
        self.optimizer_ = MemberOptimizer(self.record, self.kind)
        return self

    def initialize_callbacks(self) -> MemberNet:
        """Take up the callbacks, and refuse those that cannot work here."""
        check_callbacks(self.callbacks or ())
        super().initialize_callbacks()
        return self

    def fit(self, X: Any, y: Any = None, **fit_params: Any) -> MemberNet:
        """Refuse: data are checked and encoded by the estimator that holds the net."""
        raise NotImplementedError(
            "This net belongs to an estimator: call the estimator's fit or "
            "partial_fit, with warm_start=True to go on from these weights."
        )

    def partial_fit(
        self, X: Any, y: Any = None, classes: Any = None, **fit_params: Any
    ) -> MemberNet:
        """Refuse, as :meth:`fit` does."""
        return self.fit(X, y)

    def train(
        self, job: Job, make_loop: Callable[..., Loop] = Loop
    ) -> list[dict[str, np.ndarray]]:
        """Train the networks of ``job`` from where ``record`` stands.

        Parameters
        ----------
        job : Job
            One member for each of the record's.
        make_loop : callable, default=Loop
            Makes the loop that walks the epochs.

        Returns
        -------
        list of dict of ndarray
            The history: for each epoch its columns, over the members alive in it.
        """
        self.initialize()
        table = job.rows[0].table
        self.notify("on_train_begin", X=table.X, y=table.target)
        history = self.fit_loop(job, make_loop=make_loop)
        self.notify("on_train_end", X=table.X, y=table.target)
        return history

    def fit_loop(
        self,
        X: Job,
        y: Any = None,
        epochs: int | None = None,
        *,
        make_loop: Callable[..., Loop] = Loop,
        **fit_params: Any,
    ) -> list[dict[str, np.ndarray]]:
        """Walk the epochs until every member has stopped."""
        if not self.callbacks_:
            return self._fit_quietly(make_loop(X, self.record))
        datasets = self._datasets(X)
        hooks = CallbackHooks(self)
        loop = make_loop(X, self.record, hooks if hooks.any else None)
        n_before = self._show_earlier(loop)
        best: dict[str, float] = {}
        goes_on = True
        while goes_on:
            began = time.perf_counter()
            self.module_ = loop.module
            # skorch's own hook begins the epoch's row of the history.
            self.notify("on_epoch_begin", **datasets)
            line = loop.epoch()
            # Members that have stopped are gone from both.
            self.record = self.optimizer_.record = loop.record
            self._record(line, best, time.perf_counter() - began)
            goes_on = loop.settle(line, stop_all=self._is_stopped(datasets))
        self._take_result(loop)
        self._add_records_of_callbacks(loop.history[n_before:])
        return loop.history

    def _show_earlier(self, loop: Loop) -> int:
        """Show, and return, how many epochs an earlier process has done of the run."""
        n_epochs = sum(len(np.unique(lines["epoch"])) for lines in loop.history)
        for _, callback in self.callbacks_:
            if isinstance(callback, ProgressCallback):
                callback.begin(n_epochs)
        return len(loop.history)

    def _fit_quietly(self, loop: Loop) -> list[dict[str, np.ndarray]]:
        """Walk the epochs with nobody to tell of them."""
        while loop.settle(loop.epoch(at_once=False)):
            pass
        self._take_result(loop)
        return loop.history

    def _take_result(self, loop: Loop) -> None:
        """Hold what the networks ended with, whoever left the batch when."""
        self.record = self.optimizer_.record = loop.result()
        self.module_ = MemberNetwork(self.kind.architecture, self.record.weights)

    def _add_records_of_callbacks(self, lines: list[dict[str, np.ndarray]]) -> None:
        """Copy what callbacks wrote, such as a score, into the history's lines."""
        own = {"dur", *(f"{name}_best" for name in _BEST)}
        for line, row in zip(lines, self.history, strict=True):
            for name, value in row.items():
                is_number = isinstance(value, (bool, int, float, np.number))
                if is_number and name not in line and name not in own:
                    line[name] = np.full(len(line["member"]), float(value))

    def _record(
        self, line: dict[str, np.ndarray], best: dict[str, float], seconds: float
    ) -> None:
        """Write the members' means into skorch's history; ``best`` is kept up."""
        self.history.record("epoch", int(line["epoch"].max()))
        for name, values in expanded(line).items():
            if name not in ("member", "epoch"):
                self.history.record(name, float(values.mean()))
        self.history.record("dur", seconds)
        row = self.history[-1]
        for name in _BEST.intersection(line):
            is_best = row[name] < best.get(name, np.inf)
            self.history.record(f"{name}_best", is_best)
            if is_best:
                best[name] = row[name]
        # skorch's callbacks look at an epoch's batches. Where none asked for each step
        # the epoch is one batch; the held-out rows are one in any case.
        is_whole = not row["batches"]
        if is_whole:
            self.history.new_batch()
        for name in _BEST.intersection(line):
            if is_whole or name == "valid_loss":
                self.history.record_batch(name, row[name])
                self.history.record_batch(name.replace("loss", "batch_size"), 1)
        self.optimizer_.param_groups[0]["lr"] = float(line["learning_rate"].mean())

    def _is_stopped(self, datasets: dict[str, Any]) -> bool:
        """Notify of the epoch's end; skorch's callbacks stop by KeyboardInterrupt."""
        is_stopped = False
        for _, callback in self.callbacks_:
            try:
                callback.on_epoch_end(self, **datasets)
            except KeyboardInterrupt:
                # In the bar's drawing it can only be the user's.
                if isinstance(callback, ProgressCallback):
                    raise
                is_stopped = True
        return is_stopped

    def _datasets(self, job: Job) -> dict[str, Dataset | None]:
        """Return the first member's rows as callbacks expect to receive them."""
        # A bar has no use for them, and they are copies.
        if all(isinstance(each, ProgressCallback) for _, each in self.callbacks_):
            return {"dataset_train": None, "dataset_valid": None}
        train = _dataset(job.rows[0])
        valid = _dataset(job.held_out[0]) if job.held_out else None
        return {"dataset_train": train, "dataset_valid": valid}

    def get_iterator(self, dataset: Any, training: bool = False) -> Iterator[Any]:
        """Yield slices of the arrays in memory."""
        X, y = dataset.X, dataset.y
        for start in range(0, len(dataset), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            yield X[rows], None if y is None else y[rows]

    def evaluation_step(self, batch: Any, training: bool = False) -> Tensor:
        """Return the prediction for one batch, the mean over the members."""
        self.check_is_fitted()
        X, _ = unpack_data(batch)
        with torch.set_grad_enabled(training):
            self._set_training(training)
            return self.infer(X)

    def infer(self, x: Any, **fit_params: Any) -> Tensor:
        """Return probabilities, or values in the network's own units."""
        array = np.asarray(x.toarray() if hasattr(x, "toarray") else x)
        tensor = torch.tensor(
            array, dtype=self.kind.torch_dtype, device=self.kind.device
        )
        with plain_mode(self.kind.device, gradient=torch.is_grad_enabled()):
            response: Tensor = respond(self.kind.loss, self.module_(tensor)).mean(0)
        return response

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the mean response: probabilities, or values in its own units."""
        response: np.ndarray = super().predict_proba(X)
        return response

    def predict(self, X: Any) -> np.ndarray:
        """Return the class index, labels, or values in the network's own units."""
        response = self.predict_proba(X)
        if LOSSES[self.kind.loss].task == "regression":
            return response
        n_outputs = self.kind.architecture.n_outputs
        if self.kind.loss == "binary_cross_entropy" and n_outputs > 1:
            return (response > 0.5).astype(np.int64)
        return response.argmax(axis=1)


def _dataset(rows: Rows) -> Dataset:
    target = rows.table.target[rows.index]
    return Dataset(
        rows.table.X[rows.index], target[:, 0] if target.shape[1] == 1 else target
    )
