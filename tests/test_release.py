"""What the files around the package say agrees with the package."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from sknnopt import __version__

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
#: Other makers' actions, each with its reason.
TRUSTED = {"pypa/gh-action-pypi-publish"}  # PyPI's own, for trusted publishing


def steps(workflow):
    """Return all steps of all jobs of a workflow."""
    document = yaml.safe_load(workflow.read_text(encoding="utf-8"))
    return [step for job in document["jobs"].values() for step in job["steps"]]


def bounds(requirements):
    """Return the lower bounds that requirements have, by package."""
    found = [re.fullmatch(r"([\w-]+)>=([\d.]+)", text) for text in requirements]
    return {match[1]: match[2] for match in found if match}


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_workflow_calls_targets_that_there_are(workflow):
    """A workflow runs make targets, and each of them is in the Makefile."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    lines = [step["run"] for step in steps(workflow) if "run" in step]
    called = {
        word
        for line in lines
        if line.startswith("make ")
        for word in line.split()[1:]
        if "=" not in word
    }
    assert called
    assert called <= targets


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_workflow_may_read_and_no_more(workflow):
    """Jobs read the repository; only publishing may ask PyPI for a token."""
    document = yaml.safe_load(workflow.read_text(encoding="utf-8"))
    assert document["permissions"] == {"contents": "read"}
    given = {name: job.get("permissions") for name, job in document["jobs"].items()}
    assert {name: p for name, p in given.items() if p} in (
        {},
        {"publish": {"id-token": "write"}},
    )
    assert "secrets." not in workflow.read_text(encoding="utf-8")


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_workflow_pins_its_actions(workflow):
    """An action is GitHub's own or trusted by name, and has a major version."""
    for action in [step["uses"] for step in steps(workflow) if "uses" in step]:
        name, _, release = action.partition("@")
        assert name.startswith("actions/") or name in TRUSTED, action
        assert re.fullmatch(r"v\d+|release/v\d+", release), action


def test_one_version():
    """Package, citation file and changelog name the same version."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == __version__
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\n## [{__version__}]" in changelog


def test_oldest_releases_are_the_bounds():
    """What `make test-oldest` installs are the bounds that users see."""
    text = (ROOT / "constraints-oldest.txt").read_text(encoding="utf-8")
    oldest = dict(re.findall(r"^([\w-]+)==([\d.]+)$", text, flags=re.MULTILINE))
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = bounds(PROJECT["project"]["dependencies"])
    for name in ("plot", "save", "progress", "tune"):
        wanted |= bounds(extras[name])
    del wanted["torch"]  # only one release is run
    page = (ROOT / "docs" / "versions.rst").read_text(encoding="utf-8")
    listed = dict(
        re.findall(r"^   \* - ([\w-]+)\n     - ([\d.]+)$", page, re.MULTILINE)
    )
    for name, bound in wanted.items():
        assert f"{oldest[name]}.".startswith(f"{bound}."), name
        assert listed.get(name, bound) == bound, name
    assert set(bounds(PROJECT["project"]["dependencies"])) <= set(listed)
