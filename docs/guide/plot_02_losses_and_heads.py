"""
Losses and heads
================

**The claim.** The task decides the last layer and the loss: one sigmoid with binary
cross-entropy for two classes, softmax with categorical cross-entropy for more, linear
outputs with the mean squared error for numbers.
"""

import numpy as np
import pandas as pd
from joblib import Parallel, delayed, parallel_config
from scipy.special import expit, softmax
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from sknnopt import OptimizedMLPClassifier, OptimizedMLPRegressor
from sknnopt.presets import PLAIN

# %%
# The estimators choose both
# --------------------------
# ``loss="auto"`` reads the task from the target. Three tables, a network of one hidden
# layer each.

plain = {**PLAIN, "n_layers": 1, "n_units": 32, "max_epochs": 60, "random_state": 0}
tables = {
    "breast cancer": (load_breast_cancer, OptimizedMLPClassifier),
    "digits": (load_digits, OptimizedMLPClassifier),
    "diabetes": (load_diabetes, OptimizedMLPRegressor),
}
fitted, rows = {}, []
for table, (load, estimator) in tables.items():
    X, y = load(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    model = estimator(**plain).fit(X, y)
    fitted[table] = model, X, y
    rows.append((model.loss_name_, model.n_outputs_, model.score(X, y)))
columns = ["loss", "outputs", "training score"]
chosen = pd.DataFrame(rows, index=list(tables), columns=columns)
chosen.round(3)

# %%
# What the heads compute
# ----------------------
# The raw outputs, worked out by hand from the weights, and the head applied to them:
# the sigmoid, or softmax over the classes. The estimators' probabilities are the same.


def raw_outputs(model, X):
    """Return the outputs of one hidden relu layer and a linear one."""
    (first, head), (first_bias, head_bias) = model.coefs_, model.intercepts_
    return np.maximum(X @ first + first_bias, 0) @ head + head_bias


largest = {}
for table, respond in [("breast cancer", expit), ("digits", softmax)]:
    model, X, y = fitted[table]
    raw = raw_outputs(model, X)
    expected = expit(raw)[:, 0] if respond is expit else softmax(raw, axis=1)
    given = model.predict_proba(X)
    given = given[:, 1] if respond is expit else given
    largest[table] = np.abs(given - expected).max()
pd.Series(largest).map("{:.0e}".format).to_frame("largest difference")

# %%
# Why these pairs
# ---------------
# Each loss is, up to constants, the negative log-likelihood of a distribution
# (Bernoulli, categorical, normal), and with its own head the gradient at the raw output
# is *prediction minus target* (twice that for the squared error). With the squared
# error behind a sigmoid the sigmoid's derivative comes in as a factor: where the
# network is badly wrong, that gradient is nearly zero. Gradients of both losses behind
# a sigmoid, by finite differences, for a target of one:

raw = np.linspace(-8, 8, 321)
step = 1e-5
losses = {
    "cross-entropy": lambda raw: np.logaddexp(0, -raw),
    "squared error": lambda raw: (expit(raw) - 1) ** 2,
}
gradients = pd.DataFrame(
    {
        name: (loss(raw + step) - loss(raw - step)) / (2 * step)
        for name, loss in losses.items()
    },
    index=pd.Index(raw, name="raw output"),
)
ax = gradients.plot(title="Gradient of two losses behind a sigmoid, target 1")
ax.set(xlabel="raw output", ylabel="gradient")
gradients.loc[[-8.0, -4.0, 0.0, 4.0]].round(4)

# %%
# Where the claim is imprecise
# ----------------------------
# *One sigmoid for two classes*: softmax over two outputs is the same model, since only
# the difference of its outputs counts. *Linear outputs with the squared error* also
# learn classes, as the numbers 0 and 1; but what they predict is no probability. Ten
# splits of the breast cancer table:

X, y = load_breast_cancer(return_X_y=True)


def held_out(loss, seed):
    """Train on three quarters of the rows; measure predictions for the others."""
    parts = train_test_split(X, y, stratify=y, random_state=seed)
    X_train, X_test, y_train, y_test = parts
    scaler = StandardScaler().fit(X_train)
    X_train, X_test = scaler.transform(X_train), scaler.transform(X_test)
    is_regressor = loss == "squared_error"
    estimator = OptimizedMLPRegressor if is_regressor else OptimizedMLPClassifier
    model = estimator(**plain, loss=loss).fit(X_train, y_train)
    if is_regressor:
        predicted = model.predict(X_test)
    else:
        predicted = model.predict_proba(X_test)[:, 1]
    return {
        "loss": loss,
        "accuracy": np.mean((predicted > 0.5) == y_test),
        "outside 0 to 1": np.mean((predicted < 0) | (predicted > 1)),
        "log-loss": log_loss(y_test, np.clip(predicted, 1e-15, 1 - 1e-15)),
    }


names = ["binary_cross_entropy", "categorical_cross_entropy", "squared_error"]
with parallel_config(backend="sknnopt"):
    rows = Parallel()(
        delayed(held_out)(loss, seed) for loss in names for seed in range(10)
    )
heads = pd.DataFrame(rows).groupby("loss").mean()
heads.round(3)

# %%
# The linear output is a little less accurate. The log-loss of what it predicts,
# clipped to between 0 and 1, is far higher: clipping turns confident mistakes into
# certain ones.
#
# The list also has gaps. A target of several labels takes one sigmoid for each; counts
# take ``loss="poisson"``, whose output is a logarithm; where outliers should not pull,
# there are ``"absolute_error"`` and ``"huber"``; ``"quantile"`` gives bounds. "Sparse"
# and "categorical" cross-entropy are one loss for two ways to write down labels.
#
# And the squared error depends on the unit of the target, the right learning rate with
# it. The regressor therefore standardizes its target inside: a thousandfold target
# gives a thousandfold prediction, from the same training.

model, X, y = fitted["diabetes"]
thousandfold = OptimizedMLPRegressor(**plain).fit(X, 1000 * y)
ratio = thousandfold.predict(X) / model.predict(X)
print(f"ratio of the predictions: {ratio.min():.6f} to {ratio.max():.6f}")

# %%
# What is said above is checked each time that this page is built:

assert chosen["loss"].tolist() == names
assert max(largest.values()) < 1e-12
assert np.allclose(gradients["cross-entropy"], expit(raw) - 1, atol=1e-9)
assert abs(gradients.loc[-8.0, "squared error"]) < 0.001
cross_entropies = heads.loc[names[:2]]
assert np.ptp(cross_entropies["accuracy"]) < 0.01
assert heads["accuracy"].idxmin() == "squared_error"
assert heads["accuracy"].min() > 0.9
assert np.ptp(cross_entropies["log-loss"]) < 0.02
assert heads.loc["squared_error", "log-loss"] > 3 * cross_entropies["log-loss"].max()
assert heads.loc["squared_error", "outside 0 to 1"] > 0.1
assert np.allclose(ratio, 1000)

# %%
# Source
# ------
# Bishop 2006, *Pattern recognition and machine learning*, section 5.2; Goodfellow,
# Bengio & Courville 2016, *Deep learning*, section 6.2.
