"""Update rules on a batch of flat weight vectors.

M is the number of members, P the length of one network's flat vector of weights.
Every entry of ``OPTIMIZERS`` is called as
``make(gradient, slots, momentum, nesterov)``:

- ``gradient``: tensor of shape (M, P); the rule may write over it, but where it and
  the state are at rest it stays zero: padding is not written anew in every step;
- ``slots``: dict of the rule's state, as made by `initial_slots`, updated in place;
- ``momentum``: tensor of shape (M, 1) in [0, 1), read by ``sgd`` only;
- ``nesterov``: bool, read by ``sgd`` only.

It returns a direction of shape (M, P), to be read and not written to, as it may be a
slot, and a factor of shape (M, 1) or None for 1; the update is
``weights -= learning_rate * factor * direction``. Constants and the place of epsilon
are PyTorch's defaults.

Bias corrections such as 1 - beta^t are kept as running averages of the constant 1
instead of powers of the step number: this is exact in single precision too, and
elementwise powers are rounded differently in a batch than alone, which would make a
member's result depend on its neighbors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sknnopt._constants import constant
from sknnopt._registry import Option

ADAM_BETA_1 = 0.9
ADAM_BETA_2 = 0.999
ADAM_EPSILON = 1e-8
NADAM_MOMENTUM_DECAY = 4e-3
NADAM_DECAY_BASE = 0.96
RMSPROP_ALPHA = 0.99
RMSPROP_EPSILON = 1e-8
ADAGRAD_EPSILON = 1e-10
ADADELTA_RHO = 0.9
ADADELTA_EPSILON = 1e-6

Slots = dict[str, Tensor]
#: What a rule returns: the direction, and each member's factor on it.
_Direction = tuple[Tensor, Tensor | None]


@dataclass(frozen=True, kw_only=True)
class OptimizerOption(Option):
    """An update rule, its state and its default settings.

    Parameters
    ----------
    make : callable
        Called as ``make(gradient, slots, momentum, nesterov)``; returns the
        direction of the update, of shape (M, P), and its factor, of shape (M, 1) or
        None.
    summary : str
        One line for documentation tables.
    reference : str
        The paper or book that defines the option, with the equation or section.
    presets : frozenset of str, default=frozenset()
        Search spaces that include the option.
    slots : mapping of str to int or None
        Names of the state tensors with their number of columns; None: one for each
        weight.
    initial : mapping of str to float, default={}
        Initial values of slots that do not start at 0.
    learning_rate : float
        What ``learning_rate="auto"`` resolves to.
    weight_decay : float, default=0.0
        Default coefficient of the decoupled weight decay.
    """

    slots: Mapping[str, int | None]
    initial: Mapping[str, float] = field(default_factory=dict)
    learning_rate: float
    weight_decay: float = 0.0


def initial_slots(name: str, weights: Tensor) -> Slots:
    """Make the state of an update rule before its first step.

    Parameters
    ----------
    name : str
        A key of ``OPTIMIZERS``.
    weights : Tensor of shape (M, P)
        The weights, for shape, dtype and device.

    Returns
    -------
    slots : dict of str to Tensor
        Tensors of shape (M, P), or (M, 1) for what belongs to a member.

    Examples
    --------
    >>> import torch
    >>> from sknnopt.optimizers import initial_slots
    >>> slots = initial_slots("sgd", torch.ones((2, 3), dtype=torch.float64))
    >>> slots["velocity"].shape
    torch.Size([2, 3])
    """
    option = OPTIMIZERS[name]
    n_members, n_weights = weights.shape
    return {
        slot: weights.new_full(
            (n_members, n_weights if width is None else width),
            option.initial.get(slot, 0.0),
        )
        for slot, width in option.slots.items()
    }


def update(
    name: str,
    weights: Tensor,
    gradient: Tensor,
    slots: Slots,
    *,
    learning_rate: Tensor,
    weight_decay: Tensor | None,
    momentum: Tensor,
    nesterov: bool,
) -> None:
    r"""Apply one update to weights and state, in place.

    Decoupled decay comes first, :math:`w_j \leftarrow (1 - \eta \lambda_j) w_j`, then
    the step along the direction of the rule. Call it where autograd is off.

    Parameters
    ----------
    name : str
        A key of ``OPTIMIZERS``.
    weights : Tensor of shape (M, P)
        Weights of every member; changed in place.
    gradient : Tensor of shape (M, P)
        Gradient of every member; may be written over.
    slots : dict of str to Tensor
        State of the rule, from `initial_slots`; changed in place.
    learning_rate : Tensor of shape (M, 1)
        Learning rate of every member in this step.
    weight_decay : Tensor of shape (M, P) or None
        Coefficient of the decoupled decay of every weight, 0 at biases; None skips it.
    momentum : Tensor of shape (M, 1)
        Momentum of every member, read by ``"sgd"`` only.
    nesterov : bool
        Whether ``"sgd"`` looks ahead along its momentum.

    References
    ----------
    Loshchilov & Hutter 2019, Decoupled weight decay regularization, algorithms 1 and 2.

    Examples
    --------
    >>> import torch
    >>> from sknnopt.optimizers import initial_slots, update
    >>> weights = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    >>> one = torch.ones((1, 1), dtype=torch.float64)
    >>> update("sgd", weights, 2 * weights, initial_slots("sgd", weights),
    ...        learning_rate=0.25 * one, weight_decay=None, momentum=0 * one,
    ...        nesterov=False)
    >>> weights
    tensor([[0.5000, 1.0000]], dtype=torch.float64)
    """
    if weight_decay is not None:
        weights.addcmul_(weights * learning_rate, weight_decay, value=-1.0)
    rule = OPTIMIZERS[name].make
    direction, factor = rule(gradient, slots, momentum, nesterov)
    rate = learning_rate if factor is None else learning_rate * factor
    weights.addcmul_(direction, rate, value=-1.0)


_ONE = constant(1.0)
_EPSILON = constant(ADAM_EPSILON)


def _average(slot: Tensor, rate: float) -> Tensor:
    """Move a running average of the constant 1, and so 1 - (1 - rate)^t, one step."""
    return slot.lerp_(_ONE[slot.dtype].to(slot.device), rate)


def _average_square(slot: Tensor, gradient: Tensor, rate: float) -> Tensor:
    """Move a running average of squared gradients one step."""
    return slot.lerp_(gradient.square(), rate)


def _root_of_average(slot: Tensor, gradient: Tensor, rate: float) -> Tensor:
    """Move a running average of squares; return its root in the gradient's place."""
    square = slot.lerp_(torch.square(gradient, out=gradient), rate)
    return _root(square, gradient)


