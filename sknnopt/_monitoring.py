"""What a history tells of each layer: gradients, updates and activations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from sknnopt._history import LAYERS, STATISTICS
from sknnopt._job import Job
from sknnopt._layout import Layout
from sknnopt._members import runs
from sknnopt.activations import ACTIVATIONS, ActivationOption

_GRADIENT, _UPDATE, _DEAD, _SATURATED, _MEAN, _VARIANCE = range(len(STATISTICS))
#: Rows of a batch whose activations are read: enough for shares and moments.
N_ROWS = 64
#: An output is saturated where the derivative is below this share of its largest.
SATURATION = 0.05


class Monitor:
    """Reads steps of each epoch: each member's last, or all of them.

    Parameters
    ----------
    job : Job
        The living members.
    layout : Layout
        Where their numbers lie.
    rows_of_step : ndarray of int of shape (steps, members)
        Rows in each step of an epoch.
    initial : ndarray of shape (members, statistics, layers)
        Written to in the first step of networks that are as they were drawn.

    Notes
    -----
    Every number is that of a member alone: sums run over its own rows, in an order
    that depends on nobody else.
    """

    def __init__(
        self,
        job: Job,
        layout: Layout,
        rows_of_step: np.ndarray,
        initial: np.ndarray,
    ) -> None:
        self.monitor = job.kind.monitor
        self._initial = initial
        self.n_steps = np.count_nonzero(rows_of_step, axis=0)
        self._last = set((self.n_steps - 1).tolist())
        self._rows = np.minimum(rows_of_step, N_ROWS)
        self._starts = layer_starts(layout)
        self._n_trained = layout.n_trained
        self._readers = layer_readers(
            [kind.architecture.activations for kind in job.member_kinds]
        )

    def begin(self, is_new: np.ndarray) -> None:
        """Begin an epoch.

        Parameters
        ----------
        is_new : ndarray of bool of shape (members,)
            Whether a network is as it was drawn.
        """
        self._is_new, self._any_new = is_new, bool(is_new.any())
        self._sum = np.zeros_like(self._initial)
        self._norms = np.zeros(len(self.n_steps))
        self._n_read = 0

    def wants(self, step: int) -> bool:
        """Tell whether a step, by its number in the epoch, shall be read."""
        self._n_read = step + 1
        if self.monitor == "off":
            return False
        is_asked = self.monitor == "full" or step in self._last
        return is_asked or (step == 0 and self._any_new)

    def before(self, gradient: Tensor, weights: Tensor) -> None:
        """Take in a gradient before it is clipped, and the weights before the update.

        Parameters
        ----------
        gradient, weights : Tensor of shape (members, trained columns)
            Of the step; neither is changed.
        """
        self._before = weights.clone()
        self._squares = self._sums_of_squares(gradient)

    def after(self, step: int, weights: Tensor, outputs: Sequence[Tensor]) -> None:
        """Take in the weights after the update, and what the hidden layers put out.

        Parameters
        ----------
        step : int
            Its number in the epoch.
        weights : Tensor of shape (members, trained columns)
            After the update.
        outputs : sequence of Tensor of shape (members, rows, units)
            Each hidden layer's, before dropout; of many rows the first are read.
        """
        read = np.full_like(self._sum, np.nan)
        with np.errstate(all="ignore"):  # a run that diverges has any numbers
            of_weights = self._sums_of_squares(self._before)
            moved = self._before.sub_(weights)
            read[:, _GRADIENT] = np.sqrt(self._squares)
            read[:, _UPDATE] = np.sqrt(self._sums_of_squares(moved) / of_weights)
            for members, n_rows in _groups(self._rows[step]):
                for layer, output in enumerate(outputs):
                    values = _array(output)[members, :n_rows]
                    read[members, _DEAD:, layer] = self._readers[layer](values, members)
        self._add(step, read)

    def _add(self, step: int, read: np.ndarray) -> None:
        if step == 0 and self._any_new:
            self._initial[self._is_new] = read[self._is_new]
        if self.monitor == "full":
            wanted = self.n_steps > step
        else:
            wanted = self.n_steps - 1 == step
        with np.errstate(over="ignore", invalid="ignore"):
            norm = np.sqrt(np.add.reduce(self._squares, axis=1, dtype=np.float64))
        if wanted.all():
            self._sum += read
            self._norms += norm
        else:
            self._sum[wanted] += read[wanted]
            self._norms[wanted] += norm[wanted]

    def _sums_of_squares(self, values: Tensor) -> np.ndarray:
        return layer_squares(_array(values)[:, : self._n_trained], self._starts)

    def columns(self) -> dict[str, np.ndarray]:
        """Return the epoch's columns of history.

        Returns
        -------
        dict of ndarray
            The network's gradient norm, and all of each layer; empty if nothing was
            asked for. NaN where an epoch was cut short before a step that was.
        """
        if self.monitor == "off":
            return {}
        if self.monitor == "full":
            count = np.minimum(self.n_steps, self._n_read)
            self._sum /= count[:, None, None]
            self._norms /= count
        elif self._n_read < self.n_steps.max():
            is_missed = self.n_steps > self._n_read
            self._sum[is_missed] = self._norms[is_missed] = np.nan
        return {"gradient_norm": self._norms, LAYERS: self._sum}


def layer_starts(layout: Layout) -> list[int]:
    """Return the column in which each layer begins: with its weights."""
    return [segment.start for segment in layout.of_kind("weight")]


def layer_squares(values: np.ndarray, starts: list[int]) -> np.ndarray:
    """Sum the squares of the numbers of each layer.

    Parameters
    ----------
    values : ndarray of shape (members, trained columns)
        Weights or gradients.
    starts : list of int
        From `layer_starts`; the next layer ends a layer.

    Returns
    -------
    ndarray of shape (members, layers)
        The sums.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # as torch, of divergence
        sums: np.ndarray = np.add.reduceat(np.square(values), starts, axis=1)
    return sums


