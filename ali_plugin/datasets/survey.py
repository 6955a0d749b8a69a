"""A look at a person's own pictures: what decides how large they are trained, in which colours, and for how long."""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ali_plugin.datasets.listing import drawn, list_images
from ali_plugin.errors import DataError
from ali_plugin.pictures.background import WHITE
from ali_plugin.pictures.decode import read_image, size_of
from ali_registry.text import printable

LOOKED_AT = 256  # pictures, drawn by their names
DECODED = 1 << 28  # pixels of them, about, that are decoded; large photographs are fewer
SIDE = 64  # as which they are compared
TINT = 10  # of 255: by how much the channels of a grey picture differ at most
OBLONG = 1.25  # from which ratio of their sides on pictures lose much by being cropped to a square
ALIKE = 2.0  # the ratio of ``_handedness`` up to which a mirrored picture could be one of the set


@dataclass(frozen=True)
class Survey:
    """What some of the pictures say of all.

    Attributes:
        count: of all picture files.
        side: of the shorter sides, the one in the middle, in pixels.
        coloured: at least one picture has colours.
        mirrored: pictures mirrored left to right look as if they were of the set, too.
        aspect: height over width of the picture in the middle, where three quarters of them are clearly high, or
            clearly wide; else 1.
    """

    count: int
    side: int
    coloured: bool
    mirrored: bool
    aspect: float = 1.0


def survey(data_dir: Path, background: str = WHITE) -> Survey:
    """Look at the pictures below a folder, at all of them where they are few.

    Files that cannot be read are passed over here; who reads the pictures counts them.

    Args:
        background: under what is transparent, whose colour is one of the pictures'.

    Raises:
        DataError: no folder, no pictures, or none that can be read.
    """
    listing = list_images(data_dir)
    order = drawn(listing.found, np.zeros(len(listing.found), np.int64))[:LOOKED_AT]
    sizes: list[tuple[int, int]] = []
    small = list(_looked_at([data_dir / listing.found[i] for i in order.tolist()], data_dir, background, sizes))
    pictures = np.stack(small).astype(np.float32)  # (N, 3, SIDE, SIDE)
    tint = np.ptp(pictures, axis=1).max()
    return Survey(
        count=len(listing.found),
        side=round(statistics.median(map(min, sizes))),
        coloured=tint > TINT,
        mirrored=_handedness(pictures) <= ALIKE,
        aspect=_aspect(sizes),
    )


def _looked_at(
    files: list[Path], root: Path, background: str, sizes: list[tuple[int, int]]
) -> Iterator[NDArray[np.uint8]]:
    """Small copies of the pictures that can be read, and into ``sizes`` the height and width of each.

    Raises:
        DataError: none of them can be read.
    """
    reason, pixels = "", 0
    for path in files:
        try:
            with warnings.catch_warnings():  # Pillow's, which name no file
                warnings.simplefilter("ignore")
                size = size_of(path)
                small = read_image(path, (3, SIDE, SIDE), background) if pixels <= DECODED else None
        except DataError as error:
            reason = reason or printable(f"{path.relative_to(root)}: {error}", 400)
            continue
        sizes.append(size)
        pixels += min(size) ** 2
        if small is not None:
            yield small
    if not sizes:
        raise DataError(f"none of the {len(files)} pictures in {root} can be read, such as {reason}")


def _aspect(sizes: list[tuple[int, int]]) -> float:
    ratios = [height / width for height, width in sizes]
    low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75]).tolist()
    return float(middle) if low >= OBLONG or high <= 1 / OBLONG else 1.0


def _handedness(pictures: NDArray[np.float32]) -> float:
    """How much the differences of pictures (N, C, H, W) from their mirror images agree with each other.

    About 1 where left and right are chance, as in most photographs, and up to N where all look the same way, as
    digits and letters do: the squared length of the summed differences over the sum of the squared lengths.
    """
    differences = pictures - pictures[..., ::-1]
    lengths = float(np.square(differences).sum())
    return float(np.square(differences.sum(0)).sum()) / lengths if lengths else 1.0
