"""Texts that PostgreSQL can hold. Not for: what a text means."""

from __future__ import annotations

from goque.errors import InvalidInput


def whole(what: str, text: str) -> str:
    """A text that can be encoded.

    Raises:
        InvalidInput: there is half a character in it.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(f"{what} is no text that PostgreSQL can hold: {half_character(error)}") from None
    return text


def half_character(error: UnicodeEncodeError) -> str:
    """What is wrong with a text that cannot be encoded, and what helps; nothing else of the text."""
    found = error.object[error.start]
    return (
        f"{found!r} at place {error.start} is half a character, as in names of files that are not UTF-8; ascii(text) "
        "gives a text that can be held"
    )
