"""
Vanishing gradients
===================

**The claim.** The derivative of the sigmoid is at most 0.25. The chain rule multiplies
one derivative for each layer, so the gradient fades on its way back, and the first
layers of a deep network hardly learn. Tanh fades less, and relu not at all.
"""

# sphinx_gallery_thumbnail_number = 2

import pandas as pd
from joblib import Parallel, delayed, parallel_config
from sklearn.preprocessing import StandardScaler

from sknnopt import OptimizedMLPClassifier
from sknnopt.datasets import load_pima
from sknnopt.displays import ActivationFunctionDisplay
from sknnopt.presets import PLAIN

names = ["sigmoid", "tanh", "relu"]

# %%
# The functions and their derivatives
# -----------------------------------
# The package's own functions, and the derivatives that training multiplies by.

display = ActivationFunctionDisplay.from_names(names)
display.figure_.suptitle("Activation functions and their derivatives")
largest = {name: slope for name, (at, slope) in display.steepest.items()}
pd.Series(largest).to_frame("largest derivative")

# %%
# Depth against the norm of the gradient
# --------------------------------------
# Networks of 1 to 10 hidden layers take one step on all rows of the Pima table.
# ``history_`` tells the norm of each layer's gradient before that step. All begin from
# Xavier's weights, five times, so that only activation and depth differ. Their fits run
# in the gathering backend: those of one depth are one batch.

X, y = load_pima(return_X_y=True)
X = StandardScaler().fit_transform(X)


def fit_all(settings):
    """Fit a network for each dict of parameters; return the networks."""
    plain = {**PLAIN, "n_units": 32, "batch_size": len(X), "max_epochs": 1}
    models = [OptimizedMLPClassifier(**{**plain, **params}) for params in settings]
    with parallel_config(backend="sknnopt"):
        return Parallel()(delayed(model.fit)(X, y) for model in models)


def first_layer_norms(settings):
    """Return the median norm of the first layer's gradient, by depth and activation."""
    settings = [
        {**params, "n_layers": depth, "random_state": seed}
        for params in settings
        for depth in range(1, 11)
        for seed in range(5)
    ]
    norms = [model.history_["gradient_norm_0"][0] for model in fit_all(settings)]
    frame = pd.DataFrame(settings).assign(norm=norms)
    return frame.pivot_table("norm", "n_layers", "activation", aggfunc="median")


norms = first_layer_norms(
    {"activation": name, "weight_init": "xavier_uniform"} for name in names
)[names]
ax = norms.plot(
    logy=True, marker="o", title="Gradient norm of the first layer, by depth"
)
ax.set(xlabel="hidden layers", ylabel="norm of the gradient")
norms.map("{:.1e}".format)

# %%
# Under the sigmoid each further layer divides the norm by about the same factor: a
# straight line on the logarithmic axis. Here are the factors, as geometric means over
# the depths.

factors = (norms.iloc[0] / norms.iloc[-1]) ** (1 / 9)
factors.to_frame("each layer divides the norm by").round(2)

# %%
# What it does to training
# ------------------------
# Ten hidden layers, 100 epochs of gradient descent with momentum, and of Adam.

settings = [
    {"activation": name, "optimizer": optimizer}
    for optimizer in ["sgd", "adam"]
    for name in names
]
shared = {"n_layers": 10, "batch_size": 64, "max_epochs": 100, "n_iter_no_change": None}
deep = fit_all({**params, **shared, "random_state": 0} for params in settings)
trained = pd.DataFrame(settings).assign(
    accuracy=[model.score(X, y) for model in deep],
    spread=[model.predict_proba(X)[:, 1].std() for model in deep],
)
print(f"share of the larger class: {1 - y.mean():.3f}")
trained = trained.pivot_table(["accuracy", "spread"], "activation", "optimizer")
trained = trained.loc[names]
trained.round(3)

# %%
# *Accuracy* is that on the training rows, *spread* the standard deviation of the
# predicted probability between them. With plain gradient descent the sigmoid's network
# ends where it began: it predicts the same for everybody.
#
# Where the claim is imprecise
# ----------------------------
# *Relu does not fade* is a claim about relu **with He's weights**. From Xavier's
# weights relu fades faster than tanh, as the picture above shows: half of the units are
# silent, and nothing makes up for it. Between layers of one width He's weights have
# twice the variance.
#
# *The sigmoid fades* leaves out the other factor of each layer, its weights. A layer's
# factor is the derivative times the weights; from weights four times as large as
# Xavier's, which undo the quarter, the sigmoid's gradient keeps much more of its norm.
#
# *The first layers hardly learn* is true of gradient descent. Adam divides each
# weight's step by the size of its own past gradients, so a gradient that is small but
# steady moves the weights all the same: the deep sigmoid network learns, if less than
# the others.

n_units = 32
four_times_xavier = 4 * (2 / (n_units + n_units)) ** 0.5
others = first_layer_norms(
    [
        {"activation": "relu", "weight_init": "he_uniform"},
        {
            "activation": "sigmoid",
            "weight_init": "random_normal",
            "init_scale": four_times_xavier,
        },
    ]
).rename(columns={"relu": "relu, He", "sigmoid": "sigmoid, 4 × Xavier"})
both = norms.add_suffix(", Xavier").join(others)
ax = both.plot(
    logy=True, marker="o", title="Gradient norm of the first layer, other weights"
)
ax.set(xlabel="hidden layers", ylabel="norm of the gradient")
both.loc[[1, 5, 10]].T.map("{:.1e}".format)

# %%
# What is said above is checked each time that this page is built:

assert largest["sigmoid"] == 0.25
assert norms["sigmoid"].is_monotonic_decreasing
assert factors["sigmoid"] > 3 > factors["relu"] > factors["tanh"]
assert trained.loc["sigmoid", ("spread", "sgd")] < 0.01
assert trained.loc[["tanh", "relu"], ("accuracy", "sgd")].min() > 0.8
assert trained.loc["sigmoid", ("spread", "adam")] > 0.1
assert trained["accuracy"]["adam"].idxmin() == "sigmoid"
assert others.loc[10, "relu, He"] > 10 * norms.loc[10, "relu"]
assert others.loc[10, "sigmoid, 4 × Xavier"] > 1000 * norms.loc[10, "sigmoid"]

# %%
# Source
# ------
# Glorot & Bengio 2010, *Understanding the difficulty of training deep feedforward
# neural networks*, sections 3 and 4; He et al. 2015, *Delving deep into rectifiers*,
# section 2.2.
