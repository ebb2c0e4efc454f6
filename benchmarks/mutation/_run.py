"""Draw mutants, try those that have not been tried, and write what is known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib import metadata
from pathlib import Path
from queue import SimpleQueue
from time import perf_counter
from typing import Any

from benchmarks._results import ROOT, versions
from benchmarks._settings import Settings
from benchmarks._store import Store
from benchmarks.mutation._mutants import (
    Mutant,
    change,
    draw,
    reaching_lines,
    read,
)
from benchmarks.mutation._reaching import (
    TEST_FILES,
    ReachMap,
    choose,
    digest,
    function_source,
    is_own,
    stages,
)
from benchmarks.mutation._report import report
from benchmarks.mutation._trying import IMPORT, copied, run_tests, try_source

N_MUTANTS = 300
#: With 0 mutants were drawn for whose survivors tests were written.
SEED = 1
#: Seconds that any test may take, and times as long as it takes otherwise: what takes
#: longer is taken for an endless loop.
_PATIENCE, _FACTOR = 20.0, 5.0
_TOOLS = ("cosmic-ray", "coverage", "pytest")


def run(out: Path, settings: Settings) -> None:
    """Try mutants, and write ``mutation.json`` and ``mutation.md``.

    What tests reach is kept in ``mutation/``, beside them.

    Parameters
    ----------
    out : Path
        Directory of the results. A mutant that has been tried is tried again if its
        module has changed, or the tests: of one that was killed, its killer.
    settings : Settings
        ``quick`` tries one mutant; ``jobs`` is the number of processes.
    """
    directory = out / "mutation"
    directory.mkdir(parents=True, exist_ok=True)
    reach = ReachMap(directory, ROOT, _files(settings))
    reach.make()
    trial = Trial(ROOT, out, reach)
    drawn = draw(trial.sources, 1 if settings.quick else N_MUTANTS, SEED)
    trial.run(drawn, settings.jobs)
    control = trial.control(drawn)
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
        What the tests reach, made already.
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
        self._seconds = reach.seconds()

    def run(self, drawn: Sequence[Mutant], n_jobs: int = 1) -> None:
        """Try mutants, unless what is stored of them still holds.

        Parameters
        ----------
        drawn : sequence of Mutant
            Which.
        n_jobs : int, default=1
            Processes at a time.
        """
        stored = self._stored()
        new = [m for m in drawn if not self._holds(m, stored.get(m.key))]
        n_copies = min(n_jobs, len(new))
        with copied(self._root, n_copies) as roots, ThreadPoolExecutor(n_jobs) as pool:
            copies: SimpleQueue[Path] = SimpleQueue()
            for root in roots:
                copies.put(root)
            futures = {pool.submit(self._try, mutant, copies): mutant for mutant in new}
            for future in as_completed(futures):
                self._keep(futures[future], future.result())

    def _stored(self) -> dict[str, dict[str, Any]]:
        return {row["key"]: row for row in self._store.result()["rows"]}

    def _holds(self, mutant: Mutant, row: dict[str, Any] | None) -> bool:
        if row is None or not self._has(row["killer"]):
            return False
        return row["witness"] == self._witness(self._root, mutant, row["killer"])

    def _has(self, killer: str | None) -> bool:
        return killer in {None, IMPORT} or killer in self._seconds

    def _keep(self, mutant: Mutant, found: dict[str, Any]) -> None:
        design = {
            "module": mutant.module,
            "operator": mutant.operator,
            "text": mutant.text,
            "witness": found["witness"],
        }
        print(found["outcome"], f"{found['seconds']:.0f} s", end=", ")
        self._store.add(mutant.key, design, lambda: found)

    def _witness(self, root: Path, mutant: Mutant, killer: str | None) -> str:
        """Return a digest of what a result depends on.

        That is the module, and the killer's function or else the files of all tests.
        """
        name, _, test = (killer or "").partition("::")
        texts = [(root / "sknnopt" / f"{mutant.module}.py").read_text("utf-8")]
        if test:
            texts.append(function_source(root / name, test))
        elif killer is None:
            texts += [(root / name).read_text("utf-8") for name in self.reach.files]
        return digest(texts)

    def _try(self, mutant: Mutant, copies: SimpleQueue[Path]) -> dict[str, Any]:
        source = self.sources[mutant.module]
        tests = self._tests(mutant, source)
        found: dict[str, Any] = {"outcome": "survived", "killer": None}
        started = perf_counter()
        copy = copies.get()
        for part in stages(mutant.module, tests):
            limits = self._limits(part)
            found = try_source(copy, mutant.module, mutant.apply(source), limits)
            if found["outcome"] != "survived":
                break
        # Of the copy: someone may be writing tests meanwhile.
        witness = self._witness(copy, mutant, found["killer"])
        copies.put(copy)
        return {
            **found,
            "seconds": perf_counter() - started,
            "witness": witness,
            "n_tests": len(tests),
        }

    def _limits(self, tests: Iterable[str]) -> dict[str, float]:
        return {name: _PATIENCE + _FACTOR * self._seconds[name] for name in tests}

    def _tests(self, mutant: Mutant, source: str) -> list[str]:
        lines = reaching_lines(source, mutant)
        if lines is None:
            lines = set(range(1, len(source.splitlines()) + 1))
            found = self.reach.reaching(mutant.module, lines) | self._own(mutant.module)
        else:
            # None is recorded where a test reaches it in a process that it starts.
            found = self.reach.reaching(mutant.module, lines) or self._own(
                mutant.module
            )
        return choose(mutant.module, found, self._seconds)

    def _own(self, module: str) -> set[str]:
        return {name for name in self._seconds if is_own(name, module)}

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
        stored = self._stored()
        known = [mutant for mutant in drawn if mutant.key in stored]
        rows = [self._described(stored[mutant.key], mutant) for mutant in known]
        return {**self._store.result(), "rows": rows, "n_drawn": len(drawn)}

    def _described(self, row: dict[str, Any], mutant: Mutant) -> dict[str, Any]:
        if row["outcome"] != "survived":
            return row
        changed = change(self.sources[mutant.module], mutant)
        return {**row, "line": mutant.line, "change": changed}

    def control(self, drawn: Sequence[Mutant]) -> dict[str, Any]:
        """Run the tests that have killed a mutant on the unchanged package.

        Parameters
        ----------
        drawn : sequence of Mutant
            All mutants.

        Returns
        -------
        dict
            As of :func:`run_tests`, with their number ``n_tests``.
        """
        killers = {row["killer"] for row in self.result(drawn)["rows"]}
        limits = self._limits(sorted(killers & set(self._seconds)))
        found: dict[str, Any] = {"outcome": "survived", "killer": None}
        if limits:
            with copied(self._root) as (copy,):
                found = run_tests(copy, limits)
        return {**found, "n_tests": len(limits)}
