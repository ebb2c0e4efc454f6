"""The words that both estimators' documentation shares, written once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from textwrap import dedent, fill, indent
from typing import TypeVar

from sknnopt.activations import ACTIVATIONS
from sknnopt.initializers import INITIALIZERS
from sknnopt.optimizers import OPTIMIZERS
from sknnopt.schedules import SCHEDULES

T = TypeVar("T")


def names(options: Iterable[str]) -> str:
    """Write options as numpydoc does: in braces, quoted."""
    return "{" + ", ".join(f'"{name}"' for name in options) + "}"


#: For each parameter its type line and its description.
PARAMETERS: dict[str, tuple[str, str]] = {
    "hidden_layer_sizes": (
        "int, sequence of int, str or None, default=None",
        """Units of each hidden layer: ``100``, ``(128, 64)`` or ``"128-64"`` (a string
        fits into any search space). None: depth and width come from ``n_layers`` and
        ``n_units``, which must be at their defaults otherwise.""",
    ),
    "n_layers": (
        "int, default=2",
        "Number of hidden layers, 10,000 at most; 0 is a linear model.",
    ),
    "n_units": (
        "int, sequence or dict, default=100",
        """Units, per layer: one value for all, a sequence (a short one repeats its
        last), or a dict ``{index: value, "default": value}``. ``set_params`` also
        takes single layers, as in ``n_units__0=64``.""",
    ),
    "activation": (
        "str, sequence or dict, default='relu'",
        f"""Activation of the hidden layers, per layer: one of
        ``{names(ACTIVATIONS)}``.""",
    ),
    "normalization": (
        '{"batch", "layer"} or None, default=None',
        """Normalization between a hidden layer's linear part and its activation,
        over the rows of the batch [3]_ or over the units of the layer [4]_.""",
    ),
    "weight_init": (
        "str, sequence or dict, default='auto'",
        f"""Initialization of the weights, per layer, the output layer's last: one of
        ``{names(INITIALIZERS)}``. ``"auto"`` takes He for the relu family, Xavier
        for tanh, sigmoid and the output, LeCun for selu. Biases begin at zero.""",
    ),
    "init_scale": (
        "float, default=0.05",
        """Standard deviation of ``"random_normal"`` and half-width of
        ``"random_uniform"``; other initializers do not read it.""",
    ),
    "optimizer": (
        f"{names(OPTIMIZERS)}, default='adamw'",
        "Update rule.",
    ),
    "learning_rate": (
        'float or "auto", default="auto"',
        """Learning rate, the highest of the schedule. ``"auto"`` depends on the
        optimizer: a rate that suits Adam leaves SGD nearly untrained.""",
    ),
    "momentum": (
        "float, default=0.9",
        "Momentum of ``sgd``, in [0, 1); other optimizers do not read it.",
    ),
    "nesterov": (
        "bool, default=False",
        "Whether the momentum of ``sgd`` is Nesterov's.",
    ),
    "lr_schedule": (
        f"{names(SCHEDULES)}, default='constant'",
        """How the learning rate changes over ``max_epochs``.
        ``"reduce_on_plateau"`` acts when the monitored loss has not improved for half
        of ``n_iter_no_change`` epochs (at most 10).""",
    ),
    "lr_decay": (
        "float, default=0.1",
        """What the learning rate is multiplied by, in (0, 1]: over the whole run
        (``"exponential"``), at each step (``"step"``), at each plateau
        (``"reduce_on_plateau"``).""",
    ),
    "warmup": (
        "float, default=0",
        "Epochs in which the learning rate rises linearly from near zero.",
    ),
    "dropout": (
        'float, "auto", sequence or dict, default="auto"',
        """Share of a hidden layer's units that are left out of each update, per layer,
        in [0, 1) [5]_. ``"auto"``: 0.1 from 100 rows, 0 below.""",
    ),
    "l1": (
        "float, sequence or dict, default=0.0",
        """Adds ``l1 * sum(abs(W))`` to the mean loss, per layer, the output layer's
        last; biases are never penalized.""",
    ),
    "l2": (
        "float, sequence or dict, default=0.0",
        "Adds ``l2 * sum(W ** 2)`` to the mean loss, in the same way.",
    ),
    "weight_decay": (
        'float or "auto", default="auto"',
        """Decoupled weight decay [6]_: each update first multiplies the weights by
        ``1 - learning_rate * weight_decay``. ``"auto"`` is 0.02 for ``adamw`` and 0
        otherwise.""",
    ),
    "clip_norm": (
        "float or None, default=None",
        """Largest Euclidean norm of a network's gradient; a longer one is scaled
        back [7]_.""",
    ),
    "clip_norm_per_tensor": (
        "bool, default=False",
        """Whether ``clip_norm`` holds for each weight matrix and bias on its own, like
        Keras's ``clipnorm``, instead of for the whole gradient.""",
    ),
    "clip_value": (
        "float or None, default=None",
        """Largest absolute value of any entry of the gradient; applied before
        ``clip_norm``.""",
    ),
    "batch_size": (
        'int or "auto", default="auto"',
        """Rows in an update. ``"auto"``: all rows up to 200 of them, beyond that the
        power of two nearest to a fiftieth of the rows, between 64 and 256.""",
    ),
    "max_epochs": (
        'int or "auto", default="auto"',
        """Most passes over the training rows. ``"auto"``: 200 up to 12,500 rows;
        beyond, so many that 2,500,000 rows are seen, but 10 at least.""",
    ),
    "max_seconds": (
        "float or None, default=None",
        """Most seconds of training, from its first update on. When they have passed,
        the epoch that runs is cut short, and is the last. How far a fit comes then
        depends on the machine, and on the fits that train together with it. None: no
        limit.""",
    ),
    "shuffle": (
        "bool, default=True",
        "Whether the rows come in a new order in every epoch.",
    ),
    "early_stopping": (
        'bool or "auto", default="auto"',
        """Whether rows are held out, and the weights of the epoch with the lowest
        validation loss are kept. ``"auto"``: on from 100 rows, or where ``fit`` is
        given a validation set.""",
    ),
    "validation_fraction": (
        "float or splitter, default=0.1",
        """Share of the rows that a network holds out (stratified by a single label,
        where possible), or a scikit-learn splitter, whose first split is taken.
        Several members hold out folds of one partition in turn: as many folds as
        members, at least 5, but not more than ``round(1 / validation_fraction)``.
        Of a splitter, member m then takes split m; after the last, the first
        follows.""",
    ),
    "n_iter_no_change": (
        "int or None, default=15",
        """Patience: training ends after this many epochs in a row in which the
        monitored loss has not improved by ``tol``. That is the validation loss with
        early stopping, otherwise the training loss with its penalties. None: never
        before ``max_epochs``.""",
    ),
    "tol": (
        "float, default=1e-4",
        "Least improvement of the monitored loss that counts.",
    ),
    "n_members": (
        "int, default=8",
        """Networks that are trained together, each from its own seed; predictions
        are their mean. With early stopping and no validation set of yours, each
        validates on another fold of the rows (see ``validation_fraction``), so that
        from 5 members on every row is trained on by some and held out by others.""",
    ),
    "scale_inputs": (
        "bool, default=True",
        """Whether the networks standardize their inputs, by the weighted mean and
        standard deviation of the rows given to the first ``fit``; a sparse ``X`` is
        only divided. After a StandardScaler it changes nothing but rounding.""",
    ),
    "n_bins": (
        'int, "auto" or None, default="auto"',
        """Bins of the piecewise-linear encoding [8]_, which adds to each number how far
        it reaches into each of the bins between its quantiles. ``"auto"``: one for 150
        rows, between 4 and 16, but not more than 2,048 in all columns. None: numbers
        are given to the networks as they are. Tables that were sparse in ``fit`` are
        never encoded.""",
    ),
    "categorical_features": (
        '"from_dtype", array-like or None, default="from_dtype"',
        """Columns that hold categories: those of a DataFrame whose type is category,
        string or object, or names, indices or a mask. Each of the 256 most frequent
        categories becomes an input that is 0 or 1; unknown and missing ones are all 0.
        None: every column is a number.""",
    ),
    "impute_missing": (
        "bool, default=True",
        """Whether NaN is accepted where a number should be. It counts as the mean of
        its column, and a column that had any in ``fit`` gets one more input that is 1
        where the number is missing.""",
    ),
    "dtype": (
        '{"auto", "float32", "float64"}, default="auto"',
        """Type of all arithmetic in training and prediction. ``"auto"``: float32 where
        at least 100 rows train and inputs are standardized (``scale_inputs``),
        otherwise the type of ``X``, where what is not float32 counts as float64.""",
    ),
    "warm_start": (
        "bool, default=False",
        """Whether ``fit`` starts from the weights of the last fit, with a fresh
        optimizer and schedule, instead of new ones. A regressor's target keeps the
        location and scale of the first fit, an ensemble's folds keep their seed.""",
    ),
    "random_state": (
        "int, RandomState instance or None, default=None",
        """Source of the members' seeds, which fix initial weights, row order, dropout
        and a single network's held-out rows; the first also fixes an ensemble's folds.
        An int makes fits repeatable bit for bit.""",
    ),
    "verbose": (
        "bool or int, default=False",
        "Whether to show progress: a bar where rich is installed, otherwise lines.",
    ),
    "monitor": (
        '{"off", "light", "full"}, default="light"',
        """What ``history_`` tells about gradients, updates and activations: nothing,
        what each epoch's last update shows, or the mean over all updates. ``"full"``
        also measures ``train_score`` after every epoch. ``diagnose()`` reads it.""",
    ),
    "callbacks": (
        "list of skorch callbacks or None, default=None",
        """Called as in skorch. They are used as they are, not copied, and see the
        targets as the network does: class indices, standardized numbers. With several
        members they see all that still train at once. One that raises
        KeyboardInterrupt at the end of an epoch ends the training. Callbacks of
        scikit-learn (1.9 or later) are given to ``set_callbacks`` instead.""",
    ),
    "checkpoint": (
        "str, path-like or None, default=None",
        """File that keeps where ``fit`` stands. A fit that was killed at any moment
        goes on from it, bit for bit, when ``fit`` is called again with the same
        parameters and data; a file of another run is refused. Whether the file can be
        written is found out before the first update. A finished fit takes it away; an
        interrupted one leaves it. ``partial_fit`` and fits that train together with
        others, as in a search with the backend ``"sknnopt"``, write none; not together
        with ``callbacks``. Needs the extra ``save``.""",
    ),
    "checkpoint_seconds": (
        "float, default=60.0",
        """Least time between two writings of ``checkpoint``, which come after an epoch;
        0: after each.""",
    ),
    "device": (
        "str, default='cpu'",
        "Torch device to train and predict on.",
    ),
    "n_threads": (
        "int or None, default=None",
        """Threads that share the members of a ``fit`` whose steps are long, each with
        members of its own (not on a GPU, with ``callbacks`` or with ``verbose``);
        otherwise, and in predictions of many rows, threads of torch and of numpy's
        matrix products. None: for members all cores, or as many as the environment's
        ``OMP_NUM_THREADS`` says, as it does in workers of joblib; one thread for
        products. The number of the latter belongs to the process: while fits overlap,
        the latest decides; each thread restores what it found when its own fit ends.
        Without effect where fits train together.""",
    ),
}

