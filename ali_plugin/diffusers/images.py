"""Pictures as the host's users hold them, and as tensors (B, *data_shape)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from diffusers.image_processor import VaeImageProcessor
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ali_plugin.datasets.split import to_unit
from ali_plugin.errors import OptionError, PartMismatch
from ali_plugin.pictures.decode import MODES, fit_image

Picture = Image.Image | NDArray[Any] | Tensor
Images = Picture | Sequence[Picture]
OUTPUT_TYPES = ("pil", "np", "pt")


def to_tensor(images: Images, data_shape: tuple[int, ...]) -> Tensor:
    """Data (B, *data_shape), pictures in [0, 1].

    Args:
        images: PIL images of any size, which are fitted; arrays (B, H, W, C) or tensors (B, C, H, W) of the
            model's own size, in [0, 1] or uint8; one of them without its batch dimension, or a list of any.

    Raises:
        PartMismatch: they are of another shape.
        OptionError: there are none.
    """
    batch = [images] if isinstance(images, Image.Image | np.ndarray | Tensor) else list(images)
    if not batch:
        raise OptionError("no pictures are given")
    tensors = [_batched(image, data_shape) for image in batch]
    for tensor in tensors:
        if tuple(tensor.shape[1:]) != data_shape:
            raise PartMismatch(f"the model takes data of shape {data_shape}, got {tuple(tensor.shape[1:])}")
    return torch.cat(tensors)


def _batched(image: Picture, data_shape: tuple[int, ...]) -> Tensor:
    """One picture, or a batch of them, as (B, ...)."""
    if isinstance(image, Image.Image):
        if not _are_pictures(data_shape):
            raise PartMismatch(f"the model takes data of shape {data_shape}, no pictures")
        return to_unit(torch.from_numpy(fit_image(image, data_shape).copy()))[None]
    data = to_unit(torch.as_tensor(image))
    data = data if data.ndim > len(data_shape) else data[None]
    return data.movedim(-1, 1) if isinstance(image, np.ndarray) and len(data_shape) == 3 else data


def check_output_type(output_type: str, data_shape: tuple[int, ...]) -> None:
    """Raise OptionError for a type that there is not, or that the data cannot have."""
    if output_type not in OUTPUT_TYPES:
        raise OptionError(f"output_type is {output_type!r}, not one of {', '.join(OUTPUT_TYPES)}")
    if output_type == "pil" and not _are_pictures(data_shape):
        raise OptionError(f"data of shape {data_shape} are no pictures; take output_type 'np' or 'pt'")


def from_tensor(x: Tensor, output_type: str) -> list[Image.Image] | NDArray[np.float32] | Tensor:
    """The reverse of ``to_tensor``, as ``output_type`` says."""
    if output_type == "pt":
        return x
    if output_type == "pil":
        pictures: list[Image.Image] = VaeImageProcessor.numpy_to_pil(VaeImageProcessor.pt_to_numpy(x.clamp(0, 1)))
        return pictures
    array: NDArray[np.float32] = VaeImageProcessor.pt_to_numpy(x) if x.ndim == 4 else x.float().cpu().numpy()
    return array


def _are_pictures(data_shape: tuple[int, ...]) -> bool:
    return len(data_shape) == 3 and data_shape[0] in MODES
