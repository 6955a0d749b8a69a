"""Objects of JSON files as dataclasses, each value of the kind that its field says."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from ali_plugin.errors import ConfigError
from ali_plugin.support.strict_json import short

T = TypeVar("T")
LONGEST_TEXT = 4096


def fields_of(cls: type[T], raw: Mapping[str, Any], source: str) -> T:
    """An instance of a dataclass from what a file holds.

    Fields are of int, float (an int will do), bool, str, a Literal, None, or unions of these; of a dict it is only
    said that it is one.

    Args:
        source: names the file in errors.

    Raises:
        ConfigError: a key is missing or unknown, or a value is of another kind.
    """
    hints = get_type_hints(cls)
    if unknown := sorted(set(raw) - set(hints)):
        raise ConfigError(f"{source} has the key {short(repr(unknown[0]))}, which this version does not know")
    for field in fields(cls):  # type: ignore[arg-type]
        if field.name not in raw:
            if field.default is MISSING and field.default_factory is MISSING:
                raise ConfigError(f"{source} lacks {field.name!r}")
        elif not is_of(raw[field.name], hints[field.name]):
            raise ConfigError(f"{source}: {field.name} is {short(repr(raw[field.name]))}, not {_named(field.type)}")
    return cls(**raw)


def is_of(value: Any, kind: Any) -> bool:
    """Whether a value is of the kind that a field's type says."""
    if get_origin(kind) in (Union, types.UnionType):
        return any(is_of(value, one) for one in get_args(kind))
    if get_origin(kind) is Literal:
        return isinstance(value, str) and value in get_args(kind)
    if get_origin(kind) is dict:
        return isinstance(value, dict)
    if isinstance(value, bool):
        return kind is bool
    if kind is float:
        return isinstance(value, int | float)
    if kind is str:
        return isinstance(value, str) and len(value) <= LONGEST_TEXT and "\0" not in value
    return isinstance(value, kind)


def _named(kind: object) -> str:
    return str(getattr(kind, "__name__", kind))
