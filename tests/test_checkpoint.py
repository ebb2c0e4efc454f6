"""Checkpoints: a fit that was ended at any epoch goes on as if nothing had been."""

from __future__ import annotations

import errno
import sys
import warnings

import numpy as np
import pytest
from estimators import ESTIMATORS, SMALL, plain_classifier, plain_regressor
from joblib import parallel_config
from scipy import sparse
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback

from sknnopt import _files, _fits, _fitting, _loop
from sknnopt._guard import GuardOfSome
from sknnopt.persistence import load, save

N_EPOCHS = 9
#: Folds that stop at different epochs, and layers that are padded.
STOPPING = {
    "n_units": 9,
    "max_epochs": N_EPOCHS,
    "n_members": 3,
    "early_stopping": True,
    "n_iter_no_change": 2,
    "learning_rate": 0.05,
    "random_state": 0,
}
SETTINGS = [
    STOPPING,
    {**STOPPING, "optimizer": "nadam", "dropout": 0.2, "clip_norm": 1.0},
    {**STOPPING, "normalization": "batch", "lr_schedule": "reduce_on_plateau"},
    {**STOPPING, "early_stopping": False, "l1": 1e-3, "monitor": "full", "warmup": 3},
    {**STOPPING, "optimizer": "sgd", "n_members": 1, "batch_size": 16},
    {**STOPPING, "verbose": True},
]


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture
def path(tmp_path):
    """Return where the checkpoint is written to."""
    return tmp_path / "run.safetensors"


@pytest.fixture
def written(monkeypatch):
    """Return a list of the files that are written from now on."""
    paths, original = [], _files.write_whole
    monkeypatch.setattr(
        _files, "write_whole", lambda *given: (paths.append(given[0]), original(*given))
    )
    return paths


@pytest.fixture
def end_after(monkeypatch):
    """Return what lets fits end after so many epochs; 0: they come to their end."""
    original = GuardOfSome.epoch_done

    def end(n_epochs):
        left = [n_epochs or np.inf]

        def epoch_done(guard, standing):
            # In another thread, too, and if it is tried again.
            if left[0] <= 0:
                raise Killed
            original(guard, standing)
            left[0] -= 1
            if left[0] <= 0:
                raise Killed

        monkeypatch.setattr(GuardOfSome, "epoch_done", epoch_done)

    return end


def kill(model, table, **kwargs):
    """Fit until the fit is ended."""
    with pytest.raises(Killed):
        model.fit(*table, **kwargs)


def kept(model, path, **changes):
    """Return an unfitted copy that keeps a checkpoint after each epoch."""
    settings = {"checkpoint": path, "checkpoint_seconds": 0, **changes}
    return clone(model).set_params(**settings)


def assert_same(model, expected):
    """Assert that two fits left the same bits."""
    assert model._record.keys() == expected._record.keys()
    for name, values in expected._record.items():
        np.testing.assert_array_equal(model._record[name], values, err_msg=name)
    assert model.history_.equals(expected.history_)
    for name in ("oof_prediction_", "oof_score_"):
        if hasattr(expected, name):
            np.testing.assert_array_equal(getattr(model, name), getattr(expected, name))


# ---------------------------------------------------------------- bit for bit


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_goes_on_bit_for_bit(estimator, settings, table, path, end_after):
    """Whichever epoch was its last, the fit ends with the bits it would have had."""
    expected = estimator(**settings).fit(*table)
    n_epochs = expected.n_iter_
    for epochs in ([1, 2], [n_epochs - 1]):
        model = kept(expected, path)
        for n in epochs:
            end_after(n)
            kill(model, table)
            assert not hasattr(model, "n_iter_")
        end_after(0)
        assert_same(model.fit(*table), expected)
        assert not path.exists()


def test_only_what_is_left_is_trained(table, path, end_after, monkeypatch):
    """A run that goes on has no epoch twice."""
    model = kept(plain_classifier(**SMALL), path)
    end_after(3)
    kill(model, table)
    end_after(0)
    epochs, original = [], _loop.Loop.epoch
    monkeypatch.setattr(
        _loop.Loop, "epoch", lambda *a, **k: (epochs.append(1), original(*a, **k))[1]
    )
    model.fit(*table)
    assert len(epochs) == model.n_iter_ - 3 == 2


@pytest.mark.parametrize("random_state", [None, np.random.RandomState(3)])
def test_without_a_fixed_seed(table, path, end_after, random_state):
    """The run that goes on has its own seeds, and with them its folds."""
    model = plain_classifier(
        **{**STOPPING, "random_state": random_state},
        checkpoint=path,
        checkpoint_seconds=0,
    )
    end_after(3)
    kill(model, table)
    document, arrays = _files.read(path)
    begun = arrays["history:002:train_loss"]
    end_after(0)
    model.fit(*table)
    np.testing.assert_array_equal(model.history_["train_loss"][: len(begun)], begun)
    assert model._fold_seed == document["seeds"][0]


