from __future__ import annotations

import errno
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from estimators import plain_classifier, plain_regressor
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.exceptions import NotFittedError
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import ShuffleSplit
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    MinMaxScaler,
    OneHotEncoder,
    PowerTransformer,
    RobustScaler,
    StandardScaler,
)

from sknnopt import OptimizedMLPClassifier, _files
from sknnopt.persistence import load, save

safetensors_numpy = pytest.importorskip("safetensors.numpy")

FRAME = pd.DataFrame(
    {
        "size": np.random.default_rng(0).normal(size=60),
        "weight": np.random.default_rng(1).exponential(size=60),
        "color": np.array(["red", "green", "blue"], dtype=object)[np.arange(60) % 3],
        "count": np.arange(60) % 7,
    }
)
NUMBERS = FRAME[["size", "weight", "count"]]
LABELS = np.where(FRAME["size"] > 0, "yes", "no")
NUMERIC_TARGET = FRAME["size"].to_numpy() * 3 + 1
GAPS = FRAME.assign(weight=FRAME["weight"].where(FRAME["count"] != 3))


def classifier(**params: Any) -> OptimizedMLPClassifier:
    """Return a classifier that fits in no time."""
    return plain_classifier(max_epochs=3, random_state=0, **params)


def columns() -> ColumnTransformer:
    """Return a transformer with every kind of part."""
    numeric = Pipeline(
        [("fill", SimpleImputer(strategy="median")), ("s", RobustScaler())]
    )
    return ColumnTransformer(
        [
            ("numeric", numeric, ["size", "weight"]),
            ("text", OneHotEncoder(handle_unknown="ignore"), ["color"]),
            ("nothing", "drop", ["count"]),
        ]
    )


