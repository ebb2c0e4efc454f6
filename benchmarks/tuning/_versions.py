"""What the numbers of a search depend on."""

from __future__ import annotations

import hashlib
from importlib import metadata
from typing import Any

import sknnopt
from benchmarks.quality._running import source_digest

_OURS = ("torch", "scikit-learn", "numpy", "joblib")


def versions_of(*packages: str) -> dict[str, str]:
    """Return the versions of packages that are installed."""
    return {name: metadata.version(name) for name in packages}


def our_versions(*others: str) -> dict[str, str]:
    """Return what a search with our networks depends on.

    Parameters
    ----------
    *others : str
        Further packages.

    Returns
    -------
    dict
        Versions by package, and a digest of our source.
    """
    own = {"sknnopt": sknnopt.__version__, "source": source_digest()}
    return {**own, **versions_of(*_OURS, *others)}


def digest(value: Any) -> str:
    """Return what tells whether a value, by how it is written, has changed.

    Parameters
    ----------
    value : object
        Of Python's own types, or whatever says of itself all there is.

    Returns
    -------
    str
        Hexadecimal digits.
    """
    return hashlib.sha256(repr(value).encode()).hexdigest()[:12]


def keras_versions() -> dict[str, str]:
    """Return what a search of Keras-Tuner depends on."""
    return versions_of("keras-tuner", "keras", "torch", "numpy", "scikit-learn")
