"""A model as a pipeline of the host: draw, invert, reconstruct, interpolate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import DiffusionPipeline, ImagePipelineOutput
from diffusers.utils import BaseOutput
from torch import Tensor

from ali_plugin.config import conditions
from ali_plugin.config.conditions import Labels
from ali_plugin.diffusers.images import Images, check_output_type, from_tensor, to_tensor
from ali_plugin.diffusers.storage import StoredPipeline
from ali_plugin.errors import OptionError, PartMismatch
from ali_plugin.nets.distribution import noise_like
from ali_plugin.nets.latents import lines

Generators = torch.Generator | list[torch.Generator]
OnStepEnd = Callable[[DiffusionPipeline, int, int, dict[str, Any]], dict[str, Any]]


@dataclass
class ALIInversionOutput(BaseOutput):
    """Codes of pictures.

    Attributes:
        latents: (B, latent_size).
    """

    latents: Tensor


class ALIPipeline(StoredPipeline):
    """Draws pictures from the prior, and finds the codes of given ones (Dumoulin et al., 2017).

    A model draws in one step, so there is no scheduler: a step of the progress bar and of callbacks is a batch
    that is decoded, one unless ``decode_chunk_size`` is given. Samples are those of ``ALI.sample`` for the same
    generator. Pictures go in as PIL images, arrays (B, H, W, C) or tensors (B, C, H, W), in [0, 1].

    Args:
        encoder, discriminator: None for a model that was exported without.
    """

    _callback_tensor_inputs = ["latents"]  # noqa: RUF012  # the host's declaration

    @torch.no_grad()
    def __call__(
        self,
        batch_size: int | None = None,
        generator: Generators | None = None,
        latents: Tensor | None = None,
        class_labels: Labels | None = None,
        decode_chunk_size: int | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: OnStepEnd | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
    ) -> ImagePipelineOutput:
        """Draw pictures.

        Args:
            batch_size: how many; None for as many as there are latents or class labels, else one.
            generator: for the latents, or a list with one for each.
            latents: (B, latent_size), in place of draws of the prior.
            class_labels: of a conditional model: class numbers or names, one for all or one for each, or the
                conditions (B, condition_size).
            decode_chunk_size: decode so many at a time; None for all at once.
            output_type: "pil", "np" (B, H, W, C) or "pt" (B, C, H, W).
            callback_on_step_end: called with the pipeline, the step, the step again as timestep, and the
                ``latents`` that are decoded next; it may return others.

        Returns:
            ``images``, or a tuple of them without ``return_dict``.

        Raises:
            OptionError, PartMismatch: arguments that do not fit the model or each other.
        """
        self._check_callback_inputs(callback_on_step_end_tensor_inputs)
        check_output_type(output_type, self.model_config.data_shape)
        condition = self._conditions(class_labels)
        count = self._count(batch_size, latents, condition)
        z = self._prior(count, generator) if latents is None else latents
        x = self._decode(z, condition, decode_chunk_size, callback_on_step_end)
        return self._output(x, output_type, return_dict)

    @torch.no_grad()
    def invert(
        self,
        images: Images,
        class_labels: Labels | None = None,
        generator: torch.Generator | None = None,
        return_dict: bool = True,
    ) -> ALIInversionOutput:
        """The codes of pictures: the mean of q(z|x), or a draw of it given a generator.

        Args:
            images: PIL images of any size, which are fitted to the model's; arrays and tensors of its own size.

        Raises:
            OptionError: the model has no encoder.
            PartMismatch: the pictures are of another shape.
        """
        latents = self._encode(self._inputs(images), class_labels, generator)
        self.maybe_free_model_hooks()
        found = ALIInversionOutput(latents=latents)
        return found if return_dict else found.to_tuple()

    @torch.no_grad()
    def reconstruct(
        self,
        images: Images,
        class_labels: Labels | None = None,
        generator: torch.Generator | None = None,
        decode_chunk_size: int | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
    ) -> ImagePipelineOutput:
        """Pictures through their codes; arguments as of ``invert`` and of a call."""
        check_output_type(output_type, self.model_config.data_shape)
        latents = self._encode(self._inputs(images), class_labels, generator)
        again = self._decode(latents, self._conditions(class_labels), decode_chunk_size)
        return self._output(again, output_type, return_dict)

    @torch.no_grad()
    def interpolate(
        self,
        a: Images,
        b: Images,
        steps: int = 8,
        class_labels: Labels | None = None,
        decode_chunk_size: int | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
    ) -> ImagePipelineOutput:
        """``steps`` pictures on the line between the codes of a and b, both reconstructions among them.

        Args:
            a, b: as many pictures of each; of pairs, the paths come one after another, (B steps) pictures.

        Raises:
            OptionError, PartMismatch: fewer than 2 steps, or not as many pictures of each.
        """
        check_output_type(output_type, self.model_config.data_shape)
        start, end = (self._encode(self._inputs(pictures), class_labels, None) for pictures in (a, b))
        if len(start) != len(end):
            raise PartMismatch(f"paths go between pairs, here are {len(start)} pictures and {len(end)}")
        condition = self._conditions(class_labels)
        if condition is not None:
            condition = condition.expand(len(start), -1).repeat_interleave(steps, 0)
        x = self._decode(lines(start, end, steps).flatten(0, 1), condition, decode_chunk_size)
        return self._output(x, output_type, return_dict)

    def _conditions(self, labels: Labels | None) -> Tensor | None:
        return None if labels is None else conditions.of_labels(labels, self.model_config)

    def _count(self, batch_size: int | None, latents: Tensor | None, condition: Tensor | None) -> int:
        """How many pictures: what is given has to agree, but for one condition for all."""
        given = {"batch_size": batch_size} if batch_size is not None else {}
        given |= {"latents": len(latents)} if latents is not None else {}
        given |= {"class_labels": len(condition)} if condition is not None and len(condition) > 1 else {}
        if len(set(given.values())) > 1:
            raise OptionError(f"not as many of each: {', '.join(f'{name} {n}' for name, n in given.items())}")
        count = next(iter(given.values()), 1)
        if count < 1:
            raise OptionError(f"cannot draw {count} samples, at least 1")
        return count

    def _prior(self, count: int, generator: Generators | None) -> Tensor:
        """As ``ALI.prior``, so that a generator gives the same draws."""
        size, device = self.model_config.latent_size, self._execution_device
        if not isinstance(generator, list):
            return noise_like(torch.empty(count, size, device=device, dtype=self.decoder.dtype), generator)
        if len(generator) != count:
            raise OptionError(f"{len(generator)} generators for {count} samples; give one, or one for each")
        return torch.cat([self._prior(1, each) for each in generator])

    def _encode(self, x: Tensor, labels: Labels | None, generator: torch.Generator | None) -> Tensor:
        if self.encoder is None:
            raise OptionError("this pipeline has no encoder; it was exported or loaded without it")
        found = self.encoder.encode(x, self._conditions(labels)).latent_dist
        latents: Tensor = found.mode() if generator is None else found.sample(generator)
        return latents

    def _decode(
        self, latents: Tensor, condition: Tensor | None, chunk_size: int | None, on_step_end: OnStepEnd | None = None
    ) -> Tensor:
        size = chunk_size or len(latents)
        if size < 1:
            raise OptionError(f"decode_chunk_size is {chunk_size}, not positive")
        latents = latents.to(self._execution_device, self.decoder.dtype)
        repeated = None if condition is None else condition.expand(len(latents), -1).split(size)
        decoded = []
        for step, z in enumerate(self.progress_bar(latents.split(size))):
            if on_step_end is not None:
                z = (on_step_end(self, step, step, {"latents": z}) or {}).get("latents", z)
            decoded.append(self.decoder.decode(z, None if repeated is None else repeated[step]).sample)
        self.maybe_free_model_hooks()
        return torch.cat(decoded)

    def _inputs(self, pictures: Images) -> Tensor:
        like = self.encoder or self.decoder
        return to_tensor(pictures, self.model_config.data_shape).to(self._execution_device, like.dtype)

    def _output(self, x: Tensor, output_type: str, return_dict: bool) -> ImagePipelineOutput:
        found = ImagePipelineOutput(images=from_tensor(x, output_type))
        return found if return_dict else found.to_tuple()

    def _check_callback_inputs(self, names: Sequence[str]) -> None:
        if unknown := sorted(set(names) - set(self._callback_tensor_inputs)):
            raise OptionError(f"callbacks are given {self._callback_tensor_inputs}, not {unknown}")
