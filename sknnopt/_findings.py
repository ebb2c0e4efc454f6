"""What a diagnosis consists of, and how it reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from textwrap import fill
from typing import Any, Literal, overload

import pandas as pd

Severity = Literal["severe", "mild"]
_WIDTH = 78


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with a run, the numbers that show it, and a remedy.

    Parameters
    ----------
    name : str
        Key in ``sknnopt.diagnostics.FINDINGS``.
    severity : {"severe", "mild"}
        Whether the run is spoiled, or could be better.
    numbers : dict of str to float
        The evidence, by what it measures.
    cause : str
        What the numbers mean, in a sentence or two.
    remedy : dict or None, default=None
        Keywords for ``set_params``; None: no parameter cures it, and ``cause`` says
        what does.
    layers : tuple of int, default=()
        Layers concerned, 0 is the first hidden one; empty: the whole network.
    epochs : tuple of (int, int) or None, default=None
        First and last epoch concerned, counted from 1; None: before the first step.
    metric : str, default="valid_loss"
        What the remedy is meant to improve, on rows apart: ``"valid_loss"``, or
        ``"balanced_accuracy"``.

    Examples
    --------
    >>> from sknnopt.diagnostics import Finding
    >>> finding = Finding(
    ...     "divergence", "severe", {"diverged networks": 1.0}, "Steps are too long.",
    ...     remedy={"learning_rate": 1e-3}, epochs=(4, 4))
    >>> print(finding)
    SEVERE  divergence (epoch 4)
      Steps are too long.
      diverged networks: 1
      remedy: set_params(learning_rate=0.001)
    """

    name: str
    severity: Severity
    numbers: Mapping[str, float]
    cause: str
    remedy: Mapping[str, Any] | None = None
    layers: tuple[int, ...] = ()
    epochs: tuple[int, int] | None = None
    metric: str = "valid_loss"

    @property
    def title(self) -> str:
        """The name in words."""
        return self.name.replace("_", " ")

    @property
    def place(self) -> str:
        """Layers and epochs in words; empty if it is all of the network."""
        parts = []
        if self.layers:
            numbers = _joined(self.layers)
            parts.append(f"layer{'s' * (len(self.layers) > 1)} {numbers}")
        if self.epochs is not None:
            first, last = self.epochs
            is_one = first == last
            parts.append(f"epoch {first}" if is_one else f"epochs {first} to {last}")
        return ", ".join(parts)

    @property
    def call(self) -> str:
        """The remedy as a call; empty without one."""
        if not self.remedy:
            return ""
        words = (f"{name}={value!r}" for name, value in self.remedy.items())
        return f"set_params({', '.join(words)})"

    @property
    def evidence(self) -> str:
        """The numbers in one line."""
        return ", ".join(f"{k}: {_short(v)}" for k, v in self.numbers.items())

    def __str__(self) -> str:
        place = f" ({self.place})" if self.place else ""
        lines = [f"{self.severity.upper():<7} {self.title}{place}"]
        rest = [self.cause, self.evidence]
        if self.call:
            rest.append(f"remedy: {self.call}")
        lines += [_indented(text) for text in rest if text]
        return "\n".join(lines)


@dataclass(frozen=True)
class Diagnosis(Sequence[Finding]):
    """Findings, the gravest first; a healthy run has none.

    It prints as text, shows as HTML in a notebook, and is a sequence.

    Parameters
    ----------
    findings : tuple of Finding
        In the order in which they should be looked at.
    summary : str, default=""
        What was looked at, in a sentence.

    Examples
    --------
    >>> from sknnopt.diagnostics import Diagnosis
    >>> print(Diagnosis((), "One network, 12 epochs."))
    One network, 12 epochs. Nothing is wrong.
    """

    findings: tuple[Finding, ...]
    summary: str = field(default="")

    @overload
    def __getitem__(self, index: int) -> Finding: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Finding, ...]: ...
    def __getitem__(self, index: int | slice) -> Finding | tuple[Finding, ...]:
        return self.findings[index]

    def __len__(self) -> int:
        return len(self.findings)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    @property
    def names(self) -> list[str]:
        """Names of the findings."""
        return [finding.name for finding in self.findings]

    @property
    def is_healthy(self) -> bool:
        """Whether there is no finding."""
        return not self.findings

    @property
    def verdict(self) -> str:
        """How many findings there are, in a sentence."""
        if self.is_healthy:
            return "Nothing is wrong."
        count = sum(finding.severity == "severe" for finding in self.findings)
        plural = "s" * (len(self.findings) > 1)
        severe = f", {count} severe" if count else ""
        return f"{len(self.findings)} finding{plural}{severe}."

    def __str__(self) -> str:
        head = " ".join(part for part in (self.summary, self.verdict) if part)
        return "\n\n".join([fill(head, _WIDTH), *map(str, self.findings)])

    def _repr_html_(self) -> str:
        return self.to_html()

    def to_html(self) -> str:
        """Return it as HTML, without a heading.

        Returns
        -------
        str
            A paragraph, and a list if there are findings.
        """
        head = escape(" ".join(part for part in (self.summary, self.verdict) if part))
        items = "".join(map(_item, self.findings))
        return f"<p>{head}</p>" + (f"<ul>{items}</ul>" if items else "")

    def to_frame(self) -> pd.DataFrame:
        """Return one row a finding.

        Returns
        -------
        DataFrame
            Columns ``name``, ``severity``, ``layers``, ``epochs``, ``numbers``,
            ``cause``, ``remedy`` and ``metric``.
        """
        columns = (
            *("name", "severity", "layers", "epochs"),
            *("numbers", "cause", "remedy", "metric"),
        )
        rows = [[getattr(f, column) for column in columns] for f in self.findings]
        return pd.DataFrame(rows, columns=list(columns))


def _indented(text: str) -> str:
    return fill(text, _WIDTH, initial_indent="  ", subsequent_indent="    ")


def _item(finding: Finding) -> str:
    place = f" <small>({escape(finding.place)})</small>" if finding.place else ""
    remedy = f"<br><code>{escape(finding.call)}</code>" if finding.call else ""
    return (
        f"<li><strong>{escape(finding.title)}</strong>, {finding.severity}{place}<br>"
        f"{escape(finding.cause)}<br><small>{escape(finding.evidence)}</small>"
        f"{remedy}</li>"
    )


def _joined(numbers: Sequence[int]) -> str:
    """Write ascending numbers, a stretch of three or more as its ends."""
    is_stretch = len(numbers) > 2 and numbers[-1] - numbers[0] == len(numbers) - 1
    if is_stretch:
        return f"{numbers[0]} to {numbers[-1]}"
    return ", ".join(map(str, numbers))


def _short(value: float) -> str:
    return f"{value:.3g}"


def rounded(remedy: Mapping[str, Any]) -> dict[str, Any]:
    """Return a remedy with two significant digits.

    Parameters
    ----------
    remedy : mapping of str to object
        Keywords; only floats are rounded.

    Returns
    -------
    dict
        The same keywords.
    """
    return {
        name: float(f"{value:.2g}") if isinstance(value, float) else value
        for name, value in remedy.items()
    }
