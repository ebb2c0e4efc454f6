"""Result files that grow row by row, so that a run that was stopped goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks._machine import commit, load, surroundings
from benchmarks._results import plain, write_json

#: Nanoseconds matter in times per row.
_DIGITS = 9


class Store:
    """The rows of a benchmark, each with a key, written as soon as they are known.

    Parameters
    ----------
    path : Path
        The JSON file. Rows in it are kept if the machine and the versions are still
        the same, and are not measured again if the commit is the same, too, and no
        file differed from it.
    versions : dict or None, default=None
        Versions of all that the rows depend on, a digest of the source among them; the
        commit then does not count. None: those of the usual packages, and it does.
    """

    def __init__(self, path: Path, versions: dict[str, str] | None = None) -> None:
        self.path = path
        self._commit = commit()
        self._head = plain(surroundings())
        self._heeds_commit = versions is None
        if versions is not None:
            self._head["versions"] = dict(versions)
        self._rows: dict[str, dict[str, Any]] = {}
        self._read()

    def _read(self) -> None:
        if not self.path.exists():
            return
        stored = json.loads(self.path.read_text(encoding="utf-8"))
        if all(stored.get(name) == value for name, value in self._head.items()):
            self._rows = {row["key"]: row for row in stored["rows"]}
        else:
            print(f"{self.path.name} is of another machine or versions: starting anew.")

    def add(
        self, key: str, design: dict[str, Any], measure: Callable[[], dict[str, Any]]
    ) -> None:
        """Measure a row, unless it has been measured.

        Parameters
        ----------
        key : str
            Unlike that of any other row.
        design : dict
            What is measured; if it changes, the row is measured again.
        measure : callable
            Returns what is stored beside the design.
        """
        design = plain(design, _DIGITS)
        if self._is_known(key, design):
            print(f"{key}: known")
            return
        print(f"{key}: ", end="", flush=True)
        before = load()
        measured = measure()
        self._rows[key] = {
            "key": key,
            **self._commit,
            "load_before": before,
            "load_after": load(),
            "design": design,
            **plain(measured, _DIGITS),
        }
        self.write()
        print("measured")

    def _is_known(self, key: str, design: dict[str, Any]) -> bool:
        row = self._rows.get(key)
        if row is None or row["design"] != design:
            return False
        if not self._heeds_commit:
            return True
        known = {name: row[name] for name in self._commit}
        return known == self._commit and not row["is_dirty"]

    def __getitem__(self, key: str) -> dict[str, Any]:
        return self._rows[key]

    def result(self) -> dict[str, Any]:
        """Return ``machine``, ``versions`` and ``rows``."""
        return {**self._head, "rows": list(self._rows.values())}

    def write(self) -> None:
        """Write the file."""
        write_json(self.path, self.result())
