"""Activation functions of the hidden layers.

Every entry of ``ACTIVATIONS`` is called as ``make(x, out=None)`` with a tensor of
pre-activations, of any shape and floating-point type, and returns a tensor of the same
shape and type. The functions are elementwise. Without ``out`` they are differentiable
by autograd and leave their argument unchanged (``identity`` returns the argument
itself); with ``out``, which may be ``x``, they write there, where autograd is off.

``backward(gradient, x, y)`` multiplies the gradient with respect to ``y = make(x)`` by
the derivative, in place. Where ``reads_input`` is False it reads only ``y``, so that
``y`` may have been written over ``x``.

Examples
--------
>>> import torch
>>> from sknnopt.activations import ACTIVATIONS
>>> x = torch.tensor([-1.0, 0.0, 2.0], dtype=torch.float64)
>>> ACTIVATIONS["relu"].make(x)
tensor([0., 0., 2.], dtype=torch.float64)
>>> y = ACTIVATIONS["tanh"].make(x)
>>> ACTIVATIONS["tanh"].backward(torch.ones_like(x), x, y) == 1 - torch.tanh(x) ** 2
tensor([True, True, True])
>>> ACTIVATIONS["selu"].initializer
'lecun_normal'
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from sknnopt._registry import Option

LEAKY_SLOPE = 0.01
SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946
SOFTPLUS_LINEAR = 20.0

#: What autograd itself calls; unlike its public faces it writes where it is told to.
_aten = torch.ops.aten


@dataclass(frozen=True, kw_only=True)
class ActivationOption(Option):
    """An activation function, its derivative and the initializer that suits it.

    Parameters
    ----------
    make : callable
        Called as ``make(x, out=None)`` with a tensor of any shape; returns one like
        it.
    summary : str
        One line for documentation tables.
    reference : str
        The paper or book that defines the option, with the equation or section.
    presets : frozenset of str, default=frozenset()
        Search spaces that include the option.
    backward : callable
        Called as ``backward(gradient, x, y)``; changes the gradient in place and
        returns it.
    reads_input : bool, default=False
        Whether ``backward`` reads ``x`` as well as ``y``.
    initializer : str
        The entry of ``INITIALIZERS`` that ``weight_init="auto"`` picks.
    is_cut : bool, default=False
        Whether the output and the derivative are exactly 0 wherever x is below 0: a
        unit that answers 0 to every row learns no more.
    limits : (float, float) or None, default=None
        For functions between two limits, low and high, whose derivative is a multiple
        of ``(y - low) (high - y)``: they saturate near both.
    """

    backward: Callable[[Tensor, Tensor, Tensor], Tensor]
    reads_input: bool = False
    initializer: str
    is_cut: bool = False
    limits: tuple[float, float] | None = None


def _relu(x: Tensor, out: Tensor | None = None) -> Tensor:
    """max(x, 0)."""
    return torch.relu(x) if out is None else torch.clamp_min(x, 0.0, out=out)


def _relu_backward(gradient: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """0 where y is 0."""
    backward = _aten.threshold_backward.grad_input
    return backward(gradient, y, 0.0, grad_input=gradient)


def _tanh(x: Tensor, out: Tensor | None = None) -> Tensor:
    return torch.tanh(x, out=out)


def _tanh_backward(gradient: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """1 - y^2."""
    return _aten.tanh_backward.grad_input(gradient, y, grad_input=gradient)


def _sigmoid(x: Tensor, out: Tensor | None = None) -> Tensor:
    return torch.sigmoid(x, out=out)


def _sigmoid_backward(gradient: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Y (1 - y)."""
    return _aten.sigmoid_backward.grad_input(gradient, y, grad_input=gradient)


def _leaky_relu(x: Tensor, out: Tensor | None = None) -> Tensor:
    """max(x, 0) + 0.01 min(x, 0)."""
    if out is None:
        return functional.leaky_relu(x, negative_slope=LEAKY_SLOPE)
    return _aten.leaky_relu.out(x, LEAKY_SLOPE, out=out)


