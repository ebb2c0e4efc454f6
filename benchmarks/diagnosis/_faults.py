"""Which runs are made: injected faults of several strengths, and sensible settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.diagnosis._case import Case
from benchmarks.diagnosis._tables import (
    CLASSIFICATION,
    DEVELOPMENT,
    FINAL,
    TABLES,
    Sample,
)
from benchmarks.diagnosis._training import Spec

PARTS = {"development": DEVELOPMENT, "final": FINAL}
HEALTHY = "healthy"
#: Runs of each fault, and healthy ones, in a part. Not all keep their label.
N_FAULTY = {"development": 60, "final": 44}
N_HEALTHY = {"development": 360, "final": 460}
#: A sensible network, and the twin of every run whose fault says nothing else.
BASE: dict[str, Any] = {
    "n_members": 1,
    "n_bins": None,
    "scale_inputs": True,
    "n_layers": 2,
    "n_units": 32,
    "activation": "relu",
    "weight_init": "auto",
    "dropout": 0.0,
    "optimizer": "adam",
    "learning_rate": 0.005,
    "batch_size": 32,
    "max_epochs": 40,
    "early_stopping": True,
    "n_iter_no_change": 15,
}

Params = dict[str, Any]
#: Added to the numbers of a part's runs to get splits and seeds: runs of the final part
#: that were looked at while this was written are not made again.
_FIRST = {"development": 0, "final": 3000}


@dataclass(frozen=True)
class Fault:
    """What is injected, and into what.

    Parameters
    ----------
    development, final : sequence of dict
        Parameters that are the fault, of several strengths; no strength is in both.
    base : dict, default={}
        What the run and its twin have otherwise than ``BASE``.
    twin : dict, default={}
        What the twin has otherwise than the base.
    sample : dict, default={}
        What is done to the rows of both.
    task : str or None, default=None
        Task of the tables; None: both.
    count : int or None, default=None
        Runs in each part; None: ``N_FAULTY``.
    """

    development: Sequence[Params]
    final: Sequence[Params]
    base: Params = field(default_factory=dict)
    twin: Params = field(default_factory=dict)
    sample: Params = field(default_factory=dict)
    task: str | None = None
    count: int | None = None

    def strengths(self, part: str) -> Sequence[Params]:
        """Return the strengths of a part."""
        return self.development if part == "development" else self.final

    def n_runs(self, part: str) -> int:
        """Return how many runs there are in a part."""
        return N_FAULTY[part] if self.count is None else self.count


#: Names of a fault's parameters that belong to the rows.
_OF_SAMPLE = ("spread", "minority", "noise")

_SGD = {"optimizer": "sgd", "learning_rate": 0.02}
_RANDOM = {"weight_init": "random_normal"}
FAULTS: dict[str, Fault] = {
    "vanishing_gradients": Fault(
        [
            {"activation": "sigmoid", "n_layers": 5},
            {"activation": "sigmoid", "n_layers": 7},
        ],
        [
            {"activation": "sigmoid", "n_layers": 6},
            {"activation": "sigmoid", "n_layers": 8},
        ],
        base={"optimizer": "sgd", "learning_rate": 0.01},
    ),
    "exploding_gradients": Fault(
        [
            {**_RANDOM, "init_scale": 1.0, "n_layers": 5},
            {**_RANDOM, "init_scale": 1.5, "n_layers": 4},
        ],
        [
            {**_RANDOM, "init_scale": 1.2, "n_layers": 5},
            {**_RANDOM, "init_scale": 2.0, "n_layers": 4},
        ],
    ),
    "dead_units": Fault(
        [{"learning_rate": 0.3}, {"learning_rate": 1.0}],
        [{"learning_rate": 0.5}, {"learning_rate": 0.8}],
        base={"n_layers": 3},
    ),
    "saturation": Fault(
        [{**_RANDOM, "init_scale": 1.5}, {**_RANDOM, "init_scale": 3.0}],
        [{**_RANDOM, "init_scale": 2.0}, {**_RANDOM, "init_scale": 4.0}],
        base={"activation": "tanh", "n_layers": 3},
    ),
    "symmetric_initialization": Fault(
        [
            {"weight_init": "zeros", "activation": "tanh", "n_layers": 1},
            {"weight_init": "zeros", "activation": "relu", "n_layers": 2},
            {"weight_init": "zeros", "activation": "sigmoid", "n_layers": 2},
        ],
        [
            {"weight_init": "zeros", "activation": "tanh", "n_layers": 2},
            {"weight_init": "zeros", "activation": "relu", "n_layers": 1},
            {"weight_init": "zeros", "activation": "sigmoid", "n_layers": 1},
        ],
    ),
    "initialization_variance": Fault(
        [
            {**_RANDOM, "init_scale": 0.003, "n_layers": 3},
            {**_RANDOM, "init_scale": 0.02, "n_layers": 4},
            {**_RANDOM, "init_scale": 0.8, "n_layers": 4},
        ],
        [
            {**_RANDOM, "init_scale": 0.005, "n_layers": 3},
            {**_RANDOM, "init_scale": 0.03, "n_layers": 4},
            {**_RANDOM, "init_scale": 0.7, "n_layers": 4},
        ],
        base={"optimizer": "sgd", "learning_rate": 0.01},
    ),
    "learning_rate_too_high": Fault(
        [
            {"learning_rate": 0.3},
            {"learning_rate": 0.5},
            {"learning_rate": 1.0},
            {"learning_rate": 1.0, "optimizer": "sgd"},
            {"learning_rate": 2.0, "optimizer": "sgd"},
        ],
        [
            {"learning_rate": 0.7},
            {"learning_rate": 1.5},
            {"learning_rate": 1.5, "optimizer": "sgd"},
        ],
    ),
    "learning_rate_too_low": Fault(
        [
            {"learning_rate": 1e-5},
            {"learning_rate": 5e-5},
            {"learning_rate": 1.5e-4},
            {"learning_rate": 1e-4, "optimizer": "sgd"},
            {"learning_rate": 4e-4, "optimizer": "sgd"},
        ],
        [
            {"learning_rate": 2e-5},
            {"learning_rate": 1e-4},
            {"learning_rate": 2e-4, "optimizer": "sgd"},
        ],
    ),
    "divergence": Fault(
        [{"learning_rate": 20.0}, {"learning_rate": 100.0}],
        [{"learning_rate": 40.0}, {"learning_rate": 200.0}],
        base={
            "optimizer": "sgd",
            "early_stopping": False,
            # Dead units would keep the loss where it is.
            "activation": "leaky_relu",
        },
        twin={"learning_rate": 0.01, "early_stopping": True},
    ),
    "overfitting": Fault(
        [{"n_units": 64, "noise": 0.3}, {"n_units": 128, "noise": 0.4}],
        [{"n_units": 96, "noise": 0.35}, {"n_units": 160, "noise": 0.45}],
        base={"early_stopping": False, "learning_rate": 0.01, "max_epochs": 60},
        twin={"early_stopping": True, "n_units": 32},
        sample={"n_train": 200},
    ),
    "underfitting": Fault(
        [
            {"n_units": 1, "n_layers": 1},
            {"n_units": 2, "n_layers": 1},
            {"n_units": 1, "n_layers": 3},
            {"dropout": 0.9},
            {"dropout": 0.8},
            {"weight_decay": 1.0, "optimizer": "adamw"},
            {"weight_decay": 3.0, "optimizer": "adamw"},
            {"l2": 0.1},
            {"l1": 0.02},
        ],
        [
            {"n_units": 1, "n_layers": 2},
            {"dropout": 0.85},
            {"weight_decay": 2.0, "optimizer": "adamw"},
            {"l1": 0.05},
        ],
        count=108,
    ),
    "stopped_too_early": Fault(
        [
            {"max_epochs": 2},
            {"max_epochs": 4},
            {"max_epochs": 7},
            {"n_iter_no_change": 1, "tol": 0.1},
            {"n_iter_no_change": 2, "tol": 0.05},
        ],
        [
            {"max_epochs": 3},
            {"max_epochs": 5},
            {"n_iter_no_change": 1, "tol": 0.15},
        ],
        base={"learning_rate": 0.002, "max_epochs": 60},
    ),
    "noisy_validation": Fault(
        [{"validation_fraction": 0.008}, {"validation_fraction": 0.016}],
        [{"validation_fraction": 0.012}, {"validation_fraction": 0.02}],
        # Long enough that a late epoch is a bad choice.
        base={
            "n_units": 64,
            "learning_rate": 0.01,
            "max_epochs": 80,
            "n_iter_no_change": 80,
        },
        twin={"validation_fraction": 0.25},
        sample={"n_train": 250, "n_valid": 0, "noise": 0.5},
        count=96,
    ),
    "unscaled_inputs": Fault(
        [{"spread": 3.0}, {"spread": 5.0}],
        [{"spread": 4.0}, {"spread": 6.0}],
        base={"scale_inputs": False},
        twin={"scale_inputs": True},
    ),
    "heavy_clipping": Fault(
        [{"clip_norm": 0.001}, {"clip_norm": 0.004}, {"clip_value": 1e-4}],
        [{"clip_norm": 0.002}, {"clip_norm": 0.005}, {"clip_value": 2e-4}],
        base=_SGD,
    ),
    "imbalanced_classes": Fault(
        [{"minority": 0.03}, {"minority": 0.06}],
        [{"minority": 0.04}, {"minority": 0.07}],
        twin={"class_weight": "balanced"},
        task=CLASSIFICATION,
        count=72,
    ),
    "network_too_large": Fault(
        [{"n_units": 96, "n_layers": 3}, {"n_units": 192, "n_layers": 2}],
        [{"n_units": 128, "n_layers": 3}, {"n_units": 256, "n_layers": 2}],
        base={"early_stopping": False, "learning_rate": 0.01},
        twin={"early_stopping": True, "n_units": 8, "n_layers": 2},
        sample={"n_train": 120, "noise": 0.4},
        task=CLASSIFICATION,
        count=48,
    ),
}


@dataclass(frozen=True)
class Design:
    """A run that is made: what it is, and its twin's parameters.

    ``fault`` is what was injected, or ``HEALTHY``; ``strength`` the parameters that
    are the fault.
    """

    part: str
    fault: str
    number: int
    spec: Spec
    twin: Mapping[str, Any]
    strength: Mapping[str, Any]

    @property
    def key(self) -> str:
        """Return the run's name."""
        return f"{self.fault} {self.number}"

    def as_dict(self) -> dict[str, Any]:
        """Return all of it in plain containers."""
        return {
            "part": self.part,
            "fault": self.fault,
            "strength": dict(self.strength),
            "twin": dict(self.twin),
            **self.spec.as_dict(),
        }

    def case(self) -> Case:
        """Train the run."""
        return Case(self.spec, dict(self.twin))


