from __future__ import annotations

import math
import statistics
import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip("matplotlib")

import torch
from joblib import Parallel, delayed
from threadpoolctl import threadpool_info

from benchmarks import _fresh, _machine, _results, _timing, search
from benchmarks._settings import Settings
from benchmarks._statistics import geometric_mean
from benchmarks._store import Store
from benchmarks._timing import Bar, measure_pairs, median_ratio, ratios

SMALLEST = {"hidden": [2], "epochs": 1, "candidates": 1, "repeats": 1, "folds": 2}


def _burn(seconds):
    """Compute for so much CPU time."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


@pytest.mark.parametrize("warm_up", [True, False])
def test_pairs_alternate_and_share_their_seeds(warm_up):
    """The order turns from pair to pair, after both works were done once if wanted."""
    done = []
    pairs = measure_pairs(
        lambda seed: done.append(("ours", seed)),
        lambda seed: done.append(("peer", seed)),
        3,
        warm_up=warm_up,
    )
    first = [("ours", 3), ("peer", 3)] if warm_up else []
    turns = [("ours", 0), ("peer", 0), ("peer", 1), ("ours", 1), ("ours", 2)]
    assert done == [*first, *turns, ("peer", 2)]
    for side in _timing.SIDES:
        assert {name: len(v) for name, v in pairs[side].items()} == {
            "wall": 3,
            "cpu": 3,
        }


def test_rounds_of_a_pair_alternate_and_add_up(monkeypatch):
    """A pair of several rounds turns the order in each, and sums the times."""
    done = []
    monkeypatch.setattr(_timing, "clocked", lambda work: (work(), 1.0, 0.5))
    pairs = measure_pairs(
        lambda seed: done.append(("ours", seed)),
        lambda seed: done.append(("peer", seed)),
        2,
        warm_up=False,
        n_rounds=2,
    )
    first, second = ([("ours", seed), ("peer", seed)] for seed in range(2))
    assert done == [*first, *first[::-1], *second[::-1], *second]
    for side in _timing.SIDES:
        assert pairs[side] == {"wall": [2.0, 2.0], "cpu": [1.0, 1.0]}


def test_pairs_keep_what_inspection_finds():
    """A number of each result is kept, and none for a work that has no result."""
    pairs = measure_pairs(
        lambda seed: 10.0 + seed, lambda seed: None, 3, inspect=lambda result: result
    )
    assert pairs["ours"]["loss"] == [10, 11, 12]
    assert "loss" not in pairs["peer"]


def test_waiting_takes_wall_time_alone():
    """Sleep counts as wall time and not as CPU time, computing as both."""
    _, wall, cpu = _timing.clocked(lambda: time.sleep(0.1))
    assert wall >= 0.1
    assert cpu < 0.1
    _, wall, cpu = _timing.clocked(lambda: _burn(0.1))
    assert cpu >= 0.1
    assert wall >= 0.09


def test_result_of_clocked_work_is_returned():
    """Work is done once and its result comes first."""
    assert _timing.clocked(lambda: 42)[0] == 42


def test_cpu_time_of_an_ended_child_counts():
    """A child process that has ended adds what it computed."""
    command = "import time\nwhile time.process_time() < 0.3: pass"
    _, _, cpu = _timing.clocked(
        lambda: subprocess.run([sys.executable, "-c", command], check=True)
    )
    assert cpu > 0.25


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_cpu_time_of_a_living_pool_counts():
    """What the workers of a warm pool compute is counted while they are alive."""
    pool = Parallel(n_jobs=2)
    # As text: for a function of this module the workers would import all of it.
    burn = "import time\nend = time.process_time() + {}\n"
    burn += "while time.process_time() < end: pass"

    def burn_twice(seconds):
        return pool(delayed(exec)(burn.format(seconds), {}) for _ in range(2))

    burn_twice(0.01)
    _, _, cpu = _timing.clocked(lambda: burn_twice(0.3))
    assert cpu > 0.5


def test_ratio_is_taken_pair_by_pair():
    """A share is ours over the peer's, a speedup its inverse, for each pair."""
    pairs = {
        "ours": {"wall": [1.0, 2.0, 4.0], "cpu": [1.0, 1.0, 1.0]},
        "peer": {"wall": [2.0, 2.0, 2.0], "cpu": [4.0, 2.0, 1.0]},
    }
    np.testing.assert_array_equal(ratios(pairs), [0.5, 1, 2])
    np.testing.assert_array_equal(ratios(pairs, speedup=True), [2, 1, 0.5])
    np.testing.assert_array_equal(ratios(pairs, "cpu"), [0.25, 0.5, 1])


