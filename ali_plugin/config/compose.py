"""From names to nets: look the parts up, refuse what cannot fit before anything is built, build."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from ali_plugin.config import settings, shapes
from ali_plugin.config.model_config import PARTS, ModelConfig, PartConfig, PluginVersion, clean_names, is_name
from ali_plugin.errors import ConfigError, PartMismatch
from ali_plugin.support.building import bounded
from ali_plugin.support.memory import shortage_of
from ali_plugin.support.strict_json import short
from ali_registry import Architecture, BuildFailed, Decoder, Discriminator, Encoder, Part, Registry, default_registry
from ali_registry.guard import reason

KINDS: dict[str, type[Part]] = {"encoder": Encoder, "decoder": Decoder, "discriminator": Discriminator}


def compose(
    architecture: str,
    *,
    parts: Mapping[str, str | None] | None = None,
    arguments: Mapping[str, Mapping[str, Any]] | None = None,
    latent_size: int | None = None,
    data_shape: Sequence[int] | None = None,
    condition_size: int | None = None,
    condition_names: Sequence[str] = (),
    classes: int = 1,
    registry: Registry | None = None,
) -> ModelConfig:
    """The config of a registered architecture, with any of its parts replaced.

    Args:
        parts: kind -> name of a part that takes the place of the architecture's.
        arguments: kind -> arguments and options of that part, over its registered ones.
        data_shape: of a sample, where the architecture leaves some of it open.

    Raises:
        UnknownName: a name that nothing registers.
        PartMismatch: parts that cannot fit, saying which two, or no shape of the architecture's.
        OptionError: a part has no such argument, or it is of another type or out of range.
    """
    registry = registry or default_registry()
    record = registry.get(Architecture, architecture)
    chosen = {kind: (parts or {}).get(kind) or getattr(record, kind) for kind in PARTS}
    configs: dict[str, Any] = {}
    for kind, name in chosen.items():
        part = registry.get(KINDS[kind], name)
        given = settings.checked(part, (arguments or {}).get(kind, {}))
        configs[kind] = PartConfig(name, {**part.defaults, **given})
    config = ModelConfig(
        **configs,
        architecture=architecture,
        latent_size=latent_size or record.latent_size,
        data_shape=shapes.given(record, data_shape),
        condition_size=record.condition_size if condition_size is None else condition_size,
        condition_names=clean_names(condition_names),
        classes=classes,
        plugins=origins(configs, registry),
    )
    config.to_json()  # what cannot be written is refused before anything is trained
    check_fit(config, registry)
    return config


def compose_by_recipe(
    architecture: str,
    *,
    parts: Mapping[str, str | None] | None = None,
    arguments: Mapping[str, Mapping[str, Any]] | None = None,
    registry: Registry | None = None,
    **options: Any,
) -> ModelConfig:
    """``compose`` where no run says what its nets are: below the arguments given are those that the architecture's
    recipe has for its own parts."""
    registry = registry or default_registry()
    recipe = settings.of_recipe(registry.get(Architecture, architecture), parts or {})
    whole = settings.merged(recipe, arguments or {})
    return compose(architecture, parts=parts, arguments=whole, registry=registry, **options)


def origins(parts: Mapping[str, PartConfig], registry: Registry) -> tuple[PluginVersion, ...]:
    """The distributions that register the parts; a version that is none, of damaged metadata, is "unknown"."""
    entries = {registry.entry(KINDS[kind], part.name).origin for kind, part in parts.items()}
    found = {
        (origin.distribution, origin.version if is_name(origin.version) else "unknown")
        for origin in entries
        if is_name(origin.distribution)
    }
    return tuple(PluginVersion(*item) for item in sorted(found))


def check_fit(config: ModelConfig, registry: Registry) -> None:
    """Compare what the parts state; raises PartMismatch that names the two that disagree."""
    records = {kind: registry.get(KINDS[kind], part.name) for kind, part in config.parts.items()}
    owner = f"architecture {config.architecture!r}" if config.architecture else "the config"
    for kind, record in records.items():
        who = f"{kind} {record.name!r}"
        if not shapes.accepts(record.data_shape, config.data_shape):
            other = _another(records, kind, lambda other: _fits(other.data_shape, config.data_shape)) or owner
            taken, asked = shapes.text(record.data_shape or ()), shapes.text(config.data_shape)
            raise PartMismatch(f"{who} takes data of shape {taken}, but {other} is for {asked}")
        if record.latent_size not in (None, config.latent_size):
            other = _another(records, kind, lambda other: other.latent_size == config.latent_size) or owner
            raise PartMismatch(f"{who} has a latent of {record.latent_size}, but {other} is for {config.latent_size}")
        if config.condition_size and not record.conditional:
            raise PartMismatch(f"{who} takes no condition, but {owner} has one of size {config.condition_size}")
        if config.classes > 1 and isinstance(record, Discriminator) and not record.multiclass:
            raise PartMismatch(f"{who} has one logit, but {config.classes} classes are to be told apart")


def _fits(pattern: tuple[int | None, ...] | None, shape: tuple[int, ...]) -> bool:
    return pattern is not None and shapes.accepts(pattern, shape)


def _another(records: Mapping[str, Part], kind: str, agrees: Callable[[Part], bool]) -> str | None:
    """Another part that wants what the config says, to be named beside the one that does not."""
    return next((f"{other} {part.name!r}" for other, part in records.items() if other != kind and agrees(part)), None)


def build_parts(config: ModelConfig, registry: Registry, only: Collection[str] = PARTS) -> dict[str, nn.Module]:
    """Build the nets that a config names, on the current default device.

    Raises:
        PartMismatch: the parts cannot fit.
        ConfigError: a part cannot be built with these arguments.
    """
    check_fit(config, registry)
    nets = {}
    for kind, part in config.parts.items():
        if kind not in only:
            continue
        record = registry.get(KINDS[kind], part.name)
        options: dict[str, Any] = dict(part.arguments)
        if record.conditional and config.condition_size:
            options["condition_size"] = config.condition_size
        if isinstance(record, Discriminator) and config.classes > 1:
            options["classes"] = config.classes
        try:
            with bounded(f"{kind} {part.name!r} with {short(part.arguments)}"):
                net = record.call(data_shape=config.data_shape, latent_size=config.latent_size, **options)
        except BuildFailed as error:  # a plugin's code, with arguments that may come from anywhere
            if (shortage := shortage_of(error, f"{kind} {part.name!r}")) is not None:
                raise shortage from error
            cause = short(reason(error.__cause__ or error), 200)
            raise ConfigError(f"{kind} {part.name!r} cannot be built with {short(part.arguments)}: {cause}") from error
        if not isinstance(net, nn.Module):
            raise ConfigError(f"{kind} {part.name!r} built a {type(net).__name__}, not an nn.Module")
        nets[kind] = net
    return nets


def without(config: ModelConfig, *kinds: str) -> ModelConfig:
    """The config with some parts left out."""
    left_out: dict[str, Any] = dict.fromkeys(kinds)
    return replace(config, **left_out)


def join(configs: Mapping[str, ModelConfig]) -> ModelConfig:
    """One config of parts, by kind, that were configured each alone: the reverse of ``without``.

    Raises:
        PartMismatch: they differ in what all parts of a model share, saying which two.
    """
    (kind, first), *others = configs.items()
    for other, config in others:
        for key in ("latent_size", "data_shape", "condition_size"):
            here, there = getattr(first, key), getattr(config, key)
            if here != there:
                raise PartMismatch(f"the {kind} is for {key} {here}, but the {other} is for {there}")
    architectures = {config.architecture for config in configs.values()}
    parts: dict[str, Any] = {kind: getattr(config, kind) for kind, config in configs.items()}
    return replace(
        first,
        **parts,
        architecture=first.architecture if len(architectures) == 1 else None,
        classes=configs.get("discriminator", first).classes,
        condition_names=next((config.condition_names for config in configs.values() if config.condition_names), ()),
        plugins=tuple(sorted({plugin for config in configs.values() for plugin in config.plugins},
                             key=lambda plugin: (plugin.distribution, plugin.version))),
    )  # fmt: skip
