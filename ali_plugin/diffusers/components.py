"""The three nets as models of the host, each with a config and weights of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self, cast

from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from diffusers.utils import BaseOutput
from diffusers.utils.accelerate_utils import apply_forward_hook
from torch import Tensor, nn

from ali_plugin.config import conditions
from ali_plugin.config.compose import KINDS, build_parts, origins
from ali_plugin.config.conditions import Labels
from ali_plugin.config.model_config import CONFIG_NAME, SCHEMA_VERSION, ModelConfig
from ali_plugin.diffusers.distribution import LatentDistribution
from ali_plugin.diffusers.options import Hub, default_options, publishing, refuse_unsafe, refuse_unsafe_saving
from ali_plugin.errors import OptionError
from ali_plugin.folder import model_folder, pipeline_layout, weights
from ali_plugin.model import ALI, pair_logit
from ali_plugin.nets import state
from ali_plugin.support import atomic
from ali_plugin.support.weightless import weightless
from ali_plugin.version import __version__
from ali_registry import default_registry


class Saved(ConfigMixin):
    """Writes configs as whole files, and without the place that they were loaded from."""

    def to_json_string(self) -> str:
        text = json.loads(super().to_json_string())
        text.pop("_name_or_path", None)
        return json.dumps(text, indent=2, sort_keys=True) + "\n"

    def to_json_file(self, json_file_path: str | Path) -> None:
        atomic.write(Path(json_file_path), self.to_json_string())


class Component(ModelMixin, Saved):
    """A registered part as a model of the host; its tensors are called as in model.safetensors.

    Args:
        name: of the registered part.
        latent_size, data_shape, condition_size: of all parts of the model.
        arguments: None for the part's registered ones.
        architecture, condition_names, classes, plugins: see ``ali_plugin.config.model_config.ModelConfig``.
    """

    kind: ClassVar[str]
    config_name = CONFIG_NAME
    _known: tuple[Any, ModelConfig] | None = None

    @register_to_config
    def __init__(
        self,
        name: str,
        latent_size: int,
        data_shape: Sequence[int],
        arguments: Mapping[str, Any] | None = None,
        architecture: str | None = None,
        condition_size: int = 0,
        condition_names: Sequence[str] = (),
        classes: int = 1,
        plugins: Sequence[Mapping[str, str]] | None = None,
        schema_version: int = SCHEMA_VERSION,
        library_version: str = __version__,
    ) -> None:
        super().__init__()
        if arguments is None:
            self.register_to_config(arguments=default_registry().get(KINDS[self.kind], name).defaults)
        if plugins is None:
            found = origins(self._checked(plugins=[]).parts, default_registry())
            self.register_to_config(plugins=[vars(plugin) for plugin in found])
        self.add_module(self.kind, build_parts(self.model_config, default_registry(), (self.kind,))[self.kind])

    @classmethod
    def from_model(cls, model: ALI) -> Self:
        """The component around a model's own net, which is shared and not copied.

        Raises:
            OptionError: the model has no such part.
        """
        net = model.part(cls.kind)
        with weightless():
            component: Self = cls(**pipeline_layout.flat(model.config, cls.kind))
        component.add_module(cls.kind, net)
        component.train(net.training)
        return component

    @property
    def net(self) -> nn.Module:
        """The part itself."""
        return cast(nn.Module, self.get_submodule(self.kind))

    @property
    def _no_split_modules(self) -> list[str]:
        """For ``device_map="auto"``: what a registered net does inside is not known, so it stays on one device."""
        return [type(self.net).__name__]

    @property
    def model_config(self) -> ModelConfig:
        """The config as the rest of the library has it, without the other parts; checked when the host's changes."""
        found = self._known
        if found is None or found[0] is not self.config:
            found = self._known = self.config, self._checked()
        return found[1]

    def _checked(self, **changes: Any) -> ModelConfig:
        flat = {key: value for key, value in self.config.items() if not key.startswith("_")}
        text = json.dumps(pipeline_layout.nested(self.kind, {**flat, **changes}))
        return ModelConfig.from_json(text, type(self).__name__)

    def _model(self) -> ALI:
        return ALI(self.model_config, **{self.kind: self.net})

    def _condition(self, labels: Labels | None, like: Tensor) -> Tensor | None:
        if labels is None:
            return None
        condition = conditions.of_labels(labels, self.model_config).to(like.device, like.dtype)
        return condition.expand(len(like), -1) if len(condition) == 1 else condition

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs: Any) -> Self:
        """Load the part of a pipeline, of a model folder, or one that was saved alone, in eval mode.

        Takes the host's keyword arguments. Nothing that comes with the model is run or unpickled, and config and
        weights are compared before memory is taken.

        Raises:
            ALIError: it cannot be had, is not sound, or an option asks for what is never done.
        """
        refuse_unsafe(kwargs)
        subfolder, variant = kwargs.pop("subfolder", None), kwargs.get("variant")
        names = (CONFIG_NAME, weights_name(variant))
        own = [f"{subfolder or cls.kind}/{name}" for name in names]
        files = (*own, *names, pipeline_layout.INDEX_NAME, model_folder.WEIGHTS_NAME)
        folder = Hub.of(kwargs).locate(pretrained_model_name_or_path, files)
        home = folder / (subfolder or "")
        if pipeline_layout.is_pipeline(folder):
            home = folder / (subfolder or cls.kind)
        elif (folder / model_folder.WEIGHTS_NAME).is_file():
            model = ALI.from_pretrained(folder, parts=(cls.kind,), **default_options(kwargs))
            return cls.from_model(model)
        model_folder.refuse_links_elsewhere(home, names)
        config = pipeline_layout.read_component(home, cls.kind)
        net = model_folder.weightless_parts(config, default_registry())[cls.kind]
        implied = {f"{cls.kind}.{name}": tensor for name, tensor in state.named(net).items()}
        weights.check(home / names[1], implied)
        if not state.is_plain(net):  # the host, which knows no layers with two names, would take them apart
            return cls._whole(config, weights.read(home / names[1], implied, (cls.kind,)), kwargs)
        found: Any = super().from_pretrained(str(home), use_safetensors=True, **kwargs)
        component = found[0] if isinstance(found, tuple) else found  # with output_loading_info
        # The host leaves weights where the file is mapped, at any address; sums of floats depend on alignment, and
        # samples are to be those of ALI.from_pretrained bit for bit.
        for tensor in (*component.parameters(), *component.buffers()):
            if tensor.device.type == "cpu":
                tensor.data = tensor.data.clone()
        state.refuse_broken(component, home)
        return cast(Self, found)

    @classmethod
    def _whole(cls, config: ModelConfig, tensors: Mapping[str, Tensor], kwargs: dict[str, Any]) -> Self:
        """The component with these weights, built at once instead of tensor by tensor."""
        if kwargs.pop("output_loading_info", None):
            raise OptionError("a net that uses a layer twice is loaded as a whole; drop output_loading_info")
        kwargs.pop("variant", None)
        options = default_options(kwargs)
        model = ALI(config, **build_parts(config, default_registry(), (cls.kind,)))
        state.load(model, tensors, keep_type=True)
        state.refuse_broken(model, cls.__name__)
        return cls.from_model(model.to(**options).eval())

    def save_pretrained(
        self,
        save_directory: str | Path,
        safe_serialization: bool = True,
        variant: str | None = None,
        push_to_hub: bool = False,
        **kwargs: Any,
    ) -> None:
        """Write config.json and one safetensors file, each replaced as a whole.

        Raises:
            OptionError: an option asks for pickles or shards.
        """
        published = publishing(kwargs, save_directory)
        refuse_unsafe_saving(safe_serialization, kwargs)
        if getattr(self, "hf_quantizer", None) is not None:
            raise OptionError("the weights are quantized; save the model that they were made from")
        weights.write(Path(save_directory) / weights_name(variant), state.named(self), {"format": "pt"})
        self.save_config(save_directory)
        if push_to_hub:
            self.push_to_hub(variant=variant, **published)


