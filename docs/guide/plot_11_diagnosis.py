"""
Diagnosis
=========

**The claim.** Gradients, activations and losses, watched during training, tell what is
wrong with a network: vanishing or exploding gradients, a wrong learning rate,
overfitting. And whoever knows what is wrong knows which parameter to change.
"""

import warnings

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from sknnopt import OptimizedMLPClassifier
from sknnopt.datasets import load_pima
from sknnopt.diagnostics import diagnose_initialization
from sknnopt.displays import GradientFlowDisplay
from sknnopt.presets import PLAIN

X, y = load_pima(return_X_y=True)
parts = train_test_split(X, y, test_size=300, stratify=y, random_state=0)
raw_train, raw_others, y_train, y_others = parts
scaler = StandardScaler().fit(raw_train)
X_train, X_others = scaler.transform(raw_train), scaler.transform(raw_others)
plain = {**PLAIN, "n_units": 32, "batch_size": 64, "max_epochs": 60}
plain |= {"n_iter_no_change": None, "random_state": 0}
network = OptimizedMLPClassifier(**plain)


def fit(model, X_train=X_train, X_others=X_others):
    """Fit, with every second of the other rows for validation."""
    return model.fit(X_train, y_train, X_val=X_others[::2], y_val=y_others[::2])


# %%
# One network, and what is said of it
# -----------------------------------
# Eight layers of sigmoid units, trained by gradient descent with momentum.

deep = clone(network).set_params(n_layers=8, activation="sigmoid", optimizer="sgd")
diagnosis = fit(deep).diagnose()
diagnosis

# %%
# A finding carries its remedy as keywords that can be applied as they are. The pictures
# have the norm of each layer's gradient before and after the first remedy.

cured = fit(clone(deep).set_params(**diagnosis[0].remedy))
figure, axes = plt.subplots(2, 1, figsize=(5, 6))
for ax, model, name in zip(axes, [deep, cured], ["before", "after"], strict=True):
    GradientFlowDisplay.from_estimator(model, ax=ax, vmin=1e-8, vmax=1)
    ax.set_title(f"Gradient norm of each layer, {name} the remedy")

# %%
# Much of it can be told before the first step, of networks that are not fitted yet:

before = diagnose_initialization(clone(deep), X_train)
before.to_frame()[["name", "severity"]]

# %%
# Seven faults, and their remedies in turn
# ----------------------------------------
# Each network is fitted, diagnosed, and given the remedy of its first finding, until
# nothing is found, or six times. The losses are on rows that had no part in it.

faults = {
    "eight layers of sigmoid": {
        "n_layers": 8,
        "activation": "sigmoid",
        "optimizer": "sgd",
    },
    "zero weights": {"weight_init": "zeros"},
    "large weights": {"n_layers": 5, "weight_init": "random_normal", "init_scale": 1.0},
    "learning rate 0.3": {"learning_rate": 0.3},
    "learning rate 0.00001": {"learning_rate": 1e-5},
    "too long, too wide": {"n_units": 128, "max_epochs": 200},
    "raw inputs": {},
    "no fault": {"early_stopping": True},
}


def loss_of(model, X_others):
    """Return the loss on the rows that neither training nor validation saw."""
    return log_loss(y_others[1::2], model.predict_proba(X_others[1::2]))


warnings.simplefilter("ignore", ConvergenceWarning)
rows, courses = [], {}
for fault, params in faults.items():
    data = (raw_train, raw_others) if fault == "raw inputs" else (X_train, X_others)
    model = fit(clone(network).set_params(**params), *data)
    first, found = loss_of(model, data[1]), [model.diagnose()]
    while found[-1] and found[-1][0].remedy and len(found) <= 6:
        model = fit(clone(model).set_params(**found[-1][0].remedy), *data)
        found.append(model.diagnose())
    courses[fault] = [d[0].title if d else "healthy" for d in found]
    rows.append((len(found) - 1, first, loss_of(model, data[1])))
columns = ["remedies", "loss before", "loss after"]
rounds = pd.DataFrame(rows, index=list(faults), columns=columns)
for fault, course in courses.items():
    print(f"{fault}:\n    {', '.join(course)}")
rounds.round(3)

# %%
# Where the claim is imprecise
# ----------------------------
# *What is wrong* is seldom one thing, and one fault hides another. A network that does
# not learn cannot overfit either: once the gradients of the deep network reach its
# first layer, it learns the rows by heart. So diagnose again after each change, and
# look at the loss on other rows each time: a remedy is a proposal, not a promise.
#
# *Knows which parameter to change* holds of the cause, not of the best value. A run
# without findings is healthy, no more: the networks above end at different losses. What
# comes after a diagnosis is a search (:doc:`plot_10_tuning`).
#
# *Gradients tell* the less, the more an optimizer rescales them: a small gradient is no
# small step under Adam (:doc:`plot_01_vanishing_gradients`). Therefore a diagnosis also
# reads steps, activations and losses.
#
# What is said above is checked each time that this page is built:

assert diagnosis.names[0] == "vanishing_gradients"
assert "vanishing_gradients" in before.names
assert cured.diagnose().names[0] == "overfitting"
assert all(course[-1] == "healthy" for course in courses.values())
assert courses["no fault"] == ["healthy"]
with_fault = rounds.drop("no fault")
assert (with_fault["remedies"] >= 1).all()
assert (with_fault["loss after"] < with_fault["loss before"]).all()

# %%
# Source
# ------
# Goodfellow, Bengio & Courville 2016, *Deep learning*, section 11.5; Schneider, Dangel
# & Hennig 2021, *Cockpit: a practical debugging tool for the training of deep neural
# networks*; and the papers that ``sknnopt.diagnostics.FINDINGS`` names.
