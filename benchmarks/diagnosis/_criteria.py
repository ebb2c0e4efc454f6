"""What makes a run deserve a finding's name: one criterion for each, in one place.

Every run is tested for every label. A criterion looks at what came of the run: at the
weights after its epochs, by autograd and forward passes, and at the losses of rows
apart beside healthy twins, and beside the same run with one thing changed. It reads
neither the settings that were meant as a fault nor anything of the monitor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.diagnosis import (
    _course_criteria,
    _gradient_criteria,
    _table_criteria,
)
from benchmarks.diagnosis._case import Case, Verdict

TEST_LOSS, TRAIN_LOSS = "test loss", "training loss"
BALANCED_ACCURACY = "balanced accuracy"


@dataclass(frozen=True)
class Label:
    """A finding's criterion.

    Parameters
    ----------
    is_met : callable
        Called with a :class:`Case`; returns whether the label holds, and the numbers
        behind it.
    summary : str
        What has to hold, in a sentence.
    metric : str
        What the fault makes worse.
    """

    is_met: Callable[[Case], Verdict]
    summary: str
    metric: str = TEST_LOSS


_EXPLAINS = "makes up for half of the distance to the twins or more"
#: Harm is a test loss above that of both twins by 2 standard errors (paired rows) and
#: by 2 % of the constant response's loss.
LABELS: dict[str, Label] = {
    "vanishing_gradients": Label(
        _gradient_criteria.vanishing_gradients,
        "In most epochs the first layer's gradient is less than 1 % of the last's "
        f"(autograd, root mean squares); harm; relu {_EXPLAINS}.",
    ),
    "exploding_gradients": Label(
        _gradient_criteria.exploding_gradients,
        "In some epoch the gradient's norm (autograd) is 100 times what the twins "
        "begin with, or not finite; harm.",
    ),
    "dead_units": Label(
        _gradient_criteria.dead_units,
        "In half of the epochs most units of a relu layer are zero on all training "
        "rows; harm.",
    ),
    "saturation": Label(
        _gradient_criteria.saturation,
        "In half of the epochs most values of a sigmoid or tanh layer lie where the "
        "slope is below a tenth of its greatest; harm.",
    ),
    "symmetric_initialization": Label(
        _gradient_criteria.symmetric_initialization,
        "At the beginning and at the end all units of each hidden layer are the same; "
        "harm.",
    ),
    "initialization_variance": Label(
        _gradient_criteria.initialization_variance,
        "Initially the last hidden layer's variance (before its activation) is 100 "
        "times greater or less than the inputs'; harm; the automatic initializer "
        f"{_EXPLAINS}.",
    ),
    "learning_rate_too_high": Label(
        _course_criteria.learning_rate_too_high,
        "Harm, and a training loss above the twins'; a tenth, a hundredth or a "
        f"thousandth of the rate {_EXPLAINS}, on training and test rows.",
    ),
    "learning_rate_too_low": Label(
        _course_criteria.learning_rate_too_low,
        "Harm, and a training loss above the twins'; 10 or 100 times the rate "
        f"{_EXPLAINS}, on training and test rows, and leaves a lower training loss "
        "than three times the epochs, and 40 at least; the automatic initializer, "
        "scaled inputs and a lower rate do not explain it.",
    ),
    "divergence": Label(
        _course_criteria.divergence,
        "A weight is not finite, or the training loss ends above twice the constant "
        "response's and twice the initial one; harm.",
    ),
    "overfitting": Label(
        _course_criteria.overfitting,
        "The last weights, which are returned, have a higher test loss than those of "
        "the best epoch (chosen on other rows), and a lower training loss; harm.",
    ),
    "underfitting": Label(
        _course_criteria.underfitting,
        "Harm, and a training loss above the twins'; 64 units in 2 layers or more "
        f"without dropout, penalties and decay {_EXPLAINS} on the training rows; "
        "more epochs, another rate, the automatic initializer and scaled inputs do "
        "not.",
        TRAIN_LOSS,
    ),
    "stopped_too_early": Label(
        _course_criteria.stopped_too_early,
        "The last quarter of epochs still gained 1 % of the constant response's "
        "training loss; three times the epochs, and 40 at least, have a lower test "
        "loss, by as much as harm is; in a run with harm they make up for half of the "
        "distance to the twins or more, the rate is neither too low nor too high, and "
        "scaled inputs do not.",
    ),
    "noisy_validation": Label(
        _course_criteria.noisy_validation,
        "The weights of the best validation loss were returned; harm; a quarter of the "
        f"rows for validation, instead of fewer, {_EXPLAINS}.",
    ),
    "unscaled_inputs": Label(
        _table_criteria.unscaled_inputs,
        "The columns that the network sees differ in scale by a factor of 10, or from "
        f"one by 10; harm; scaled inputs {_EXPLAINS.replace('makes', 'make')}.",
    ),
    "heavy_clipping": Label(
        _gradient_criteria.heavy_clipping,
        "Most steps have a gradient (autograd) beyond the limit; harm; no clipping "
        f"{_EXPLAINS}.",
    ),
    "imbalanced_classes": Label(
        _table_criteria.imbalanced_classes,
        "A class has less than half of its share in a balanced table, and balanced "
        "weights raise the balanced accuracy by 2 standard errors.",
        BALANCED_ACCURACY,
    ),
    "network_too_large": Label(
        _course_criteria.network_too_large,
        "More than 10 weights to a training row, a training loss not above the twins'; "
        "the last weights are returned; "
        f"harm; 16, 8 or 4 units a layer {_EXPLAINS.replace('makes', 'make')}, and the "
        "automatic initializer does not.",
    ),
}


def label(case: Case) -> dict[str, Verdict]:
    """Test a run for every label.

    Parameters
    ----------
    case : Case
        The run.

    Returns
    -------
    dict
        For each of ``LABELS`` whether it holds, and the numbers behind it.
    """
    return {name: each.is_met(case) for name, each in LABELS.items()}