@pytest.mark.parametrize("changes", [{}, {"dtype": "float32"}])
def test_all_kinds_of_data(table, path, end_after, changes):
    """Sparse rows, weights, validation rows and single precision go on alike."""
    X, y = table
    given = {
        "sample_weight": np.arange(60) % 4 + 0.5,
        "X_val": sparse.csr_array(X[:20]),
        "y_val": y[:20],
    }
    model = plain_regressor(**STOPPING, **changes)
    rows = sparse.csr_array(X), y
    expected = clone(model).fit(*rows, **given)
    again = kept(model, path)
    end_after(4)
    kill(again, rows, **given)
    end_after(0)
    assert_same(again.fit(*rows, **given), expected)


def test_warm_start(table, path, end_after):
    """A warm fit goes on from its own beginning, which must be the same model."""
    first = plain_classifier(**SMALL, warm_start=True).fit(*table)
    expected = clone(first).fit(*table).fit(*table)
    model = clone(first).fit(*table)
    model.set_params(checkpoint=path, checkpoint_seconds=0)
    end_after(2)
    kill(model, table)
    end_after(0)
    other = clone(first).fit(table[0] + 1, table[1])
    other.set_params(checkpoint=path)
    with pytest.raises(ValueError, match="other networks than these"):
        other.fit(*table)
    assert_same(model.fit(*table), expected)


def test_threads_of_members(table, path, end_after, monkeypatch):
    """Members on several threads are kept, and go on, on as many or on one."""
    monkeypatch.setattr(_fits, "_WORTH_A_THREAD", 0.0)
    monkeypatch.setattr(_fitting, "n_cores", lambda: 2)
    model = plain_regressor(**{**STOPPING, "n_members": 4, "dropout": 0.2})
    expected = clone(model).fit(*table)
    for n_cores in (2, 1):
        again = kept(model, path)
        monkeypatch.setattr(_fitting, "n_cores", lambda: 2)
        end_after(7)
        kill(again, table)
        end_after(0)
        monkeypatch.setattr(_fitting, "n_cores", lambda n=n_cores: n)
        again.fit(*table)
        for name, values in expected._record.items():
            np.testing.assert_array_equal(again._record[name], values, err_msg=name)
        order = ["epoch", "member"]
        columns = sorted(expected.history_.columns)
        assert (
            again.history_.sort_values(order)[columns]
            .reset_index(drop=True)
            .equals(expected.history_.sort_values(order)[columns])
        )


def test_time_that_has_passed_counts(table, path, end_after, monkeypatch):
    """max_seconds holds for a fit and its resumption together."""
    now = [0.0]

    class Clock:
        @staticmethod
        def monotonic():
            now[0] += 1.0
            return now[0]

    monkeypatch.setattr(_loop, "time", Clock)
    model = plain_classifier(**{**SMALL, "max_epochs": 50}, max_seconds=60)
    n_epochs = clone(model).fit(*table).n_iter_
    assert 10 < n_epochs < 50
    again = kept(model, path)
    end_after(10)
    kill(again, table)
    end_after(0)
    # Each look at the clock is a second, and to write takes one look more.
    assert n_epochs - 10 <= again.fit(*table).n_iter_ < n_epochs


# ---------------------------------------------------------------- the file


@pytest.mark.parametrize(("seconds", "n_written"), [(0, N_EPOCHS - 1), (3600, 0)])
def test_interval(table, path, written, seconds, n_written):
    """The file is written when the time has passed, and not after the last epoch."""
    model = plain_classifier(
        **{**SMALL, "max_epochs": N_EPOCHS},
        checkpoint=str(path),
        checkpoint_seconds=seconds,
    )
    model.fit(*table)
    assert written == [path] * n_written
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"learning_rate": 0.5}, "'learning_rate' was 0.05 and is 0.5 now"),
        ({"random_state": 1}, "'random_state' was 0 and is 1 now"),
        ({"n_units": 10, "tol": 1.0}, "'n_units' was 9 .*'tol' was 0.0001 "),
    ],
)
def test_other_parameters_are_refused(table, path, end_after, change, told):
    """A run with other parameters is not gone on with; the error names them."""
    model = kept(plain_classifier(**STOPPING), path)
    end_after(2)
    kill(model, table)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=f"'checkpoint'.*{told}.*delete it"):
        model.set_params(**change).fit(*table)
    assert path.read_bytes() == before


def test_other_estimator_is_refused(table, path, end_after):
    """A regressor does not go on with a classifier's run."""
    end_after(2)
    kill(kept(plain_classifier(**STOPPING), path), table)
    with pytest.raises(ValueError, match="of an OptimizedMLPClassifier, and"):
        kept(plain_regressor(**STOPPING), path).fit(*table)


