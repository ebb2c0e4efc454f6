"""scikit-learn's callbacks see, show and stop fits, and change nothing else."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from joblib import Parallel, delayed, parallel_config
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import Callback

from sknnopt import OptimizedMLPClassifier, OptimizedMLPRegressor, _fitting
from sknnopt._sklearn_callbacks import WatchedLoop
from sknnopt.persistence import load, save
from tests.estimators import ESTIMATORS, SMALL, all_weights, plain_classifier

callback = pytest.importorskip("sklearn.callback", reason="needs scikit-learn 1.9")

#: Members that validate on folds, and of which some stop before others.
FOLDS = {
    **SMALL,
    "max_epochs": 12,
    "n_members": 3,
    "early_stopping": True,
    "learning_rate": 0.1,
    "n_iter_no_change": 2,
}


class _Records:
    """Note each hook: its name, the task, the epoch's number, and what was given."""

    def __init__(self, stop_after=None):
        self.stop_after = stop_after
        self.calls = []
        self.fitted = []

    def setup(self, estimator, context):
        self._note("setup", estimator, context)

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None, metadata=None):
        self._note("begin", estimator, context, X, y, metadata)

    def on_fit_task_end(
        self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator
    ):
        self._note("end", estimator, context, X, y, metadata)
        if context.task_name == "epoch":
            self.fitted.append(fitted_estimator)
            return context.task_id + 1 == self.stop_after
        return None

    def teardown(self, estimator, context):
        self._note("teardown", estimator, context)

    def _note(self, hook, estimator, context, *given):
        self.calls.append((hook, context.task_name, context.task_id, estimator, given))

    @property
    def hooks(self):
        """What was called on which task."""
        return [(hook, name, number) for hook, name, number, *_ in self.calls]


class _HandedDown(_Records):
    """The same, which meta-estimators hand down."""

    max_propagation_depth = None


