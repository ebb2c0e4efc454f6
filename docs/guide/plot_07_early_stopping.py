"""
Early stopping
==============

**The claim.** The training loss falls on and on, while the loss on held-out rows
reaches its lowest point and rises again. Training should end there, with the weights of
that epoch.
"""

import pandas as pd
from joblib import Parallel, delayed, parallel_config
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from sknnopt import OptimizedMLPClassifier
from sknnopt.datasets import load_pima
from sknnopt.displays import TrainingHistoryDisplay
from sknnopt.presets import PLAIN

X, y = load_pima(return_X_y=True)
plain = {**PLAIN, "n_units": 32, "batch_size": 64, "max_epochs": 200}
plain |= {"early_stopping": True, "validation_fraction": 0.2, "n_iter_no_change": None}


def fit(seed, **params):
    """Fit a network, which validates on a part of its rows; measure it on others."""
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, stratify=y, random_state=seed
    )
    scaler = StandardScaler().fit(X_train)
    network = OptimizedMLPClassifier(**{**plain, **params}, random_state=seed)
    network.fit(scaler.transform(X_train), y_train)
    X_test = scaler.transform(X_test)
    return network, {
        **params,
        "epochs trained": network.n_iter_,
        "epoch kept": network.best_epoch_,
        "test loss": log_loss(y_test, network.predict_proba(X_test)),
        "test accuracy": network.score(X_test, y_test),
    }


# %%
# One run
# -------
# Two hidden layers of 32 relu units on the Pima table. A fifth of the training rows is
# held out; here the training goes on to the end, to show what follows.

network, measured = fit(0)
display = TrainingHistoryDisplay.from_estimator(network)
display.ax_.set_title("Loss by epoch, with the best epoch marked")
history = network.history_.set_index("epoch")
losses = history[["train_loss", "valid_loss", "valid_score"]]
losses.loc[sorted({1, network.best_epoch_, 50, 100, 200})].round(3)

# %%
# What it saves
# -------------
# Ten splits, without early stopping (and so with all training rows), with a patience of
# 3, 15 and 50 epochs, and to the end.

patiences = {
    "no early stopping": {"early_stopping": False},
    "patience 3": {"n_iter_no_change": 3},
    "patience 15": {"n_iter_no_change": 15},
    "patience 50": {"n_iter_no_change": 50},
    "to the end": {"n_iter_no_change": None},
}


def fit_all(params, seeds):
    """Fit a network for each seed; return the networks and what they measure."""
    with parallel_config(backend="sknnopt"):
        pairs = Parallel()(delayed(fit)(seed, **params) for seed in seeds)
    networks, measured = zip(*pairs, strict=True)
    return networks, pd.DataFrame(measured).drop(columns=list(params))


patience = pd.DataFrame(
    {name: fit_all(params, range(10))[1].mean() for name, params in patiences.items()}
).T
patience.round(3)

# %%
# The epoch that is kept is all that counts: from a moderate patience on, all find the
# same, and the rest of the training is wasted.
#
# Where the claim is imprecise
# ----------------------------
# *The lowest point of the held-out loss* sounds like one valley. The curve is rough,
# and where it is lowest is in part luck, the more so the fewer rows are held out. In 30
# runs the held-out rows are cut into two halves, and each half chooses an epoch of the
# same training. ``fit`` takes a validation set of one's own:


def curves_of_halves(seed):
    """Return the losses on both halves of the held-out rows, the accuracy on one."""
    X_train, X_held, y_train, y_held = train_test_split(
        X, y, stratify=y, random_state=seed
    )
    scaler = StandardScaler().fit(X_train)
    X_train, X_held = scaler.transform(X_train), scaler.transform(X_held)
    histories = []
    for half in [slice(0, None, 2), slice(1, None, 2)]:
        network = OptimizedMLPClassifier(**{**plain, "max_epochs": 100})
        network.set_params(random_state=seed)
        network.fit(X_train, y_train, X_val=X_held[half], y_val=y_held[half])
        histories.append(network.history_.set_index("epoch"))
    first, second = histories
    assert first["train_loss"].equals(second["train_loss"])
    return first["valid_loss"], second["valid_loss"], first["valid_score"]


with parallel_config(backend="sknnopt"):
    halves = Parallel()(delayed(curves_of_halves)(seed) for seed in range(30))
choices = pd.DataFrame(
    {
        "epoch of the first half": first.idxmin(),
        "epoch of the second half": second.idxmin(),
        "epoch of the first by accuracy": accuracy.idxmax(),
        "its lowest loss": first.min(),
        "its loss at the other's epoch": first[second.idxmin()],
    }
    for first, second, accuracy in halves
)
epochs = choices.filter(like="epoch of the")
chosen, other_half, by_accuracy = (epochs[name] for name in epochs)
print(f"both halves choose the same epoch in {sum(chosen == other_half)} of 30 runs,")
print(f"loss and accuracy of one half in {sum(chosen == by_accuracy)}")
choices.agg(["mean", "std"]).T.round(3)

# %%
# The two halves seldom agree on the epoch. It costs little loss, since the valley is
# wide; but **the lowest validation loss flatters**: at the epoch that other rows
# choose, the loss of the same rows is higher. Report the loss of rows that had no part
# in the choice.
#
# *The best epoch* depends on what is best. Accuracy seldom has its highest point where
# the loss has its lowest; it counts only which side of one half a probability is on, so
# it is coarser, and does not see how sure the network becomes of its mistakes. The
# estimators go by the loss.
#
# *Training should end there* costs the held-out rows. An ensemble gets them back: with
# ``n_members=8`` each network holds out another fold, see :ref:`ensembles`.
#
# What is said above is checked each time that this page is built:

assert history["train_loss"].iloc[-1] < 0.6 * losses["train_loss"][network.best_epoch_]
assert history["valid_loss"].iloc[-1] > 1.1 * losses["valid_loss"][network.best_epoch_]
kept = patience.loc[["patience 15", "patience 50", "to the end"], "epoch kept"]
assert kept.nunique() == 1
stopping = patience.drop("no early stopping")
assert (
    stopping["test loss"].max() < 0.9 * patience.loc["no early stopping", "test loss"]
)
assert patience.loc["patience 15", "epochs trained"] < 100
assert (chosen == other_half).mean() < 0.3
flattery = choices["its loss at the other's epoch"] - choices["its lowest loss"]
assert flattery.mean() > 3 * flattery.sem()
assert flattery.mean() < 0.05
assert (chosen == by_accuracy).mean() < 0.3

# %%
# Source
# ------
# Prechelt 1998, *Early stopping, but when?*, section 1; Goodfellow, Bengio &
# Courville 2016, *Deep learning*, section 7.8.
