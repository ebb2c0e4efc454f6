"""Losses against torch.nn.functional, scikit-learn and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import mean_pinball_loss
from torch.nn import functional

from sknnopt.losses import LOSSES

M, B = 3, 7
# One value per member of the parameter that the loss reads.
PARAMETERS = {
    "label_smoothing": [0.0, 0.1, 0.6],
    "huber_delta": [0.2, 1.0, 3.0],
    "quantile": [0.1, 0.5, 0.95],
    None: [0.0, 0.0, 0.0],
}
CLASSIFICATION = ["binary_cross_entropy", "categorical_cross_entropy"]
REGRESSION = ["squared_error", "absolute_error", "huber", "poisson", "quantile"]


def _binary(raw, target, smoothing):
    smooth = target * (1 - smoothing) + smoothing / 2
    return functional.binary_cross_entropy_with_logits(raw, smooth, reduction="none")


def _categorical(raw, target, smoothing):
    return functional.cross_entropy(
        raw, target[:, 0], reduction="none", label_smoothing=smoothing
    )[:, None]


def _pinball(raw, target, quantile):
    truth, prediction = target.numpy().T, raw.detach().numpy().T
    rows = [
        mean_pinball_loss(
            y[None], z[None], alpha=quantile, multioutput="uniform_average"
        )
        for y, z in zip(truth.T, prediction.T, strict=True)
    ]
    return torch.tensor(rows, dtype=raw.dtype)[:, None]


# Loss of one member, (B, K) or (B, 1), to be averaged over the last axis.
ORACLES = {
    "binary_cross_entropy": _binary,
    "categorical_cross_entropy": _categorical,
    "squared_error": lambda z, y, _: functional.mse_loss(z, y, reduction="none"),
    "absolute_error": lambda z, y, _: functional.l1_loss(z, y, reduction="none"),
    "huber": lambda z, y, delta: functional.huber_loss(
        z, y, reduction="none", delta=delta
    ),
    "poisson": lambda z, y, _: functional.poisson_nll_loss(
        z, y, log_input=True, full=False, reduction="none"
    ),
    "quantile": _pinball,
}


def _data(name, n_outputs, spread=2.0):
    """Return raw outputs, targets and parameters of M members."""
    rng = np.random.default_rng(n_outputs)
    raw = torch.from_numpy(spread * rng.standard_normal((M, B, n_outputs)))
    if name == "categorical_cross_entropy":
        target = torch.from_numpy(rng.integers(0, n_outputs, (M, B, 1)))
    elif name == "binary_cross_entropy":
        target = torch.from_numpy(rng.integers(0, 2, (M, B, n_outputs)).astype(float))
    elif name == "poisson":
        target = torch.from_numpy(rng.poisson(3.0, (M, B, n_outputs)).astype(float))
    else:
        target = torch.from_numpy(rng.standard_normal((M, B, n_outputs)))
    values = PARAMETERS[LOSSES[name].parameter]
    parameter = torch.tensor(values, dtype=torch.float64).reshape(M, 1, 1)
    return raw, target, parameter


def test_names():
    """The registry offers exactly the documented losses, each for its task."""
    tasks = {name: option.task for name, option in LOSSES.items()}
    assert tasks == {
        **dict.fromkeys(CLASSIFICATION, "classification"),
        **dict.fromkeys(REGRESSION, "regression"),
    }


def test_fields():
    """Each loss names its parameter and how its target is scaled."""
    fields = {name: (o.parameter, o.target_scaling) for name, o in LOSSES.items()}
    assert fields == {
        "binary_cross_entropy": ("label_smoothing", "none"),
        "categorical_cross_entropy": ("label_smoothing", "none"),
        "squared_error": (None, "standardize"),
        "absolute_error": (None, "standardize"),
        "huber": ("huber_delta", "standardize"),
        "poisson": (None, "mean"),
        "quantile": ("quantile", "standardize"),
    }


@pytest.mark.parametrize("n_outputs", [1, 4])
@pytest.mark.parametrize("name", LOSSES)
def test_value(name, n_outputs):
    """The loss of every row is the reference's, each member with its own parameter."""
    raw, target, parameter = _data(name, n_outputs)
    value = LOSSES[name].make(raw, target, parameter)
    assert value.shape == (M, B)
    for member in range(M):
        scalar = float(parameter[member])
        expected = ORACLES[name](raw[member], target[member], scalar).mean(dim=-1)
        torch.testing.assert_close(value[member], expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("n_outputs", [1, 4])
@pytest.mark.parametrize("name", LOSSES)
def test_gradient(name, n_outputs):
    """The gradient by autograd equals finite differences."""
    raw, target, parameter = _data(name, n_outputs)
    raw.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda z: LOSSES[name].make(z, target, parameter), (raw,)
    )


