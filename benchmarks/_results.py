"""Result files: what they were measured with, and numbers in few lines."""

from __future__ import annotations

import json
import platform
import re
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

import sknnopt

ROOT = Path(__file__).parents[1]
_FLAT_LIST = re.compile(r"\[[^\[\]{}]*\]")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that numbers depend on.

    Returns
    -------
    dict
        Versions by name.
    """
    names = ("numpy", "scikit-learn", "skorch", "torch")
    return {
        "python": platform.python_version(),
        "sknnopt": sknnopt.__version__,
        **{name: metadata.version(name) for name in names},
    }


def plain(value: Any, digits: int = 5) -> Any:
    """Turn arrays and numbers into what JSON can hold.

    Parameters
    ----------
    value : object
        Containers, arrays, numbers, strings.
    digits : int, default=5
        Decimals that are kept.

    Returns
    -------
    object
        The same in lists, dicts and Python's own numbers. Infinity, which stands for
        "never", becomes None.
    """
    if isinstance(value, dict):
        return {str(key): plain(item, digits) for key, item in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [plain(item, digits) for item in value]
    if isinstance(value, float | np.floating):
        if np.isinf(value):
            return None
        return int(value) if float(value).is_integer() else round(float(value), digits)
    return int(value) if isinstance(value, np.integer) else value


def write_json(path: Path, result: dict[str, Any]) -> None:
    """Write a result whole or not at all, with each list of numbers on one line.

    Parameters
    ----------
    path : Path
        The file.
    result : dict
        Of what :func:`plain` returns.
    """
    text = json.dumps(result, indent=1, allow_nan=False)
    text = _FLAT_LIST.sub(lambda match: " ".join(match[0].split()), text)
    # A run that is killed meanwhile must not leave half a file.
    new = path.with_suffix(".tmp")
    new.write_text(text + "\n", encoding="utf-8")
    new.replace(path)
