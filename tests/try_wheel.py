"""Install a wheel into an empty environment, and use it from there.

First with what it requires and nothing else, then with all extras. Python runs outside
the checkout, isolated from its modules: `python tests/try_wheel.py WHEEL`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
CORE_ONLY = ROOT / "tests" / "core_only.py"
CONSTRAINTS = ROOT / "constraints.txt"
TABLE = ROOT / "sknnopt" / "data" / "pima_indians_diabetes.csv"
#: What the tune command leaves in its folder.
WRITTEN = {"report.html", "model.safetensors", "candidates.csv"}


def main(wheel: Path) -> None:
    """Try a wheel.

    Parameters
    ----------
    wheel : Path
        The file.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = Environment(folder)
        environment.install(str(wheel.resolve()))
        environment.run(f"{CORE_ONLY}")
        print("works with what it requires, and names what is missing", flush=True)
        environment.install(f"{wheel.resolve()}[all]")
        environment.run("-m", "sknnopt", "tune", "--search", "tpe", "--budget", "10s")
        report = folder / "sknnopt-report"
        assert {path.name for path in report.iterdir()} == WRITTEN
        model, predicted = report / "model.safetensors", folder / "predicted.csv"
        predict = ["-m", "sknnopt", "predict", f"{model}", f"{TABLE}"]
        environment.run(*predict, "--output", f"{predicted}")
        assert predicted.read_text().startswith("prediction\n")


class Environment:
    """A virtual environment with nothing in it but pip.

    Parameters
    ----------
    folder : Path
        Where it is made and where its programs run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        venv.create(folder / "venv", with_pip=True)
        scripts = "Scripts" if sys.platform == "win32" else "bin"
        self.python = folder / "venv" / scripts / "python"

    def install(self, requirement: str) -> None:
        """Install a package and what it requires.

        Parameters
        ----------
        requirement : str
            As pip takes it.
        """
        pip = ["-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        self.run(*pip, "-c", f"{CONSTRAINTS}", requirement)

    def run(self, *arguments: str) -> None:
        """Run Python without the variables and folders that may lead elsewhere.

        Parameters
        ----------
        *arguments : str
            What follows the interpreter's name.

        Raises
        ------
        CalledProcessError
            If it fails.
        """
        subprocess.run([self.python, "-I", *arguments], cwd=self.folder, check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
