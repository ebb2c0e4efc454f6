"""The files that the tune command writes."""

from __future__ import annotations

import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sknnopt._cli.report import report_html
from sknnopt._cli.results import TuneResult
from sknnopt._cli.tables import InputError, one_line
from sknnopt._extras import install_command
from sknnopt.persistence import save

_FILES = {
    "report": "report.html",
    "model": "model.safetensors",
    "candidates": "candidates.csv",
}
_EXTRAS = {"matplotlib": "plot", "safetensors": "save"}


def require_extras() -> None:
    """Make sure that the libraries for report and model are there.

    Raises
    ------
    InputError
        If one is missing.
    """
    missing = [name for name in _EXTRAS if find_spec(name) is None]
    if missing:
        extras = [_EXTRAS[name] for name in missing]
        raise InputError(
            f"the tune command needs {' and '.join(missing)}: "
            f"{install_command(*extras)}"
        )


def writable_folder(path: Path) -> Path:
    """Make a folder, and make sure that files can be written there.

    Parameters
    ----------
    path : Path
        The folder.

    Returns
    -------
    Path
        The same.

    Raises
    ------
    InputError
        If it cannot be.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        for name in _FILES.values():
            if (path / name).is_dir():
                raise InputError(f"cannot write to --output {path}: {name} is a folder")
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise InputError(
            f"cannot write to --output {path}: {one_line(error)}"
        ) from error
    return path


def write_results(folder: Path, result: TuneResult, model: Any) -> dict[str, Path]:
    """Write report, model and candidates.

    Parameters
    ----------
    folder : Path
        Where to.
    result : TuneResult
        What was found.
    model : Pipeline
        The best model, fitted.

    Returns
    -------
    dict of str to Path
        What was written.
    """
    files = {kind: folder / name for kind, name in _FILES.items()}
    save(model, files["model"])
    result.search.ranking.to_csv(files["candidates"], index=False)
    files["report"].write_text(report_html(result), encoding="utf-8")
    return files
