"""What both estimators say of their own runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sknnopt._architecture import Architecture
from sknnopt._evidence import Run, input_ranges, means_by_epoch
from sknnopt._first_look import initial_statistics
from sknnopt._fitting import draw_networks
from sknnopt._inputs import make_inputs
from sknnopt._job import Kind
from sknnopt._plan import check_layers, make_architecture
from sknnopt.diagnostics import Diagnosis, examine


class Diagnosed(ABC):
    """Gives an estimator its diagnosis."""

    _record: dict[str, np.ndarray]
    _history: dict[str, np.ndarray]
    _facts: dict[str, Any]
    _copy: Any
    get_params: Any
    optimizer: str
    scale_inputs: bool

    @property
    @abstractmethod
    def _architecture(self) -> Architecture:
        """Shape of the networks."""

    def diagnose(self) -> Diagnosis:
        """Say what is wrong with the last fit, and what to change.

        Returns
        -------
        Diagnosis
            Findings with their numbers, causes and remedies, the gravest first; none
            for a healthy run. With ``monitor="off"`` nothing is known of gradients
            and activations.

        Examples
        --------
        >>> from sknnopt import OptimizedMLPClassifier
        >>> from sknnopt.datasets import load_pima
        >>> X, y = load_pima(return_X_y=True)
        >>> model = OptimizedMLPClassifier(
        ...     n_members=1, weight_init="zeros", max_epochs=10, random_state=0)
        >>> model.fit(X, y).diagnose()[0].remedy
        {'weight_init': 'auto'}
        """
        check_is_fitted(self)
        record = self._record
        run = Run(
            parameters=self.get_params(deep=False),
            facts=self._facts,
            architecture=self._architecture,
            columns=means_by_epoch(self._history),
            initial=record["initial"].mean(axis=0),
            weights=record["weights"],
            n_epochs=int(self._history["epoch"].max()),
            n_diverged=int(np.count_nonzero(record["diverged"])),
            cut_share=float(np.mean(record["epochs"] == record["epochs"].max())),
        )
        return examine(run)

    def _initial_run(self, X: Any) -> Run:
        """Return what there is to be seen before the first step."""
        twin = self._copy(with_state=False)
        twin._validate_params()
        check_layers(twin)
        twin._inputs = inputs = make_inputs(twin).find_columns(X)
        numbers = twin._checked_numbers(X, reset=True)
        inputs.learn(X, numbers, None)
        encoded = inputs.encode(X, numbers)
        # What the head will look like is not known without a target.
        architecture = make_architecture(twin, inputs.n_columns_, 1)
        kind = Kind(architecture, "squared_error", self.optimizer, dtype=encoded.dtype)
        record = draw_networks(twin, kind)
        ranges = None if self.scale_inputs else input_ranges(encoded)
        return Run(
            parameters=self.get_params(deep=False),
            facts={"inputs": ranges},
            architecture=architecture,
            columns={},
            initial=initial_statistics(kind, record, encoded),
            weights=record.weights.numpy(),
        )
