"""Trained networks as an ONNX graph, of operators that all runtimes have.

The graph is written here rather than traced, so that it is small, keeps its names, and
needs no part of torch that changes between releases.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from sknnopt._normalization import EPSILON
from sknnopt._responses import LARGEST_RAW
from sknnopt._torch_modules import Encoding, TabularNetwork
from sknnopt.activations import LEAKY_SLOPE, SELU_ALPHA, SELU_SCALE
from sknnopt.losses import is_linear

_OPSET, _IR_VERSION = 17, 8
_IN = "X"


class Graph:
    """Operators in the order in which they are added.

    Parameters
    ----------
    dtype : numpy dtype
        Of the rows that come in.
    """

    def __init__(self, dtype: np.dtype) -> None:
        self.dtype = dtype
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, operator: str, *inputs: Any, **attributes: Any) -> str:
        """Add an operator; arrays and numbers among its inputs become constants.

        Parameters
        ----------
        operator : str
            Its name in ONNX.
        *inputs : str, ndarray or float
            Names of values, or constants; numbers are of the graph's type.
        **attributes : object
            As ONNX defines them.

        Returns
        -------
        str
            The name of what it puts out.
        """
        from onnx import helper

        name = f"{operator.lower()}_{len(self.nodes)}"
        given = [v if isinstance(v, str) else self._constant(v) for v in inputs]
        self.nodes.append(helper.make_node(operator, given, [name], **attributes))
        return name

    def _constant(self, value: Any) -> str:
        from onnx import numpy_helper

        name = f"constant_{len(self.constants)}"
        array = np.asarray(value, dtype=None if np.ndim(value) else self.dtype)
        self.constants.append(
            numpy_helper.from_array(np.ascontiguousarray(array), name)
        )
        return name

    def cast(self, value: str, dtype: np.dtype) -> str:
        """Turn a value into another type, which then is the graph's."""
        from onnx import helper

        self.dtype = dtype
        return self.add("Cast", value, to=helper.np_dtype_to_tensor_dtype(dtype))

    def array(self, tensor: Tensor) -> np.ndarray:
        """Return numbers of a module in the graph's type, whole ones as they are."""
        values: np.ndarray = tensor.detach().cpu().numpy()
        return values.astype(self.dtype) if values.dtype.kind == "f" else values


def to_model(
    module: TabularNetwork, dtype: np.dtype, n_features: int, notes: dict[str, str]
) -> Any:
    """Write networks as an ONNX model.

    Parameters
    ----------
    module : TabularNetwork
        On the CPU.
    dtype : numpy dtype
        float32 or float64: of the rows, and the most exact type anywhere in the graph.
    n_features : int
        Columns of the rows.
    notes : dict of str
        The model's metadata.

    Returns
    -------
    onnx.ModelProto
        Checked.
    """
    import onnx
    from onnx import helper

    graph = Graph(dtype)
    weights = module.members.get_parameter("weight_0")
    of_weights = weights.detach().numpy().dtype
    encoded = _encoded(graph, module.encoding)
    if of_weights.itemsize < dtype.itemsize:
        largest = float(np.finfo(of_weights).max)
        encoded = graph.cast(graph.add("Clip", encoded, -largest, largest), of_weights)
    response = _responded(graph, module, _raw(graph, module, encoded))
    if module.has_units:
        out, shape = _in_units(graph, module, response, dtype)
    else:
        out, shape = graph.add("ReduceMean", response, axes=[0], keepdims=0), [None]
    name = "prediction" if module.has_units else "probabilities"
    graph.nodes.append(helper.make_node("Identity", [out], [name]))
    shape = ["n_rows", *shape]

    def value(name: str, dtype: np.dtype, shape: list[Any]) -> Any:
        kind = helper.np_dtype_to_tensor_dtype(dtype)
        return helper.make_tensor_value_info(name, kind, shape)

    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "sknnopt",
            [value(_IN, dtype, ["n_rows", n_features])],
            [value(name, graph.dtype, shape)],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="sknnopt",
    )
    helper.set_model_props(model, notes)
    onnx.checker.check_model(model)
    return model


