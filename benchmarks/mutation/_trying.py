"""Mutants one by one on a copy of the package, each in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from benchmarks._durations import VARIABLE
from benchmarks.mutation._reaching import ENVIRONMENT, PYTEST

_COPIED = ("sknnopt", "tests", "benchmarks", "docs/_ext", "pyproject.toml", "README.md")
#: Exit codes of pytest: all passed, some failed, stopped by errors of collection, an
#: error inside pytest, a test's file that cannot be imported.
_PASSED, _KILLED = 0, {1, 2, 3, 4}
#: Where no test failed: the package could not be imported.
IMPORT = "import"


@contextmanager
def copied(root: Path) -> Iterator[Path]:
    """Copy the package and its tests, compiled, to a directory that is deleted at last.

    Parameters
    ----------
    root : Path
        Of the repository.

    Yields
    ------
    Path
        The copy's root.
    """
    with TemporaryDirectory(prefix="mutants-") as directory:
        copy = Path(directory)
        for name in _COPIED:
            source, target = root / name, copy / name
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "results")
                shutil.copytree(source, target, ignore=ignored)
            elif source.exists():
                shutil.copy2(source, target)
        _compile(copy)
        yield copy


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


def run_tests(root: Path, tests: Sequence[str], limit: float) -> dict[str, Any]:
    """Run tests in a fresh interpreter until one fails.

    Parameters
    ----------
    root : Path
        Of the copy.
    tests : sequence of str
        Their names, in order.
    limit : float
        Seconds after which the process is killed.

    Returns
    -------
    dict
        ``outcome`` ("survived", "killed", or "timeout"), ``killer``, the name of the
        test that failed, ``"import"``, or None, and ``seconds``.
    """
    listed, log = root / "chosen.txt", root / "durations.jsonl"
    listed.write_text("\n".join(tests), "utf-8")
    log.unlink(missing_ok=True)
    started = perf_counter()
    process = subprocess.Popen(
        [*PYTEST, "-x", f"@{listed}"],
        cwd=root,
        env={
            **os.environ,
            **ENVIRONMENT,
            "PYTHONPATH": str(root),
            VARIABLE: str(log),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=limit)
        outcome = _outcome(process.returncode, output)
    except subprocess.TimeoutExpired:
        outcome = "timeout"
    finally:
        # A mutant may leave processes of its own behind.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    return {
        "outcome": outcome,
        "killer": _killer(log) if outcome == "killed" else None,
        "seconds": perf_counter() - started,
    }


def _outcome(code: int, output: str) -> str:
    if code == _PASSED:
        return "survived"
    if code in _KILLED or code < 0:
        return "killed"
    raise RuntimeError(f"pytest ended with {code}:\n{output[-2000:]}")


def _killer(log: Path) -> str:
    lines = log.read_text("utf-8").splitlines() if log.exists() else []
    failed = [
        name for name, outcome, _ in map(json.loads, lines) if outcome == "failed"
    ]
    return failed[0] if failed else IMPORT


def try_source(
    root: Path, module: str, source: str, tests: Sequence[str], limit: float
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
    tests, limit
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
        return run_tests(root, tests, limit)
    finally:
        path.write_text(original, "utf-8")
