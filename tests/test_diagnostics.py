from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from estimators import plain_classifier, plain_regressor
from sklearn.exceptions import NotFittedError

from sknnopt import OptimizedMLPClassifier, OptimizedMLPRegressor
from sknnopt._architecture import Architecture
from sknnopt._evidence import Run, means_by_epoch
from sknnopt._history import LAYERS, STATISTICS
from sknnopt._layout import Layout
from sknnopt.diagnostics import (
    FINDINGS,
    Diagnosis,
    Finding,
    diagnose_initialization,
    examine,
    layer_frame,
)

EPOCHS = 12
SHAPE = Architecture(3, (6, 6, 6), 2, ("relu",) * 3)
#: A statistic's value in a healthy run, for each layer.
USUAL = {
    "gradient_norm": 0.3,
    "update_ratio": 5e-3,
    "dead_share": 0.1,
    "saturated_share": np.nan,
    "activation_mean": 0.4,
    "activation_variance": 0.3,
}
FACTS = {
    "n_rows": 300,
    "n_valid": 60,
    "is_given_valid": False,
    "restores_best": True,
    "learning_rate": 1e-3,
    "max_epochs": 100,
    "patience": 15,
    "tol": 1e-4,
    "task": "classification",
    "dropout": [0.0, 0.0, 0.0],
    "penalty": 0.0,
    "weight_decay": 0.0,
    "class_counts": [150, 150],
    "constant_loss": 0.69,
    "inputs": None,
}
FALLING = 0.3 + 0.35 * np.exp(-np.arange(EPOCHS))
JUMPING = 0.4 + 0.1 * (np.arange(EPOCHS) % 2)


def healthy(shape=SHAPE, **changes):
    """Return a run in which nothing is wrong, but for what is given.

    Statistics of layers, parameters, facts and columns go where they belong.
    """
    n_layers = len(shape.sizes) - 1
    rng = np.random.default_rng(0)
    first = np.full((len(STATISTICS), n_layers), np.nan)
    layers = np.full((EPOCHS, len(STATISTICS), n_layers), np.nan)
    for place, name in enumerate(STATISTICS):
        layers[:, place] = changes.pop(name, USUAL[name])
        first[place] = changes.pop(f"first_{name}", USUAL[name])
    columns = {
        "epoch": np.arange(1, EPOCHS + 1),
        "train_loss": FALLING,
        "valid_loss": FALLING + 0.02,
        "gradient_norm": np.full(EPOCHS, 0.6),
        LAYERS: layers,
    }
    columns["lasting_loss"] = columns["valid_loss"]
    for name in [*columns, "clipped_share"]:
        if name in changes:
            columns[name] = np.broadcast_to(changes.pop(name), EPOCHS).astype(float)
    facts = {name: changes.pop(name, value) for name, value in FACTS.items()}
    parameters = {
        **OptimizedMLPClassifier().get_params(),
        **{name: changes.pop(name) for name in list(changes) if name in PARAMETERS},
    }
    run = Run(
        parameters,
        facts,
        shape,
        columns,
        first,
        rng.normal(size=(1, Layout.of(shape).n_columns)),
        n_epochs=EPOCHS,
    )
    return replace(run, **changes)


