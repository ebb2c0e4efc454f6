"""How well and how fast hyperparameters are found, beside other searches.

By default only the overhead of ``MLPSearchCV`` is measured. ``--parts guide`` runs the
guide's combined search beside Keras-Tuner's, ``--parts budget`` eight searches with the
same wall time on six tables, ``--parts pruning`` the same candidates on these with each
rule of pruning and without. All three take hours, and go on where they were stopped.
``make setup-quality`` installs the tables, and the extra ``bench`` Keras-Tuner.
"""

from __future__ import annotations

from benchmarks.tuning._run import DEFAULT_PARTS, PARTS, run
from benchmarks.tuning._searches import SEARCHES

__all__ = ["DEFAULT_PARTS", "PARTS", "SEARCHES", "run"]
