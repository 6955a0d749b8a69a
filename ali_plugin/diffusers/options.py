"""The host's keyword arguments: which go to the Hub, which are refused, which have a meaning for a model folder."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ali_plugin.errors import OptionError
from ali_plugin.hub import download as hub

# Where there is nothing to be chosen: how the host builds nets and reads safetensors files.
WITHOUT_EFFECT = ("low_cpu_mem_usage", "use_safetensors", "disable_mmap", "use_flashpack", "max_memory",
                  "offload_folder", "offload_state_dict", "local_dir", "mirror")  # fmt: skip


@dataclass(frozen=True)
class Hub:
    """The arguments that say where and how to download."""

    options: dict[str, Any]

    @classmethod
    def of(cls, kwargs: dict[str, Any]) -> Hub:
        """Take them out of a call's arguments.

        Raises:
            OptionError: proxies, which the Hub's client takes from the environment.
        """
        if kwargs.pop("proxies", None):
            raise OptionError("proxies come from the environment: set HTTPS_PROXY")
        names = ("revision", "token", "cache_dir", "local_files_only", "force_download")
        found = {name: kwargs.pop(name, None) for name in names}
        return cls({name: value for name, value in found.items() if value is not None})

    def locate(self, source: str | Path, files: Collection[str] | None = None) -> Path:
        """The folder of a model, see ``hub.locate``."""
        return hub.locate(source, files=files, **self.options)


def refuse_unsafe(kwargs: dict[str, Any]) -> None:
    """Raise OptionError for arguments that ask for pickles or for code of the repository."""
    if kwargs.pop("use_safetensors", None) is False:
        raise OptionError("weights are read from safetensors files only, never unpickled; drop use_safetensors=False")
    for name in ("trust_remote_code", "custom_pipeline", "custom_revision", "use_flashpack", "use_onnx"):
        if kwargs.pop(name, None):
            raise OptionError(f"nothing that comes with a model is run, and weights are safetensors; drop {name}")


def refuse_unsafe_saving(safe_serialization: bool, kwargs: dict[str, Any]) -> None:
    """Raise OptionError for arguments that ask for pickles, shards or another format."""
    if not safe_serialization:
        raise OptionError("weights are written as safetensors only; drop safe_serialization=False")
    for name in ("max_shard_size", "use_flashpack", "save_function"):
        if kwargs.pop(name, None):
            raise OptionError(f"each part is one safetensors file; drop {name}")
    kwargs.pop("is_main_process", None)
    if kwargs:
        raise OptionError(f"unknown arguments: {', '.join(sorted(kwargs))}")


def publishing(kwargs: dict[str, Any], save_directory: str | Path) -> dict[str, Any]:
    """Take out of ``save_pretrained``'s arguments those of ``push_to_hub``."""
    repo_id = kwargs.pop("repo_id", None) or Path(save_directory).name
    names = ("commit_message", "private", "token", "create_pr")
    return {"repo_id": repo_id, **{name: kwargs.pop(name) for name in names if name in kwargs}}


def default_options(kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of ``ALI.from_pretrained`` that mean the same as the host's.

    Raises:
        OptionError: one that only has a meaning for a pipeline folder; the text says how to make one.
    """
    rest = {name: value for name, value in kwargs.items() if value is not None and name not in WITHOUT_EFFECT}
    dtype, old_name = rest.pop("dtype", None), rest.pop("torch_dtype", None)
    place = rest.pop("device_map", None)
    if isinstance(place, dict) and set(place) == {""}:
        place = place[""]
    if rest or isinstance(dtype or old_name, dict) or place in ("auto", "balanced", "balanced_low_0", "sequential"):
        name = next(iter(rest), "device_map")
        raise OptionError(f"{name} needs the layout of a pipeline: ali export --format diffusers MODEL --out DIR")
    return {"dtype": dtype or old_name or torch.float32, "device": "cpu" if place is None else place}