PARAMETERS = set(OptimizedMLPClassifier().get_params())
TANH = replace(SHAPE, activations=("tanh",) * 3)
SIGMOID = replace(SHAPE, activations=("sigmoid",) * 3)
#: For each finding a run that has it, and the same run just below the threshold.
CASES = {
    "vanishing_gradients": (
        {"gradient_norm": [1e-3, 1e-2, 0.1, 1.0], "shape": SIGMOID},
        {"gradient_norm": [2e-2, 1e-1, 0.3, 1.0], "shape": SIGMOID},
    ),
    "exploding_gradients": (
        {"first_gradient_norm": 101.0, "weight_init": "random_normal"},
        {"first_gradient_norm": 99.0, "weight_init": "random_normal"},
    ),
    "dead_units": ({"dead_share": 0.51}, {"dead_share": 0.5}),
    "saturation": (
        {"saturated_share": 0.51, "shape": TANH},
        {"saturated_share": 0.5, "shape": TANH},
    ),
    "initialization_variance": (
        {
            "first_activation_variance": [101.0, 10.0, 1.0, np.nan],
            "weight_init": "random_uniform",
        },
        {
            "first_activation_variance": [99.0, 10.0, 1.0, np.nan],
            "weight_init": "random_uniform",
        },
    ),
    "heavy_clipping": ({"clipped_share": 0.51}, {"clipped_share": 0.5}),
    "noisy_validation": ({"n_valid": 24}, {"n_valid": 25}),
    "unscaled_inputs": (
        {
            "scale_inputs": False,
            "inputs": {"least": 0.5, "greatest": 5.1, "mean": 1.0},
        },
        {
            "scale_inputs": False,
            "inputs": {"least": 0.5, "greatest": 5.0, "mean": 1.0},
        },
    ),
    "imbalanced_classes": (
        {"class_counts": [880, 120]},
        {"class_counts": [870, 130]},
    ),
    "divergence": ({"n_diverged": 1}, {"n_diverged": 0}),
    "underfitting": (
        {"dropout": [0.5, 0.0, 0.0], "train_loss": 0.5, "valid_loss": 0.5},
        {"dropout": [0.4, 0.0, 0.0], "train_loss": 0.5, "valid_loss": 0.5},
    ),
    "learning_rate_too_low": ({"update_ratio": 9e-4}, {"update_ratio": 1.1e-3}),
    "learning_rate_too_high": (
        {"update_ratio": 0.051, "train_loss": JUMPING},
        {"update_ratio": 0.049, "train_loss": JUMPING},
    ),
    "overfitting": (
        {"restores_best": False, "valid_loss": [0.4] * 9 + [0.461] * 3},
        {"restores_best": False, "valid_loss": [0.4] * 9 + [0.459] * 3},
    ),
    # There are 122 weights.
    "network_too_large": (
        {"restores_best": False, "valid_loss": [0.4] * 9 + [0.5] * 3, "n_rows": 6},
        {"restores_best": False, "valid_loss": [0.4] * 9 + [0.5] * 3, "n_rows": 7},
    ),
    "stopped_too_early": (
        {"patience": 3, "lasting_loss": np.linspace(0.6, 0.45, EPOCHS)},
        {"patience": 4, "lasting_loss": np.linspace(0.6, 0.45, EPOCHS)},
    ),
}


@pytest.mark.parametrize("shape", [SHAPE, TANH, SIGMOID])
def test_healthy_runs_have_no_finding(shape):
    """Where all numbers are usual, nothing is found and the summary says so."""
    is_cut = shape is SHAPE
    shares = {"dead_share": 0.1 if is_cut else np.nan}
    diagnosis = examine(healthy(shape, **shares))
    assert diagnosis.is_healthy
    assert str(diagnosis).endswith("Nothing is wrong.")


@pytest.mark.parametrize("name", CASES)
def test_threshold_of_a_finding(name):
    """It is found just beyond its threshold, and not just before."""
    beyond, before = (healthy(**dict(case)) for case in CASES[name])
    assert name in examine(beyond).names
    assert name not in examine(before).names


@pytest.mark.parametrize("name", CASES)
def test_remedies_are_parameters(name):
    """A remedy can be set as it is, and differs from what was set."""
    run = healthy(**dict(CASES[name][0]))
    (finding,) = (f for f in examine(run) if f.name == name)
    assert finding.numbers
    assert finding.remedy
    model = OptimizedMLPClassifier().set_params(**finding.remedy)
    model._validate_params()


@pytest.mark.parametrize(
    "hindrance",
    [
        {"penalty": 0.01},
        {"weight_decay": 0.3},
        {"shape": replace(SHAPE, hidden=(3,) * 3)},
    ],
)
def test_held_back_networks_underfit(hindrance):
    """Penalties, decay and narrow layers count as dropout does, alone and only then."""
    stuck = {"train_loss": 0.5, "valid_loss": 0.5}
    assert examine(healthy(**stuck)).is_healthy
    assert examine(healthy(**stuck, **hindrance)).names == ["underfitting"]
    # A distance to the validation loss speaks against it; unknown, it does not.
    assert examine(healthy(**{**stuck, "valid_loss": 0.7}, **hindrance)).is_healthy
    unknown = healthy(**{**stuck, "valid_loss": np.nan}, **hindrance)
    assert examine(unknown).names == ["underfitting"]


@pytest.mark.parametrize(
    ("n_rows", "last", "is_found"),
    [(61, 0.034, True), (62, 0.034, False), (61, 0.035, False)],
)
def test_rows_learned_by_heart(n_rows, last, is_found):
    """With nothing held out, hardly a loss and two weights a row are overfitting."""
    losses = np.geomspace(FACTS["constant_loss"], last, EPOCHS)
    run = healthy(
        restores_best=False, valid_loss=np.nan, train_loss=losses, n_rows=n_rows
    )
    found = [f for f in examine(run) if f.name == "overfitting"]
    assert len(found) == is_found
    for finding in found:
        assert finding.numbers["weights per row"] == 122 / 61
        assert finding.remedy == {"early_stopping": True}


