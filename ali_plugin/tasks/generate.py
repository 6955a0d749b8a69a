"""What a trained model makes: samples, reconstructions, codes and paths, on the CPU and in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

import torch
from torch import Tensor

from ali_plugin.config import conditions
from ali_plugin.datasets.split import to_unit
from ali_plugin.errors import OptionError
from ali_plugin.model import ALI, AT_ONCE
from ali_plugin.support.devices import seeded
from ali_plugin.support.limits import MAX_DRAWN_ELEMENTS
from ali_plugin.support.memory import needed
from ali_plugin.tasks.inputs import Inputs


@torch.no_grad()
def sample(
    model: ALI, count: int, seed: int, chosen: Sequence[str] = (), truncation: float | None = None
) -> tuple[Tensor, int | None]:
    """Draws (N, *data_shape) on the CPU, the same for a seed whatever the device, and columns for a grid.

    Args:
        count: how many; of a conditional model, how many z.
        chosen: conditions as ``conditions.parse`` reads them; every one alone if there are none. Each z is
            decoded with each condition, row by row.
        truncation: the largest size of an element of z; see ``ALI.prior``.
    """
    size = model.config.condition_size
    conditional = size > 0 or len(chosen) > 0
    refuse_too_many(count * (len(chosen) or size if conditional else 1), model)
    z = model.prior(count, seeded(seed), truncation)
    if not conditional:
        with needed(f"{count} samples"):
            return torch.cat([model.decode(part).cpu() for part in z.split(AT_ONCE)]), None
    if chosen:
        columns = torch.stack([conditions.parse(text, model.config) for text in chosen])  # (K, condition)
        return model.vary_condition(z, columns), len(columns)
    return model.vary_condition(z), size


@torch.no_grad()
def sample_like(model: ALI, inputs: Inputs, count: int, seed: int) -> tuple[Tensor, int | None]:
    """Samples decoded from ``count`` draws of q(z|x) of each input, (N count, *data_shape) on the CPU, input by input,
    and columns for a grid."""
    refuse_too_many(len(inputs.data) * count, model)
    generator, made = seeded(seed), list[Tensor]()
    for x, condition in _parts(model, inputs):
        posterior = model.encode(x, condition)
        draws = [model.decode(posterior.sample(generator), condition).cpu() for _ in range(count)]
        made.append(torch.stack(draws, 1).flatten(0, 1))
    return torch.cat(made), count if count > 1 else None


def reconstruct(model: ALI, inputs: Inputs) -> Tensor:
    """Reconstructions through the posterior mean, on the CPU."""
    return torch.cat([model.reconstruct(x, condition).cpu() for x, condition in _parts(model, inputs)])


@torch.no_grad()
def encode(model: ALI, inputs: Inputs, seed: int) -> dict[str, Tensor]:
    """``mean`` and ``sample`` of q(z|x), (N, latent_size) each, and ``labels`` where they are known."""
    generator = seeded(seed)
    posteriors = [model.encode(x, condition) for x, condition in _parts(model, inputs)]
    tensors = {
        "mean": torch.cat([posterior.mean.cpu() for posterior in posteriors]),
        "sample": torch.cat([posterior.sample(generator).cpu() for posterior in posteriors]),
    }
    return tensors if inputs.labels is None else {**tensors, "labels": inputs.labels}


def interpolate(model: ALI, inputs: Inputs, steps: int) -> Tensor:
    """Paths (N/2, steps + 2, *data_shape) between samples 0 and 1, 2 and 3, ..., with the originals at both ends.

    Raises:
        OptionError: the number of samples is odd, or there are none.
    """
    if not len(inputs.data) or len(inputs.data) % 2:
        raise OptionError(f"paths go from one picture to the next, {len(inputs.data)} pictures do not make pairs")
    refuse_too_many(len(inputs.data) // 2 * (steps + 2), model)
    x = inputs.x
    a, b = x[0::2], x[1::2]
    # Along a path the condition is the one of its first end.
    condition = None if inputs.condition is None else inputs.condition[0::2].to(model.device)
    between = model.interpolate(a.to(model.device), b.to(model.device), steps, condition).cpu()
    return torch.cat([a[:, None], between, b[:, None]], 1)


def refuse_too_many(count: int, model: ALI) -> None:
    """Raise OptionError, before memory is taken, where ``count`` outputs are more than one command holds."""
    if count * max(prod(model.config.data_shape), model.config.latent_size) > MAX_DRAWN_ELEMENTS:
        raise OptionError(
            f"{count} outputs of shape {model.config.data_shape} are too many at once; ask for fewer, and of a "
            "conditional model name the conditions"
        )


def _parts(model: ALI, inputs: Inputs) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Samples and conditions as the model takes them, so many as are worked on at once."""
    for start in range(0, len(inputs.data), AT_ONCE):
        rows = slice(start, start + AT_ONCE)
        condition = None if inputs.condition is None else inputs.condition[rows].to(model.device, model.dtype)
        yield to_unit(inputs.data[rows]).to(model.device, model.dtype), condition
