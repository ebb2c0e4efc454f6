"""Values to strict JSON and arrays, and back, with nothing that can execute code.

Numbers, strings, booleans, None and lists are themselves in JSON. Anything else is
an object with one key, its tag, so that a tuple comes back as a tuple and NaN as
NaN. Numeric arrays are put aside under a name; estimators are written as parameters
and fitted attributes, and only classes of a given registry are ever made.
"""

from __future__ import annotations

import re
from collections import UserList
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

_NUMERIC = "biuf"
_SCALAR_TYPES: dict[str, type] = {
    np.dtype(code).name: np.dtype(code).type for code in "?bBhHiIlLefd"
}
#: How dtypes are written; numpy itself would read much else.
_DTYPE = re.compile(r"[<>|=]?[biufUO]\d{0,9}")


class CodecError(ValueError):
    """A value cannot be written, or a document cannot be read."""


class Encoder:
    """Turns values into JSON; numeric arrays gather in ``arrays``.

    Parameters
    ----------
    classes : mapping of str to type
        The estimators that may be written, by name.
    omitted : mapping of str to object, default={}
        Parameters that are written as the given value instead of their own.
    left_out : collection of str, default=()
        Fitted attributes that are not written.
    """

    def __init__(
        self,
        classes: Mapping[str, type],
        omitted: Mapping[str, Any] | None = None,
        left_out: Collection[str] = (),
    ) -> None:
        self.classes = dict(classes)
        self.omitted = dict(omitted or {})
        self.left_out = frozenset(left_out)
        self.arrays: dict[str, np.ndarray] = {}
        self.seen_omitted: list[str] = []

    def encode(self, value: Any, where: str) -> Any:
        """Return ``value`` as JSON.

        Parameters
        ----------
        value : object
            What to write.
        where : str
            How an error names it.

        Returns
        -------
        object
            None, bool, int, float, str, list or dict.
        """
        # numpy's float64 and str_ are subclasses of Python's: asked for first.
        if isinstance(value, np.generic):
            return self._scalar(value, where)
        if value is None or isinstance(value, (bool, int, str)):
            return value
        if isinstance(value, float):
            return value if np.isfinite(value) else {"float": str(value)}
        for kind, write in self._writers.items():
            if isinstance(value, kind):
                return write(self, value, where)
        if isinstance(value, type) and value in _SCALAR_TYPES.values():
            return {"type": np.dtype(value).name}
        raise self._unsupported(value, where)

    def _unsupported(self, value: Any, where: str) -> CodecError:
        return CodecError(
            f"The {where} cannot be saved: got {_brief(value)}. Supported are None, "
            "booleans, numbers, strings, numpy arrays, and lists, tuples and dicts of "
            "these."
        )

    def _scalar(self, value: Any, where: str) -> Any:
        if value.dtype.kind not in _NUMERIC + "U":
            raise self._unsupported(value, where)
        dtype = "str" if value.dtype.kind == "U" else value.dtype.name
        return {"scalar": [dtype, self.encode(value.item(), where)]}

    def _list(self, value: Any, where: str) -> Any:
        return [self.encode(item, where) for item in value]

    def _user_list(self, value: UserList[Any], where: str) -> Any:
        # The columns of a remainder, in scikit-learn before 1.9: to read one warns.
        return self._list(value.data, where)

    def _tuple(self, value: Any, where: str) -> Any:
        return {"tuple": self._list(value, where)}

    def _dict(self, value: Any, where: str) -> Any:
        pairs = value.items()
        return {
            "dict": [[self.encode(k, where), self.encode(v, where)] for k, v in pairs]
        }

    def _slice(self, value: slice, where: str) -> Any:
        return {"slice": self._list([value.start, value.stop, value.step], where)}

    def _dtype(self, value: np.dtype, where: str) -> Any:
        if value.kind not in _NUMERIC + "UO":
            raise self._unsupported(value, where)
        return {"dtype": value.str}

    def _array(self, value: np.ndarray, where: str) -> Any:
        if type(value) is not np.ndarray or value.dtype.kind not in _NUMERIC + "UO":
            raise self._unsupported(value, where)
        if value.dtype.kind in "UO":
            items = self._list(value.ravel().tolist(), where)
            dtype = value.dtype.str if _is_lean(value.dtype, items) else "|O"
            return {"objects": [dtype, list(value.shape), items]}
        name = f"array_{len(self.arrays)}"
        native = value.dtype.newbyteorder("=")
        self.arrays[name] = np.array(value, dtype=native, order="C")
        return {"array": name}

    def _estimator(self, value: Any, where: str) -> Any:
        kind: Any = type(value)
        name = kind.__name__
        if self.classes.get(name) is not kind:
            raise CodecError(
                f"The {where} cannot be saved: it is a {name}. Supported are "
                f"{', '.join(self.classes)}, 'passthrough' and 'drop'."
            )
        params = value.get_params(deep=False)
        unwritten = self.left_out.union(params)
        state = {k: v for k, v in vars(value).items() if k not in unwritten}
        return {
            "estimator": [
                name,
                {k: self._part(v, k, "parameter", where) for k, v in params.items()},
                {k: self._part(v, k, "attribute", where) for k, v in state.items()},
            ]
        }

    def _part(self, value: Any, name: str, kind: str, where: str) -> Any:
        if kind == "parameter" and name in self.omitted:
            if value is not None:
                self.seen_omitted.append(name)
            return self.encode(self.omitted[name], where)
        if name in ("steps", "transformers", "transformers_"):
            return [self._step(step, where) for step in value]
        return self.encode(value, f"{kind} {name!r} of {where}")

    def _step(self, step: Any, where: str) -> Any:
        name, estimator, *columns = step
        inside = f"step {name!r}" if where == "model" else f"step {name!r} of {where}"
        parts = [name, self.encode(estimator, inside)]
        parts += [self.encode(part, f"columns of {inside}") for part in columns]
        return {"tuple": parts}

    _writers: ClassVar[dict[type, Callable[[Encoder, Any, str], Any]]] = {
        list: _list,
        pd.Index: _list,
        UserList: _user_list,
        tuple: _tuple,
        dict: _dict,
        slice: _slice,
        np.dtype: _dtype,
        np.ndarray: _array,
        BaseEstimator: _estimator,
    }


