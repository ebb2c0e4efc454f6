"""Draw mutants, try those that have not been tried, and write what is known."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks._machine import ROOT
from benchmarks._results import versions
from benchmarks._settings import Settings
from benchmarks._store import Store
from benchmarks.mutation._mutants import (
    Mutant,
    change,
    draw,
    reaching_lines,
    read,
)
from benchmarks.mutation._reaching import TEST_FILES, ReachMap, choose, digest, is_own
from benchmarks.mutation._report import report
from benchmarks.mutation._trying import copied, run_tests, try_source

N_MUTANTS = 300
SEED = 0
#: Seconds for the start of a process on a busy machine, and times as long as the tests
#: take otherwise: what takes longer is taken for an endless loop.
_START, _PATIENCE = 60.0, 2.0
_TOOLS = ("cosmic-ray", "coverage", "pytest")


def run(out: Path, settings: Settings) -> None:
    """Try mutants, and write ``mutation.json`` and ``mutation.md``.

    What tests reach is kept in ``mutation/``, beside them.

    Parameters
    ----------
    out : Path
        Directory of the results. A mutant that has been tried is tried again if its
        module has changed, or the tests: of one that was killed, the killer's file.
    settings : Settings
        ``quick`` tries one mutant.
    """
    directory = out / "mutation"
    directory.mkdir(parents=True, exist_ok=True)
    trial = Trial(ROOT, out, ReachMap(directory, ROOT, _files(settings)))
    trial.reach.make()
    drawn = draw(trial.sources, 1 if settings.quick else N_MUTANTS, SEED)
    with copied(ROOT) as copy:
        for mutant in drawn:
            trial.add(mutant, copy)
        control = _control(trial, drawn, copy)
    text = report(trial.result(drawn), control)
    (out / "mutation.md").write_text(text, encoding="utf-8")
    print(text)


def _files(settings: Settings) -> Sequence[str]:
    return TEST_FILES[:3] if settings.quick else TEST_FILES


class Trial:
    """Mutants of one state of the package, and what became of them.

    Parameters
    ----------
    root : Path
        Holds the package ``sknnopt``, and the tests in ``tests``.
    out : Path
        Directory of the results.
    reach : ReachMap
        What the tests reach.
    sources : dict of str to str or None, default=None
        Texts of the modules; None reads them all.
    """

    def __init__(
        self,
        root: Path,
        out: Path,
        reach: ReachMap,
        sources: dict[str, str] | None = None,
    ) -> None:
        self.reach, self._root = reach, root
        self.sources = read(root / "sknnopt") if sources is None else sources
        found = {**versions(), **{n: metadata.version(n) for n in _TOOLS}}
        self._store = Store(out / "mutation.json", found)
        self._known = {row["key"]: row for row in self._store.result()["rows"]}
        self._seconds: dict[str, float] = {}

    def add(self, mutant: Mutant, copy: Path) -> None:
        """Try a mutant on a copy, unless what is stored of it still holds.

        Parameters
        ----------
        mutant : Mutant
            Which.
        copy : Path
            The copy's root.
        """
        row = self._known.get(mutant.key)
        if row is not None and self._witnesses(mutant, row["killer"]) == row["witness"]:
            return
        design = {
            "module": mutant.module,
            "operator": mutant.operator,
            "text": mutant.text,
            "witness": self._witnesses(mutant, None),
        }
        self._store.add(mutant.key, design, partial(self._try, mutant, copy))

    def _witnesses(self, mutant: Mutant, killer: str | None) -> str:
        """Return a digest of the files that a result depends on."""
        files = self.reach.files if killer is None else [killer.partition("::")[0]]
        paths = [self._root / name for name in files if name.startswith("tests/")]
        return digest([self._root / "sknnopt" / f"{mutant.module}.py", *paths])

    def _try(self, mutant: Mutant, copy: Path) -> dict[str, Any]:
        source = self.sources[mutant.module]
        tests = self._tests(mutant, source)
        limit = _START + _PATIENCE * sum(self._seconds[name] for name in tests)
        found: dict[str, Any] = {"outcome": "survived", "killer": None, "seconds": 0.0}
        if tests:
            changed = mutant.apply(source)
            found = try_source(copy, mutant.module, changed, tests, limit)
        print(found["outcome"], f"{found['seconds']:.0f} s", end=", ", flush=True)
        return {
            **found,
            "witness": self._witnesses(mutant, found["killer"]),
            "line": mutant.line,
            "change": change(source, mutant),
            "n_tests": len(tests),
        }

    def _tests(self, mutant: Mutant, source: str) -> list[str]:
        self._seconds = self._seconds or self.reach.seconds()
        lines = reaching_lines(source, mutant)
        found = self.reach.reaching(mutant.module, lines)
        if not found:
            # It may be reached in a process that a test starts, which is not recorded.
            found = {name for name in self._seconds if is_own(name, mutant.module)}
        return choose(mutant.module, found, self._seconds)

    def result(self, drawn: Sequence[Mutant]) -> dict[str, Any]:
        """Return what the store holds of the drawn mutants.

        Parameters
        ----------
        drawn : sequence of Mutant
            Which.

        Returns
        -------
        dict
            As of :class:`benchmarks._store.Store`.
        """
        keys = {mutant.key for mutant in drawn}
        result = self._store.result()
        result["rows"] = [row for row in result["rows"] if row["key"] in keys]
        return {**result, "n_drawn": len(drawn)}


def _control(trial: Trial, drawn: Sequence[Mutant], copy: Path) -> dict[str, Any]:
    """Run the tests that have killed a mutant on the unchanged copy."""
    killers = {row["killer"] for row in trial.result(drawn)["rows"]}
    tests = sorted(name for name in killers if name and "::" in name)
    seconds = trial.reach.seconds()
    limit = _START + 10 * sum(seconds.get(name, 0.0) for name in tests)
    found = run_tests(copy, tests, limit) if tests else {"outcome": "survived"}
    return {**found, "n_tests": len(tests)}
