"""Settings of what is registered: ``--set objective.gamma=0.5``, checked against the options of the record.

They are kept as room -> option -> value, where the room says whose option it is: the objective's, a part's or
the optimiser's. No torch here.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from ali_plugin.config.schedule import Schedule
from ali_plugin.errors import OptionError
from ali_plugin.support.strict_json import short
from ali_registry import Architecture, Option
from ali_registry.records import Adjustable

ROOMS = ("objective", "encoder", "decoder", "discriminator", "optimiser")
SCORER = ("scorer",)
"""The room of the commands that score."""
EXAMPLES = {"objective": "objective.gamma=0.5", "scorer": "scorer.k=5"}
TRUTH = {"true": True, "false": False}
Settings = dict[str, dict[str, Any]]


class Typed(str):
    """A value as it was typed on a command line: its type is that of the option."""


def parse(words: Iterable[str], rooms: Sequence[str] = ROOMS) -> Settings:
    """Words of the form ROOM.NAME=VALUE; the last one of a name counts.

    Args:
        rooms: those that there are.

    Raises:
        OptionError: a word of another form, or of a room that does not exist.
    """
    last: dict[str, Typed] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise OptionError(f"--set takes ROOM.NAME=VALUE, such as {EXAMPLES[rooms[0]]}, not {short(repr(word))}")
        last[name.strip()] = Typed(value.strip())
    settings: Settings = {}
    for name, typed in last.items():
        _put(settings, name, typed, rooms)
    return settings


def nested(raw: Any) -> Settings:
    """Settings from a file: tables by room, or names with a dot; raises OptionError for anything else, and for one that
    is there in both ways."""
    if not isinstance(raw, Mapping):
        raise OptionError(f"settings is {short(repr(raw))}, not a table by room: {', '.join(ROOMS)}")
    settings: Settings = {}
    for name, value in raw.items():
        if isinstance(value, Mapping) and "." not in str(name):
            for inner, one in value.items():
                _put(settings, f"{name}.{inner}", one)
        else:
            _put(settings, str(name), value)
    return settings


def _put(settings: Settings, name: str, value: Any, rooms: Sequence[str] = ROOMS) -> None:
    room, dot, option = name.partition(".")
    if not dot or room not in rooms or not option:
        close = difflib.get_close_matches(room, rooms, n=1)
        meant = f"{close[0]}.{option or 'NAME'}" if close else ""
        offer = f"; did you mean {short(repr(meant))}?" if close else ""
        raise OptionError(f"there is no setting {short(repr(name))}, they are called {', '.join(rooms)}.NAME{offer}")
    if option in settings.setdefault(room, {}):
        raise OptionError(f"{short(repr(name))} is there twice, in two ways to write it; leave one of them out")
    settings[room][option] = value


def joined(*layers: Mapping[str, Mapping[str, Any]]) -> Settings:
    """All settings; raises OptionError for one that two of them have."""
    settings: Settings = {}
    for layer in layers:
        for room, options in layer.items():
            for name, value in options.items():
                _put(settings, f"{room}.{name}", value)
    return settings


def merged(*layers: Mapping[str, Mapping[str, Any]]) -> Settings:
    """All settings, of which later ones win."""
    return {room: {name: value for layer in layers for name, value in layer.get(room, {}).items()}
            for room in ROOMS if any(layer.get(room) for layer in layers)}  # fmt: skip


def of_recipe(architecture: Architecture, chosen: Mapping[str, Any]) -> Settings:
    """The settings of an architecture's recipe, which are of its own objective, parts and optimiser, not of others in
    their place.

    Args:
        chosen: room -> name of what was chosen; None, or no item, for the architecture's own.
    """
    recipe = architecture.training
    own = {room: getattr(recipe if hasattr(recipe, room) else architecture, room) for room in ROOMS}
    return {room: values for room, values in nested(recipe.settings).items()
            if (chosen.get(room) or own[room]) == own[room]}  # fmt: skip


def checked(record: Adjustable, given: Mapping[str, Any]) -> dict[str, Any]:
    """The given options of a record, with the types of its defaults.

    Raises:
        OptionError: it has no such option, or the value has another type or is out of range.
    """
    settings = record.settings
    return {name: _value(record, name, _option(record, settings, name), value) for name, value in given.items()}


def complete(record: Adjustable, given: Mapping[str, Any]) -> dict[str, Any]:
    """Every option of a record: what is given, checked, over the defaults."""
    return {**{name: option.default for name, option in record.settings.items()}, **checked(record, given)}


def effective(record: Adjustable, usual: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Every option of a record: what is given, checked, over what is usual, over the defaults. What is usual, and does
    nothing beside what is given, is at its default.

    Args:
        usual: of a recipe.

    Raises:
        OptionError: as ``checked``, or what is given does nothing.
    """
    whole = complete(record, {**usual, **given})
    for name, option in record.settings.items():
        if not option.needs or whole[name] == option.default or any(_is_on(whole[other]) for other in option.needs):
            continue
        if name in given:
            raise OptionError(
                f"{record.kind}.{name} is {short(repr(whole[name]))}, which does nothing without "
                f"{record.kind}.{f' or {record.kind}.'.join(option.needs)}; set that, or leave {name} out"
            )
        whole[name] = option.default
    return whole


def _is_on(value: Any) -> bool:
    """Whether an option's value, which may be a schedule, is ever anything but 0, false or empty."""
    try:
        return any(Schedule.of(value).ends) if isinstance(value, str) else bool(value)
    except ValueError:
        return bool(value)


def words(settings: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """ROOM.NAME=VALUE for each, as ``parse`` reads them."""
    return [f"{room}.{name}={value if isinstance(value, str) else json.dumps(value)}"
            for room, options in settings.items() for name, value in options.items()]  # fmt: skip


def _option(record: Adjustable, settings: Mapping[str, Option], name: str) -> Option:
    if name in settings:
        return settings[name]
    raise OptionError(offer(f"{record.kind} {record.name!r} has no option", name, settings))


def offer(refusal: str, name: str, known: Collection[str]) -> str:
    """A refusal of a name, with the closest of the known ones."""
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    others = f"did you mean {', '.join(map(repr, close))}?" if close else f"it has {', '.join(known) or 'none'}"
    return f"{refusal} {short(repr(name))}; {others}"


def _value(record: Adjustable, name: str, option: Option, value: Any) -> Any:
    if isinstance(value, Typed):
        value = _typed(option, value)
    if option.scheduled and isinstance(value, str):
        try:
            ends: tuple[Any, ...] = Schedule.of(value).ends
        except ValueError as error:
            raise OptionError(f"{record.kind}.{name}: {short(str(error), 200)}") from error
    else:
        ends = (value,)
    for end in ends:
        if reason := option.refusal(end):
            of = f" ({short(repr(value))})" if len(ends) > 1 else ""
            raise OptionError(f"{record.kind}.{name} {short(reason, 200)}{of}")
    if isinstance(option.default, float) and isinstance(value, int):
        return float(value)
    return list(value) if isinstance(value, tuple) else value


def _typed(option: Option, text: Typed) -> Any:
    """The value that a text stands for; the text itself where it stands for none, which is refused then."""
    plain = str(text)
    if isinstance(option.default, str):
        return plain
    if plain in TRUTH:
        return TRUTH[plain]
    if isinstance(option.default, list | tuple) and not plain.startswith("["):
        return [_number(one.strip()) for one in plain.split(",")]
    return _number(plain)


def _number(text: str) -> Any:
    """A number, or what else JSON has, or the text."""
    for read in (int, float, json.loads):
        try:
            return read(text)
        except (ValueError, RecursionError):
            continue
    return text
