"""Measurements of what the documentation claims, with their results beside them.

``python -m benchmarks`` runs all of them, ``python -m benchmarks --list`` names them.
"""

from __future__ import annotations
