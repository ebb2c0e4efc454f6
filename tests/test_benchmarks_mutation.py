from __future__ import annotations

import shutil
from contextlib import nullcontext

import pytest

pytest.importorskip("cosmic_ray")

from cosmic_ray.ast import get_ast

from benchmarks import _durations
from benchmarks.mutation import _report, _run
from benchmarks.mutation._mutants import (
    OPERATORS,
    change,
    draw,
    mutants_of,
    reaching_lines,
)
from benchmarks.mutation._reaching import BUDGET, ReachMap, choose, stages
from benchmarks.mutation._trying import IMPORT, copied, try_source

TOY = '''\
"""Text: 1 + 1."""

__all__ = [1 + 1]
STEP = 1


def clip(value: 1 + 1, low: int) -> 1 + 1:
    """Return 1 + 1."""
    if value < low:
        return low
    return value


def greet(count):
    raise ValueError(f"{count + 1} too many")
'''
TESTS = """\
from sknnopt.toy import clip


def test_below():
    assert clip(1, 2) == 2


def test_above():
    assert clip(3, 2) == 3
"""


def _mutant(operator, text, source=TOY, number=0):
    (found,) = (
        mutant
        for mutant in mutants_of("toy", source)
        if (mutant.operator, mutant.text, mutant.number) == (operator, text, number)
    )
    return found


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """Return the root of a package of one module, with its tests."""
    root = tmp_path_factory.mktemp("toy")
    texts = {
        "sknnopt/__init__.py": "",
        "sknnopt/toy.py": TOY,
        "benchmarks/__init__.py": "",
    }
    for name, text in {**texts, "tests/test_toy.py": TESTS}.items():
        path = root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    shutil.copy(_durations.__file__, root / "benchmarks")
    return root


def test_mutants_of_a_module():
    """What does something is changed; annotations, texts and ``__all__`` are not."""
    found = {(mutant.line, mutant.operator) for mutant in mutants_of("toy", TOY)}
    assert found == {
        (4, "NumberReplacer"),
        (9, "AddNot"),
        (9, "ReplaceComparisonOperator_Lt_LtE"),
        (9, "ReplaceComparisonOperator_Lt_GtE"),
        (10, "ReturnNone"),
        (11, "ReturnNone"),
        (15, "RemoveStatement"),
    }


@pytest.mark.parametrize(
    ("operator", "line", "expected"),
    [
        ("RemoveStatement", "note(1)", "pass"),
        ("RemoveStatement", "total += 1", "pass"),
        ("RemoveStatement", "self.total = 1", "pass"),
        ("RemoveStatement", "values[0] = 1", "pass"),
        ("RemoveStatement", "del values", "pass"),
        ("ReturnNone", "return 1", "return None"),
        ("ReplaceComparisonOperator_Is_IsNot", "a = b is c", "a = b is not c"),
        ("ZeroIterationForLoop", "for a in b: pass", "for a in []: pass"),
    ],
)
def test_operators(operator, line, expected):
    """Each changes its statement alone, and keeps the indentation."""
    source = f"def f():\n    {line}\n    return\n"
    mutant = _mutant(operator, line, source)
    assert mutant.apply(source) == f"def f():\n    {expected}\n    return\n"
    assert change(source, mutant) == expected


@pytest.mark.parametrize("line", ["total = 1", "return None", "return", "'text'"])
def test_statements_that_stay(line):
    """Local names, texts, and a None that is returned stay as they are."""
    names = {mutant.operator for mutant in mutants_of("toy", f"def f():\n    {line}\n")}
    assert not names & {"RemoveStatement", "ReturnNone"}


def test_names_of_mutants_outlive_shifts():
    """Lines above a mutant change its place and not its name, nor what is drawn."""
    moved = TOY.replace("STEP = 1\n", "STEP = 1\n# More.\n\n")
    before, after = ([m.key for m in mutants_of("toy", s)] for s in (TOY, moved))
    assert before == after
    assert len(set(before)) == len(before)
    first, second = ([m.key for m in draw({"toy": s}, 4, seed=1)] for s in (TOY, moved))
    assert first == second


def test_draw_is_without_replacement():
    """All mutants are drawn where more are asked for, in another order by the seed."""
    drawn = [[m.key for m in draw({"toy": TOY}, 99, seed)] for seed in (0, 1)]
    everything = {mutant.key for mutant in mutants_of("toy", TOY)}
    assert set(drawn[0]) == set(drawn[1]) == everything
    assert len(drawn[0]) == len(everything)
    assert drawn[0] != drawn[1]


def test_draw_passes_over_what_does_not_compile(monkeypatch):
    """A mutant that is no Python is not drawn: anything would kill it."""
    broken = OPERATORS["ReturnNone"]
    monkeypatch.setattr(broken, "mutate", lambda node, index: get_ast("return ("))
    drawn = {mutant.operator for mutant in draw({"toy": TOY}, 99, seed=0)}
    assert "ReturnNone" not in drawn
    assert "AddNot" in drawn


