"""How many small faults in the code the tests notice: mutants, and which are killed."""

from __future__ import annotations

from benchmarks.mutation._run import run

__all__ = ["run"]
