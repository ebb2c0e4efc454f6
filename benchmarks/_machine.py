"""What times depend on: the machine, its load, versions and the commit."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from benchmarks._results import ROOT, versions
from benchmarks._timing import n_cores

_PEERS = ("joblib", "keras", "threadpoolctl")
_UNKNOWN = "unknown"


def surroundings() -> dict[str, Any]:
    """Describe what all rows of one file must have in common.

    Returns
    -------
    dict
        ``machine`` (processor, cores, system; neither host names nor paths) and
        ``versions``.
    """
    found = versions()
    for name in _PEERS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    machine = {
        "processor": processor(),
        "cores": n_cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "vector_instructions": torch.backends.cpu.get_cpu_capability(),
    }
    return {"machine": machine, "versions": found}


def processor() -> str:
    """Return the model name of the processor, as the system gives it."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or _UNKNOWN
    found = re.search(r"^model name\s*:\s*(.+)$", text, flags=re.MULTILINE)
    return found[1].strip() if found else platform.machine()


def load() -> float | None:
    """Return the mean number of running processes in the last minute, if known."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def commit() -> dict[str, Any]:
    """Return the commit that is measured.

    Returns
    -------
    dict
        ``commit``, and ``is_dirty``: whether files differ from it. Results do not
        count, since a run writes them.
    """
    name = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain", "--", ".", ":!benchmarks/results")
    return {"commit": name or _UNKNOWN, "is_dirty": name is None or bool(changes)}


def _git(*words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *words],  # noqa: S607 - found like any other program
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