@pytest.mark.parametrize("what", ["X", "y", "weight", "order"])
def test_other_data_are_refused(table, path, end_after, what):
    """A run on other data, down to one number, is not gone on with."""
    X, y = table
    end_after(2)
    model = kept(plain_classifier(**STOPPING), path)
    kill(model, table)
    end_after(0)
    weight = None
    if what == "X":
        X = X.copy()
        X[3, 2] = np.nextafter(X[3, 2], 9)
    if what == "y":
        y = np.r_[1 - y[:1], y[1:]]
    if what == "weight":
        weight = np.r_[2.0, np.ones(59)]
    if what == "order":
        X, y = X[::-1], y[::-1]
    with pytest.raises(ValueError, match="run on other data"):
        model.fit(X, y, weight)


def test_what_changes_nothing_may_differ(table, path, end_after):
    """Threads, progress and the interval are of no consequence for the run."""
    expected = plain_classifier(**STOPPING).fit(*table)
    model = kept(expected, path)
    end_after(2)
    kill(model, table)
    end_after(0)
    changes = {"n_threads": 1, "verbose": True, "checkpoint_seconds": 5.0}
    assert_same(model.set_params(**changes).fit(*table), expected)


def test_progress_of_a_run_that_goes_on(table, path, end_after, capfd):
    """The bar begins at the epoch at which the run is taken up again."""
    pytest.importorskip("rich")
    model = plain_classifier(
        **{**SMALL, "max_epochs": N_EPOCHS}, checkpoint=path, checkpoint_seconds=0
    )
    end_after(4)
    kill(model, table)
    end_after(0)
    model.set_params(verbose=True).fit(*table)
    assert f"{N_EPOCHS}/{N_EPOCHS}" in capfd.readouterr().err


def _truncated(path, table):
    path.write_bytes(path.read_bytes()[:-50])


def _no_safetensors(path, table):
    path.write_text("notes of mine")


def _model(path, table):
    save(plain_classifier(**SMALL).fit(*table), path)


def _with_document(path, change):
    document, arrays = _files.read(path)
    change(document, arrays)
    path.write_bytes(_files.to_bytes(document, arrays))


def _newer(path, table):
    _with_document(path, lambda document, _: document.update(format_version=2))


def _incomplete(path, table):
    _with_document(path, lambda _, arrays: arrays.pop("best_weights"))


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (_truncated, "truncated"),
        (_no_safetensors, "not a safetensors file"),
        (_model, "no checkpoint of a fit"),
        (_newer, "format version 2"),
        (_incomplete, "is damaged"),
    ],
)
def test_what_is_no_checkpoint_is_refused(table, path, end_after, damage, told):
    """A file of another kind is neither read nor written over."""
    model = kept(plain_classifier(**STOPPING), path)
    end_after(2)
    kill(model, table)
    end_after(0)
    damage(path, table)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=f"'checkpoint'.*{told}.*delete it"):
        model.fit(*table)
    assert path.read_bytes() == before


def test_other_versions_are_told(table, path, end_after):
    """A run that another torch began goes on, with a word about its bits."""
    model = kept(plain_classifier(**STOPPING), path)
    end_after(2)
    kill(model, table)
    end_after(0)
    _with_document(path, lambda document, _: document["versions"].update(torch="1.0"))
    with pytest.warns(UserWarning, match=r"torch 1\.0 .*rounded otherwise"):
        model.fit(*table)


def test_a_folder_is_refused(table, tmp_path):
    """A folder is no file."""
    with pytest.raises(ValueError, match="names a folder"):
        plain_classifier(**SMALL, checkpoint=tmp_path).fit(*table)


def test_missing_folder_is_told_at_once(table, tmp_path):
    """Where the file cannot be written nothing is trained."""
    nowhere = tmp_path / "nowhere" / "run"
    model = plain_classifier(**SMALL, checkpoint=nowhere)
    with pytest.raises(FileNotFoundError, match="cannot be written"):
        model.fit(*table)
    assert not hasattr(model, "n_iter_")


def test_room_is_tried_for_two_files(table, path, monkeypatch):
    """Before the first update as much is written as two whole files may take."""
    tried, sizes = [], []
    original = _files.try_writing, _files.write_whole
    monkeypatch.setattr(
        _files,
        "try_writing",
        lambda *given: (tried.append(given[1]), original[0](*given)),
    )
    monkeypatch.setattr(
        _files,
        "write_whole",
        lambda *given: (sizes.append(len(given[1])), original[1](*given)),
    )
    wide = {**SMALL, "n_units": 100, "max_epochs": 20}
    plain_classifier(**wide, checkpoint=path, checkpoint_seconds=0).fit(*table)
    assert len(tried) == 1
    assert 2 * max(sizes) < tried[0] + 20_000
    assert list(path.parent.iterdir()) == []