@pytest.mark.parametrize(
    ("name", "changes", "remedy"),
    [
        (
            "divergence",
            {"n_diverged": 1, "scale_inputs": False},
            {"learning_rate": 1e-4, "clip_norm": 1.0, "scale_inputs": True},
        ),
        (
            "vanishing_gradients",
            {"gradient_norm": [1e-3, 1e-2, 0.1, 1.0]},
            {"weight_init": "auto", "normalization": "batch"},
        ),
        (
            "exploding_gradients",
            {
                "first_gradient_norm": 101.0,
                "scale_inputs": False,
                "inputs": {"least": 1.0, "greatest": 1.0, "mean": 0.0},
            },
            {"scale_inputs": True, "clip_norm": 1.0},
        ),
    ],
)  # fmt: skip
def test_remedy_follows_the_cause(name, changes, remedy):
    """Inputs as they came are scaled; relu, which is no cause, is not the remedy."""
    (finding,) = (f for f in examine(healthy(**changes)) if f.name == name)
    assert finding.remedy == remedy


def test_alike_units_explain_a_loss_that_falls_on():
    """Where all units of a layer are the same, more epochs are no remedy."""
    case = dict(CASES["stopped_too_early"][0])
    same = np.ones((1, Layout.of(SHAPE).n_columns))
    found = examine(healthy(**case, weights=same)).names
    assert "symmetric_initialization" in found
    assert "stopped_too_early" not in found


def test_a_single_unit_has_none_to_be_like():
    """Layers of one unit are not taken for layers whose units are all the same."""
    narrow = replace(SHAPE, hidden=(1, 2, 1))
    same = np.ones((1, Layout.of(narrow).n_columns))
    assert healthy(narrow, weights=same).alike_layers == (1,)


def test_without_the_loss_of_a_constant():
    """The first training loss stands in for it, and 1 where there is none."""
    assert healthy(constant_loss=None).constant_loss == FALLING[0]
    assert healthy(constant_loss=None, train_loss=np.nan).constant_loss == 1.0


def test_a_run_of_one_epoch_has_no_course():
    """Its loss neither jumps, which takes two epochs, nor falls."""
    run = healthy()
    columns = {name: values[:1] for name, values in run.columns.items()}
    short = replace(run, columns=columns, n_epochs=1)
    assert np.isnan(short.roughness)
    assert short.gain_at_end == 0.0


@pytest.mark.parametrize(
    ("gain", "swing", "is_valid", "is_found"),
    [
        (0.021, 0.0, True, True),
        (0.019, 0.0, True, False),
        (0.021, 0.0, False, False),
        (0.021, 0.0205, True, True),
        (0.021, 0.0215, True, False),
    ],
)
def test_a_long_run_that_still_gains(gain, swing, is_valid, is_found):
    """40 epochs must gain 2 % in the end, on other rows, and twice what they swing."""
    run = healthy(max_epochs=40)
    columns = {
        name: np.concatenate([values, np.repeat(values[-1:], 40 - EPOCHS, axis=0)])
        for name, values in run.columns.items()
    }
    # It falls from one epoch to the next, and goes up and down besides.
    steps = np.repeat([0.0, gain], [30, 10]) + swing / 2 * (np.arange(40) % 2)
    columns["lasting_loss"] = 0.5 - run.constant_loss * steps
    if not is_valid:
        columns["valid_loss"] = np.full(40, np.nan)
    found = examine(replace(run, columns=columns, n_epochs=40))
    assert ("stopped_too_early" in found.names) is is_found


def test_narrow_layers_underfit_dead_or_alive():
    """Dead units explain a high loss, but in layers that are very narrow."""
    stuck = {"train_loss": 0.5, "valid_loss": 0.5, "dead_share": 0.9}
    narrow = healthy(**stuck, shape=replace(SHAPE, hidden=(3,) * 3))
    assert examine(narrow).names == ["dead_units", "underfitting"]
    assert examine(healthy(**stuck, penalty=0.01)).names == ["dead_units"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ["learning_rate_too_low"]),
        ({"train_loss": 0.67}, []),
        ({"dead_share": 0.9}, ["dead_units"]),
        ({"penalty": 0.01}, ["underfitting"]),
        (CASES["vanishing_gradients"][0], ["vanishing_gradients"]),
        (CASES["unscaled_inputs"][0], ["unscaled_inputs"]),
    ],
)
def test_a_loss_that_stands_still(changes, expected):
    """The rate is to blame for a loss that nothing was taken off, and nothing else."""
    flat = {"train_loss": 0.68, "valid_loss": 0.7}
    assert examine(healthy(**{**flat, **changes})).names == expected