def test_common_noise_leaves_the_ratio_alone(rng):
    """Where a busy machine slows both of a pair, the median ratio has no spread."""
    load = rng.uniform(1, 5, size=15)
    pairs = {"ours": {"wall": 0.5 * load}, "peer": {"wall": load}}
    found = median_ratio(ratios(pairs))
    assert found == pytest.approx({"value": 0.5, "low": 0.5, "high": 0.5})


def test_interval_of_the_median_has_the_binomial_coverage(rng):
    """The bootstrap of a median of 15 stays near the exact binomial interval.

    The 4th and the 12th of 15 ordered values bound it with a coverage of 96.5 %.
    """
    values = np.sort(rng.lognormal(size=15))
    found = median_ratio(rng.permutation(values))
    assert found["value"] == values[7]
    assert values[2] <= found["low"] <= values[4]
    assert values[10] <= found["high"] <= values[12]


def test_geometric_mean_of_constant_groups():
    """Groups without spread give the root of the product, without doubt."""
    groups = [np.full(5, 2.0), np.full(7, 8.0)]
    found = geometric_mean(groups, np.random.default_rng(0))
    assert found == pytest.approx({"value": 4, "low": 4, "high": 4})


def test_geometric_mean_of_one_group_is_its_median(rng):
    """With one group the mean and its interval are those of the median."""
    values = rng.lognormal(size=15)
    found = geometric_mean([values], np.random.default_rng(0))
    assert found == pytest.approx(median_ratio(values))


def test_geometric_mean_of_inverse_ratios_is_inverse(rng):
    """Exchanging both sides inverts the mean and turns the interval round."""
    groups = [rng.lognormal(size=15) for _ in range(3)]
    found = geometric_mean(groups, np.random.default_rng(0))
    inverse = geometric_mean([1 / g for g in groups], np.random.default_rng(0))
    assert inverse["value"] == pytest.approx(1 / found["value"])
    assert inverse["low"] == pytest.approx(1 / found["high"], rel=0.02)
    assert inverse["high"] == pytest.approx(1 / found["low"], rel=0.02)


@pytest.mark.parametrize(
    ("bar", "low", "high", "expected"),
    [
        (Bar(1.0), 0.8, 1.0, True),
        (Bar(1.0), 0.8, 1.01, False),
        (Bar(8, at_most=False), 8, 20, True),
        (Bar(8, at_most=False), 7.9, 20, False),
    ],
)
def test_bar_is_judged_at_the_worse_end(bar, low, high, expected):
    """A bar is met only when the whole interval is on its good side."""
    assert bar.is_met({"value": (low + high) / 2, "low": low, "high": high}) is expected


@pytest.mark.parametrize(
    ("ours", "peer", "expected"),
    [
        ([1.02, 1.04, 9.0], [1.0, 1.0, 0.1], True),  # medians count
        ([1.06], [1.0], False),
        ([0.94], [1.0], False),
        (None, [1.0], True),
    ],
)
def test_losses_agree_within_five_percent(ours, peer, expected):
    """Medians of both sides may differ by 5 %; a side without losses always agrees."""
    sides = {"ours": ours, "peer": peer}
    pairs = {side: {"loss": v} if v else {} for side, v in sides.items()}
    assert _timing.losses_agree(pairs) is expected


