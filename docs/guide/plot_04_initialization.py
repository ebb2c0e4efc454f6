"""
Initial weights
===============

**The claim.** Weights that begin at zero stay alike. Random weights of an arbitrary
size make the signals explode or vanish with depth. Xavier's weights keep their variance
under tanh and sigmoid, He's under relu.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from joblib import Parallel, delayed, parallel_config
from scipy.special import expit
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from sknnopt import OptimizedMLPClassifier
from sknnopt.datasets import load_pima
from sknnopt.initializers import INITIALIZERS
from sknnopt.presets import PLAIN

plain = {**PLAIN, "n_units": 10, "max_epochs": 50, "n_iter_no_change": None}

# %%
# Zeros
# -----
# Two hidden layers of 10 units on the Pima table, from zero and from Xavier's weights.
# If the units of a layer are alike, so are the columns of its weights. The table has
# the largest weight of the first layer and the largest difference between two of its
# columns.

X, y = load_pima(return_X_y=True)
X = StandardScaler().fit_transform(X)

rows = []
for activation in ["sigmoid", "tanh", "relu"]:
    for weight_init in ["zeros", "xavier_uniform"]:
        model = OptimizedMLPClassifier(
            **plain, activation=activation, weight_init=weight_init, random_state=0
        ).fit(X, y)
        weights = model.coefs_[0]
        rows.append(
            {
                "activation": activation,
                "weights": weight_init,
                "largest weight": np.abs(weights).max(),
                "largest difference": np.ptp(weights, axis=1).max(),
                "accuracy": model.score(X, y),
            }
        )
zeros = pd.DataFrame(rows).set_index(["activation", "weights"])
zeros.round(3)

# %%
# With zeros and sigmoid units the weights do move, since a sigmoid gives 0.5 for zero;
# but all units of a layer stay the same, to the last bit, and the layer is worth one
# unit. With tanh or relu not even that happens: what a hidden unit gives is zero, and
# so is every gradient but that of the last bias.
#
# Through ten layers
# ------------------
# Digits, standardized, pass through ten layers of 64 units before any training. The
# curves show the mean square of what the units give, relative to that of the input: one
# is kept, zero is gone. For weights of mean zero that is what matters under relu, whose
# outputs have a mean of their own; under tanh it is nearly the variance.

digits = StandardScaler().fit_transform(load_digits().data)
relu, tanh = (lambda x: np.maximum(x, 0)), np.tanh
rules = {
    "normal, 0.01": ("random_normal", 0.01),
    "normal, 1": ("random_normal", 1.0),
    "1/sqrt(n)": ("xavier_fan_in", 1.0),
    "Xavier": ("xavier_uniform", 1.0),
    "He": ("he_uniform", 1.0),
}


def mean_squares(rule, activation):
    """Return the mean square of the input and of ten layers."""
    name, scale = rules[rule]
    rng = np.random.default_rng(0)
    signal, squares = digits, [np.mean(digits**2)]
    for _ in range(10):
        weights = INITIALIZERS[name].make(rng, signal.shape[1], 64, scale)
        signal = activation(signal @ weights)
        squares.append(np.mean(signal**2))
    return squares


signals = {
    name: pd.DataFrame({rule: mean_squares(rule, function) for rule in rules})
    for name, function in {"tanh": tanh, "relu": relu}.items()
}
figure, axes = plt.subplots(2, 1, figsize=(5, 6), sharex=True)
for ax, (name, frame) in zip(axes, signals.items(), strict=True):
    (frame / frame.iloc[0]).plot(ax=ax, logy=True, legend=False)
    ax.set(title=f"Mean square of {name} units, by layer", ylim=(1e-9, 1e9))
    ax.set(ylabel="relative to the input", xlabel="layer (0: input)")
figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3)
factors = pd.DataFrame(
    {name: (f.iloc[-1] / f.iloc[0]) ** (1 / 10) for name, f in signals.items()}
)
factors.map("{:.3g}".format).add_prefix("factor of a layer, ")

# %%
# What it does to training
# ------------------------
# Ten layers of 32 relu units, trained on digits for 20 epochs from each of the weights:
# by gradient descent with momentum at two learning rates, and by Adam. Two seeds each.
# Networks that diverge would warn; here they are counted.

warnings.simplefilter("ignore", ConvergenceWarning)
X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    StandardScaler().fit_transform(X), y, stratify=y, random_state=0
)
deep = {**plain, "n_layers": 10, "n_units": 32, "batch_size": 64, "max_epochs": 20}
optimizers = {
    "SGD, 0.003": {"optimizer": "sgd", "learning_rate": 0.003},
    "SGD, 0.01": {"optimizer": "sgd", "learning_rate": 0.01},
    "Adam, 0.001": {"optimizer": "adam", "learning_rate": 0.001},
}
settings = [(w, o, seed) for w in rules for o in optimizers for seed in range(2)]
models = []
for rule, optimizer, seed in settings:
    params = dict(zip(["weight_init", "init_scale"], rules[rule], strict=True))
    params |= optimizers[optimizer]
    models.append(OptimizedMLPClassifier(**{**deep, **params}, random_state=seed))
with parallel_config(backend="sknnopt"):
    models = Parallel()(delayed(model.fit)(X_train, y_train) for model in models)

runs = pd.DataFrame(settings, columns=["weights", "optimizer", "seed"]).assign(
    accuracy=[model.score(X_test, y_test) for model in models],
    diverged=[model.diverged_ for model in models],
)
print(f"{runs['diverged'].sum()} of {len(runs)} networks diverged")
trained = runs.pivot_table("accuracy", "weights", "optimizer")
trained = trained.loc[list(rules), list(optimizers)]
trained.round(3)

# %%
# Where the claim is imprecise
# ----------------------------
# *Xavier's weights* are drawn from U[-1/sqrt(n), 1/sqrt(n)] in the guide. That is what
# Glorot and Bengio argue **against**. The old rule (their equation 1, here
# ``"xavier_fan_in"``) has the variance 1 / (3 n), a third of what keeps a signal; they
# propose U[-sqrt(6 / (n + m)), sqrt(6 / (n + m))] with the variance 2 / (n + m)
# (equation 16, ``"xavier_uniform"``). The third shows in the factors above, and again
# here:

rng = np.random.default_rng(0)
variances = {
    name: 64 * INITIALIZERS[rules[name][0]].make(rng, 64, 64, 1.0).var()
    for name in ["1/sqrt(n)", "Xavier", "He"]
}
pd.Series(variances).round(3).to_frame("variance times n, for n = m = 64")

# %%
# *Xavier keeps the variance under tanh and sigmoid* is derived for units that are
# linear with slope one, as tanh is near zero. Tanh is flatter elsewhere, so the signal
# still sinks, but slowly. The slope of the sigmoid is at most a quarter: even with
# Xavier's weights the variance between rows falls to less than a sixteenth with each
# layer.

signal, spread = digits, []
for _ in range(4):
    weights = INITIALIZERS["xavier_uniform"].make(rng, signal.shape[1], 64, 1.0)
    signal = expit(signal @ weights)
    spread.append(signal.var(axis=0).mean())
print("variance of sigmoid units:", ", ".join(f"{v:.1e}" for v in spread))

# %%
# *Large weights explode* holds for relu. Bounded units cannot explode: under tanh the
# signal stays, but at plus or minus one, where the derivative is nearly zero.
#
# *Wrong weights cannot be trained* depends on the optimizer. The table above has Adam
# at work from the old rule, with some success where gradient descent has none, and
# gradient descent from Xavier's weights as good as from He's, once the rate is right.

saturated = digits
for _ in range(10):
    weights = INITIALIZERS["random_normal"].make(rng, saturated.shape[1], 64, 1.0)
    saturated = np.tanh(saturated @ weights)
at_ends = np.mean(np.abs(saturated) > 0.9)
print(f"tanh units beyond 0.9 in layer 10, from standard normal weights: {at_ends:.2f}")

# %%
# What is said above is checked each time that this page is built:

assert (zeros.xs("zeros", level="weights")["largest difference"] == 0).all()
assert zeros.loc[("sigmoid", "zeros"), "largest weight"] > 0.1
assert (zeros.loc[["tanh", "relu"]].xs("zeros", level=1)["largest weight"] == 0).all()
assert factors.loc["He", "relu"] > 0.8
assert factors.loc["Xavier", "relu"] < 0.6
assert 1 > factors.loc["Xavier", "tanh"] > 2 * factors.loc["1/sqrt(n)", "tanh"]
assert factors.loc["normal, 1", "relu"] > 10
assert factors.loc["normal, 0.01"].max() < 0.1
assert np.allclose(list(variances.values()), [1 / 3, 1, 2], rtol=0.05)
assert max(np.divide(spread[1:], spread[:-1])) < 1 / 16
assert at_ends > 0.5
diverged = runs.groupby("weights")["diverged"].sum()
assert diverged["normal, 1"] == diverged.sum() > 0
assert trained.loc["1/sqrt(n)"].max() == trained.loc["1/sqrt(n)", "Adam, 0.001"] > 0.5
assert trained.loc["He", "SGD, 0.003"] > trained.loc["Xavier", "SGD, 0.003"] + 0.1
assert abs(np.subtract(*trained.loc[["He", "Xavier"], "SGD, 0.01"])) < 0.05

# %%
# Source
# ------
# Glorot & Bengio 2010, *Understanding the difficulty of training deep feedforward
# neural networks*, equations 1 and 16; He et al. 2015, *Delving deep into rectifiers*,
# equation 10; Goodfellow, Bengio & Courville 2016, *Deep learning*, section 8.4.