def test_a_failure_on_the_way_harms_nothing(table, path, monkeypatch, recwarn):
    """A disk that fills up is told of once; the older file and the fit go on."""
    expected = plain_classifier(**STOPPING).fit(*table)
    written, fsync = [], _files.os.fsync

    def fill_up(descriptor):
        written.append(descriptor)
        if len(written) > 3:  # the trial, and two files
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    contents = []
    epoch_done = GuardOfSome.epoch_done

    def look(guard, standing):
        epoch_done(guard, standing)
        contents.append(path.read_bytes())

    monkeypatch.setattr("os.fsync", fill_up)
    monkeypatch.setattr(GuardOfSome, "epoch_done", look)
    assert_same(kept(expected, path).fit(*table), expected)
    told = [str(w.message) for w in recwarn if "checkpoint" in str(w.message)]
    assert len(told) == 1
    assert "No space left" in told[0]
    assert contents[0] != contents[1]
    assert all(content == contents[1] for content in contents[2:])
    assert len(written) > 5


def test_a_failure_ends_no_fit_where_warnings_are_errors(table, path, monkeypatch):
    """Even then training goes on to its end."""

    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(_files, "to_bytes", fail)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = kept(plain_classifier(**SMALL), path).fit(*table)
    assert model.n_iter_ == SMALL["max_epochs"]


def test_another_fits_file_is_left_alone(table, path, end_after, monkeypatch):
    """A fit that finds another's run in its file writes and removes no more."""
    end_after(2)
    kill(kept(plain_classifier(**STOPPING), path), table)
    foreign = path.read_bytes()
    path.unlink()
    model = kept(plain_classifier(**{**STOPPING, "tol": 0.5}), path)
    end_after(0)
    epoch_done = GuardOfSome.epoch_done

    def overwrite(guard, standing):
        path.write_bytes(foreign)
        epoch_done(guard, standing)

    monkeypatch.setattr(GuardOfSome, "epoch_done", overwrite)
    with pytest.warns(UserWarning, match="another fit's run"):
        model.fit(*table)
    assert path.read_bytes() == foreign


def test_a_file_that_stays_is_told_of(table, path, monkeypatch):
    """Where a finished fit cannot remove its file, a warning tells the remedy."""
    unlink = type(path).unlink

    def refuse(self, missing_ok=False):
        if self == path:
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        unlink(self, missing_ok=missing_ok)

    monkeypatch.setattr(type(path), "unlink", refuse)
    model = kept(plain_classifier(**SMALL), path)
    with pytest.warns(UserWarning, match="cannot be removed: Permission denied. Del"):
        model.fit(*table)
    assert path.exists()


def test_drafts_of_the_killed_are_removed(table, path):
    """What a killed writer left behind goes when the next fit begins."""
    draft = path.with_name(f".{path.name}.{'0af1' * 4}.tmp")
    draft.write_text("half")
    other = path.with_name(f".other.{'0af1' * 4}.tmp")
    other.write_text("half")
    kept(plain_classifier(**SMALL), path).fit(*table)
    assert list(path.parent.iterdir()) == [other]


def test_missing_safetensors_is_explained(table, path, monkeypatch):
    """Without safetensors the error names the extra, before anything is trained."""
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(
        ImportError, match=r"'checkpoint'.*pip install 'sknnopt\[save\]'"
    ):
        plain_classifier(**SMALL, checkpoint=path).fit(*table)


# ---------------------------------------------------------------- beside other things


def test_callbacks_are_refused(table, path):
    """What callbacks remember is in no checkpoint."""
    model = plain_classifier(**SMALL, checkpoint=path, callbacks=[Callback()])
    with pytest.raises(ValueError, match="fit has callbacks"):
        model.fit(*table)


def test_partial_fit_writes_none(table, path):
    """One epoch of many is nobody's long run."""
    model = kept(plain_classifier(**SMALL), path)
    model.partial_fit(*table, classes=[0, 1])
    assert not path.exists()


def test_fits_that_train_together_write_none(table, path, rounds, written):
    """Of a search on the backend only the refit, which is alone, is kept."""
    model = kept(plain_classifier(**SMALL), path)
    search = GridSearchCV(model, {"learning_rate": [1e-3, 1e-2]}, cv=2)
    with parallel_config(backend="sknnopt"):
        search.fit(*table)
    assert rounds == [4]
    assert written == [path] * (SMALL["max_epochs"] - 1)
    assert not path.exists()


def test_saved_models_name_no_file(table, tmp_path, path):
    """A loaded model writes to no file that it was trained with."""
    model = kept(plain_classifier(**SMALL), path).fit(*table)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save(model, tmp_path / "model")
    assert load(tmp_path / "model").checkpoint is None
