"""A plugin of pytest that notes how long each test takes, and ends those that hang.

Two environment variables name files. To that of ``MUTATION_DURATIONS`` a JSON list of
test, outcome and seconds is added for each phase of each test, and others with "begun"
and "ended" around them. That of ``MUTATION_LIMITS``, which may be absent, has an object
of seconds by test: the process ends where a test takes longer.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest import Item, TestReport  # noqa: PT013 - types alone

DURATIONS, LIMITS = "MUTATION_DURATIONS", "MUTATION_LIMITS"
BEGUN, ENDED = "begun", "ended"


@cache
def _limits() -> dict[str, float]:
    path = os.environ.get(LIMITS)
    return {} if path is None else dict(json.loads(Path(path).read_text("utf-8")))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: Item) -> Iterator[None]:
    """Watch over a test with its fixtures.

    Parameters
    ----------
    item : pytest.Item
        The test.

    Yields
    ------
    None
        Control, while it runs.
    """
    _note(item.nodeid, BEGUN, 0.0)
    limit = _limits().get(item.nodeid)
    if limit is not None:
        # Also where the interpreter itself is stuck, as in a deadlock.
        faulthandler.dump_traceback_later(limit, exit=True, file=sys.__stderr__)
    try:
        return (yield)
    finally:
        if limit is not None:
            faulthandler.cancel_dump_traceback_later()
        _note(item.nodeid, ENDED, 0.0)


def pytest_runtest_logreport(report: TestReport) -> None:
    """Add a line for each phase of a test.

    Parameters
    ----------
    report : pytest.TestReport
        Of set-up, call or tear-down.
    """
    _note(report.nodeid, report.outcome, report.duration)


def _note(name: str, outcome: str, seconds: float) -> None:
    line = json.dumps([name, outcome, seconds])
    with Path(os.environ[DURATIONS]).open("a", encoding="utf-8") as file:
        file.write(line + "\n")
