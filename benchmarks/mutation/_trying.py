"""Mutants one by one on a copy of the package, each in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from benchmarks._durations import DURATIONS, ENDED, LIMITS
from benchmarks.mutation._reaching import ENVIRONMENT, PYTEST

_COPIED = ("sknnopt", "tests", "benchmarks", "docs/_ext", "pyproject.toml", "README.md")
#: Exit codes of pytest: all passed, some failed, stopped by errors of collection, an
#: error inside pytest, a test's file that cannot be imported.
_PASSED, _KILLED = 0, {1, 2, 3, 4}
#: Where no test began: the package could not be imported.
IMPORT = "import"
#: Seconds that a process may take to start and to end, on a busy machine.
_START = 60.0


@contextmanager
def copied(root: Path, count: int = 1) -> Iterator[list[Path]]:
    """Copy the package and its tests, compiled, to places that are deleted at last.

    Parameters
    ----------
    root : Path
        Of the repository.
    count : int, default=1
        How many copies.

    Yields
    ------
    list of Path
        The copies' roots.
    """
    with TemporaryDirectory(prefix="mutants-") as directory:
        copies = [Path(directory) / str(number) for number in range(count)]
        for name in _COPIED if copies else ():
            source, target = root / name, copies[0] / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "results")
                shutil.copytree(source, target, ignore=ignored)
            elif source.exists():
                shutil.copy2(source, target)
        if copies:
            _compile(copies[0])
        for copy in copies[1:]:
            shutil.copytree(copies[0], copy)
        yield copies


def _compile(copy: Path) -> None:
    # Checked by the source's digest: a mutant is never taken for the original.
    mode = ("--invalidation-mode", "checked-hash")
    package = [sys.executable, "-m", "compileall", "-q", *mode, "sknnopt"]
    tests = [sys.executable, "-m", "pytest", "-q", "--collect-only", "tests"]
    environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": str(copy)}
    del environment["PYTHONDONTWRITEBYTECODE"]
    for command in (package, tests):
        subprocess.run(
            command, cwd=copy, check=False, env=environment, stdout=subprocess.DEVNULL
        )


def run_tests(root: Path, limits: Mapping[str, float]) -> dict[str, Any]:
    """Run tests in a fresh interpreter until one fails.

    A test that is not found has not failed: it is left out.

    Parameters
    ----------
    root : Path
        Of the copy.
    limits : dict of str to float
        The tests by name, in order, each with the seconds after which the process
        ends as one that hangs.

    Returns
    -------
    dict
        ``outcome`` ("survived", "killed", or "timeout"), ``killer``, the name of the
        test that failed or hung, ``"import"``, or None, and ``seconds``.
    """
    remaining, started = dict(limits), perf_counter()
    found: tuple[str, str | None] = ("survived", None)
    while remaining:
        code, output, log = _run_once(root, remaining)
        missing = {name for name in remaining if _is_missing(root / name, output)}
        if not missing:
            found = _outcome(code, log, output)
            break
        remaining = {n: limit for n, limit in remaining.items() if n not in missing}
    outcome, killer = found
    return {"outcome": outcome, "killer": killer, "seconds": perf_counter() - started}


def _is_missing(path: Path, output: str) -> bool:
    return f"ERROR: not found: {path}\n" in output


def _run_once(
    root: Path, limits: Mapping[str, float]
) -> tuple[int | None, str, list[Any]]:
    """Return the exit code, the output, and what the plugin has noted."""
    listed, log, times = (
        root / name for name in ("tests.txt", "log.jsonl", "limits.json")
    )
    listed.write_text("\n".join(limits), "utf-8")
    times.write_text(json.dumps(dict(limits)), "utf-8")
    log.unlink(missing_ok=True)
    environment = {
        **os.environ,
        **ENVIRONMENT,
        "PYTHONPATH": str(root),
        DURATIONS: str(log),
        LIMITS: str(times),
    }
    code, output = _run([*PYTEST, "-x", f"@{listed}"], root, environment, limits)
    lines = log.read_text("utf-8").splitlines() if log.exists() else []
    return code, output, [json.loads(line) for line in lines]


def _run(
    command: Sequence[str],
    root: Path,
    environment: Mapping[str, str],
    limits: Mapping[str, float],
) -> tuple[int | None, str]:
    """Return the exit code, None where the process had to be ended, and the output."""
    process = subprocess.Popen(
        command,
        cwd=root,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        # What hangs is no test: the import before them, or the end of the process.
        output, _ = process.communicate(timeout=_START + sum(limits.values()))
        code: int | None = process.returncode
    except subprocess.TimeoutExpired:
        output, code = "", None
    finally:
        # A mutant may leave processes of its own behind.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    return code, output


def _outcome(
    code: int | None, log: Sequence[Any], output: str
) -> tuple[str, str | None]:
    if code == _PASSED:
        return "survived", None
    last = log[-1][0] if log else IMPORT
    if code is None:
        return "timeout", last
    if code not in _KILLED and code >= 0:
        raise RuntimeError(f"pytest ended with {code}:\n{output[-2000:]}")
    failed = [name for name, outcome, _ in log if outcome == "failed"]
    if failed:
        return "killed", failed[0]
    is_within = bool(log) and log[-1][1] != ENDED
    return "timeout" if is_within and code > 0 else "killed", last


def try_source(
    root: Path, module: str, source: str, limits: Mapping[str, float]
) -> dict[str, Any]:
    """Run tests on a copy with another source of one module, which is then restored.

    Parameters
    ----------
    root : Path
        Of the copy.
    module : str
        Which module.
    source : str
        Its other source.
    limits : dict of str to float
        As of :func:`run_tests`.

    Returns
    -------
    dict
        As of :func:`run_tests`.
    """
    path = root / "sknnopt" / f"{module}.py"
    original = path.read_text("utf-8")
    path.write_text(source, "utf-8")
    try:
        return run_tests(root, limits)
    finally:
        path.write_text(original, "utf-8")
