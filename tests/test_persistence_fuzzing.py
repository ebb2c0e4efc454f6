"""Whatever the bytes, the loader of files says what is wrong, in bounded memory."""

from __future__ import annotations

import copy
import hashlib
import json
import tempfile
import tracemalloc
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknnopt import OptimizedMLPClassifier, OptimizedMLPRegressor
from sknnopt.persistence import load, save

pytest.importorskip("safetensors", reason="safetensors, an optional package")
hypothesis = pytest.importorskip("hypothesis", reason="hypothesis is missing")
given, st = hypothesis.given, hypothesis.strategies

#: Memory that a load may take: so many times the file, and what any load takes.
TIMES, BASE = 64, 4_000_000
BLANK = "0" * 64
MARK = b'"sha256":"'
SMALL = {"n_units": 3, "max_epochs": 1, "n_members": 2, "random_state": 0}


@cache
def originals() -> tuple[bytes, ...]:
    """Return files with all kinds of parts: a table's, a pipeline's, a regression's."""
    X = np.random.default_rng(0).normal(size=(40, 2))
    y = (X[:, 0] > 0).astype(int)
    frame = pd.DataFrame(X, columns=["a", "b"], copy=True)
    frame["c"] = np.array(["x", "y", None], dtype=object)[np.arange(40) % 3]
    frame.loc[3, "a"] = np.nan
    models = (
        OptimizedMLPClassifier(**SMALL).fit(frame, np.where(y, "yes", "no")),
        make_pipeline(
            SimpleImputer(), StandardScaler(), OptimizedMLPClassifier(**SMALL)
        ).fit(X, y),
        OptimizedMLPRegressor(**SMALL, normalization="batch").fit(X, X),
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        contents = []
        for model in models:
            save(model, path)
            contents.append(path.read_bytes())
    return tuple(contents)


def outcome(content: bytes) -> str:
    """Return "loaded" or the error of a load, which must be the documented one."""
    originals()  # what is imported on the way is no part of a load
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "model"
        path.write_bytes(content)
        tracemalloc.start()
        try:
            load(path)
            text = "loaded"
        except ValueError as error:
            text = str(error)
            assert text.startswith(f"Cannot load {path}: it "), text
            assert "\n" not in text
            assert len(text) < 500
        finally:
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
    assert peak < TIMES * len(content) + BASE, (
        f"{peak} bytes for {len(content)}: {text}"
    )
    return text


def with_checksum(content: bytes) -> bytes:
    """Return a file whose checksum fits, if it has a place for one."""
    found = content.find(MARK)
    if found < 0:
        return content
    start, stop = found + len(MARK), found + len(MARK) + len(BLANK)
    blank = content[:start] + BLANK.encode() + content[stop:]
    return blank[:start] + hashlib.sha256(blank).hexdigest().encode() + blank[stop:]


def split(content: bytes) -> tuple[dict[str, Any], bytes]:
    """Return a file's header and its arrays."""
    stop = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:stop]), content[stop:]


def joined(header: dict[str, Any], arrays: bytes) -> bytes:
    """Return the file of a header and arrays, with a checksum that fits."""
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return with_checksum(len(text).to_bytes(8, "little") + text + arrays)


@st.composite
def mutated(draw: Any) -> bytes:
    """Draw a file with bytes changed, put in, taken out or cut off."""
    content = draw(st.sampled_from(originals()))
    for _ in range(draw(st.integers(1, 4))):
        # The length of the header and its beginning decide most.
        place = draw(st.integers(0, len(content)) | st.integers(0, 64))
        some = draw(st.binary(min_size=0, max_size=8))
        kind = draw(st.sampled_from(["change", "insert", "delete", "cut"]))
        if kind == "cut":
            content = content[:place]
        else:
            gone = {"change": len(some), "insert": 0}.get(kind, 1 + 3 * len(some))
            kept = b"" if kind == "delete" else some
            content = content[:place] + kept + content[place + gone :]
    return content


@given(mutated())
def test_altered_files_are_refused(content: bytes) -> None:
    """No change of any byte goes unnoticed."""
    if content not in originals():
        assert outcome(content) != "loaded"


@given(mutated())
def test_altered_files_with_a_checksum_do_no_harm(content: bytes) -> None:
    """Who makes a new checksum gets a model or the documented error."""
    outcome(with_checksum(content))


