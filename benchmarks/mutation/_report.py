"""What became of the mutants, as Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from benchmarks._statistics import wilson
from benchmarks._tables import paragraph, provenance, table
from benchmarks.mutation._explained import EXPLAINED, SINCE
from benchmarks.mutation._mutants import MODULES
from benchmarks.mutation._reaching import BUDGET, TEST_FILES

#: The least share that has to be killed.
BAR = 0.8
_OUTCOMES = ("killed", "timeout", "explained", "survived")
_HEAD = (
    "modules",
    "drawn",
    "killed",
    "killed by time",
    "equivalent",
    "survived",
    "share",
)

#: Of the draw with this seed.
_UNSEEN = (
    "No test was written for mutants of this draw before they were tried: tests had "
    "been written for survivors of another one. Which are equivalent was judged by "
    "reading, afterwards."
)


def report(result: dict[str, Any], control: dict[str, Any]) -> str:
    """Write a result as Markdown.

    Parameters
    ----------
    result : dict
        The rows of the drawn mutants.
    control : dict
        What the killing tests say of the unchanged package.

    Returns
    -------
    str
        Markdown.
    """
    rows = result["rows"]
    lines = ["# Small faults that the tests notice", "", *_method(result), ""]
    if len(rows) < result["n_drawn"]:
        text = f"**A part: {len(rows)} of {result['n_drawn']} have been tried.**"
        lines += [text, ""]
    if not rows:
        return "\n".join(lines) + "\n"
    lines += [
        "## By module",
        "",
        *table(_HEAD, _cells(rows)),
        "",
        *_verdict(rows, control),
        "",
    ]
    lines += [_control(control), "", "## Survivors", ""]
    survivors = sorted(
        (row for row in rows if row["outcome"] == "survived"),
        key=lambda row: (row["key"] not in EXPLAINED, row["key"]),
    )
    lines += [line for row in survivors for line in _survivor(row)]
    return "\n".join([*lines, "", *provenance(result)]) + "\n"


def _method(result: dict[str, Any]) -> list[str]:
    names = [name for group in MODULES.values() for name in group]
    return [
        paragraph(
            "A mutant is one of these modules with one small change: another sign, "
            "number or truth value, a condition the other way round, a loop that does "
            "not run, a statement or decorator left out, None returned. Of all mutants "
            f"of {len(names)} modules {result['n_drawn']} are drawn with a fixed seed, "
            "each as likely as any other. Changes of annotations, and inside messages "
            "and blocks for type checkers, do not count."
        ),
        "",
        paragraph(
            "Each mutant is tried in a process of its own, on a copy of the package, "
            f"until one test fails. It meets the tests of {len(TEST_FILES)} files that "
            "run the changed line: those of the file named after the module, and the "
            f"quickest of the others that take {BUDGET:g} seconds together (of a busy "
            f"machine and with coverage measured). Docstring examples are not run. A "
            "mutant that takes far longer than its tests do counts as killed by time."
        ),
    ]


def _cells(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    groups = [
        (name, [row for row in rows if row["design"]["module"] in modules])
        for name, modules in MODULES.items()
    ]
    return [_line(name, some) for name, some in [*groups, ("all", list(rows))]]


def counts(rows: Sequence[dict[str, Any]]) -> Counter[str]:
    """Count what became of mutants.

    Parameters
    ----------
    rows : sequence of dict
        Of the store.

    Returns
    -------
    Counter
        ``killed``, ``timeout``, ``explained``, and ``survived`` without the latter.
    """
    return Counter(
        "explained"
        if row["outcome"] == "survived" and row["key"] in EXPLAINED
        else row["outcome"]
        for row in rows
    )


def _line(name: str, rows: Sequence[dict[str, Any]]) -> list[str]:
    found = counts(rows)
    share = _share(found["killed"] + found["timeout"], len(rows))
    return [name, str(len(rows)), *(str(found[each]) for each in _OUTCOMES), share]


def _share(count: int, total: int) -> str:
    found = wilson(count, total)
    low, high = 100 * found["low"], 100 * found["high"]
    return f"{100 * found['value']:.1f} % [{low:.1f}, {high:.1f}]"


def _verdict(rows: Sequence[dict[str, Any]], control: dict[str, Any]) -> list[str]:
    found = counts(rows)
    n_killed = found["killed"] + found["timeout"]
    verdict = "met" if n_killed >= BAR * len(rows) else "**missed**"
    if control["outcome"] != "survived":
        verdict = "**not known: the control below has failed**"
    n_others = len(rows) - found["explained"]
    return [
        paragraph(
            f"Killed: {n_killed} of {len(rows)}, {_share(n_killed, len(rows))} "
            f"(Wilson's 95 % interval). Bar: at least {100 * BAR:g} % "
            f"({verdict}). Without those that are explained "
            f"below as equivalent: {_share(n_killed, n_others)}."
        ),
        "",
        paragraph(_UNSEEN),
    ]


def _control(control: dict[str, Any]) -> str:
    passed = control["outcome"] == "survived"
    text = "pass" if passed else f"**do not all pass: {control.get('killer')}**"
    return paragraph(
        f"The {control['n_tests']} tests that killed a mutant {text} on the unchanged "
        f"copy."
    )


def _survivor(row: dict[str, Any]) -> list[str]:
    design = row["design"]
    reason = EXPLAINED.get(row["key"], "**Not explained.**")
    if row["key"] in SINCE:
        reason = f"`{SINCE[row['key']]}`, not among those tried, fails on it."
    head = f"- `{design['module']}`: `{design['text']}` → `{row['change']}`"
    return [head, "  " + paragraph(reason, "  ")]
