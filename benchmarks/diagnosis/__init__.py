"""How well ``diagnose()`` names what is wrong with a training run.

``--parts runs`` makes runs with injected faults and healthy ones, and labels them by
their outcome; ``development`` and ``final`` are its two halves, which share neither a
table nor a strength of a fault. Thresholds are chosen on ``development`` alone.
``remedies`` applies what the findings on final runs recommend.
"""

from __future__ import annotations

from benchmarks.diagnosis._run import DEFAULT_PARTS, PARTS, run

__all__ = ["DEFAULT_PARTS", "PARTS", "run"]