def test_gradients_that_are_no_numbers_have_exploded():
    """A gradient that is not finite was beyond all bounds before."""
    norms = np.where(np.arange(EPOCHS) < EPOCHS - 1, 0.6, np.nan)
    found = examine(healthy(gradient_norm=0.3, n_diverged=1))
    assert "exploding_gradients" not in found.names
    columns = dict(healthy().columns, gradient_norm=norms)
    assert "exploding_gradients" in examine(healthy(columns=columns)).names


def test_every_finding_is_documented():
    """Each entry of the registry has a summary and a reference."""
    for option in FINDINGS.values():
        assert option.summary.endswith(".")
        assert option.reference


# ---------------------------------------------------------------- real runs


@pytest.fixture(scope="module")
def table():
    """Return 200 rows of which one column tells the class."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 4))
    return X, (X[:, 0] + 0.3 * rng.normal(size=200) > 0).astype(int)


FAULTS = {
    "symmetric_initialization": {"weight_init": "zeros", "activation": "sigmoid"},
    "vanishing_gradients": {"activation": "sigmoid", "n_layers": 7},
    "initialization_variance": {
        "weight_init": "random_normal",
        "init_scale": 2.0,
        "n_layers": 5,
    },
    "divergence": {
        "optimizer": "sgd",
        "learning_rate": 1e6,
        "activation": "identity",
    },
    "learning_rate_too_low": {"learning_rate": 1e-6},
    "heavy_clipping": {"clip_norm": 1e-3},
    "stopped_too_early": {"max_epochs": 6, "learning_rate": 3e-3},
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_found(table, name):
    """A fit with a fault has it among its findings, and prints, and is a frame."""
    settings = {"max_epochs": 20, "n_units": 16, "scale_inputs": True, **FAULTS[name]}
    model = plain_classifier(**settings, random_state=0).fit(*table)
    diagnosis = model.diagnose()
    assert name in diagnosis.names
    assert diagnosis.to_frame()["name"].tolist() == diagnosis.names
    for finding in diagnosis:
        assert finding.title in str(diagnosis)
        assert finding.title in diagnosis.to_html()
        model.set_params(**(finding.remedy or {}))._validate_params()


@pytest.mark.parametrize("n_members", [1, 3])
@pytest.mark.parametrize("make", [plain_classifier, plain_regressor])
def test_sensible_fits_are_healthy(table, make, n_members):
    """Standardized inputs, a small network and enough epochs give no finding."""
    model = make(
        n_units=8,
        n_members=n_members,
        max_epochs=400,
        learning_rate=5e-3,
        scale_inputs=True,
        early_stopping=True,
        validation_fraction=0.2,
        random_state=0,
    ).fit(*table)
    assert model.diagnose().names == []


def test_without_a_monitor_it_says_so(table):
    """Nothing is known of gradients then, and the summary tells."""
    model = plain_classifier(
        monitor="off", activation="sigmoid", n_layers=7, max_epochs=3, random_state=0
    ).fit(*table)
    diagnosis = model.diagnose()
    assert "vanishing_gradients" not in diagnosis.names
    assert "Without a monitor" in diagnosis.summary


def test_findings_are_a_sequence():
    """They are read by place, by slice and in turn."""
    diagnosis = examine(healthy(n_diverged=1, n_valid=24))
    assert len(diagnosis) == len(diagnosis.names) == 2
    assert [diagnosis[0], diagnosis[-1]] == list(diagnosis)
    assert diagnosis[:1] == (diagnosis[0],)


def test_an_estimator_must_be_fitted():
    """There is nothing to diagnose before a fit."""
    with pytest.raises(NotFittedError):
        OptimizedMLPClassifier().diagnose()


def test_means_are_over_living_members():
    """A column is averaged over who was there, the lasting loss over who stayed."""
    history = {
        "member": np.array([0, 1, 0, 1, 1]),
        "epoch": np.array([1, 1, 2, 2, 3]),
        "train_loss": np.array([4.0, 2.0, 3.0, 1.0, 0.5]),
        LAYERS: np.arange(5 * 6 * 2, dtype=float).reshape(5, 6, 2),
    }
    means = means_by_epoch(history)
    assert means["epoch"].tolist() == [1, 2, 3]
    assert means["train_loss"].tolist() == [3.0, 2.0, 0.5]
    assert means["lasting_loss"].tolist() == [2.0, 1.0, 0.5]
    np.testing.assert_array_equal(means[LAYERS][0], history[LAYERS][:2].mean(axis=0))


# ---------------------------------------------------------------- before the first step


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, []),
        ({"weight_init": "zeros"},
         ["dead_units", "initialization_variance", "symmetric_initialization"]),
        ({"weight_init": "random_normal", "init_scale": 3.0, "n_layers": 4,
          "n_units": 64}, ["initialization_variance"]),
        ({"activation": "sigmoid", "n_layers": 8}, ["vanishing_gradients"]),
        ({"activation": "tanh", "weight_init": "random_normal", "init_scale": 3.0},
         ["initialization_variance", "saturation"]),
    ],
)  # fmt: skip
def test_before_the_first_step(table, settings, expected):
    """Initial networks are judged from the rows alone, and nothing is changed."""
    model = OptimizedMLPRegressor(n_bins=None, random_state=0, **settings)
    before = vars(model).copy()
    found = diagnose_initialization(model, table[0])
    assert sorted(found.names) == expected
    assert vars(model) == before
    assert all(finding.epochs is None for finding in found)


@pytest.mark.parametrize("kind", ["frame", "sparse"])
def test_inputs_before_the_first_step(table, kind):
    """Columns of other scales are found in any kind of table."""
    X = table[0] * [1.0, 1e3, 1e-3, 1.0]
    if kind == "frame":
        X = pd.DataFrame(X, columns=list("abcd")).assign(e="x")
    else:
        X = pytest.importorskip("scipy.sparse").csr_matrix(X)
    model = OptimizedMLPClassifier(scale_inputs=False, n_bins=None, random_state=0)
    assert "unscaled_inputs" in diagnose_initialization(model, X).names
    model.set_params(scale_inputs=True)
    assert diagnose_initialization(model, X).is_healthy


def test_linear_model_before_training(table):
    """A network without hidden layers can be looked at, too."""
    model = OptimizedMLPClassifier(n_layers=0, random_state=0)
    assert diagnose_initialization(model, table[0]).is_healthy


# ---------------------------------------------------------------- reading


def test_text_names_place_numbers_and_remedy():
    """A finding reads as severity, name, place, cause, evidence and remedy."""
    finding = Finding(
        "vanishing_gradients",
        "severe",
        {"ratio": 0.00123456, "share": 1.0},
        "The gradient shrinks.",
        {"activation": "relu"},
        layers=(0, 1, 2),
        epochs=(1, 9),
    )
    assert str(finding).splitlines() == [
        "SEVERE  vanishing gradients (layers 0 to 2, epochs 1 to 9)",
        "  The gradient shrinks.",
        "  ratio: 0.00123, share: 1",
        "  remedy: set_params(activation='relu')",
    ]


def test_findings_without_a_remedy_have_no_call():
    """A finding that no parameter cures shows none, in text and in HTML."""
    finding = Finding("underfitting", "mild", {"loss": 0.5}, "a < b", layers=(0, 2))
    assert finding.call == ""
    assert "remedy" not in str(finding)
    html = Diagnosis((finding,))._repr_html_()
    assert "<code>" not in html
    assert "a &lt; b" in html
    assert "layers 0, 2" in html


def test_verdict_counts():
    """The verdict counts findings and severe ones."""
    mild = Finding("a", "mild", {}, "")
    severe = replace(mild, severity="severe")
    assert Diagnosis((mild,)).verdict == "1 finding."
    assert Diagnosis((severe, mild)).verdict == "2 findings, 1 severe."
    assert list(Diagnosis((severe, mild))[1:]) == [mild]


def test_layers_as_rows(table):
    """Every statistic of every layer stands in the row of its epoch and layer."""
    model = plain_classifier(n_layers=2, n_members=2, max_epochs=3, random_state=0).fit(
        *table
    )
    history = model.history_
    frame = layer_frame(history)
    assert len(frame) == 2 * 3 * 3
    for _, row in frame.iterrows():
        line = history[
            (history["member"] == row["member"]) & (history["epoch"] == row["epoch"])
        ].iloc[0]
        for name in STATISTICS:
            expected = line.get(f"{name}_{int(row['layer'])}", np.nan)
            np.testing.assert_equal(row[name], expected)
