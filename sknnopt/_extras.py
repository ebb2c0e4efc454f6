"""Optional packages: what to say where one is missing."""

from __future__ import annotations


def install_command(*extras: str) -> str:
    """Return what installs extras, as every shell takes it.

    Parameters
    ----------
    *extras : str
        Names, as in ``pyproject.toml``.

    Returns
    -------
    str
        To be typed. It has quotes: some shells take bare brackets for a pattern.
    """
    return f"pip install 'sknnopt[{','.join(extras)}]'"


def not_installed(who: str, package: str, extra: str) -> ImportError:
    """Return the error that tells how to get a package.

    Parameters
    ----------
    who : str
        Who needs it and the verb, as "Drawing needs".
    package : str
        What is missing.
    extra : str
        The extra that brings it.

    Returns
    -------
    ImportError
        To be raised.
    """
    return ImportError(
        f"{who} {package}, which is not installed: {install_command(extra)}"
    )
