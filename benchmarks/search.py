"""How long searches take that train many networks, beside peers.

A grid of learning rates with cross-validation on the Pima table, which a Pipeline
scales in every fold. Ours gathers the fits of a search into batches; scikit-learn's
network has all cores, and skorch trains one network after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._fresh import PeakMemory, run_fresh
from benchmarks._peers import our_parameters
from benchmarks._problems import Shape, load
from benchmarks._search_figures import draw_searches
from benchmarks._search_report import report
from benchmarks._searching import BATCH, Size, backend, search
from benchmarks._settings import Settings
from benchmarks._store import Store
from benchmarks._timing import clocked, limited_threads, measure_pairs, n_cores
from sknnopt import OptimizedMLPClassifier

PARTS = ("grid", "growth", "reference", "memory", "members")
PEERS = ("sklearn", "skorch")
NETWORKS = ((10, 10), (72,), (64, 64, 64))
EPOCHS = 30
#: Searches, each from other initial weights, that a training loss is the mean of. All
#: fits of one search begin with the same, and their losses move together; but skorch's,
#: which take minutes, begin with their own.
N_DRAWS = 5
#: Runs of scikit-learn's network in large searches, which take minutes each.
N_REFERENCE = 3
SMALL = Size(12, 1)
LARGER = (Size(48, 1), Size(48, 5))
QUICK = Size(2, 1, folds=2)
QUICK_LARGER = (Size(4, 1, folds=2),)


def run(out: Path, settings: Settings) -> None:
    """Measure, and write ``search.json``, ``.md`` and ``.png``.

    Parameters
    ----------
    out : Path
        Directory of the results. Rows that are there already, from the same commit,
        are not measured again.
    settings : Settings
        What to measure; ``shapes`` are networks, such as ``10-10``.
    """
    store = Store(out / "search.json")
    jobs = {
        "grid": _grids,
        "growth": _growth,
        "reference": _references,
        "memory": _memories,
        "members": _members,
    }
    for part in PARTS:
        if settings.wants("parts", part):
            for key, design, measure in jobs[part](settings):
                store.add(key, {"part": part, **design}, measure)
    store.write()
    result = store.result()
    text = report(result)
    (out / "search.md").write_text(text, encoding="utf-8")
    draw_searches(result, out / "search.png")
    print(text)


Job = tuple[str, dict[str, Any], Callable[[], dict[str, Any]]]


def _grids(settings: Settings) -> Iterator[Job]:
    size = QUICK if settings.quick else SMALL
    for hidden in NETWORKS[:1] if settings.quick else NETWORKS:
        name = "-".join(map(str, hidden))
        for peer in PEERS:
            if settings.wants("shapes", name) and settings.wants("peers", peer):
                design = {
                    **_design(hidden, size, settings),
                    "peer": peer,
                    "n_draws": {
                        "ours": 1 if settings.quick else N_DRAWS,
                        peer: 1 if settings.quick or peer == "skorch" else N_DRAWS,
                    },
                    "n_pairs": settings.n_pairs,
                }
                yield (
                    f"grid {name} {peer}",
                    design,
                    lambda d=design, h=hidden: measure_grid(d, h, size),
                )


def _design(hidden: tuple[int, ...], size: Size, settings: Settings) -> dict[str, Any]:
    return {
        "hidden": hidden,
        "size": {**asdict(size), "n_fits": size.n_fits},
        "epochs": 2 if settings.quick else EPOCHS,
        "batch": BATCH,
        "backend": backend(),
    }


def measure_grid(
    design: dict[str, Any], hidden: tuple[int, ...], size: Size
) -> dict[str, Any]:
    """Search with ours and a peer in pairs.

    Parameters
    ----------
    design : dict
        ``peer``, ``epochs``, ``n_draws`` and ``n_pairs``.
    hidden : tuple of int
        Widths of the hidden layers.
    size : Size
        Candidates and folds.

    Returns
    -------
    dict
        ``pairs``; a loss is the mean over all fits of unmeasured searches.
    """
    sides = ("ours", design["peer"])
    losses = [_training_loss(who, hidden, size, design) for who in sides]

    def searching(who: str) -> Callable[[int], Any]:
        return lambda seed: search(who, hidden, size, design["epochs"])

    # The searches for the losses have warmed both up.
    pairs = measure_pairs(*map(searching, sides), design["n_pairs"], warm_up=False)
    for side, loss in zip(("ours", "peer"), losses, strict=True):
        pairs[side]["loss"] = [loss]
    return {"pairs": pairs}


def _training_loss(
    who: str, hidden: tuple[int, ...], size: Size, design: dict[str, Any]
) -> float:
    """Return the mean training loss of searches that begin with other weights."""
    searches = (
        search(who, hidden, size, design["epochs"], losses=True, seed=seed)
        for seed in range(design["n_draws"][who])
    )
    losses = [-grid.cv_results_["mean_train_score"].mean() for grid in searches]
    return float(np.mean(losses))


def _growth(settings: Settings) -> Iterator[Job]:
    hidden = NETWORKS[0]
    small = QUICK if settings.quick else SMALL
    for size in QUICK_LARGER if settings.quick else LARGER:
        design = {
            **_design(hidden, size, settings),
            "small": {**asdict(small), "n_fits": small.n_fits},
            "n_pairs": settings.n_pairs,
        }
        yield (
            f"growth {size.n_fits}",
            design,
            lambda d=design, s=size: measure_growth(d, hidden, s, small),
        )


def measure_growth(
    design: dict[str, Any], hidden: tuple[int, ...], size: Size, small: Size
) -> dict[str, Any]:
    """Search with ours, a large and a small grid in pairs.

    Parameters
    ----------
    design : dict
        ``epochs`` and ``n_pairs``.
    hidden : tuple of int
        Widths of the hidden layers.
    size, small : Size
        Of the large search, ``"ours"`` in pairs, and of the small one, ``"peer"``.

    Returns
    -------
    dict
        ``pairs``, with times per fit.
    """

    def searching(of: Size) -> Callable[[int], Any]:
        return lambda seed: search("ours", hidden, of, design["epochs"])

    pairs = measure_pairs(searching(size), searching(small), design["n_pairs"])
    for side, of in (("ours", size), ("peer", small)):
        for quantity in ("wall", "cpu"):
            pairs[side][quantity] = [t / of.n_fits for t in pairs[side][quantity]]
    return {"pairs": pairs}


def _references(settings: Settings) -> Iterator[Job]:
    hidden = NETWORKS[0]
    if not settings.wants("peers", "sklearn"):
        return
    for size in QUICK_LARGER if settings.quick else LARGER:
        count = 1 if settings.quick else N_REFERENCE
        design = {**_design(hidden, size, settings), "n_runs": count}
        yield (
            f"reference {size.n_fits}",
            design,
            lambda d=design, s=size: measure_reference(d, hidden, s),
        )


def measure_reference(
    design: dict[str, Any], hidden: tuple[int, ...], size: Size
) -> dict[str, Any]:
    """Search with scikit-learn's network alone, for the curve.

    Parameters
    ----------
    design : dict
        ``epochs`` and ``n_runs``.
    hidden : tuple of int
        Widths of the hidden layers.
    size : Size
        Candidates and folds.

    Returns
    -------
    dict
        ``wall``, times per fit.
    """
    search("sklearn", hidden, QUICK, 1)  # its processes are alive
    runs = [
        clocked(lambda: search("sklearn", hidden, size, design["epochs"]))[1]
        for _ in range(design["n_runs"])
    ]
    return {"wall": [wall / size.n_fits for wall in runs]}


def _memories(settings: Settings) -> Iterator[Job]:
    hidden = NETWORKS[0]
    small = QUICK if settings.quick else SMALL
    for size in (small, *(QUICK_LARGER if settings.quick else LARGER)):
        design = _design(hidden, size, settings)
        yield (
            f"memory {size.n_fits}",
            design,
            lambda d=design, s=size: run_fresh(
                peak_of_search, hidden=hidden, epochs=d["epochs"], **asdict(s)
            ),
        )


def peak_of_search(hidden: list[int], epochs: int, **size: int) -> dict[str, Any]:
    """Search once in this process and return the ``peak`` of memory in bytes.

    Parameters
    ----------
    hidden : list of int
        Widths of the hidden layers.
    epochs : int
        Of each fit.
    **size : int
        As :class:`Size` takes it.

    Returns
    -------
    dict
        ``peak``, less what was in use after the imports.
    """
    memory = PeakMemory()
    search("ours", tuple(hidden), Size(**size), epochs)
    return {"peak": memory.rise()}


def _members(settings: Settings) -> Iterator[Job]:
    rows, epochs = (200, 2) if settings.quick else (614, 50)
    for threads in ("one", "all"):
        design = {
            "hidden": (72, 72),
            "rows": rows,
            "epochs": epochs,
            "batch": BATCH,
            "n_members": 8,
            "threads": threads,
            "n_pairs": settings.n_pairs,
        }
        yield f"members {threads}", design, lambda d=design: measure_members(d)


def measure_members(design: dict[str, Any]) -> dict[str, Any]:
    """Fit several networks, ``"ours"`` in pairs, and one, ``"peer"``.

    Parameters
    ----------
    design : dict
        ``hidden``, ``rows``, ``epochs``, ``n_members``, ``threads`` and ``n_pairs``.

    Returns
    -------
    dict
        ``pairs``.
    """
    X, y = load(design["rows"], 8, "classification", "float32")
    shape = Shape(design["rows"], 8, design["hidden"], BATCH, 0, 0)
    parameters = our_parameters(shape, design["epochs"])

    def fitting(n_members: int) -> Callable[[int], Any]:
        kind = OptimizedMLPClassifier
        changed = {**parameters, "n_members": n_members}
        return lambda seed: kind(**changed, random_state=seed).fit(X, y)

    with limited_threads(1 if design["threads"] == "one" else n_cores()):
        works = (fitting(design["n_members"]), fitting(1))
        return {"pairs": measure_pairs(*works, design["n_pairs"])}
