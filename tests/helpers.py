"""Builders of small training jobs, and a plain PyTorch version of what they mean."""

from __future__ import annotations

import copy
import itertools
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from sknnopt._architecture import Architecture
from sknnopt._job import Job, Kind, Rows, Settings, Table
from sknnopt._layout import Layout
from sknnopt._loop import Loop
from sknnopt._record import Record
from sknnopt.schedules import SCHEDULES, warmup

#: torch's own modules for the names of the registry.
TORCH_ACTIVATIONS = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "softplus": nn.Softplus,
    "identity": nn.Identity,
}
TORCH_NORMALIZATIONS = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}
TORCH_OPTIMIZERS = {
    "adam": (torch.optim.Adam, {}),
    "adamw": (torch.optim.AdamW, {"weight_decay": 0.0}),
    "nadam": (torch.optim.NAdam, {}),
    "rmsprop": (torch.optim.RMSprop, {}),
    "adagrad": (torch.optim.Adagrad, {}),
    "adadelta": (torch.optim.Adadelta, {}),
    "sgd": (torch.optim.SGD, {}),
}
#: Label smoothing, Huber's delta or the quantile, where a loss has one.
LOSS_PARAMETERS = {
    "binary_cross_entropy": 0.1,
    "categorical_cross_entropy": 0.1,
    "huber": 0.7,
    "quantile": 0.3,
}
#: What each layer's tensors are called here and in torch.
TORCH_NAMES = {
    "weight": "linear.weight",
    "bias": "linear.bias",
    "scale": "norm.weight",
    "shift": "norm.bias",
    "mean": "norm.running_mean",
    "variance": "norm.running_var",
}


def make_kind(**changes):
    """Return a Kind: 3 inputs, 5 and 4 tanh units, squared error, batches of 8."""
    loss = changes.get("loss", "squared_error")
    shape = {
        "n_inputs": 3,
        "hidden": (5, 4),
        "n_outputs": 1 if loss == "binary_cross_entropy" else 3,
        "activations": "tanh",
        "normalization": None,
    }
    shape.update({name: changes.pop(name) for name in shape if name in changes})
    if isinstance(shape["activations"], str):
        shape["activations"] = (shape["activations"],) * len(shape["hidden"])
    values = {"loss": loss, "optimizer": "adam", "batch_size": 8, **changes}
    return Kind(architecture=Architecture(**shape), **values)


def make_settings(kind, members=1, **changes):
    """Return Settings; a value is one for all members or has an entry for each."""
    depth = len(kind.architecture.hidden)
    values = {
        "learning_rate": 0.01,
        "lr_decay": 0.1,
        "warmup": 0.0,
        "momentum": 0.9,
        "weight_decay": 0.0,
        "l1": np.zeros(depth + 1),
        "l2": np.zeros(depth + 1),
        "dropout": np.zeros(depth),
        "clip_norm": np.inf,
        "clip_value": np.inf,
        "loss_parameter": LOSS_PARAMETERS.get(kind.loss, 0.0),
        "max_epochs": 3,
        "max_seconds": np.inf,
        "patience": 1000,
        "tol": 0.0,
    }
    assert set(changes) <= set(values)
    arrays = {}
    for name, default in values.items():
        array = np.asarray(changes.get(name, default))
        shape = (members, *np.shape(default))
        if name in ("l1", "l2", "dropout") and array.shape == (members,):
            array = array[:, None]
        arrays[name] = np.broadcast_to(array, shape).copy()
    return Settings(**arrays)


def make_table(kind, n_rows=30, seed=0):
    """Return a Table of standard normal features and a target that fits the loss."""
    rng = np.random.default_rng(seed)
    shape = kind.architecture
    X = rng.normal(size=(n_rows, shape.n_inputs)).astype(kind.dtype)
    signal = X @ rng.normal(size=(shape.n_inputs, shape.n_outputs))
    signal += 0.3 * rng.normal(size=signal.shape)
    if kind.loss == "categorical_cross_entropy":
        target = signal.argmax(axis=1)[:, None].astype(np.int64)
    elif kind.loss == "binary_cross_entropy":
        target = (signal > 0).astype(float)
    elif kind.loss == "poisson":
        target = rng.poisson(np.exp(0.5 * signal)).astype(float)
    else:
        target = signal
    return Table(X, target)