def designs(part: str, fault: str, count: int | None = None) -> list[Design]:
    """Return the runs of a fault, or the healthy ones.

    Parameters
    ----------
    part : {"development", "final"}
        Which tables and strengths.
    fault : str
        One of ``FAULTS``, or ``HEALTHY``.
    count : int or None, default=None
        How many; None: all that there are to be.

    Returns
    -------
    list of Design
        In turn over tables, then over strengths.
    """
    if fault == HEALTHY:
        count = N_HEALTHY[part] if count is None else count
        return [_healthy(part, number) for number in range(count)]
    count = FAULTS[fault].n_runs(part) if count is None else count
    return [_faulty(part, fault, number) for number in range(count)]


def _faulty(part: str, name: str, number: int) -> Design:
    fault = FAULTS[name]
    tables = [
        table for table in PARTS[part] if fault.task in (None, TABLES[table].task)
    ]
    round_, place = divmod(number, len(tables))
    strengths = fault.strengths(part)
    strength = strengths[round_ % len(strengths)]
    of_rows = {key: v for key, v in strength.items() if key in _OF_SAMPLE}
    of_fit = {key: v for key, v in strength.items() if key not in _OF_SAMPLE}
    seed = _FIRST[part] + number
    sample = Sample(tables[place], split=seed, **{**fault.sample, **of_rows})
    base = {**BASE, **fault.base}
    # Depth is no fault of itself: the twin is as deep.
    twin = {**base, **{k: of_fit[k] for k in _SHARED & of_fit.keys()}, **fault.twin}
    spec = Spec(sample, seed, {**base, **of_fit})
    return Design(part, name, number, spec, twin, strength)


