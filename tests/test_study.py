from __future__ import annotations

import itertools
import json
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import pytest
from nursery import Nursery, Program
from scipy import stats
from skopt.space import Categorical
from sqlalchemy.exc import OperationalError

from sknnopt import _study_file
from sknnopt._samplers import SAMPLERS
from sknnopt._study import Study
from sknnopt.search import space

SPACE = {
    "rate": stats.loguniform(1e-4, 1e-1),
    "n": stats.randint(1, 9),
    "shape": [(8,), (8, 8)],
    "clip": [None, 1.0],
}
SETTINGS = {"sampler": "random", "n_splits": 5, "shape": [768, 8]}
SUBSPACES = [
    {"kind": ["one"], "n": stats.randint(1, 5)},
    {"kind": ["two"], "n": stats.randint(10, 20), "free": stats.norm()},
]
INF, NAN = math.inf, math.nan


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Study]:
    """Return a new study on disk."""
    with Study.open(tmp_path / "search.db", space=SPACE, settings=SETTINGS) as opened:
        yield opened


def again(path: Path, subject: Any = SPACE, **changes: Any) -> list[Any]:
    """Return the records of a study that is opened anew."""
    settings = {**SETTINGS, **changes}
    with Study.open(path / "search.db", space=subject, settings=settings) as opened:
        return opened.records()


def candidate(rate: float = 0.01, **changes: Any) -> dict[str, Any]:
    """Return a point of the space."""
    return {"rate": rate, "n": 3, "shape": (8, 8), "clip": None, **changes}


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal, NaN to NaN included."""
    return json.dumps(one) == json.dumps(other)


def test_what_is_added_is_read_back(study: Study, tmp_path: Path) -> None:
    """Numbers, values of any type, scores, endings and curves survive to the bit."""
    record = {"scores": [0.1, 1 / 3, NAN], "note": "é", "nested": {"a": [None, True]}}
    study.add(1, candidate(1 / 3e3), 1 / 3, record, curve=[(4, 1 / 7), (9, NAN)])
    study.add(0, candidate(shape=(8,), clip=1.0), -INF, {}, curve=[(2, INF)])
    for records in (study.records(), again(tmp_path)):
        first, second = records
        assert (first.number, second.number) == (0, 1)
        assert first.params == candidate(shape=(8,), clip=1.0)
        assert second.params == candidate(1 / 3e3)
        assert list(second.params) == list(SPACE)
        assert (first.score, second.score) == (-INF, 1 / 3)
        assert first.state == second.state == "complete"
        assert first.curve == ((2, INF),)
        assert same(second.curve, ((4, 1 / 7), (9, NAN)))
        assert same(second.record, record)


def test_every_ending_is_kept(study: Study, tmp_path: Path) -> None:
    """Each ending with each kind of number is what it was, after opening anew."""
    states, scores = ["complete", "pruned", "failed"], [0.5, -0.0, NAN, INF, -INF]
    endings = list(itertools.product(states, scores))
    for number, (state, score) in enumerate(endings):
        kept = {"score": score}
        study.add(number, candidate(), score, kept, state=state, curve=[(1, score)])
    for record, (state, score) in zip(again(tmp_path), endings, strict=True):
        assert record.state == state
        found = [record.score, record.record["score"], record.curve[0][1]]
        assert same(found, [score] * 3)


def test_long_records_are_kept(study: Study, tmp_path: Path) -> None:
    """A record longer than one attribute of some databases is put together again."""
    record = {"curve": np.linspace(0, 1, 20_000).tolist(), "text": 'ü"\\' * 9000}
    study.add(0, candidate(), 0.5, record)
    assert again(tmp_path)[0].record == record
    attributes = study._study.get_trials(deepcopy=False)[0].user_attrs
    assert max(len(json.dumps(value)) for value in attributes.values()) < 65_536


def test_numpy_goes_in_and_python_comes_out(study: Study, tmp_path: Path) -> None:
    """Arrays and scalars of numpy are stored as lists and numbers."""
    params = candidate(np.float64(0.01), n=np.int64(3))
    record = {"scores": np.array([0.5, 1.0]), "n": np.int64(4)}
    study.add(np.int64(0), params, np.float64(0.5), record)
    (found,) = again(tmp_path)
    assert found.params == candidate()
    assert type(found.params["n"]) is int
    assert found.record == {"scores": [0.5, 1.0], "n": 4}


def test_trials_are_optunas(study: Study, tmp_path: Path) -> None:
    """Optuna's tools see parameters, distributions, scores and negative losses."""
    study.add(0, candidate(), 0.5, {}, curve=[(1, 0.7), (3, 0.6)])
    study.add(1, candidate(), 0.9, {}, state="pruned")
    study.add(2, candidate(), NAN, {}, state="failed")
    url = f"sqlite:///{tmp_path / 'search.db'}"
    storage = optuna.storages.RDBStorage(url)
    loaded = optuna.load_study(storage=storage, study_name="sknnopt")
    complete, pruned, failed = loaded.trials
    assert loaded.best_trial == complete
    assert complete.params == {
        "rate": 0.01,
        "n": 3,
        "shape": "1: (8, 8)",
        "clip": None,
    }
    distributions = optuna.distributions
    assert complete.distributions["rate"] == distributions.FloatDistribution(
        1e-4, 1e-1, log=True
    )
    assert complete.distributions["n"] == distributions.IntDistribution(1, 8)
    assert complete.intermediate_values == {1: -0.7, 3: -0.6}
    assert complete.duration.total_seconds() >= 0
    states = optuna.trial.TrialState
    assert (complete.state, pruned.state, failed.state) == (
        states.COMPLETE,
        states.PRUNED,
        states.FAIL,
    )
    storage.remove_session()
    storage.engine.dispose()