def make_rows(table, sizes, *, weighted=False, seed=1):
    """Return for each size as many rows of the table, in random order."""
    rng = np.random.default_rng(seed)
    return [
        Rows(
            table,
            rng.permutation(len(table.X))[:size],
            rng.uniform(0.2, 3.0, size) if weighted else None,
        )
        for size in sizes
    ]


def make_job(kind, sizes=(20,), *, valid=None, weighted=False, **settings):
    """Return a Job of ``len(sizes)`` members; ``valid`` rows are held out, if given."""
    table = make_table(kind, max(sizes) + 10)
    return Job(
        kind=kind,
        settings=make_settings(kind, len(sizes), **settings),
        rows=make_rows(table, sizes, weighted=weighted),
        held_out=() if valid is None else make_rows(table, valid, seed=2),
    )


def on_table(job, X=None, target=None, parts=("rows", "held_out")):
    """Return the job with other features or another target in some of its parts."""
    table = job.rows[0].table
    other = Table(
        table.X if X is None else X, table.target if target is None else target
    )
    changed = {
        part: [replace(rows, table=other) for rows in getattr(job, part)]
        for part in parts
    }
    return replace(job, **changed)


def start(job, weight_init="auto", first_seed=0):
    """Return new networks for the members of a job, seeded from 0 on."""
    names = [weight_init] * (len(job.kind.architecture.sizes) - 1)
    seeds = range(first_seed, first_seed + len(job))
    return Record.start(job.kind, names, 0.5, seeds)


def duplicate(record):
    """Return a record that shares nothing with the given one."""
    return copy.deepcopy(record)


def train(job, record=None, hooks=None, *, at_once=False):
    """Train until all have stopped; return the record and the history's lines."""
    loop = Loop(job, start(job) if record is None else record, hooks)
    while loop.settle(loop.epoch(at_once=at_once)):
        pass
    return loop.result(), loop.history


def take_member(job, record, member):
    """Return the job and a copy of the record of one member."""
    one = np.array([member])
    return job.take(one), duplicate(record.take(one))


def history_of(history, member):
    """Return a member's columns of the history, over the epochs it lived."""
    lines = [line for line in history if member in line["member"]]
    names = set().union(*lines)
    return {
        name: np.array(
            [line[name][line["member"] == member][0] for line in lines if name in line]
        )
        for name in names
    }


def assert_same_member(together, alone, member, *, exact=True):
    """Assert that a member's record equals that of the same network alone."""
    for f in fields(Record):
        mine, theirs = getattr(together, f.name), getattr(alone, f.name)
        if f.name == "generators":
            states = mine[member].bit_generator.state, theirs[0].bit_generator.state
            assert states[0] == states[1]
        elif f.name == "slots":
            for slot in mine:
                _assert_equal(mine[slot][member], theirs[slot][0], slot, exact)
        else:
            _assert_equal(mine[member], theirs[0], f.name, exact)


def _assert_equal(mine, theirs, name, exact):
    mine, theirs = torch.as_tensor(mine), torch.as_tensor(theirs)
    is_exact = exact or not mine.is_floating_point()
    close = {"rtol": 0, "atol": 0} if is_exact else {"rtol": 1e-9, "atol": 1e-12}
    torch.testing.assert_close(
        mine, theirs, **close, equal_nan=True, msg=lambda text: f"{name}: {text}"
    )


