"""Losses and scores of all members against scikit-learn, one member at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import LOSS_PARAMETERS, make_kind, make_rows, make_table, plain_loss
from sklearn.metrics import accuracy_score, log_loss, r2_score

from sknnopt import _scores
from sknnopt._job import Rows, Table
from sknnopt._network import MemberNetwork
from sknnopt._record import Record
from sknnopt._scores import Evaluation
from sknnopt.losses import LOSSES

CLASSIFICATION = [n for n, option in LOSSES.items() if option.task == "classification"]
REGRESSION = [n for n, option in LOSSES.items() if option.task == "regression"]
SIZES = [(30,), (30, 30, 30), (30, 12, 25)]


class Case:
    """Some networks, their rows and what they answer to each row."""

    def __init__(self, loss, sizes=(30, 12, 25), *, weighted=False, **changes):
        self.kind = make_kind(loss=loss, **changes)
        self.table = make_table(self.kind, 40)
        self.rows = make_rows(self.table, sizes, weighted=weighted)
        names = ["xavier_normal"] * 3
        self.record = Record.start(self.kind, names, 1.0, range(len(sizes)))
        self.module = MemberNetwork(self.kind.architecture, self.record.weights)
        self.parameter = LOSS_PARAMETERS.get(loss, 0.0)

    def evaluation(self):
        """Return the measurement of the members on their rows."""
        shape = (len(self.rows), 1, 1)
        parameter = torch.full(shape, self.parameter, dtype=self.kind.torch_dtype)
        return Evaluation(self.kind, self.rows, parameter)

    def evaluate(self):
        """Return loss and score of every member as arrays."""
        return self.evaluation()(self.record.padded(self.kind).weights)

    @torch.no_grad()
    def members(self):
        """Yield each member's raw outputs, target and weights."""
        for member, rows in enumerate(self.rows):
            X = torch.tensor(self.table.X[rows.index])
            raw = self.module.eval()(X)[member]
            yield raw, self.table.target[rows.index], rows.weight


def _score(loss, raw, target, weight):
    """Return scikit-learn's score of raw outputs."""
    if loss == "categorical_cross_entropy":
        return accuracy_score(target[:, 0], raw.argmax(1).numpy(), sample_weight=weight)
    if loss == "binary_cross_entropy":
        labels = target.astype(int)
        return accuracy_score(labels, (raw > 0).int().numpy(), sample_weight=weight)
    predicted = LOSSES[loss].respond(raw).numpy()
    return r2_score(target, predicted, sample_weight=weight)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("loss", LOSSES)
