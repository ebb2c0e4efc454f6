from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from nursery import Nursery

from sknnopt.__main__ import SEARCHES, SPACES, main
from sknnopt.persistence import load

pytest.importorskip("matplotlib")
pytest.importorskip("safetensors")
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.usefixtures("quick_baselines"),
]

QUICK = ["--n-iter", "2", "--cv", "2", "--max-epochs", "3"]
Capture = pytest.CaptureFixture[str]


def flowers() -> pd.DataFrame:
    """Return a table with numbers, text, gaps and two text classes."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"length": rng.normal(size=60), "width": rng.normal(size=60)})
    frame["color"] = np.array(["red", "green", "blue"])[np.arange(60) % 3]
    frame["kind"] = np.where(frame["length"] > 0, "tall", "low")
    frame.loc[5, "width"] = np.nan
    return frame


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a table, and with what tune made of it."""
    path = tmp_path_factory.mktemp("tuned")
    flowers().to_csv(path / "flowers.csv", index=False)
    table, target = str(path / "flowers.csv"), ["--target", "kind"]
    assert main(["tune", table, *target, *QUICK, "--output", str(path / "out")]) == 0
    return path


def test_tune_writes_three_files(folder: Path) -> None:
    """Report, model and candidates are there and agree."""
    out = folder / "out"
    assert sorted(path.name for path in out.iterdir()) == [
        "candidates.csv",
        "model.safetensors",
        "report.html",
    ]
    candidates = pd.read_csv(out / "candidates.csv")
    assert len(candidates) == 2
    assert candidates["mean_test_score"].is_monotonic_decreasing
    assert candidates["rank"].is_monotonic_increasing
    network = load(out / "model.safetensors")[-1]
    best = candidates.iloc[0]
    assert network.optimizer == best["optimizer"]
    assert network.n_units == best["n_units"]
    assert network.learning_rate == pytest.approx(best["learning_rate"], rel=1e-12)
    assert "flowers.csv" in (out / "report.html").read_text(encoding="utf-8")


def test_tune_prints_what_it_found(tmp_path: Path, capsys: Capture) -> None:
    """Task, best values, all three models and the files' places are printed."""
    frame = flowers().drop(columns="kind")
    frame["price"] = frame["length"] * 2
    frame["note"] = [f"row {i}" for i in range(60)]
    frame.to_csv(tmp_path / "prices.csv", index=False)
    arguments = ["tune", str(tmp_path / "prices.csv"), "--target", "price"]
    assert main([*arguments, *QUICK, "--output", str(tmp_path / "out")]) == 0
    out, err = capsys.readouterr()
    for part in (
        "regression: the target has 60 distinct values",
        "Column 'note' was left out",
        "Best of 2 candidates (number ",
        "learning_rate",
        "R², 2-fold",
        "sknnopt, tuned",
        "scikit-learn MLPRegressor",
        "ridge regression",
        str(tmp_path / "out" / "model.safetensors"),
    ):
        assert part in out, part
    assert "2/2 candidates  best score" in err


def test_predict_equals_the_model(folder: Path, tmp_path: Path) -> None:
    """Written predictions are the loaded model's, whatever the columns' order."""
    model = load(folder / "out" / "model.safetensors")
    frame = flowers()
    frame.iloc[:, ::-1].assign(more=1).to_csv(tmp_path / "new.csv", index=False)
    arguments = [str(folder / "out" / "model.safetensors"), str(tmp_path / "new.csv")]
    output = tmp_path / "predicted.csv"
    assert main(["predict", *arguments, "--proba", "--output", str(output)]) == 0
    table = pd.read_csv(output)
    X = frame.drop(columns="kind")
    assert table["prediction"].tolist() == model.predict(X).tolist()
    probability = table[["probability_low", "probability_tall"]].to_numpy()
    np.testing.assert_allclose(probability, model.predict_proba(X), rtol=1e-12)