#: Of a fault's parameters, those that its twin has, too.
_SHARED = {"n_layers"}

# ---------------------------------------------------------------- healthy runs

_RATES = {"adam": (0.002, 0.01), "adamw": (0.002, 0.01), "sgd": (0.02, 0.1)}
_ACTIVATIONS = ("relu", "tanh", "leaky_relu", "elu", "selu", "gelu", "silu", "sigmoid")
#: Sigmoids in more layers are a fault.
_DEEPEST = {"sigmoid": 2}
#: Shares of runs with the estimator's defaults, and with its plain preset.
_N_DEFAULT = 20


def _healthy(part: str, number: int) -> Design:
    """Draw sensible settings of many kinds."""
    seed = _FIRST[part] + number
    rng = np.random.default_rng([seed, list(PARTS).index(part)])
    tables = list(PARTS[part])
    table = tables[number % len(tables)]
    n_valid = int(rng.choice([0, 120, 120]))
    n_train = int(rng.choice([300, 500]))
    sample = Sample(table, split=seed, n_train=n_train, n_valid=n_valid)
    if number % _N_DEFAULT == 0:
        # As they are given, but for the time that this takes.
        params: Params = {"max_epochs": 60, "n_members": int(rng.choice([1, 4]))}
    else:
        params = _sensible(rng)
    return Design(part, HEALTHY, number, Spec(sample, seed, params), BASE, {})


