"""Free memory is the least that the system and the control groups leave."""

from __future__ import annotations

import os

import pytest

from sknnopt._memory import FALLBACK, free_memory

MEMINFO = """MemTotal:       16000 kB
MemFree:         1000 kB
MemAvailable:    8000 kB
"""


@pytest.fixture
def system(tmp_path):
    """Return a function that writes files of a made-up system, and its root."""

    def write(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    write({"proc/meminfo": MEMINFO})
    return write


def test_of_the_system(system):
    """Without control groups what the kernel calls available counts."""
    assert free_memory(system({})) == 8000 * 1024


def version_2(group, limit, used, inactive=0):
    """Return the files of a group of version 2."""
    folder = f"sys/fs/cgroup/{group}".rstrip("/")
    return {
        f"{folder}/memory.max": f"{limit}\n",
        f"{folder}/memory.current": f"{used}\n",
        f"{folder}/memory.stat": f"anon 5\ninactive_file {inactive}\n",
    }


def version_1(group, limit, used, inactive=0):
    """Return the files of a group of version 1."""
    folder = f"sys/fs/cgroup/memory/{group}".rstrip("/")
    return {
        f"{folder}/memory.limit_in_bytes": f"{limit}\n",
        f"{folder}/memory.usage_in_bytes": f"{used}\n",
        f"{folder}/memory.stat": f"cache 5\ntotal_inactive_file {inactive}\n",
    }


@pytest.mark.parametrize(
    ("line", "files"), [("0::/a/b", version_2), ("4:cpu,memory:/a/b", version_1)]
)
def test_of_the_own_group(system, line, files):
    """The limit less the use, but for cached files, bounds what is free."""
    root = system({"proc/self/cgroup": f"{line}\n", **files("a/b", 5000, 3000, 700)})
    assert free_memory(root) == 2700


def test_of_an_outer_group(system):
    """A group around the own one may have less left."""
    root = system(
        {
            "proc/self/cgroup": "0::/a/b\n",
            **version_2("a/b", 5000, 1000),
            **version_2("a", 6000, 4500),
        }
    )
    assert free_memory(root) == 1500


def test_of_a_container(system):
    """In a container the group's path may exist outside only; its top is the group."""
    root = system({"proc/self/cgroup": "0::/out/side\n", **version_2("", 900, 200)})
    assert free_memory(root) == 700


def test_both_versions(system):
    """Groups of both versions may be mounted; the one with memory counts."""
    root = system(
        {
            "proc/self/cgroup": "9:cpu:/a\n4:memory:/a\n0::/\n",
            **version_1("a", 800, 100),
            **version_1("", 2**63 - 4096, 10**6),
        }
    )
    assert free_memory(root) == 700


def test_no_limit(system):
    """A group without a limit bounds nothing."""
    root = system({"proc/self/cgroup": "0::/a\n", **version_2("a", "max", 3000)})
    assert free_memory(root) == 8000 * 1024


def test_beyond_the_limit(system):
    """A group that uses more than its limit leaves nothing, not less."""
    root = system({"proc/self/cgroup": "0::/a\n", **version_2("a", 1000, 3000)})
    assert free_memory(root) == 0


@pytest.mark.skipif(not hasattr(os, "sysconf"), reason="the system has no sysconf")
def test_without_proc(tmp_path, monkeypatch):
    """Elsewhere the free pages count."""
    answers = {"SC_AVPHYS_PAGES": 3, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(os, "sysconf", answers.__getitem__)
    assert free_memory(tmp_path) == 3 * 4096


def test_where_nothing_tells(tmp_path, monkeypatch):
    """A system that tells nothing is taken to have the stated amount."""

    def unknown(name):
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr(os, "sysconf", unknown, raising=False)
    assert free_memory(tmp_path) == FALLBACK


def test_of_this_system():
    """Here something is free, and less than a machine has addresses for."""
    assert 0 < free_memory() < 2**60