def test_predict_prints_a_table(folder: Path, capsys: Capture) -> None:
    """Without an output file the predictions go to standard output."""
    model = folder / "out" / "model.safetensors"
    assert main(["predict", str(model), str(folder / "flowers.csv")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "prediction"
    assert len(lines) == 61
    assert set(lines[1:]) <= {"low", "tall"}


def test_unknown_text_is_no_error(folder: Path, tmp_path: Path) -> None:
    """A category that was never seen, or is missing, counts as none of the known."""
    frame = flowers().head(2).assign(color=["violet", None])
    frame.to_csv(tmp_path / "new.csv", index=False)
    model = folder / "out" / "model.safetensors"
    assert main(["predict", str(model), str(tmp_path / "new.csv")]) == 0


Change = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        (lambda f: f.drop(columns="width"), "lacks the column that .*: width"),
        (lambda f: f.drop(columns=["width", "color"]), "columns .*: width, color"),
        (lambda f: f.assign(length="long"), "'length' must hold numbers.*'long'"),
        (lambda f: f.head(0), "has a header but no rows"),
    ],
)
def test_table_that_does_not_fit_is_refused(
    change: Change, pattern: str, folder: Path, tmp_path: Path, capsys: Capture
) -> None:
    """What the model was trained on has to be in the table."""
    change(flowers()).to_csv(tmp_path / "new.csv", index=False)
    model = folder / "out" / "model.safetensors"
    assert_refused(["predict", str(model), str(tmp_path / "new.csv")], pattern, capsys)


def test_gaps_without_an_imputer_are_refused(tmp_path: Path, capsys: Capture) -> None:
    """A model that was trained without gaps cannot fill them in."""
    frame = flowers().drop(index=5)
    frame.to_csv(tmp_path / "whole.csv", index=False)
    flowers().to_csv(tmp_path / "gaps.csv", index=False)
    tune = ["tune", str(tmp_path / "whole.csv"), "--target", "kind", *QUICK]
    assert main([*tune, "--output", str(tmp_path)]) == 0
    model = str(tmp_path / "model.safetensors")
    pattern = "'width' is empty in 1 rows, first in row 6"
    capsys.readouterr()
    assert_refused(["predict", model, str(tmp_path / "gaps.csv")], pattern, capsys)


def assert_refused(arguments: list[str], pattern: str, capsys: Capture) -> None:
    """Check for status 2 and one line on standard error."""
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert re.search(pattern, err), err


TUNE = ["tune", "{folder}/flowers.csv", "--target", "kind"]
GRID = [*TUNE, "--search", "grid"]
MODEL = "{folder}/out/model.safetensors"


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    [
        ([], "required: COMMAND"),
        (["train"], "invalid choice: 'train'"),
        (["tune", "none.csv", "--target", "y"], "there is no file none.csv"),
        (["tune", "{folder}", "--target", "y"], "cannot read .*directory"),
        (["tune", "{folder}/flowers.csv"], "--target is needed; .*length, width"),
        (["tune", "--target", "Outcome"], "--target needs a table"),
        ([*TUNE[:3], "knd"], "no column 'knd'; the columns are length"),
        ([*TUNE, "--task", "regression"], "'kind' must hold numbers"),
        ([*TUNE[:3], "width"], "'width' is missing in 1 of 60 rows"),
        ([*TUNE, "--cv", "1"], "--cv: must be a whole number from 2 on, got '1'"),
        ([*TUNE, "--cv", "40"], "too few for 40 folds; use a smaller --cv"),
        ([*TUNE, "--n-iter", "0"], "--n-iter: must be .* got '0'"),
        ([*TUNE, "--n-iter", "many"], "--n-iter: must be .* got 'many'"),
        ([*TUNE, "--test-size", "1"], "--test-size: must be a number between 0 and 1"),
        ([*TUNE, "--test-size", "nan"], "--test-size: must be a number between"),
        ([*TUNE, "--seed", "-1"], "--seed: must be a whole number from 0"),
        ([*TUNE, "--max-epochs", "0"], "--max-epochs: must be"),
        ([*TUNE, "--n-jobs", "0"], "--n-jobs: must be a whole number other than 0"),
        ([*TUNE, "--search", "chance"], "--search: invalid choice: 'chance'"),
        ([*TUNE, "--space", "large"], "--space: invalid choice: 'large'"),
        ([*TUNE, "--pruning", "all"], "--pruning: invalid choice: 'all'"),
        ([*TUNE, "--budget", "soon"], "--budget: must be a time .* got 'soon'"),
        ([*TUNE, "--budget", "0s"], "--budget: must be a time greater than 0"),
        ([*GRID, "--budget", "9s"], "--budget cannot bound a grid"),
        ([*GRID, "--resume", "a.db"], "--resume cannot keep a grid"),
        ([*GRID, "--pruning", "halving"], "--pruning halving cannot prune a grid"),
        ([*GRID, "--space", "guide"], "--space guide is too large for a grid"),
        ([*GRID, "--n-iter", "2"], "--n-iter 2 is too few for a grid"),
        ([*TUNE, "--depth", "3"], "unrecognized arguments: --depth 3"),
        ([*TUNE, "--output", "{folder}/flowers.csv/x"], "cannot write to --output"),
        (["predict", "none", "{folder}/flowers.csv"], "there is no file none"),
        (["predict", "{folder}", "{folder}/flowers.csv"], "cannot read"),
        (["predict", "{folder}/flowers.csv", "x.csv"], "not a safetensors file"),
        (["predict", MODEL, "none.csv"], "there is no file none.csv"),
        (
            ["predict", MODEL, "{folder}/flowers.csv", "--output", "{folder}/no/x.csv"],
            "no",
        ),
    ],
)
def test_bad_input_is_refused_in_one_line(
    arguments: list[str], pattern: str, folder: Path, capsys: Capture, tmp_path: Path
) -> None:
    """Whatever is wrong, there is status 2 and no traceback."""
    arguments = [argument.format(folder=folder) for argument in arguments]
    if arguments[:1] == ["tune"] and "--output" not in arguments:
        arguments += ["--output", str(tmp_path / "out")]
    status = main(arguments)
    err = capsys.readouterr().err
    assert status == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert re.search(pattern, err), err


