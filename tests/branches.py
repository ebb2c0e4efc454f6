"""Fail where the tests take too few branches: lines, which are more, could hide it.

`make coverage` calls it with the report of coverage.py, in JSON, on standard input. The
least share is that of lines and branches together, `fail_under` in pyproject.toml.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from coverage import Coverage


def taken(report: dict[str, Any]) -> float:
    """Return the share of branches that were taken, in percent."""
    totals = report["totals"]
    return 100 * totals["covered_branches"] / totals["num_branches"]


def main() -> int:
    """Tell the share, and return whether it is too low."""
    least = Coverage().get_option("report:fail_under")
    found = taken(json.load(sys.stdin))
    print(f"Branches alone: {found:.1f} %, at least {least:g} %")
    return int(found < least)


if __name__ == "__main__":
    sys.exit(main())
