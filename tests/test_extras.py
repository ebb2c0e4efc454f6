"""What is said where an optional package is missing."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from sknnopt._extras import install_command, not_installed

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("extras", [("save",), ("plot", "save")])
def test_command_is_for_every_shell(extras: tuple[str, ...]) -> None:
    """Brackets stand in quotes, and the shell hands over the bare requirement."""
    command = install_command(*extras)
    assert re.search(r"'[^']*\[[^']*\][^']*'", command)
    assert shlex.split(command) == ["pip", "install", f"sknnopt[{','.join(extras)}]"]


def test_error_says_who_what_and_how() -> None:
    """The error names who needs the package, the package, and the command."""
    error = not_installed("Drawing needs", "matplotlib", "plot")
    assert isinstance(error, ImportError)
    assert str(error) == (
        "Drawing needs matplotlib, which is not installed: pip install 'sknnopt[plot]'"
    )


def test_named_extras_exist() -> None:
    """Extras that the package names are those of the project; none lacks quotes."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    calls = re.compile(r"(?:not_installed|install_command)\(([^)]*)\)")
    pages = [*ROOT.glob("docs/**/*.rst"), *ROOT.glob("*.md")]
    named = set()
    for path in [*ROOT.glob("sknnopt/**/*.py"), *pages]:
        text = path.read_text()
        assert not re.search(r"pip install \"?sknnopt\[", text), path
        for call in calls.findall(text):
            named |= set(re.findall(r'"(\w+)"', call.rsplit(",", 1)[-1]))
    assert named == {"plot", "save", "tune", "onnx"}
    assert named <= project["optional-dependencies"].keys()