def test_numbers_have_no_probabilities(tmp_path: Path, capsys: Capture) -> None:
    """--proba is refused for a model that predicts numbers."""
    frame = flowers()[["length"]].assign(price=np.arange(60.0))
    frame.to_csv(tmp_path / "prices.csv", index=False)
    table = str(tmp_path / "prices.csv")
    tune = ["tune", table, "--target", "price", *QUICK, "--output", str(tmp_path)]
    assert main(tune) == 0
    capsys.readouterr()
    model = str(tmp_path / "model.safetensors")
    pattern = "--proba: .* predicts numbers, not classes"
    assert_refused(["predict", model, table, "--proba"], pattern, capsys)


def test_interrupt_ends_with_one_line(
    folder: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C during the search gives status 130, and nothing is written."""

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sknnopt._cli.tuning.tune", interrupt)
    arguments = ["tune", str(folder / "flowers.csv"), "--target", "kind"]
    assert main([*arguments, "--output", str(tmp_path / "out")]) == 130
    assert capsys.readouterr().err == "interrupted\n"
    assert list((tmp_path / "out").iterdir()) == []


@pytest.fixture
def study(tmp_path: Path) -> str:
    """Return the name of a study that is not there yet."""
    pytest.importorskip("optuna")
    return str(tmp_path / "study.db")


def command(folder: Path, tmp_path: Path, *options: str) -> list[str]:
    """Return a quick command that tunes on the table."""
    table = [str(folder / "flowers.csv"), "--target", "kind"]
    return ["tune", *table, *QUICK, "--output", str(tmp_path / "out"), *options]


def test_interrupt_says_how_to_go_on(
    folder: Path,
    tmp_path: Path,
    study: str,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After Ctrl-C the same command goes on: no finished candidate is fitted again."""
    from sknnopt._study import Study

    add = Study.add

    def interrupt(self: Study, *arguments: Any, **options: Any) -> None:
        add(self, *arguments, **options)
        raise KeyboardInterrupt

    options = ["--resume", study, "--n-iter", "3", "--n-jobs", "2"]
    with monkeypatch.context() as patch:
        patch.setattr(Study, "add", interrupt)
        assert main(command(folder, tmp_path, *options)) == 130
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"interrupted; the same command with --resume {study} goes on where the "
        "search was"
    )
    written: list[int] = []

    def note(self: Study, number: int, *arguments: Any, **options: Any) -> None:
        written.append(number)
        add(self, number, *arguments, **options)

    monkeypatch.setattr(Study, "add", note)
    assert main(command(folder, tmp_path, *options)) == 0
    assert len(written) == 2
    assert len(pd.read_csv(tmp_path / "out" / "candidates.csv")) == 3


def test_study_of_other_settings(
    folder: Path, tmp_path: Path, study: str, capsys: Capture
) -> None:
    """Another option is refused in one line that names the study and the change."""
    assert main(command(folder, tmp_path, "--resume", study)) == 0
    capsys.readouterr()
    others = ["--resume", study, "--search", "tpe"]
    assert main(command(folder, tmp_path, *others)) == 2
    err = capsys.readouterr().err
    assert re.fullmatch(
        r"error: The study in '.*study.db' was begun with other settings: "
        r"'sampler' was \"random\" and is \"tpe\" now\. .*\n",
        err,
    )