class Block(nn.Module):
    """One layer of a plain network: linear, normalization, activation, mask."""

    def __init__(self, fan_in, fan_out, activation="identity", normalization=None):
        super().__init__()
        self.linear = nn.Linear(fan_in, fan_out)
        norm = TORCH_NORMALIZATIONS.get(normalization, nn.Identity)
        self.norm = norm(fan_out)
        self.activation = TORCH_ACTIVATIONS[activation]()

    def forward(self, x):
        """Return the layer's output."""
        return self.activation(self.norm(self.linear(x)))


def plain_network(architecture, flat):
    """Return the network of one flat vector as an ``nn.Sequential``."""
    sizes = list(itertools.pairwise(architecture.sizes))
    blocks = [
        Block(*size, activation, architecture.normalization)
        for size, activation in zip(sizes, architecture.activations, strict=False)
    ]
    network = nn.Sequential(*blocks, Block(*sizes[-1])).to(flat.dtype)
    state = network.state_dict()
    for segment in Layout.of(architecture).segments:
        values = flat[segment.columns].reshape(segment.shape)
        values = values.T if segment.kind == "weight" else values[0]
        state[f"{segment.layer}.{TORCH_NAMES[segment.kind]}"] = values.clone()
    network.load_state_dict(state)
    return network


def flat_vector(architecture, network):
    """Return all numbers of a plain network in the order of the layout."""
    state = network.state_dict()
    parts = []
    for segment in Layout.of(architecture).segments:
        values = state[f"{segment.layer}.{TORCH_NAMES[segment.kind]}"]
        parts.append((values.T if segment.kind == "weight" else values).reshape(-1))
    return torch.cat(parts)


def plain_forward(network, x, masks=()):
    """Return raw outputs, hidden layers multiplied by their masks."""
    for layer, block in enumerate(network):
        x = block(x)
        if layer < len(masks) and masks[layer] is not None:
            x = x * masks[layer]
    return x


def plain_loss(loss, raw, target, parameter):
    """Return the loss of every row by torch's own functions."""
    if loss == "categorical_cross_entropy":
        return functional.cross_entropy(
            raw, target[:, 0], label_smoothing=parameter, reduction="none"
        )
    if loss == "binary_cross_entropy":
        smooth = target * (1 - parameter) + parameter / 2
        losses = functional.binary_cross_entropy_with_logits(
            raw, smooth, reduction="none"
        )
    elif loss == "huber":
        losses = functional.huber_loss(raw, target, delta=parameter, reduction="none")
    elif loss == "poisson":
        losses = functional.poisson_nll_loss(raw, target, reduction="none")
    elif loss == "quantile":
        error = target - raw
        losses = torch.where(error > 0, parameter * error, (parameter - 1) * error)
    elif loss == "absolute_error":
        losses = functional.l1_loss(raw, target, reduction="none")
    else:
        assert loss == "squared_error"
        losses = functional.mse_loss(raw, target, reduction="none")
    return losses.mean(dim=1)