PIPELINES = {
    "standard": (make_pipeline(StandardScaler(), classifier()), NUMBERS),
    "minmax": (make_pipeline(MinMaxScaler((-1, 1)), classifier()), NUMBERS),
    "robust": (make_pipeline(RobustScaler(), classifier()), NUMBERS),
    "imputer": (make_pipeline(SimpleImputer(), classifier()), GAPS[["weight", "size"]]),
    "passthrough": (make_pipeline("passthrough", classifier()), NUMBERS),
    "nested": (
        make_pipeline(make_pipeline(MinMaxScaler(), StandardScaler()), classifier()),
        NUMBERS,
    ),
    "columns": (make_pipeline(columns(), classifier()), GAPS),
    "remainder": (
        make_pipeline(
            ColumnTransformer(
                [
                    ("scaled", StandardScaler(), slice(0, 2)),
                    ("kept", "passthrough", [3]),
                ]
            ),
            classifier(),
        ),
        FRAME,
    ),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where to save."""
    return tmp_path / "model.safetensors"


def returned(model: Any, path: Path) -> Any:
    """Return the model after a round trip."""
    save(model, path)
    return load(path)


@pytest.mark.parametrize("name", PIPELINES)
def test_pipeline_predicts_the_same_bits(name: str, path: Path) -> None:
    """Every supported step comes back with its fitted state."""
    pipeline, X = PIPELINES[name]
    pipeline.fit(X, LABELS)
    loaded = returned(pipeline, path)
    np.testing.assert_array_equal(loaded.predict_proba(X), pipeline.predict_proba(X))
    np.testing.assert_array_equal(loaded.predict(X), pipeline.predict(X))
    # Estimators among the parameters are no longer the same objects: compare text.
    assert repr(loaded) == repr(pipeline)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"n_members": 3, "early_stopping": True},
        {"optimizer": "nadam", "normalization": "batch"},
        {"n_units": {1: 5, "default": 7}, "dropout": (0.1, 0.2), "l1": [1e-4, 0.0]},
        {"hidden_layer_sizes": np.array([4, 3]), "learning_rate": np.float64(0.01)},
        {"class_weight": {"yes": 2.0, "no": 1}, "clip_norm": 1},
        {"hidden_layer_sizes": "8-4", "batch_size": np.int64(16)},
    ],
    ids=lambda params: ",".join(params) or "defaults",
)
def test_estimator_comes_back_whole(params: dict[str, Any], path: Path) -> None:
    """Parameters, their types, history and fitted attributes are what they were."""
    model = classifier(**params).fit(NUMBERS, LABELS)
    loaded = returned(model, path)
    np.testing.assert_equal(loaded.get_params(), model.get_params())
    for name, value in model.get_params().items():
        assert type(loaded.get_params()[name]) is type(value), name
    pd.testing.assert_frame_equal(loaded.history_, model.history_)
    assert loaded.feature_names_in_.tolist() == list(NUMBERS.columns)
    kept = {k: v for k, v in vars(model).items() if k != "oof_prediction_"}
    assert sorted(vars(loaded)) == sorted(kept)
    kept["_inputs"], vars(loaded)["_inputs"] = (
        vars(each._inputs) for each in (model, loaded)
    )
    for name, value in kept.items():
        np.testing.assert_equal(vars(loaded)[name], value, err_msg=name)


def test_file_holds_the_score_but_no_row(path: Path) -> None:
    """oof_score_ is saved; oof_prediction_, a row for each training row, is not."""
    model = classifier(n_members=3, early_stopping=True).fit(NUMBERS, LABELS)
    loaded = returned(make_pipeline(model), path)[-1]
    assert loaded.oof_score_ == model.oof_score_
    assert not hasattr(loaded, "oof_prediction_")
    arrays = safetensors_numpy.load_file(path)
    assert all(len(NUMBERS) not in array.shape for array in arrays.values())
    # A warm start holds out the folds of the first fit.
    again = loaded.set_params(warm_start=True).fit(NUMBERS, LABELS)
    assert again._folds == model._folds
    assert hasattr(again, "oof_prediction_")


@pytest.mark.parametrize("loss", ["squared_error", "huber", "poisson"])
def test_regressor_predicts_the_same_bits(loss: str, path: Path) -> None:
    """The target's scale and range are saved too."""
    model = plain_regressor(loss=loss, max_epochs=3, random_state=0)
    model.fit(NUMBERS, np.abs(NUMERIC_TARGET))
    loaded = returned(model, path)
    np.testing.assert_array_equal(loaded.predict(NUMBERS), model.predict(NUMBERS))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_training_goes_on_where_it_was(dtype: type, path: Path) -> None:
    """partial_fit after loading equals partial_fit without saving, bit for bit."""
    X = NUMBERS.to_numpy(dtype)
    model = classifier(optimizer="adam", dropout=0.3)
    for _ in range(2):
        model.partial_fit(X, LABELS, classes=["no", "yes"])
    loaded = returned(model, path)
    for each in (model, loaded):
        each.partial_fit(X, LABELS)
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    pd.testing.assert_frame_equal(loaded.history_, model.history_)


@pytest.mark.parametrize(
    "labels",
    [
        np.array([3, 5]),
        np.array([False, True]),
        np.array(["ä", "漢"]),
        np.array(["a", "b"], dtype=object),
        np.array([0.5, 2.0]).astype(int),
    ],
    ids=["int", "bool", "str", "object", "cast"],
)
def test_labels_keep_their_type(labels: np.ndarray, path: Path) -> None:
    """Predicted labels have the dtype of the training target's."""
    y = labels[np.arange(60) % 2]
    model = classifier().fit(NUMBERS, y)
    loaded = returned(model, path)
    assert loaded.classes_.dtype == model.classes_.dtype
    assert loaded.predict(NUMBERS).tolist() == model.predict(NUMBERS).tolist()


def test_file_is_no_pickle_and_strict_json(path: Path) -> None:
    """The file is read by safetensors alone, and its document has no NaN."""
    pipeline = make_pipeline(columns(), classifier()).fit(GAPS, LABELS)
    save(pipeline, path)
    arrays = safetensors_numpy.load_file(path)
    assert all(array.dtype.kind in "biuf" for array in arrays.values())
    length = int.from_bytes(path.read_bytes()[:8], "little")
    header = json.loads(path.read_bytes()[8 : 8 + length])
    text = header["__metadata__"]["sknnopt"]

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is not strict JSON")

    document = json.loads(text, parse_constant=refuse)
    assert document["class"] == "Pipeline"
    assert set(document["versions"]) >= {"sknnopt", "numpy", "scikit-learn", "torch"}
    assert b"pickle" not in path.read_bytes()


def test_callbacks_are_left_out_with_a_warning(path: Path) -> None:
    """A loaded model has no callbacks, and the user is told."""
    from skorch.callbacks import Callback

    model = classifier(callbacks=[Callback()]).fit(NUMBERS, LABELS)
    with pytest.warns(UserWarning, match="'callbacks' parameter is not saved"):
        save(model, path)
    assert load(path).callbacks is None


@pytest.mark.parametrize(
    ("model", "pattern"),
    [
        (
            make_pipeline(PowerTransformer(), classifier()),
            "step 'powertransformer' cannot be saved: it is a Power.*StandardScaler",
        ),
        (
            make_pipeline(
                ColumnTransformer([("odd", PowerTransformer(), ["size"])]), classifier()
            ),
            "step 'odd' of step 'columntransformer' .* PowerTransformer",
        ),
        (
            make_pipeline(
                ColumnTransformer([("all", StandardScaler(), make_column_selector())]),
                classifier(),
            ),
            "columns of step 'all' .*make_column_selector",
        ),
        (
            classifier(validation_fraction=ShuffleSplit(1), early_stopping=True),
            "parameter 'validation_fraction' of model cannot be saved.*ShuffleSplit",
        ),
        (
            classifier().set_params(random_state=np.random.RandomState(0)),
            "parameter 'random_state' of model cannot be saved",
        ),
        (LogisticRegression(), "Got a LogisticRegression instead"),
        (
            make_pipeline(StandardScaler(), LogisticRegression()),
            "Got a Pipeline that ends in LogisticRegression",
        ),
    ],
    ids=["step", "nested", "columns", "splitter", "generator", "bare", "pipeline"],
)
def test_unsupported_is_named(model: Any, pattern: str, path: Path) -> None:
    """The error says which part cannot be saved, and no file appears."""
    model.fit(NUMBERS, LABELS)
    with pytest.raises(ValueError, match=pattern):
        save(model, path)
    assert list(path.parent.iterdir()) == []


def test_subclass_is_not_taken_for_its_base(path: Path) -> None:
    """A class that only bears a known name would come back as another."""

    class StandardScaler(MinMaxScaler):
        pass

    pipeline = make_pipeline(StandardScaler(), classifier()).fit(NUMBERS, LABELS)
    with pytest.raises(ValueError, match="step 'standardscaler' cannot be saved"):
        save(pipeline, path)


def test_unfitted_is_refused(path: Path) -> None:
    """There is nothing to save before fit."""
    with pytest.raises(NotFittedError):
        save(classifier(), path)


def test_failed_save_keeps_the_old_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that breaks off leaves the file before, and no draft."""
    model = classifier().fit(NUMBERS, LABELS)
    save(model, path)
    before = path.read_bytes()

    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "the disk is full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="the disk is full") as caught:
        save(model.fit(NUMBERS, LABELS[::-1]), path)
    assert caught.value.filename == str(path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def with_checksum(arrays: dict[str, np.ndarray], text: str) -> bytes:
    """Return a file whose checksum fits, whatever it holds."""
    blank = "0" * 64
    metadata = {"sknnopt": text, "sha256": blank}
    content = safetensors_numpy.save(arrays, metadata=metadata)
    before, after = content.split(f'"{blank}"'.encode())
    checksum = hashlib.sha256(content).hexdigest()
    return before + f'"{checksum}"'.encode() + after


def rewritten(path: Path, change: Any) -> None:
    """Save a model whose document went through ``change``."""
    save(classifier().fit(NUMBERS, LABELS), path)
    length = int.from_bytes(path.read_bytes()[:8], "little")
    header = json.loads(path.read_bytes()[8 : 8 + length])
    document = json.loads(header["__metadata__"]["sknnopt"])
    text = change(document)
    arrays = safetensors_numpy.load_file(path)
    text = text if isinstance(text, str) else json.dumps(document)
    path.write_bytes(with_checksum(arrays, text))


def parts(document: Any) -> Any:
    """Return class name, parameters and attributes of the document's model."""
    return document["model"]["estimator"]


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        (lambda d: d.update(format_version=2), "has format version 2.*upgrade sknnopt"),
        (lambda d: d.update(format_version="1"), "its format version is '1'"),
        (lambda d: d.update(format="other"), "no model of sknnopt"),
        (
            lambda d: d.update({"class": "Pipeline"}),
            "its class is OptimizedMLPClassifier",
        ),
        (lambda d: d.pop("model"), "damaged"),
        (lambda d: d.pop("versions"), "damaged"),
        (lambda d: parts(d).__setitem__(0, "os.system"), "no class 'os.system'"),
        (lambda d: parts(d)[1].update(depth=3), "damaged"),
        (lambda d: parts(d)[2].update(predict=3), "no attribute 'predict'"),
        (lambda d: parts(d)[2].update({"__class__": 3}), "no attribute '__class__'"),
        (lambda d: parts(d)[2].clear(), "not fitted"),
        (lambda d: parts(d)[2].update(hidden_layer_sizes_=True), "damaged"),
        (lambda d: parts(d)[2].update(n_features_in_=7), "damaged"),
        (lambda d: parts(d)[2].update(activations_=[None]), "damaged"),
        (lambda d: parts(d)[2].update(_record={"dict": []}), "damaged"),
        (lambda d: parts(d)[2].update(feature_names_in_=1), "damaged"),
        (lambda d: parts(d)[2].update(n_features_in_=10**12), "n_features_in_ is"),
        (lambda d: parts(d)[2].update(a={"dtype": "(9,9)f8"}), "no dtype"),
        (
            lambda d: parts(d)[2].update(a={"objects": ["<U99999999", [1], ["a"]]}),
            "strings are no",
        ),
        (lambda d: parts(d)[2].update(a={"objects": ["<f8", [1], [0]]}), "strings are"),
        (lambda d: parts(d)[2].update(a={"array": "array_99"}), "damaged"),
        (lambda d: parts(d)[2].update(a={"type": "system"}), "damaged"),
        (lambda d: parts(d)[2].update(a={"dtype": "datetime64[s]"}), "no dtype"),
        (lambda d: parts(d)[2].update(a={"eval": "1"}), "no tag 'eval'"),
        (lambda d: parts(d)[2].update(a={"tuple": [], "list": []}), "expected one tag"),
        (lambda d: parts(d)[2].update(a={"dict": [[[1], 2]]}), "damaged"),
        (lambda d: "[" * 100_000, "its JSON cannot be read"),
        (lambda d: '{"format": NaN}', "its JSON cannot be read"),
        (lambda d: "[]", "no model of sknnopt"),
    ],
)
def test_changed_document_is_refused(change: Any, pattern: str, path: Path) -> None:
    """A document that save did not write gives a ValueError of one line."""
    rewritten(path, change)
    with pytest.raises(ValueError, match=pattern) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"Cannot load {path}: it ")
    assert "\n" not in message


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.9])
def test_altered_byte_is_refused(share: float, path: Path) -> None:
    """One bit that has changed anywhere, in the document or the weights, is noticed."""
    save(classifier().fit(NUMBERS, LABELS), path)
    content = bytearray(path.read_bytes())
    content[int(share * len(content))] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"Cannot load {path}: it is "):
        load(path)


