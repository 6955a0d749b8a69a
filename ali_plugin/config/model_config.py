"""config.json of a model folder: what the three parts are, so that nothing is guessed when loading."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from math import prod
from pathlib import Path
from typing import Any, TypeGuard

from ali_plugin.errors import ConfigError
from ali_plugin.support.limits import MAX_ARGUMENT, MAX_ELEMENTS, MAX_SIZE
from ali_plugin.support.strict_json import MAX_BYTES, parse_object, read_object, short
from ali_plugin.version import __version__
from ali_registry.text import printable

PARTS = ("encoder", "decoder", "discriminator")
CONFIG_NAME = "config.json"
SCHEMA_VERSION = 1
LONGEST_NAME = 200  # characters of the name of a condition's element
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+!-]{0,99}")


@dataclass(frozen=True)
class PartConfig:
    """A part by its registered name, with the arguments that it was built with."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PluginVersion:
    """The distribution that a part came from."""

    distribution: str
    version: str


@dataclass(frozen=True)
class ModelConfig:
    """Everything that is needed to build the nets again.

    Attributes:
        encoder, decoder, discriminator: the parts; None for one that was left out of an export.
        condition_size: size of the condition, 0 for an unconditional model.
        condition_names: names of its elements, where they are known.
        classes: real classes K that D tells apart; 1 is the two-player game (section 4.3).
        plugins: distributions of the parts.

    Raises:
        ConfigError: a size is out of the bounds that hold for a file as well.
    """

    encoder: PartConfig | None
    decoder: PartConfig | None
    discriminator: PartConfig | None
    latent_size: int
    data_shape: tuple[int, ...]
    architecture: str | None = None
    condition_size: int = 0
    condition_names: tuple[str, ...] = ()
    classes: int = 1
    plugins: tuple[PluginVersion, ...] = ()
    schema_version: int = SCHEMA_VERSION
    library_version: str = __version__

    def __post_init__(self) -> None:
        _check_sizes(vars(self), "the config")

    @property
    def parts(self) -> dict[str, PartConfig]:
        """The parts that are there, by kind."""
        found = {kind: getattr(self, kind) for kind in PARTS}
        return {kind: part for kind, part in found.items() if part is not None}

    def to_json(self) -> str:
        """The content of config.json, which ``from_json`` reads.

        Raises:
            ConfigError: it would not: an argument is no JSON value, something is out of bounds.
        """
        try:
            text = json.dumps(asdict(self), indent=2, allow_nan=False) + "\n"
        except (TypeError, ValueError, RecursionError) as error:
            raise ConfigError(f"the config cannot be written as JSON: {short(str(error), 200)}") from error
        if len(text) > MAX_BYTES:
            raise ConfigError(f"the config takes {len(text)} bytes, more than the {MAX_BYTES} that are read; are there "
                              f"{len(self.condition_names)} names of conditions?")  # fmt: skip
        ModelConfig.from_json(text, "the config")
        return text

    @classmethod
    def from_json(cls, text: str, source: str = CONFIG_NAME) -> ModelConfig:
        """Parse and check a config.

        Raises:
            ConfigError: not JSON, a newer schema, unknown or missing keys, or values out of bounds.
        """
        return cls.from_object(parse_object(text, source), source)

    @classmethod
    def from_object(cls, raw: dict[str, Any], source: str = CONFIG_NAME) -> ModelConfig:
        """Check what was parsed from JSON; raises as ``from_json`` does."""
        version = raw.get("schema_version")
        if not _is_integer(version) or version < 1:
            raise ConfigError(f"{source}: schema_version is {short(version)}, not a positive integer")
        if version > SCHEMA_VERSION:
            raise ConfigError(
                f"{source} has schema version {version}, this ali-plugin {__version__} reads up to "
                f"{SCHEMA_VERSION}; upgrade ali-plugin"
            )
        values = _checked_keys(cls, raw, source)
        for part in PARTS:
            values[part] = None if values[part] is None else _part(values[part], f"{source}: {part}")
        if all(values[part] is None for part in PARTS):
            raise ConfigError(f"{source} names no part at all")
        values["plugins"] = _plugins(values.get("plugins", []), source)
        values["condition_names"] = _names(values.get("condition_names", []), source)
        _check_sizes(values, source)
        values["data_shape"] = tuple(values["data_shape"])
        for key in ("architecture", "library_version"):
            if values.get(key) is not None and not is_name(values[key]):
                raise ConfigError(f"{source}: {key} is {short(repr(values[key]))}, not a name")
        return cls(**values)

    @classmethod
    def from_file(cls, path: Path) -> ModelConfig:
        """Read a config file; raises ConfigError also where it is missing or absurdly large."""
        return cls.from_object(read_object(path), str(path))


