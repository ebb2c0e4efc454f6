"""How well ours and its peers predict real tables, each at its default settings.

By default the development tables alone are fitted. The held-out ones are there to judge
what was chosen on others, so that they have to be asked for: ``--parts held-out``.
``make setup-quality`` installs the tables and the peers that scikit-learn and skorch do
not bring.
"""

from __future__ import annotations

from benchmarks.quality._methods import METHODS
from benchmarks.quality._run import DEFAULT_PARTS, PARTS, run

__all__ = ["DEFAULT_PARTS", "METHODS", "PARTS", "run"]
