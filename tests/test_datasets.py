"""The table that comes with the package."""

from __future__ import annotations

from sknnopt.datasets import load_pima


def test_pima():
    """The Pima table has its published size, columns, and share of diabetes."""
    bunch = load_pima()
    assert bunch.data.shape == (768, 8)
    assert bunch.target.sum() == 268
    assert bunch.feature_names[:2] == ["Pregnancies", "Glucose"]
    # Published mean of the plasma glucose concentration.
    assert round(bunch.frame["Glucose"].mean(), 1) == 120.9


def test_both_forms_agree():
    """return_X_y gives the same rows as the Bunch."""
    X, y = load_pima(return_X_y=True)
    bunch = load_pima()
    assert X.equals(bunch.data)
    assert y.equals(bunch.target)
