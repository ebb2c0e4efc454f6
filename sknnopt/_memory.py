"""How much memory is free for this process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

#: What counts as free, in bytes, where the system does not tell.
FALLBACK = 2 * 2**30

#: Per version of control groups: where they are, the files that hold the limit and the
#: use, and the line of memory.stat with the part that is given back on demand.
_VERSIONS = {
    1: (
        "memory",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "total_inactive_file",
    ),
    2: ("", "memory.max", "memory.current", "inactive_file"),
}


def free_memory(root: Path = Path("/")) -> int:
    """Return the memory that this process can still take, in bytes.

    Parameters
    ----------
    root : Path
        Directory that holds ``proc`` and ``sys``.

    Returns
    -------
    int
        The least of what the system and each enclosing control group have left;
        `FALLBACK` if none tells.
    """
    system = _of_system(root)
    left = [*([] if system is None else [system]), *_of_groups(root)]
    return max(min(left, default=FALLBACK), 0)


def _of_system(root: Path) -> int | None:
    for line in _read(root / "proc/meminfo").splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return 1024 * int(value.split()[0])
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # not on this system
        return None


def _of_groups(root: Path) -> Iterator[int]:
    """Yield what is left in the groups of this process, inner to outer."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            version = 2
        elif "memory" in controllers.split(","):
            version = 1
        else:
            continue
        folder, *files = _VERSIONS[version]
        mount = root / "sys/fs/cgroup" / folder
        group = PurePosixPath(path)
        # A container may see its own group as the top, under the path it has outside.
        for place in (group, *group.parents):
            left = _left_in(mount / place.relative_to("/"), *files)
            if left is not None:
                yield left


def _left_in(group: Path, limit: str, usage: str, inactive: str) -> int | None:
    most, used = _read(group / limit).strip(), _read(group / usage).strip()
    if not (most.isdigit() and used.isdigit()):  # no such group, or "max"
        return None
    pairs = (line.split() for line in _read(group / "memory.stat").splitlines())
    reclaimable = {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}
    return int(most) - int(used) + reclaimable.get(inactive, 0)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""
