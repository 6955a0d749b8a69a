"""Read and write model folders: config.json and model.safetensors, nothing that can be run."""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ali_plugin import atomic
from ali_plugin.compose import build_parts
from ali_plugin.config import CONFIG_NAME, PARTS, ModelConfig
from ali_plugin.errors import FolderError, OptionError, WeightsError
from ali_registry import Registry, UnknownName, default_registry

if TYPE_CHECKING:
    from ali_plugin.model import ALI

WEIGHTS_NAME = "model.safetensors"
MAX_HEADER_BYTES = 16 << 20

M = TypeVar("M", bound="ALI")


def save(model: ALI, folder: Path, weights: Mapping[str, Tensor] | None = None) -> None:
    """Write a model folder.

    Args:
        weights: what to write in place of the model's own state (an average of it, say).
    """
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in (weights or model.state_dict()).items()}
    atomic.write_with(folder / WEIGHTS_NAME, lambda path: save_file(state, path, metadata={"format": "pt"}))
    atomic.write(folder / CONFIG_NAME, model.config.to_json())


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
    if not folder.is_dir():
        raise FolderError(f"{str(folder)!r} is no folder; give a run folder or a model folder")
    config = ModelConfig.from_file(folder / CONFIG_NAME)
    registry = registry or default_registry()
    try:
        with torch.device("meta"):
            implied = cls(config, **build_parts(config, registry)).state_dict()
    except UnknownName as error:
        raise _with_distributions(error, config, registry) from error
    weights = _open_weights(folder / WEIGHTS_NAME, implied, parts)
    model = cls(config, **build_parts(config, registry, parts))
    model.load_state_dict(weights, strict=True)
    return model.to(device=device, dtype=dtype).eval()


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


def _open_weights(path: Path, implied: Mapping[str, Tensor], parts: Collection[str]) -> dict[str, Tensor]:
    """Read the parts' tensors once the whole header agrees with what the config implies."""
    _bound_header(path)
    try:
        with safe_open(path, framework="pt") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            _compare(path, shapes, {name: tuple(tensor.shape) for name, tensor in implied.items()})
            return {name: file.get_tensor(name) for name in shapes if name.split(".")[0] in parts}
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is damaged ({error}); fetch or write it again") from error


def _bound_header(path: Path) -> None:
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error.strerror})") from error
    size = struct.unpack("<Q", start)[0] if len(start) == 8 else None
    if size is None or not 0 < size <= min(MAX_HEADER_BYTES, path.stat().st_size - 8):
        raise WeightsError(f"{path} is damaged (its header's length is {size}); fetch or write it again")


def _compare(path: Path, shapes: Mapping[str, tuple[int, ...]], implied: Mapping[str, tuple[int, ...]]) -> None:
    if missing := sorted(set(implied) - set(shapes)):
        raise WeightsError(f"{path} lacks {len(missing)} tensors of the config's nets, such as {missing[0]!r}")
    if extra := sorted(set(shapes) - set(implied)):
        raise WeightsError(f"{path} has {len(extra)} tensors that the config's nets lack, such as {extra[0]!r}")
    for name, shape in shapes.items():
        if shape != implied[name]:
            raise WeightsError(f"{path}: {name} has shape {shape}, the config implies {implied[name]}")
