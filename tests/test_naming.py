"""Errors that say which argument they are about."""

from __future__ import annotations

import pytest

from sknnopt._naming import named


def raises(error):
    """Raise the error while ``X`` is read."""
    with named("X"):
        raise error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("could not convert"), ValueError),
        (TypeError("not a number"), TypeError),
        (OverflowError("too large"), ValueError),
        (RuntimeError("needs detach()"), ValueError),
        (UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"), ValueError),
    ],
)
def test_the_argument_is_named(error, kind):
    """What a library says is kept behind the argument's name, and as the cause."""
    with pytest.raises(kind) as caught:
        raises(error)
    assert str(caught.value) == f"X cannot be used: {error}"
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("message", ["Input X contains NaN", "The 'loss' parameter is"])
def test_what_is_clear_stays(message):
    """An error that names the argument or a parameter passes as it is."""
    error = ValueError(message)
    with pytest.raises(ValueError, match=r"^(Input|The)") as caught:
        raises(error)
    assert caught.value is error


def test_a_letter_in_a_word_is_no_name():
    """Only the argument itself counts, and no word that contains its letters."""
    with pytest.raises(ValueError, match=r"^X cannot be used: Xeric"):
        raises(ValueError("Xeric"))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError()])
def test_other_errors_pass(error):
    """What says nothing of the argument is left alone."""
    with pytest.raises(type(error)) as caught:
        raises(error)
    assert caught.value is error
