"""Which tests reach which lines, and how long each takes."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile

from coverage import CoverageData

from benchmarks._durations import BEGUN, DURATIONS, ENDED
from benchmarks._results import write_json

#: The tests of the modules themselves, of what is made of several of them, and of the
#: estimators; those of searches, displays, data, files and the command line also run
#: them, but take long and are about something else.
TEST_FILES = tuple(
    f"tests/test_{name}.py"
    for name in (
        "optimizers",
        "penalties",
        "clipping",
        "network",
        "propagation",
        "normalization",
        "layout",
        "loop",
        "loop_independence",
        "loop_stopping",
        "training",
        "feed",
        "job",
        "scores",
        "fits",
        "fitting",
        "batching",
        "rendezvous",
        "tasks",
        "members",
        "dropout",
        "gathering",
        "spreading",
        "threads",
        "interleaving",
        "together",
        "advancing",
        "streaming",
        "sample_weight",
        "schedules",
        "monitoring",
        "blocks",
        "moments",
        "base",
        "classifier",
        "regressor",
        "checkpoint",
        "interrupts",
    )
)
#: Seconds that the tests of other modules may take for one mutant, all together.
BUDGET = 60.0
#: Seconds above which a test waits until all others have passed.
_SLOW = 3.0
#: What every process of tests is started with: it writes no byte code, so that none of
#: a mutant's is found by the next.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MPLBACKEND": "Agg",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
}
PYTEST = (
    *(sys.executable, "-m", "pytest", "-q"),
    *("-p", "benchmarks._durations", "-p", "no:cacheprovider"),
)


def digest(texts: Iterable[str]) -> str:
    """Return a digest of texts."""
    sums = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
    return hashlib.sha256(" ".join(sums).encode()).hexdigest()[:16]


def function_source(path: Path, test: str) -> str:
    """Return the source of a test's function.

    Parameters
    ----------
    path : Path
        Its file.
    test : str
        Its name, with parameters in brackets.

    Returns
    -------
    str
        Empty if there is none of this name.
    """
    source, name = path.read_text("utf-8"), test.partition("[")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return ast.get_source_segment(source, node) or ""
    return ""


class ReachMap:
    """What tests reach, kept in a directory.

    Parameters
    ----------
    directory : Path
        Where three files are: coverage's data, durations, and digests of what they
        were made of.
    root : Path
        Holds the package ``sknnopt``, and the tests in ``tests``.
    files : sequence of str, default=TEST_FILES
        Files of tests, from the root.
    """

    def __init__(
        self, directory: Path, root: Path, files: Sequence[str] = TEST_FILES
    ) -> None:
        self._root, self.files = root, files
        self._coverage = directory / "coverage"
        self._durations = directory / "durations.jsonl"
        self._digests = directory / "digests.json"
        self._reached: dict[str, dict[int, list[str]]] = {}

    def make(self) -> None:
        """Run the tests of files that have changed; of all, if the package has."""
        now = self._current_digests()
        stored = _stored(self._digests)
        if stored.get("package") != now["package"]:
            stored = {}
            self._coverage.unlink(missing_ok=True)
            self._durations.unlink(missing_ok=True)
        changed = [name for name in self.files if stored.get(name) != now[name]]
        self._forget(changed)
        if changed:
            print(f"Tests of {len(changed)} files run to see what they reach")
            self._run(changed)
        write_json(self._digests, now)

    def _current_digests(self) -> dict[str, str]:
        package = sorted((self._root / "sknnopt").rglob("*.py"))
        return {
            "package": digest(path.read_text("utf-8") for path in package),
            **{
                name: digest([(self._root / name).read_text("utf-8")])
                for name in self.files
            },
        }

    def _forget(self, changed: Sequence[str]) -> None:
        if not self._durations.exists():
            return
        lines = self._durations.read_text("utf-8").splitlines(keepends=True)
        kept = [line for line in lines if _file(json.loads(line)[0]) not in changed]
        self._durations.write_text("".join(kept), "utf-8")

    def _run(self, names: Sequence[str]) -> None:
        with NamedTemporaryFile("w", suffix=".rc") as settings:
            # Without branches, which the data of the settings in pyproject.toml have.
            settings.write(
                "[run]\nsource = sknnopt\nbranch = false\nrelative_files = true"
            )
            settings.flush()
            options = ("-p", "pytest_cov", "--cov=sknnopt", "--cov-context=test")
            subprocess.run(
                [
                    *PYTEST,
                    *(*options, "--cov-append", "--cov-report="),
                    f"--cov-config={settings.name}",
                    *names,
                ],
                cwd=self._root,
                check=False,
                env={
                    **os.environ,
                    **ENVIRONMENT,
                    "PYTHONPATH": str(self._root),
                    "COVERAGE_FILE": str(self._coverage.resolve()),
                    DURATIONS: str(self._durations.resolve()),
                },
            )

    def seconds(self) -> dict[str, float]:
        """Return how long each test took that passed, set-up included."""
        total: Counter[str] = Counter()
        bad = set()
        for line in self._durations.read_text("utf-8").splitlines():
            name, outcome, duration = json.loads(line)
            total[name] += duration
            if outcome not in {"passed", BEGUN, ENDED}:
                bad.add(name)
        return {name: total[name] for name in total if name not in bad}

    def reaching(self, module: str, lines: Iterable[int]) -> set[str]:
        """Return tests that run any of some lines of a module."""
        if module not in self._reached:
            self._reached[module] = self._contexts(module)
        found = self._reached[module]
        contexts = {name for line in lines for name in found.get(line, ())}
        # A context is a test and its phase; without a name it is the import.
        return {name.rpartition("|")[0] for name in contexts if name}

    def _contexts(self, module: str) -> dict[int, list[str]]:
        data = CoverageData(str(self._coverage))
        data.read()
        found: dict[int, list[str]] = defaultdict(list)
        for path in data.measured_files():
            if path.endswith(f"sknnopt/{module}.py"):
                for line, names in data.contexts_by_lineno(path).items():
                    found[line] += names
        return found


def _stored(path: Path) -> dict[str, str]:
    return dict(json.loads(path.read_text("utf-8"))) if path.exists() else {}


def _file(test: str) -> str:
    return test.partition("::")[0]


def is_own(test: str, module: str) -> bool:
    """Tell whether a test is in a file that is named after a module."""
    stem, name = Path(_file(test)).stem, f"test_{module.removeprefix('_')}"
    return stem == name or stem.startswith(f"{name}_")


def choose(
    module: str, reaching: Iterable[str], seconds: dict[str, float]
) -> list[str]:
    """Return the tests that a mutant is tried with, in order.

    Parameters
    ----------
    module : str
        Which is changed.
    reaching : iterable of str
        Tests that reach the change.
    seconds : dict of str to float
        How long each test takes; those not in it are left out.

    Returns
    -------
    list of str
        All that are in the module's own files, and the quickest others that take
        ``BUDGET`` seconds together; own ones first, slow ones last.
    """
    known = sorted((seconds[name], name) for name in reaching if name in seconds)
    chosen, spent = [], 0.0
    for duration, name in known:
        spent += duration * (not is_own(name, module))
        if is_own(name, module) or spent <= BUDGET:
            chosen.append(name)
    return sorted(
        chosen, key=lambda name: (seconds[name] > _SLOW, not is_own(name, module))
    )


def stages(module: str, tests: Sequence[str]) -> list[list[str]]:
    """Cut tests into those of few files, which start quickly, and the others.

    Parameters
    ----------
    module : str
        Which is changed.
    tests : sequence of str
        In their order.

    Returns
    -------
    list of list of str
        Those of the module's own files, or of the two files that have most of the
        tests, come first; none is empty.
    """
    counts = Counter(_file(name) for name in tests)
    files = {name for name in counts if is_own(name, module)}
    files = files or {name for name, _ in counts.most_common(2)}
    first, rest = [], []
    for name in tests:
        (first if _file(name) in files else rest).append(name)
    return [part for part in (first, rest) if part]
