"""The one door for text that is not ours: names, errors, cards, file names, what a server says."""

from __future__ import annotations

import unicodedata

UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Unicode's categories that a terminal obeys or a reader cannot see: controls, formats (which turn the direction of
text), surrogates, private use and unassigned, line and paragraph separators."""
LONGEST = 2000


def printable(value: object, longest: int = LONGEST) -> str:
    """Text on one line for a terminal, a log or a card: blanks joined, controls as escapes, cut where it is long.

    Args:
        value: text, bytes of a file name, an exception, anything; one whose ``str()`` raises gives its type's name.
    """
    text = as_text(value)
    if len(text) > 4 * longest:  # before the work of looking at each character
        text = text[: 4 * longest]
    clean = " ".join("".join(_shown(character) for character in text).split())
    return clean if len(clean) <= longest else f"{clean[: longest - 3]}..."


def paragraphs(text: str) -> str:
    """A text of many lines for a terminal, whole: line breaks and tabs stay, other controls are shown as escapes."""
    return "".join(character if character in "\n\t" else _shown(character) for character in text.replace("\r\n", "\n"))


def is_clean(text: object, longest: int) -> bool:
    """Whether a value is text that can be shown as it is: on one line, without controls, at most so long."""
    return isinstance(text, str) and len(text) <= longest and not any(unicodedata.category(c) in UNSEEN for c in text)


def as_text(value: object) -> str:
    """``str(value)`` that cannot fail."""
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    try:
        return str(value)
    except BaseException as error:  # a plugin's exception may raise anything in its __str__
        if isinstance(error, KeyboardInterrupt):
            raise
        return f"<{type(value).__name__}>"


def _shown(character: str) -> str:
    if character in "\n\r\t":
        return " "
    if unicodedata.category(character) in UNSEEN:
        return character.encode("unicode_escape").decode()
    return character