ATTRIBUTES = """
n_features_in_ : int
    Number of features.
feature_names_in_ : ndarray of shape (n_features,)
    Names of the features, where ``X`` had string names.
hidden_layer_sizes_ : tuple of int
    Units of each hidden layer.
activations_ : tuple of str
    Activation of each hidden layer.
dropouts_ : tuple of float
    Dropout rate of each hidden layer.
normalization_ : str or None
    The normalization.
n_outputs_ : int
    Raw outputs of a network.
loss_name_ : str
    The loss that ``loss`` resolved to.
n_iter_ : int
    Epochs trained since the weights were initialized.
best_epoch_ : int or ndarray of shape (n_members,)
    Epoch (the first is 1) whose weights were kept; 0 stands for the initial ones.
diverged_ : bool or ndarray of shape (n_members,)
    Whether training met a number that is not finite. The network then holds its
    last finite weights.
history_ : DataFrame
    One row for each member and epoch: ``train_loss`` (a mean over the epoch's
    updates, without penalties), ``penalty``, ``train_score``, ``valid_loss``,
    ``valid_score`` (accuracy or R squared), ``learning_rate`` (of the last update),
    ``gradient_norm`` (before clipping), ``clipped_share`` (of the epoch's steps, all
    of them counted), ``gradient_decay`` (the first layer's norm by the last one's),
    for each layer ``gradient_norm_<layer>`` and ``update_ratio_<layer>`` (length of
    the update by that of the weights), for hidden layers ``activation_mean_<layer>``,
    ``activation_variance_<layer>`` (over the rows, as a mean over the units),
    ``dead_share_<layer>`` (relu units that answer 0 to all rows) and
    ``saturated_share_<layer>`` (outputs of sigmoid and tanh where the derivative is
    below 5 % of its greatest; activations are read of up to 64 rows of a batch), and
    what callbacks recorded; columns that do not apply are absent.
oof_prediction_ : ndarray of shape (n_samples,) or (n_samples, n_columns)
    Out-of-fold predictions: for each training row the mean over the members that
    never trained on it, in float64, shaped like ``predict_proba`` of a classifier or
    ``predict`` of a regressor. NaN in rows that every member trained on, as there are
    with fewer members than folds; rows of weight zero have the mean over all members.
    It is there only after a ``fit`` whose members validate on folds: several members,
    early stopping, no ``X_val``; after a warm start only if the folds have not changed
    and all training since the first fit kept to them. The rows are taken to be the
    same, in the same order.
oof_score_ : float
    Accuracy (of all labels together) or R squared of ``oof_prediction_``, weighted by
    ``sample_weight``, over the rows that have one; NaN if there is none.
coefs_ : list of ndarray of shape (fan_in, fan_out)
    Weights of each layer, with a leading member axis where ``n_members`` > 1.
intercepts_ : list of ndarray of shape (fan_out,)
    Biases of each layer, likewise.
net_ : skorch.NeuralNet
    The trained networks as a skorch net, made anew at every access.
"""