def test_lines_that_reach_a_mutant():
    """A statement is reached by its lines, a default by its function's."""
    head = "A = 1\ndef f(a=2):\n    if (a\n            < 3):\n"
    source = head + "        a = 4\n    return a\n"
    numbers = [m for m in mutants_of("toy", source) if m.operator == "NumberReplacer"]
    found = {m.line: reaching_lines(source, m) for m in numbers}
    assert found == {1: None, 2: {3, 4, 5, 6}, 4: {3, 4}, 5: {5}}


def test_order_of_tests():
    """Own tests are all in and come first, others as time permits, slow ones last."""
    seconds = {
        "tests/test_toy.py::slow": 2 * BUDGET,
        "tests/test_toy_more.py::quick": 1.0,
        "tests/test_toys.py::quick": 0.5,
        "tests/test_other.py::long": BUDGET - 1.0,
        "tests/test_other.py::too_long": BUDGET,
        "tests/test_other.py::elsewhere": 0.1,
    }
    reaching = [name for name in seconds if "elsewhere" not in name]
    assert choose("_toy", [*reaching, "unknown"], seconds) == [
        "tests/test_toy_more.py::quick",
        "tests/test_toys.py::quick",
        "tests/test_toy.py::slow",
        "tests/test_other.py::long",
    ]


def test_stages():
    """Tests of the own files, else of the two that have most, are tried first."""
    tests = ["tests/test_a.py::1", "tests/test_toy.py::1", "tests/test_a.py::2"]
    assert stages("_toy", tests) == [[tests[1]], [tests[0], tests[2]]]
    others = ["tests/test_b.py::1", *tests, "tests/test_b.py::2"]
    assert stages("_none", others) == [[*others[:2], *others[3:]], [tests[1]]]
    assert stages("_toy", tests[1:2]) == [tests[1:2]]
    assert stages("_toy", []) == []


def test_copies(toy):
    """Each copy has all that its tests need, compiled, and is deleted in the end."""
    with copied(toy, 2) as copies:
        assert len(copies) == 2
        for copy in copies:
            assert (copy / "sknnopt" / "toy.py").read_text("utf-8") == TOY
            assert list((copy / "sknnopt").rglob("toy.*.pyc"))
            assert list((copy / "tests").rglob("test_toy.*.pyc"))
    assert not any(copy.exists() for copy in copies)


def test_a_faulty_and_an_equivalent_mutant(toy):
    """The known fault is killed by the test that meets it; an equal one survives."""
    tests = ["tests/test_toy.py::test_below", "tests/test_toy.py::test_above"]
    wrong = _mutant("AddNot", "if value < low:").apply(TOY)
    equal = _mutant("ReplaceComparisonOperator_Lt_LtE", "if value < low:").apply(TOY)
    limits = dict.fromkeys(tests, 60.0)
    found = [try_source(toy, "toy", source, limits) for source in (wrong, equal)]
    assert [(each["outcome"], each["killer"]) for each in found] == [
        ("killed", tests[0]),
        ("survived", None),
    ]
    assert (toy / "sknnopt" / "toy.py").read_text("utf-8") == TOY


def test_what_is_no_module_is_killed_by_its_import(toy):
    """A mutant that cannot be imported is killed, though no test has begun."""
    limits = {"tests/test_toy.py::test_below": 60.0}
    found = try_source(toy, "toy", "raise ValueError", limits)
    assert (found["outcome"], found["killer"]) == ("killed", IMPORT)


def test_a_test_that_is_not_there_kills_nothing(toy):
    """Names of tests that a copy does not have are left out, and the others run."""
    gone = "tests/test_toy.py::test_gone"
    limits = {gone: 60.0, "tests/test_toy.py::test_above": 60.0}
    equal = _mutant("ReplaceComparisonOperator_Lt_LtE", "if value < low:").apply(TOY)
    for names in (limits, {gone: 60.0}):
        found = try_source(toy, "toy", equal, names)
        assert (found["outcome"], found["killer"]) == ("survived", None)
    wrong = _mutant("AddNot", "if value < low:").apply(TOY)
    assert try_source(toy, "toy", wrong, limits)["killer"].endswith("test_above")


def test_what_never_ends_is_killed_by_time(toy):
    """A test that takes longer than its limit is ended, and counted apart."""
    name = "tests/test_toy.py::test_below"
    endless = TOY.replace(
        "        return low\n", "        while True:\n            pass\n"
    )
    found = try_source(toy, "toy", endless, {name: 0.2})
    assert (found["outcome"], found["killer"]) == ("timeout", name)


def test_map_of_reached_lines(toy, tmp_path):
    """Tests are known by the lines that they run, and run again where they change."""
    reach = ReachMap(tmp_path, toy, ["tests/test_toy.py"])
    reach.make()
    below, above = (f"tests/test_toy.py::test_{name}" for name in ("below", "above"))
    assert reach.seconds().keys() == {below, above}
    assert reach.reaching("toy", [9]) == {below, above}
    assert reach.reaching("toy", [10]) == {below}
    assert reach.reaching("toy", [15]) == set()
    log = (tmp_path / "durations.jsonl").read_text("utf-8")
    reach.make()
    assert (tmp_path / "durations.jsonl").read_text("utf-8") == log