@pytest.mark.parametrize(
    "subject",
    [
        SUBSPACES,
        space("sklearn", "small"),
        space("optuna", "guide", depth=[1, 3]),
        space("skopt", "standard"),
        {"x": Categorical(["a", "b"], prior=[0.2, 0.8]), "y": [True, 1]},
    ],
)
def test_candidates_of_any_space_survive(subject: Any, tmp_path: Path) -> None:
    """Subspaces, other distributions and weighted choices are stored and restored."""
    proposals = SAMPLERS["random"](subject, n_iter=12, random_state=0).ask(12)
    with Study.open(tmp_path / "search.db", space=subject, settings=SETTINGS) as study:
        for proposal in proposals:
            study.add(proposal.number, proposal.params, 0.5, None)
    for record, proposal in zip(again(tmp_path, subject), proposals, strict=True):
        assert record.params == proposal.params
        for name, value in record.params.items():
            assert isinstance(value, bool) == isinstance(proposal.params[name], bool)


def test_other_settings_are_refused(study: Study, tmp_path: Path) -> None:
    """The error names what differs, both values and the remedy."""
    match = (
        r"'sampler' was \"random\" and is \"tpe\" now; 'n_splits' was 5 and is 3 now; "
        r"'new' was null and is \[1\] now\. Search with .*another file"
    )
    with pytest.raises(ValueError, match=match):
        again(tmp_path, sampler="tpe", n_splits=3, new=[1])
    with pytest.raises(ValueError, match="'space' was"):
        again(tmp_path, {**SPACE, "n": stats.randint(1, 8)})
    assert again(tmp_path) == []


def test_equal_settings_are_accepted(tmp_path: Path) -> None:
    """Settings are compared as JSON: tuples are lists, NaN equals NaN."""
    settings = {"shape": (1, 2), "missing": NAN, "n": np.int64(3)}
    for _ in range(2):
        Study.open(tmp_path / "a.db", space=SPACE, settings=settings).close()


def test_path_and_url_are_the_same_file(study: Study, tmp_path: Path) -> None:
    """A URL of SQLAlchemy opens what a path made."""
    study.add(0, candidate(), 0.5, None)
    url = f"sqlite:///{tmp_path / 'search.db'}"
    with Study.open(url, space=SPACE, settings=SETTINGS) as opened:
        assert opened.records() == study.records()


