"""The command line: list the benchmarks, run some or all of them."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import (
    diagnosis,
    monitoring,
    normalization,
    quality,
    scale,
    search,
    search_cost,
    speed,
    tuning,
)
from benchmarks._peers import PEERS
from benchmarks._problems import SHAPES
from benchmarks._settings import Settings
from benchmarks.quality import METHODS
from benchmarks.tuning import SEARCHES

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Benchmark:
    """A benchmark: ``run(out, settings)`` leaves its results in ``out``."""

    run: Callable[[Path, Settings], None]
    summary: str


def _run_normalization(out: Path, settings: Settings) -> None:
    normalization.run(out, quick=settings.quick, jobs=settings.jobs)


def _run_mutation(out: Path, settings: Settings) -> None:
    # The others do not need what makes mutants.
    from benchmarks import mutation

    mutation.run(out, settings)


BENCHMARKS: dict[str, Benchmark] = {
    "normalization": Benchmark(
        run=_run_normalization,
        summary="Epochs that standardized input saves on the Pima table.",
    ),
    "speed": Benchmark(
        run=speed.run,
        summary="Time of single fits, predictions and the import, beside peers.",
    ),
    "monitoring": Benchmark(
        run=monitoring.run,
        summary="Time that light monitoring adds to a fit.",
    ),
    "search": Benchmark(
        run=search.run,
        summary="Time of searches that train many networks, beside peers.",
    ),
    "search_cost": Benchmark(
        run=search_cost.run,
        summary="Time that BayesSearchCV takes beside the fits, and options that help.",
    ),
    "scale": Benchmark(
        run=scale.run,
        summary="Time and memory over rows, width and networks.",
    ),
    "quality": Benchmark(
        run=quality.run,
        summary="How well real tables are predicted at default settings, beside peers.",
    ),
    "tuning": Benchmark(
        run=tuning.run,
        summary="How well and how fast hyperparameters are found, beside peers.",
    ),
    "diagnosis": Benchmark(
        run=diagnosis.run,
        summary="How well diagnose() names what is wrong with a training run.",
    ),
    "mutation": Benchmark(
        run=_run_mutation,
        summary="How many small faults in the code the tests notice.",
    ),
}


_NETWORKS = ["-".join(map(str, hidden)) for hidden in search.NETWORKS]
#: What benchmarks can be restricted to.
_RESTRICTIONS: dict[str, list[str]] = {
    "shapes": [*(shape.name for shape in SHAPES), *_NETWORKS],
    "peers": list(dict.fromkeys([*PEERS, *METHODS, *SEARCHES])),
    "parts": list(
        dict.fromkeys(
            part
            for benchmark in (
                speed,
                search,
                search_cost,
                scale,
                quality,
                tuning,
                diagnosis,
            )
            for part in benchmark.PARTS
        )
    ),
}
#: What is not all of them by default.
_DEFAULTS = {
    "parts": " (default: all, but of quality "
    f"{', '.join(quality.DEFAULT_PARTS)}, of tuning {', '.join(tuning.DEFAULT_PARTS)}, "
    f"of diagnosis {', '.join(diagnosis.DEFAULT_PARTS)})"
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmarks that the command line names.

    Parameters
    ----------
    arguments : sequence of str or None, default=None
        Words of the command line; None takes the process's own.
    """
    options = _parser().parse_args(arguments)
    if options.list:
        for name, benchmark in BENCHMARKS.items():
            print(f"{name:<16}{benchmark.summary}")
        return
    settings = Settings(
        quick=options.quick,
        jobs=options.jobs,
        pairs=options.pairs,
        shapes=options.shapes,
        peers=options.peers,
        parts=options.parts,
        full=options.full,
        seconds=options.seconds,
    )
    out = _directory(options.out, quick=options.quick)
    for name in options.names or BENCHMARKS:
        BENCHMARKS[name].run(out, settings)
    print(f"The results are in {out}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    known = ", ".join(BENCHMARKS)
    parser.add_argument(
        "names", nargs="*", type=_known, help=f"which to run, by default all: {known}"
    )
    parser.add_argument("--list", action="store_true", help="list them and run none")
    parser.add_argument(
        "--quick", action="store_true", help="a smoke test, whose numbers mean nothing"
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=1,
        help="processes at a time, where no times are measured (default: 1)",
    )
    parser.add_argument(
        "--pairs",
        type=_positive,
        help="pairs of measurements (default: 15), or splits of tuning (default: 10)",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        help="wall time of each search of tuning (default: 60; with --quick 2)",
    )
    for name, words in _RESTRICTIONS.items():
        parser.add_argument(
            f"--{name}",
            type=partial(_words, known=words),
            help=f"restricts benchmarks to some of {', '.join(words)}"
            + _DEFAULTS.get(name, ""),
        )
    parser.add_argument(
        "--full",
        action="store_true",
        help="use all rows of the tables of quality; the results are kept apart",
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="directory of the results (default: benchmarks/results; with --quick a "
        "new temporary one)",
    )
    return parser


def _positive(word: str) -> int:
    if not word.isdecimal() or int(word) == 0:
        raise argparse.ArgumentTypeError(f"{word!r} is not a positive whole number")
    return int(word)


def _words(text: str, known: Sequence[str]) -> list[str]:
    words = text.split(",")
    for word in words:
        if word not in known:
            raise argparse.ArgumentTypeError(
                f"{word!r} is none of {', '.join(known)}; commas separate several"
            )
    return words


def _known(name: str) -> str:
    if name not in BENCHMARKS:
        raise argparse.ArgumentTypeError(
            f"{name!r} is no benchmark; there are: {', '.join(BENCHMARKS)}"
        )
    return name


def _directory(out: Path | None, *, quick: bool) -> Path:
    """Return where results go; a quick run must not replace those that count."""
    if out is None:
        out = Path(tempfile.mkdtemp(prefix="benchmarks-")) if quick else RESULTS
    out.mkdir(parents=True, exist_ok=True)
    return out


if __name__ == "__main__":
    main()
