from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.diagnosis._criteria import (
    LABELS,
    are_identical,
    dead_share,
    gradient_ratio,
    variance_growth,
)
from benchmarks.diagnosis._faults import FAULTS, HEALTHY, PARTS, designs
from benchmarks.diagnosis._labelling import is_kept, labelled
from benchmarks.diagnosis._tables import Sample
from benchmarks.diagnosis._training import Run, Spec
from sknnopt.diagnostics import FINDINGS

PLAIN = {"early_stopping": False, "n_bins": None, "n_members": 1, "max_epochs": 1}


def _run(**params):
    sample = Sample("moons", split=0, n_train=60)
    return Run(Spec(sample, 0, {**PLAIN, "n_units": 6, **params}))


def test_every_finding_has_a_label_and_a_fault():
    """What can be found has a criterion and is injected, and nothing else is."""
    assert set(LABELS) == set(FINDINGS)
    assert set(FAULTS) == set(FINDINGS)


def test_parts_share_no_table():
    """No table sets a threshold and is judged by it."""
    development, final = (set(PARTS[part]) for part in ("development", "final"))
    assert not development & final


@pytest.mark.parametrize("fault", FAULTS)
def test_parts_share_no_strength(fault):
    """No strength of a fault sets a threshold and is judged by it."""
    strengths = [FAULTS[fault].strengths(part) for part in ("development", "final")]
    assert not [strength for strength in strengths[0] if strength in strengths[1]]


@pytest.mark.parametrize("part", PARTS)
def test_sizes_of_the_parts(part):
    """There are more than 20 runs of each fault to be made, and 300 healthy ones."""
    assert all(len(designs(part, fault)) > 20 for fault in FAULTS)
    if part == "final":
        assert len(designs(part, HEALTHY)) >= 300


def test_gradient_ratio_is_that_of_autograd():
    """Root mean squares of the first and the last weights' gradients are divided."""
    run = _run(activation="tanh", n_layers=3)
    tensors = run.snapshots[-1]
    gradient = run.gradient(tensors)
    first, last = (
        np.sqrt(np.mean(np.square(gradient[f"weight_{layer}"].numpy())))
        for layer in (0, 3)
    )
    assert gradient_ratio(run, tensors) == pytest.approx(first / last, rel=1e-5)


def test_zero_weights_are_identical_and_dead():
    """With all weights zero units are the same, relu is dead, no variance is left."""
    run = _run(activation="relu", n_layers=2)
    drawn = run.snapshots[0]
    zero = {name: torch.zeros_like(tensor) for name, tensor in drawn.items()}
    assert are_identical(zero, 2)
    assert not are_identical(drawn, 2)
    assert dead_share(run, zero) == 1.0
    assert variance_growth(run, zero) == 0.0
    assert dead_share(run, drawn) < 1.0
    assert variance_growth(run, drawn) > 0.0


def test_a_run_is_labelled_by_its_outcome():
    """Zero weights that stay zero are labelled, and the run is kept."""
    design = designs("development", "symmetric_initialization", 1)[0]
    row = {"design": design.as_dict(), **labelled(design)}
    assert "symmetric_initialization" in row["labels"]
    assert is_kept(row)
    assert not is_kept({**row, "labels": []})
