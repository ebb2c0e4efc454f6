"""Named sets of parameters.

A preset is a dict of keyword arguments for both estimators. What it does not name
stays at its default.

Examples
--------
>>> from sknnopt import OptimizedMLPClassifier
>>> from sknnopt.presets import PLAIN
>>> OptimizedMLPClassifier(**PLAIN, random_state=0).n_members
1
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

#: One network and nothing that helps it: what textbooks train. Adam, inputs as they
#: are given, no dropout, no weight decay; it stops early only where it is asked to.
PLAIN: Mapping[str, Any] = MappingProxyType(
    {
        "n_members": 1,
        "scale_inputs": False,
        "n_bins": None,
        "dropout": 0.0,
        "optimizer": "adam",
        "early_stopping": False,
        "n_iter_no_change": 10,
    }
)