class _FailsAt:
    """Raise an error at the end of a task."""

    def __init__(self, name, number, error):
        self.name, self.number, self.error = name, number, error
        self.is_down = False

    def setup(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        if (context.task_name, context.task_id) == (self.name, self.number):
            raise self.error

    def teardown(self, estimator, context):
        self.is_down = True


def told(n_epochs, task="fit"):
    """Return what is called in a fit of so many epochs."""
    epochs = [(h, "epoch", k) for k in range(n_epochs) for h in ("begin", "end")]
    around = [(h, task, 0) for h in ("setup", "begin", "end", "teardown")]
    return [*around[:2], *epochs, *around[2:]]


def assert_same(found, expected):
    """Two fitted estimators hold the same, down to the last bit."""
    np.testing.assert_array_equal(all_weights(found), all_weights(expected))
    pd.testing.assert_frame_equal(found.history_, expected.history_)
    names = {n for n in vars(expected) if n.endswith("_")}
    assert names == {n for n in vars(found) if n.endswith("_")}
    for name in names:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


# ---------------------------------------------------------------- tasks
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_every_epoch_is_told_of_once_in_order(estimator, table):
    """A fit is a task, its epochs are subtasks, and all get what the user gave."""
    X, y = table
    weight = np.linspace(0.5, 1.5, len(y))
    records = _Records()
    model = estimator(**SMALL).set_callbacks(records).fit(X, y, sample_weight=weight)
    assert records.hooks == told(5)
    for hook, _, _, owner, given in records.calls:
        assert owner is model
        if hook in ("begin", "end"):
            assert given[0] is X
            assert given[1] is y
            assert given[2]["sample_weight"] is weight


def test_as_many_subtasks_as_epochs_at_most(table):
    """The fit's task says how many epochs there may be, also if that depends on X."""
    most = []

    class Most(_Records):
        def setup(self, estimator, context):
            most.append(context.max_subtasks)

    model = plain_classifier(max_epochs=7, n_iter_no_change=1, tol=1e3)
    model.set_callbacks(Most()).fit(*table)
    assert (most, model.n_iter_) == ([7], 2)
    model.set_params(max_epochs="auto").fit(*table)
    assert most == [7, 200]


def test_watching_changes_nothing(table):
    """A fit that is watched ends as one that is not, and leaves nothing behind."""
    X, y = table
    expected = plain_classifier(**SMALL).fit(X, y)
    model = plain_classifier(**SMALL).set_callbacks(_Records()).fit(X, y)
    assert_same(model, expected)
    assert set(vars(model)) == {*vars(expected), "_skl_callbacks"}
    model.set_callbacks()
    assert set(vars(model)) == set(vars(expected))


def test_nothing_is_made_that_nobody_asks_for(table, monkeypatch):
    """Without callbacks nothing watches; without a use for it there is no copy."""

    def forbidden(*args):
        raise AssertionError

    class Plain(_FailsAt):
        """Ask for no fitted estimator."""

    monkeypatch.setattr(WatchedLoop, "_fitted", forbidden)
    plain_classifier(**SMALL).set_callbacks(Plain("", 0, None)).fit(*table)
    monkeypatch.setattr(_fitting, "WatchedLoop", forbidden)
    plain_classifier(**SMALL).fit(*table)


# ---------------------------------------------------------------- fitted estimators
@pytest.mark.parametrize("params", [SMALL, FOLDS])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_after_each_epoch_it_is_as_if_the_fit_had_stopped(estimator, params, table):
    """What a callback is shown is the estimator fitted with so many epochs."""
    records = _Records()
    model = estimator(**params).set_callbacks(records).fit(*table)
    assert len(records.fitted) == model.n_iter_
    for n_epochs, shown in enumerate(records.fitted, 1):
        expected = clone(model).set_params(max_epochs=n_epochs).set_callbacks()
        assert_same(shown, expected.fit(*table))


def test_scoring_monitor_logs_the_scores_of_fits_with_so_many_epochs(table):
    """Scores after k epochs are those of max_epochs=k, with the weights of rows."""
    X, y = table
    weight = np.linspace(0.0, 1.0, len(y))
    monitor = callback.ScoringMonitor(scoring="accuracy")
    model = OptimizedMLPClassifier(**{**SMALL, "n_members": 2}).set_callbacks(monitor)
    model.fit(X, y, sample_weight=weight)
    log = monitor.get_logs().data_as_pandas
    expected = []
    for n_epochs in range(1, 6):
        refit = clone(model).set_params(max_epochs=n_epochs).set_callbacks()
        predicted = refit.fit(X, y, sample_weight=weight).predict(X)
        expected.append(accuracy_score(y, predicted, sample_weight=weight))
    epochs = log[log["task_name"] == "epoch"]
    assert epochs["task_id"].tolist() == [0, 1, 2, 3, 4]
    assert epochs["accuracy"].tolist() == expected
    # The fit itself is scored as well, at its end.
    assert log.loc[log["task_name"] == "fit", "accuracy"].tolist() == expected[-1:]


def test_the_last_fit_leaves_no_trace_in_what_is_shown(table):
    """After a fit on names, a refit on an array shows estimators without names."""
    X, y = table
    records = _Records()
    model = plain_classifier(**SMALL).fit(pd.DataFrame(X, columns=list("abcd")), y)
    model.set_callbacks(records).fit(X, y)
    assert not any(hasattr(shown, "feature_names_in_") for shown in records.fitted)


def test_what_is_shown_can_be_kept_and_pickled(table):
    """Shown estimators stand alone: they predict later, and after a pickle."""
    records = _Records()
    model = plain_classifier(**SMALL).set_callbacks(records).fit(*table)
    shown = records.fitted[0]
    # No part of the call, with the training rows that it holds.
    assert set(vars(shown)) == set(vars(model))
    again = pickle.loads(pickle.dumps(shown.set_callbacks()))
    expected = shown.predict_proba(table[0])
    np.testing.assert_array_equal(again.predict_proba(table[0]), expected)


def test_during_a_first_fit_the_estimator_itself_is_not_fitted(table):
    """Hooks are given the estimator as it was before the call."""
    seen = []

    class Looks(_FailsAt):
        def on_fit_task_end(self, estimator, context):
            with pytest.raises(NotFittedError):
                check_is_fitted(estimator)
            seen.append(context.task_name)

    plain_classifier(**SMALL).set_callbacks(Looks("", 0, None)).fit(*table)
    assert seen == ["epoch"] * 5 + ["fit"]


@pytest.mark.filterwarnings("ignore:overflow")
def test_what_is_shown_is_finite_where_training_diverges(table):
    """In the epoch that loses its numbers, the network before it is shown."""
    X, y = table
    records = _Records()
    model = plain_classifier(
        **SMALL, activation="identity", optimizer="sgd", learning_rate=1e30
    ).set_callbacks(records)
    with pytest.warns(ConvergenceWarning, match="diverged"):
        model.fit(X, y)
    assert records.fitted[-1].diverged_
    assert np.isfinite(records.fitted[-1].predict_proba(X)).all()
    np.testing.assert_array_equal(all_weights(records.fitted[-1]), all_weights(model))


# ---------------------------------------------------------------- ends
@pytest.mark.parametrize("params", [SMALL, FOLDS])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_callback_stops_the_training(estimator, params, table):
    """Where one asks for it, the fit ends as if that epoch had been its last."""
    records = _Records(stop_after=3)
    model = estimator(**params).set_callbacks(records).fit(*table)
    assert records.hooks == told(3)
    expected = estimator(**{**params, "max_epochs": 3}).fit(*table)
    assert_same(model, expected)


@pytest.mark.parametrize("where", [("epoch", 2), ("fit", 0)])
@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt()])
def test_a_callback_that_fails_changes_nothing(where, error, table):
    """An error in a hook, even in the last one, leaves the old model whole."""
    X, y = table
    model = plain_classifier(**SMALL).fit(X, y)
    before = dict(vars(model))
    fails = _FailsAt(*where, error)
    with pytest.raises(type(error)):
        model.set_callbacks(fails).fit(X[:, :2], y)
    assert fails.is_down
    assert vars(model.set_callbacks()) == before


