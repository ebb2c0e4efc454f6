from __future__ import annotations

import numpy as np
import pytest
import torch
from estimators import SMALL, plain_classifier, plain_regressor
from scipy import sparse
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknnopt import OptimizedMLPClassifier, _responses
from sknnopt._hidden_outputs import hidden_outputs


def test_closed_form(table: tuple[np.ndarray, np.ndarray]) -> None:
    """Two layers by hand: tanh of x W + b, then relu; members first."""
    X, y = table
    model = plain_classifier(
        n_members=2, hidden_layer_sizes=(5, 3), activation=["tanh", "relu"], dropout=0.5
    ).fit(X, y)
    first, second = hidden_outputs(model, X)
    assert first.shape == (2, 60, 5)
    for member in range(2):
        weights = [w[member] for w in model.coefs_]
        biases = [b[member] for b in model.intercepts_]
        expected = np.tanh(X @ weights[0] + biases[0])
        np.testing.assert_allclose(first[member], expected, rtol=1e-6, atol=1e-9)
        expected = np.maximum(expected @ weights[1] + biases[1], 0)
        np.testing.assert_allclose(second[member], expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
@pytest.mark.parametrize("kind", ["dense", "sparse", "pipeline"])
def test_the_head_makes_the_prediction(
    table: tuple[np.ndarray, np.ndarray], normalization: str | None, kind: str
) -> None:
    """A prediction is the mean of what the heads make of the last layer's outputs."""
    X, y = table
    model = plain_regressor(n_members=2, normalization=normalization, **SMALL)
    X = sparse.csr_array(X) if kind == "sparse" else X
    last = model.fit(X, y)
    if kind == "pipeline":
        model = make_pipeline(StandardScaler(), model).fit(X, y)
        last = model[-1]
    hidden = hidden_outputs(model, X)[-1]
    raw = hidden @ last.coefs_[-1] + last.intercepts_[-1][:, None, :]
    slope, offset = np.polyfit(raw.mean(0)[:, 0], model.predict(X), 1)
    np.testing.assert_allclose(
        slope * raw.mean(0)[:, 0] + offset, model.predict(X), atol=1e-5
    )


def test_chunks_are_joined(
    table: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that pass a few at a time come back in their order, and no mode is left."""
    X, y = table
    model = OptimizedMLPClassifier(n_members=2, **SMALL).fit(X, y)
    whole = hidden_outputs(model, X)
    monkeypatch.setattr(_responses, "_CHUNK", 7 * 8 * 2)
    for part, expected in zip(hidden_outputs(model, X), whole, strict=True):
        np.testing.assert_allclose(part, expected, rtol=1e-5, atol=1e-6)
    chunks = model._responder().hidden_outputs(model._checked_rows(X))
    next(chunks)
    assert torch.is_grad_enabled()


def test_what_has_no_networks_is_refused() -> None:
    """An estimator of another kind, and one that is not fitted, are named."""
    with pytest.raises(ValueError, match="Got a StandardScaler"):
        hidden_outputs(StandardScaler(), [[1.0]])
    with pytest.raises(NotFittedError):
        hidden_outputs(plain_classifier(), [[1.0]])
