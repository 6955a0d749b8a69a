"""Grids of pictures as PNG files."""

from __future__ import annotations

from math import ceil, sqrt
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import pad

from ali_plugin.errors import OptionError, PartMismatch
from ali_plugin.pictures.decode import MAX_PIXELS
from ali_plugin.support import atomic

MAX_PICTURES = 4096
LEGIBLE = 64  # pixels of a picture's longer side, to which small ones are enlarged
PIXELS, EXTENT = 400, 5.0  # of a picture of points: width, and the smallest range it shows


def grid(images: Tensor, columns: int | None = None) -> Image.Image:
    """Pictures (N, C, H, W) in [0, 1] as one, row by row; small ones are enlarged so that a person sees them.

    Args:
        columns: about the square root of N if None.

    Raises:
        PartMismatch: the data are no pictures.
        OptionError: too many for one file, which is to be read again.
    """
    _refuse_what_is_no_picture(images)
    height, width = images.shape[-2:]
    zoom = max(1, LEGIBLE // max(height, width))
    most = min(MAX_PICTURES, MAX_PIXELS // (zoom * zoom * (height + 1) * (width + 1)))
    if len(images) > most:
        raise OptionError(f"{len(images)} pictures of {height}x{width} are too many for one PNG (at most {most}); "
                          "write a .safetensors file")  # fmt: skip
    whole = _tiled(images.detach().float().cpu().clamp(0, 1), columns or ceil(sqrt(len(images))))
    picture = _of_bytes(whole)
    return picture.resize((picture.width * zoom, picture.height * zoom), Image.Resampling.NEAREST)


def _of_bytes(image: Tensor) -> Image.Image:
    """A picture (C, H, W) in [0, 1] in 8 bits: grey, or in colours."""
    pixels = image.mul(255).round().to(torch.uint8).permute(1, 2, 0).numpy()  # (H, W, C)
    return Image.fromarray(np.ascontiguousarray(pixels if pixels.shape[2] == 3 else pixels[..., 0]))


def _tiled(images: Tensor, columns: int) -> Tensor:
    """Pictures (N, C, H, W) as one (3, H', W') with a black line around each.

    It is torchvision's ``make_grid``, whose import takes as long as torch's own.
    """
    count, _, height, width = images.shape
    coloured = images.expand(-1, 3, -1, -1)
    if count == 1:
        return coloured[0]
    columns = min(columns, count)
    rows = ceil(count / columns)
    lined = pad(coloured, (1, 0, 1, 0))
    blank = lined.new_zeros(rows * columns - count, 3, height + 1, width + 1)
    whole = torch.cat([lined, blank]).unflatten(0, (rows, columns)).permute(2, 0, 3, 1, 4)
    return pad(whole.reshape(3, rows * (height + 1), columns * (width + 1)), (0, 1, 0, 1))


def save_grid(images: Tensor, path: Path, columns: int | None = None) -> None:
    """Write pictures as one PNG; see ``grid``."""
    picture = grid(images, columns)
    atomic.write_with(path, lambda temporary: picture.save(temporary, "PNG"))


def save_each(images: Tensor, folder: Path) -> None:
    """Write pictures (N, C, H, W) in [0, 1] into a new folder, 000000.png and so on, each in its own size.

    Raises:
        PartMismatch: the data are no pictures.
        FolderError: the folder cannot be written.
    """
    _refuse_what_is_no_picture(images)
    with atomic.making(folder) as temporary:
        for i, image in enumerate(images.detach().float().cpu().clamp(0, 1)):
            _of_bytes(image).save(temporary / f"{i:06}.png", "PNG")


def save_picture(data: Tensor, path: Path, columns: int | None = None) -> None:
    """Write data as a PNG: pictures as a grid, points of the plane as their density."""
    if data.shape[1:] == (2,):
        save_points(data, path)
    else:
        save_grid(data, path, columns)


def save_points(points: Tensor, path: Path) -> None:
    """Write points (N, 2) as one PNG of their density on a square that holds them, darker where there are more."""
    xy = points.detach().float().cpu().numpy()
    reach = max(EXTENT, float(np.abs(xy).max()) * 1.02)
    counts, _, _ = np.histogram2d(xy[:, 1], xy[:, 0], bins=PIXELS, range=[[-reach, reach]] * 2)
    shade = 255 * (1 - np.sqrt(counts / max(counts.max(), 1)))
    picture = Image.fromarray(shade[::-1].round().astype(np.uint8))  # the second coordinate grows upwards
    atomic.write_with(path, lambda temporary: picture.save(temporary, "PNG"))


def _refuse_what_is_no_picture(images: Tensor) -> None:
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise PartMismatch(f"data of shape {tuple(images.shape[1:])} are no pictures with 1 or 3 channels")


def side_by_side(left: Tensor, right: Tensor) -> Tensor:
    """Alternate two batches (N, C, H, W): odd columns of a grid show the left ones, even columns the right."""
    return torch.stack([left.cpu(), right.cpu()], 1).flatten(0, 1)  # (2N, C, H, W)
