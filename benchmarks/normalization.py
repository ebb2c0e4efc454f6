"""How many epochs standardized input saves on the Pima Indians diabetes table.

The claim: a network with two hidden layers of 10 units that was trained for 200 epochs
on standardized input has come as far as raw input takes it in 2,000. Both inputs train
from the same initial weights, on the same rows in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from benchmarks._figures import draw_losses
from benchmarks._normalization_report import report
from benchmarks._results import plain, versions, write_json
from benchmarks._statistics import censored_median, estimate
from sknnopt import OptimizedMLPClassifier
from sknnopt.datasets import load_pima
from sknnopt.presets import PLAIN

#: Hyperparameters of the claim, made in Keras: its initial weights and learning rate.
#: The epsilon of Adam is PyTorch's 1e-8; Keras's is 1e-7.
PARAMETERS: dict[str, Any] = {
    "hidden_layer_sizes": (10, 10),
    "activation": "relu",
    "weight_init": "glorot_uniform",
    "optimizer": "adam",
    "learning_rate": 1e-3,
    "batch_size": 32,
    "dropout": 0.0,
    "early_stopping": False,
    "n_iter_no_change": None,
    "monitor": "off",
    "n_threads": 1,
}
#: Points of a curve, evenly spaced in the logarithm of the epoch.
_N_POINTS = 80
#: The band of a curve holds this share of the runs.
_BAND = 0.8
_RUN_COLUMNS = (
    "raw_epochs",
    "scaled_epochs",
    "scaled_loss",
    "raw_loss_early",
    "raw_loss_late",
    "scaled_accuracy",
    "raw_accuracy_early",
    "raw_accuracy_late",
)


@dataclass(frozen=True)
class Design:
    """What is measured.

    Parameters
    ----------
    guide_split : int, default=1
        ``random_state`` of the split that the claim was made on; reported apart.
    splits : sequence of int, default=(2, ..., 11)
        The same for the splits that are pooled.
    n_seeds : int, default=20
        Networks on each split. Every split has seeds of its own.
    short, long : int, default=200 and 2000
        Epochs on standardized and on raw input.
    """

    guide_split: int = 1
    splits: Sequence[int] = tuple(range(2, 12))
    n_seeds: int = 20
    short: int = 200
    long: int = 2000


FULL = Design()
QUICK = Design(splits=(2,), n_seeds=2, short=3, long=8)


@dataclass(frozen=True)
class Histories:
    """Training loss and held-out accuracy, ``(networks, epochs)``, on both inputs."""

    scaled_loss: np.ndarray
    scaled_accuracy: np.ndarray
    raw_loss: np.ndarray
    raw_accuracy: np.ndarray


def run(out: Path, *, quick: bool = False, jobs: int = 1) -> None:
    """Measure, and write ``normalization.json``, ``.md`` and ``.png``.

    Parameters
    ----------
    out : Path
        Directory of the results.
    quick : bool, default=False
        Whether this is a smoke test.
    jobs : int, default=1
        Processes at a time; the numbers do not depend on it.
    """
    result = measure(QUICK if quick else FULL, jobs=jobs)
    write_json(out / "normalization.json", result)
    text = report(result)
    (out / "normalization.md").write_text(text, encoding="utf-8")
    draw_losses(result, out / "normalization.png")
    print(text)


def measure(design: Design, *, jobs: int = 1) -> dict[str, Any]:
    """Train all networks and summarize them.

    Parameters
    ----------
    design : Design
        What to measure.
    jobs : int, default=1
        Processes at a time.

    Returns
    -------
    dict
        ``versions``, ``design``, ``parameters``, ``runs`` (one entry for each split,
        lists over seeds), ``curves`` and ``summary``; None stands for "never".
    """
    splits = [design.guide_split, *design.splits]
    histories = Parallel(n_jobs=jobs)(delayed(train)(s, design) for s in splits)
    runs = [
        {"split": split, **compare(history, design)}
        for split, history in zip(splits, histories, strict=True)
    ]
    result: dict[str, Any] = plain(
        {
            "versions": versions(),
            "design": asdict(design),
            "parameters": PARAMETERS,
            "runs": runs,
            "curves": curves(histories[1:]),
        }
    )
    # From the rounded numbers, so that the file agrees with itself.
    result["summary"] = summarize(result["runs"], design.guide_split)
    return result


def prepare(split: int) -> dict[str, tuple[np.ndarray, ...]]:
    """Return the training and held-out rows of a split, on both inputs.

    Parameters
    ----------
    split : int
        ``random_state`` of the split, which is scikit-learn's default otherwise: a
        quarter of the rows is held out, classes are not stratified.

    Returns
    -------
    dict
        ``"raw"`` and ``"scaled"``: ``(X_train, X_test, y_train, y_test)`` in single
        precision. Mean and variance of the scaling come from the training rows.
    """
    X, y = load_pima(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(
        X.to_numpy(dtype=np.float64), y.to_numpy(), random_state=split
    )
    scaler = StandardScaler().fit(X_train)
    inputs = {
        "raw": (X_train, X_test),
        "scaled": (scaler.transform(X_train), scaler.transform(X_test)),
    }
    return {
        name: (*(part.astype(np.float32) for part in parts), y_train, y_test)
        for name, parts in inputs.items()
    }


def train(split: int, design: Design) -> Histories:
    """Train the networks of one split on both inputs.

    Parameters
    ----------
    split : int
        ``random_state`` of the split, and of the networks' seeds.
    design : Design
        Number of networks and of epochs.

    Returns
    -------
    Histories
        Epoch by epoch.
    """
    data = prepare(split)
    scaled = _history(data["scaled"], split, design.n_seeds, design.short)
    raw = _history(data["raw"], split, design.n_seeds, design.long)
    return Histories(*scaled, *raw)


def _history(
    data: tuple[np.ndarray, ...], seed: int, n_seeds: int, n_epochs: int
) -> tuple[np.ndarray, np.ndarray]:
    X_train, X_test, y_train, y_test = data
    # Members do not see each other: a batch of them is that many single fits.
    model = OptimizedMLPClassifier(
        **{**PLAIN, **PARAMETERS, "n_members": n_seeds},
        max_epochs=n_epochs,
        random_state=seed,
    ).fit(X_train, y_train, X_val=X_test, y_val=y_test)
    if np.any(model.diverged_):
        raise RuntimeError(f"Training diverged on split {seed}; no curve is complete.")
    table = model.history_.pivot(index="member", columns="epoch")
    return table["train_loss"].to_numpy(), table["valid_score"].to_numpy()


def first_epoch(losses: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the first epoch in which a loss is at or below its target.

    Parameters
    ----------
    losses : ndarray of shape (networks, epochs)
        Training losses.
    target : ndarray of shape (networks,)
        What each network has to reach.

    Returns
    -------
    ndarray of shape (networks,)
        Epochs, counted from 1; infinity where the target is never reached.
    """
    reached = losses <= target[:, None]
    return np.where(reached.any(axis=1), reached.argmax(axis=1) + 1.0, np.inf)


