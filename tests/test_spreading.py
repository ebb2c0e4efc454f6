"""Members of one fit on several threads: the same networks as on one."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from estimators import plain_classifier, plain_regressor

from sknnopt import _batching, _fits, _fitting, _spreading

MANY = {"n_units": 16, "n_members": 4, "max_epochs": 4, "random_state": 0}


@pytest.fixture(name="table")
def _table():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 4))
    return X, X[:, 0] + X[:, 1] ** 2


@pytest.fixture
def always_spread(monkeypatch):
    """Let any step be worth a thread of two; return how many members each trained."""
    trained = []
    train = _batching._train

    def watched(fits, *rest):
        trained.append(len(fits))
        return train(fits, *rest)

    monkeypatch.setattr(_fits, "_WORTH_A_THREAD", 0.0)
    monkeypatch.setattr(_batching, "_train", watched)
    monkeypatch.setattr(_fitting, "n_cores", lambda: 2)
    return trained


SETTINGS = [
    {},
    {"early_stopping": True, "n_iter_no_change": 1, "dropout": 0.2},
    {"n_members": 5, "optimizer": "sgd", "l1": 1e-3, "monitor": "full"},
]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("kind", [plain_classifier, plain_regressor])
def test_threads_change_nothing(table, always_spread, monkeypatch, kind, settings):
    """Weights, generators and history are those of one thread, bit for bit."""
    X, y = table
    y = (y > 1).astype(int) if kind is plain_classifier else y
    model = kind(**{**MANY, **settings})
    spread = model.fit(X, y)._record, model.history_
    halves = [model.n_members // 2, -(-model.n_members // 2)]
    assert sorted(always_spread) == halves
    monkeypatch.setattr(_fitting, "n_cores", lambda: 1)
    alone = model.fit(X, y)._record, model.history_
    assert len(always_spread) == 2
    for name, values in alone[0].items():
        np.testing.assert_array_equal(spread[0][name], values, err_msg=name)
    assert spread[1].equals(alone[1][spread[1].columns])


@pytest.mark.parametrize(
    "settings", [{"n_members": 1}, {"verbose": True}, {"n_threads": 1}]
)
def test_who_is_watched_or_alone_is_not_spread(table, always_spread, settings):
    """One member, one thread or a progress bar keep the fit in one piece."""
    plain_regressor(**{**MANY, **settings}).fit(*table)
    assert always_spread == []


def test_short_steps_are_not_spread(table, monkeypatch):
    """Networks whose steps are short are not worth a second thread."""
    monkeypatch.setattr(_fitting, "n_cores", lambda: 2)
    monkeypatch.setattr(_fitting, "train_spread", None)
    plain_regressor(**MANY).fit(*table)


def test_failed_batch_is_tried_again_from_its_beginning(
    table, always_spread, monkeypatch
):
    """Members whose batch failed on its way train alone, to the same weights."""
    model = plain_regressor(**{**MANY, "dropout": 0.2})
    expected = model.fit(*table)._record["weights"]
    train = _batching._train

    def fail_at_the_end(fits, *rest):
        trained = train(fits, *rest)
        if len(fits) > 1:
            raise MemoryError
        return trained

    monkeypatch.setattr(_batching, "_train", fail_at_the_end)
    again = model.fit(*table)._record["weights"]
    assert sorted(always_spread) == [1, 1, 1, 1, 2, 2, 2, 2]
    np.testing.assert_array_equal(again, expected)


def test_error_of_a_thread_is_raised(table, always_spread, monkeypatch):
    """What one of the threads raises, fit raises."""

    def fail(*_):
        raise RuntimeError("of a thread")

    monkeypatch.setattr(_batching, "_train", fail)
    with pytest.raises(RuntimeError, match="of a thread"):
        plain_regressor(**MANY).fit(*table)


def test_interrupt_ends_the_threads(table, always_spread, monkeypatch):
    """An interrupt in the waiting thread ends those that train with their next step."""

    class Interrupted:
        def __init__(self, *_):
            self.pool = _POOL(1)

        def __enter__(self):
            self.pool.__enter__()
            return self

        def __exit__(self, *error):
            return self.pool.__exit__(*error)

        def submit(self, *args, **options):
            self.future = self.pool.submit(*args, **options)
            return self

        def result(self):
            raise KeyboardInterrupt

    _POOL = _spreading.ThreadPoolExecutor
    monkeypatch.setattr(_spreading, "ThreadPoolExecutor", Interrupted)
    before = threading.active_count()
    model = plain_regressor(**{**MANY, "max_epochs": 10**6, "n_iter_no_change": None})
    with pytest.raises(KeyboardInterrupt):
        model.fit(*table)
    assert threading.active_count() == before
    assert not hasattr(model, "n_iter_")
