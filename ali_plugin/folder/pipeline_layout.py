"""The other layout of a model folder, that of a diffusers pipeline: an index, and a folder for each part.

Read here without diffusers, so that ``ALI.from_pretrained`` opens what ``ALIPipeline`` saved; written by
``ali_plugin.diffusers``. A part's config.json holds its name and arguments and what all parts of a model share,
and its tensors are called as in model.safetensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ali_plugin.config.compose import join, without
from ali_plugin.config.model_config import CONFIG_NAME, PARTS, ModelConfig
from ali_plugin.errors import ConfigError
from ali_plugin.support.strict_json import read_object, short

INDEX_NAME = "model_index.json"
WEIGHTS_NAME = "diffusion_pytorch_model.safetensors"
LIBRARY, PIPELINE = "ali_plugin.diffusers", "ALIPipeline"
COMPONENTS = {"encoder": "ALIEncoder", "decoder": "ALIDecoder", "discriminator": "ALIDiscriminator"}
FILES = (INDEX_NAME, *(f"{kind}/{name}" for kind in PARTS for name in (CONFIG_NAME, WEIGHTS_NAME)))
REMARKS = ("_diffusers_version", "_name_or_path")  # that the host writes into configs


def is_pipeline(folder: Path) -> bool:
    """Whether the folder has this layout; a folder that holds both counts as a pipeline, everywhere."""
    return (folder / INDEX_NAME).is_file()


def files_of(config: ModelConfig) -> tuple[str, ...]:
    """The files that a model with these parts consists of."""
    return (INDEX_NAME, *(f"{kind}/{name}" for kind in config.parts for name in (CONFIG_NAME, WEIGHTS_NAME)))


def read_config(folder: Path) -> ModelConfig:
    """The config of the model whose parts the index names.

    Raises:
        ConfigError: the index or a part's config is missing, or no pipeline of this library.
        PartMismatch: the parts are of models that differ in shape.
    """
    path = folder / INDEX_NAME
    index = read_object(path)
    if index.get("_class_name") != PIPELINE:
        raise ConfigError(f"{path} is of a {short(index.get('_class_name'))}, not of an {PIPELINE}")
    kinds = []
    for kind in PARTS:
        named = index.get(kind, [None, None])
        if named == [LIBRARY, COMPONENTS[kind]]:
            kinds.append(kind)
        elif named != [None, None]:
            raise ConfigError(f"{path}: {kind} is {short(named)}, not {[LIBRARY, COMPONENTS[kind]]}")
    if unknown := sorted(set(index) - {*PARTS, *REMARKS, "_class_name"}):
        raise ConfigError(f"{path} has unknown keys: {short(', '.join(map(repr, unknown)))}")
    if not kinds:
        raise ConfigError(f"{path} names no part at all")
    return join({kind: read_component(folder / kind, kind) for kind in kinds})


def read_component(folder: Path, kind: str) -> ModelConfig:
    """The config of one part's folder, in which the other parts are left out; raises ConfigError."""
    path = folder / CONFIG_NAME
    raw = read_object(path)
    if raw.pop("_class_name", None) != COMPONENTS[kind]:
        raise ConfigError(f"{path} is not of an {COMPONENTS[kind]}")
    return ModelConfig.from_object(nested(kind, raw), str(path))


def nested(kind: str, flat: Mapping[str, Any]) -> dict[str, Any]:
    """A part's flat config as ``ModelConfig`` has it: name and arguments below the kind, no other part."""
    shared = {key: value for key, value in flat.items() if key not in {"name", "arguments", *REMARKS}}
    own = {key: flat[key] for key in ("name", "arguments") if key in flat}
    return {**shared, **dict.fromkeys(PARTS), kind: own}


def flat(config: ModelConfig, kind: str) -> dict[str, Any]:
    """The reverse of ``nested``: the arguments of a component, all JSON values."""
    raw = asdict(without(config, *(other for other in PARTS if other != kind)))
    own = raw[kind]
    shared = {key: list(value) if isinstance(value, tuple) else value for key, value in raw.items() if key not in PARTS}
    return {**own, **shared}
