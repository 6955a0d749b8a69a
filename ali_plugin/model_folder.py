"""Read and write model folders: config.json and model.safetensors, nothing that can be run."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ali_plugin import atomic, weights
from ali_plugin.compose import build_parts
from ali_plugin.config import CONFIG_NAME, PARTS, ModelConfig
from ali_plugin.errors import FolderError, OptionError
from ali_registry import Registry, UnknownName, default_registry

if TYPE_CHECKING:
    from ali_plugin.model import ALI

WEIGHTS_NAME = "model.safetensors"
CARD_NAME = "README.md"
SAMPLES_NAME, RECONSTRUCTIONS_NAME = "samples.png", "reconstructions.png"
TRAINING_NAME = "training.json"
EVALUATION_NAME = "evaluation.json"
FILES = (CONFIG_NAME, WEIGHTS_NAME, CARD_NAME, SAMPLES_NAME, RECONSTRUCTIONS_NAME, TRAINING_NAME, EVALUATION_NAME)
"""All that a model folder consists of, and so all that is published; the first two have to be there."""

M = TypeVar("M", bound="ALI")


def save(model: ALI, folder: Path, state: Mapping[str, Tensor] | None = None) -> None:
    """Write config.json and model.safetensors, each replaced as a whole.

    Figures of an evaluation that lie there are removed: they were of other weights.

    Args:
        state: what to write in place of the model's own state (an average of it, say).
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in (state or model.state_dict()).items()}
    atomic.write_with(folder / WEIGHTS_NAME, lambda path: save_file(tensors, path, metadata={"format": "pt"}))
    atomic.write(folder / CONFIG_NAME, model.config.to_json())
    (folder / EVALUATION_NAME).unlink(missing_ok=True)


def load(
    cls: type[M],
    folder: Path,
    parts: Collection[str],
    device: torch.device,
    dtype: torch.dtype,
    registry: Registry | None,
) -> M:
    """See ``ALI.from_pretrained``."""
    if unknown := set(parts) - set(PARTS):
        raise OptionError(f"unknown parts {sorted(unknown)}; a model has {', '.join(PARTS)}")
    registry = registry or default_registry()
    config = read_config(folder)
    tensors = weights.read(folder / WEIGHTS_NAME, implied_state(config, registry), parts)
    model = cls(config, **build_parts(config, registry, parts))
    model.load_state_dict(tensors, strict=True)
    return model.to(device=device, dtype=dtype).eval()


def check(folder: Path, registry: Registry | None = None) -> ModelConfig:
    """Whether ``load`` would take the folder, without reading its weights; raises as it does."""
    config = read_config(folder)
    weights.check(folder / WEIGHTS_NAME, implied_state(config, registry or default_registry()))
    return config


def read_config(folder: Path) -> ModelConfig:
    """The config of a folder whose files are its own.

    Raises:
        FolderError: no folder, or a link in it leads elsewhere.
        ConfigError: the config is not sound.
    """
    if not folder.is_dir():
        raise FolderError(f"{str(folder)!r} is no folder; give a run folder or a model folder")
    refuse_links_elsewhere(folder)
    return ModelConfig.from_file(folder / CONFIG_NAME)


def refuse_links_elsewhere(folder: Path) -> None:
    """Raise FolderError where a file of the model is a symbolic link out of the folder.

    In the Hub's cache, where a snapshot is made of links, they may lead to that repository's blobs.
    """
    home = folder.resolve()
    homes = [home, home.parent.parent / "blobs"] if home.parent.name == "snapshots" else [home]
    for path in (folder / name for name in FILES):
        try:
            target = path.resolve()
        except (OSError, RuntimeError) as error:  # links in a circle
            raise FolderError(f"{path} is a link that leads nowhere") from error
        if path.is_symlink() and not any(target.is_relative_to(place) for place in homes):
            raise FolderError(f"{path} is a link out of its folder; put the file itself there")


def implied_state(config: ModelConfig, registry: Registry) -> dict[str, Tensor]:
    """What model.safetensors has to hold, as tensors without memory; raises as ``weightless_parts``."""
    parts = weightless_parts(config, registry)
    return {f"{kind}.{name}": tensor for kind, part in parts.items() for name, tensor in part.state_dict().items()}


def weightless_parts(config: ModelConfig, registry: Registry) -> dict[str, nn.Module]:
    """The nets of a config on the meta device, which takes no memory.

    Raises:
        FolderError: a part comes from a plugin that is not installed; the text says which to install.
        ConfigError, PartMismatch: the parts cannot be built or do not fit.
    """
    try:
        with torch.device("meta"):
            return build_parts(config, registry)
    except UnknownName as error:
        raise _with_distributions(error, config, registry) from error


def _with_distributions(error: UnknownName, config: ModelConfig, registry: Registry) -> FolderError:
    """Name the distributions that the model needs and that are not there; broken ones explain themselves."""
    there = {status.origin.distribution for status in registry.plugins}
    missing = [plugin for plugin in config.plugins if plugin.distribution not in there]
    if not missing:
        made_with = ", ".join(f"{plugin.distribution} {plugin.version}" for plugin in config.plugins)
        return FolderError(f"{error}; the model was made with {made_with or 'an unknown plugin'}")
    named = ", ".join(f"{plugin.distribution} {plugin.version}" for plugin in missing)
    what = f"{error.kind} {error.name!r}" if error.kind else repr(error.name)
    return FolderError(f"the model needs {what} of {named}, which is not installed; install it and try again")