@pytest.mark.parametrize("name", LOSSES)
def test_parameter_is_ignored_where_none_is_named(name):
    """NaN as parameter changes the losses that name one and no other."""
    raw, target, parameter = _data(name, 3)
    value = LOSSES[name].make(raw, target, torch.full_like(parameter, torch.nan))
    assert bool(value.isnan().any()) == (LOSSES[name].parameter is not None)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", CLASSIFICATION)
def test_extreme_logits(name, dtype, smoothing):
    """Logits of 10,000 on either side give the linear limit and a finite gradient."""
    raw = torch.tensor([[[1e4, -1e4], [-1e4, 1e4]]], dtype=dtype, requires_grad=True)
    target = torch.zeros((1, 2, 1), dtype=torch.int64)
    if name == "binary_cross_entropy":
        target = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]], dtype=dtype)
    value = LOSSES[name].make(raw, target, torch.full((1, 1, 1), smoothing).to(dtype))
    (gradient,) = torch.autograd.grad(value.sum(), raw)
    assert gradient.isfinite().all()
    # Right logits cost the smoothed share of the margin, wrong ones all the rest.
    margin = 2e4 if name == "categorical_cross_entropy" else 1e4
    share = torch.tensor([[smoothing / 2, 1 - smoothing / 2]], dtype=dtype)
    torch.testing.assert_close(value.detach(), margin * share, rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", ["absolute_error", "huber", "quantile", "poisson"])
def test_extreme_residuals(name):
    """Raw outputs down to -10,000 give finite losses and gradients."""
    raw = torch.full((1, 1, 1), -1e4, dtype=torch.float64, requires_grad=True)
    one = torch.ones_like(raw)
    value = LOSSES[name].make(raw, one.detach(), 0.5 * one.detach())
    (gradient,) = torch.autograd.grad(value.sum(), raw)
    assert value.isfinite().all()
    assert gradient.isfinite().all()


def test_single_class_is_free():
    """With one class the loss is 0 and so is its gradient."""
    raw, target, parameter = _data("categorical_cross_entropy", 1, spread=50.0)
    raw.requires_grad_()
    value = LOSSES["categorical_cross_entropy"].make(raw, target, parameter)
    (gradient,) = torch.autograd.grad(value.sum(), raw)
    assert not value.any()
    assert not gradient.any()


@pytest.mark.parametrize("delta", [0.5, 2.0])
def test_huber_gradient_at_the_joint(delta):
    """Where the two branches of Huber's loss meet, the gradient is delta."""
    raw = torch.full((1, 1, 1), delta, dtype=torch.float64, requires_grad=True)
    zero = torch.zeros_like(raw)
    value = LOSSES["huber"].make(raw, zero, torch.full_like(zero, delta))
    (gradient,) = torch.autograd.grad(value.sum(), raw)
    assert gradient.item() == pytest.approx(delta, rel=1e-15)


@pytest.mark.parametrize("name", LOSSES)
def test_response(name):
    """The response is the mean that the raw output stands for."""
    raw, _, _ = _data(name, 3)
    expected = {
        "binary_cross_entropy": 1 / (1 + (-raw).exp()),
        "categorical_cross_entropy": raw.exp() / raw.exp().sum(dim=-1, keepdim=True),
        "poisson": raw.exp(),
    }.get(name, raw)
    torch.testing.assert_close(LOSSES[name].respond(raw), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", LOSSES)
def test_members_are_independent(name, dtype):
    """Loss and gradient of a member are bit for bit those it has alone."""
    raw, target, parameter = _data(name, 3)
    raw, parameter = raw.to(dtype), parameter.to(dtype)
    target = target.to(dtype) if target.is_floating_point() else target

    def run(rows):
        leaf = raw[rows].clone().requires_grad_()
        value = LOSSES[name].make(leaf, target[rows], parameter[rows])
        (gradient,) = torch.autograd.grad(value.sum(), leaf)
        return value.detach(), gradient

    value, gradient = run(slice(None))
    for member in range(M):
        alone, its_gradient = run(slice(member, member + 1))
        assert torch.equal(alone[0], value[member])
        assert torch.equal(its_gradient[0], gradient[member])


def _slope(name, raw, target, parameter):
    """Return the gradient as training takes it, from the prepared target."""
    option = LOSSES[name]
    return option.gradient(raw, option.prepare(target, parameter), parameter)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n_outputs", [1, 2, 4, 17])
@pytest.mark.parametrize("name", LOSSES)
def test_analytic_gradient(name, n_outputs, dtype):
    """It is autograd's, each member with its own parameter, and reads only."""
    data = _data(name, n_outputs)
    raw, target, parameter = (t.to(dtype) if t.is_floating_point() else t for t in data)
    before = [t.clone() for t in (raw, target, parameter)]
    leaf = raw.clone().requires_grad_()
    value = LOSSES[name].make(leaf, target, parameter)
    (expected,) = torch.autograd.grad(value.sum(), leaf)
    slope = _slope(name, raw, target, parameter)
    assert slope.shape == raw.shape
    assert slope.dtype == dtype
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(slope, expected, rtol=tolerance, atol=tolerance)
    for tensor, old in zip((raw, target, parameter), before, strict=True):
        assert torch.equal(tensor, old)


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_is_new(name):
    """The gradient shares no memory with what it was made of, and so may be changed."""
    raw, target, parameter = _data(name, 3)
    prepared = LOSSES[name].prepare(target, parameter)
    slope = LOSSES[name].gradient(raw, prepared, parameter)
    kept = slope.clone(), prepared.clone(), raw.clone()
    slope.fill_(7.0)
    assert torch.equal(prepared, kept[1])
    assert torch.equal(raw, kept[2])
    assert torch.equal(LOSSES[name].gradient(raw, prepared, parameter), kept[0])


@pytest.mark.parametrize("name", LOSSES)
def test_preparation_of_many_batches(name):
    """What is prepared for many batches at once is what each would have alone."""
    option = LOSSES[name]
    raw, target, parameter = _data(name, 3)
    steps = torch.stack([target, target.flip(1), target.roll(1, 1)])
    prepared = option.prepare(steps, parameter)
    for step, own in zip(prepared, steps, strict=True):
        assert torch.equal(step, option.prepare(own, parameter))
        result = option.gradient(raw, step, parameter)
        assert torch.equal(result, _slope(name, raw, own, parameter))


@pytest.mark.parametrize("name", sorted(set(REGRESSION) - {"poisson"}))
def test_gradient_of_a_hit(name):
    """Where a raw output is the target itself, no error pulls, quantiles apart."""
    _, target, parameter = _data(name, 3)
    slope = _slope(name, target.clone(), target, parameter)
    expected = (0.5 - parameter) / 3 if name == "quantile" else torch.zeros(1)
    torch.testing.assert_close(slope, expected.expand_as(slope).to(slope))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", LOSSES)
def test_extreme_outputs_of_the_gradient(name, dtype):
    """Raw outputs of 10,000 on either side have autograd's gradient, mostly finite."""
    raw, target, parameter = _data(name, 2)
    raw = (raw.sign() * 1e4).to(dtype)
    parameter = parameter.to(dtype)
    target = target.to(dtype) if target.is_floating_point() else target
    leaf = raw.clone().requires_grad_()
    value = LOSSES[name].make(leaf, target, parameter)
    (expected,) = torch.autograd.grad(value.sum(), leaf)
    slope = _slope(name, raw, target, parameter)
    torch.testing.assert_close(slope, expected, rtol=1e-6, atol=1e-6)
    assert slope.isfinite().all() or name == "poisson"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n_outputs", [1, 2, 3, 5, 17])
@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_independent(name, n_outputs, dtype):
    """Losses and gradients of a member among many are those alone, bit for bit."""
    data = _data(name, n_outputs)
    many = [t.repeat(20, *[1] * (t.ndim - 1)) for t in data]
    many = [t.to(dtype) if t.is_floating_point() else t for t in many]
    many[0] += torch.linspace(0, 1, len(many[0]), dtype=dtype)[:, None, None]
    losses, slopes = LOSSES[name].make(*many), _slope(name, *many)
    for member in (0, 1, 30, 59):
        one = [t[member : member + 1].clone() for t in many]
        assert torch.equal(LOSSES[name].make(*one)[0], losses[member])
        assert torch.equal(_slope(name, *one)[0], slopes[member])
