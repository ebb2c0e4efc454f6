"""Activations and update rules that members of a batch choose for themselves.

Members of one choice lie side by side, so that each choice is one slice of the batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Protocol

from torch import Tensor

from sknnopt.activations import ACTIVATIONS, ActivationOption
from sknnopt.optimizers import OPTIMIZERS, initial_slots, update


def runs(choices: Sequence[Any]) -> Iterator[tuple[slice, Any]]:
    """Yield where members of one choice lie.

    Parameters
    ----------
    choices : sequence
        Each member's.

    Yields
    ------
    slice, object
        Consecutive members, and what they have in common.
    """
    start = 0
    for choice, members in groupby(choices):
        stop = start + len(list(members))
        yield slice(start, stop), choice
        start = stop


class Activation(Protocol):
    """What a layer asks of an activation, be it one or each member's own."""

    @property
    def reads_input(self) -> bool:
        """Whether ``backward`` reads ``x`` as well as ``y``."""

    @property
    def make(self) -> Any:
        """The function, ``make(x, out=...)``."""

    @property
    def backward(self) -> Any:
        """The derivative, ``backward(gradient, x, y)``."""


class _Several:
    """Activations of one layer, each for some of the members."""

    def __init__(self, options: Sequence[tuple[slice, ActivationOption]]) -> None:
        self._options = options
        self.reads_input = any(option.reads_input for _, option in options)

    def make(self, x: Tensor, out: Tensor) -> Tensor:
        for where, option in self._options:
            option.make(x[where], out=out[where])
        return out

    def backward(self, gradient: Tensor, x: Tensor, y: Tensor) -> Tensor:
        for where, option in self._options:
            option.backward(gradient[where], x[where], y[where])
        return gradient


def layer_activations(activations: Sequence[tuple[str, ...]]) -> list[Activation]:
    """Return the activation of each hidden layer.

    Parameters
    ----------
    activations : sequence of tuple of str
        Each member's, one for each hidden layer.

    Returns
    -------
    list of Activation
        One for each hidden layer; tensors that they take begin with the member axis.
    """
    layers: list[Activation] = []
    for names in zip(*activations, strict=True):
        options = [(where, ACTIVATIONS[name]) for where, name in runs(names)]
        layers.append(options[0][1] if len(options) == 1 else _Several(options))
    return layers


class _Rule:
    """The members that one update rule moves."""

    def __init__(
        self,
        where: slice,
        name: str,
        slots: dict[str, Tensor],
        tensors: dict[str, Any],
        nesterov: bool,
    ) -> None:
        self.where, self._name, self._nesterov = where, name, nesterov
        self._slots = {slot: slots[slot][where] for slot in OPTIMIZERS[name].slots}
        self._tensors = _part(tensors, where)

    def update(self, learning_rate: Tensor) -> None:
        self._apply(self._slots, self._tensors, learning_rate)

    def update_some(self, members: Tensor, learning_rate: Tensor) -> None:
        """Update those of an index alone."""
        slots, tensors = _part(self._slots, members), _part(self._tensors, members)
        self._apply(slots, tensors, learning_rate[members])
        self._tensors["weights"][members] = tensors["weights"]
        for name, slot in slots.items():
            self._slots[name][members] = slot

    def _apply(
        self, slots: dict[str, Tensor], tensors: dict[str, Any], learning_rate: Tensor
    ) -> None:
        update(
            self._name,
            slots=slots,
            learning_rate=learning_rate,
            nesterov=self._nesterov,
            **tensors,
        )

    def forget(self, members: Tensor) -> None:
        """Begin anew for those of an index."""
        fresh = initial_slots(self._name, self._tensors["weights"][members])
        for name, slot in self._slots.items():
            slot[members] = fresh[name]


def _part(tensors: dict[str, Any], where: slice | Tensor) -> dict[str, Any]:
    """Return some rows of tensors, of which some may be None."""
    return {
        key: None if tensor is None else tensor[where]
        for key, tensor in tensors.items()
    }


class Updates:
    """The updates of a batch, each member's by its own rule.

    Parameters
    ----------
    optimizers : sequence of str
        Each member's rule.
    slots : dict of Tensor
        What the rules remember, one row a member; changed in place.
    nesterov : bool
        Whether ``"sgd"`` looks ahead.
    **tensors : Tensor of shape (members, ...) or None
        ``weights``, which are changed in place, ``gradient``, which may be written
        over, ``momentum`` and ``weight_decay``, as
        :func:`~sknnopt.optimizers.update` takes them.
    """

    def __init__(
        self,
        optimizers: Sequence[str],
        slots: dict[str, Tensor],
        *,
        nesterov: bool,
        **tensors: Tensor | None,
    ) -> None:
        self._rules = [
            _Rule(where, name, slots, tensors, nesterov)
            for where, name in runs(optimizers)
        ]

    def __call__(self, learning_rate: Tensor) -> None:
        """Update all members; ``learning_rate`` is ``(members, 1)``."""
        if len(self._rules) == 1:
            self._rules[0].update(learning_rate)
            return
        for rule in self._rules:
            rule.update(learning_rate[rule.where])

    def of_some(self, members: Tensor, learning_rate: Tensor) -> None:
        """Update some of the members alone.

        Parameters
        ----------
        members : Tensor of bool of shape (members,)
            Which of them.
        learning_rate : Tensor of shape (members, 1)
            Of all members.
        """
        for rule in self._rules:
            some = members[rule.where].nonzero()[:, 0]
            if len(some):
                rule.update_some(some, learning_rate[rule.where])

    def forget(self, members: Tensor) -> None:
        """Let the rules of some members, a Tensor of bool, begin anew."""
        for rule in self._rules:
            rule.forget(members[rule.where].nonzero()[:, 0])
