"""The choices of a run as they are given: options, ``--set`` words, and a file with the same names. No torch here."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ali_plugin.config import settings
from ali_plugin.errors import ConfigError, OptionError
from ali_plugin.support.strict_json import parse_object, read_text, short
from ali_plugin.support.typed import is_of
from ali_plugin.training.config import TrainConfig

ALONE = {"steps": "epochs", "epochs": "steps", "ema": "ema_half_life", "ema_half_life": "ema"}
"""Of each of these pairs a run has one: the one that was given last takes the other's place."""


def chosen(options: Mapping[str, Any], file: Path | None = None) -> dict[str, Any]:
    """Fields of ``TrainConfig`` that were given, of which options go before a file's.

    Args:
        options: fields by name; of ``settings`` the words ROOM.NAME=VALUE.

    Raises:
        OptionError: a word that is no setting, a name or value in the file that cannot be, or the file's settings are
            of another objective, part or optimiser than is given.
        ConfigError: the file cannot be read.
    """
    given = {name: value for name, value in options.items() if value is not None}
    words = settings.parse(given.pop("settings", ()))
    found = {name: value for name, value in (read(file) if file else {}).items() if ALONE.get(name) not in given}
    own = found.pop("settings", {})
    for room in own:
        named = found.get(room)
        if named is not None and given.get(room, named) != named:
            raise OptionError(
                f"{file} has settings of {room} {named!r}, not of {given[room]!r}; leave {given[room]!r} out, or take "
                "them out of the file"
            )
    both = settings.merged(own, words)
    return {**found, **given, **({"settings": both} if both else {})}


def read(file: Path) -> dict[str, Any]:
    """What a TOML file, or the train_config.json of a run, says.

    Names are those of train_config.json. A setting stands under ``settings``, as objective.gamma, or in the table
    of its room, in which ``name`` is what is registered.
    """
    text = read_text(file, "give a TOML file, or the train_config.json of a run")
    try:
        raw = parse_object(text, str(file)) if file.suffix == ".json" else tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also of an integer of thousands of digits
        raise ConfigError(f"{file} is no TOML: {short(str(error), 200)}") from error
    found: dict[str, Any] = {}
    own = settings.nested(raw.pop("settings", {}))
    for name, value in raw.items():
        room = name.partition(".")[0]
        if room in settings.ROOMS and (isinstance(value, Mapping) or "." in name):
            inner = dict(value) if isinstance(value, Mapping) else value
            if isinstance(inner, dict) and "name" in inner:
                found[room] = _checked(room, inner.pop("name"), file)
            own = settings.joined(own, settings.nested({name: inner}))
        elif value is not None:
            found[name] = _checked(name, value, file)
    return {**found, **({"settings": own} if own else {})}


def _checked(name: str, value: Any, file: Path) -> Any:
    """A value of the type that the field of this name has."""
    hints = {f.name: get_type_hints(TrainConfig)[f.name] for f in fields(TrainConfig)}
    if name not in hints:
        raise OptionError(f"{file}: {settings.offer('a run has no option', name, hints)}")
    if not is_of(value, hints[name]):
        raise OptionError(f"{file}: {name} is {short(repr(value))}, not {_named(hints[name])}")
    return value


def _named(kind: Any) -> str:
    """What a field takes, for people."""
    if get_origin(kind) is Literal:
        return " or ".join(get_args(kind))
    kinds = [one for one in get_args(kind) or (kind,) if one is not NoneType]
    return " or ".join(one.__name__ for one in kinds)