@contextmanager
def double_by_default():
    """Let torch.optim keep its scalars in double precision too, as NAdam's mu."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@dataclass
class PlainRun:
    """One member of a job trained by an ordinary PyTorch loop.

    ``losses`` and ``penalties`` have an entry for each epoch, ``norms`` and ``rates``
    one for each update; a norm is that of the whole gradient before it is clipped.
    """

    weights: torch.Tensor
    losses: list = field(default_factory=list)
    penalties: list = field(default_factory=list)
    norms: list = field(default_factory=list)
    rates: list = field(default_factory=list)


class PlainTrainer:
    """Train one member of a job with torch's modules, losses and optimizers."""

    def __init__(self, job, record, member=0):
        self.kind, self.job = job.kind, job
        self.settings = job.settings.take(np.array([member]))
        self.rows = job.rows[member]
        self.generator = copy.deepcopy(record.generators[member])
        self.network = plain_network(job.kind.architecture, record.weights[member])
        self.linears = [block.linear.weight for block in self.network]
        self.optimizer = self._optimizer()
        self.run = PlainRun(record.weights[member])

    def _optimizer(self):
        name = self.kind.optimizer
        optimizer, arguments = TORCH_OPTIMIZERS[name]
        if name == "sgd":
            momentum = float(self.settings.momentum[0])
            nesterov = self.kind.nesterov and momentum > 0
            arguments = {"momentum": momentum, "nesterov": nesterov}
        return optimizer(self.network.parameters(), lr=1.0, **arguments)

    @double_by_default()
    def train(self, n_epochs):
        """Train for some epochs without early stopping."""
        for _ in range(n_epochs):
            self._epoch()
        self.run.weights = flat_vector(self.kind.architecture, self.network)
        return self.run

    def _epoch(self):
        n_rows, size = len(self.rows), self.kind.batch_size
        order = np.arange(n_rows)
        if self.kind.shuffle and n_rows > size:
            order = self.generator.permutation(n_rows)
        weight = np.ones(n_rows) if self.rows.weight is None else self.rows.weight
        self.network.train()
        total = 0.0
        for begin in range(0, n_rows, size):
            total += self._step(order[begin : begin + size], weight)
        self.run.losses.append(total / weight.sum())
        with torch.no_grad():
            self.run.penalties.append(float(self._penalty()))

    def _step(self, positions, weight):
        index = self.rows.index[positions]
        x = torch.tensor(self.rows.table.X[index])
        target = torch.tensor(self.rows.table.target[index])
        parameter = float(self.settings.loss_parameter[0])
        losses = plain_loss(self.kind.loss, self.network(x), target, parameter)
        loss = (losses * torch.tensor(weight[positions])).sum()
        self.optimizer.zero_grad()
        mean = loss / (len(positions) * weight.mean())
        (mean + self._penalty()).backward()
        parameters = list(self.network.parameters())
        norm = torch.linalg.vector_norm(torch.cat([p.grad.ravel() for p in parameters]))
        self.run.norms.append(float(norm))
        self._clip(parameters)
        self._update()
        return loss.item()

    def _penalty(self):
        l1, l2 = self.settings.l1[0], self.settings.l2[0]
        return sum(
            l1[layer] * weight.abs().sum() + l2[layer] * weight.square().sum()
            for layer, weight in enumerate(self.linears)
        )

    def _clip(self, parameters):
        clip_norm, clip_value = self.settings.clip_norm[0], self.settings.clip_value[0]
        if np.isfinite(clip_value):
            nn.utils.clip_grad_value_(parameters, float(clip_value))
        if np.isfinite(clip_norm):
            groups = (
                [[p] for p in parameters] if self.kind.clip_per_tensor else [parameters]
            )
            for group in groups:
                nn.utils.clip_grad_norm_(group, float(clip_norm))

    def _update(self):
        rate = self._rate(len(self.run.rates))
        self.run.rates.append(rate)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with torch.no_grad():
            for weight in self.linears:
                weight.mul_(1 - rate * self.settings.weight_decay[0])
        self.optimizer.step()

    def _rate(self, update):
        settings = self.settings
        n_steps = -(-len(self.rows) // self.kind.batch_size)
        step = np.array([float(update)])
        total = n_steps * int(settings.max_epochs[0])
        make = SCHEDULES[self.kind.lr_schedule].make
        factor = make(step, total, float(settings.lr_decay[0]))
        factor = factor * warmup(step, n_steps * float(settings.warmup[0]))
        return float(settings.learning_rate[0] * factor[0])


def combined(**axes):
    """Parametrize with all combinations, every second of them for long tests only.

    Any values of two axes still meet, as the third has even and odd places.
    """
    places = itertools.product(*(range(len(values)) for values in axes.values()))
    cases = [
        pytest.param(*values, marks=pytest.mark.long if sum(place) % 2 else ())
        for place, values in zip(places, itertools.product(*axes.values()), strict=True)
    ]
    return pytest.mark.parametrize(tuple(axes), cases)
