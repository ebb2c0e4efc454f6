"""Mutants that no test can kill, and why: what they compute is the same."""

from __future__ import annotations

#: Reasons by the mutants' keys.
EXPLAINED: dict[str, str] = {}
