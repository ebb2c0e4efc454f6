"""Training runs, and what is measured of them with torch alone.

Nothing here reads what the monitor wrote: losses, gradients and activations are
computed from the weights that the run had at the end of each epoch.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from skorch.callbacks import Callback
from torch import Tensor
from torch.nn import functional

from benchmarks.diagnosis._tables import REGRESSION, Rows, Sample, rows_of
from sknnopt import OptimizedMLPClassifier, OptimizedMLPRegressor

#: A row's loss counts as no more than this, so that no row decides alone.
MOST = 20.0
#: Epochs at which gradients and activations are measured, of longer runs.
_N_PICKED = 10
#: Rows of a step, where ``batch_size`` says it for itself.
_BATCH = 64
_NORMAL_EPSILON = 1e-5

#: A network's tensors by name, each with the member axis first.
Tensors = dict[str, Tensor]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "leaky_relu": functional.leaky_relu,
    "elu": functional.elu,
    "selu": functional.selu,
    "gelu": functional.gelu,
    "silu": functional.silu,
}


@dataclass(frozen=True)
class Spec:
    """A run: on which rows, from which seed, with which parameters."""

    sample: Sample
    seed: int
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Return what no other run has."""
        return json.dumps(self.as_dict(), sort_keys=True)

    def as_dict(self) -> dict[str, Any]:
        """Return all of it in plain containers."""
        return {
            "sample": asdict(self.sample),
            "seed": self.seed,
            "params": dict(self.params),
        }

    def changed(self, **params: Any) -> Spec:
        """Return the same run with other parameters."""
        return replace(self, params={**self.params, **params})

    def with_seed(self, seed: int) -> Spec:
        """Return the same run from another seed, on the same rows."""
        return replace(self, seed=seed)

    def estimator(self) -> Any:
        """Return what is to be fitted."""
        is_regression = rows_of(self.sample).task == REGRESSION
        kind = OptimizedMLPRegressor if is_regression else OptimizedMLPClassifier
        return kind(random_state=self.seed).set_params(**self.params)


class _Recorder(Callback):
    """Keeps the weights that the network begins with and ends each epoch with."""

    def __init__(self) -> None:
        self.snapshots: list[Tensors] = []

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **_: Any) -> None:
        """Keep the initial weights."""
        self.snapshots = [_tensors(net.module_)]

    def on_epoch_end(
        self, net: Any, dataset_train: Any = None, dataset_valid: Any = None, **_: Any
    ) -> None:
        """Keep the weights after an epoch."""
        self.snapshots.append(_tensors(net.module_))


def _tensors(module: torch.nn.Module) -> Tensors:
    named = [*module.named_parameters(), *module.named_buffers()]
    return {name: tensor.detach().clone() for name, tensor in named}


