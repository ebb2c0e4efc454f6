from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from benchmarks import __main__ as command_line
from benchmarks import normalization
from benchmarks._normalization_report import report
from benchmarks._results import plain, write_json
from benchmarks._statistics import censored_median, estimate, order_statistic

STORED = command_line.RESULTS / "normalization.json"
INTERVALS = ("value", "low", "high")


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """Return the directory of a quick run, started as the command line does."""
    out = tmp_path_factory.mktemp("results")
    command_line.main(["normalization", "--quick", "--out", str(out)])
    return out


def test_first_epoch_counts_from_one_and_may_be_never():
    """The first epoch at or below the target is found, whatever comes after it."""
    losses = np.array(
        [
            [0.5, 0.5, 0.5],  # at once, by equality
            [0.9, 0.4, 0.6],  # in the second epoch, lost again later
            [0.9, 0.8, 0.5],  # in the last
            [0.9, 0.8, 0.7],  # never
        ]
    )
    found = normalization.first_epoch(losses, np.array([0.5, 0.5, 0.5, 0.5]))
    np.testing.assert_array_equal(found, [1, 2, 3, np.inf])


def test_each_network_has_its_own_target():
    """A network's losses are compared with the target of that network alone."""
    losses = np.array([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]])
    found = normalization.first_epoch(losses, np.array([2.5, 1.0]))
    np.testing.assert_array_equal(found, [2, 3])


def test_comparison_of_a_hand_made_history():
    """Early is the epoch where standardized input ends, late the last of raw input."""
    history = normalization.Histories(
        scaled_loss=np.array([[0.6, 0.4], [0.5, 0.3]]),
        scaled_accuracy=np.array([[0.1, 0.2], [0.3, 0.4]]),
        raw_loss=np.array([[0.9, 0.8, 0.4, 0.5], [0.9, 0.7, 0.6, 0.2]]),
        raw_accuracy=np.array([[0.5, 0.6, 0.7, 0.8], [0.1, 0.2, 0.3, 0.4]]),
    )
    design = normalization.Design(n_seeds=2, short=2, long=4)
    expected = {
        "raw_epochs": [3, 4],
        "scaled_epochs": [2, np.inf],
        "scaled_loss": [0.4, 0.3],
        "raw_loss_early": [0.8, 0.7],
        "raw_loss_late": [0.5, 0.2],
        "scaled_accuracy": [0.2, 0.4],
        "raw_accuracy_early": [0.6, 0.2],
        "raw_accuracy_late": [0.8, 0.4],
    }
    found = normalization.compare(history, design)
    assert {name: values.tolist() for name, values in found.items()} == expected


def test_scaling_knows_the_training_rows_alone():
    """Held-out rows are standardized by mean and deviation of the training rows."""
    data = normalization.prepare(1)
    raw_train, raw_test, *raw_targets = data["raw"]
    train, test, *targets = data["scaled"]
    assert (len(train), len(test)) == (576, 192)
    for raw_y, y in zip(raw_targets, targets, strict=True):
        np.testing.assert_array_equal(raw_y, y)
    mean = raw_train.mean(axis=0, dtype=np.float64)
    deviation = raw_train.std(axis=0, dtype=np.float64)
    np.testing.assert_allclose(train, (raw_train - mean) / deviation, atol=1e-5)
    np.testing.assert_allclose(test, (raw_test - mean) / deviation, atol=1e-5)


def test_networks_of_a_batch_are_single_fits():
    """The first of several networks has the history of a fit of one network."""
    one, three = (
        normalization.train(1, normalization.Design(n_seeds=n, short=2, long=3))
        for n in (1, 3)
    )
    for name, values in vars(one).items():
        batch = getattr(three, name)
        np.testing.assert_allclose(values[0], batch[0], rtol=1e-4, err_msg=name)
        assert not np.allclose(batch[0], batch[1], rtol=1e-4), name


def test_censored_median_is_the_lower_one():
    """Half of the runs suffice for a median; with fewer it is never reached."""
    half = np.array([3.0, np.inf, 1.0, np.inf])
    fewer = np.array([3.0, np.inf, np.inf])
    assert censored_median(half, axis=0) == 3
    assert np.isinf(censored_median(fewer, axis=0))
    both = np.array([[5.0, 1.0, 2.0], [np.inf, np.inf, 4.0]])
    np.testing.assert_array_equal(censored_median(both, axis=1), [2, np.inf])


@pytest.mark.parametrize(
    ("position", "up", "expected"),
    [(0.0, False, 1), (0.5, False, 2), (0.5, True, 3), (1.0, True, np.inf)],
)
def test_order_statistic_never_interpolates(position, up, expected):
    """A quantile is one of the values, also beside infinite ones."""
    values = np.array([3.0, 1.0, np.inf, 2.0])
    assert order_statistic(values, position, up=up) == expected