# ---------------------------------------------------------------- other ways to fit
def test_partial_fit_is_a_task_of_one_epoch(table):
    """Each call is a run of its own, and shows the networks that it leaves."""
    X, y = table
    records = _Records()
    model = plain_classifier(**SMALL).set_callbacks(records)
    for n_calls in (1, 2):
        model.partial_fit(X, y, classes=[0, 1])
        assert records.hooks == told(1, "partial_fit") * n_calls
        assert_same(records.fitted[-1], model)


def test_warm_start_is_a_run_of_its_own(table):
    """The second fit counts its epochs from the first; what it shows goes on."""
    records = _Records()
    model = plain_classifier(**SMALL, warm_start=True).set_callbacks(records)
    model.fit(*table).fit(*table)
    assert records.hooks == told(5) * 2
    assert [shown.n_iter_ for shown in records.fitted] == list(range(1, 11))
    assert_same(records.fitted[-1], model)


def test_beside_callbacks_of_skorch(table):
    """Both kinds see all epochs, and what skorch's stops ends for both."""

    class Stops(Callback):
        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == 4:
                raise KeyboardInterrupt

    records = _Records()
    model = plain_classifier(**SMALL, callbacks=[Stops()]).set_callbacks(records)
    model.fit(*table)
    assert records.hooks == told(4)
    np.testing.assert_array_equal(all_weights(records.fitted[-1]), all_weights(model))


# ---------------------------------------------------------------- scikit-learn's ways
def test_clones_share_callbacks_and_pickles_have_them(table):
    """A clone is watched by the same callback, a pickled estimator by a copy."""
    records = _Records()
    model = plain_classifier(**SMALL).set_callbacks(records)
    clone(model).fit(*table)
    assert records.hooks == told(5)
    records.calls, records.fitted = [], []
    pickle.loads(pickle.dumps(model.fit(*table))).fit(*table)
    assert records.hooks == told(5)


