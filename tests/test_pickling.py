from __future__ import annotations

import pickle
import warnings
from typing import Any

import numpy as np
import pytest
import sklearn.exceptions
from estimators import plain_classifier, plain_regressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from sknnopt import OptimizedMLPClassifier, OptimizedMLPRegressor, __version__
from sknnopt.exceptions import InconsistentVersionWarning

sio = pytest.importorskip("skops.io", reason="skops, an optional package, is missing")

CLASSIFIER = "sknnopt.classifier.OptimizedMLPClassifier"
REGRESSOR = "sknnopt.regressor.OptimizedMLPRegressor"


def test_pickle_of_this_version_warns_of_nothing(table: Any) -> None:
    """A pickle comes back as it was, and knows by whom it was written."""
    model = plain_classifier(max_epochs=2, random_state=0).fit(*table)
    assert model.__getstate__()["_sknnopt_version"] == __version__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = pickle.loads(pickle.dumps(model))
    assert vars(loaded).keys() == vars(model).keys()
    assert vars(loaded._inputs).keys() == vars(model._inputs).keys()
    assert loaded._inputs.dtype_ == model._inputs.dtype_
    np.testing.assert_array_equal(
        loaded.predict_proba(table[0]), model.predict_proba(table[0])
    )


def test_pickle_of_another_version_warns(
    table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The warning names both versions; scikit-learn's own filter catches it too."""
    model = plain_regressor(max_epochs=2).fit(*table)
    monkeypatch.setattr("sknnopt._pickling.__version__", "0.0.7")
    dumped = pickle.dumps(model)
    monkeypatch.undo()
    with pytest.warns(InconsistentVersionWarning) as caught:
        loaded = pickle.loads(dumped)
    assert issubclass(
        InconsistentVersionWarning, sklearn.exceptions.InconsistentVersionWarning
    )
    assert f"written by sknnopt 0.0.7, this is {__version__}" in str(caught[0].message)
    assert "_sknnopt_version" not in vars(loaded)
    np.testing.assert_array_equal(loaded.predict(table[0]), model.predict(table[0]))


def test_pickle_without_a_version_warns() -> None:
    """What does not say who wrote it is older than the first version that does."""
    state = plain_classifier().__getstate__()
    del state["_sknnopt_version"]
    with pytest.warns(InconsistentVersionWarning, match=r"before 0\.1"):
        OptimizedMLPClassifier().__setstate__(state)


@pytest.mark.parametrize(
    ("estimator", "name"),
    [(OptimizedMLPClassifier, CLASSIFIER), (OptimizedMLPRegressor, REGRESSOR)],
)
@pytest.mark.parametrize(
    "params", [{}, {"n_units": {0: 3, "default": 4}, "normalization": "batch"}]
)
def test_skops_trusts_one_type_of_ours(
    estimator: Any, name: str, params: dict[str, Any], table: Any
) -> None:
    """A pipeline at the defaults, and one of many parts, need the estimator's alone."""
    network = estimator(**{"n_units": 8, "max_epochs": 2, **params}, random_state=0)
    pipeline = Pipeline([("scale", StandardScaler()), ("network", network)])
    dumped = sio.dumps(pipeline.fit(*table))
    assert sio.get_untrusted_types(data=dumped) == [name]
    loaded = sio.loads(dumped, trusted=[name])
    np.testing.assert_array_equal(loaded.predict(table[0]), pipeline.predict(table[0]))
    loaded[-1].set_params(warm_start=True).fit(*table)


def test_skops_keeps_categories(table: Any) -> None:
    """Strings and gaps of a data frame need no further type."""
    import pandas as pd

    X = pd.DataFrame(table[0][:, :2], columns=["a", "b"])
    X["c"] = np.array(["x", "y", None], dtype=object)[np.arange(len(X)) % 3]
    X.loc[3, "a"] = np.nan
    model = OptimizedMLPClassifier(max_epochs=2, random_state=0).fit(X, table[1])
    loaded = sio.loads(sio.dumps(model), trusted=[CLASSIFIER])
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
