"""Programs that begin at once: a process that has imported what they need forks."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

#: Seconds; a guard against hanging, far above what a program takes.
LONG = 900
HERE = Path(__file__).parent
#: It has imported nothing of the package, and has only one thread.
SERVER = """
import json, os, sys
import joblib, pandas, scipy.stats, skorch, torch
import sklearn.ensemble, sklearn.model_selection, sklearn.pipeline
for line in sys.stdin:
    order = json.loads(line)
    child = os.fork()
    if child == 0:
        break
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
else:
    sys.exit()
for number, name in enumerate((os.devnull, order["out"], order["err"])):
    os.dup2(os.open(name, os.O_RDWR | os.O_CREAT), number)
sys.argv[1:] = order["args"]
import signal
# Background processes of a shell are deaf to interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
exec(compile(order["source"], "<program>", "exec"), globals())
"""


class Program:
    """A program that runs; one at a time.

    Parameters
    ----------
    server : Popen
        Who has forked it.
    pid : int
        Its process.
    out, err : Path
        What it writes to.
    """

    def __init__(
        self, server: subprocess.Popen[str], pid: int, out: Path, err: Path
    ) -> None:
        self._server, self.pid, self._out, self._err = server, pid, out, err
        self._code: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._code is None:
            with suppress(ProcessLookupError):  # it has ended by itself
                os.kill(self.pid, signal.SIGKILL)
            self.wait()

    @property
    def out(self) -> str:
        """What it has printed so far."""
        return self._out.read_text()

    @property
    def err(self) -> str:
        """What it has complained of so far."""
        return self._err.read_text()

    def has_ended(self) -> bool:
        """Tell whether it has ended."""
        return self._code is not None or self._is_told(0)

    def wait_for_line(self) -> str:
        """Return its first line, once it is there."""
        deadline = time.monotonic() + LONG
        while "\n" not in self.out:
            if self.has_ended() or time.monotonic() > deadline:
                raise AssertionError(f"no line has come: {self.err}")
            time.sleep(0.005)
        return self.out.splitlines()[0]

    def wait(self) -> int:
        """Return its exit code, once it has ended."""
        if self._code is None:
            if not self._is_told(LONG):
                raise AssertionError(f"it does not end: {self.err}")
            assert self._server.stdout is not None
            self._code = int(self._server.stdout.readline())
        return self._code

    def _is_told(self, seconds: float) -> bool:
        return bool(select.select([self._server.stdout], [], [], seconds)[0])


class Nursery:
    """Begins programs that can import the package and the tests' helpers.

    Parameters
    ----------
    folder : Path
        For what they print.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._n_begun = folder, 0
        paths = [str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")]
        self._server = subprocess.Popen(
            [sys.executable, "-c", SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(paths),
                # Threads that wait busily for a core that others use take its time.
                "OMP_WAIT_POLICY": "passive",
            },
        )

    def begin(self, source: str, *args: str) -> Program:
        """Begin a program, in a process of its own.

        Parameters
        ----------
        source : str
            The program.
        *args : str
            Its arguments.

        Returns
        -------
        Program
            A context: what still runs at its end is killed.
        """
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._n_begun += 1
        out, err = (self._folder / f"{self._n_begun}.{name}" for name in ("out", "err"))
        out.touch()
        err.touch()
        order = {"source": source, "args": args, "out": str(out), "err": str(err)}
        self._server.stdin.write(f"{json.dumps(order)}\n")
        self._server.stdin.flush()
        pid = int(self._server.stdout.readline())
        return Program(self._server, pid, out, err)

    def run(self, source: str, *args: str) -> str:
        """Run a program to its end, which must be a good one; return what it prints."""
        with self.begin(source, *args) as program:
            code = program.wait()
        assert code == 0, program.err
        return program.out

    def close(self) -> None:
        """End the process that forks."""
        self._server.communicate()


def call_here(function, **arguments):
    """Stand in for ``benchmarks._fresh.run_fresh``: through JSON, in this process."""
    return json.loads(json.dumps(function(**json.loads(json.dumps(arguments)))))