def test_altered_weights_are_refused_for_their_checksum(path: Path) -> None:
    """The last number may change to one as good; only the checksum tells."""
    save(classifier().fit(NUMBERS, LABELS), path)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ValueError, match=r"damaged or altered \(its checksum"):
        load(path)


def test_missing_checksum_is_refused(path: Path) -> None:
    """Who takes the checksum away gains nothing."""
    save(classifier().fit(NUMBERS, LABELS), path)
    path.write_bytes(path.read_bytes().replace(b'"sha256"', b'"sha257"'))
    with pytest.raises(ValueError, match="its checksum is another"):
        load(path)


def test_wide_strings_come_back(path: Path) -> None:
    """Labels in a column much wider than they are keep their values."""
    labels = LABELS.astype("<U5000")
    model = classifier().fit(NUMBERS, labels)
    assert returned(model, path).predict(NUMBERS).tolist() == list(
        model.predict(NUMBERS)
    )


@pytest.mark.parametrize("share", [0.0, 0.0005, 0.3, 0.999])
def test_truncated_file_is_refused(share: float, path: Path) -> None:
    """Wherever a file breaks off, the error says that it is truncated."""
    save(classifier().fit(NUMBERS, LABELS), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match="not a safetensors file, or truncated"):
        load(path)


def test_arrays_of_any_order_come_back(path: Path) -> None:
    """However an array lies in memory, its numbers are kept, not what lies there."""
    table = np.arange(12.0).reshape(3, 4)
    arrays = {
        "transposed": table.T,
        "column": table[:, 1],
        "backwards": table[::-1],
        "part": table[:, 1:].reshape(3, 3, 1),
        "number": np.array(5.0),
    }
    _files.write_whole(path, _files.to_bytes({}, arrays))
    found = _files.read(path)[1]
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].shape == array.shape
        np.testing.assert_array_equal(found[name], array)


