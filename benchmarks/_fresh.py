"""Measurements in a fresh process, where memory and imports start from nothing."""

from __future__ import annotations

import importlib
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks._results import ROOT

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
#: Starts the line that carries the result; whatever else is printed is not it.
_MARK = "result: "


def run_fresh(function: Callable[..., dict[str, Any]], **arguments: Any) -> Any:
    """Call a function in a new interpreter.

    Parameters
    ----------
    function : callable
        Of a module, so that it can be found by its name.
    **arguments : object
        What JSON can hold.

    Returns
    -------
    object
        What the function returned, through JSON.
    """
    call = {
        "module": function.__module__,
        "function": function.__name__,
        "arguments": arguments,
    }
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks._fresh", json.dumps(call)],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith(_MARK)]
    return json.loads(lines[-1].removeprefix(_MARK))


class PeakMemory:
    """How far the memory of this process rises above what it is at a moment.

    Pages of a memory map count while they are resident. The moment is when the object
    is made: after imports and after opening the data.
    """

    def __init__(self) -> None:
        # The peak starts again, see proc(5); where it cannot, it may be that of the
        # imports, so what is reported is never too low.
        with suppress(OSError):
            _CLEAR.write_text("5", encoding="utf-8")
        self.start = _status("VmRSS") or _highest()

    def rise(self) -> int:
        """Return the bytes between the start and the highest memory since then."""
        return (_status("VmHWM") or _highest()) - self.start


def _status(name: str) -> int | None:
    """Return an entry of Linux's description of this process in bytes."""
    try:
        lines = _STATUS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return None


def _highest() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main(words: list[str]) -> None:
    """Do the call that :func:`run_fresh` describes.

    Parameters
    ----------
    words : list of str
        The call, as JSON.
    """
    call = json.loads(words[0])
    function = getattr(importlib.import_module(call["module"]), call["function"])
    print(_MARK + json.dumps(function(**call["arguments"])))


if __name__ == "__main__":
    main(sys.argv[1:])
