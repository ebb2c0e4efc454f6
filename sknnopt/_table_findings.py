"""Findings about the table: scales of columns, and classes.

Each function looks for one thing in a run, and returns a finding or None.
"""

from __future__ import annotations

from sknnopt._evidence import Run
from sknnopt._findings import Finding

#: Ratio of the columns' standard deviations, and bounds of all of them.
UNEQUAL = 10.0
#: Share of a class by that in a balanced table.
RARE = 0.25


def unscaled_inputs(run: Run) -> Finding | None:
    """Look for columns of different scales that the networks see as they are."""
    inputs = run.facts.get("inputs")
    if run.parameters["scale_inputs"] or not inputs:
        return None
    least, greatest = inputs["least"], inputs["greatest"]
    is_unequal = greatest > UNEQUAL * least
    is_far = greatest > UNEQUAL or greatest < 1 / UNEQUAL or inputs["mean"] > UNEQUAL
    if not (is_unequal or is_far):
        return None
    return Finding(
        "unscaled_inputs",
        "severe" if greatest > UNEQUAL**2 * least or is_far else "mild",
        {
            "least standard deviation": least,
            "greatest": greatest,
            "largest mean": inputs["mean"],
        },
        "Columns differ in scale by orders of magnitude, so that no learning rate "
        "suits all of their weights.",
        {"scale_inputs": True},
        (0,),
        run.span,
    )


def imbalanced_classes(run: Run) -> Finding | None:
    """Look for a class with few rows that counts no more than others."""
    counts = run.facts.get("class_counts")
    if not counts or run.parameters.get("class_weight") is not None:
        return None
    share = min(counts) / sum(counts)
    if share >= RARE / len(counts):
        return None
    return Finding(
        "imbalanced_classes",
        "mild",
        {"share of the rarest class": share},
        "A class is so rare that answering with the others costs hardly any loss.",
        {"class_weight": "balanced"},
        (),
        run.span,
        "balanced_accuracy",
    )
