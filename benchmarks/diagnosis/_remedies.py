"""Whether the first remedy makes a run better, beside two controls."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed

from benchmarks._settings import Settings
from benchmarks._store import Store
from benchmarks._timing import limited_threads
from benchmarks.diagnosis._case import N_ERRORS, outcome
from benchmarks.diagnosis._criteria import (
    BALANCED_ACCURACY,
    LABELS,
    TRAIN_LOSS,
)
from benchmarks.diagnosis._faults import FAULTS, HEALTHY, designs
from benchmarks.diagnosis._labelling import finding_versions, of_fault
from benchmarks.diagnosis._table_criteria import balanced_accuracy
from benchmarks.diagnosis._tables import rows_of
from benchmarks.diagnosis._training import Spec

N_SEEDS = 5
#: Added to the seeds of the control that has nothing but others.
_OTHER = 50_000
_FINAL = "final"


def measure_remedies(directory: Path, settings: Settings) -> None:
    """Apply the first remedy of each faulty final run, but for what is known.

    Parameters
    ----------
    directory : Path
        Holds labels and findings, and gets a file of remedies for each fault.
    settings : Settings
        ``jobs`` is the number of processes.
    """
    Parallel(n_jobs=settings.jobs)(
        delayed(_measure)(fault, directory) for fault in [*FAULTS, HEALTHY]
    )


def _measure(fault: str, directory: Path) -> None:
    labels = of_fault(directory, "labels", _FINAL, fault)
    found = of_fault(directory, "findings", _FINAL, fault)
    versions = finding_versions()
    store = Store(directory / f"remedies-{_FINAL}-{fault}.json", versions)
    with limited_threads(1):
        for design in designs(_FINAL, fault):
            if design.key not in labels or design.key not in found:
                continue
            given = labels[design.key]["labels"], found[design.key]["findings"]
            if (chosen := first_remedy(*given)) is None:
                continue
            described = {**design.as_dict(), "finding": chosen[0], "remedy": chosen[1]}
            store.add(
                design.key, described, lambda d=design, c=chosen: applied(d.spec, *c)
            )


def first_remedy(
    labels: Sequence[str], findings: Sequence[Sequence[Any]]
) -> tuple[str, dict[str, Any]] | None:
    """Return the first finding that is right and has a remedy.

    Parameters
    ----------
    labels : sequence of str
        What a run deserves.
    findings : sequence of (name, severity, remedy)
        What was found.

    Returns
    -------
    tuple of str and dict, or None
        The finding's name and its remedy; None where there is none to apply.
    """
    for name, _, remedy in findings:
        if name in labels and remedy:
            return name, dict(remedy)
    return None


def applied(spec: Spec, name: str, remedy: dict[str, Any]) -> dict[str, Any]:
    """Measure what a remedy gains, and what its controls do.

    Parameters
    ----------
    spec : Spec
        The run.
    name : str
        The finding, whose metric counts.
    remedy : dict
        Parameters.

    Returns
    -------
    dict
        ``gains`` by a remedy over seeds, beside ``seed`` (another seed) and ``epochs``
        (as many epochs as the remedy asks for, alone; zeros where it asks for no more),
        and which of them ``is_improved``.
    """
    metric = LABELS[name].metric
    extra = extra_epochs(spec, remedy)
    gains: dict[str, list[float]] = {"remedy": [], "seed": [], "epochs": []}
    for seed in range(spec.seed, spec.seed + N_SEEDS):
        run = spec.with_seed(seed)
        before = goodness(run, metric)
        changed = {
            "remedy": run.changed(**remedy),
            "seed": spec.with_seed(seed + _OTHER),
            "epochs": run.changed(**extra),
        }
        for kind, other in changed.items():
            gains[kind].append(goodness(other, metric) - before)
    return {
        "metric": metric,
        "gains": gains,
        "is_improved": {kind: is_improved(each) for kind, each in gains.items()},
    }


def extra_epochs(spec: Spec, remedy: dict[str, Any]) -> dict[str, Any]:
    """Return the epochs of a remedy that asks for more of them.

    Parameters
    ----------
    spec : Spec
        The run.
    remedy : dict
        Parameters.

    Returns
    -------
    dict
        ``max_epochs`` alone; empty where the remedy does not raise it.
    """
    before, after = spec.params.get("max_epochs"), remedy.get("max_epochs")
    if not isinstance(before, int) or not isinstance(after, int) or after <= before:
        return {}
    return {"max_epochs": after}


def goodness(spec: Spec, metric: str) -> float:
    """Train a run and return how good it is: more is better.

    Parameters
    ----------
    spec : Spec
        The run.
    metric : str
        Of a :class:`benchmarks.diagnosis._criteria.Label`.

    Returns
    -------
    float
        Balanced accuracy, or the negative mean loss.
    """
    found = outcome(spec)
    if metric == BALANCED_ACCURACY:
        assert found.is_right is not None
        return balanced_accuracy(found.is_right, rows_of(spec.sample).test[1])
    losses = found.train if metric == TRAIN_LOSS else found.test
    return -float(losses.mean())


def is_improved(gains: Sequence[float]) -> bool:
    """Tell whether the mean gain exceeds two standard errors.

    Parameters
    ----------
    gains : sequence of float
        Paired gains, one for each seed.

    Returns
    -------
    bool
        False where nothing changed.
    """
    error = np.std(gains, ddof=1) / np.sqrt(len(gains))
    return bool(np.mean(gains) > max(N_ERRORS * error, 0.0))
