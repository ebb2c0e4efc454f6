"""The command line: ``python -m sknnopt tune`` and ``python -m sknnopt predict``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

# A command imports what it needs when it runs: help must not depend on extras.
_BAD_INPUT = 2
_INTERRUPTED = 130
#: Named here as well as where they are made, which takes long to import.
SEARCHES = ("random", "tpe", "bayes", "grid")
SPACES = ("small", "standard", "regularization", "guide")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    arguments : sequence of str or None, default=None
        What follows the program's name; None: as the process was given it.

    Returns
    -------
    int
        0, or 2 after bad input, or 130 after an interrupt.
    """
    if sys.stdout is None:
        return _say("error: standard output is closed", _BAD_INPUT)
    try:
        options = _parser().parse_args(arguments)
        options.run(options)
    except SystemExit as stop:
        return int(stop.code or 0)
    except KeyboardInterrupt as interrupt:
        return _say(str(interrupt) or "interrupted", _INTERRUPTED)
    except BrokenPipeError:
        # Whoever read the output has seen enough.
        sys.stdout = None
        return 0
    except (ValueError, OSError, ImportError) as error:
        return _say(f"error: {_one_line(error)}", _BAD_INPUT)
    return 0


def _say(text: str, status: int) -> int:
    print(text, file=sys.stderr)
    return status


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


