"""
L1 and L2
=========

**The claim.** A penalty on the weights keeps them small and the network from learning
by heart: L1 on their absolute values, L2 on their squares. The guide writes the update
``w ← (1 - ηλ) w - η g``, with the learning rate η and the gradient g of the loss, under
the name of L1.
"""

# sphinx_gallery_thumbnail_number = 2

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from joblib import Parallel, delayed, parallel_config
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknnopt import OptimizedMLPClassifier
from sknnopt.presets import PLAIN

X, y = load_breast_cancer(return_X_y=True)
plain = {**PLAIN, "n_layers": 1, "n_units": 32, "batch_size": 64, "max_epochs": 100}
plain |= {"n_iter_no_change": None}


def fit(seed, **params):
    """Fit a network to three quarters of the rows; return it and what it measures."""
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, stratify=y, random_state=seed
    )
    network = OptimizedMLPClassifier(**{**plain, **params}, random_state=seed)
    model = make_pipeline(StandardScaler(), network).fit(X_train, y_train)
    weights = np.abs(np.concatenate([layer.ravel() for layer in network.coefs_]))
    return network, {
        **params,
        "training loss": log_loss(y_train, model.predict_proba(X_train)),
        "held-out loss": log_loss(y_test, model.predict_proba(X_test)),
        "below 0.01": np.mean(weights < 0.01),
        "largest weight": weights.max(),
    }


# %%
# What the updates do
# -------------------
# One penalized step of gradient descent for each, written out:
#
# - L2, the penalty ``λ Σ w²``: ``w ← w - η (g + 2λ w) = (1 - 2ηλ) w - η g``
# - L1, the penalty ``λ Σ |w|``: ``w ← w - η (g + λ sign(w))``
#
# L2 takes a *share* of each weight, and the larger the weight the more. L1 takes the
# same *amount* from each, whatever its size, so that small weights arrive at zero. The
# update of the claim multiplies: it is L2's, with twice its λ, and is called weight
# decay. Trained with plain gradient descent, all weights come out the same:

descent = {"optimizer": "sgd", "momentum": 0.0, "learning_rate": 0.1}
adam = {"optimizer": "adam", "learning_rate": 0.01}
updates = {
    "none": {},
    "weight decay": {"weight_decay": 0.02},
    "L2": {"l2": 0.01},
    "L1": {"l1": 0.01},
}


def weights_of(rule):
    """Return all weights of a network for each of the updates."""
    fitted = {name: fit(0, **rule, **params)[0] for name, params in updates.items()}
    return {
        name: np.concatenate([layer.ravel() for layer in network.coefs_])
        for name, network in fitted.items()
    }


def distances(weights):
    """Return the largest difference between weight decay's weights and the others'."""
    return {
        name: np.abs(weights["weight decay"] - weights[name]).max()
        for name in ["L2", "L1", "none"]
    }


by_descent, by_adam = weights_of(descent), weights_of(adam)
apart = pd.DataFrame(
    {"gradient descent": distances(by_descent), "Adam": distances(by_adam)}
)
apart.map("{:.1e}".format)

# %%
# The largest difference between the weights from weight decay and those of the other
# updates. With gradient descent that to L2 is rounding: they are one update. **With
# Adam they are two**, since Adam rescales the gradient of a penalty like any other, and
# decay passes it by; this is the difference between ``l2`` and ``weight_decay``, and
# between Adam and AdamW.
#
# The weights
# -----------
# Histograms of all weights after gradient descent with each penalty.

shown = {"none": "no penalty", "L2": "L2", "L1": "L1"}
figure, axes = plt.subplots(3, 1, figsize=(5, 6), sharex=True, sharey=True)
for ax, (name, title) in zip(axes, shown.items(), strict=True):
    ax.hist(by_descent[name], bins=np.linspace(-1.4, 1.4, 113))
    ax.set(title=f"Weights with {title}", yscale="log", ylabel="weights")
axes[-1].set_xlabel("value of the weight")
sizes = {name: np.abs(by_descent[name]) for name in shown}
histograms = pd.DataFrame(
    {
        "share below 0.01": {
            name: np.mean(size < 0.01) for name, size in sizes.items()
        },
        "exactly zero": {name: np.mean(size == 0) for name, size in sizes.items()},
        "median": {name: np.median(size) for name, size in sizes.items()},
        "largest": {name: size.max() for name, size in sizes.items()},
    }
)
histograms.round(4)

# %%
# L2 draws the whole histogram together. L1 brings nearly all weights close to zero, and
# lets the few that remain grow larger than they were without any penalty.
#
# How strong
# ----------
# Six strengths of each, on five splits, with Adam.

strengths = [1e-5, 1e-4, 1e-3, 3e-3, 1e-2, 3e-2]
settings = [{name: s} for name in ["l1", "l2"] for s in strengths]
with parallel_config(backend="sknnopt"):
    rows = Parallel()(
        delayed(fit)(seed, **adam, **params)
        for params in [{}, *settings]
        for seed in range(5)
    )
runs = pd.DataFrame([measured for network, measured in rows])
columns = ["training loss", "held-out loss", "below 0.01"]
without = runs[runs["l1"].isna() & runs["l2"].isna()][columns].mean()
l1, l2 = (runs.groupby(name)[columns].mean() for name in ["l1", "l2"])

figure, ax = plt.subplots()
ax.plot(l1["held-out loss"], label="L1", marker="o")
ax.plot(l2["held-out loss"], label="L2", marker="o")
ax.axhline(without["held-out loss"], color="0.5", label="no penalty")
ax.set(xscale="log", xlabel="strength", ylabel="log-loss")
ax.set_ylim(0, 1.1 * without["held-out loss"])
ax.set_title("Held-out loss, by strength of the penalty")
ax.legend(loc="lower left")
parts = {"none": without.to_frame(0.0).T, "L1": l1, "L2": l2}
pd.concat(parts, names=["penalty", "strength"]).round(3)

# %%
# Where the claim is imprecise
# ----------------------------
# *The name.* The update of the claim is L2's; L1's subtracts a constant. Which one is
# meant matters, as the histograms show.
#
# *L1 sets weights to zero.* Steps along its gradient take them to about zero, and there
# they go back and forth by one step: none of them is exactly zero. To leave weights
# out, choose a threshold.
#
# *L1 and L2 prevent overfitting* about equally well on this table, each at a strength
# of its own. What differs is what the network looks like.
#
# What is said above is checked each time that this page is built:

assert apart.loc["L2", "gradient descent"] < 1e-12
assert apart.loc[["L1", "none"], "gradient descent"].min() > 0.1
assert apart.loc["L2", "Adam"] > 0.1
share, size = histograms["share below 0.01"], histograms["largest"]
assert share["L1"] > 0.8
assert share["none"] < share["L2"] < 0.2
assert size["L1"] > size["none"] > size["L2"]
assert histograms["median"].idxmax() == "none"
assert (histograms["exactly zero"] == 0).all()
best_l1, best_l2 = l1["held-out loss"].min(), l2["held-out loss"].min()
assert max(best_l1, best_l2) < 0.6 * without["held-out loss"]
assert abs(best_l1 - best_l2) < 0.02
assert (l1["below 0.01"] > l2["below 0.01"]).all()

# %%
# Source
# ------
# Goodfellow, Bengio & Courville 2016, *Deep learning*, section 7.1; Krogh & Hertz 1991,
# *A simple weight decay can improve generalization*; Loshchilov & Hutter 2019,
# *Decoupled weight decay regularization*, algorithm 2.