class _Reader:
    """Reads the outputs of one hidden layer, of which members choose their kind."""

    def __init__(self, options: Sequence[tuple[slice, ActivationOption]]) -> None:
        self._options = options

    def __call__(self, values: np.ndarray, members: np.ndarray | slice) -> np.ndarray:
        """Return dead and saturated shares, mean and variance, (members, 4)."""
        count = values[0].size
        read = np.full((len(values), 4), np.nan)
        means = np.add.reduce(values, axis=1) / values.dtype.type(values.shape[1])
        read[:, 2] = np.add.reduce(means, axis=1) / means.shape[1]
        # What is left of the rows' differences, whatever the units' own levels.
        deviations = values - means[:, None]
        np.square(deviations, out=deviations)
        read[:, 3] = np.add.reduce(deviations.reshape(len(values), -1), axis=1) / count
        for where, option in self._options:
            own = _places(where, members)
            if not len(values[own]):
                continue
            if option.is_cut:
                highest = np.maximum.reduce(values[own], axis=1)
                read[own, 0] = np.add.reduce(highest <= 0, axis=1) / highest.shape[1]
            elif option.limits is not None:
                read[own, 1] = _saturated(values[own], *option.limits) / count
        return read


def layer_readers(activations: Sequence[tuple[str, ...]]) -> list[_Reader]:
    """Return what reads the outputs of each hidden layer.

    Parameters
    ----------
    activations : sequence of tuple of str
        Each member's, one for each hidden layer.

    Returns
    -------
    list of callable
        Of outputs ``(members, rows, units)`` and which members these are, returns
        ``(members, 4)``: the shares of dead units and of saturated outputs (NaN where
        an activation knows no such thing), their mean, and their variance over the
        rows, as a mean over the units.
    """
    return [
        _Reader([(where, ACTIVATIONS[name]) for where, name in runs(names)])
        for names in zip(*activations, strict=True)
    ]


def _saturated(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Count outputs near their limits, where (y - low) (high - y) is the derivative."""
    slope = (values - low) * (high - values)
    is_flat = slope < SATURATION * ((high - low) / 2) ** 2
    counts: np.ndarray = np.add.reduce(is_flat.reshape(len(values), -1), axis=1)
    return counts


def _places(where: slice, members: np.ndarray | slice) -> np.ndarray | slice:
    """Return which of some members lie in a slice of all."""
    if isinstance(members, slice):
        return where
    is_own: np.ndarray = (members >= where.start) & (members < where.stop)
    return is_own


def _groups(n_rows: np.ndarray) -> list[tuple[np.ndarray | slice, int]]:
    """Return members that have equally many rows, if any, and how many."""
    if (n_rows == n_rows[0]).all():
        return [(slice(None), int(n_rows[0]))] if n_rows[0] else []
    counts = np.unique(n_rows[n_rows > 0])
    return [(np.flatnonzero(n_rows == count), int(count)) for count in counts]


def _array(tensor: Tensor) -> np.ndarray:
    array: np.ndarray = tensor.cpu().numpy()
    return array