def _encoded(graph: Graph, encoding: Encoding) -> str:
    """Add what turns the rows into what the networks see."""
    array, dtype = graph.array, graph.dtype
    numbers, missing = _IN, ""
    if not encoding.is_plain:
        numbers = graph.add("Gather", _IN, array(encoding.numbers), axis=1)
    if encoding.imputes:
        missing = graph.add("IsNaN", numbers)
        numbers = graph.add("Where", missing, array(encoding.mean), numbers)
    parts = [numbers]
    if encoding.has_bins:
        reach = graph.add("Gather", numbers, array(encoding.bin_column), axis=1)
        reach = graph.add("Sub", reach, array(encoding.bin_low))
        reach = graph.add("Mul", reach, array(encoding.bin_factor))
        reach = graph.add("Clip", reach, 0.0, 1.0)
        parts.append(graph.add("Sub", reach, 0.5))
    if encoding.has_missing:
        some = graph.add("Gather", missing, array(encoding.missing), axis=1)
        parts.append(graph.cast(some, dtype))
    if not encoding.is_plain:
        given = graph.add("Gather", _IN, array(encoding.category_column), axis=1)
        given = graph.add("Equal", given, array(encoding.category))
        parts.append(graph.cast(given, dtype))
    if encoding.centers:
        parts[0] = graph.add("Sub", parts[0], array(encoding.mean))
    if encoding.scales:
        factor = array(encoding.factor)
        factor = np.where(np.isinf(factor), 1, factor).astype(dtype)
        parts[0] = graph.add("Mul", parts[0], factor)
    return graph.add("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]


def _raw(graph: Graph, module: TabularNetwork, hidden: str) -> str:
    """Add the layers of all members, which lie along the first axis."""
    members = module.members
    tensors: dict[str, Any] = dict(members.state_dict())
    architecture = members.architecture
    for layer, activation in enumerate(architecture.activations):
        hidden = _linear(graph, tensors, layer, hidden)
        parts = {
            kind: tensors[f"{kind}_{layer}"].double().numpy()
            for kind in ("scale", "shift", "mean", "variance")
            if f"{kind}_{layer}" in tensors
        }
        if architecture.normalization == "batch":
            parts["scale"] = parts["scale"] / np.sqrt(parts["variance"] + EPSILON)
            parts["shift"] = parts["shift"] - parts["mean"] * parts["scale"]
        elif architecture.normalization == "layer":
            hidden = _of_one_scale(graph, hidden)
        if architecture.normalization:
            hidden = graph.add("Mul", hidden, parts["scale"].astype(graph.dtype))
            hidden = graph.add("Add", hidden, parts["shift"].astype(graph.dtype))
        hidden = ACTIVATION_GRAPHS[activation](graph, hidden)
    return _linear(graph, tensors, len(architecture.hidden), hidden)


def _linear(graph: Graph, tensors: dict[str, Any], layer: int, hidden: str) -> str:
    hidden = graph.add("MatMul", hidden, graph.array(tensors[f"weight_{layer}"]))
    return graph.add("Add", hidden, graph.array(tensors[f"bias_{layer}"]))


def _of_one_scale(graph: Graph, hidden: str) -> str:
    """Standardize the units of each row."""
    mean = graph.add("ReduceMean", hidden, axes=[-1], keepdims=1)
    centered = graph.add("Sub", hidden, mean)
    square = graph.add("Mul", centered, centered)
    variance = graph.add("ReduceMean", square, axes=[-1], keepdims=1)
    deviation = graph.add("Sqrt", graph.add("Add", variance, EPSILON))
    return graph.add("Div", centered, deviation)


def _responded(graph: Graph, module: TabularNetwork, raw: str) -> str:
    """Add each member's response, finite as the estimator's is."""
    raw = graph.add("Where", graph.add("IsNaN", raw), 0.0, raw)
    if is_linear(module.loss):
        return raw
    raw = graph.add("Clip", raw, -LARGEST_RAW, LARGEST_RAW)
    if module.loss == "categorical_cross_entropy":
        return graph.add("Softmax", raw, axis=-1)
    if module.loss == "poisson":
        return graph.add("Exp", raw)
    if module.members.architecture.n_outputs == 1:
        raw = graph.add("Concat", graph.add("Neg", raw), raw, axis=-1)
    return graph.add("Sigmoid", raw)


def _in_units(
    graph: Graph, module: TabularNetwork, response: str, dtype: np.dtype
) -> tuple[str, list[Any]]:
    """Add the bounds, the mean and the target's units."""
    units = dict(module.named_buffers(recurse=False))

    def bounded(value: str, low: str, high: str) -> str:
        largest = np.finfo(graph.dtype).max
        limits = [np.clip(units[k].numpy(), -largest, largest) for k in (low, high)]
        value = graph.add("Max", value, limits[0].astype(graph.dtype))
        return graph.add("Min", value, limits[1].astype(graph.dtype))

    response = bounded(response, "low", "high")
    mean = graph.add("ReduceMean", response, axes=[0], keepdims=0)
    mean = mean if graph.dtype == dtype else graph.cast(mean, dtype)
    value = graph.add("Mul", mean, graph.array(units["scale"]))
    value = graph.add("Add", value, graph.array(units["mean"]))
    value = bounded(value, "lowest", "highest")
    if module.is_1d:
        return graph.add("Squeeze", value, np.array([1])), []
    return value, [None]


# Only operators that onnxruntime has for both types of numbers.


def _leaky_relu(graph: Graph, x: str) -> str:
    return graph.add("Max", x, graph.add("Mul", x, LEAKY_SLOPE))


def _exponential(graph: Graph, x: str) -> str:
    """exp(x) - 1 below 0, and 0 above."""
    return graph.add("Sub", graph.add("Exp", graph.add("Min", x, 0.0)), 1.0)


def _elu(graph: Graph, x: str) -> str:
    return graph.add("Add", graph.add("Relu", x), _exponential(graph, x))


def _selu(graph: Graph, x: str) -> str:
    below = graph.add("Mul", _exponential(graph, x), SELU_ALPHA)
    both = graph.add("Add", graph.add("Relu", x), below)
    return graph.add("Mul", both, SELU_SCALE)


def _gelu(graph: Graph, x: str) -> str:
    dtype, single = graph.dtype, np.dtype(np.float32)
    argument = graph.add("Mul", x, float(np.sqrt(0.5)))
    # onnxruntime has this one in single precision only.
    erf = graph.add("Erf", graph.cast(argument, single))
    twice = graph.add("Add", graph.cast(erf, dtype), 1.0)
    return graph.add("Mul", graph.add("Mul", x, 0.5), twice)


def _silu(graph: Graph, x: str) -> str:
    return graph.add("Mul", x, graph.add("Sigmoid", x))


def _softplus(graph: Graph, x: str) -> str:
    small = graph.add("Exp", graph.add("Neg", graph.add("Abs", x)))
    logarithm = graph.add("Log", graph.add("Add", small, 1.0))
    return graph.add("Add", graph.add("Relu", x), logarithm)


def _mish(graph: Graph, x: str) -> str:
    return graph.add("Mul", x, graph.add("Tanh", _softplus(graph, x)))


#: Each activation as operators; a test holds the names to those of ``ACTIVATIONS``.
ACTIVATION_GRAPHS: dict[str, Callable[[Graph, str], str]] = {
    "relu": lambda graph, x: graph.add("Relu", x),
    "tanh": lambda graph, x: graph.add("Tanh", x),
    "sigmoid": lambda graph, x: graph.add("Sigmoid", x),
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "selu": _selu,
    "gelu": _gelu,
    "silu": _silu,
    "mish": _mish,
    "softplus": _softplus,
    "identity": lambda graph, x: x,
}
