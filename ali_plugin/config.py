"""config.json of a model folder: what the three parts are, so that nothing is guessed when loading."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeGuard

from ali_plugin.errors import ConfigError
from ali_plugin.support.strict_json import parse_object, read_object, short
from ali_plugin.version import __version__

PARTS = ("encoder", "decoder", "discriminator")
CONFIG_NAME = "config.json"
SCHEMA_VERSION = 1
MAX_SIZE = 1 << 16  # of a latent, a condition, a dimension of the data
MAX_ELEMENTS = 1 << 26  # of one sample
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

    @property
    def parts(self) -> dict[str, PartConfig]:
        """The parts that are there, by kind."""
        found = {kind: getattr(self, kind) for kind in PARTS}
        return {kind: part for kind, part in found.items() if part is not None}

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"

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
        values["data_shape"] = _shape(values["data_shape"], source)
        values["condition_names"] = _names(values.get("condition_names", []), source)
        for key, low in (("latent_size", 1), ("condition_size", 0), ("classes", 1)):
            value = values.get(key, low)
            if not _is_integer(value) or not low <= value <= MAX_SIZE:
                raise ConfigError(f"{source}: {key} is {short(value)}, not an integer from {low} to {MAX_SIZE}")
        for key in ("architecture", "library_version"):
            if values.get(key) is not None and not _is_name(values[key]):
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
    if not isinstance(raw, dict) or set(raw) - {"name", "arguments"} or not _is_name(raw.get("name")):
        raise ConfigError(f"{source} is not an object with a name and arguments")
    arguments = raw.get("arguments", {})
    if not isinstance(arguments, dict):
        raise ConfigError(f"{source}: arguments is a {type(arguments).__name__}, not an object")
    return PartConfig(raw["name"], arguments)


def _plugins(raw: Any, source: str) -> tuple[PluginVersion, ...]:
    keys = {"distribution", "version"}
    if not isinstance(raw, list) or not all(
        isinstance(item, dict) and set(item) == keys and all(map(_is_name, item.values())) for item in raw
    ):
        raise ConfigError(f"{source}: plugins is not a list of objects with distribution and version")
    return tuple(PluginVersion(**item) for item in raw)


def _names(raw: Any, source: str) -> tuple[str, ...]:
    if not isinstance(raw, list) or not all(isinstance(name, str) for name in raw):
        raise ConfigError(f"{source}: condition_names is not a list of names")
    return tuple(raw)


def _shape(raw: Any, source: str) -> tuple[int, ...]:
    elements = 1
    if isinstance(raw, list) and 1 <= len(raw) <= 3:
        for size in raw:
            if not _is_integer(size) or not 1 <= size <= MAX_SIZE:
                break
            elements *= size
        else:
            if elements <= MAX_ELEMENTS:
                return tuple(raw)
    raise ConfigError(f"{source}: data_shape is {short(raw)}, not 1 to 3 sizes of a sample")


def _is_name(value: Any) -> bool:
    """Of a part, a distribution, a version: short, and nothing that a terminal would obey."""
    return isinstance(value, str) and NAME.fullmatch(value) is not None


def _is_integer(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
