"""Activations and update rules that members of a batch choose for themselves.

Members of one choice lie side by side, so that each choice is one slice of the batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Protocol

from torch import Tensor

from sknnopt.activations import ACTIVATIONS, ActivationOption
from sknnopt.optimizers import OPTIMIZERS, update


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
        tensors: dict[str, Tensor],
        weight_decay: Tensor | None,
    ) -> None:
        self.where, self.name = where, name
        self._slots = {slot: slots[slot][where] for slot in OPTIMIZERS[name].slots}
        self._tensors = {key: tensor[where] for key, tensor in tensors.items()}
        self._decay = weight_decay
        self._has_own_decay = weight_decay is not None and len(weight_decay) > 1
        if weight_decay is not None and self._has_own_decay:
            self._decay = weight_decay[where]

    def update(self, learning_rate: Tensor, *, nesterov: bool) -> None:
        update(
            self.name,
            slots=self._slots,
            learning_rate=learning_rate,
            weight_decay=self._decay,
            nesterov=nesterov,
            **self._tensors,
        )

    def update_some(
        self, members: Tensor, learning_rate: Tensor, *, nesterov: bool
    ) -> None:
        """Update those of an index alone."""
        slots = {name: slot[members] for name, slot in self._slots.items()}
        tensors = {key: tensor[members] for key, tensor in self._tensors.items()}
        decay = self._decay
        if decay is not None and self._has_own_decay:
            decay = decay[members]
        update(
            self.name,
            slots=slots,
            learning_rate=learning_rate[members],
            weight_decay=decay,
            nesterov=nesterov,
            **tensors,
        )
        self._tensors["weights"][members] = tensors["weights"]
        for name, slot in slots.items():
            self._slots[name][members] = slot

    def forget(self, members: Tensor) -> None:
        """Begin anew for those of an index."""
        initial = OPTIMIZERS[self.name].initial
        for name, slot in self._slots.items():
            slot[members] = initial.get(name, 0.0)


class Updates:
    """The updates of a batch, each member's by its own rule.

    Parameters
    ----------
    optimizers : sequence of str
        Each member's rule.
    slots : dict of Tensor
        What the rules remember, one row a member; changed in place.
    weight_decay : Tensor of shape (members or 1, trained columns), or None
        Decoupled decay of every weight.
    nesterov : bool
        Whether ``"sgd"`` looks ahead.
    **tensors : Tensor of shape (members, ...)
        ``weights``, which are changed in place, ``gradient``, which may be written
        over, and ``momentum``, as :func:`~sknnopt.optimizers.update` takes them.
    """

    def __init__(
        self,
        optimizers: Sequence[str],
        slots: dict[str, Tensor],
        *,
        weight_decay: Tensor | None,
        nesterov: bool,
        **tensors: Tensor,
    ) -> None:
        self._nesterov = nesterov
        self._rules = [
            _Rule(where, name, slots, tensors, weight_decay)
            for where, name in runs(optimizers)
        ]

    def __call__(self, learning_rate: Tensor) -> None:
        """Update all members; ``learning_rate`` is ``(members, 1)``."""
        if len(self._rules) == 1:
            self._rules[0].update(learning_rate, nesterov=self._nesterov)
            return
        for rule in self._rules:
            rule.update(learning_rate[rule.where], nesterov=self._nesterov)

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
                rate = learning_rate[rule.where]
                rule.update_some(some, rate, nesterov=self._nesterov)

    def forget(self, members: Tensor) -> None:
        """Let the rules of some members, a Tensor of bool, begin anew."""
        for rule in self._rules:
            rule.forget(members[rule.where].nonzero()[:, 0])
