"""Initial weights of a layer.

Every entry of ``INITIALIZERS`` is called as ``make(rng, fan_in, fan_out, scale)``
with a numpy ``Generator``, the number of inputs and outputs of the layer (both at
least 1) and the estimator's ``init_scale``, and returns a float64 array of shape
``(fan_in, fan_out)``. Only ``random_normal`` and ``random_uniform`` read ``scale``:
the others derive their spread from the layer. The same state of the generator gives
the same array.

Below, ``n`` is ``fan_in`` and ``m`` is ``fan_out``; ``U[-b, b]`` has variance b^2 / 3.

Examples
--------
>>> import numpy as np
>>> from sknnopt.initializers import INITIALIZERS
>>> weights = INITIALIZERS["he_uniform"].make(np.random.default_rng(0), 24, 3, 1.0)
>>> weights.shape
(24, 3)
>>> bool(np.abs(weights).max() <= np.sqrt(6 / 24))
True
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from sknnopt._registry import Option

FloatArray = npt.NDArray[np.float64]
Rng = np.random.Generator


def _zeros(rng: Rng, fan_in: int, fan_out: int, scale: float) -> FloatArray:
    """All 0; draws nothing from the generator."""
    return np.zeros((fan_in, fan_out))


def _random_normal(rng: Rng, fan_in: int, fan_out: int, scale: float) -> FloatArray:
    """N(0, scale^2)."""
    return scale * rng.standard_normal((fan_in, fan_out))


def _random_uniform(rng: Rng, fan_in: int, fan_out: int, scale: float) -> FloatArray:
    """U[-scale, scale]."""
    return scale * rng.uniform(-1.0, 1.0, (fan_in, fan_out))


def _xavier_uniform(rng: Rng, fan_in: int, fan_out: int, scale: float) -> FloatArray:
    """U[-b, b] with b^2 = 6 / (n + m)."""
    return _random_uniform(rng, fan_in, fan_out, math.sqrt(6.0 / (fan_in + fan_out)))


def _xavier_normal(rng: Rng, fan_in: int, fan_out: int, scale: float) -> FloatArray:
    """N(0, 2 / (n + m))."""
    return _random_normal(rng, fan_in, fan_out, math.sqrt(2.0 / (fan_in + fan_out)))


def _he_normal(rng: Rng, fan_in: int, fan_out: int, scale: float) -> FloatArray:
    """N(0, 2 / n)."""
    return _random_normal(rng, fan_in, fan_out, math.sqrt(2.0 / fan_in))


def _he_uniform(rng: Rng, fan_in: int, fan_out: int, scale: float) -> FloatArray:
    """U[-b, b] with b^2 = 6 / n, variance 2 / n."""
    return _random_uniform(rng, fan_in, fan_out, math.sqrt(6.0 / fan_in))


def _lecun_normal(rng: Rng, fan_in: int, fan_out: int, scale: float) -> FloatArray:
    """N(0, 1 / n)."""
    return _random_normal(rng, fan_in, fan_out, math.sqrt(1.0 / fan_in))


def _lecun_uniform(rng: Rng, fan_in: int, fan_out: int, scale: float) -> FloatArray:
    """U[-b, b] with b^2 = 3 / n, variance 1 / n."""
    return _random_uniform(rng, fan_in, fan_out, math.sqrt(3.0 / fan_in))


def _xavier_fan_in(rng: Rng, fan_in: int, fan_out: int, scale: float) -> FloatArray:
    """U[-b, b] with b^2 = 1 / n, variance 1 / (3 n)."""
    return _random_uniform(rng, fan_in, fan_out, math.sqrt(1.0 / fan_in))


def _orthogonal(rng: Rng, fan_in: int, fan_out: int, scale: float) -> FloatArray:
    """Uniform over matrices with orthonormal columns, or rows where m > n."""
    gaussian = rng.standard_normal((max(fan_in, fan_out), min(fan_in, fan_out)))
    q, r = np.linalg.qr(gaussian)
    # QR is unique only up to signs; a positive diagonal of R makes Q uniform.
    q *= np.copysign(1.0, np.diag(r))
    return np.ascontiguousarray(q if fan_in >= fan_out else q.T)


_GLOROT = (
    "Glorot & Bengio 2010, Understanding the difficulty of training deep "
    "feedforward neural networks"
)
_HE = "He et al. 2015, Delving deep into rectifiers"
_LECUN = "LeCun et al. 1998, Efficient BackProp"

INITIALIZERS: dict[str, Option] = {
    "zeros": Option(
        make=_zeros,
        summary="All weights 0: hidden units stay identical, for demonstration only.",
        reference="Goodfellow, Bengio & Courville 2016, Deep learning, section 8.4",
    ),
    "random_normal": Option(
        make=_random_normal,
        summary="Normal with standard deviation init_scale, whatever the width.",
        reference="Krizhevsky, Sutskever & Hinton 2012, ImageNet classification with "
        "deep convolutional neural networks, section 5",
    ),
    "random_uniform": Option(
        make=_random_uniform,
        summary="Uniform on [-init_scale, init_scale], whatever the width.",
        reference=f"{_LECUN}, section 4.6",
    ),
    "xavier_uniform": Option(
        make=_xavier_uniform,
        summary="Uniform with variance 2 / (fan_in + fan_out); for tanh and sigmoid.",
        reference=f"{_GLOROT}, eq. 16",
        presets=frozenset({"standard"}),
    ),
    "xavier_normal": Option(
        make=_xavier_normal,
        summary="Normal with variance 2 / (fan_in + fan_out); for tanh and sigmoid.",
        reference=f"{_GLOROT}, eq. 12",
        presets=frozenset({"standard"}),
    ),
    "glorot_uniform": Option(
        make=_xavier_uniform,
        summary="Another name of xavier_uniform.",
        reference=f"{_GLOROT}, eq. 16",
    ),
    "glorot_normal": Option(
        make=_xavier_normal,
        summary="Another name of xavier_normal.",
        reference=f"{_GLOROT}, eq. 12",
    ),
    "he_normal": Option(
        make=_he_normal,
        summary="Normal with variance 2 / fan_in; for relu and its relatives.",
        reference=f"{_HE}, eq. 10",
        presets=frozenset({"standard"}),
    ),
    "he_uniform": Option(
        make=_he_uniform,
        summary="Uniform with variance 2 / fan_in; for relu and its relatives.",
        reference=f"{_HE}, eq. 10",
        presets=frozenset({"standard"}),
    ),
    "lecun_normal": Option(
        make=_lecun_normal,
        summary="Normal with variance 1 / fan_in; for selu.",
        reference=f"{_LECUN}, section 4.6",
        presets=frozenset({"standard"}),
    ),
    "lecun_uniform": Option(
        make=_lecun_uniform,
        summary="Uniform with variance 1 / fan_in.",
        reference=f"{_LECUN}, section 4.6",
    ),
    "orthogonal": Option(
        make=_orthogonal,
        summary="Random orthonormal rows or columns, so that norms are kept.",
        reference="Saxe, McClelland & Ganguli 2014, Exact solutions to the nonlinear "
        "dynamics of learning in deep linear neural networks, section 3",
        presets=frozenset({"standard"}),
    ),
    "xavier_fan_in": Option(
        make=_xavier_fan_in,
        summary="Uniform on [-1/sqrt(fan_in), 1/sqrt(fan_in)], variance 1/(3 fan_in).",
        reference=f"{_GLOROT}, eq. 1",
    ),
}
