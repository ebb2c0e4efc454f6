"""The tune command's report: one HTML page that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from string import Template

from sknnopt._cli.candidates import candidate_table
from sknnopt._cli.console import left_early, number
from sknnopt._cli.figures import (
    convergence_svg,
    curves_svg,
    history_svg,
    importance_svg,
    prediction_svg,
)
from sknnopt._cli.markup import definitions, table
from sknnopt._cli.page import PAGE, SCRIPT
from sknnopt._cli.results import MEASURES, DataSummary, TuneResult

_SEARCHES = {
    "random": "drawn at random from the space",
    "tpe": "proposed by a tree-structured Parzen estimator from the space",
    "bayes": "proposed by a Gaussian process from the space",
    "grid": "of a grid over the space",
}
#: Beyond this a matrix of counts is no longer readable.
_MOST_MATRIX_CLASSES = 12
#: Most classes that the summary counts one by one.
_MOST_LISTED_CLASSES = 10

_LOAD = """\
import pandas as pd
from sknnopt.persistence import load

model = load("model.safetensors")
model.predict(pd.read_csv("TABLE.csv")[model.feature_names_in_])"""
_COMMAND = "python -m sknnopt predict model.safetensors TABLE.csv"


def report_html(result: TuneResult) -> str:
    """Write the report.

    Parameters
    ----------
    result : TuneResult
        What was found.

    Returns
    -------
    str
        An HTML page.
    """
    data = result.data
    return Template(PAGE).substitute(
        title=escape(f"Tuning report: {data.name}"),
        lead=escape(_lead(result)),
        diagnosis=result.diagnosis.to_html(),
        scores=_score_table(result),
        scores_note=escape(_scores_note(result)),
        best=definitions({k: number(v) for k, v in result.search.params.items()}),
        best_note=escape(_best_note(result)),
        data=definitions(_data_facts(data)),
        data_notes="".join(f"<p>{escape(note)}</p>" for note in data.notes),
        loss=history_svg(result, "loss"),
        score=history_svg(result, "score"),
        held_out=_held_out(result),
        **_search_parts(result),
        script=SCRIPT,
        load=escape(_LOAD),
        command=escape(_COMMAND),
        footer=escape(_footer(result)),
    )


def _search_parts(result: TuneResult) -> dict[str, str]:
    search, importance = result.search, result.search.importance
    return {
        "search_note": escape(_search_note(result)),
        "convergence": convergence_svg(result),
        "curves": "" if search.curves.empty else curves_svg(result),
        "curves_note": escape(search.curves_note),
        "importance": "" if importance is None else importance_svg(importance),
        "importance_note": escape(search.importance_note),
        "candidates": candidate_table(search, result.measure),
    }


def _lead(result: TuneResult) -> str:
    data, tuned = result.data, result.scores[0]
    value = tuned.measures[result.measure].held_out
    others = ", ".join(
        f"{scores.name} {scores.measures[result.measure].held_out:.3f}"
        for scores in result.scores[1:]
    )
    return (
        f"{data.task.capitalize()} of {data.target}. On the {data.n_test} rows held "
        f"out, the best of {len(result.search.trials)} candidates reaches "
        f"{_with_name(result.measure, value)}; with default settings, {others}."
    )


def _with_name(measure: str, value: float) -> str:
    return f"an {measure} of {value:.3f}"


def _score_table(result: TuneResult) -> str:
    folds = f"{result.settings['cv']} folds"
    head = ["Model"]
    cells = [[scores.name] for scores in result.scores]
    strong: set[tuple[int, int]] = set()
    for name, more_is_better in MEASURES[result.data.task].items():
        choose = max if more_is_better else min
        measured = [scores.measures[name] for scores in result.scores]
        best_mean = choose(m.cv_mean for m in measured)
        best_held_out = choose(m.held_out for m in measured)
        for i, m in enumerate(measured):
            if m.cv_mean == best_mean:
                strong.add((i, len(head)))
            if m.held_out == best_held_out:
                strong.add((i, len(head) + 1))
            cells[i] += [f"{m.cv_mean:.3f} ± {m.cv_sd:.3f}", f"{m.held_out:.3f}"]
        head += [f"{name}, {folds}", f"{name}, held out"]
    return table(head, cells, strong)


def _scores_note(result: TuneResult) -> str:
    better = "; ".join(
        f"{name}: {'more' if more else 'less'} is better"
        for name, more in MEASURES[result.data.task].items()
    )
    note = (
        f"Mean ± standard deviation over the folds; {better}. All models saw the same "
        f"folds. The tuned model was chosen by its {result.measure} on these folds, "
        "which flatters it there; the rows held out took no part in the choice."
    )
    return f"{note} {_uncertainty(result)}" if result.labels else note


def _uncertainty(result: TuneResult) -> str:
    """Tell how far the accuracy on the held-out rows may be off."""
    n_rows, error = len(result.truth), result.accuracy_error
    if error > 0:
        return (
            f"With {n_rows} of them, an accuracy is uncertain by about ±{error:.3f} "
            "(one standard error)."
        )
    # Clopper and Pearson's one-sided limit, which is simple where all rows are alike.
    limit = 0.05 ** (1 / n_rows)
    if (result.truth == result.predicted).all():
        return (
            f"All {n_rows} of them were predicted right, which a model with an "
            f"accuracy of {limit:.3f} does one time in 20."
        )
    return (
        f"None of the {n_rows} was predicted right, which a model with an accuracy of "
        f"{1 - limit:.3f} does one time in 20."
    )


def _best_note(result: TuneResult) -> str:
    epochs = ", ".join(str(epoch) for epoch in result.best_epoch)
    last = int(result.history["epoch"].max())
    note = (
        f"Candidate {result.search.number}, trained again on all {result.data.n_train} "
        "training rows, a part of which decided when to stop: after "
        f"{last} epochs, keeping the weights of epoch {epochs}."
    )
    if result.search.is_best_pruned:
        note += (
            " The time was over before a candidate had trained to its end: a larger "
            "budget should find a better one."
        )
    return note


def _search_note(result: TuneResult) -> str:
    settings = result.settings
    n_candidates = len(result.search.trials)
    note = f"{n_candidates} candidates, {_SEARCHES[settings['search']]}"
    note += f' "{settings["space"]}", in {result.search_seconds:.0f} s.'
    left = left_early(result.search)
    return f"{note} {left[0].upper()}{left[1:]}." if left else note


def _data_facts(data: DataSummary) -> dict[str, str]:
    facts = {
        "Table": data.name,
        "Target": data.target,
        "Task": f"{data.task} ({data.reason})",
        "Rows": f"{data.n_train} to train and validate on, {data.n_test} held out",
        "Features": f"{len(data.numeric)} numeric, {len(data.text)} text (one-hot)",
    }
    if data.n_missing:
        facts["Missing"] = f"{data.n_missing} numbers, replaced by the column's median"
    if data.classes:
        facts["Classes"] = _class_counts(data.classes)
    if data.target_range is not None:
        low, high = data.target_range
        facts["Range of the target"] = f"{low:.6g} to {high:.6g}"
    return facts


def _class_counts(classes: Mapping[str, int]) -> str:
    n_rows = sum(classes.values())
    counts = [
        # With spaces that break no line.
        f"{label}:\N{NO-BREAK SPACE}{count}\N{NO-BREAK SPACE}({count / n_rows:.0%})"
        for label, count in classes.items()
    ]
    more = len(counts) - _MOST_LISTED_CLASSES
    return ", ".join(counts[:_MOST_LISTED_CLASSES]) + (
        f" and {more} more" if more > 0 else ""
    )


def _held_out(result: TuneResult) -> str:
    if not result.labels:
        return f'<figure class="single">{prediction_svg(result)}</figure>'
    if len(result.labels) > _MOST_MATRIX_CLASSES:
        right = int((result.truth == result.predicted).sum())
        return f"<p>{right} of {len(result.truth)} rows predicted correctly.</p>"
    return _confusion_table(result)


def _confusion_table(result: TuneResult) -> str:
    labels = [escape(str(label)) for label in result.labels]
    head = "".join(f'<th scope="col">{label}</th>' for label in labels)
    rows = []
    for label, counts in zip(labels, result.confusion, strict=True):
        shares = counts / max(1, counts.sum())
        cells = "".join(
            f'<td style="--share:{share:.3f}">{count}<small>{share:.0%}</small></td>'
            for count, share in zip(counts, shares, strict=True)
        )
        rows.append(f'<tr><th scope="row">{label}</th>{cells}</tr>')
    corner = '<th scope="col">true, down<br>predicted, across</th>'
    return (
        f'<div class="scroll"><table class="matrix"><thead><tr>{corner}{head}</tr>'
        f"</thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _footer(result: TuneResult) -> str:
    options = ", ".join(f"{k} {v}" for k, v in result.settings.items())
    versions = ", ".join(f"{k} {v}" for k, v in result.versions.items())
    return f"Settings: {options}. Duration: {result.seconds:.0f} s. With {versions}."
