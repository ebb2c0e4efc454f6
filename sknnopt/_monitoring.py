"""What a history tells of each layer: gradients, updates and activations.

As in a step, the calls cost more than the arithmetic, and most of all the first of
each kind in a while. So a step is only noted, on a page of its own; all layers of
several pages are read at once, by few functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
from torch import Tensor

from sknnopt._history import LAYERS, STATISTICS
from sknnopt._job import Job, Kind
from sknnopt._layout import Layout
from sknnopt._members import runs
from sknnopt.activations import ACTIVATIONS, ActivationOption

_GRADIENT, _UPDATE, _DEAD, *_ = range(len(STATISTICS))
#: Rows of a batch whose activations are read: enough for shares and moments.
N_ROWS = 64
#: Pages that are read at once at most, and bytes of them: more would not stay near the
#: processor.
_N_PAGES, _N_BYTES = 16, 1 << 19
#: An output is saturated where the derivative is below this share of its largest.
SATURATION = 0.05

#: Some of the members of a batch: a slice or an array of int or bool.
Members: TypeAlias = np.ndarray | slice


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
    gradient, weights : Tensor of shape (members, trained columns)
        Where each step leaves them; neither is changed.
    outputs : sequence of Tensor of shape (members, rows, units)
        Where each hidden layer leaves what it puts out, before dropout; of many rows
        the first are read.

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
        *,
        gradient: Tensor,
        weights: Tensor,
        outputs: Sequence[Tensor],
    ) -> None:
        self.monitor = job.kind.monitor
        self._initial = initial
        self.n_steps = np.count_nonzero(rows_of_step, axis=0)
        self._last = set((self.n_steps - 1).tolist())
        self._rows = np.minimum(rows_of_step, N_ROWS)
        self._plans: dict[int, tuple[Members, list[tuple[Members, int]]]] = {}
        self._starts = layer_starts(layout)
        self._gradient, self._weights = _source(gradient), _source(weights)
        self._outputs = [_source(output) for output in outputs]
        self._read_outputs = OutputReader(
            [kind.architecture.activations for kind in job.member_kinds],
            job.kind.architecture.hidden,
        )
        self._make_pages(weights.shape, job.kind)

    def _make_pages(self, shape: Sequence[int], kind: Kind) -> None:
        """Make room for what is noted of steps until it is read."""
        n_members, n_columns = shape
        hidden = kind.architecture.hidden
        n_rows = min(N_ROWS, self._outputs[0]().shape[1]) if hidden else 0
        # The gradient, and the weights before and after an update.
        numbers = n_members * (3 * n_columns + n_rows * sum(hidden))
        n_bytes = numbers * np.dtype(kind.dtype).itemsize
        n_pages = max(1, min(_N_PAGES, _N_BYTES // n_bytes))
        self._flat = np.empty((n_pages, 3, *shape), kind.dtype)
        self._values = np.empty((n_pages, n_members, n_rows, sum(hidden)), kind.dtype)
        # A step's numbers: the network's gradient norm, and all of each layer.
        n_numbers = 1 + self._initial[0].size
        self._read = np.full((n_pages, n_members, n_numbers), np.nan)
        self._layers = _of_layers(self._read)
        #: For each page in use the sums of its epoch, and who of the members counts.
        self._noted: list[tuple[np.ndarray, Members]] = []
        #: Members with equally many rows, and how many; alike on all pages.
        self._groups: list[tuple[Members, int]] = []

    def begin(self, is_new: np.ndarray) -> None:
        """Begin an epoch.

        Parameters
        ----------
        is_new : ndarray of bool of shape (members,)
            Whether a network is as it was drawn.
        """
        self._is_new, self._any_new = is_new, bool(np.count_nonzero(is_new))
        self._sum = np.zeros(self._read.shape[1:])
        self._n_read = 0

    def wants(self, step: int) -> bool:
        """Tell whether a step, by its number in the epoch, shall be read."""
        self._n_read = step + 1
        if self.monitor == "off":
            return False
        is_asked = self.monitor == "full" or step in self._last
        return is_asked or self._is_first(step)

    def _is_first(self, step: int) -> bool:
        """Tell whether it is the first step of a network."""
        return step == 0 and self._any_new

    def before(self, step: int) -> None:
        """Note the gradient before it is clipped, and the weights before the update.

        Parameters
        ----------
        step : int
            Its number in the epoch.
        """
        wanted, groups = self._plan(step)
        if self._is_first(step):
            groups = _groups(self._rows[0])
        if groups is not self._groups or len(self._noted) == len(self._flat):
            self.read()
            self._groups = groups
        page = self._flat[len(self._noted)]
        page[0] = self._gradient()
        page[1] = self._weights()
        self._noted.append((self._sum, wanted))

    def after(self, step: int) -> None:
        """Note the weights after the update, and what the hidden layers put out.

        Parameters
        ----------
        step : int
            Its number in the epoch.
        """
        number = len(self._noted) - 1
        self._flat[number, 2] = self._weights()
        if self._outputs:
            n_rows = self._values.shape[2]
            outputs = [output()[:, :n_rows] for output in self._outputs]
            np.concatenate(outputs, axis=2, out=self._values[number])
        if self._is_first(step):
            self.read()
            self._initial[self._is_new] = self._layers[number, self._is_new]

    def read(self) -> None:
        """Turn what was noted of steps into the numbers of their epochs."""
        n_pages = len(self._noted)
        if not n_pages:
            return
        read, layers = self._read[:n_pages], self._layers[:n_pages]
        with np.errstate(all="ignore"):  # a run that diverges has any numbers
            flat = self._flat[:n_pages]
            np.subtract(flat[:, 1], flat[:, 2], out=flat[:, 2])
            squares = layer_squares(flat, self._starts)
            norms = np.sqrt(squares)
            layers[:, :, _GRADIENT] = norms[:, 0]
            layers[:, :, _UPDATE] = norms[:, 2] / norms[:, 1]
            for members, n_rows in self._groups:
                values = self._values[:n_pages, members, :n_rows]
                layers[:, members, _DEAD:, :-1] = self._read_outputs(values, members)
            read[:, :, 0] = np.sqrt(np.add.reduce(squares[:, 0], axis=2))
            for numbers, (total, wanted) in zip(read, self._noted, strict=True):
                total[wanted] += numbers[wanted]
        self._noted.clear()

    def _plan(self, step: int) -> tuple[Members, list[tuple[Members, int]]]:
        """Return whose step counts, and these in groups of equally many rows."""
        if step not in self._plans:
            last = self.n_steps - 1
            wanted = last >= step if self.monitor == "full" else last == step
            groups = _groups(np.where(wanted, self._rows[step], 0))
            self._plans[step] = slice(None) if wanted.all() else wanted, groups
        return self._plans[step]

    def columns(self) -> dict[str, np.ndarray]:
        """Return the epoch's columns of history.

        Returns
        -------
        dict of ndarray
            The network's gradient norm, and all of each layer; empty if nothing was
            asked for. NaN where an epoch was cut short before a step that was. Where
            ``monitor`` is ``"light"`` they are filled in by :meth:`read` at the latest.
        """
        if self.monitor == "off":
            return {}
        if self.monitor == "full":
            self.read()
            count = np.minimum(self.n_steps, self._n_read)
            self._sum /= count[:, None]
        elif self._n_read < len(self._rows):
            self._sum[self.n_steps > self._n_read] = np.nan
        return {"gradient_norm": self._sum[:, 0], LAYERS: _of_layers(self._sum)}


def _of_layers(numbers: np.ndarray) -> np.ndarray:
    """Return a view of what belongs to layers, (..., statistics, layers)."""
    return numbers[..., 1:].reshape(*numbers.shape[:-1], len(STATISTICS), -1)


def layer_starts(layout: Layout) -> np.ndarray:
    """Return the column in which each layer begins: with its weights."""
    return np.array([segment.start for segment in layout.of_kind("weight")])


def layer_squares(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Sum the squares of the numbers of each layer.

    Parameters
    ----------
    values : ndarray of shape (..., trained columns)
        Weights or gradients; their squares are written over them.
    starts : ndarray of int of shape (layers,)
        From `layer_starts`; the next layer ends a layer.

    Returns
    -------
    ndarray of shape (..., layers)
        The sums.
    """
    np.square(values, out=values)
    sums: np.ndarray = np.add.reduceat(values, starts, axis=-1)
    return sums


