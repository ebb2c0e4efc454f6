from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from sklearn.metrics import balanced_accuracy_score, log_loss

from benchmarks._settings import Settings
from benchmarks._statistics import wilson
from benchmarks.diagnosis import _labelling, _remedies
from benchmarks.diagnosis import _run as _run_module
from benchmarks.diagnosis._case import is_worse
from benchmarks.diagnosis._criteria import LABELS
from benchmarks.diagnosis._faults import FAULTS, HEALTHY, PARTS, designs
from benchmarks.diagnosis._gradient_criteria import (
    are_identical,
    dead_share,
    gradient_ratio,
    variance_growth,
)
from benchmarks.diagnosis._labelling import is_kept, labelled
from benchmarks.diagnosis._remedies import extra_epochs, first_remedy, is_improved
from benchmarks.diagnosis._scoring import Judged, scores
from benchmarks.diagnosis._table_criteria import balanced_accuracy, is_less_balanced
from benchmarks.diagnosis._tables import Sample, rows_of
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


def test_gradient_ratio_of_deep_sigmoids_is_a_closed_product():
    """With one unit a layer the chain rule's factors are multiplied by hand."""
    run = _run(activation="sigmoid", n_layers=10, n_units=1)
    tensors = {name: tensor.double() for name, tensor in run.snapshots[0].items()}
    X, y = run.train[0].double(), run.train[1]
    hidden = [X]
    for layer in range(10):
        weights, bias = tensors[f"weight_{layer}"][0], tensors[f"bias_{layer}"][0]
        hidden.append(torch.sigmoid(hidden[-1] @ weights + bias))
    head = tensors["weight_10"][0]
    raw = hidden[-1] @ head + tensors["bias_10"][0]
    delta = (torch.sigmoid(raw) - y.double()[:, None]) / len(y)
    of_head = (hidden[-1].T @ delta).square().mean().sqrt()
    factor = delta * head
    for layer in range(9, 0, -1):
        after = hidden[layer + 1]
        factor = factor * after * (1 - after) * tensors[f"weight_{layer}"][0]
    factor = factor * hidden[1] * (1 - hidden[1])
    expected = (X.T @ factor).square().mean().sqrt() / of_head
    run.train = (X, y)
    assert gradient_ratio(run, tensors) == pytest.approx(float(expected), rel=1e-9)


def test_losses_are_those_of_the_predictions():
    """The forward pass in torch and the estimator's own agree."""
    run = _run(activation="tanh", n_layers=2)
    expected = log_loss(run.rows.test[1], run.model.predict_proba(run.rows.test[0]))
    assert run.outcome.test.mean() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("count", "total"), [(0, 7), (3, 7), (45, 50), (20, 20)])
def test_wilson_interval_against_scipy(count, total):
    """The interval is scipy's, by Wilson's method without correction."""
    expected = binomtest(count, total).proportion_ci(method="wilson")
    found = wilson(count, total)
    assert found["value"] == count / total
    assert (found["low"], found["high"]) == pytest.approx(tuple(expected), abs=1e-9)


def test_wilson_interval_by_hand():
    """Of 8 of 10 it is (1 + z² / 10)⁻¹ (0.8 + z² / 20 ± z √(0.016 + z² / 400))."""
    z, found = 1.959963984540054, wilson(8, 10)
    half = z * np.sqrt(0.016 + z**2 / 400)
    expected = [(0.8 + z**2 / 20 + sign * half) / (1 + z**2 / 10) for sign in (-1, 1)]
    assert [found["low"], found["high"]] == pytest.approx(expected, rel=1e-9)


def test_scores_count_by_hand():
    """Of three runs: one found, one missed and wrongly accused, one healthy accused."""
    runs = [
        Judged("saturation", frozenset({"saturation"}), [["saturation", "mild", None]]),
        Judged("saturation", frozenset({"saturation"}), [["dead_units", "mild", None]]),
        Judged(HEALTHY, frozenset(), [["dead_units", "severe", None]]),
    ]
    found = scores(runs)
    assert found["findings"]["saturation"]["recall"]["value"] == 0.5
    assert found["findings"]["saturation"]["precision"]["value"] == 1.0
    assert found["findings"]["dead_units"]["precision"]["value"] == 0.0
    assert found["all"]["precision"]["value"] == pytest.approx(1 / 3)
    assert (found["n_healthy"], found["n_faulty"]) == (1, 2)
    assert found["accused"]["count"] == found["any"]["count"] == 1