def test_files_that_are_no_study_are_refused(tmp_path: Path) -> None:
    """Other files, folders and foreign studies are left alone."""
    (tmp_path / "text.db").write_text("not a database")
    with pytest.raises(ValueError, match="no SQLite database"):
        Study.open(tmp_path / "text.db", space=SPACE, settings=SETTINGS)
    with pytest.raises(ValueError, match="no SQLite database"):
        Study.open(tmp_path, space=SPACE, settings=SETTINGS)
    with pytest.raises(ValueError, match="has no folder to be in"):
        Study.open(tmp_path / "no" / "s.db", space=SPACE, settings=SETTINGS)
    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path / 'other.db'}")
    other = optuna.create_study(
        study_name="sknnopt", storage=storage, direction="maximize"
    )
    other.add_trial(optuna.trial.create_trial(value=1.0))
    storage.remove_session()
    storage.engine.dispose()
    with pytest.raises(ValueError, match="not begun by a search of sknnopt"):
        Study.open(tmp_path / "other.db", space=SPACE, settings=SETTINGS)
    assert (tmp_path / "text.db").read_text() == "not a database"


@pytest.mark.parametrize("place", [".", "search.db"])
def test_what_cannot_be_written_to_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """Neither the file nor its folder may be read-only."""
    file = tmp_path / "search.db"
    file.touch()
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path / place)
    with pytest.raises(ValueError, match=r"search\.db' cannot be written to"):
        Study.open(file, space=SPACE, settings=SETTINGS)
    assert file.read_bytes() == b""


def test_trials_of_others_are_not_read(study: Study) -> None:
    """Trials that another program began in the file are none of the search."""
    study.add(0, candidate(), 0.5, None)
    study._study.ask()
    study._study.add_trial(optuna.trial.create_trial(value=1.0))
    assert [record.number for record in study.records()] == [0]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0, candidate(), 0.5, None), ValueError, "number 0 already"),
        ((1, candidate(n=99), 0.5, None), ValueError, "outside the search space"),
        ((1, candidate(), 0.5, {1: object()}), TypeError, "what JSON can hold"),
    ],
)
def test_wrong_trials_are_refused(
    study: Study, arguments: Any, error: Any, message: str
) -> None:
    """Nothing is written of a trial that cannot be read back."""
    study.add(0, candidate(), 0.5, None)
    with pytest.raises(error, match=message):
        study.add(*arguments)
    with pytest.raises(ValueError, match=r"one of \['complete', .*Got 'done'"):
        study.add(2, candidate(), 0.5, None, state="done")
    assert [record.number for record in study.records()] == [0]