class _Parser(argparse.ArgumentParser):
    """A parser that refuses with one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(_BAD_INPUT, f"error: {message}\n")


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows the defaults that there are."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None:
            return action.help
        return super()._get_help_string(action)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m sknnopt",
        description="Tune multilayer perceptrons on a table, and predict with them.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_tune(commands)
    _add_predict(commands)
    return parser


def _add_tune(commands: Any) -> None:
    help_text = "search hyperparameters, write a report and the best model"
    tune = commands.add_parser(
        "tune",
        help=help_text,
        description=f"{help_text.capitalize()}. Without a table: the Pima Indians "
        "diabetes table, which is included.",
        formatter_class=_HelpFormatter,
    )
    tune.set_defaults(run=_tune)
    tune.add_argument("table", nargs="?", metavar="TABLE.csv", help="table to learn")
    tune.add_argument("--target", metavar="COLUMN", help="column to predict")
    tune.add_argument(
        "--task",
        choices=["auto", "classification", "regression"],
        default="auto",
        help="what to predict",
    )
    _add_search_options(tune.add_argument)
    _add_validation_options(tune.add_argument)
    tune.add_argument(
        "--output",
        type=Path,
        default=Path("sknnopt-report"),
        metavar="DIR",
        help="folder for report.html, model.safetensors and candidates.csv",
    )


def _add_search_options(add: Callable[..., Any]) -> None:
    add(
        "--search",
        choices=SEARCHES,
        default="random",
        help="who proposes candidates: chance, Optuna's TPE, scikit-optimize's "
        "Gaussian process, or a grid over what tends to matter most",
    )
    add("--space", choices=SPACES, default="small", help="what is searched")
    add(
        "--n-iter",
        type=_number(int, "a whole number from 1 on", lambda n: n >= 1),
        metavar="N",
        help="most candidates (default: 50, or what the budget allows)",
    )
    add(
        "--budget",
        type=_duration,
        metavar="TIME",
        help="time for the search, such as 60s, 5m or 1h; the last fits come on top",
    )
    add(
        "--pruning",
        choices=["halving", "hyperband", "none"],
        help="how candidates leave early (default: halving, by which most can be tried "
        "in the same time; a grid has no pruning)",
    )
    add(
        "--resume",
        metavar="STUDY",
        help="file that keeps the candidates; where it exists, the search goes on "
        "(needs Optuna)",
    )
    add(
        "--n-jobs",
        type=_number(int, "a whole number other than 0", lambda n: n != 0),
        default=-1,
        metavar="N",
        help="fits that train side by side; -1: 256, or what memory allows",
    )


def _add_validation_options(add: Callable[..., Any]) -> None:
    count = _number(int, "a whole number from 1 on", lambda n: n >= 1)
    folds = _number(int, "a whole number from 2 on", lambda n: n >= 2)
    share = _number(float, "a number between 0 and 1", lambda x: 0 < x < 1)
    seed = _number(int, "a whole number from 0 to 4294967295", lambda n: 0 <= n < 2**32)
    add("--cv", type=folds, default=5, metavar="N", help="folds of cross-validation")
    add("--test-size", type=share, default=0.2, metavar="X", help="share held out")
    add("--seed", type=seed, default=0, metavar="N", help="seed of all that is drawn")
    add(
        "--max-epochs",
        type=count,
        default=200,
        metavar="N",
        help="most epochs of a fit",
    )


def _add_predict(commands: Any) -> None:
    help_text = "predict the rows of a table with a saved model"
    predict = commands.add_parser(
        "predict", help=help_text, description=f"{help_text.capitalize()}."
    )
    predict.set_defaults(run=_predict)
    add = predict.add_argument
    add("model", metavar="MODEL", help="file that tune or sknnopt.persistence wrote")
    add("table", metavar="TABLE.csv", help="table with the model's columns")
    add("--output", type=Path, metavar="OUT.csv", help="file to write; else printed")
    add("--proba", action="store_true", help="add the probability of each class")


def _number(
    kind: Callable[[str], Any], accepted: str, is_valid: Callable[[Any], bool]
) -> Callable[[str], Any]:
    """Return a converter for argparse that says what is accepted."""

    def convert(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not is_valid(value):
            raise argparse.ArgumentTypeError(f"must be {accepted}, got {text!r}")
        return value

    return convert


def _duration(text: str) -> float:
    from sknnopt._cli.settings import seconds

    try:
        return seconds(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"must be a time greater than 0, such as 60s, 5m or 1h, got {text!r}"
        ) from None


def _tune(options: argparse.Namespace) -> None:
    from sknnopt._cli.console import result_text
    from sknnopt._cli.output import require_extras, writable_folder, write_results
    from sknnopt._cli.tuning import tune

    settings = _settings(options)
    table = _training_table(options)
    require_extras()
    folder = writable_folder(options.output)
    n_rows, n_columns = table.X.shape
    print(f"{table.name}: {n_rows} rows, {n_columns} features, target {table.target}")
    print(f"{table.task}: {table.reason}")
    for note in table.notes:
        print(note)
    sys.stdout.flush()
    try:
        result, model = tune(table, settings, verbose=True)
    except KeyboardInterrupt:
        if settings.study is None:
            raise
        raise KeyboardInterrupt(
            "interrupted; the same command with --resume "
            f"{settings.study} goes on where the search was"
        ) from None
    print(result_text(result, write_results(folder, result, model)))


def _settings(options: argparse.Namespace) -> Any:
    from sknnopt._cli.settings import TuneSettings

    return TuneSettings(
        search=options.search,
        space=options.space,
        pruning=options.pruning,
        n_iter=options.n_iter,
        budget=options.budget,
        study=options.resume,
        cv=options.cv,
        test_size=options.test_size,
        seed=options.seed,
        max_epochs=options.max_epochs,
        n_jobs=options.n_jobs,
    )


def _training_table(options: argparse.Namespace) -> Any:
    from sknnopt._cli.tables import InputError, read_table, training_table

    if options.table is None:
        from sknnopt.datasets import load_pima

        if options.target is not None:
            raise InputError("--target needs a table: tune TABLE.csv --target COLUMN")
        bunch: Any = load_pima()
        frame, target, name = bunch.frame, "Outcome", "Pima Indians diabetes"
    else:
        frame, target = read_table(options.table), options.target
        name = Path(options.table).name
    if target is None:
        columns = ", ".join(map(str, frame.columns))
        raise InputError(f"--target is needed; the columns are {columns}")
    return training_table(frame, target, task=options.task, name=name)


def _predict(options: argparse.Namespace) -> None:
    from sknnopt._cli.predicting import predictions

    table = predictions(options.model, options.table, proba=options.proba)
    if options.output is None:
        table.to_csv(sys.stdout, index=False)
        sys.stdout.flush()
        return
    # Opened here, as pandas would also send it to what looks like an address.
    with options.output.open("w", encoding="utf-8", newline="") as file:
        table.to_csv(file, index=False)
    print(f"{len(table)} predictions written to {options.output}")


if __name__ == "__main__":
    if sys.stdout is not None:
        # A label that the terminal cannot show must not end a run.
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.exit(main())