@given(st.binary(max_size=200), st.integers(0, 2**64 - 1), st.booleans())
def test_random_bytes_are_refused(some: bytes, length: int, has_length: bool) -> None:
    """Noise, with any number in the place of the header's length, is no model."""
    begin = length.to_bytes(8, "little") if has_length else b""
    assert outcome(begin + some) != "loaded"


HUGE = st.sampled_from([0, -1, 1, 2, 2**31, 2**62, 2**63, 10**18, -(10**18)])
PLAIN = st.none() | st.booleans() | HUGE | st.floats() | st.text(max_size=5)
TAGGED = st.sampled_from(
    [
        {"objects": ["<U999999999", [1], ["a"]]},
        {"objects": ["|O", [2**40], ["a"]]},
        {"objects": ["<U1", [1, -1], ["abc"]]},
        {"dtype": "(99999,99999)f8"},
        {"dtype": "<f8"},
        {"type": "float64"},
        {"float": "inf"},
        {"float": "nan"},
        {"scalar": ["int8", 1000]},
        {"scalar": ["str", "a"]},
        {"array": "array_0"},
        {"array": "array_3"},
        {"array": "nothing"},
        {"tuple": [2**62, 2**62]},
        {"slice": [None, None, 0]},
        {"dict": [[{"tuple": []}, 1]]},
        {"dict": [["low", {"array": "array_1"}]]},
        {"estimator": ["Pipeline", {"steps": []}, {}]},
        {"estimator": ["Inputs", {}, {}]},
        {"estimator": ["FunctionTransformer", {"func": "os.system"}, {}]},
    ]
)
VALUES = PLAIN | TAGGED | st.lists(PLAIN | TAGGED, max_size=3)


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths to all that a JSON document holds."""
    if isinstance(tree, dict):
        items = list(tree.items())
    else:
        items = list(enumerate(tree)) if isinstance(tree, list) else []
    inside = [p for key, value in items for p in places(value, (*path, key))]
    return [path, *inside] if path else inside


def at(tree: Any, path: tuple[Any, ...]) -> Any:
    """Return what a path leads to."""
    for key in path:
        tree = tree[key]
    return tree


def edit(draw: Any, tree: Any, values: Any) -> None:
    """Change, take away or replace by another some parts of a JSON document."""
    for _ in range(draw(st.integers(1, 3))):
        paths = places(tree)
        path = draw(st.sampled_from(paths))
        owner, key = at(tree, path[:-1]), path[-1]
        kind = draw(st.sampled_from(["set", "set", "delete", "copy", "double"]))
        if kind == "set":
            # What is drawn is shared between cases, and may be edited next.
            owner[key] = copy.deepcopy(draw(values))
        elif kind == "delete":
            del owner[key]
        elif kind == "copy":
            owner[key] = copy.deepcopy(at(tree, draw(st.sampled_from(paths))))
        else:
            owner[key] = [copy.deepcopy(owner[key])] * 2
        if not places(tree):
            return


@st.composite
def edited_documents(draw: Any) -> bytes:
    """Draw a file whose document has other values in some places."""
    header, arrays = split(draw(st.sampled_from(originals())))
    document = json.loads(header["__metadata__"]["sknnopt"])
    edit(draw, document, VALUES)
    # NaN and infinities are written as they are: the loader refuses them.
    header["__metadata__"]["sknnopt"] = json.dumps(document)
    return joined(header, arrays)


@given(edited_documents())
def test_edited_documents_do_no_harm(content: bytes) -> None:
    """Wrong types, sizes, tags and references lead to a model or to the error."""
    outcome(content)


SIZES = st.sampled_from(["F64", "F16", "BF16", "BOOL", "U64", "F8_E5M2", "X"]) | HUGE


@st.composite
def edited_headers(draw: Any) -> bytes:
    """Draw a file whose header has other types, shapes, offsets and names."""
    header, arrays = split(draw(st.sampled_from(originals())))
    metadata = header.pop("__metadata__")
    edit(draw, header, SIZES | st.lists(HUGE, max_size=3))
    return joined({"__metadata__": metadata, **header}, arrays)


@given(edited_headers())
def test_edited_headers_do_no_harm(content: bytes) -> None:
    """Huge shapes and offsets cost no memory, unknown types are an error."""
    outcome(content)


def test_the_originals_load() -> None:
    """The files that all others are made of are whole."""
    assert {outcome(content) for content in originals()} == {"loaded"}
    header, arrays = split(originals()[0])
    assert outcome(joined(header, arrays)) == "loaded"
