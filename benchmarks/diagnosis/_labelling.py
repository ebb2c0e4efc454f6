"""Make the runs, label them by their outcome, and ask ``diagnose()`` about them."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed

import sknnopt
from benchmarks._machine import surroundings
from benchmarks._results import plain
from benchmarks._settings import Settings
from benchmarks._store import Store
from benchmarks._timing import limited_threads
from benchmarks.diagnosis._criteria import LABELS, label
from benchmarks.diagnosis._faults import FAULTS, HEALTHY, Design, designs
from benchmarks.diagnosis._training import fitted

_HERE = Path(__file__).parent
#: What labels depend on, besides the packages' versions.
_SOURCES = (
    "_case.py",
    "_course_criteria.py",
    "_criteria.py",
    "_gradient_criteria.py",
    "_table_criteria.py",
    "_tables.py",
    "_training.py",
)
#: Runs of each fault in a smoke test.
_N_QUICK = 1


def measure(part: str, directory: Path, settings: Settings) -> None:
    """Make the runs of a part, but for those that are known.

    Parameters
    ----------
    part : {"development", "final"}
        Which tables and strengths.
    directory : Path
        Holds, for each fault, a file of labels and one of findings.
    settings : Settings
        ``jobs`` is the number of processes.
    """
    count = _N_QUICK if settings.quick else None
    Parallel(n_jobs=settings.jobs)(
        delayed(_measure)(part, fault, directory, count) for fault in [*FAULTS, HEALTHY]
    )


def _measure(part: str, fault: str, directory: Path, count: int | None) -> None:
    labels = Store(directory / f"labels-{part}-{fault}.json", label_versions())
    found = Store(directory / f"findings-{part}-{fault}.json", finding_versions())
    with limited_threads(1):
        for design in designs(part, fault, count):
            described = design.as_dict()
            labels.add(design.key, described, lambda d=design: labelled(d))
            if is_kept(labels[design.key]) and _can_diagnose():
                found.add(design.key, described, lambda d=design: findings(d))


def label_versions() -> dict[str, str]:
    """Return what labels depend on; training itself counts by its version alone."""
    text = b"".join((_HERE / name).read_bytes() for name in _SOURCES)
    return {**surroundings()["versions"], "criteria": _digest(text)}


def finding_versions() -> dict[str, str]:
    """Return what findings depend on: all of the package's source."""
    files = sorted(Path(sknnopt.__file__).parent.glob("*.py"))
    source = _digest(b"".join(file.read_bytes() for file in files))
    return {**label_versions(), "source": source}


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()[:12]


def labelled(design: Design) -> dict[str, Any]:
    """Train a run and what it is compared with, and label it.

    Parameters
    ----------
    design : Design
        The run.

    Returns
    -------
    dict
        ``labels``, the ``numbers`` behind them, mean losses of the run and its twins,
        and the seconds that it took.
    """
    begun = time.perf_counter()
    case = design.case()
    verdicts = label(case)
    twins = case.twins
    return {
        "labels": [name for name, (is_met, _) in verdicts.items() if is_met],
        "numbers": {name: _known(numbers) for name, (_, numbers) in verdicts.items()},
        "is_harmed": case.is_harmed,
        "train_loss": case.outcome.train.mean(),
        "test_loss": case.outcome.test.mean(),
        "twin_train_loss": np.mean([twin.train.mean() for twin in twins]),
        "twin_test_loss": np.mean([twin.test.mean() for twin in twins]),
        "n_epochs": case.run.n_epochs,
        "seconds": time.perf_counter() - begun,
    }


def _known(numbers: dict[str, Any]) -> dict[str, Any]:
    """Return numbers as JSON can hold them: what is not a number is None."""
    return {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in numbers.items()
        if value == value  # noqa: PLR0124 - not so for NaN
    }


def is_kept(row: dict[str, Any]) -> bool:
    """Tell whether a run belongs to the set: a healthy one, or one with its fault.

    Parameters
    ----------
    row : dict
        A row of labels.

    Returns
    -------
    bool
        False for a run whose injected fault has done no harm. What was meant to be
        healthy is kept with whatever labels it has.
    """
    fault = row["design"]["fault"]
    return fault == HEALTHY or fault in row["labels"]


def _can_diagnose() -> bool:
    return hasattr(sknnopt.OptimizedMLPClassifier, "diagnose")


def findings(design: Design) -> dict[str, Any]:
    """Fit a run as a user would, and return what ``diagnose()`` says of it.

    Parameters
    ----------
    design : Design
        The run.

    Returns
    -------
    dict
        ``findings``: for each its name, its severity and its remedy.
    """
    diagnosis = fitted(design.spec).diagnose()
    found = [[f.name, f.severity, _plain_remedy(f.remedy)] for f in diagnosis]
    unknown = {name for name, *_ in found} - LABELS.keys()
    assert not unknown, f"findings without a criterion: {sorted(unknown)}"
    return {"findings": found}


def _plain_remedy(remedy: Any) -> dict[str, Any] | None:
    return None if remedy is None else plain(dict(remedy), 9)


def stored(directory: Path, kind: str, part: str) -> list[dict[str, Any]]:
    """Return the rows that are stored of a part.

    Parameters
    ----------
    directory : Path
        Where.
    kind : {"labels", "findings", "remedies"}
        Which files.
    part : {"development", "final"}
        Which part.

    Returns
    -------
    list of dict
        Rows, fault by fault.
    """
    return [
        row
        for fault in [*FAULTS, HEALTHY]
        for row in of_fault(directory, kind, part, fault).values()
    ]


def of_fault(
    directory: Path, kind: str, part: str, fault: str
) -> dict[str, dict[str, Any]]:
    """Return the rows that are stored of a fault, by their keys.

    Parameters
    ----------
    directory : Path
        Where.
    kind : {"labels", "findings", "remedies"}
        Which file.
    part : {"development", "final"}
        Which part.
    fault : str
        What was injected, or ``HEALTHY``.

    Returns
    -------
    dict
        Empty where none is stored.
    """
    path = directory / f"{kind}-{part}-{fault}.json"
    if not path.exists():
        return {}
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return {row["key"]: row for row in rows}
