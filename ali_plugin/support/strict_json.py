"""JSON from elsewhere, read with bounds: on its size, its depth and its numbers, and without doubled keys."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn, TypeGuard

from ali_plugin.errors import ConfigError

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_INTEGER = 1 << 63


def read_object(path: Path) -> dict[str, Any]:
    """The object that a small JSON file holds.

    Raises:
        ConfigError: it is missing, no regular file, too large, no UTF-8, or not such an object.
    """
    return parse_object(read_text(path), str(path))


def parse_object(text: str, source: str) -> dict[str, Any]:
    """Parse an object; ``source`` names it in errors. Raises ConfigError."""
    value = parse(text, source)
    if not isinstance(value, dict):
        raise ConfigError(f"{source} holds a {type(value).__name__}, not an object")
    return value


def parse(text: str, source: str) -> Any:
    """Parse JSON; NaN, infinities, integers beyond 64 bits, doubled keys, deep nesting and what is no text are refused.

    Raises:
        ConfigError: it is not such JSON.
    """
    try:
        value = json.loads(
            text,
            parse_float=_finite,
            parse_int=_bounded,
            parse_constant=_no_constant,
            object_pairs_hook=_without_doubles,
        )
        json.dumps(value, ensure_ascii=False).encode()  # halves of surrogate pairs are no text, nothing can write them
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{source} is not JSON ({short(str(error))}); fetch the file again") from error
    if not _is_shallow(value):
        raise ConfigError(f"{source} is nested deeper than {MAX_DEPTH} levels, no config is")
    return value


def read_text(path: Path, advice: str = "is this a model folder?") -> str:
    """A small text file's content; ConfigError where it is missing, no regular file, too large or no UTF-8.

    Args:
        advice: for somebody who named a file that cannot be read.
    """
    try:
        if path.exists() and not path.is_file():  # to open a pipe would wait for ever
            raise ConfigError(f"{path} is no regular file")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path} cannot be read ({reason}); {advice}") from error
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{path} is larger than {MAX_BYTES} bytes, no such file is")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text: {error}") from error


def is_integer(value: object, most: int = MAX_INTEGER - 1) -> TypeGuard[int]:
    """Whether what was read is an integer from 0 to ``most``; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def is_number(value: object) -> TypeGuard[float]:
    """Whether what was read is a finite number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def short(value: object, length: int = 80) -> str:
    """Text of a value for an error, cut where it is longer than a person wants to read."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= length else f"{text[:length]}..."


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{short(text, 20)} is too large a number")
    return number


def _bounded(text: str) -> int:
    if len(text) > 20 or not -MAX_INTEGER <= int(text) < MAX_INTEGER:
        raise ValueError(f"{short(text, 20)} is too large an integer")
    return int(text)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        double, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise ValueError(f"the key {short(repr(double))} is there twice")
    return found


def _is_shallow(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level if isinstance(outer, dict | list) for inner in _children(outer)]
        if not level:
            return True
    return False


def _children(value: dict[str, Any] | list[Any]) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value
