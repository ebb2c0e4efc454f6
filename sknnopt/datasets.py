"""The Pima Indians diabetes table, the guide's running example."""

from __future__ import annotations

from importlib.resources import as_file, files

import pandas as pd
from sklearn.utils import Bunch


def load_pima(*, return_X_y: bool = False) -> Bunch | tuple[pd.DataFrame, pd.Series]:
    """Load the Pima Indians diabetes table (classification, 768 rows).

    Eight measurements of women of Pima heritage, aged 21 or over, and whether
    diabetes was diagnosed within five years (268 of 768).

    Parameters
    ----------
    return_X_y : bool, default=False
        Whether to return ``(X, y)`` instead of a Bunch.

    Returns
    -------
    Bunch or tuple of DataFrame and Series
        ``data`` of shape (768, 8), ``target`` of 0 and 1, ``frame`` (both),
        ``feature_names``, ``target_names`` and ``DESCR``.

    Notes
    -----
    A zero in Glucose, BloodPressure, SkinThickness, Insulin or BMI stands for a value
    that was not measured; the table is given as it was published.

    References
    ----------
    Smith et al. 1988, Using the ADAP learning algorithm to forecast the onset of
    diabetes mellitus, Proceedings of the Symposium on Computer Applications in
    Medical Care, 261-265.

    Examples
    --------
    >>> from sknnopt.datasets import load_pima
    >>> X, y = load_pima(return_X_y=True)
    >>> X.shape, int(y.sum())
    ((768, 8), 268)
    """
    resource = files("sknnopt") / "data" / "pima_indians_diabetes.csv"
    with as_file(resource) as path:
        frame = pd.read_csv(path)
    X, y = frame.drop(columns="Outcome"), frame["Outcome"]
    if return_X_y:
        return X, y
    return Bunch(
        data=X,
        target=y,
        frame=frame,
        feature_names=list(X.columns),
        target_names=["no diabetes", "diabetes"],
        DESCR=load_pima.__doc__,
    )
