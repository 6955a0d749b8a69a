"""Where a pipeline comes from and where it goes: a model of the library, a folder, the Hub."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Self

from diffusers import DiffusionPipeline

from ali_plugin.config.compose import join
from ali_plugin.config.model_config import PARTS, ModelConfig
from ali_plugin.diffusers.components import ALIDecoder, ALIDiscriminator, ALIEncoder, Component, Saved, weights_name
from ali_plugin.diffusers.options import Hub, default_options, publishing, refuse_unsafe, refuse_unsafe_saving
from ali_plugin.errors import OptionError
from ali_plugin.folder import model_folder, pipeline_layout
from ali_plugin.hub import download as hub
from ali_plugin.model import ALI

COMPONENTS: dict[str, type[Component]] = {
    "encoder": ALIEncoder, "decoder": ALIDecoder, "discriminator": ALIDiscriminator
}  # fmt: skip


class StoredPipeline(Saved, DiffusionPipeline):
    """The host's methods for loading and publishing, with this library's checks, downloads and cards.

    Args:
        encoder, discriminator: None for a model that was exported without.

    Raises:
        PartMismatch: the parts do not belong together.
    """

    model_cpu_offload_seq = "encoder->decoder->discriminator"
    _optional_components = ["encoder", "discriminator"]  # noqa: RUF012  # the host's declaration
    _known: tuple[dict[str, ModelConfig], ModelConfig] | None = None

    def __init__(
        self, encoder: ALIEncoder | None, decoder: ALIDecoder, discriminator: ALIDiscriminator | None = None
    ) -> None:
        super().__init__()
        self.register_modules(encoder=encoder, decoder=decoder, discriminator=discriminator)
        self.model_config  # noqa: B018  # refuses parts that do not belong together

    @classmethod
    def from_model(cls, model: ALI) -> Self:
        """The pipeline of a model, whose nets are shared and not copied.

        Raises:
            OptionError: the model has no decoder.
        """
        model.part("decoder")
        return cls(**_components(model))

    @property
    def model(self) -> ALI:
        """The same nets as a model of the library."""
        nets = {kind: component.net for kind, component in self._parts().items()}
        return ALI(self.model_config, **nets).train(self.decoder.training)

    @property
    def model_config(self) -> ModelConfig:
        """The config of the whole model; PartMismatch if the components are of models that differ."""
        parts = {kind: component.model_config for kind, component in self._parts().items()}
        found = self._known
        if found is None or found[0] != parts:
            found = self._known = parts, join(parts)
        return found[1]

    def _parts(self) -> dict[str, Component]:
        found = {kind: getattr(self, kind) for kind in PARTS}
        return {kind: component for kind, component in found.items() if component is not None}

    @classmethod
    def download(cls, pretrained_model_name: str, **kwargs: Any) -> str:
        """Download a model into the cache and return its folder; see ``ali_plugin.hub.download.fetch``."""
        refuse_unsafe(kwargs)
        return str(hub.fetch(pretrained_model_name, **Hub.of(kwargs).options))

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs: Any) -> Self:
        """Load a saved pipeline, a model folder, a run folder or a model on the Hub.

        Takes the host's keyword arguments, components among them (``discriminator=None`` leaves it out).

        Raises:
            ALIError: it cannot be had, is not sound, or an option asks for what is never done.
        """
        refuse_unsafe(kwargs)
        variant = kwargs.get("variant")
        files = (
            None if variant is None else (*model_folder.FILES, *(f"{kind}/{weights_name(variant)}" for kind in PARTS))
        )
        folder = Hub.of(kwargs).locate(pretrained_model_name_or_path, files)
        config = model_folder.read_config(folder)
        if pipeline_layout.is_pipeline(folder):
            pipeline: Self = super().from_pretrained(str(folder), use_safetensors=True, **kwargs)
        else:
            passed = {kind: kwargs.pop(kind) for kind in PARTS if kind in kwargs}
            wanted = [kind for kind in config.parts if kind not in passed]
            model = ALI.from_pretrained(folder, parts=wanted, **default_options(kwargs))
            pipeline = cls(**{**_components(model), **passed})
        pipeline.register_to_config(_name_or_path=str(pretrained_model_name_or_path))
        return pipeline

    def save_pretrained(
        self,
        save_directory: str | Path,
        safe_serialization: bool = True,
        variant: str | None = None,
        push_to_hub: bool = False,
        **kwargs: Any,
    ) -> None:
        """Write model_index.json and a folder for each component; ``ALI.from_pretrained`` opens them as well.

        A model in the other layout that lies there is removed, and so are figures of its evaluation.

        Raises:
            OptionError: an option asks for pickles or shards.
        """
        published = publishing(kwargs, save_directory)
        refuse_unsafe_saving(safe_serialization, kwargs)
        folder = Path(save_directory)
        super().save_pretrained(str(folder), variant=variant)
        mine = pipeline_layout.files_of(self.model_config)
        stale = (*model_folder.MODEL_FILES, model_folder.EVALUATION_NAME, *pipeline_layout.FILES)
        model_folder.remove(folder, [name for name in stale if name not in mine])
        if push_to_hub:
            self.push_to_hub(variant=variant, **published)

    def push_to_hub(
        self,
        repo_id: str,
        commit_message: str | None = None,
        private: bool | None = None,
        token: str | bool | None = None,
        create_pr: bool = False,
        safe_serialization: bool = True,
        variant: str | None = None,
        revision: str | None = None,
    ) -> str:
        """Publish the pipeline with a card, in one commit, and return the URL of the commit or pull request.

        Raises:
            HubError: the Hub refuses or cannot be reached; nothing of the commit is there.
            OptionError: an option asks for pickles or a variant; a published model has one precision.
        """
        from ali_plugin.folder.checked import check
        from ali_plugin.hub.publish import MESSAGE, push

        refuse_unsafe_saving(safe_serialization, {})
        if variant is not None:
            raise OptionError("a published model has one precision: convert it with .to(dtype), and drop variant")
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            return push(check(Path(folder)), repo_id, private=private, revision=revision, create_pr=create_pr,
                        message=commit_message or MESSAGE, token=token).commit_url  # fmt: skip


def _components(model: ALI) -> dict[str, Any]:
    """A model's parts as components, None for those that it lacks."""
    present = model.config.parts
    return {kind: component.from_model(model) if kind in present else None for kind, component in COMPONENTS.items()}
