"""The README's Python blocks run, in order, as one program."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

README = Path(__file__).parents[1] / "README.md"
FENCE = re.compile(r"^ *```(?P<language>\w*)")


class Block(NamedTuple):
    """Code of one fence and the number of its first line, counted from 1."""

    line: int
    code: str


def python_blocks(text: str) -> Iterator[Block]:
    """Yield the code of all ```python fences; other fences are not for Python."""
    language, start, lines = None, 0, []
    for number, line in enumerate(text.splitlines(), start=1):
        fence = FENCE.match(line)
        if language is None and fence:
            language, start, lines = fence["language"], number + 1, []
        elif language is not None and fence:
            if language == "python":
                yield Block(start, textwrap.dedent("\n".join(lines) + "\n"))
            language = None
        else:
            lines.append(line)


def run(blocks: list[Block], filename: str) -> dict[str, object]:
    """Run the blocks in one namespace; a traceback shows the README's own lines."""
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in blocks:
        padded = "\n" * (block.line - 1) + block.code
        exec(compile(padded, filename, "exec"), namespace)
    return namespace


def test_only_python_fences_are_taken() -> None:
    """Other languages are left out, indentation too; line numbers are the file's."""
    text = "a\n```shell\nmake\n```\n  ```python\n  x = 1\n  ```\n\n```\nout\n```\n"
    assert list(python_blocks(text)) == [Block(6, "x = 1\n")]


def test_blocks_share_a_namespace_and_name_their_line() -> None:
    """A later block sees earlier names, and a failure points at the file's line."""
    assert run([Block(1, "x = 1\n"), Block(4, "y = x + 1\n")], "text")["y"] == 2
    with pytest.raises(ZeroDivisionError) as failure:
        run([Block(7, "x = 1\n1 / 0\n")], "text")
    assert failure.traceback[-1].lineno == 7  # counted from 0: line 8 of the text


def test_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every Python block of the README runs without an error."""
    blocks = list(python_blocks(README.read_text(encoding="utf-8")))
    assert blocks, "README.md shows no Python code"
    monkeypatch.chdir(tmp_path)
    run(blocks, str(README))