def test_interval_draws_whole_clusters(rng):
    """Equal clusters leave no doubt, however much their runs differ."""
    runs = np.array([0.0, 1.0, 5.0])
    equal = estimate(np.tile(runs, (4, 1)), np.mean, rng)
    assert equal == {"value": 2, "low": 2, "high": 2}


def test_interval_of_two_clusters_spans_both(rng):
    """Two clusters are drawn as one of them twice with probability one half."""
    found = estimate(np.array([[0.0, 0.0], [1.0, 1.0]]), np.mean, rng)
    assert found == {"value": 0.5, "low": 0, "high": 1}


def test_interval_of_many_clusters_is_the_normal_one(rng):
    """The bootstrap of a mean agrees with 1.96 standard errors."""
    values = rng.normal(size=(400, 1))
    found = estimate(values, np.mean, rng)
    error = 1.96 * values.std() / np.sqrt(len(values))
    assert found["high"] - found["value"] == pytest.approx(error, rel=0.05)
    assert found["value"] - found["low"] == pytest.approx(error, rel=0.05)


def test_json_keeps_never_and_one_line_for_a_list(tmp_path):
    """Infinity is null, whole numbers stay whole, a list of numbers is one line."""
    result = {"a": np.array([1.0, np.inf, 0.1234567]), "b": {"c": np.int64(2)}}
    path = tmp_path / "result.json"
    write_json(path, plain(result))
    text = path.read_text(encoding="utf-8")
    assert json.loads(text) == {"a": [1, None, 0.12346], "b": {"c": 2}}
    assert "[ 1, null, 0.12346 ]" in text


def test_quick_run_leaves_all_files(quick):
    """A quick run writes a picture, a report and numbers of the expected shape."""
    assert (quick / "normalization.png").read_bytes().startswith(b"\x89PNG")
    result = json.loads((quick / "normalization.json").read_text(encoding="utf-8"))
    text = (quick / "normalization.md").read_text(encoding="utf-8")
    assert text == report(result)
    design = normalization.QUICK
    assert [entry["split"] for entry in result["runs"]] == [1, *design.splits]
    for entry in result["runs"]:
        assert {len(v) for k, v in entry.items() if k != "split"} == {design.n_seeds}
    for name, last in {"scaled": design.short, "raw": design.long}.items():
        curve = result["curves"][name]
        assert curve["epoch"] == list(range(1, last + 1))
        assert np.all(np.array(curve["low"]) <= curve["median"])
        assert np.all(np.array(curve["median"]) <= curve["high"])


def test_quick_run_spares_the_stored_results():
    """Without a directory a quick run goes to a new one, a real run to the stored."""
    out = command_line._directory(None, quick=True)
    assert out != command_line.RESULTS
    assert not any(out.iterdir())
    out.rmdir()
    assert command_line._directory(None, quick=False) == command_line.RESULTS


def test_stored_summary_follows_from_the_stored_runs():
    """The summary and the report are what the stored numbers of each run give."""
    stored = json.loads(STORED.read_text(encoding="utf-8"))
    assert stored["design"] == plain(vars(normalization.FULL))
    summary = normalization.summarize(stored["runs"], stored["design"]["guide_split"])
    for group, quantities in stored["summary"].items():
        assert set(quantities) == set(summary[group])
        for name, numbers in quantities.items():
            again = summary[group][name]
            if name == "n_runs":
                assert numbers == again
                continue
            for key in INTERVALS:
                assert again[key] == pytest.approx(numbers[key], abs=2e-5), name
    assert STORED.with_suffix(".md").read_text(encoding="utf-8") == report(stored)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (None, None, "holds"),
        (2000, None, "holds"),
        (1500, None, "in accord"),
        (1500, 2100, "in accord"),
        (500, 1500, "does not hold"),
    ],
)
def test_report_judges_by_the_interval(low, high, expected):
    """The verdict compares the interval of the median with the claimed 2,000."""
    result = json.loads(STORED.read_text(encoding="utf-8"))
    result["summary"]["other_splits"]["raw_epochs"] = {
        "value": high,
        "low": low,
        "high": high,
    }
    verdicts = ("The claim holds", "in accord", "The claim does not hold")
    text = " ".join(report(result).split())
    assert [v for v in verdicts if v in text] == [v for v in verdicts if expected in v]


def test_command_line_lists_every_benchmark(capsys):
    """Each benchmark is listed with its summary."""
    command_line.main(["--list"])
    listed = capsys.readouterr().out
    for name, benchmark in command_line.BENCHMARKS.items():
        assert name in listed
        assert benchmark.summary in listed


def test_command_line_refuses_an_unknown_name(capsys):
    """A name that is no benchmark ends in a message with the name and the choices."""
    with pytest.raises(SystemExit):
        command_line.main(["normalisation"])
    message = capsys.readouterr().err
    assert "'normalisation' is no benchmark" in message
    assert "normalization" in message