def _checked_keys(cls: type, raw: Mapping[str, Any], source: str) -> dict[str, Any]:
    known = {f.name for f in fields(cls)}
    if unknown := sorted(set(raw) - known):
        raise ConfigError(f"{source} has unknown keys: {short(', '.join(map(repr, unknown[:5])))}")
    required = {*PARTS, "latent_size", "data_shape"}
    if missing := sorted(required - set(raw)):
        raise ConfigError(f"{source} lacks {', '.join(missing)}")
    return dict(raw)


def _part(raw: Any, source: str) -> PartConfig:
    if not isinstance(raw, dict) or set(raw) - {"name", "arguments"} or not is_name(raw.get("name")):
        raise ConfigError(f"{source} is not an object with a name and arguments")
    arguments = raw.get("arguments", {})
    if not isinstance(arguments, dict):
        raise ConfigError(f"{source}: arguments is a {type(arguments).__name__}, not an object")
    if (large := _too_large(arguments)) is not None:
        raise ConfigError(f"{source}: the argument {short(large)} is too large a number, at most {MAX_ARGUMENT}")
    return PartConfig(raw["name"], arguments)


def _plugins(raw: Any, source: str) -> tuple[PluginVersion, ...]:
    keys = {"distribution", "version"}
    if not isinstance(raw, list) or not all(
        isinstance(item, dict) and set(item) == keys and all(map(is_name, item.values())) for item in raw
    ):
        raise ConfigError(f"{source}: plugins is not a list of objects with distribution and version")
    return tuple(PluginVersion(**item) for item in raw)


def _names(raw: Any, source: str) -> tuple[str, ...]:
    if not isinstance(raw, list) or not all(isinstance(name, str) for name in raw):
        raise ConfigError(f"{source}: condition_names is not a list of names")
    return clean_names(raw)


def clean_names(names: Iterable[str]) -> tuple[str, ...]:
    """Names of a condition's elements as they are kept and shown: on one line, short, without controls."""
    return tuple(printable(name, LONGEST_NAME) for name in names)


def _too_large(arguments: Any) -> int | None:
    """An integer within the arguments of a part that no net has a use for, but to take time and memory."""
    if isinstance(arguments, dict | list):
        inside = arguments.values() if isinstance(arguments, dict) else arguments
        return next((found for value in inside if (found := _too_large(value)) is not None), None)
    return arguments if _is_integer(arguments) and abs(arguments) > MAX_ARGUMENT else None


def _check_sizes(values: Mapping[str, Any], source: str) -> None:
    for key, low in (("latent_size", 1), ("condition_size", 0), ("classes", 1)):
        value = values.get(key, low)
        if not _is_integer(value) or not low <= value <= MAX_SIZE:
            raise ConfigError(f"{source}: {key} is {short(value)}, not an integer from {low} to {MAX_SIZE}")
    shape, names = values["data_shape"], values.get("condition_names", ())
    if (
        not isinstance(shape, list | tuple)
        or not 1 <= len(shape) <= 3
        or not all(_is_integer(size) and 1 <= size <= MAX_SIZE for size in shape)
        or prod(shape) > MAX_ELEMENTS
    ):
        raise ConfigError(f"{source}: data_shape is {short(shape)}, not 1 to 3 sizes of a sample")
    if len(names) > values.get("condition_size", 0):
        raise ConfigError(f"{source}: there are {len(names)} condition_names for a condition_size of "
                          f"{values.get('condition_size', 0)}")  # fmt: skip


def is_name(value: Any) -> bool:
    """Of a part, a distribution, a version: short, and nothing that a terminal would obey."""
    return isinstance(value, str) and NAME.fullmatch(value) is not None


def _is_integer(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
