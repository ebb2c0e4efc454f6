"""
Tuning
======

**The claim.** The best optimizer, width and depth cannot be known beforehand. Search
for them by cross-validation, one at a time and then all together, and take the best
model.
"""

# sphinx_gallery_thumbnail_number = 2

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from joblib import parallel_config
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from sknnopt import OptimizedMLPClassifier
from sknnopt.datasets import load_pima
from sknnopt.displays import SearchConvergenceDisplay, TrainingHistoryDisplay
from sknnopt.presets import PLAIN
from sknnopt.search import MLPSearchCV, best_hyperparameters, space, trials_frame

X, y = load_pima(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
plain = {**PLAIN, "n_units": 16, "max_epochs": 30, "n_iter_no_change": None}
network = OptimizedMLPClassifier(**plain, random_state=0)
model = Pipeline([("scaler", StandardScaler()), ("mlp", network)])

# %%
# One at a time
# -------------
# Three grids over a network of two layers of 16 relu units, trained by Adam for 30
# epochs, on five folds. In the backend ``"sknnopt"`` all fits of the same widths train
# as one batch. Points are means over the folds, bars their standard errors.

grids = {
    "optimizer": ["sgd", "rmsprop", "adadelta", "adam"],
    "n_units": [4, 8, 16, 32, 64],
    "n_layers": [1, 2, 4, 6, 8, 10],
}
tables = {}


def fold_scores(search):
    """Return the scores of a search, one row for each candidate, by fold."""
    return trials_frame(search).filter(regex=r"^split\d+_test_score$")


figure, axes = plt.subplots(3, 1, figsize=(5, 7), sharey=True)
for ax, (name, values) in zip(axes, grids.items(), strict=True):
    with parallel_config(backend="sknnopt"):
        search = GridSearchCV(model, {f"mlp__{name}": values}, cv=5)
        search.fit(X_train, y_train)
    scores = fold_scores(search)
    labels = [str(value) for value in values]
    mean, error = scores.mean(axis=1), scores.sem(axis=1)
    ax.errorbar(labels, mean, error, fmt="o", capsize=4)
    ax.set(title=f"Accuracy, by {name}", ylabel="accuracy")
    columns = {"value": labels, "accuracy": mean, "standard error": error}
    tables[name] = pd.DataFrame(columns).set_index("value")
singles = pd.concat(tables, names=["parameter"])
singles.round(3)

# %%
# All together
# ------------
# The space of the guide: the optimizer, one to three layers here, and the units,
# activation and dropout **of each layer**. ``MLPSearchCV`` draws 20 candidates and
# trains them with all their folds side by side.

search = MLPSearchCV(
    model,
    space("sklearn", "guide", depth=[1, 2, 3], prefix="mlp__"),
    n_iter=20,
    cv=5,
    random_state=0,
).fit(X_train, y_train)
display = SearchConvergenceDisplay.from_search(search)
display.figure_.suptitle("Accuracy of the candidates, and the best so far")
(best,) = best_hyperparameters(search, 1)
pd.Series(best).to_frame("best candidate")

# %%
# The best model
# --------------
# ``best_estimator_`` has been fitted to all rows of the search. Its network is fitted
# once more here, with the held-out rows beside it, only to see its curves.

scaler, network = search.best_estimator_
shown = clone(network).set_params(monitor="full")
shown.fit(
    scaler.transform(X_train), y_train, X_val=scaler.transform(X_test), y_val=y_test
)
figure, axes = plt.subplots(2, 1, figsize=(5, 6), sharex=True)
for ax, metric in zip(axes, ["loss", "score"], strict=True):
    TrainingHistoryDisplay.from_history(
        shown.history_, ax=ax, metric=metric, score_name="Accuracy"
    )
    ax.set_title(f"The best model's {metric}, by epoch")
print(f"cross-validated accuracy {search.best_score_:.3f}")
print(f"accuracy on held-out rows {search.score(X_test, y_test):.3f}")

# %%
# Where the claim is imprecise
# ----------------------------
# *One at a time* assumes that the parameters do not depend on each other. They do: the
# best value of each grid, put together, makes a network that is worse than any of the
# three alone.

chosen = {
    name: grids[name][int(np.argmax(t["accuracy"]))] for name, t in tables.items()
}
together = clone(model).set_params(**{f"mlp__{k}": v for k, v in chosen.items()})
accuracies = {f"best {name}": table["accuracy"].max() for name, table in tables.items()}
accuracies["all three"] = cross_val_score(together, X_train, y_train, cv=5).mean()
print("put together:", chosen)
pd.Series(accuracies).round(3).to_frame("accuracy")

# %%
# *The best model* is one of several that cannot be told apart. Count the candidates
# whose mean lies within one standard error of the best one's:

scores = fold_scores(search)
winner = scores.mean(axis=1).idxmax()
behind = scores.mean(axis=1)[winner] - scores.mean(axis=1)
n_alike = int((behind <= scores.loc[winner].sem()).sum())
print(f"{n_alike} of {len(scores)} candidates")

# %%
# *Its cross-validated score* may flatter, as the highest of several numbers does. Let
# four folds choose and the fifth judge, in turn:

judged = [
    scores[fold][scores.drop(columns=fold).mean(axis=1).idxmax()] for fold in scores
]
print(f"score of the best: {search.best_score_:.3f}, as judged: {np.mean(judged):.3f}")

# %%
# With twenty candidates the difference is small. What to expect of a model is told by
# rows that had no part in the search. How to choose a search, and what else one can
# learn from it, is in :doc:`/searches` and :doc:`/search_results`.
#
# What is said above is checked each time that this page is built:

assert accuracies["all three"] < min(list(accuracies.values())[:3])
assert n_alike > 1
assert abs(search.best_score_ - np.mean(judged)) < 0.02
assert set(best) >= {"mlp__optimizer", "mlp__n_layers", "mlp__n_units__0"}
assert tables["n_units"]["accuracy"].idxmin() == "4"

# %%
# Source
# ------
# Bergstra & Bengio 2012, *Random search for hyper-parameter optimization*; Varma &
# Simon 2006, *Bias in error estimation when using cross-validation for model
# selection*.
