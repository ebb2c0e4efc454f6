"""A plugin of pytest that notes how long each test takes.

The file is named by the environment variable ``MUTATION_DURATIONS``; each line of it
is a JSON list of the phase's test, outcome and seconds.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

#: Names the file.
VARIABLE = "MUTATION_DURATIONS"


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add a line for each phase of a test.

    Parameters
    ----------
    report : pytest.TestReport
        Of set-up, call or tear-down.
    """
    line = json.dumps([report.nodeid, report.outcome, report.duration])
    with Path(os.environ[VARIABLE]).open("a", encoding="utf-8") as file:
        file.write(line + "\n")
