"""Whatever a parameter is given is refused by its name, or gives finite predictions."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold
from test_any_input import TINY, check_predictions, watched

from sknnopt import OptimizedMLPClassifier, OptimizedMLPRegressor
from sknnopt.search import MLPSearchCV

# Some words are names of files, as a checkpoint's.
pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.usefixtures("in_a_folder_of_its_own"),
]
ESTIMATORS = {e.__name__: e for e in (OptimizedMLPClassifier, OptimizedMLPRegressor)}
X = np.random.default_rng(0).normal(size=(12, 3))
y = np.arange(12) % 2


@pytest.fixture
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    """Let files be written where they are in nobody's way."""
    monkeypatch.chdir(tmp_path)


class Splitter:
    """A splitter that gives whatever it was made with."""

    def __init__(self, *splits):
        self.splits = splits

    def split(self, X, y=None, groups=None):
        """Return the splits."""
        return iter(self.splits)

    def get_n_splits(self, X=None, y=None, groups=None):
        """Return their number."""
        return len(self.splits)


NUMBERS = [0, 1, 2, -1, 0.0, 0.5, -0.5, 1.5, 1e-300, 1e300, np.nan, np.inf, -np.inf]
NUMBERS += [2**40, 2**63, -(2**70), 10**400, Decimal(1), Fraction(1, 3), 1j]
NUMBERS += [
    np.float32(0.5),
    np.int64(3),
    np.float64("nan"),
    np.longdouble(1),
    np.uint8(2),
]
WORDS = ["", "auto", "nonsense", "1", "None", "relu", "3-2", b"auto", np.str_("auto")]
KINDS = [None, True, False, np.bool_(True), object(), object, print, Ellipsis, pd.NA]
SEQUENCES = [
    [],
    (),
    [None],
    [1],
    [-1],
    [0.5],
    [np.nan],
    ["relu"],
    [[1, 2], [3]],
    (1, "a"),
]
SEQUENCES += [np.array([]), np.array(1), np.array([2]), np.array([0.5, 0.1]), range(2)]
SEQUENCES += [
    np.ones((2, 2)),
    pd.Series([1, 2]),
    [True, False, True],
    {1, 2},
    [10**400],
]
MAPPINGS = [{}, {"default": 1}, {0: 0.5}, {0: 1, 1: 1}, {-1: 2}, {"a": 1}, {None: None}]
MAPPINGS += [
    {0: 10**400, 1: np.nan},
    {"default": [1]},
    {1.5: 2},
    {True: 0.5},
    {0: "relu"},
]
SPLITTERS = [KFold(3), KFold(100), Splitter(), Splitter(([0], [1])), Splitter(1)]
SPLITTERS += [Splitter(([0.5], [1])), Splitter(([99], [1])), Splitter(([-1], [-99]))]
SPLITTERS += [Splitter((["a"], None)), Splitter(([], [1])), Splitter(([[0]], [[1]]))]
GARBAGE = [*NUMBERS, *WORDS, *KINDS, *SEQUENCES, *MAPPINGS, *SPLITTERS]
#: Of the garbage, ``make test`` takes so many at a time, for each parameter others.
STEP = 9


def check_refused(model, name, X, y):
    """Fit, and return whether that was refused; what is not clear is a failure."""
    error = None
    with watched() as training:
        try:
            model.fit(X, y)
        except (ValueError, TypeError) as raised:
            error = raised
    if error is None:
        return False
    value = f"{name}={model.get_params(deep=False)[name]!r}"
    assert name in str(error), f"{value} is not named by {error!r}"
    assert not training.has_begun, f"{value} fails in training"
    return True


def check_garbage(estimator, name, values):
    """Try values of a parameter, and return how many were refused."""
    n_refused = 0
    for value in values:
        # What is huge, and may be so, takes its time.
        settings = {**TINY, "max_seconds": 0.1}
        if name == "hidden_layer_sizes":
            settings = {"n_members": 1, "max_epochs": 2, "random_state": 0}
        settings[name] = value
        try:
            model = estimator(**settings)
            is_refused = check_refused(model, name, X, y)
            if not is_refused:
                check_predictions(model, X, len(X))
        except Exception as error:
            raise AssertionError(f"{name}={value!r}: {error!r}") from error
        n_refused += is_refused
    return n_refused


PARAMETERS = [
    (estimator, name)
    for estimator, kind in ESTIMATORS.items()
    for name in kind().get_params()
]


@pytest.mark.parametrize(("estimator", "name"), PARAMETERS)
def test_some_garbage(estimator, name):
    """A parameter's garbage, some of it, is refused by name or does no harm."""
    first = PARAMETERS.index((estimator, name)) % STEP
    check_garbage(ESTIMATORS[estimator], name, GARBAGE[first::STEP])


@pytest.mark.long
@pytest.mark.parametrize(("estimator", "name"), PARAMETERS)
def test_all_garbage(estimator, name):
    """A parameter's garbage, all of it, is refused by name or does no harm."""
    n_refused = check_garbage(ESTIMATORS[estimator], name, GARBAGE)
    assert n_refused > 0


SPACE = {"learning_rate": [0.01, 0.1]}
SEARCH = {
    "estimator": OptimizedMLPClassifier(**TINY),
    "param_distributions": SPACE,
    "n_iter": 2,
    "cv": 2,
    "random_state": 0,
}
SEARCH_PARAMETERS = list(MLPSearchCV(None, {}).get_params(deep=False))
#: What errors may say in place of the parameter's name.
ALSO = {"param_distributions": "search space|learning_rate|Invalid parameter"}
ALSO |= {"cv": "n_splits", "refit": "best_index_", "estimator": "score|fit"}
#: What a search is given beside: estimators, spaces, scorers and splits. Splitters and
#: functions of the user's own answer for themselves.
SEARCH_GARBAGE = [
    *[value for value in GARBAGE if not isinstance(value, Splitter | type)],
    Ridge(),
    {"learning_rate": []},
    {"learning_rate": 1},
    {"nothing": [1]},
    {"learning_rate": ["nonsense"]},
    [SPACE, 3],
    "accuracy",
    ["accuracy", "nonsense"],
    {"one": "accuracy", "two": len},
    lambda *_: np.nan,
    lambda *_: "nonsense",
    [([0, 1, 2], [3, 4])],
    [([0, 1, 2], [99])],
]


def check_search_garbage(name, values):
    """Try values of a search's parameter."""
    for value in values:
        search = MLPSearchCV(**{**SEARCH, name: value})
        error = None
        try:
            search.fit(X, y)
        except (ValueError, TypeError) as raised:
            error = raised
        except Exception as raised:
            raise AssertionError(f"{name}={value!r}: {raised!r}") from raised
        if error is None:
            assert len(search.cv_results_["params"]) > 0
            continue
        named = re.search(f"{name}|{ALSO.get(name, name)}", str(error))
        assert named, f"{name}={value!r} is not named by {error!r}"


@pytest.mark.parametrize("name", SEARCH_PARAMETERS)
def test_some_garbage_for_a_search(name):
    """A search's parameter refuses garbage by its name, or searches."""
    first = SEARCH_PARAMETERS.index(name) % 16
    check_search_garbage(name, SEARCH_GARBAGE[first::16])


@pytest.mark.long
@pytest.mark.parametrize("name", SEARCH_PARAMETERS)
def test_all_garbage_for_a_search(name):
    """A search's parameter refuses all garbage by its name, or searches."""
    check_search_garbage(name, SEARCH_GARBAGE)
