"""The record behind every named option of the estimators.

Each option module holds one dict from names to options. Parameter validation,
search spaces, documentation tables and tests are all derived from these dicts,
so a new option is one function and one entry.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Option:
    """A named choice for an estimator parameter.

    Parameters
    ----------
    make : callable
        The function that does the work; each registry module documents the
        arguments that it hands over.
    summary : str
        One line for documentation tables.
    reference : str
        The paper or book that defines the option, with the equation or section.
    presets : frozenset of str, default=frozenset()
        Search spaces that include the option: ``"small"``, ``"standard"``,
        ``"regularization"`` and ``"guide"``.

    Examples
    --------
    >>> from sknnopt._registry import Option
    >>> double = Option(make=lambda x: 2 * x, summary="Doubles.", reference="None.")
    >>> double.make(3)
    6
    """

    make: Callable[..., Any]
    summary: str
    reference: str
    presets: frozenset[str] = frozenset()