class OutputReader:
    """Reads what the hidden layers of networks put out.

    Parameters
    ----------
    activations : sequence of tuple of str
        Each member's, one for each hidden layer.
    widths : sequence of int
        Units of each hidden layer.
    """

    def __init__(
        self, activations: Sequence[tuple[str, ...]], widths: Sequence[int]
    ) -> None:
        self._widths = np.array(widths, dtype=int)
        self._starts = np.cumsum(self._widths) - self._widths
        self._blocks = list(_blocks(activations, widths))

    def __call__(
        self, values: np.ndarray, members: Members = slice(None)
    ) -> np.ndarray:
        """Read the layers of some members.

        Parameters
        ----------
        values : ndarray of shape (..., members, rows, units)
            What all hidden layers put out, one beside the other; it is written over.
        members : slice or ndarray of int, default=slice(None)
            Which members these are.

        Returns
        -------
        ndarray of shape (..., members, 4, hidden layers)
            The shares of dead units and of saturated outputs (NaN where an activation
            knows no such thing), their mean, and their variance over the rows, as a
            mean over the units.
        """
        *others, n_rows, n_units = values.shape
        of_units = np.empty((4, *others, n_units), values.dtype)
        dead, saturated, sums, squares = of_units
        dead[:], saturated[:] = np.nan, np.nan
        np.add.reduce(values, axis=-2, out=sums)
        for where, units, option in self._blocks:
            own = _places(where, members)
            if option.is_cut:  # never below 0: the sum is 0 if all outputs are
                dead[..., own, units] = sums[..., own, units] == 0
            elif option.limits is not None:
                is_flat = _is_saturated(values[..., own, :, units], *option.limits)
                saturated[..., own, units] = np.add.reduce(is_flat, axis=-2)
        # What is left of the rows' differences, whatever the units' own levels.
        values -= (sums / n_rows)[..., None, :]
        np.square(values, out=values)
        np.add.reduce(values, axis=-2, out=squares)
        read = np.add.reduceat(of_units, self._starts, axis=-1) / self._widths
        read[1:] /= n_rows
        by_member: np.ndarray = np.moveaxis(read, 0, -2)
        return by_member