def test_threads_write_side_by_side(study: Study, tmp_path: Path) -> None:
    """Trials that several threads add at once are all there, each as it was."""

    def write(start: int) -> None:
        for number in range(start, start + 5):
            study.add(number, candidate(0.001 * (number + 1)), number, [number])

    threads = [threading.Thread(target=write, args=(5 * i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    records = again(tmp_path)
    assert [record.number for record in records] == list(range(20))
    for record in records:
        assert record.record == [record.number]
        assert record.params == candidate(0.001 * (record.number + 1))


def test_several_begin_a_study_at_once(tmp_path: Path) -> None:
    """Whoever opens a study while another makes its tables waits for them."""
    barrier = threading.Barrier(4)

    def begin(number: int) -> None:
        barrier.wait()
        path = tmp_path / "search.db"
        with Study.open(path, space=SPACE, settings=SETTINGS) as opened:
            opened.add(number, candidate(), number, None)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(begin, range(4)))
    assert [record.number for record in again(tmp_path)] == [0, 1, 2, 3]


def test_other_settings_wait_for_those_that_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two searches in one moment the first has the study, the other is refused."""
    is_begun, is_waiting, may_write = (threading.Event() for _ in range(3))
    write = optuna.Study.set_user_attr

    def slow(self: optuna.Study, key: str, value: Any) -> None:
        is_begun.set()
        may_write.wait()
        write(self, key, value)

    def sleep(seconds: float) -> None:
        is_waiting.set()
        may_write.wait(seconds)

    monkeypatch.setattr(optuna.Study, "set_user_attr", slow)
    monkeypatch.setattr(_study_file, "time", SimpleNamespace(sleep=sleep))
    open_ = partial(Study.open, tmp_path / "search.db", space=SPACE)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(open_, settings=SETTINGS)
        is_begun.wait()
        second = pool.submit(open_, settings={**SETTINGS, "n_splits": 9})
        is_waiting.wait()
        may_write.set()
        first.result().close()
        with pytest.raises(ValueError, match="'n_splits' was 5 and is 9 now"):
            second.result()


@pytest.mark.parametrize("n_refusals", [2, 10_000])
def test_a_database_that_refuses(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, n_refusals: int
) -> None:
    """It is asked again for a while; then the error says which study, and why."""
    tried = []

    class Refusing(optuna.storages.RDBStorage):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            tried.append(args)
            if len(tried) <= n_refusals:
                reason = Exception("table is locked")
                raise OperationalError("CREATE TABLE", None, reason)
            super().__init__(*args, **kwargs)

    monkeypatch.setattr(optuna.storages, "RDBStorage", Refusing)
    monkeypatch.setattr(_study_file, "_TRIES", 10)
    monkeypatch.setattr(_study_file, "_BETWEEN_TRIES", 0.01)
    if n_refusals == 2:
        assert again(tmp_path) == []
        assert len(tried) == 3
        return
    with pytest.raises(
        ValueError, match=r"search\.db' cannot be opened: table is lock"
    ):
        again(tmp_path)
    assert len(tried) == 10


def test_opening_is_silent(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither Optuna nor its database library reports anything."""
    again(tmp_path)
    assert capfd.readouterr() == ("", "")


def test_without_optuna(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The error names the extra that brings what is missing."""
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match=r"study on disk.*sknnopt\[tune\]'"):
        again(tmp_path)
    assert list(tmp_path.iterdir()) == []


#: A program that writes trials from a number on, and says which are written.
PROGRAM = """
import sys
from sknnopt._study import Study
space = {"x": list(range(10_000)), "y": [(1,), (2, 3)]}
with Study.open(sys.argv[1], space=space, settings={"seed": 1}) as study:
    for number in range(int(sys.argv[2]), 10_000):
        record = {"number": number, "long": [number / 7] * 4000}
        params = {"x": number, "y": (2, 3)}
        study.add(number, params, number / 3, record, curve=[(1, number), (2, 0.5)])
        print(number, flush=True)
"""


def write_until_killed(writer: Program, wait: float) -> list[int]:
    """Kill a writer some seconds after its first trial; return what it wrote."""
    with writer:
        writer.wait_for_line()
        time.sleep(wait)
        os.kill(writer.pid, signal.SIGKILL)
        assert writer.wait() == -signal.SIGKILL
    return [int(line) for line in writer.out.splitlines()]


def test_killed_processes_leave_whole_trials(tmp_path: Path, nursery: Nursery) -> None:
    """Killed at any moment, a writer leaves what it had finished, and nothing else."""
    path = tmp_path / "search.db"
    subject = {"x": list(range(10_000)), "y": [(1,), (2, 3)]}
    reported: list[int] = []
    start = 0
    for wait in (0.0, 0.13, 0.31):
        writer = nursery.begin(PROGRAM, str(path), str(start))
        reported += write_until_killed(writer, wait)
        with Study.open(path, space=subject, settings={"seed": 1}) as study:
            records = study.records()
        assert {record.number for record in records} >= set(reported)
        start = max(record.number for record in records) + 1
        assert [record.number for record in records] == list(range(start))
        assert start <= max(reported) + 2
        for record in records:
            n = record.number
            assert record.params == {"x": n, "y": (2, 3)}
            assert (record.score, record.state) == (n / 3, "complete")
            assert record.record == {"number": n, "long": [n / 7] * 4000}
            assert record.curve == ((1, n), (2, 0.5))


def test_killed_while_opening(tmp_path: Path, nursery: Nursery) -> None:
    """Killed while it makes the file, a study can be begun there all the same."""
    path = tmp_path / "search.db"
    subject = {"x": list(range(10_000)), "y": [(1,), (2, 3)]}
    # One trial at most.
    with nursery.begin(PROGRAM, str(path), "9999") as writer:
        while not path.exists() and not writer.has_ended():
            time.sleep(0.001)
    with Study.open(path, space=subject, settings={"seed": 1}) as study:
        assert len(study.records()) <= 1
