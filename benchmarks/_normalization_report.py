"""The report of the normalization benchmark, as Markdown."""

from __future__ import annotations

from textwrap import fill
from typing import Any

_GROUPS = ("guide_split", "other_splits")


def report(result: dict[str, Any]) -> str:
    """Write a result as a table and what follows from it.

    Parameters
    ----------
    result : dict
        What ``normalization.measure`` returned, or its file.

    Returns
    -------
    str
        Markdown.
    """
    used = ", ".join(f"{name} {v}" for name, v in result["versions"].items())
    lines = [
        "# Standardized and raw input on the Pima table",
        "",
        _filled(_introduction(result)),
        "",
        *_table(result),
        "",
        "What is true:",
        "",
        *(_filled(f"- {finding}", "  ") for finding in _findings(result)),
        "",
        _filled(f"Measured with {used}."),
    ]
    return "\n".join(lines) + "\n"


def _filled(text: str, indent: str = "") -> str:
    return fill(text, 88, subsequent_indent=indent, break_on_hyphens=False)


def _introduction(result: dict[str, Any]) -> str:
    design = result["design"]
    n_rows = "576 training and 192 held-out rows"
    return (
        "Two hidden layers of 10 relu units, Adam at 0.001, batches of 32 rows, Glorot "
        f"uniform weights; {design['short']:,} epochs on standardized input (mean and "
        f"variance from the training rows), {design['long']:,} on raw input, from the "
        f"same initial weights and in the same row order. {design['n_seeds']} seeds on "
        f"each split into {n_rows}. Brackets hold 95 % intervals: a percentile "
        "bootstrap over whole splits where splits are pooled, over seeds on the single "
        "split of the claim. Loss is the mean over an epoch's updates, as Keras "
        "reports it."
    )


def _table(result: dict[str, Any]) -> list[str]:
    design, summary = result["design"], result["summary"]
    short, long = f"{design['short']:,}", f"{design['long']:,}"
    first, others = design["guide_split"], len(design["splits"])
    count = [f"{summary[g]['n_runs']} runs" for g in _GROUPS]
    raw, scaled = f"raw, epoch {long}", f"standardized, epoch {short}"
    rows: list[tuple[str, str]] = [
        (f"epochs on raw input to the loss of {scaled}: median", "raw_epochs"),
        (f"... not within {long}", "raw_epochs_never"),
        (f"epochs on standardized input to the loss of {raw}: median", "scaled_epochs"),
        (f"... not within {short}", "scaled_epochs_never"),
        (f"training loss, {scaled}: median", "scaled_loss"),
        (f"training loss, raw, epoch {short}: median", "raw_loss_early"),
        (f"training loss, {raw}: median", "raw_loss_late"),
        (f"held-out accuracy, {scaled}: mean", "scaled_accuracy"),
        (f"held-out accuracy, raw, epoch {short}: mean", "raw_accuracy_early"),
        (f"held-out accuracy, {raw}: mean", "raw_accuracy_late"),
    ]
    head = [
        (
            f"| | the claim's split ({first}), {count[0]} | other splits ({others}), "
            f"{count[1]} |"
        ),
        "| --- | --- | --- |",
    ]
    return head + [
        f"| {text} | {' | '.join(_cell(result, g, name) for g in _GROUPS)} |"
        for text, name in rows
    ]


def _findings(result: dict[str, Any]) -> list[str]:
    design = result["design"]
    short, long = f"{design['short']:,}", f"{design['long']:,}"

    def cell(name: str, group: str = "other_splits") -> str:
        return _cell(result, group, name)

    training = (
        f"Training loss, pooled splits: {cell('raw_epochs_never')} of the runs on raw "
        f"input do not reach in {long} epochs what standardized input has at {short}; "
        f"the median is {cell('raw_epochs')} epochs. {_verdict(result)}"
    )
    reverse = (
        f"The other way round, standardized input is at raw input's loss of epoch "
        f"{long} after {cell('scaled_epochs')} epochs (median); "
        f"{cell('scaled_epochs_never')} of the runs are not there by epoch {short}."
    )
    accuracy = (
        f"Held-out accuracy at epoch {short}, standardized minus raw: "
        f"{cell('accuracy_gain_early')}; standardized at epoch {short} minus raw at "
        f"epoch {long}: {cell('accuracy_gain_late')} (means of paired differences)."
    )
    never, early, late = (
        cell(name, "guide_split")
        for name in ("raw_epochs_never", "accuracy_gain_early", "accuracy_gain_late")
    )
    guide = (
        f"The same on the split of the claim: {never} not within {long} epochs; "
        f"differences in accuracy {early} and {late}."
    )
    limits = (
        "The first epoch below a level is read off a noisy curve, which favors the "
        "input that is timed. All splits are of one table, and few: the intervals may "
        "be too narrow, and say nothing about other tables."
    )
    return [training, reverse, accuracy, guide, limits]


def _verdict(result: dict[str, Any]) -> str:
    """Compare the interval of the median with the claimed number of epochs."""
    claimed = result["design"]["long"]
    median = result["summary"]["other_splits"]["raw_epochs"]
    if median["low"] is None or median["low"] >= claimed:
        return "The claim holds: raw input needs at least as many epochs."
    if median["high"] is None or median["high"] >= claimed:
        return "This is in accord with the claim."
    return "The claim does not hold: raw input needs fewer epochs."


def _cell(result: dict[str, Any], group: str, name: str) -> str:
    """Write an estimate and its interval in the quantity's own form."""
    numbers = result["summary"][group][name]
    value, low, high = (
        _number(name, numbers[key], result["design"])
        for key in ("value", "low", "high")
    )
    return f"{value} [{low}, {high}]"


def _number(name: str, number: float | None, design: dict[str, Any]) -> str:
    if number is None:
        limit = design["long"] if name == "raw_epochs" else design["short"]
        return f"over {limit:,}"
    if name.endswith("never"):
        return f"{number:.1%}".replace("%", " %")
    return f"{number:,.0f}" if name.endswith("epochs") else f"{number:.3f}"
