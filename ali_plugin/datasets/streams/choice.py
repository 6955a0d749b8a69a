"""What of a sample is its picture and its class: found, or named in the dataset's name, ``NAME:image=X:label=Y``."""

from __future__ import annotations

from dataclasses import dataclass

from ali_plugin.errors import OptionError
from ali_plugin.support.strict_json import short

IMAGE, LABEL = "image=", "label="


@dataclass(frozen=True)
class Choice:
    """What a dataset's name says after its first colon.

    Attributes:
        image, label: names of columns, or endings of files; None for what is found, "" as label for none.
        others: the words that are neither.
    """

    image: str | None = None
    label: str | None = None
    others: tuple[str, ...] = ()

    @classmethod
    def of(cls, words: str) -> Choice:
        """Read ``image=X:label=Y``; OptionError where one is said twice or the picture is nothing."""
        found: dict[str, str] = {}
        others = []
        for word in words.split(":") if words else []:
            key = next((key for key in (IMAGE, LABEL) if word.startswith(key)), None)
            if key is None:
                others.append(word)
                continue
            if key in found:
                raise OptionError(f"--dataset says {key} twice, in {short(repr(words), 200)}; say it once")
            found[key] = word.removeprefix(key)
        if found.get(IMAGE) == "":
            raise OptionError("--dataset says image= and nothing after it; name what holds the pictures")
        return cls(found.get(IMAGE), found.get(LABEL), tuple(others))
