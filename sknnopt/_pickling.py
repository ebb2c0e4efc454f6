"""What a pickle holds of an estimator: its version, and no other type of ours.

scikit-learn notes and compares its own version only for its own classes. Formats that
ask whom to trust, such as that of skops, have one type to ask for.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from sknnopt._inputs import Inputs
from sknnopt._version import __version__
from sknnopt.exceptions import InconsistentVersionWarning

_VERSION = "_sknnopt_version"
_INPUTS, _DTYPE = "_inputs", "dtype_"


class Pickled(BaseEstimator):
    """Gives an estimator its state in a pickle."""

    def __getstate__(self) -> dict[str, Any]:
        state = {**super().__getstate__(), _VERSION: __version__}
        if _INPUTS in state:
            inputs = dict(vars(state[_INPUTS]))
            if _DTYPE in inputs:
                inputs[_DTYPE] = inputs[_DTYPE].str
            state[_INPUTS] = inputs
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        written_by = state.pop(_VERSION, "before 0.1")
        if written_by != __version__:
            warnings.warn(
                InconsistentVersionWarning(
                    type(self).__name__, __version__, written_by
                ),
                stacklevel=2,
            )
        if isinstance(state.get(_INPUTS), dict):
            inputs = dict(state[_INPUTS])
            if _DTYPE in inputs:
                inputs[_DTYPE] = np.dtype(inputs[_DTYPE])
            state[_INPUTS] = Inputs()
            vars(state[_INPUTS]).update(inputs)
        super().__setstate__(state)