def test_thread_limits_hold_and_end():
    """All pools have one thread inside, and what they had before outside."""
    before = torch.get_num_threads(), [p["num_threads"] for p in threadpool_info()]
    with _timing.limited_threads(1):
        assert torch.get_num_threads() == 1
        assert {pool["num_threads"] for pool in threadpool_info()} == {1}
    after = torch.get_num_threads(), [p["num_threads"] for p in threadpool_info()]
    assert after == before


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_fresh_process_measures_its_own_peak():
    """Memory that was freed again counts in the peak, and little else does."""
    call = "m = _fresh.PeakMemory(); np.ones(12_500_000); print(m.rise())"
    command = f"import numpy as np; from benchmarks import _fresh; {call}"
    done = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, check=True
    )
    # The kernel counts pages in batches for each thread.
    assert int(done.stdout) == pytest.approx(100e6, rel=0.05)


def test_fresh_process_returns_the_result():
    """A function is found by its name, called with its arguments, and answers."""
    found = _fresh.run_fresh(search.peak_of_search, **SMALLEST)
    assert found["peak"] > 0


def test_failure_of_a_fresh_process_is_seen():
    """What a function raises in its process ends the measurement."""
    with pytest.raises(subprocess.CalledProcessError):
        _fresh.run_fresh(statistics.fmean, data=[])


def test_surroundings_name_no_host_and_no_path():
    """Machine and versions are described without the host's name and any directory."""
    import platform

    described = str(_machine.surroundings())
    assert str(_results.ROOT) not in described
    if len(platform.node()) > 3:
        assert platform.node() not in described
    assert {"processor", "cores"} <= set(_machine.surroundings()["machine"])


@pytest.fixture
def clean(monkeypatch):
    """Let the measured commit be a known one, without changes."""
    state = {"commit": "a" * 40, "is_dirty": False}
    monkeypatch.setattr("benchmarks._store.commit", lambda: dict(state))
    return state


def _never():
    pytest.fail("measured again")


def test_stopped_run_keeps_its_rows_and_goes_on(tmp_path, clean):
    """A row is in the file at once, and the next run does not repeat it."""
    path = tmp_path / "result.json"
    store = Store(path)
    store.add("first", {"n": (1, 2)}, lambda: {"wall": [math.pi]})

    def stopped():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.add("second", {"n": 1}, stopped)
    again = Store(path)
    again.add("first", {"n": (1, 2)}, _never)
    again.add("second", {"n": 1}, lambda: {"wall": [1.0]})
    rows = Store(path).result()["rows"]
    assert [row["key"] for row in rows] == ["first", "second"]
    assert rows[0]["wall"] == [round(math.pi, 9)]
    assert rows[0]["commit"] == clean["commit"]


@pytest.mark.parametrize("change", ["commit", "is_dirty", "design"])
def test_row_is_measured_again_when_it_may_have_changed(tmp_path, clean, change):
    """Another commit, changed files or another design make a row worthless."""
    path = tmp_path / "result.json"
    clean["is_dirty"] = change == "is_dirty"
    Store(path).add("row", {"n": 1}, lambda: {"wall": [1.0]})
    if change == "commit":
        clean["commit"] = "b" * 40
    design = {"n": 2 if change == "design" else 1}
    store = Store(path)
    store.add("row", design, lambda: {"wall": [2.0]})
    assert [row["wall"] for row in store.result()["rows"]] == [[2]]


def test_other_versions_start_a_new_file(tmp_path, clean, monkeypatch):
    """Rows measured with other versions or on another machine are not mixed in."""
    path = tmp_path / "result.json"
    Store(path).add("old", {}, lambda: {"wall": [1.0]})
    monkeypatch.setattr(
        "benchmarks._store.surroundings", lambda: {"machine": {}, "versions": {}}
    )
    store = Store(path)
    store.add("new", {}, lambda: {"wall": [2.0]})
    assert [row["key"] for row in Store(path).result()["rows"]] == ["new"]


def test_number_of_pairs_has_a_default():
    """15 pairs unless told, 2 in a smoke test."""
    assert Settings().n_pairs == 15
    assert Settings(quick=True).n_pairs == 2
    assert Settings(quick=True, pairs=4).n_pairs == 4


def test_restriction_by_name():
    """Without a restriction everything is wanted, else what it names."""
    assert Settings().wants("peers", "skorch")
    limited = Settings(peers=["sklearn"])
    assert limited.wants("peers", "sklearn")
    assert not limited.wants("peers", "skorch")
