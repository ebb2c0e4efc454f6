"""Update rules against torch.optim, stepping every member on its own."""

from __future__ import annotations

import pytest
import torch
from helpers import double_by_default

from sknnopt.optimizers import OPTIMIZERS, initial_slots, update

M, P, N_BIASES, N_STEPS = 3, 13, 4, 25
RATES = [1e-3, 2e-2, 0.3]
MOMENTA = [0.0, 0.5, 0.95]
DECAYS = [0.0, 0.01, 0.2]

# torch.optim's class and the arguments that are not its defaults.
ORACLES = {
    "adam": (torch.optim.Adam, {}),
    "adamw": (torch.optim.AdamW, {}),
    "nadam": (torch.optim.NAdam, {"decoupled_weight_decay": True}),
    "rmsprop": (torch.optim.RMSprop, {}),
    "adagrad": (torch.optim.Adagrad, {}),
    "adadelta": (torch.optim.Adadelta, {}),
    "sgd": (torch.optim.SGD, {}),
}
DECOUPLED = ["adamw", "nadam"]


def _column(values, dtype=torch.float64):
    return torch.tensor(values, dtype=dtype)[:, None]


def _start(dtype=torch.float64, n_members=M):
    generator = torch.Generator().manual_seed(0)
    return torch.randn((n_members, P), generator=generator, dtype=dtype)


def _gradient(weights):
    """Gradient of a valley that is 100 times steeper along its last axis."""
    steepness = torch.logspace(0, 2, P, dtype=weights.dtype)
    return steepness * (weights - 0.5) + weights.cos()


def _run(name, weights, *, nesterov=False, decays=None, rates=RATES, momenta=MOMENTA):
    """Return the weights after N_STEPS updates of all members together."""
    weights, dtype = weights.clone(), weights.dtype
    slots = initial_slots(name, weights)
    decay = None
    if decays is not None:
        decay = _column(decays, dtype).repeat(1, P)
        decay[:, P - N_BIASES :] = 0.0
    for _ in range(N_STEPS):
        update(
            name,
            weights,
            _gradient(weights),
            slots,
            learning_rate=_column(rates, dtype),
            weight_decay=decay,
            momentum=_column(momenta, dtype),
            nesterov=nesterov,
        )
    return weights


@double_by_default()
def _run_torch(name, weights, rate, *, decay=0.0, **arguments):
    """Return the weights of one member after N_STEPS updates by torch.optim."""
    n_decayed = P - N_BIASES
    parts = [weights[:n_decayed].clone(), weights[n_decayed:].clone()]
    groups = [
        {"params": [parts[0]], "weight_decay": decay},
        {"params": [parts[1]], "weight_decay": 0.0},
    ]
    kind, fixed = ORACLES[name]
    optimizer = kind(groups, lr=rate, **fixed, **arguments)
    for _ in range(N_STEPS):
        gradient = _gradient(torch.cat(parts))
        parts[0].grad, parts[1].grad = gradient[:n_decayed], gradient[n_decayed:]
        optimizer.step()
    return torch.cat(parts)


def test_names():
    """The registry offers exactly the documented update rules."""
    assert set(OPTIMIZERS) == set(ORACLES)


def test_defaults():
    """Automatic learning rates and decays are the documented ones."""
    defaults = {n: (o.learning_rate, o.weight_decay) for n, o in OPTIMIZERS.items()}
    assert defaults == {
        "adam": (1e-3, 0.0),
        "adamw": (5e-3, 0.02),
        "nadam": (1e-3, 0.0),
        "rmsprop": (1e-3, 0.0),
        "adagrad": (1e-2, 0.0),
        "adadelta": (1.0, 0.0),
        "sgd": (0.05, 0.0),
    }


def test_slots_of_a_name_are_alike():
    """What two rules call the same is as wide, so that their members can be joined."""
    widths = {}
    for option in OPTIMIZERS.values():
        for name, width in option.slots.items():
            assert widths.setdefault(name, width) == width


