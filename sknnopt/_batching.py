"""How the payloads of concurrent fits become trained networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def train_together(
    payloads: list[Callable[[], Any]], is_cancelled: Callable[..., bool]
) -> list[Any]:
    """Train what was handed over.

    Parameters
    ----------
    payloads : list of callable
        One per fit.
    is_cancelled : callable
        Tells whether no result is wanted any more: of any payload, or, given an index,
        of one.

    Returns
    -------
    list
        One result or exception per payload.
    """
    return [
        None if is_cancelled(index) else _outcome(payload)
        for index, payload in enumerate(payloads)
    ]


def _outcome(payload: Callable[[], Any]) -> Any:
    try:
        return payload()
    except Exception as error:  # noqa: BLE001  # belongs to this payload's fit
        return error