def fitted(spec: Spec, callbacks: Sequence[Callback] | None = None) -> Any:
    """Fit a run's estimator.

    Parameters
    ----------
    spec : Spec
        The run.
    callbacks : sequence of Callback or None, default=None
        Who looks on.

    Returns
    -------
    estimator
        Fitted.
    """
    rows, model = rows_of(spec.sample), spec.estimator()
    given = {}
    if rows.valid is not None:
        given = {"X_val": rows.valid[0], "y_val": rows.valid[1]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.set_params(callbacks=callbacks).fit(*rows.train, **given)


@dataclass(frozen=True)
class Outcome:
    """What came of a run: losses of the rows under the weights that it returned.

    ``start_norm`` is the norm of the gradient before the first step, and
    ``is_right`` tells which test rows are classified rightly.
    """

    train: np.ndarray
    test: np.ndarray
    is_right: np.ndarray | None
    start_norm: float
    n_weights: int


class Run:
    """A trained run with its weights after each epoch.

    Parameters
    ----------
    spec : Spec
        The run.
    """

    def __init__(self, spec: Spec) -> None:
        self.spec, self.rows = spec, rows_of(spec.sample)
        # Members that stop leave the batch: of several only the end is kept.
        self.is_single = spec.params.get("n_members") == 1
        recorder = _Recorder()
        self.model = fitted(spec, [recorder] if self.is_single else None)
        self.final = _tensors(self.model.net_.module_)
        self.snapshots = recorder.snapshots
        self.train, self.test = (
            self._encoded(self.rows.train),
            self._encoded(self.rows.test),
        )

    def _encoded(self, pair: tuple[np.ndarray, np.ndarray]) -> tuple[Tensor, Tensor]:
        # What the network sees; the estimator offers no public way to it.
        X = torch.as_tensor(np.asarray(self.model._checked_rows(pair[0])))
        target = torch.as_tensor(pair[1])
        return X, target.to(X.dtype) if self.rows.task == REGRESSION else target

    @property
    def n_epochs(self) -> int:
        """Return how many epochs were trained."""
        return int(self.model.n_iter_)

    @property
    def restores_best(self) -> bool:
        """Tell whether the returned weights are those of the best validation loss."""
        stops = self.spec.params.get("early_stopping", "auto")
        return bool(stops)

    @cached_property
    def picked(self) -> list[int]:
        """Some of the epochs whose weights are known, the first and last among them."""
        n_known = len(self.snapshots)
        places = np.linspace(0, n_known - 1, min(n_known, _N_PICKED))
        return [int(place) for place in places.round()]

    def forward(
        self, tensors: Tensors, X: Tensor
    ) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """Pass rows through the network.

        Parameters
        ----------
        tensors : dict of Tensor
            The network's numbers.
        X : Tensor of shape (rows, columns)
            The rows.

        Returns
        -------
        before, after : list of Tensor of shape (members, rows, units)
            Of each hidden layer, before and after its activation.
        raw : Tensor of shape (members, rows, outputs)
            Raw outputs.
        """
        hidden = X.expand(len(tensors["weight_0"]), *X.shape)
        before, after = [], []
        for layer, name in enumerate(self.model.activations_):
            hidden = _linear(tensors, layer, hidden)
            hidden = self._normalized(tensors, layer, hidden)
            before.append(hidden)
            hidden = ACTIVATIONS[name](hidden)
            after.append(hidden)
        return before, after, _linear(tensors, len(after), hidden)

    def _normalized(self, tensors: Tensors, layer: int, hidden: Tensor) -> Tensor:
        kind = self.spec.params.get("normalization")
        if kind is None:
            return hidden
        if kind == "batch":
            mean, variance = tensors[f"mean_{layer}"], tensors[f"variance_{layer}"]
        else:
            mean = hidden.mean(-1, keepdim=True)
            variance = hidden.var(-1, correction=0, keepdim=True)
        standard = (hidden - mean) / torch.sqrt(variance + _NORMAL_EPSILON)
        return tensors[f"scale_{layer}"] * standard + tensors[f"shift_{layer}"]

    def losses(self, tensors: Tensors, pair: tuple[Tensor, Tensor]) -> np.ndarray:
        """Return each row's loss, of the members' mean response.

        Parameters
        ----------
        tensors : dict of Tensor
            The network's numbers.
        pair : tuple of Tensor
            Rows and their target.

        Returns
        -------
        ndarray of shape (rows,)
            Cross-entropy, or the squared error; ``MOST`` at most.
        """
        X, target = pair
        with torch.no_grad():
            raw = self.forward(tensors, X)[2]
            losses = _row_losses(self._response(raw), target, self.rows.task)
        return losses.nan_to_num(MOST, MOST).clamp(max=MOST).double().numpy()

    def _response(self, raw: Tensor) -> Tensor:
        """Return values, or the logarithms of probabilities."""
        if self.rows.task == REGRESSION:
            return raw.mean(0)
        return torch.log(torch.softmax(_logits(raw), -1).mean(0).clamp(min=1e-12))

    def gradient(
        self, tensors: Tensors, pair: tuple[Tensor, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Differentiate the mean loss with autograd, without dropout or penalties.

        Parameters
        ----------
        tensors : dict of Tensor
            The network's numbers.
        pair : tuple of Tensor or None, default=None
            Rows and their target; None: all that it trains on.

        Returns
        -------
        dict of Tensor
            Of each trained tensor.
        """
        X, target = self.train if pair is None else pair
        trained = {
            name: tensor.clone().requires_grad_()
            for name, tensor in tensors.items()
            if not name.startswith(("mean", "variance"))
        }
        raw = self.forward({**tensors, **trained}, X)[2]
        total = torch.zeros((), dtype=raw.dtype)
        for member in raw:
            total = total + _member_loss(member, target, self.rows.task)
        found = torch.autograd.grad(total, list(trained.values()))
        return dict(zip(trained, found, strict=True))

    def norm(self, tensors: Tensors, pair: Any = None) -> float:
        """Return the norm of the gradient of all tensors together."""
        squares = [
            g.double().square().sum() for g in self.gradient(tensors, pair).values()
        ]
        return float(torch.stack(squares).sum().sqrt())

    def batches(
        self, rng: np.random.Generator, count: int
    ) -> list[tuple[Tensor, Tensor]]:
        """Draw rows as a step would see them."""
        X, target = self.train
        size = self.spec.params.get("batch_size", _BATCH)
        drawn = [rng.permutation(len(X))[:size] for _ in range(count)]
        return [(X[rows], target[rows]) for rows in drawn]

    @cached_property
    def outcome(self) -> Outcome:
        """What came of the run."""
        is_right = None
        if self.rows.task != REGRESSION:
            with torch.no_grad():
                raw = self.forward(self.final, self.test[0])[2]
            is_right = (self._response(raw).argmax(-1) == self.test[1]).numpy()
        return Outcome(
            train=self.losses(self.final, self.train),
            test=self.losses(self.final, self.test),
            is_right=is_right,
            start_norm=self.norm(self.snapshots[0]) if self.snapshots else np.nan,
            n_weights=sum(t[0].numel() for t in self.final.values()),
        )


def _linear(tensors: Tensors, layer: int, hidden: Tensor) -> Tensor:
    return hidden @ tensors[f"weight_{layer}"] + tensors[f"bias_{layer}"]


def _logits(raw: Tensor) -> Tensor:
    """Return a logit for each class, also of a single sigmoid."""
    if raw.shape[-1] > 1:
        return raw
    return torch.cat([torch.zeros_like(raw), raw], -1)


def _row_losses(response: Tensor, target: Tensor, task: str) -> Tensor:
    if task == REGRESSION:
        return (response[:, 0] - target).square()
    return -response.gather(-1, target[:, None])[:, 0]


def _member_loss(raw: Tensor, target: Tensor, task: str) -> Tensor:
    if task == REGRESSION:
        return functional.mse_loss(raw[:, 0], target)
    return functional.cross_entropy(_logits(raw), target)


def constant_loss(rows: Rows) -> float:
    """Return the loss of the best constant response to the training rows.

    Parameters
    ----------
    rows : Rows
        Whose target.

    Returns
    -------
    float
        The entropy of the classes, or the variance, which is one.
    """
    if rows.task == REGRESSION:
        return 1.0
    share = np.bincount(rows.train[1]) / len(rows.train[1])
    share = share[share > 0]
    return float(-(share * np.log(share)).sum())
