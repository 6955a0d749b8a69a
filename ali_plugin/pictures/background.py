"""The colour that lies under whatever is transparent in a picture."""

from __future__ import annotations

import re

from ali_plugin.errors import OptionError
from ali_plugin.support.strict_json import short

RGB = tuple[int, int, int]
WHITE = "white"
NAMED: dict[str, RGB] = {WHITE: (255, 255, 255), "black": (0, 0, 0)}
HEXADECIMAL = re.compile("#[0-9a-f]{6}")


def is_background(text: str) -> bool:
    """Whether it is white, black, or hexadecimal digits as #rrggbb, in lower case."""
    return text in NAMED or HEXADECIMAL.fullmatch(text) is not None


def rgb(background: str) -> RGB:
    """A background's colour, 0 to 255 each.

    Raises:
        OptionError: it is neither white nor black nor #rrggbb.
    """
    text = background.lower()
    if not is_background(text):
        raise OptionError(f"--background is {short(repr(background))}, it has to be white, black or #rrggbb")
    red, green, blue = NAMED.get(text) or bytes.fromhex(text[1:])
    return red, green, blue


def named(background: str) -> str:
    """The one name of a background that can be written in several ways; raises as ``rgb`` does."""
    colour = rgb(background)
    return next((name for name, value in NAMED.items() if value == colour), "#" + bytes(colour).hex())