def test_score(loss, sizes, weighted):
    """Scores are scikit-learn's accuracy or R squared, weights and padding included."""
    case = Case(loss, sizes, weighted=weighted)
    _, scores = case.evaluate()
    expected = [_score(loss, *member) for member in case.members()]
    np.testing.assert_allclose(scores, expected, rtol=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("loss", LOSSES)
def test_loss(loss, sizes, weighted):
    """Losses are weighted means of torch's own, with the loss's parameter."""
    case = Case(loss, sizes, weighted=weighted)
    losses, _ = case.evaluate()
    expected = [
        np.average(
            plain_loss(loss, raw, torch.tensor(target), case.parameter), weights=weight
        )
        for raw, target, weight in case.members()
    ]
    np.testing.assert_allclose(losses, expected, rtol=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", CLASSIFICATION)
def test_log_loss(loss, weighted):
    """Without smoothing, the loss of a classification is scikit-learn's log_loss."""
    case = Case(loss, weighted=weighted)
    case.parameter = 0.0
    losses, _ = case.evaluate()
    for member, (raw, target, weight) in enumerate(case.members()):
        proba = LOSSES[loss].respond(raw).numpy()
        labels = np.arange(max(2, proba.shape[1]))
        proba = np.hstack([1 - proba, proba]) if proba.shape[1] == 1 else proba
        expected = log_loss(target[:, 0], proba, sample_weight=weight, labels=labels)
        assert losses[member] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_accuracy_of_many_labels(weighted):
    """With several labels a row counts as right where all of them are."""
    loss = "binary_cross_entropy"
    case = Case(loss, n_outputs=3, weighted=weighted)
    _, scores = case.evaluate()
    expected = [_score(loss, *member) for member in case.members()]
    assert case.table.target.shape[1] == 3
    assert 0 < max(expected) < 1
    np.testing.assert_allclose(scores, expected, rtol=1e-12)


@pytest.mark.parametrize("n_outputs", [1, 2, 5])
@pytest.mark.parametrize("loss", REGRESSION)
def test_r2_of_many_targets(loss, n_outputs):
    """R squared is the plain mean over the targets."""
    case = Case(loss, n_outputs=n_outputs, weighted=True)
    _, scores = case.evaluate()
    expected = [_score(loss, *member) for member in case.members()]
    np.testing.assert_allclose(scores, expected, rtol=1e-12)


@pytest.mark.parametrize("constant", [[0], [0, 2], [0, 1, 2]])
def test_constant_target(constant):
    """A target that is constant scores 0, as in scikit-learn, and 1 if hit exactly."""
    case = Case("squared_error")
    case.table.target[:, constant] = 0.5
    _, scores = case.evaluate()
    expected = [_score("squared_error", *member) for member in case.members()]
    np.testing.assert_allclose(scores, expected, rtol=1e-12)
    _all_outputs(case, 0.5)
    _, scores = case.evaluate()
    expected = [_score("squared_error", *member) for member in case.members()]
    np.testing.assert_allclose(scores, expected, rtol=1e-12)


def _all_outputs(case, value):
    """Make every network answer ``value`` to every row."""
    flat = torch.zeros_like(case.module.bias_2)
    case.module.weight_2.data.zero_()
    case.module.bias_2.data.copy_(flat + value)


def test_single_row():
    """A single row has no variance to explain: 0, or 1 where it is hit exactly."""
    case = Case("squared_error")
    case.rows = [Rows(case.table, np.array([3]))] * 3
    assert case.evaluate()[1].tolist() == [0.0] * 3
    table = Table(case.table.X, np.full_like(case.table.target, 0.5))
    case.rows = [Rows(table, np.array([3]))] * 3
    _all_outputs(case, 0.5)
    assert case.evaluate()[1].tolist() == [1.0] * 3


def test_undecided():
    """A raw output of exactly 0 is the first class, as argmax over both has it."""
    case = Case("binary_cross_entropy")
    _all_outputs(case, 0.0)
    _, scores = case.evaluate()
    for member, (_, target, _) in enumerate(case.members()):
        expected = accuracy_score(target, np.zeros(len(target)))
        assert scores[member] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("kept", [0, 1 << 22])
@pytest.mark.parametrize("chunk", [1, 50, 100])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
def test_chunks(monkeypatch, loss, weighted, chunk, kept):
    """Measured in small chunks, kept or not, losses and scores are the same."""
    case = Case(loss, weighted=weighted)
    whole = case.evaluate()
    monkeypatch.setattr(_scores, "_CHUNK", chunk)
    monkeypatch.setattr(_scores, "_KEPT", kept)
    n_gathered = []
    gather = _scores.gather

    def counted(kind, rows, part):
        n_gathered.append(part.stop - part.start)
        return gather(kind, rows, part)

    monkeypatch.setattr(_scores, "gather", counted)
    evaluation = case.evaluation()
    for _ in range(2):
        again = evaluation(case.record.padded(case.kind).weights)
        np.testing.assert_allclose(again, whole, rtol=1e-12)
    # Members of other lengths are measured apart: 30, 12 and 25 rows.
    size = max(1, chunk // 5)
    n_parts = sum(-(-n_rows // size) for n_rows in (30, 12, 25))
    is_regression = LOSSES[loss].task == "regression"
    n_walks = 1 if kept else 2 + is_regression
    assert set(n_gathered) == {size}
    assert len(n_gathered) == n_parts * n_walks


def test_parts_do_not_depend_on_company(monkeypatch):
    """A member's rows are summed in the same parts alone and beside others."""
    monkeypatch.setattr(_scores, "_CHUNK", 35)
    alone = Case("squared_error", (30,), weighted=True)
    losses, scores = alone.evaluate()
    beside = Case("squared_error", (30,) * 7, weighted=True)
    beside.rows[0], beside.table = alone.rows[0], alone.table
    own_losses, own_scores = beside.evaluate()
    assert own_losses[0] == losses[0]
    assert own_scores[0] == scores[0]


@pytest.mark.parametrize("normalization", ["batch", "layer"])
def test_as_they_would_predict(normalization):
    """Networks are measured by their running statistics and change in nothing."""
    case = Case("squared_error", normalization=normalization)
    weights = case.record.padded(case.kind).weights
    generator = torch.Generator().manual_seed(0)
    weights += 0.1 * torch.rand(weights.shape, generator=generator).double()
    padding = np.ones(weights.shape[1], dtype=bool)
    padding[case.kind.layout.index] = False
    weights[:, padding] = 0.0
    case.record.weights[:] = weights[:, case.kind.layout.index]
    before = weights.clone()
    _, scores = case.evaluation()(weights)
    assert torch.equal(weights, before)
    expected = [_score("squared_error", *member) for member in case.members()]
    np.testing.assert_allclose(scores, expected, rtol=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_single_precision(loss, untouched_globals):
    """Single precision follows double to its own rounding."""
    double, single = (
        Case(loss, dtype=np.dtype(dtype)).evaluate()
        for dtype in (np.float64, np.float32)
    )
    for part in single:
        assert np.array_equal(part, part.astype(np.float32))
    np.testing.assert_allclose(single, double, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("kept", "n_walks"), [(2 * 20 * 3, 1), (2 * 20 * 3 - 1, 3)])
def test_small_tables_are_gathered_once(monkeypatch, kept, n_walks):
    """Rows are kept while those of all members hold no more numbers than the limit."""
    monkeypatch.setattr(_scores, "_KEPT", kept)
    case = Case("squared_error", (20, 20))
    gather, gathered = _scores.gather, []

    def counted(kind, rows, part):
        gathered.append(part)
        return gather(kind, rows, part)

    monkeypatch.setattr(_scores, "gather", counted)
    evaluation = case.evaluation()
    weights = case.record.padded(case.kind).weights
    for _ in range(2):
        evaluation(weights)
    assert len(gathered) == n_walks


def test_score_of_small_numbers():
    """R squared is what scikit-learn says, however small the targets are."""
    case = Case("squared_error")
    case.table = Table(case.table.X, 1e-4 * case.table.target)
    case.rows = [replace(rows, table=case.table) for rows in case.rows]
    _, scores = case.evaluate()
    expected = [_score("squared_error", *member) for member in case.members()]
    np.testing.assert_allclose(scores, expected, rtol=1e-10)
