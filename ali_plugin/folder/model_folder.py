"""Read and write model folders: config.json and model.safetensors, nothing that can be run.

Folders in the layout of a diffusers pipeline are read as well, see ``pipeline_layout``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from ali_plugin.config.compose import build_parts
from ali_plugin.config.model_config import CONFIG_NAME, PARTS, ModelConfig
from ali_plugin.errors import FolderError, OptionError
from ali_plugin.folder import pipeline_layout, weights
from ali_plugin.nets import state
from ali_plugin.support import atomic
from ali_plugin.support.devices import float32_by_default
from ali_plugin.support.memory import needed
from ali_plugin.support.weightless import weightless
from ali_registry import Registry, UnknownName, default_registry

WEIGHTS_NAME = "model.safetensors"
CARD_NAME = "README.md"
SAMPLES_NAME, RECONSTRUCTIONS_NAME = "samples.png", "reconstructions.png"
TRAINING_NAME = "training.json"
EVALUATION_NAME = "evaluation.json"
MODEL_FILES = (CONFIG_NAME, WEIGHTS_NAME)
COMPANIONS = (CARD_NAME, SAMPLES_NAME, RECONSTRUCTIONS_NAME, TRAINING_NAME, EVALUATION_NAME)
FILES = (*MODEL_FILES, *pipeline_layout.FILES, *COMPANIONS)
"""All that a model folder may consist of, and so all that is published: the model in one layout, its companions."""


def write(folder: Path, config: ModelConfig, nets: Mapping[str, nn.Module]) -> None:
    """Write config.json and model.safetensors, each replaced as a whole.

    Args:
        nets: of the parts that the config names, by kind.

    Figures of an evaluation that lie there are removed, and so is a pipeline: they were of other weights.

    Raises:
        FolderError, ConfigError, WeightsError: it cannot be written, or could not be read again.
    """
    text = config.to_json()
    weights.write(folder / WEIGHTS_NAME, state.named(nn.ModuleDict(nets)), {"format": "pt"})
    atomic.write(folder / CONFIG_NAME, text)
    remove(folder, (*pipeline_layout.FILES, EVALUATION_NAME))


def remove(folder: Path, names: Collection[str]) -> None:
    """Remove files that are there, and part folders that are then empty; nothing behind a linked part folder.

    Raises:
        FolderError: one of them cannot be removed.
    """
    try:
        for path in (folder / name for name in names):
            if not (path.parent != folder and path.parent.is_symlink()):
                path.unlink(missing_ok=True)
        for part in (folder / kind for kind in PARTS):
            if part.is_dir() and not part.is_symlink() and not any(part.iterdir()):
                part.rmdir()
    except OSError as error:
        raise FolderError(f"cannot remove {error.filename}: {error.strerror or error}") from error


def read(
    folder: Path,
    parts: Collection[str] = PARTS,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = torch.float32,
    registry: Registry | None = None,
) -> tuple[ModelConfig, dict[str, nn.Module]]:
    """The config of a folder in either layout and the nets of some parts with their weights, in eval mode.

    Args:
        parts: those to read; the others' weights stay on the disk.
        dtype: of the weights, None for what the file has.

    Raises:
        FolderError, ConfigError, WeightsError: the folder, its config or its weights are not sound.
        OptionError: ``parts`` names what no model has.
    """
    if unknown := set(parts) - set(PARTS):
        raise OptionError(f"unknown parts {sorted(unknown)}; a model has {', '.join(PARTS)}")
    registry = registry or default_registry()
    config = read_config(folder)
    tensors: dict[str, Tensor] = {}
    for path, implied in weight_files(folder, weightless_parts(config, registry)):
        tensors.update(weights.read(path, implied, parts))
    with needed("the model"), float32_by_default():
        nets = nn.ModuleDict(build_parts(config, registry, parts))
    state.load(nets, tensors, keep_type=True)
    state.refuse_broken(nets, folder)
    return config, dict(nets.to(device=device, dtype=dtype).eval().items())


def required(folder: Path) -> list[str]:
    """The files without which the folder is no model."""
    if not pipeline_layout.is_pipeline(folder):
        return list(MODEL_FILES)
    present = [kind for kind in PARTS if (folder / kind / CONFIG_NAME).is_file()]
    return [f"{kind}/{pipeline_layout.WEIGHTS_NAME}" for kind in present] or list(pipeline_layout.FILES)


def files_of(folder: Path, config: ModelConfig) -> list[str]:
    """The files of the model in the layout that the folder has, and those of its companions that are there."""
    names = pipeline_layout.files_of(config) if pipeline_layout.is_pipeline(folder) else MODEL_FILES
    return [*names, *(name for name in COMPANIONS if (folder / name).is_file())]


def weight_files(folder: Path, nets: Mapping[str, nn.Module]) -> Iterator[tuple[Path, dict[str, Tensor]]]:
    """The files with the weights of all of a folder's nets, each with what it has to hold."""
    implied = {kind: {f"{kind}.{name}": held for name, held in state.named(net).items()} for kind, net in nets.items()}
    if pipeline_layout.is_pipeline(folder):
        for kind, own in implied.items():
            yield folder / kind / pipeline_layout.WEIGHTS_NAME, own
    else:
        yield folder / WEIGHTS_NAME, {name: held for own in implied.values() for name, held in own.items()}


def read_config(folder: Path) -> ModelConfig:
    """The config of a folder whose files are its own.

    Raises:
        FolderError: no folder, or a link in it leads elsewhere.
        ConfigError: the config is not sound.
    """
    if not folder.is_dir():
        raise FolderError(f"{str(folder)!r} is no folder; give a run folder or a model folder")
    refuse_links_elsewhere(folder)
    if pipeline_layout.is_pipeline(folder):
        return pipeline_layout.read_config(folder)
    return ModelConfig.from_file(folder / CONFIG_NAME)


def refuse_links_elsewhere(folder: Path, files: Collection[str] = FILES) -> None:
    """Raise FolderError where a file of the model is, or lies behind, a symbolic link out of the folder.

    In the Hub's cache, where a snapshot is made of links, they may lead to that repository's blobs.
    """
    home = folder.resolve()
    snapshot = next((place for place in (home, home.parent) if place.parent.name == "snapshots"), None)
    homes = [home] if snapshot is None else [home, snapshot.parent.parent / "blobs"]
    for path in (folder / name for name in files):
        try:
            target = path.resolve()
        except (OSError, RuntimeError) as error:  # links in a circle
            raise FolderError(f"{path} is a link that leads nowhere") from error
        if not any(target.is_relative_to(place) for place in homes):
            raise FolderError(f"{path} is a link out of its folder; put the file itself there")


def weightless_parts(config: ModelConfig, registry: Registry) -> dict[str, nn.Module]:
    """The nets of a config on the meta device, which takes no memory.

    Raises:
        FolderError: a part comes from a plugin that is not installed; the text says which to install.
        ConfigError, PartMismatch: the parts cannot be built or do not fit.
    """
    try:
        with weightless():
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