def compare(history: Histories, design: Design) -> dict[str, np.ndarray]:
    """Return the numbers of each network that the summary is made from.

    Parameters
    ----------
    history : Histories
        Of one split.
    design : Design
        Where "early" (``short``) and "late" (``long``) are.

    Returns
    -------
    dict of ndarray of shape (networks,)
        ``raw_epochs``: when raw input reaches what standardized input ends at;
        ``scaled_epochs``: the reverse; losses and accuracies.
    """
    early = design.short - 1
    scaled_loss, raw_loss = history.scaled_loss[:, -1], history.raw_loss[:, -1]
    values = (
        first_epoch(history.raw_loss, scaled_loss),
        first_epoch(history.scaled_loss, raw_loss),
        scaled_loss,
        history.raw_loss[:, early],
        raw_loss,
        history.scaled_accuracy[:, -1],
        history.raw_accuracy[:, early],
        history.raw_accuracy[:, -1],
    )
    return dict(zip(_RUN_COLUMNS, values, strict=True))


def curves(histories: Sequence[Histories]) -> dict[str, Any]:
    """Return the training losses of pooled runs at some epochs.

    Parameters
    ----------
    histories : sequence of Histories
        One for each split.

    Returns
    -------
    dict
        For ``"scaled"`` and ``"raw"`` the ``epoch``, the ``median`` over runs and the
        bounds ``low`` and ``high`` of a band that holds 80 % of the runs.
    """
    tail = (1 - _BAND) / 2
    result = {}
    for name in ("scaled", "raw"):
        losses = np.concatenate([getattr(h, f"{name}_loss") for h in histories])
        n_epochs = losses.shape[1]
        epoch = np.unique(np.geomspace(1, n_epochs, _N_POINTS).round().astype(int))
        low, median, high = np.quantile(
            losses[:, epoch - 1], [tail, 0.5, 1 - tail], axis=0
        )
        result[name] = {"epoch": epoch, "low": low, "median": median, "high": high}
    return result


def summarize(runs: Sequence[dict[str, Any]], guide_split: int) -> dict[str, Any]:
    """Summarize the runs of the claim's split, and those of all others.

    Parameters
    ----------
    runs : sequence of dict
        One for each split, as in the result file.
    guide_split : int
        The split that is kept apart.

    Returns
    -------
    dict
        ``guide_split``, with intervals over its seeds, and ``other_splits``, with
        intervals over splits.
    """
    guide = [entry for entry in runs if entry["split"] == guide_split]
    others = [entry for entry in runs if entry["split"] != guide_split]
    one_split = {name: values.T for name, values in _stacked(guide).items()}
    summary: dict[str, Any] = plain(
        {
            "guide_split": _group(one_split),
            "other_splits": _group(_stacked(others)),
        }
    )
    return summary


def _stacked(runs: Sequence[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Return each number as an array (splits, seeds), infinite where it is None."""
    return {
        name: np.array(
            [[np.inf if v is None else v for v in entry[name]] for entry in runs],
            dtype=np.float64,
        )
        for name in _RUN_COLUMNS
    }


def _group(values: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return the statistics of some runs, ``(clusters, runs)`` each."""
    rng = np.random.default_rng(0)
    result: dict[str, Any] = {"n_runs": values["raw_epochs"].size}
    for name in ("raw_epochs", "scaled_epochs"):
        result[name] = estimate(values[name], censored_median, rng)
        never = np.isinf(values[name]).astype(np.float64)
        result[f"{name}_never"] = estimate(never, np.mean, rng)
    for name in ("scaled_loss", "raw_loss_early", "raw_loss_late"):
        result[name] = estimate(values[name], np.median, rng)
    for name in ("scaled_accuracy", "raw_accuracy_early", "raw_accuracy_late"):
        result[name] = estimate(values[name], np.mean, rng)
    for name in ("early", "late"):
        gain = values["scaled_accuracy"] - values[f"raw_accuracy_{name}"]
        result[f"accuracy_gain_{name}"] = estimate(gain, np.mean, rng)
    return result