def test_foreign_safetensors_is_refused(path: Path) -> None:
    """Arrays without a document are no model."""
    safetensors_numpy.save_file({"weights": np.ones(3)}, path)
    with pytest.raises(ValueError, match="no model of sknnopt"):
        load(path)


def test_missing_file_is_no_damaged_file(path: Path) -> None:
    """A path that leads nowhere keeps its own kind of error."""
    with pytest.raises(FileNotFoundError):
        load(path)


def test_other_scikit_learn_gives_a_warning(path: Path) -> None:
    """The user is told that fitted steps came from another version."""
    rewritten(path, lambda d: d["versions"].update({"scikit-learn": "0.1"}))
    with pytest.warns(UserWarning, match="saved with scikit-learn 0.1"):
        load(path)


@pytest.mark.parametrize("function", ["save", "load"])
def test_missing_safetensors_is_explained(
    function: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without safetensors the error names the extra to install."""
    model = classifier().fit(NUMBERS, LABELS)
    save(model, path)
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(ImportError, match=r"pip install 'sknnopt\[save\]'"):
        save(model, path) if function == "save" else load(path)


def test_cache_of_a_pipeline_is_forgotten(path: Path, tmp_path: Path) -> None:
    """A loaded pipeline has no cache: that would be a folder of pickles."""
    inner = make_pipeline(StandardScaler(), memory=str(tmp_path / "inner"))
    model = make_pipeline(inner, classifier(), memory=str(tmp_path / "cache"))
    save(model.fit(NUMBERS, LABELS), path)
    loaded = load(path)
    assert loaded.memory is None
    assert loaded[0].memory is None
