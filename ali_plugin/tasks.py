"""What the commands do with a trained model, in bounded memory."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from ali_plugin import atomic, model_folder
from ali_plugin.config import CONFIG_NAME
from ali_plugin.devices import resolve_device
from ali_plugin.errors import FolderError, OptionError
from ali_plugin.inputs import Inputs
from ali_plugin.model import ALI
from ali_plugin.model_folder import WEIGHTS_NAME
from ali_plugin.pictures import save_grid

CHUNK = 250
PUBLISHED = ("README.md", "samples.png", "reconstructions.png")


def load_model(source: str, device: str = "auto") -> ALI:
    """A model in eval mode from wherever a command's MODEL says."""
    return ALI.from_pretrained(source, device=resolve_device(device))


def sample(model: ALI, count: int, seed: int) -> Tensor:
    """``count`` draws (N, *data_shape) on the CPU; the same for a seed whatever the device."""
    generator = torch.Generator().manual_seed(seed)
    sizes = [min(CHUNK, count - start) for start in range(0, count, CHUNK)]
    return torch.cat([model.sample(size, generator=generator).cpu() for size in sizes])


def reconstruct(model: ALI, inputs: Inputs) -> Tensor:
    """Reconstructions through the posterior mean, on the CPU."""
    return torch.cat([model.reconstruct(x).cpu() for x in _chunks(model, inputs.x)])


@torch.no_grad()
def encode(model: ALI, inputs: Inputs, seed: int) -> dict[str, Tensor]:
    """``mean`` and ``sample`` of q(z|x), (N, latent_size) each, and ``labels`` where they are known."""
    generator = torch.Generator().manual_seed(seed)
    posteriors = [model.encode(x) for x in _chunks(model, inputs.x)]
    tensors = {
        "mean": torch.cat([posterior.mean.cpu() for posterior in posteriors]),
        "sample": torch.cat([posterior.sample(generator).cpu() for posterior in posteriors]),
    }
    return tensors if inputs.labels is None else {**tensors, "labels": inputs.labels}


def interpolate(model: ALI, inputs: Inputs, steps: int) -> Tensor:
    """Paths (N/2, steps + 2, *data_shape) between samples 0 and 1, 2 and 3, ..., with the originals at both ends.

    Raises:
        OptionError: the number of samples is odd.
    """
    if len(inputs.x) % 2:
        raise OptionError(f"paths go from one picture to the next, {len(inputs.x)} pictures do not make pairs")
    device = next(model.parameters()).device
    a, b = inputs.x[0::2], inputs.x[1::2]
    between = model.interpolate(a.to(device), b.to(device), steps).cpu()
    return torch.cat([a[:, None], between, b[:, None]], 1)


def export(source: str, out: Path, dtype: str, *, discriminator: bool) -> list[str]:
    """Write a model folder for publishing and return the names of its files.

    Raises:
        FolderError: ``out`` is in use.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FolderError(f"{str(out)!r} is in use; name a new folder with --out")
    parts = ("encoder", "decoder", "discriminator") if discriminator else ("encoder", "decoder")
    model = ALI.from_pretrained(source, parts=parts, dtype=getattr(torch, dtype))
    model_folder.save(model, out)
    copied = [name for name in PUBLISHED if (Path(source) / name).is_file()]
    for name in copied:
        shutil.copyfile(Path(source) / name, out / name)
    return [CONFIG_NAME, WEIGHTS_NAME, *copied]


def write_pictures(images: Tensor, out: Path, columns: int | None = None) -> None:
    """A PNG grid, or a safetensors file with one tensor, ``images``, by the ending of the name."""
    if out.suffix.lower() == ".png":
        save_grid(images, out, columns)
    else:
        write_tensors({"images": images}, out)


def write_tensors(tensors: dict[str, Tensor], out: Path) -> None:
    """A safetensors file; OptionError for another ending."""
    if out.suffix != ".safetensors":
        raise OptionError(f"--out is {str(out)!r}; its name has to end in .png or .safetensors")
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    atomic.write_with(out, lambda path: save_file(contiguous, path))


def _chunks(model: ALI, x: Tensor) -> list[Tensor]:
    like = next(model.parameters())
    return [part.to(like.device, like.dtype) for part in x.split(CHUNK)]