def _root(square: Tensor, out: Tensor | None = None) -> Tensor:
    """Return the square root.

    The reciprocal root of the processor is several times faster than ``torch.sqrt``,
    which takes zeros, those of padding and dead units, one by one.
    """
    return torch.rsqrt(square, out=out).reciprocal_()


def _adam(
    gradient: Tensor, slots: Slots, momentum: Tensor, nesterov: bool
) -> _Direction:
    """Mean over root of mean square, both corrected for their bias c1 and c2."""
    mean = slots["mean"].lerp_(gradient, 1.0 - ADAM_BETA_1)
    denominator = _root_of_average(slots["square"], gradient, 1.0 - ADAM_BETA_2)
    c1 = _average(slots["mean_correction"], 1.0 - ADAM_BETA_1)
    root = _average(slots["square_correction"], 1.0 - ADAM_BETA_2).sqrt()
    # Both sides multiplied by the root of c2, which leaves one number for each member.
    denominator.add_(root * _EPSILON[root.dtype])
    return torch.div(mean, denominator, out=denominator), root.div_(c1)


def _nadam(
    gradient: Tensor, slots: Slots, momentum: Tensor, nesterov: bool
) -> _Direction:
    """Adam whose first moment looks one step ahead along a warmed-up momentum."""
    decay = NADAM_DECAY_BASE**NADAM_MOMENTUM_DECAY
    power = slots["momentum_power"].mul_(decay)
    mu = ADAM_BETA_1 * (1.0 - 0.5 * power)
    mu_next = ADAM_BETA_1 * (1.0 - 0.5 * decay * power)
    product = slots["momentum_product"].mul_(mu)
    mean = slots["mean"].lerp_(gradient, 1.0 - ADAM_BETA_1)
    root = _average(slots["square_correction"], 1.0 - ADAM_BETA_2).sqrt()
    ahead: Tensor = mean * (mu_next / (1.0 - product * mu_next))
    ahead.addcmul_(gradient, (1.0 - mu) / (1.0 - product))
    denominator = _root_of_average(slots["square"], gradient, 1.0 - ADAM_BETA_2)
    denominator.add_(root * _EPSILON[root.dtype])
    return torch.div(ahead, denominator, out=denominator), root


