"""Activation functions of the hidden layers.

Every entry of ``ACTIVATIONS`` maps a tensor of pre-activations, of any shape and
floating-point type, to a tensor of the same shape and type. The functions are
elementwise, differentiable by autograd, and leave their argument unchanged;
``identity`` returns the argument itself.

Examples
--------
>>> import torch
>>> from sknnopt.activations import ACTIVATIONS
>>> x = torch.tensor([-1.0, 0.0, 2.0], dtype=torch.float64)
>>> ACTIVATIONS["relu"].make(x)
tensor([0., 0., 2.], dtype=torch.float64)
>>> ACTIVATIONS["selu"].initializer
'lecun_normal'
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from sknnopt._registry import Option

LEAKY_SLOPE = 0.01


@dataclass(frozen=True, kw_only=True)
class ActivationOption(Option):
    """An activation function and the initializer that suits it.

    Parameters
    ----------
    make : callable
        Called as ``make(x)`` with a tensor of any shape; returns one like it.
    summary : str
        One line for documentation tables.
    reference : str
        The paper or book that defines the option, with the equation or section.
    presets : frozenset of str, default=frozenset()
        Search spaces that include the option.
    initializer : str
        The entry of ``INITIALIZERS`` that ``weight_init="auto"`` picks.
    """

    initializer: str


def _leaky_relu(x: Tensor) -> Tensor:
    """max(x, 0) + 0.01 min(x, 0)."""
    return functional.leaky_relu(x, negative_slope=LEAKY_SLOPE)


def _elu(x: Tensor) -> Tensor:
    """X above 0, exp(x) - 1 below."""
    return functional.elu(x)


def _gelu(x: Tensor) -> Tensor:
    """X times the standard normal distribution function of x, without approximation."""
    return functional.gelu(x)


def _silu(x: Tensor) -> Tensor:
    """X sigmoid(x)."""
    return functional.silu(x)


def _mish(x: Tensor) -> Tensor:
    """X tanh(softplus(x))."""
    return functional.mish(x)


def _softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)), linear above 20 where the two differ by less than 3e-9."""
    return functional.softplus(x)


def _identity(x: Tensor) -> Tensor:
    """X itself."""
    return x


ACTIVATIONS: dict[str, ActivationOption] = {
    "relu": ActivationOption(
        make=torch.relu,
        summary="Rectified linear unit, max(x, 0).",
        reference="Nair & Hinton 2010, Rectified linear units improve restricted "
        "Boltzmann machines, section 2",
        presets=frozenset({"small", "standard", "regularization", "guide"}),
        initializer="he_uniform",
    ),
    "tanh": ActivationOption(
        make=torch.tanh,
        summary="Hyperbolic tangent; bounded by 1 and centered at 0.",
        reference="LeCun et al. 1998, Efficient BackProp, section 4.4",
        presets=frozenset({"small", "standard", "guide"}),
        initializer="xavier_uniform",
    ),
    "sigmoid": ActivationOption(
        make=torch.sigmoid,
        summary="Logistic function; its derivative is at most 1/4.",
        reference="Rumelhart, Hinton & Williams 1986, Learning representations by "
        "back-propagating errors, eq. 2",
        presets=frozenset({"guide"}),
        initializer="xavier_uniform",
    ),
    "leaky_relu": ActivationOption(
        make=_leaky_relu,
        summary="Rectified linear unit with slope 0.01 below 0.",
        reference="Maas, Hannun & Ng 2013, Rectifier nonlinearities improve neural "
        "network acoustic models, section 2",
        presets=frozenset({"standard"}),
        initializer="he_uniform",
    ),
    "elu": ActivationOption(
        make=_elu,
        summary="Exponential linear unit, exp(x) - 1 below 0.",
        reference="Clevert, Unterthiner & Hochreiter 2016, Fast and accurate deep "
        "network learning by exponential linear units, section 3",
        presets=frozenset({"standard"}),
        initializer="he_uniform",
    ),
    "selu": ActivationOption(
        make=torch.selu,
        summary="Scaled exponential linear unit; keeps mean 0 and variance 1.",
        reference="Klambauer et al. 2017, Self-normalizing neural networks, eq. 2",
        presets=frozenset({"standard"}),
        initializer="lecun_normal",
    ),
    "gelu": ActivationOption(
        make=_gelu,
        summary="Gaussian error linear unit, x times the normal distribution function.",
        reference="Hendrycks & Gimpel 2016, Gaussian error linear units, section 2",
        presets=frozenset({"standard"}),
        initializer="he_uniform",
    ),
    "silu": ActivationOption(
        make=_silu,
        summary="Sigmoid linear unit (swish), x sigmoid(x).",
        reference="Elfwing, Uchibe & Doya 2018, Sigmoid-weighted linear units for "
        "neural network function approximation in reinforcement learning, section 2",
        presets=frozenset({"standard"}),
        initializer="he_uniform",
    ),
    "mish": ActivationOption(
        make=_mish,
        summary="Smooth and non-monotonic, x tanh(softplus(x)).",
        reference="Misra 2020, Mish: a self regularized non-monotonic activation "
        "function, section 2",
        initializer="he_uniform",
    ),
    "softplus": ActivationOption(
        make=_softplus,
        summary="Smooth rectifier, log(1 + exp(x)).",
        reference="Dugas et al. 2001, Incorporating second-order functional knowledge "
        "for better option pricing, section 3",
        initializer="he_uniform",
    ),
    "identity": ActivationOption(
        make=_identity,
        summary="No activation: the layer stays linear.",
        reference="Bishop 2006, Pattern recognition and machine learning, section 5.1",
        initializer="xavier_uniform",
    ),
}
