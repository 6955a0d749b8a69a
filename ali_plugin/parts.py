"""The three nets of a model: built from its config, found by name, saved, loaded and published."""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any, Self, cast

import torch
from torch import nn

from ali_plugin.config.compose import build_parts, compose_by_recipe, without
from ali_plugin.config.model_config import PARTS, ModelConfig
from ali_plugin.errors import OptionError
from ali_plugin.folder import model_folder
from ali_plugin.hub import download as hub
from ali_plugin.nets import state
from ali_plugin.support.devices import float32_by_default
from ali_registry import Registry, default_registry


class Parts(nn.Module):
    """An encoder, a decoder and a discriminator that fit each other; ``ALI`` is what they do together.

    Attributes:
        encoder, decoder, discriminator: the nets; None for one that was not loaded.
        config: what is needed to build them again.
        registry: where the parts were looked up, None for the default one.
    """

    encoder: nn.Module | None
    decoder: nn.Module | None
    discriminator: nn.Module | None

    def __init__(self, config: ModelConfig, **parts: nn.Module) -> None:
        super().__init__()
        self.registry: Registry | None = None
        self.config = without(config, *(kind for kind in PARTS if kind not in parts))
        for kind in PARTS:
            self.register_module(kind, parts.get(kind))

    @classmethod
    def from_config(cls, config: ModelConfig, registry: Registry | None = None) -> Self:
        """Build freshly initialised nets, in training mode, on the current default device."""
        model = cls(config, **build_parts(config, registry or default_registry()))
        model.registry = registry
        return model

    @classmethod
    def from_architecture(cls, name: str, *, registry: Registry | None = None, **options: Any) -> Self:
        """Build an untrained model of a registered architecture.

        Args:
            name: as ``ali list architecture`` shows it.
            options: see ``ali_plugin.config.compose.compose``: ``parts``, ``arguments`` (over those of the recipe),
                ``latent_size``, ...

        Raises:
            UnknownName: nothing registers that name.
            PartMismatch: a replaced part does not fit.
        """
        registry = registry or default_registry()
        return cls.from_config(compose_by_recipe(name, registry=registry, **options), registry)

    def rebuilt(self, parts: Collection[str] = PARTS) -> Self:
        """The same nets built anew, with this model's weights, device and type, in eval mode.

        Nets may hold what ``copy.deepcopy`` cannot copy, and wrappers that a copy should not have. The caller's random
        numbers stay as they are.

        Args:
            parts: those to build; the others are None.
        """
        with torch.random.fork_rng(devices=[]), torch.device("cpu"), float32_by_default():
            built = build_parts(self.config, self.registry or default_registry(), parts)
        made = type(self)(self.config, **built).to(self.device, self.dtype)
        made.registry = self.registry
        own = {name: tensor for name, tensor in state.named(self).items() if name.split(".")[0] in built}
        state.load(made, own, keep_type=True)
        return made.eval()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "registry": None}  # its plugins are modules, which cannot be copied or pickled

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the weights, which data, latents and conditions have to have."""
        return next(self.parameters()).dtype

    @property
    def nets(self) -> dict[str, nn.Module]:
        """The parts that were built or loaded, by kind."""
        return {kind: net for kind in PARTS if (net := getattr(self, kind)) is not None}

    def part(self, kind: str) -> nn.Module:
        """The encoder, decoder or discriminator; OptionError if it was not loaded."""
        net = getattr(self, kind)
        if net is None:
            raise OptionError(f"this model has no {kind}; it was exported or loaded without it")
        return cast(nn.Module, net)

    # The methods below keep the names and arguments of huggingface_hub's PyTorchModelHubMixin without being
    # it: it reads the config unchecked, loads weights without strict=True, and knows no separate parts.

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        force_download: bool = False,
        parts: Collection[str] = PARTS,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = torch.float32,
        registry: Registry | None = None,
    ) -> Self:
        """Load a model folder (also one of a diffusers pipeline), a run folder, a released model or one on the Hub.

        Nothing that comes with it is run or unpickled, and the weights' shapes are compared with what the
        config implies before memory is taken for them. The model is in eval mode.

        Args:
            pretrained_model_name_or_path: a folder, else the name of a released model (``ali list model``), else
                ``user/name`` or ``user/name@revision``.
            revision: a branch, tag or commit.
            token: for a private model; None for the one of ``hf auth login`` or HF_TOKEN.
            cache_dir: where downloads are kept, None for the client's own place.
            local_files_only: take it from the cache, without a connection.
            parts: those to read; the others' weights stay on the disk, and their attributes are None.
            dtype: of the weights, None for what the file has.

        Raises:
            HubError: it cannot be had from the Hub.
            FolderError, ConfigError, WeightsError: the folder, its config or its weights are not sound.
            FolderError: a part comes from a plugin that is not installed; the text says which to install.
        """
        folder = hub.locate(
            pretrained_model_name_or_path,
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            force_download=force_download,
        )
        config, nets = model_folder.read(folder, parts, device=device, dtype=dtype, registry=registry)
        model = cls(config, **nets)
        model.registry = registry
        return model.eval()

    def save_pretrained(self, save_directory: str | Path) -> None:
        """Write config.json and model.safetensors, each replaced as a whole."""
        model_folder.write(Path(save_directory), self.config, self.nets)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        commit_message: str = "Upload an ALI model",
        private: bool | None = None,
        token: str | bool | None = None,
        revision: str | None = None,
        create_pr: bool = False,
        registry: Registry | None = None,
    ) -> str:
        """Publish the model with a card, in one commit, and return the URL of the commit or pull request.

        A folder with pictures, evaluation and training record is published by ``ali push`` instead: what is
        on the Hub of these is of other weights and goes.

        Args:
            private: of a repository that does not exist yet.
            revision: a branch, made if need be.

        Raises:
            HubError: the Hub refuses or cannot be reached; nothing of the commit is there.
        """
        from ali_plugin.folder.checked import check
        from ali_plugin.hub.publish import push

        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            return push(
                check(Path(folder), registry),
                repo_id,
                private=private,
                revision=revision,
                create_pr=create_pr,
                message=commit_message,
                token=token,
            ).commit_url