def test_no_callback_is_saved(tmp_path, table):
    """A saved model loads without those who looked on at its training."""
    pytest.importorskip("safetensors")
    model = plain_classifier(**SMALL).set_callbacks(_Records()).fit(*table)
    save(model, tmp_path / "model.safetensors")
    assert not hasattr(load(tmp_path / "model.safetensors"), "_skl_callbacks")


def test_a_pipeline_hands_its_callbacks_down(table):
    """A callback of a pipeline sees the network's epochs, and leaves it afterwards."""
    records = _HandedDown()
    model = make_pipeline(StandardScaler(), plain_classifier(**SMALL))
    model.set_callbacks(records).fit(*table)
    epochs = [call for call in records.hooks if call[1] == "epoch"]
    assert epochs == told(5)[2:-2]
    assert not {"_skl_callbacks", "_parent_callback_ctx"}.intersection(vars(model[-1]))


def test_scores_in_a_search(table):
    """In a search of pipelines the log tells each fit's epochs apart."""
    monitor = callback.ScoringMonitor(scoring="accuracy")
    network = plain_classifier(**SMALL).set_callbacks(monitor)
    model = make_pipeline(StandardScaler(), network)
    grid = {"optimizedmlpclassifier__learning_rate": [0.001, 0.01]}
    GridSearchCV(model, grid, cv=2).fit(*table)
    (log,) = monitor.get_logs("all")
    assert log.estimator_name == "GridSearchCV"
    epochs = log.data_as_pandas.query("task_name == 'epoch'")
    of_fit = epochs.groupby("parent_task_id_path")["task_id"].agg(list)
    # Two candidates, two folds, and the fit on all rows.
    assert of_fit.tolist() == [[0, 1, 2, 3, 4]] * 5


def test_progress_bar_is_complete(table, capfd):
    """scikit-learn's bar reaches its end, also where training stops early."""
    pytest.importorskip("rich")
    model = plain_classifier(max_epochs=1000, n_iter_no_change=2, tol=1e3)
    model.set_callbacks(callback.ProgressBar()).fit(*table)
    shown = capfd.readouterr().out
    assert "OptimizedMLPClassifier - fit" in shown
    assert "100%" in shown


# ---------------------------------------------------------------- training together
def test_a_fit_with_callbacks_of_its_own_trains_alone(table, rounds):
    """It is not handed over, and sees its epochs; those beside it are."""
    X, y = table
    records = _Records()
    watched = plain_classifier(**SMALL).set_callbacks(records)
    models = [plain_classifier(**SMALL), watched, plain_classifier(**SMALL)]
    with parallel_config(backend="sknnopt"):
        fitted = Parallel()(delayed(model.fit)(X, y) for model in models)
    assert rounds == [2]
    assert records.hooks == told(5)
    assert len({all_weights(model).tobytes() for model in fitted}) == 1


def test_callbacks_of_a_search_leave_its_fits_together(table, rounds):
    """Fits that a search hands its callback down to gather, each a task as a whole."""
    search = GridSearchCV(plain_classifier(**SMALL), {"n_units": [8]}, cv=3)
    records = _HandedDown()
    expected = clone(search).fit(*table)
    with parallel_config(backend="sknnopt"):
        search.set_callbacks(records).fit(*table)
    assert rounds == [3]
    numbers = [
        number
        for hook, name, number, owner, _ in records.calls
        if isinstance(owner, OptimizedMLPClassifier) and (hook, name) == ("end", "fit")
    ]
    # The fit on all rows is the second part of the search, and no task of joblib's.
    assert sorted(numbers) == [0, 1, 1, 2]
    epochs = [call for call in records.hooks if call[1] == "epoch"]
    assert epochs == told(5)[2:-2]
    assert_same(search.best_estimator_, expected.best_estimator_)


def test_only_instances_of_callbacks():
    """scikit-learn refuses what is no callback."""
    with pytest.raises(TypeError, match="FitCallback"):
        OptimizedMLPRegressor().set_callbacks("progress")
