"""scikit-learn's own checks, at the defaults and at settings of every kind."""

from __future__ import annotations

import pytest
from sklearn.base import clone
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import (
    estimator_checks_generator,
    parametrize_with_checks,
)

from sknnopt import OptimizedMLPClassifier, OptimizedMLPRegressor
from sknnopt.presets import PLAIN

#: Most checks say nothing of what is learned: away from the defaults, few epochs do.
FEW, ENOUGH, FASTER = 3, {"max_epochs": 40}, {"max_epochs": 20, "learning_rate": 0.01}
LEARNING = {
    "check_class_weight_classifiers",
    "check_classifiers_train",
    "check_regressors_train",
}
QUICK = {"max_epochs": FEW, "learning_rate": 0.005}
#: Checks of many fits that ask which formats of tables are taken, and what type and
#: shape the answers have: at the defaults, too, few epochs say it.
OF_FORMATS = {
    "check_classifier_data_not_an_array",
    "check_classifiers_multilabel_output_format_decision_function",
    "check_classifiers_multilabel_output_format_predict",
    "check_classifiers_multilabel_output_format_predict_proba",
    "check_classifiers_multilabel_representation_invariance",
    "check_dtype_object",
    "check_estimator_sparse_array",
    "check_estimator_sparse_matrix",
    "check_estimator_sparse_tag",
    "check_estimators_dtypes",
    "check_regressor_data_not_an_array",
    "check_regressors_int",
    "check_supervised_y_2d",
}
#: Where the batch is full and nothing is drawn for single rows, every check holds.
EXACT = [
    {},
    {
        "activation": "tanh",
        "optimizer": "rmsprop",
        "learning_rate": 0.01,
        "l1": 1e-4,
        "normalization": "layer",
        "clip_norm": 1.0,
    },
    {"normalization": "batch"},
    {
        "n_members": 2,
        "lr_schedule": "one_cycle",
        "monitor": "full",
        "n_units": [32, 16],
    },
]
#: Where rows are drawn, dropped or held out, a row of weight two cannot equal two rows,
#: in scikit-learn's own networks neither: another row order, another mask, another row
#: held out. What holds instead, the equality of mean predictions, is shown in
#: test_sample_weight.py.
INEXACT = [
    {"dropout": 0.2, "batch_size": 8},
    {"early_stopping": True, "n_iter_no_change": 20},
    {"n_members": 3, "early_stopping": True, "n_iter_no_change": 20},
]
REASON = "weighted and repeated rows differ in order, masks or which are held out"
WEIGHT_CHECKS = {
    "check_sample_weight_equivalence_on_dense_data": REASON,
    "check_sample_weight_equivalence_on_sparse_data": REASON,
}


def _is_inexact(estimator):
    inexact = (
        estimator.dropout not in (0.0, "auto")
        or estimator.batch_size != "auto"
        or estimator.early_stopping is True
    )
    return WEIGHT_CHECKS if inexact else {}


CLASSES = [OptimizedMLPClassifier, OptimizedMLPRegressor]
ESTIMATORS = [estimator() for estimator in CLASSES] + [
    estimator(**{**PLAIN, **QUICK, **settings})
    for settings in EXACT + INEXACT
    for estimator in CLASSES
]


def _name(check):
    return getattr(check, "func", check).__name__


def _trained_enough(estimator, check):
    """Return the estimator with the epochs that the check asks for."""
    estimator = clone(estimator)
    network = estimator[-1] if isinstance(estimator, Pipeline) else estimator
    if _name(check) in LEARNING and network.max_epochs == FEW:
        network.set_params(**(ENOUGH | (FASTER if network.optimizer == "adam" else {})))
    if _name(check) in OF_FORMATS:
        network.set_params(max_epochs=FEW)
    return estimator


def _checks_of(estimators, expected):
    """Parametrize with checks; memory maps and float32 again for long tests only.

    Each setting learns once, in the estimator at its defaults, and in a pipeline, from
    any kind of rows.
    """
    made = parametrize_with_checks(estimators, expected_failed_checks=expected).mark
    names, cases = made.args
    return pytest.mark.parametrize(
        names,
        [
            pytest.param(*case, marks=pytest.mark.long) if _is_again(case) else case
            for case in cases
        ],
        **made.kwargs,
    )


def _is_again(case):
    # Expected failures come as pytest's own parameters.
    values = getattr(case, "values", case)
    estimator, check = values
    is_plain = getattr(estimator, "max_epochs", None) == FEW
    is_variant = len(getattr(check, "keywords", {})) > 0
    return is_plain and is_variant and _name(check) in LEARNING


@_checks_of(ESTIMATORS, _is_inexact)
def test_scikit_learn_check(estimator, check):
    """scikit-learn's check passes, at defaults without any exception.

    Only of formats that are taken the checks are made with fewer epochs.
    """
    check(_trained_enough(estimator, check))


@pytest.mark.long
@pytest.mark.parametrize(
    ("estimator", "check"),
    [
        case
        for kind in CLASSES
        for case in estimator_checks_generator(kind())
        if _name(case[1]) in OF_FORMATS
    ],
)
def test_formats_at_the_defaults(estimator, check):
    """What the checks of formats find, they find after all epochs, too."""
    check(clone(estimator))


#: A Pipeline fits the very steps it was given, and does not tell what they accept.
PIPELINE_CHECKS = {
    "check_estimators_overwrite_params": "a Pipeline changes its steps in fit",
    "check_dont_overwrite_parameters": "a Pipeline changes its steps in fit",
    "check_estimators_nan_inf": "a Pipeline has no tag for steps that accept NaN",
}


@parametrize_with_checks(
    [
        make_pipeline(StandardScaler(), estimator(n_members=2, random_state=0, **QUICK))
        for estimator in CLASSES
    ],
    expected_failed_checks=lambda _: PIPELINE_CHECKS,
)
def test_scikit_learn_check_in_pipeline(estimator, check):
    """scikit-learn's check passes for a pipeline that ends in the estimator."""
    check(_trained_enough(estimator, check))


def _names(estimator):
    return [_name(check) for _, check in estimator_checks_generator(estimator)]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (OptimizedMLPClassifier(), MLPClassifier()),
        (OptimizedMLPRegressor(), MLPRegressor()),
    ],
)
def test_no_check_is_avoided(ours, theirs):
    """Our tags let no check out that scikit-learn's own network has to pass.

    But one: NaN is accepted, as by all estimators with this tag.
    """
    expected = set(_names(theirs))
    assert expected - set(_names(ours)) == {"check_estimators_nan_inf"}
    strict = ours.set_params(impute_missing=False)
    assert expected <= set(_names(strict))
    assert len(_names(strict)) >= len(_names(theirs))


@pytest.mark.parametrize("estimator", [e for e in ESTIMATORS if _is_inexact(e)])
def test_expected_failures_do_fail(estimator):
    """The checks that are listed as expected failures are not listed for nothing."""
    checks = [
        check
        for _, check in estimator_checks_generator(estimator)
        if _name(check) in WEIGHT_CHECKS
    ]
    assert len(checks) == len(WEIGHT_CHECKS)
    for check in checks:
        with pytest.raises(AssertionError, match="not equivalent"):
            check(clone(estimator))
