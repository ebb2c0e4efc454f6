"""The models of the tune command: the network, what comes before it, baselines."""

from __future__ import annotations

from typing import Any

from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sknnopt._cli.settings import TuneSettings
from sknnopt._cli.tables import TrainingTable
from sknnopt.classifier import OptimizedMLPClassifier
from sknnopt.presets import PLAIN
from sknnopt.regressor import OptimizedMLPRegressor

#: The network's step in the pipeline.
STEP = "mlp"


def untuned(table: TrainingTable, settings: TuneSettings) -> Pipeline:
    """Return the model whose hyperparameters are searched.

    Parameters
    ----------
    table : TrainingTable
        What it is for.
    settings : TuneSettings
        The options.

    Returns
    -------
    Pipeline
        Preparation, then a single network.
    """
    return Pipeline([preparation(table), (STEP, _network(table.task, settings))])


def preparation(table: TrainingTable) -> tuple[str, Any]:
    """Return the step that makes a table fit for a network.

    Parameters
    ----------
    table : TrainingTable
        Whose columns are looked at.

    Returns
    -------
    name : str
        ``"scaler"`` or ``"prepare"``.
    step : transformer
        Numbers are standardized, missing ones imputed first; text is one-hot encoded.
    """
    numeric: Any = StandardScaler()
    if table.n_missing:
        imputer = SimpleImputer(strategy="median", keep_empty_features=True)
        numeric = Pipeline([("imputer", imputer), ("scaler", numeric)])
    if not table.text:
        return ("prepare" if table.n_missing else "scaler"), numeric
    text = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    parts = [("text", text, list(table.text))]
    if table.numeric:
        parts.insert(0, ("numeric", numeric, list(table.numeric)))
    return "prepare", ColumnTransformer(parts)


def _network(task: str, settings: TuneSettings) -> Any:
    is_classification = task == "classification"
    kind = OptimizedMLPClassifier if is_classification else OptimizedMLPRegressor
    # A single plain network: what is searched is what helps it. Named here, so that
    # the folds of a small table train as the whole table does.
    parameters: dict[str, Any] = {
        **PLAIN,
        "early_stopping": True,
        "validation_fraction": 0.15,
        "max_epochs": settings.max_epochs,
        "monitor": "light",
        "n_threads": 1,
        "random_state": settings.seed,
    }
    return kind(**parameters)


def baselines(table: TrainingTable, settings: TuneSettings) -> dict[str, Pipeline]:
    """Return the models to compare with, at their default settings.

    Parameters
    ----------
    table : TrainingTable
        What they are for.
    settings : TuneSettings
        Whose seed they take.

    Returns
    -------
    dict of str to Pipeline
        By name.
    """
    seed = settings.seed
    if table.task == "classification":
        models = {
            "scikit-learn MLPClassifier": MLPClassifier(random_state=seed),
            "logistic regression": LogisticRegression(max_iter=1000),
        }
    else:
        models = {
            "scikit-learn MLPRegressor": MLPRegressor(random_state=seed),
            "ridge regression": Ridge(),
        }
    return {
        name: Pipeline([preparation(table), ("model", model)])
        for name, model in models.items()
    }