class Decoder:
    """Turns JSON back into values.

    Parameters
    ----------
    classes : mapping of str to type
        The estimators that may be made, by name.
    arrays : mapping of str to ndarray
        The arrays that were put aside.
    """

    def __init__(
        self, classes: Mapping[str, type], arrays: Mapping[str, np.ndarray]
    ) -> None:
        self.classes = classes
        self.arrays = arrays

    def decode(self, document: Any) -> Any:
        """Return the value that ``document`` describes.

        Parameters
        ----------
        document : object
            What :meth:`Encoder.encode` returned.

        Returns
        -------
        object
            The value.
        """
        if isinstance(document, list):
            return [self.decode(item) for item in document]
        if not isinstance(document, dict):
            return document
        if len(document) != 1:
            raise CodecError(f"expected one tag, found {_brief(sorted(document))}")
        tag, content = next(iter(document.items()))
        if tag not in self._readers:
            raise CodecError(f"there is no tag {_brief(tag)}")
        return self._readers[tag](self, content)

    def _float(self, content: str) -> float:
        # scikit-learn's parameters mean numpy's own object when they are NaN.
        return np.nan if content == "nan" else float(content)

    def _scalar(self, content: Any) -> Any:
        name, value = content
        kind = np.str_ if name == "str" else _SCALAR_TYPES[name]
        return kind(self.decode(value))

    def _type(self, content: str) -> type:
        return _SCALAR_TYPES[content]

    def _tuple(self, content: Any) -> tuple[Any, ...]:
        return tuple(self.decode(item) for item in content)

    def _dict(self, content: Any) -> dict[Any, Any]:
        return {self.decode(key): self.decode(value) for key, value in content}

    def _slice(self, content: Any) -> slice:
        return slice(*self.decode(content))

    def _dtype(self, content: str) -> np.dtype:
        if not (isinstance(content, str) and _DTYPE.fullmatch(content)):
            raise CodecError(f"there is no dtype {_brief(content)}")
        return np.dtype(content)

    def _objects(self, content: Any) -> np.ndarray:
        name, shape, items = content
        dtype = self._dtype(name)
        if dtype.kind not in "UO" or not _is_lean(dtype, items):
            raise CodecError(f"its strings are no {name!r}")
        flat = np.empty(len(items), dtype=dtype)
        for index, item in enumerate(items):
            flat[index] = self.decode(item)
        return flat.reshape(shape)

    def _array(self, content: str) -> np.ndarray:
        return self.arrays[content]

    def _estimator(self, content: Any) -> Any:
        name, params, state = content
        if name not in self.classes:
            raise CodecError(f"there is no class {_brief(name)}")
        kind = self.classes[name]
        estimator = kind(**{key: self.decode(value) for key, value in params.items()})
        for key, value in state.items():
            # An attribute must never take the place of a method or a property.
            if not key.isidentifier() or hasattr(kind, key) or key in params:
                raise CodecError(f"{name} has no attribute {_brief(key)}")
            vars(estimator)[key] = self.decode(value)
        return estimator

    _readers: ClassVar[dict[str, Callable[[Decoder, Any], Any]]] = {
        "float": _float,
        "scalar": _scalar,
        "type": _type,
        "tuple": _tuple,
        "dict": _dict,
        "slice": _slice,
        "dtype": _dtype,
        "objects": _objects,
        "array": _array,
        "estimator": _estimator,
    }


def _is_lean(dtype: np.dtype, items: Sequence[Any]) -> bool:
    """Tell whether strings of one width take not much more than their text.

    One long string, or a wide dtype, would make many short ones as wide.
    """
    letters = sum(len(item) for item in items if isinstance(item, str))
    most = 4096 + 64 * (letters + len(items))
    return dtype.kind != "U" or dtype.itemsize * len(items) <= most


def _brief(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
