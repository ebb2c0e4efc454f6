"""The masks of dropout: what the units of a hidden layer are multiplied by.

Srivastava et al. 2014, Dropout: a simple way to prevent neural networks from
overfitting, section 4; scaled in training, so that predictions need no mask.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sknnopt._blocks import place

#: Levels of the random numbers that decide.
_LEVELS = 1 << 16


class Masks:
    """Draw masks for chunks of steps, each member's from its own randomness.

    Parameters
    ----------
    rates : ndarray of shape (members, layers)
        Share of units that are dropped.
    widths : sequence of int
        Units of each hidden layer.
    batch_size, padded_size : int
        Rows of a full batch, and the rows that it occupies.
    dtype : numpy dtype
        Of the masks.
    reuses : bool
        Whether the next masks may be written over these.
    """

    def __init__(
        self,
        rates: np.ndarray,
        widths: Sequence[int],
        batch_size: int,
        padded_size: int,
        dtype: np.dtype,
        *,
        reuses: bool,
    ) -> None:
        self._rates, self._widths, self._dtype = rates, widths, dtype
        self._batch_size, self._padded_size = batch_size, padded_size
        self._reuses = reuses
        #: Whether any unit is ever dropped.
        self.drops = bool(rates.any())
        self._kept: dict[tuple[int, int], np.ndarray] = {}

    def __call__(
        self,
        n_steps: int,
        n_rows: np.ndarray,
        generators: Sequence[np.random.Generator],
    ) -> list[np.ndarray | None]:
        """Draw the masks of some steps.

        Parameters
        ----------
        n_steps : int
            How many.
        n_rows : ndarray of int of shape (members,)
            Each member's rows in them.
        generators : sequence of numpy.random.Generator
            Each member's randomness.

        Returns
        -------
        list of ndarray of shape (members, n_steps, padded rows, units), or None
            One entry for each hidden layer, None where no member drops any; empty where
            no layer does.
        """
        masks: list[np.ndarray | None] = []
        for layer, rates in enumerate(self._rates.T if self.drops else ()):
            if not rates.any():
                masks.append(None)
                continue
            mask = self._ones(layer, n_steps)
            for member in np.flatnonzero(rates).tolist():
                own = mask[member], rates[member], int(n_rows[member])
                self._draw(generators[member], *own)
            masks.append(mask)
        return masks

    def _ones(self, layer: int, n_steps: int) -> np.ndarray:
        """Return ones, or a mask of before, which is written over where it is not."""
        if (layer, n_steps) in self._kept:
            return self._kept[layer, n_steps]
        shape = len(self._rates), n_steps, self._padded_size, self._widths[layer]
        mask = np.ones(shape, dtype=self._dtype)
        if self._reuses:
            self._kept[layer, n_steps] = mask
        return mask

    def _draw(
        self, generator: np.random.Generator, mask: np.ndarray, rate: float, n_rows: int
    ) -> None:
        """Write zeros with probability ``rate``, its complement's inverse elsewhere."""
        # Sixteen bits a unit are several times faster than a float; the rate is rounded
        # to them, and the inverse is that of what is drawn.
        threshold = int(np.clip(round(rate * _LEVELS), 0, _LEVELS - 1))
        width = mask.shape[2]
        drawn = generator.integers(_LEVELS, size=(n_rows, width), dtype=np.uint16)
        inverse = mask.dtype.type(_LEVELS / (_LEVELS - threshold))
        if self._batch_size == self._padded_size:
            rows = mask.reshape(-1, width)[:n_rows]
            np.multiply(drawn >= threshold, inverse, out=rows)
        else:
            place(mask, (drawn >= threshold) * inverse, self._batch_size)
