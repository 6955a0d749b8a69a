"""Pictures with numbers below them, and beside each a map of heat, as one PNG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ali_plugin.errors import PartMismatch
from ali_plugin.support import atomic

LEAST, GAP, LINE = 64, 6, 14  # pixels: the least width of a picture, between pictures, of a line of text
WIDEST = 900  # pixels of a row
INK, PAPER = (40, 40, 40), (255, 255, 255)
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Group:
    """Pictures under one title.

    Attributes:
        images: (N, C, H, W) in [0, 1]; captions: a line for each.
        maps: (N, H, W) in [0, 1], None to show none.
    """

    title: str
    images: Tensor
    captions: Sequence[str]
    maps: Tensor | None = None


def save_groups(groups: Sequence[Group], path: Path) -> None:
    """Write groups below each other.

    Raises:
        PartMismatch: the data are no pictures with one or three channels.
    """
    blocks = [_block(group) for group in groups if len(group.images)]
    sheet = Image.new("RGB", (max(block.width for block in blocks), sum(block.height for block in blocks)), PAPER)
    top = 0
    for block in blocks:
        sheet.paste(block, (0, top))
        top += block.height
    atomic.write_with(path, lambda temporary: sheet.save(temporary, "PNG"))


def heat(values: Tensor) -> Pixels:
    """Values (..., H, W) in [0, 1] as colours (..., H, W, 3), from black over red and yellow to white."""
    level = 3 * values.float().cpu().clamp(0, 1).numpy()[..., None]
    return np.rint(255 * np.clip(level - np.arange(3), 0, 1)).astype(np.uint8)


def _block(group: Group) -> Image.Image:
    if group.images.ndim != 4 or group.images.shape[1] not in (1, 3):
        raise PartMismatch(f"data of shape {tuple(group.images.shape[1:])} are no pictures with 1 or 3 channels")
    tiles = [_tile(group, i) for i in range(len(group.images))]
    width, height = tiles[0].width + GAP, tiles[0].height + LINE + GAP
    columns = max(1, min(len(tiles), WIDEST // width))
    block = Image.new("RGB", (GAP + columns * width, GAP + LINE + -(-len(tiles) // columns) * height), PAPER)
    draw, font = ImageDraw.Draw(block), ImageFont.load_default()
    draw.text((GAP, GAP // 2), group.title, INK, font)
    for i, (tile, caption) in enumerate(zip(tiles, group.captions, strict=True)):
        left, top = GAP + i % columns * width, GAP + LINE + i // columns * height
        block.paste(tile, (left, top))
        draw.text((left, top + tile.height), caption, INK, font)
    return block


def _tile(group: Group, i: int) -> Image.Image:
    """A picture, enlarged by whole numbers so that a person sees it, with its map on its right."""
    picture = np.rint(255 * group.images[i].float().cpu().clamp(0, 1).numpy()).astype(np.uint8).transpose(1, 2, 0)
    parts = [np.repeat(picture, 3, 2) if picture.shape[2] == 1 else picture]
    if group.maps is not None:
        parts.append(heat(group.maps[i]))
    joined = np.concatenate(parts, 1)
    zoom = max(1, -(-LEAST // picture.shape[1]))
    return Image.fromarray(np.ascontiguousarray(joined.repeat(zoom, 0).repeat(zoom, 1)))