REFERENCES = """
.. [1] Goodfellow, Bengio and Courville 2016, Deep Learning, chapters 6 to 8.
.. [2] Kingma and Ba 2015, Adam: a method for stochastic optimization, algorithm 1.
.. [3] Ioffe and Szegedy 2015, Batch normalization, algorithms 1 and 2.
.. [4] Ba, Kiros and Hinton 2016, Layer normalization, equation 3.
.. [5] Srivastava et al. 2014, Dropout, section 4.
.. [6] Loshchilov and Hutter 2019, Decoupled weight decay regularization,
   algorithm 2.
.. [7] Pascanu, Mikolov and Bengio 2013, On the difficulty of training recurrent
   neural networks, algorithm 1.
.. [8] Gorishniy, Rubachev and Babenko 2022, On embeddings for numerical features in
   tabular deep learning, piecewise linear encoding.
"""


def documented(
    own: Mapping[str, tuple[str, str]], attributes: str
) -> Callable[[type[T]], type[T]]:
    """Complete a class's docstring with what both estimators share.

    Parameters
    ----------
    own : mapping
        The class's own parameters: type line and description.
    attributes : str
        The class's own attributes.

    Returns
    -------
    callable
        A class decorator that replaces ``<parameters>``, ``<attributes>`` and
        ``<references>``; parameters come in the order of the signature.
    """

    def decorate(cls: type[T]) -> type[T]:
        described = {**PARAMETERS, **own}
        names = list(inspect.signature(cls).parameters)
        blocks = {
            "<parameters>": "\n".join(_entry(n, *described[n]) for n in names),
            "<attributes>": dedent(attributes).strip() + "\n" + ATTRIBUTES.strip(),
            "<references>": REFERENCES.strip(),
        }
        text = inspect.cleandoc(cls.__doc__ or "")
        for marker, block in blocks.items():
            text = text.replace(marker, block)
        cls.__doc__ = f"{text}\n"
        return cls

    return decorate


def _entry(name: str, kind: str, text: str) -> str:
    lines = fill(" ".join(text.split()), 84, break_on_hyphens=False)
    return f"{name} : {kind}\n{indent(lines, '    ')}"