@pytest.mark.parametrize("name", sorted(set(ORACLES) - {"sgd"}))
def test_trajectory(name):
    """25 steps equal torch.optim's, every member with its own learning rate."""
    start = _start()
    weights = _run(name, start)
    for member, rate in enumerate(RATES):
        expected = _run_torch(name, start[member], rate)
        torch.testing.assert_close(weights[member], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_trajectory(nesterov):
    """25 steps equal torch.optim.SGD's, every member with its own momentum."""
    start, rates = _start(), [1e-4, 1e-3, 5e-3]
    weights = _run("sgd", start, nesterov=nesterov, rates=rates)
    for member, momentum in enumerate(MOMENTA):
        expected = _run_torch(
            "sgd",
            start[member],
            rates[member],
            momentum=momentum,
            nesterov=nesterov and momentum > 0,
        )
        torch.testing.assert_close(weights[member], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", DECOUPLED)
def test_decoupled_decay(name):
    """Decay of the weights, not the biases, equals torch.optim's parameter groups."""
    start = _start()
    weights = _run(name, start, decays=DECAYS)
    for member, (rate, decay) in enumerate(zip(RATES, DECAYS, strict=True)):
        expected = _run_torch(name, start[member], rate, decay=decay)
        torch.testing.assert_close(weights[member], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_decay_precedes_the_step(name):
    """Any rule decays the weights first, then adds the step it takes without decay."""
    start, rate, decay = _start(), _column(RATES), _column(DECAYS).repeat(1, P)
    results = []
    for weight_decay in (None, decay):
        weights = start.clone()
        update(
            name,
            weights,
            _gradient(start),
            initial_slots(name, start),
            learning_rate=rate,
            weight_decay=weight_decay,
            momentum=_column(MOMENTA),
            nesterov=False,
        )
        results.append(weights)
    plain, decayed = results
    expected = (1 - rate * decay) * start + (plain - start)
    torch.testing.assert_close(decayed, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_members_are_independent(name, dtype, nesterov):
    """A member trains bit for bit as it does alone, however many are beside it."""
    n_members = 67  # more than a processor's vector, and not a multiple of it
    start = _start(dtype, n_members)
    rates = torch.logspace(-4, -2, n_members).tolist()
    momenta = torch.linspace(0.0, 0.95, n_members).tolist()
    decays = torch.linspace(0.0, 0.2, n_members).tolist()
    arguments = {"nesterov": nesterov}
    together = _run(
        name, start, rates=rates, momenta=momenta, decays=decays, **arguments
    )
    for i in (0, 2, 31, 66):
        one = slice(i, i + 1)
        alone = _run(
            name,
            start[one],
            rates=rates[one],
            momenta=momenta[one],
            decays=decays[one],
            **arguments,
        )
        assert torch.equal(alone[0], together[i])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_single_precision(name):
    """Single precision follows double to its own rounding, from the first step."""
    start = _start()
    rates = [1e-4, 1e-3, 5e-3]
    exact = _run(name, start, rates=rates)
    single = _run(name, start.float(), rates=rates)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), exact, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_gradient_and_slots(name, nesterov):
    """A rule returns direction and factor, and updates its slots in place."""
    gradient = _start()
    slots = initial_slots(name, gradient)
    states = dict(slots)
    values = {slot: state.clone() for slot, state in slots.items()}
    option = OPTIMIZERS[name]
    direction, factor = option.make(gradient, slots, _column(MOMENTA), nesterov)
    assert direction.shape == (M, P)
    assert factor is None or factor.shape == (M, 1)
    for slot, state in states.items():
        assert slots[slot] is state
        assert not torch.equal(state, values[slot])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_initial_slots(name, dtype):
    """Slots have the declared shapes, the type of the weights, and start at 0 or 1."""
    option = OPTIMIZERS[name]
    slots = initial_slots(name, _start(dtype))
    assert set(slots) == set(option.slots)
    assert set(option.initial) <= set(slots)
    for slot, state in slots.items():
        width = P if option.slots[slot] is None else option.slots[slot]
        assert state.shape == (M, width)
        assert state.dtype == dtype
        assert (state == option.initial.get(slot, 0.0)).all()


@pytest.mark.parametrize("name", sorted(set(ORACLES) - {"sgd"}))
def test_momentum_is_read_by_sgd_only(name):
    """NaN as momentum leaves every rule but sgd finite."""
    nan = [float("nan")] * M
    assert _run(name, _start(), momenta=nan).isfinite().all()
    assert not _run("sgd", _start(), momenta=nan).isfinite().any()


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_columns_at_rest(name, dtype, nesterov):
    """Where gradients are zero from the start, weights stay, and gradients stay zero.

    Padding is not written anew in every step: what a rule leaves there is read again.
    """
    weights = _start(dtype)
    rest = torch.arange(P) % 3 == 0
    slots, first = initial_slots(name, weights), weights.clone()
    gradient = torch.zeros_like(weights)
    for step in range(4):
        gradient[:, ~rest] = _start(dtype)[:, ~rest] + step
        update(
            name,
            weights,
            gradient,
            slots,
            learning_rate=_column(RATES, dtype),
            weight_decay=None,
            momentum=_column(MOMENTA, dtype),
            nesterov=nesterov,
        )
        assert (gradient[:, rest] == 0).all()
    assert torch.equal(weights[:, rest], first[:, rest])
    assert not torch.equal(weights, first)
