"""Losses on the raw outputs of a batch of networks.

Every entry of ``LOSSES`` is called as ``make(raw, target, parameter)`` with M members,
B rows, K outputs:

- ``raw``: tensor of shape (M, B, K), the outputs of the last layer before any
  activation (logits, or the log of a mean for ``poisson``);
- ``target``: tensor of shape (M, B, K), or (M, B, 1) of int64 class indices for
  ``categorical_cross_entropy``;
- ``parameter``: tensor of shape (M, 1, 1), one value per member of the estimator
  parameter that the option names; not read where it names none.

It returns the loss per row, a tensor of shape (M, B), averaged over the outputs but
neither over rows nor members, so that sample weights can follow.

``gradient(raw, prepare(target, parameter), parameter)`` is the derivative of each row's
loss with respect to its raw outputs, a new tensor of shape (M, B, K). What depends on
the target alone is prepared for many batches at once.

Examples
--------
>>> import torch
>>> from sknnopt.losses import LOSSES
>>> raw = torch.tensor([[[0.0], [3.0]]], dtype=torch.float64)
>>> target = torch.tensor([[[1.0], [1.0]]], dtype=torch.float64)
>>> none = torch.zeros((1, 1, 1), dtype=torch.float64)
>>> LOSSES["squared_error"].make(raw, target, none)
tensor([[1., 4.]], dtype=torch.float64)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from sknnopt._constants import constant
from sknnopt._registry import Option


@dataclass(frozen=True, kw_only=True)
class LossOption(Option):
    """A loss, with what an estimator needs to know to use it.

    Parameters
    ----------
    make : callable
        Called as ``make(raw, target, parameter)``; returns the loss per row, of
        shape (M, B).
    summary : str
        One line for documentation tables.
    reference : str
        The paper or book that defines the option, with the equation or section.
    presets : frozenset of str, default=frozenset()
        Search spaces that include the option.
    gradient : callable
        Called as ``make`` is, with the prepared target; returns the derivative by the
        raw outputs, of shape (M, B, K).
    prepare : callable
        Called as ``prepare(target, parameter)``; returns what ``gradient`` reads of
        the target. The default is the target itself.
    task : {"classification", "regression"}
        The estimator that offers the loss.
    respond : callable
        Maps raw outputs to predictions of the same shape: probabilities, or the
        predicted target.
    parameter : str or None, default=None
        The estimator parameter that the loss reads, one value per member.
    target_scaling : {"none", "standardize", "mean"}, default="none"
        What is done to the target before training: nothing, subtraction of its mean
        and division by its standard deviation, or division by its mean.
    """

    gradient: Callable[[Tensor, Tensor, Tensor], Tensor]
    task: str
    respond: Callable[[Tensor], Tensor]
    prepare: Callable[[Tensor, Tensor], Tensor] = lambda target, parameter: target
    parameter: str | None = None
    target_scaling: str = "none"


def _binary_cross_entropy(raw: Tensor, target: Tensor, parameter: Tensor) -> Tensor:
    """Minus log-likelihood of K independent labels, smoothed towards 1/2."""
    smooth = target + parameter * (0.5 - target)
    return ((1.0 - smooth) * raw - functional.logsigmoid(raw)).mean(dim=-1)


_HALF = constant(0.5)


def _binary_cross_entropy_offset(target: Tensor, parameter: Tensor) -> Tensor:
    """1/2 minus the smoothed target."""
    return (0.5 - target) * (1.0 - parameter)


def _binary_cross_entropy_gradient(
    raw: Tensor, offset: Tensor, parameter: Tensor
) -> Tensor:
    """sigmoid(raw) minus the smoothed target."""
    # Sigmoid as (1 + tanh(raw / 2)) / 2, since torch's own rounds the last numbers of
    # an array otherwise: a member's results would depend on its place.
    half = torch.mul(raw, _HALF[raw.dtype]).tanh_()
    return _mean_slope(torch.add(offset, half, alpha=0.5))


def _categorical_cross_entropy(
    raw: Tensor, target: Tensor, parameter: Tensor
) -> Tensor:
    """Minus log-likelihood of one class in K, smoothed towards 1/K."""
    log_proba = torch.log_softmax(raw, dim=-1)
    of_class = log_proba.gather(-1, target).squeeze(-1)
    smoothing = parameter.squeeze(-1)
    return -torch.lerp(of_class, log_proba.mean(dim=-1), smoothing)


def _categorical_cross_entropy_gradient(
    raw: Tensor, target: Tensor, parameter: Tensor
) -> Tensor:
    """softmax(raw) minus the smoothed indicator of the class."""
    slope = torch.softmax(raw, dim=-1).sub_(parameter / raw.shape[-1])
    of_class = (parameter - 1.0).expand(*target.shape)
    return slope.scatter_add_(-1, target, of_class)


def _squared_error(raw: Tensor, target: Tensor, parameter: Tensor) -> Tensor:
    """(raw - target)^2."""
    return (raw - target).square().mean(dim=-1)


def _squared_error_gradient(raw: Tensor, target: Tensor, parameter: Tensor) -> Tensor:
    """2 (raw - target)."""
    return _mean_slope((raw - target).mul_(2.0))


def _absolute_error(raw: Tensor, target: Tensor, parameter: Tensor) -> Tensor:
    """|raw - target|."""
    return (raw - target).abs().mean(dim=-1)


def _absolute_error_gradient(raw: Tensor, target: Tensor, parameter: Tensor) -> Tensor:
    """sign(raw - target)."""
    return _mean_slope((raw - target).sign_())


def _huber(raw: Tensor, target: Tensor, parameter: Tensor) -> Tensor:
    """d^2 / 2 up to delta, delta (d - delta / 2) beyond, with d = |raw - target|."""
    distance = (raw - target).abs()
    # One expression for both branches: the shorter side is d itself within delta.
    near = torch.minimum(distance, parameter)
    return (near * (distance - 0.5 * near)).mean(dim=-1)


def _huber_gradient(raw: Tensor, target: Tensor, parameter: Tensor) -> Tensor:
    """Raw - target, bounded to [-delta, delta]."""
    return _mean_slope((raw - target).clamp_(-parameter, parameter))


def _poisson(raw: Tensor, target: Tensor, parameter: Tensor) -> Tensor:
    """exp(raw) - target raw: minus log-likelihood without its constant."""
    return (raw.exp() - target * raw).mean(dim=-1)


def _poisson_gradient(raw: Tensor, target: Tensor, parameter: Tensor) -> Tensor:
    """exp(raw) - target."""
    return _mean_slope(torch.exp(raw).sub_(target))


def _quantile(raw: Tensor, target: Tensor, parameter: Tensor) -> Tensor:
    """Pinball loss: q e above the prediction, (q - 1) e below; e = target - raw."""
    error = target - raw
    return torch.maximum(parameter * error, (parameter - 1.0) * error).mean(dim=-1)


def _quantile_gradient(raw: Tensor, target: Tensor, parameter: Tensor) -> Tensor:
    """-q where the target is above the prediction, 1 - q below."""
    return _mean_slope((raw - target).sign_().mul_(0.5).add_(0.5 - parameter))


def _mean_slope(slope: Tensor) -> Tensor:
    """Divide by the number of outputs, over which a loss is averaged."""
    return slope if slope.shape[-1] == 1 else slope.div_(slope.shape[-1])


def _softmax(raw: Tensor) -> Tensor:
    """Probabilities over the last axis."""
    return torch.softmax(raw, dim=-1)


def _identity(raw: Tensor) -> Tensor:
    """Return the raw output itself."""
    return raw


_PRML = "Bishop 2006, Pattern recognition and machine learning"
_ESL = "Hastie, Tibshirani & Friedman 2009, The elements of statistical learning"

LOSSES: dict[str, LossOption] = {
    "binary_cross_entropy": LossOption(
        make=_binary_cross_entropy,
        gradient=_binary_cross_entropy_gradient,
        prepare=_binary_cross_entropy_offset,
        summary="Log-loss of a sigmoid per output: two classes, or many labels.",
        reference=f"{_PRML}, eqs. 5.21 and 5.23; smoothing: Szegedy et al. 2016, "
        "Rethinking the Inception architecture for computer vision, section 7",
        task="classification",
        respond=torch.sigmoid,
        parameter="label_smoothing",
    ),
    "categorical_cross_entropy": LossOption(
        make=_categorical_cross_entropy,
        gradient=_categorical_cross_entropy_gradient,
        summary="Log-loss of a softmax over the classes.",
        reference=f"{_PRML}, eq. 5.24; smoothing: Szegedy et al. 2016, "
        "Rethinking the Inception architecture for computer vision, section 7",
        task="classification",
        respond=_softmax,
        parameter="label_smoothing",
    ),
    "squared_error": LossOption(
        make=_squared_error,
        gradient=_squared_error_gradient,
        summary="Squared distance; predicts the mean.",
        reference=f"{_PRML}, eq. 5.14 (without the factor 1/2)",
        presets=frozenset({"small", "standard"}),
        task="regression",
        respond=_identity,
        target_scaling="standardize",
    ),
    "absolute_error": LossOption(
        make=_absolute_error,
        gradient=_absolute_error_gradient,
        summary="Absolute distance; predicts the median.",
        reference=f"{_ESL}, section 10.6",
        presets=frozenset({"standard"}),
        task="regression",
        respond=_identity,
        target_scaling="standardize",
    ),
    "huber": LossOption(
        make=_huber,
        gradient=_huber_gradient,
        summary="Squared within huber_delta, linear beyond: robust to outliers.",
        reference="Huber 1964, Robust estimation of a location parameter; "
        f"{_ESL}, eq. 10.23 (here halved)",
        presets=frozenset({"standard"}),
        task="regression",
        respond=_identity,
        parameter="huber_delta",
        target_scaling="standardize",
    ),
    "poisson": LossOption(
        make=_poisson,
        gradient=_poisson_gradient,
        summary="Log-likelihood of counts; predicts exp(raw), always positive.",
        reference="McCullagh & Nelder 1989, Generalized linear models",
        task="regression",
        respond=torch.exp,
        target_scaling="mean",
    ),
    "quantile": LossOption(
        make=_quantile,
        gradient=_quantile_gradient,
        summary="Pinball loss; predicts the given quantile.",
        reference="Koenker & Bassett 1978, Regression quantiles, Econometrica 46(1)",
        task="regression",
        respond=_identity,
        parameter="quantile",
        target_scaling="standardize",
    ),
}


def respond(name: str, raw: Tensor) -> Tensor:
    """Turn raw outputs into what a network predicts.

    Parameters
    ----------
    name : str
        A key of ``LOSSES``.
    raw : Tensor of shape (..., K)
        Raw outputs.

    Returns
    -------
    Tensor of shape (..., K) or (..., 2)
        Probabilities or values; one sigmoid gives the probabilities of both classes,
        each to its own precision.

    Examples
    --------
    >>> import torch
    >>> from sknnopt.losses import respond
    >>> respond("binary_cross_entropy", torch.tensor([[0.0]]))
    tensor([[0.5000, 0.5000]])
    """
    if name == "binary_cross_entropy" and raw.shape[-1] == 1:
        raw = torch.cat([-raw, raw], dim=-1)
    return LOSSES[name].respond(raw)


def is_linear(name: str) -> bool:
    """Tell whether a network predicts its raw outputs themselves.

    Parameters
    ----------
    name : str
        A key of ``LOSSES``.

    Returns
    -------
    bool
        False where they pass a sigmoid, a softmax or an exponential.

    Examples
    --------
    >>> from sknnopt.losses import is_linear
    >>> is_linear("huber"), is_linear("poisson")
    (True, False)
    """
    return LOSSES[name].respond is _identity