def test_report_counts(monkeypatch):
    """The share is that of killed mutants among all, explained ones included."""
    outcomes = ["killed"] * 7 + ["timeout"] + ["survived"] * 2
    rows = [
        {
            "key": str(n),
            "outcome": outcome,
            "change": "b",
            "design": {"module": "penalties", "text": "a"},
            "load_before": 1.0,
            "load_after": 1.0,
            "commit": "0" * 40,
            "is_dirty": False,
        }
        for n, outcome in enumerate(outcomes)
    ]
    monkeypatch.setattr(_report, "EXPLAINED", {"9": "The same."})
    machine = dict.fromkeys(("processor", "cores", "system", "vector_instructions"), "")
    result = {"rows": rows, "n_drawn": 10, "machine": machine, "versions": {}}
    text = _report.report(result, {"outcome": "survived", "n_tests": 3})
    line = "| penalties | 10 | 7 | 1 | 1 | 1 | 80.0 % [49.0, 94.3] |"
    assert line in text.splitlines()
    assert "(met)" in text
    assert "A part" not in text
    assert text.count("Not explained") == 1
    result["rows"] = rows[1:]
    text = _report.report(result, {"outcome": "survived", "n_tests": 3})
    assert "**missed**" in text
    assert "A part: 9 of 10" in text


def test_nothing_is_claimed_without_the_control():
    """Where a killer fails on the unchanged package, too, the bar is not met."""
    row = {
        "key": "0",
        "outcome": "killed",
        "design": {"module": "penalties", "text": "a"},
        "load_before": 1.0,
        "load_after": 1.0,
        "commit": "0" * 40,
        "is_dirty": False,
    }
    machine = dict.fromkeys(("processor", "cores", "system", "vector_instructions"), "")
    result = {"rows": [row], "n_drawn": 1, "machine": machine, "versions": {}}
    passed, failed = (
        _report.report(result, {"outcome": outcome, "killer": "a", "n_tests": 1})
        for outcome in ("survived", "killed")
    )
    assert "(met)" in passed
    assert "(met)" not in failed
    assert "the control below has failed" in failed.replace("\n", " ")


@pytest.mark.parametrize(
    ("outcome", "changed", "n_tries"),
    [
        ("killed", TESTS, 1),
        ("killed", TESTS + "# More.", 1),
        ("killed", TESTS.replace("clip(1, 2)", "clip(0, 2)"), 2),
        ("survived", TESTS, 1),
        ("survived", TESTS + "# More.", 2),
    ],
)
def test_results_are_kept(toy, tmp_path, monkeypatch, outcome, changed, n_tries):
    """A mutant is tried again if its killer has changed, and a survivor if any test."""
    name, tried = "tests/test_toy.py::test_below", []
    reach = ReachMap(tmp_path, toy, ["tests/test_toy.py"])
    monkeypatch.setattr(reach, "seconds", lambda: {name: 0.1})
    monkeypatch.setattr(reach, "reaching", lambda module, lines: {name})

    def try_source(copy, module, source, limits):
        tried.append(list(limits))
        killer = name if outcome == "killed" else None
        return {"outcome": outcome, "killer": killer, "seconds": 0.1}

    monkeypatch.setattr(_run, "try_source", try_source)
    # Nothing is changed there.
    monkeypatch.setattr(_run, "copied", lambda root, count: nullcontext([root]))
    mutant = _mutant("AddNot", "if value < low:")
    for text in (TESTS, changed):
        (toy / "tests" / "test_toy.py").write_text(text, "utf-8")
        trial = _run.Trial(toy, tmp_path, reach, {"toy": TOY})
        trial.run([mutant])
        (row,) = trial.result([mutant])["rows"]
        assert row["outcome"] == outcome
        assert row.get("change") in {None, "if not value < low:"}
    assert tried == [[name]] * n_tries


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("STEP = 1", {"tests/test_toy.py::own", "tests/test_other.py::reaching"}),
        ("if value < low:", {"tests/test_other.py::reaching"}),
        ("return low", {"tests/test_toy.py::own"}),
    ],
)
def test_tests_of_a_mutant(toy, tmp_path, monkeypatch, line, expected):
    """Own tests meet what runs at the import, and what no other is known to reach."""
    reach = ReachMap(tmp_path, toy, ["tests/test_toy.py"])
    names = ["tests/test_toy.py::own", "tests/test_other.py::reaching", "tests/c.py::c"]
    monkeypatch.setattr(reach, "seconds", lambda: dict.fromkeys(names, 0.1))
    reaching = {9: {"tests/test_other.py::reaching"}}
    monkeypatch.setattr(
        reach,
        "reaching",
        lambda module, lines: set().union(*(reaching.get(n, set()) for n in lines)),
    )
    trial = _run.Trial(toy, tmp_path, reach, {"toy": TOY})
    mutant = next(m for m in mutants_of("toy", TOY) if m.text == line)
    assert set(trial._tests(mutant, TOY)) == expected
