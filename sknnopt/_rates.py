"""The learning rate of each step, by the schedule and by what became of the loss."""

from __future__ import annotations

import numpy as np

from sknnopt._job import Settings
from sknnopt._record import Record
from sknnopt.schedules import SCHEDULES, reduce_on_plateau, warmup

#: Epochs without improvement at which the plateau schedule acts at the latest. Where
#: half of ``n_iter_no_change`` is sooner it acts then, and so comes before the end.
_PLATEAU_PATIENCE = 10


def rates_of_steps(
    record: Record, settings: Settings, schedule: str, n_steps: np.ndarray
) -> np.ndarray:
    """Return the learning rates of an epoch.

    Parameters
    ----------
    record : Record
        Where the run stands.
    settings : Settings
        Base rates, decay, warmup and horizon.
    schedule : str
        One of ``SCHEDULES``.
    n_steps : ndarray of int of shape (members,)
        Each member's steps in the epoch.

    Returns
    -------
    ndarray of shape (steps, members)
        One for each step of whoever has most.
    """
    n_steps = n_steps[:, None]
    # Counted in epochs of this size: a partial fit may come with any other.
    begun = record.run_epochs[:, None] * n_steps
    done = begun + np.arange(n_steps.max(), dtype=float)
    horizon = n_steps * settings.max_epochs[:, None]
    factor = SCHEDULES[schedule].make(done, horizon, settings.lr_decay[:, None])
    factor = factor * warmup(done, n_steps * settings.warmup[:, None])
    base = settings.learning_rate * record.plateau_factor
    rates: np.ndarray = (base[:, None] * factor).T
    return rates


def adapt_to_plateau(
    record: Record, settings: Settings, schedule: str, monitored: np.ndarray
) -> None:
    """Lower the rates of members whose loss stays where it is, if the schedule does.

    Parameters
    ----------
    record : Record
        Where the run stands; the plateau's own numbers are brought up to date.
    settings : Settings
        Patience, tolerance and decay.
    schedule : str
        One of ``SCHEDULES``.
    monitored : ndarray of shape (members,)
        The epoch's loss.
    """
    if not SCHEDULES[schedule].on_plateau:
        return
    # It acts when this many epochs have been exceeded: at half of the patience.
    patience = np.maximum(0, settings.patience // 2 - 1)
    record.plateau_best, record.plateau_stale, record.plateau_factor = (
        reduce_on_plateau(
            monitored,
            record.plateau_best,
            record.plateau_stale,
            record.plateau_factor,
            patience=np.minimum(patience, _PLATEAU_PATIENCE - 1),
            decay=settings.lr_decay,
            tol=settings.tol,
        )
    )