@pytest.mark.parametrize(
    ("content", "pattern"),
    [
        (b"length,width\n1,2\n", "no SQLite database"),
        (b"SQLite format 3\x00" + bytes(100), "study.db' cannot be opened: "),
        (None, "no folder to be in"),
    ],
    ids=["text", "damaged", "folder"],
)
def test_file_that_is_no_study(
    folder: Path,
    tmp_path: Path,
    study: str,
    capsys: Capture,
    content: bytes | None,
    pattern: str,
) -> None:
    """A file that holds something else is left as it is, with one line."""
    if content is None:
        study = str(tmp_path / "none" / "study.db")
    else:
        Path(study).write_bytes(content)
    assert main(command(folder, tmp_path, "--resume", study)) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert re.search(pattern, err), err
    if content is not None:
        assert Path(study).read_bytes() == content


@pytest.mark.parametrize("options", [["--resume", "a.db"], ["--search", "tpe"]])
def test_optuna_is_named_where_it_lacks(
    folder: Path,
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
) -> None:
    """Without Optuna one line says how to install it."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "optuna"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.chdir(tmp_path)
    assert main(command(folder, tmp_path, *options)) == 2
    err = capsys.readouterr().err
    assert re.fullmatch(r"error: .*needs Optuna.*sknnopt\[tune\].*\n", err), err


def test_help_is_no_error(capsys: Capture) -> None:
    """Help lists the options with their defaults."""
    assert main(["tune", "--help"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "most candidates (default: 50, or what the budget allows)" in out
    assert "folds of cross-validation (default: 5)" in out
    assert "None" not in out


def test_choices_are_those_that_there_are() -> None:
    """Searches and spaces are named twice, and are the same."""
    from sknnopt._samplers import SAMPLERS
    from sknnopt.search import PRESETS

    assert set(SEARCHES) == {*SAMPLERS, "grid"}
    assert SPACES == PRESETS


#: ``python -m sknnopt`` in a folder.
MODULE = """
import os, runpy, sys
os.chdir(sys.argv.pop(1))
runpy.run_module("sknnopt", run_name="__main__", alter_sys=True)
"""


def test_module_runs_without_a_table(tmp_path: Path, nursery: Nursery) -> None:
    """``python -m sknnopt tune`` tunes on the included table."""
    out = nursery.run(MODULE, str(tmp_path), "tune", *QUICK, "--n-iter", "1")
    assert "Pima Indians diabetes: 768 rows, 8 features" in out
    assert (tmp_path / "sknnopt-report" / "report.html").exists()


def test_formula_as_a_name(tmp_path: Path) -> None:
    """A column name that looks like a formula, or has no glyph, is just a name."""
    name = "$x_{$ \N{SNOWMAN}\u96ea"
    frame = flowers()[["length"]].assign(**{name: np.arange(60.0)})
    frame.to_csv(tmp_path / "odd.csv", index=False)
    arguments = ["tune", str(tmp_path / "odd.csv"), "--target", name]
    assert main([*arguments, *QUICK, "--output", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "report.html").exists()


@pytest.mark.parametrize("name", ["report.html", "model.safetensors", "candidates.csv"])
def test_folder_in_the_place_of_a_file(
    folder: Path, tmp_path: Path, capsys: Capture, name: str
) -> None:
    """What cannot be written is known before the search."""
    (tmp_path / name).mkdir()
    table, target = str(folder / "flowers.csv"), ["--target", "kind"]
    assert main(["tune", table, *target, *QUICK, "--output", str(tmp_path)]) == 2
    assert f"{name} is a folder" in capsys.readouterr().err


def test_interrupt_in_a_baseline(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """Ctrl-C in a baseline, which would swallow it, ends the command."""
    from sklearn.neural_network import MLPClassifier

    def interrupt(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(MLPClassifier, "_backprop", interrupt)
    table, target = str(folder / "flowers.csv"), ["--target", "kind"]
    out = tmp_path / "out"
    assert main(["tune", table, *target, *QUICK, "--output", str(out)]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "interrupted"
    assert list(out.iterdir()) == []


def test_reader_that_has_seen_enough(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """Where the output's reader ends early, as ``head`` does, that is no error."""

    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Closed())
    model = str(folder / "out" / "model.safetensors")
    assert main(["predict", model, str(folder / "flowers.csv")]) == 0
    assert capsys.readouterr().err == ""


def test_closed_output(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """Without a standard output there is one line about it."""
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["predict", "model", "table.csv"]) == 2
    assert capsys.readouterr().err == "error: standard output is closed\n"