def test_noise_is_no_difference():
    """A difference counts beyond two standard errors of paired rows, and in size."""
    losses = np.linspace(0, 1, 100)
    assert is_worse(losses + 0.1, losses)
    assert not is_worse(losses + 0.1, losses, least=0.2)
    assert not is_worse(losses + np.resize([1.0, -0.9], 100), losses)
    assert not is_worse(losses, losses)


def test_balanced_accuracy_is_scikit_learns():
    """The mean of recalls, and a difference that all rows share is no noise."""
    y = np.array([0, 0, 0, 0, 1, 1])
    y_pred = np.array([0, 0, 0, 1, 1, 0])
    is_right = y == y_pred
    expected = balanced_accuracy_score(y, y_pred)
    assert balanced_accuracy(is_right, y) == pytest.approx(expected)
    assert is_less_balanced(np.zeros(6, bool), np.ones(6, bool), y)
    assert not is_less_balanced(is_right, is_right, y)


def test_rows_of_a_run_are_apart_and_as_asked():
    """Rows are disjoint; a rare class has its share; the spread is what it says."""
    rows = rows_of(Sample("moons", split=1, n_train=200, minority=0.1))
    parts = [rows.train[0], rows.valid[0], rows.test[0]]
    together = np.concatenate(parts)
    assert len(np.unique(together, axis=0)) == len(together)
    assert np.mean(np.concatenate([rows.train[1], rows.valid[1]])) < 0.2
    scales = rows_of(Sample("friedman1", split=0, spread=4.0)).train[0].std(axis=0)
    assert scales.max() / scales.min() == pytest.approx(1e4, rel=0.2)


def test_first_remedy_is_that_of_a_finding_that_is_right():
    """Findings that are wrong, or have no keywords, are passed over."""
    findings = [
        ["dead_units", "severe", {"learning_rate": 0.1}],
        ["saturation", "severe", None],
        ["overfitting", "mild", {"dropout": 0.2}],
    ]
    labels = ["saturation", "overfitting"]
    assert first_remedy(labels, findings) == ("overfitting", {"dropout": 0.2})
    assert first_remedy(["saturation"], findings) is None


def test_extra_epochs_are_those_of_the_remedy_alone():
    """A control trains longer only where the remedy does."""
    spec = Spec(Sample("moons", split=0), 0, {"max_epochs": 5})
    remedy = {"max_epochs": 20, "dropout": 0.0}
    assert extra_epochs(spec, remedy) == {"max_epochs": 20}
    assert extra_epochs(spec, {"dropout": 0.0}) == {}
    assert extra_epochs(spec, {"max_epochs": 4}) == {}


def test_improvement_is_beyond_the_noise_of_seeds():
    """The mean paired gain has to exceed two standard errors."""
    assert is_improved([1.0, 1.1, 0.9, 1.0, 1.0])
    assert not is_improved([1.0, -1.0, 1.0, -1.0, 0.5])
    assert not is_improved([0.0] * 5)


def test_runs_remedies_and_report_end_to_end(tmp_path, monkeypatch, capsys):
    """What is made is labelled, diagnosed, remedied, reported, and not made again."""
    fault = "symmetric_initialization"

    def one(part, name, count=None):
        return designs(part, name, 3)[2:] if name == fault else []

    for module in (_labelling, _remedies):
        monkeypatch.setattr(module, "FAULTS", {fault: FAULTS[fault]})
        monkeypatch.setattr(module, "designs", one)
    monkeypatch.setattr(_remedies, "N_SEEDS", 2)
    settings = Settings(parts=["final", "remedies"])
    _run_module.run(tmp_path, settings)
    rows = _labelling.of_fault(tmp_path / "diagnosis", "labels", "final", fault)
    assert fault in rows[f"{fault} 2"]["labels"]
    text = (tmp_path / "diagnosis.md").read_text()
    assert f"| {fault} | 1 | 1 | 1 | 1 | 1 |" in text
    assert "## Remedies" in text
    assert (tmp_path / "diagnosis.png").stat().st_size > 0
    capsys.readouterr()
    _run_module.run(tmp_path, settings)
    assert capsys.readouterr().out.count(": known") == 3
