"""Candidates as Optuna stores them.

Optuna knows one distribution for each name, and numbers, strings, bools and None for
values. Here a parameter whose distribution differs between subspaces has a name for
each, and any object has a label.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sknnopt._extras import not_installed
from sknnopt._reading import Subspace

#: The name under which the subspace of a candidate is searched.
SUBSPACE = "subspace"


class Labels:
    """Names and labels for the candidates of a search space.

    Parameters
    ----------
    subspaces : sequence of dict
        Dimensions by parameter.
    """

    def __init__(self, subspaces: Sequence[Subspace]) -> None:
        self.subspaces = subspaces
        self._distributions = [
            {name: dimension.to_optuna() for name, dimension in subspace.items()}
            for subspace in subspaces
        ]
        self._names = _unique_names(self._distributions)

    def distributions(self, index: int) -> dict[str, Any]:
        """Return the distributions of a subspace.

        Parameters
        ----------
        index : int
            The subspace.

        Returns
        -------
        dict
            Distributions by Optuna's names, that of the subspace included where there
            are several.
        """
        names = self._names[index]
        own = self._distributions[index]
        return {**self.choice(), **{names[name]: own[name] for name in own}}

    def choice(self) -> dict[str, Any]:
        """Return the distribution of the subspace, where there are several."""
        from optuna.distributions import CategoricalDistribution

        if len(self.subspaces) == 1:
            return {}
        return {SUBSPACE: CategoricalDistribution(range(len(self.subspaces)))}

    def encode(self, params: Mapping[str, Any], index: int) -> dict[str, Any]:
        """Return a candidate as Optuna stores it.

        Parameters
        ----------
        params : mapping
            Values by parameter.
        index : int
            The subspace.

        Returns
        -------
        dict
            Labels by Optuna's names, the subspace included where there are several.
        """
        subspace, names = self.subspaces[index], self._names[index]
        stored = {names[name]: subspace[name].label(params[name]) for name in subspace}
        if len(self.subspaces) > 1:
            stored[SUBSPACE] = index
        return stored

    def decode(self, stored: Mapping[str, Any], index: int) -> dict[str, Any]:
        """Return a candidate from what Optuna stores.

        Parameters
        ----------
        stored : mapping
            Labels by Optuna's names.
        index : int
            The subspace.

        Returns
        -------
        dict
            Values by parameter.
        """
        names = self._names[index]
        return {
            name: dimension.unlabel(stored[names[name]])
            for name, dimension in self.subspaces[index].items()
        }


def find_subspace(subspaces: Sequence[Subspace], params: Mapping[str, Any]) -> int:
    """Return the first subspace that a candidate lies in.

    Parameters
    ----------
    subspaces : sequence of dict
        Dimensions by parameter.
    params : mapping
        Values by parameter.

    Returns
    -------
    int
        Its position.

    Raises
    ------
    ValueError
        If it lies in none.
    """
    for index, subspace in enumerate(subspaces):
        if params.keys() == subspace.keys() and all(
            params[name] in dimension for name, dimension in subspace.items()
        ):
            return index
    raise ValueError(
        f"The candidate {dict(params)!r} lies outside the search space. A search goes "
        "on in the space that it began with."
    )


def _unique_names(distributions: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    seen: dict[str, list[Any]] = {SUBSPACE: [None]}
    if len(distributions) == 1:
        return [{name: name for name in distributions[0]}]
    named = []
    for subspace in distributions:
        names = {}
        for name, distribution in subspace.items():
            variants = seen.setdefault(name, [])
            if distribution not in variants:
                variants.append(distribution)
            variant = variants.index(distribution)
            names[name] = f"{name} [{variant + 1}]" if variant else name
        named.append(names)
    return named


def import_optuna(purpose: str) -> Any:
    """Return the module ``optuna``.

    Parameters
    ----------
    purpose : str
        What needs it, for the error.

    Returns
    -------
    module
        Optuna.

    Raises
    ------
    ImportError
        If it is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise not_installed(f"{purpose} needs", "Optuna", "tune") from error
    return optuna


@contextmanager
def quiet() -> Iterator[None]:
    """Keep this thread's Optuna from reporting that it made a study."""
    thread = threading.get_ident()

    def is_elsewhere(record: logging.LogRecord) -> bool:
        return record.thread != thread or record.levelno > logging.INFO

    logger = logging.getLogger("optuna")
    handlers = list(logger.handlers)
    for handler in handlers:
        handler.addFilter(is_elsewhere)
    try:
        with warnings.catch_warnings():
            # Marked as experimental by Optuna 4, and no longer by Optuna 5.
            warnings.filterwarnings("ignore", message=".*constant_liar.*")
            yield
    finally:
        for handler in handlers:
            handler.removeFilter(is_elsewhere)