def _leaky_relu_backward(gradient: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """0.01 below 0, where y has the sign of x."""
    backward = _aten.leaky_relu_backward.grad_input
    return backward(gradient, y, LEAKY_SLOPE, True, grad_input=gradient)


def _elu(x: Tensor, out: Tensor | None = None) -> Tensor:
    """X above 0, exp(x) - 1 below."""
    if out is None:
        return functional.elu(x)
    return _aten.elu.out(x, 1.0, 1.0, 1.0, out=out)


def _elu_backward(gradient: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Y + 1 below 0."""
    backward = _aten.elu_backward.grad_input
    return backward(gradient, 1.0, 1.0, 1.0, True, y, grad_input=gradient)


def _selu(x: Tensor, out: Tensor | None = None) -> Tensor:
    """Scale times x above 0, times alpha (exp(x) - 1) below."""
    if out is None:
        return torch.selu(x)
    return _aten.elu.out(x, SELU_ALPHA, SELU_SCALE, 1.0, out=out)


def _selu_backward(gradient: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Scale above 0, y + scale alpha below."""
    backward = _aten.elu_backward.grad_input
    constants = SELU_ALPHA, SELU_SCALE, 1.0
    return backward(gradient, *constants, True, y, grad_input=gradient)


def _gelu(x: Tensor, out: Tensor | None = None) -> Tensor:
    """X times the standard normal distribution function of x, without approximation."""
    return functional.gelu(x) if out is None else _aten.gelu.out(x, out=out)


def _gelu_backward(gradient: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Distribution function at x, plus x times the density."""
    return _aten.gelu_backward.grad_input(gradient, x, grad_input=gradient)


def _silu(x: Tensor, out: Tensor | None = None) -> Tensor:
    """X sigmoid(x)."""
    return functional.silu(x) if out is None else _aten.silu.out(x, out=out)


def _silu_backward(gradient: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """s (1 + x (1 - s)) with s = sigmoid(x)."""
    return _aten.silu_backward.grad_input(gradient, x, grad_input=gradient)


def _mish(x: Tensor, out: Tensor | None = None) -> Tensor:
    """X tanh(softplus(x))."""
    return functional.mish(x) if out is None else _aten.mish.out(x, out=out)


def _mish_backward(gradient: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """t + x s (1 - t^2) with t = tanh(softplus(x)) and s = sigmoid(x)."""
    # The only one that cannot write in place.
    return gradient.copy_(_aten.mish_backward.default(gradient, x))


def _softplus(x: Tensor, out: Tensor | None = None) -> Tensor:
    """log(1 + exp(x)), linear above 20 where the two differ by less than 3e-9."""
    if out is None:
        return functional.softplus(x)
    return _aten.softplus.out(x, 1.0, SOFTPLUS_LINEAR, out=out)


def _softplus_backward(gradient: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """sigmoid(x)."""
    backward = _aten.softplus_backward.grad_input
    return backward(gradient, x, 1.0, SOFTPLUS_LINEAR, grad_input=gradient)


def _identity(x: Tensor, out: Tensor | None = None) -> Tensor:
    """X itself."""
    return x if out is None or out is x else out.copy_(x)


def _identity_backward(gradient: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """1."""
    return gradient


ACTIVATIONS: dict[str, ActivationOption] = {
    "relu": ActivationOption(
        make=_relu,
        summary="Rectified linear unit, max(x, 0).",
        reference="Nair & Hinton 2010, Rectified linear units improve restricted "
        "Boltzmann machines",
        presets=frozenset({"small", "standard", "regularization", "guide"}),
        backward=_relu_backward,
        initializer="he_uniform",
        is_cut=True,
    ),
    "tanh": ActivationOption(
        make=_tanh,
        summary="Hyperbolic tangent; bounded by 1 and centered at 0.",
        reference="LeCun et al. 1998, Efficient BackProp, section 4.4",
        presets=frozenset({"small", "standard", "guide"}),
        backward=_tanh_backward,
        initializer="xavier_uniform",
        limits=(-1.0, 1.0),
    ),
    "sigmoid": ActivationOption(
        make=_sigmoid,
        summary="Logistic function; its derivative is at most 1/4.",
        reference="Rumelhart, Hinton & Williams 1986, Learning representations by "
        "back-propagating errors",
        presets=frozenset({"guide"}),
        backward=_sigmoid_backward,
        initializer="xavier_uniform",
        limits=(0.0, 1.0),
    ),
    "leaky_relu": ActivationOption(
        make=_leaky_relu,
        summary="Rectified linear unit with slope 0.01 below 0.",
        reference="Maas, Hannun & Ng 2013, Rectifier nonlinearities improve neural "
        "network acoustic models",
        presets=frozenset({"standard"}),
        backward=_leaky_relu_backward,
        initializer="he_uniform",
    ),
    "elu": ActivationOption(
        make=_elu,
        summary="Exponential linear unit, exp(x) - 1 below 0.",
        reference="Clevert, Unterthiner & Hochreiter 2016, Fast and accurate deep "
        "network learning by exponential linear units",
        presets=frozenset({"standard"}),
        backward=_elu_backward,
        initializer="he_uniform",
    ),
    "selu": ActivationOption(
        make=_selu,
        summary="Scaled exponential linear unit; keeps mean 0 and variance 1.",
        reference="Klambauer et al. 2017, Self-normalizing neural networks",
        presets=frozenset({"standard"}),
        backward=_selu_backward,
        initializer="lecun_normal",
    ),
    "gelu": ActivationOption(
        make=_gelu,
        summary="Gaussian error linear unit, x times the normal distribution function.",
        reference="Hendrycks & Gimpel 2016, Gaussian error linear units",
        presets=frozenset({"standard"}),
        backward=_gelu_backward,
        reads_input=True,
        initializer="he_uniform",
    ),
    "silu": ActivationOption(
        make=_silu,
        summary="Sigmoid linear unit (swish), x sigmoid(x).",
        reference="Elfwing, Uchibe & Doya 2018, Sigmoid-weighted linear units for "
        "neural network function approximation in reinforcement learning",
        presets=frozenset({"standard"}),
        backward=_silu_backward,
        reads_input=True,
        initializer="he_uniform",
    ),
    "mish": ActivationOption(
        make=_mish,
        summary="Smooth and non-monotonic, x tanh(softplus(x)).",
        reference="Misra 2020, Mish: a self regularized non-monotonic activation "
        "function",
        backward=_mish_backward,
        reads_input=True,
        initializer="he_uniform",
    ),
    "softplus": ActivationOption(
        make=_softplus,
        summary="Smooth rectifier, log(1 + exp(x)).",
        reference="Dugas et al. 2001, Incorporating second-order functional knowledge "
        "for better option pricing",
        backward=_softplus_backward,
        reads_input=True,
        initializer="he_uniform",
    ),
    "identity": ActivationOption(
        make=_identity,
        summary="No activation: the layer stays linear.",
        reference="Bishop 2006, Pattern recognition and machine learning, section 5.1",
        backward=_identity_backward,
        initializer="xavier_uniform",
    ),
}
