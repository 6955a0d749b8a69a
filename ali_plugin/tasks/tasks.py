"""What the commands do with a trained model, in bounded memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from math import prod
from pathlib import Path

import torch
from torch import Tensor

from ali_plugin.config import conditions
from ali_plugin.datasets.split import to_unit
from ali_plugin.errors import OptionError
from ali_plugin.folder import model_folder, weights
from ali_plugin.hub import card
from ali_plugin.hub import download as hub
from ali_plugin.model import ALI
from ali_plugin.pictures.grid import save_picture
from ali_plugin.support import atomic
from ali_plugin.support.devices import resolve_device, seeded
from ali_plugin.support.limits import MAX_DRAWN_ELEMENTS
from ali_plugin.support.memory import needed
from ali_plugin.tasks import layouts
from ali_plugin.tasks.inputs import Inputs

CHUNK = 250
PICTURE, TENSORS = ".png", ".safetensors"


def load_model(source: str, device: str = "auto") -> ALI:
    """A model in eval mode from wherever a command's MODEL says."""
    return ALI.from_pretrained(source, device=resolve_device(device))


@torch.no_grad()
def sample(model: ALI, count: int, seed: int, chosen: Sequence[str] = ()) -> tuple[Tensor, int | None]:
    """Draws (N, *data_shape) on the CPU, the same for a seed whatever the device, and columns for a grid.

    Args:
        count: how many; of a conditional model, how many z.
        chosen: conditions as ``conditions.parse`` reads them; every one alone if there are none. Each z is
            decoded with each condition, row by row.
    """
    size = model.config.condition_size
    conditional = size > 0 or len(chosen) > 0
    _refuse_too_many(count * (len(chosen) or size if conditional else 1), model)
    z = model.prior(count, seeded(seed))
    if not conditional:
        with needed(f"{count} samples"):
            return torch.cat([model.decode(part).cpu() for part in z.split(CHUNK)]), None
    if chosen:
        columns = torch.stack([conditions.parse(text, model.config) for text in chosen])  # (K, condition)
        return vary_condition(model, z, columns), len(columns)
    return _each_with_each(model, z, size, lambda column: conditions.alone(column, model.config)), size


@torch.no_grad()
def vary_condition(model: ALI, z: Tensor, columns: Tensor) -> Tensor:
    """Decode each z (N, L) with each condition (K, condition_size): (N K, *data_shape) on the CPU, z by z."""
    return _each_with_each(model, z, len(columns), lambda column: columns[column.to(columns.device)])


def _each_with_each(model: ALI, z: Tensor, columns: int, condition: Callable[[Tensor], Tensor]) -> Tensor:
    """Decode in parts, whose conditions are made as they are needed: from column numbers (B,) to (B, size)."""
    made = []
    with needed(f"{len(z)} samples under {columns} conditions"):
        for start in range(0, len(z) * columns, CHUNK):
            pairs = torch.arange(start, min(start + CHUNK, len(z) * columns))
            rows = z[(pairs // columns).to(z.device)]
            made.append(model.decode(rows, condition(pairs % columns).to(z.device, z.dtype)).cpu())
        return torch.cat(made)


def _refuse_too_many(count: int, model: ALI) -> None:
    """Raise OptionError, before memory is taken, where ``count`` outputs are more than one command holds."""
    if count * max(prod(model.config.data_shape), model.config.latent_size) > MAX_DRAWN_ELEMENTS:
        raise OptionError(
            f"{count} outputs of shape {model.config.data_shape} are too many at once; ask for fewer, and of a "
            "conditional model name the conditions"
        )


def reconstruct(model: ALI, inputs: Inputs) -> Tensor:
    """Reconstructions through the posterior mean, on the CPU."""
    return torch.cat([model.reconstruct(x, condition).cpu() for x, condition in _chunks(model, inputs)])


@torch.no_grad()
def encode(model: ALI, inputs: Inputs, seed: int) -> dict[str, Tensor]:
    """``mean`` and ``sample`` of q(z|x), (N, latent_size) each, and ``labels`` where they are known."""
    generator = seeded(seed)
    posteriors = [model.encode(x, condition) for x, condition in _chunks(model, inputs)]
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
    _refuse_too_many(len(inputs.data) // 2 * (steps + 2), model)
    device = next(model.parameters()).device
    x = inputs.x
    a, b = x[0::2], x[1::2]
    # Along a path the condition is the one of its first end.
    condition = None if inputs.condition is None else inputs.condition[0::2].to(device)
    between = model.interpolate(a.to(device), b.to(device), steps, condition).cpu()
    return torch.cat([a[:, None], between, b[:, None]], 1)


def export(source: str, out: Path, dtype: str, *, discriminator: bool, layout: str = "ali") -> list[str]:
    """Write a model folder for publishing and return the names of its files.

    Args:
        layout: "ali", or "diffusers" for that of a pipeline.

    Raises:
        FolderError: ``out`` is in use.
        MissingExtra: the extra that the layout needs is not installed.
    """
    atomic.refuse_used(out)
    parts = ("encoder", "decoder", "discriminator") if discriminator else ("encoder", "decoder")
    model = ALI.from_pretrained(source, parts=parts, dtype=getattr(torch, dtype))
    with atomic.making(out) as temporary:
        layouts.save(model, temporary, layout)
        layouts.copy_companions(hub.locate(source), temporary)
        card.write(temporary)
    return model_folder.files_of(out, model.config)


def write_pictures(images: Tensor, out: Path, columns: int | None = None) -> None:
    """A PNG grid, or a safetensors file with one tensor, ``images``, by the ending of the name."""
    if out.suffix.lower() == PICTURE:
        save_picture(images, out, columns)
    else:
        write_tensors({"images": images}, out)


def write_tensors(tensors: dict[str, Tensor], out: Path, names: Sequence[str] = ()) -> None:
    """A safetensors file. Names of the rows go into its metadata: ``names``, a JSON list.

    Raises:
        OptionError: another ending.
    """
    if out.suffix.lower() != TENSORS:
        raise OptionError(f"--out is {str(out)!r}; its name has to end in {TENSORS}")
    weights.write(out, tensors, {"names": json.dumps(list(names))} if names else None)


def _chunks(model: ALI, inputs: Inputs) -> Iterator[tuple[Tensor, Tensor | None]]:
    like = next(model.parameters())
    for start in range(0, len(inputs.data), CHUNK):
        rows = slice(start, start + CHUNK)
        condition = None if inputs.condition is None else inputs.condition[rows].to(like.device, like.dtype)
        yield to_unit(inputs.data[rows]).to(like.device, like.dtype), condition