def _blocks(
    activations: Sequence[tuple[str, ...]], widths: Sequence[int]
) -> Iterator[tuple[slice, slice, ActivationOption]]:
    """Yield members and units, of all layers side by side, of one activation."""
    ends = np.concatenate([[0], np.cumsum(widths)]).tolist()
    for members, names in runs(activations):
        for layers, name in runs(names):
            units = slice(ends[layers.start], ends[layers.stop])
            yield members, units, ACTIVATIONS[name]


def _is_saturated(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Tell which outputs are near their limits.

    The derivative (y - low) (high - y) falls with the square of y's distance from the
    middle.
    """
    farthest = (high - low) / 2
    distances = np.abs(values - (low + high) / 2)
    is_saturated: np.ndarray = distances > farthest * np.sqrt(1 - SATURATION)
    return is_saturated


def _places(where: slice, members: Members) -> Members:
    """Return which of some members lie in a slice of all."""
    if isinstance(members, slice):
        return where
    is_own: np.ndarray = (members >= where.start) & (members < where.stop)
    return is_own


def _groups(n_rows: np.ndarray) -> list[tuple[Members, int]]:
    """Return members that have equally many rows, if any, and how many."""
    counts = np.unique(n_rows[n_rows > 0])
    if len(counts) == 1 and n_rows.all():
        return [(slice(None), int(counts[0]))]
    return [(np.flatnonzero(n_rows == count), int(count)) for count in counts]


def _source(tensor: Tensor) -> Callable[[], np.ndarray]:
    """Return what reads a tensor; on the CPU that is a view, made once."""
    if tensor.device.type != "cpu":
        return lambda: tensor.cpu().numpy()
    view = tensor.numpy()
    return lambda: view
