"""The text of a README.md in its pieces: metadata on top, marked sections, a person's own words. All in one pass.

Text that is not ours, a name or a sentence of a record, goes into a card through ``markdown`` or ``verbatim``.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml  # type: ignore[import-untyped]  # comes with huggingface_hub
from markupsafe import Markup

from ali_plugin.errors import CardError
from ali_registry.text import as_text, printable

MARK = re.compile(r"<!-- (?P<end>/)?ali: (?P<name>[a-z-]{1,40}) -->[ \t]*(?P<line>\r\n|\r|\n)?")
LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|\Z)")
RULE = re.compile(r"---[ \t]*(?:\r\n|\r|\n|\Z)")
LONGEST_METADATA = 1 << 16  # characters; the YAML library takes a second for them
DEEPEST = 20
SPECIAL = re.compile(r"[\\`*\[\]~]|(?<!\w)_|_(?!\w)")
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "/", "://": ":&#47;&#47;"}


@dataclass(frozen=True)
class Section:
    """A marked section: its name, and where it begins and ends in the text, marks included."""

    name: str
    start: int
    stop: int


def sections(text: str) -> list[Section]:
    """The marked sections of a card, in order; a mark whose other end is missing is no section."""
    marks = list(MARK.finditer(text))
    following: dict[str, int] = {}
    closing: list[int | None] = [None] * len(marks)  # the next mark of the name, where it ends what this one begins
    for index in range(len(marks) - 1, -1, -1):
        mark = marks[index]
        after = following.get(mark["name"])
        if not mark["end"] and mark["line"] and after is not None and marks[after]["end"]:
            closing[index] = after
        following[mark["name"]] = index
    found: list[Section] = []
    done = -1
    for index, mark in enumerate(marks):
        stop = closing[index]
        if index > done and stop is not None:
            found.append(Section(mark["name"], mark.start(), marks[stop].end()))
            done = stop
    return found


def replaced(text: str, new: Mapping[str, str]) -> str:
    """The text with its sections replaced by those of the same names; its line ends are theirs, too."""
    ends = "\r\n" if "\r\n" in text else "\n"
    pieces, done = [], 0
    for section in sections(text):
        pieces.append(text[done : section.start])
        old = text[section.start : section.stop]
        pieces.append(new[section.name].replace("\n", ends) if section.name in new else old)
        done = section.stop
    return "".join((*pieces, text[done:]))


def split(text: str) -> tuple[str | None, str]:
    """The metadata's YAML, None where there are none, and the rest; a mark of the byte order is dropped."""
    text = text.removeprefix("\ufeff")
    start = len(text) - len(text.lstrip())
    opening = RULE.match(text, start)
    if opening is None:
        return None, text
    place = opening.end()
    while place < len(text):
        line = LINE.match(text, place)
        assert line is not None
        if RULE.fullmatch(line[0]):
            return text[opening.end() : place], text[line.end() :]
        place = line.end()
    return None, text


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # the library has no types
    """Plain data: no objects, no aliases, which make gigabytes of a line, and no depth."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError("it uses aliases (*name), write the value again in their place")
        self.depth += 1
        if self.depth > DEEPEST:
            raise yaml.YAMLError(f"it is nested deeper than {DEEPEST} levels")
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
    """Writes no aliases, which would not be read again."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def metadata(front: str) -> dict[str, Any]:
    """The data that stand on top of a card.

    Raises:
        CardError: they are no mapping of plain data, or very long.
    """
    try:
        if len(front) > LONGEST_METADATA:
            raise CardError(f"it is longer than {LONGEST_METADATA} characters")
        data = yaml.load(front, _Loader)  # a subclass of the safe one
        if data is None:
            return {}
        if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
            raise CardError(f"it is a {type(data).__name__}, not names with values")
        dump(data)
    except Exception as error:  # of the YAML library, or of what it calls for a date or a number
        raise CardError(f"the metadata on top of README.md cannot be read ({printable(error, 200)}); correct them or "
                        "remove the file") from error  # fmt: skip
    return data


def dump(data: Mapping[str, Any]) -> str:
    """Data as YAML that can be written and read again; CardError where they cannot."""
    try:
        made: str = yaml.dump(dict(data), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1 << 20)
        made.encode()
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise CardError(f"metadata that cannot be written: {printable(error, 200)}") from error
    return made


def markdown(value: object) -> Markup:
    """Text that is not ours for a line of a card: no markup, no link, no HTML, no line break."""
    if isinstance(value, Markup):
        return value
    given = as_text(value)
    text = SPECIAL.sub(lambda found: f"\\{found[0]}", printable(given))
    for plain, entity in ENTITIES.items():
        text = text.replace(plain, entity)
    # A blank at an end parts it from what stands beside it.
    return Markup(f"{' ' * given[:1].isspace()}{text}{' ' * given[-1:].isspace()}")


def verbatim(value: object) -> Markup:
    """Text that is not ours for a block or a span of code: one line, no end of the span, no mark of a section."""
    return Markup(printable(value).replace("`", "'").replace("<!--", "<! --").replace("-->", "-- >"))


def shell(command: str) -> Markup:
    """A recorded command to show: its words, quoted, so that it runs nothing but ``ali``."""
    try:
        words = shlex.split(printable(command, 20_000))
    except ValueError:  # a quotation without its end
        words = []
    return verbatim(shlex.join(words) if words[:1] == ["ali"] else "ali train")