def _rmsprop(
    gradient: Tensor, slots: Slots, momentum: Tensor, nesterov: bool
) -> _Direction:
    """Gradient over the root of its running mean square."""
    square = _average_square(slots["square"], gradient, 1.0 - RMSPROP_ALPHA)
    return gradient.div_(_root(square).add_(RMSPROP_EPSILON)), None


def _adagrad(
    gradient: Tensor, slots: Slots, momentum: Tensor, nesterov: bool
) -> _Direction:
    """Gradient over the root of the sum of its squares so far."""
    square = slots["square_sum"].addcmul_(gradient, gradient)
    return gradient.div_(_root(square).add_(ADAGRAD_EPSILON)), None


def _adadelta(
    gradient: Tensor, slots: Slots, momentum: Tensor, nesterov: bool
) -> _Direction:
    """Gradient times RMS of past directions over RMS of gradients."""
    square = _average_square(slots["square"], gradient, 1.0 - ADADELTA_RHO)
    past = slots["square_direction"]
    ratio = (past + ADADELTA_EPSILON).div_(square + ADADELTA_EPSILON)
    direction = ratio.rsqrt_().reciprocal_().mul_(gradient)
    _average_square(past, direction, 1.0 - ADADELTA_RHO)
    return direction, None


def _sgd(
    gradient: Tensor, slots: Slots, momentum: Tensor, nesterov: bool
) -> _Direction:
    """Velocity u = momentum u + g; with Nesterov's look-ahead, g + momentum u."""
    velocity = slots["velocity"].mul_(momentum).add_(gradient)
    if nesterov:
        return gradient.addcmul_(velocity, momentum), None
    return velocity, None


_ADAM_SLOTS = {
    "mean": None,
    "square": None,
    "mean_correction": 1,
    "square_correction": 1,
}
_NADAM_SLOTS = {
    "mean": None,
    "square": None,
    "square_correction": 1,
    "momentum_power": 1,
    "momentum_product": 1,
}

OPTIMIZERS: dict[str, OptimizerOption] = {
    "adam": OptimizerOption(
        make=_adam,
        summary="Adaptive moments: running mean over root of running square.",
        reference="Kingma & Ba 2015, Adam: a method for stochastic optimization, "
        "algorithm 1",
        presets=frozenset({"small", "standard", "regularization", "guide"}),
        slots=_ADAM_SLOTS,
        learning_rate=1e-3,
    ),
    "adamw": OptimizerOption(
        make=_adam,
        summary="Adam with decoupled weight decay.",
        reference="Loshchilov & Hutter 2019, Decoupled weight decay regularization, "
        "algorithm 2",
        presets=frozenset({"small", "standard", "regularization"}),
        slots=_ADAM_SLOTS,
        learning_rate=5e-3,
        weight_decay=0.02,
    ),
    "nadam": OptimizerOption(
        make=_nadam,
        summary="Adam with Nesterov's look-ahead.",
        reference="Dozat 2016, Incorporating Nesterov momentum into Adam",
        presets=frozenset({"standard"}),
        slots=_NADAM_SLOTS,
        initial={"momentum_power": 1.0, "momentum_product": 1.0},
        learning_rate=1e-3,
    ),
    "rmsprop": OptimizerOption(
        make=_rmsprop,
        summary="Gradient over the root of its running square.",
        reference="Tieleman & Hinton 2012, Neural networks for machine learning, "
        "lecture 6.5",
        presets=frozenset({"standard", "guide"}),
        slots={"square": None},
        learning_rate=1e-3,
    ),
    "adagrad": OptimizerOption(
        make=_adagrad,
        summary="Gradient over the root of the sum of its squares.",
        reference="Duchi, Hazan & Singer 2011, Adaptive subgradient methods for online "
        "learning and stochastic optimization",
        slots={"square_sum": None},
        learning_rate=1e-2,
    ),
    "adadelta": OptimizerOption(
        make=_adadelta,
        summary="Gradient rescaled by the sizes of past steps and past gradients.",
        reference="Zeiler 2012, ADADELTA: an adaptive learning rate method, "
        "algorithm 1",
        presets=frozenset({"guide"}),
        slots={"square": None, "square_direction": None},
        learning_rate=1.0,
    ),
    "sgd": OptimizerOption(
        make=_sgd,
        summary="Stochastic gradient descent with momentum, optionally Nesterov's.",
        reference="Sutskever et al. 2013, On the importance of initialization and "
        "momentum in deep learning, eqs. 1 to 4",
        presets=frozenset({"small", "standard", "guide"}),
        slots={"velocity": None},
        learning_rate=0.05,
    ),
}