def _sensible(rng: np.random.Generator) -> Params:
    activation = str(rng.choice(_ACTIVATIONS))
    optimizer = str(rng.choice(list(_RATES)))
    low, high = np.log(_RATES[optimizer])
    params = {
        **BASE,
        "activation": activation,
        "n_layers": int(rng.integers(1, _DEEPEST.get(activation, 4) + 1)),
        "n_units": int(rng.choice([16, 24, 32, 48, 64])),
        "optimizer": optimizer,
        "learning_rate": round(float(np.exp(rng.uniform(low, high))), 5),
        "dropout": float(rng.choice([0.0, 0.0, 0.1, 0.2])),
        "batch_size": int(rng.choice([16, 32, 64])),
        "max_epochs": int(rng.choice([40, 60])),
        "n_iter_no_change": int(rng.choice([10, 15, 20])),
    }
    if rng.random() < 0.25:
        params |= _without_stopping(rng)
    params["validation_fraction"] = float(rng.choice([0.1, 0.15, 0.2]))
    if rng.random() < 0.15:
        params["normalization"] = str(rng.choice(["batch", "layer"]))
    if rng.random() < 0.15:
        params["clip_norm"] = float(rng.choice([5.0, 10.0]))
    if rng.random() < 0.15:
        params["lr_schedule"] = str(rng.choice(["cosine", "exponential"]))
    return params


def _without_stopping(rng: np.random.Generator) -> Params:
    """Let a small network with decay train some epochs without stopping early."""
    return {
        "early_stopping": False,
        "n_units": int(rng.choice([8, 16])),
        # Runs of 15 and 25 epochs were often too short for networks as small as these.
        "max_epochs": int(rng.choice([40, 60])),
        "dropout": 0.1,
        "optimizer": "adamw",
        "learning_rate": 0.005,
        "weight_decay": 0.01,
    }