def weights_name(variant: str | None) -> str:
    """The host's name of the weights; OptionError for a variant that is no plain word."""
    if variant is None:
        return pipeline_layout.WEIGHTS_NAME
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", variant):
        raise OptionError(f"{variant!r} is no name of a variant")
    stem, _, suffix = pipeline_layout.WEIGHTS_NAME.rpartition(".")
    return f"{stem}.{variant}.{suffix}"


class ALIEncoder(Component):
    """q(z|x) for x (B, *data_shape), pictures in [0, 1]."""

    kind = "encoder"

    @apply_forward_hook
    def encode(self, x: Tensor, class_labels: Labels | None = None, return_dict: bool = True) -> AutoencoderKLOutput:
        """``latent_dist``, a distribution over latents (B, L); a tuple of it without ``return_dict``.

        Args:
            class_labels: of a conditional model, see ``ali_plugin.config.conditions.of_labels``.

        Raises:
            PartMismatch: x, or what it is conditioned on, is of another shape.
        """
        found = LatentDistribution(self._model().encode(x, self._condition(class_labels, x)))
        return AutoencoderKLOutput(latent_dist=found) if return_dict else (found,)

    forward = encode


class ALIDecoder(Component):
    """The mean of p(x|z) for z (B, L)."""

    kind = "decoder"

    @apply_forward_hook
    def decode(self, z: Tensor, class_labels: Labels | None = None, return_dict: bool = True) -> DecoderOutput:
        """``sample``, data (B, *data_shape), pictures in [0, 1]; arguments and errors as of ``ALIEncoder.encode``."""
        x = self._model().decode(z, self._condition(class_labels, z))
        return DecoderOutput(sample=x) if return_dict else (x,)

    forward = decode


@dataclass
class ALIDiscriminatorOutput(BaseOutput):
    """What D says of pairs.

    Attributes:
        logits: of D(x, z), (B,); positive: looks like a pair of the encoder.
        class_logits: its outputs (B, classes); one class in the usual game.
    """

    logits: Tensor
    class_logits: Tensor


class ALIDiscriminator(Component):
    """D(x, z) for x (B, *data_shape) and z (B, L)."""

    kind = "discriminator"

    @apply_forward_hook
    def discriminate(
        self, x: Tensor, z: Tensor, class_labels: Labels | None = None, return_dict: bool = True
    ) -> ALIDiscriminatorOutput:
        """Logits of pairs; arguments and errors as of ``ALIEncoder.encode``."""
        outputs = self._model().class_logits(x, z, self._condition(class_labels, x))
        found = ALIDiscriminatorOutput(logits=pair_logit(outputs), class_logits=outputs)
        return found if return_dict else found.to_tuple()

    forward = discriminate
