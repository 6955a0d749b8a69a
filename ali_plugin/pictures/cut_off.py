"""Picture files that end too soon: how much of one is there.

Such a file is decoded twice, and what is missing shows two different grounds: in a JPEG, whose decoder fills in the
rest, two ways to go on; in other formats, two colours that were there before. ``ImageFile.LOAD_TRUNCATED_IMAGES`` is
not used: it holds for the whole process, and does not say what is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile

END_OF_IMAGE, START_OF_SCAN = b"\xff\xd9", b"\xff\xda"
NOISE = bytes((37 * i + 90) % 255 for i in range(4096))  # for compressed data; none of it begins a marker
INKS = (0, 255)
STRIP = 64  # rows that are compared at once


def is_cut_off(error: OSError) -> bool:
    """Whether it is Pillow's for a file that ends while its pixels are read."""
    return "file is truncated" in str(error)


def what_is_there(file: BinaryIO, opened: Callable[[BinaryIO], ImageFile]) -> tuple[ImageFile, range]:
    """The picture of a file that is cut off, and which of its rows are there.

    All rows of a progressive JPEG are there when its first scan is, though with less detail.

    Args:
        opened: makes an image of a file without decoding it.

    Raises:
        OSError: what is there cannot be decoded, as where the file ends inside a table.
    """
    file.seek(0)
    image = opened(file)
    if not isinstance(image, JpegImageFile):
        one, other = (_on_ground(file, opened, ink) for ink in INKS)
        return one, _rows_alike(one, other)
    start = image.fp.tell() if image.fp else 0
    file.seek(0)
    content = file.read().rstrip(b"\xff")
    image = opened(BytesIO(content + END_OF_IMAGE))
    image.load()
    if "progressive" in image.info and content.find(START_OF_SCAN, start) >= 0:
        return image, range(image.height)
    other = opened(BytesIO(content + NOISE + END_OF_IMAGE))
    other.load()
    return image, _rows_alike(image, other)


def _on_ground(file: BinaryIO, opened: Callable[[BinaryIO], ImageFile], ink: int) -> ImageFile:
    """As much of a file as can be decoded, on a ground of one colour."""
    file.seek(0)
    image = opened(file)
    prepare = image.load_prepare

    def with_ground() -> None:
        prepare()
        image.im.paste(ink, (0, 0, *image.im.size))

    image.load_prepare = with_ground  # type: ignore[method-assign]
    with suppress(OSError):
        image.load()
    image.tile = []  # nothing of it is left to be decoded
    return image


def _rows_alike(one: ImageFile, other: ImageFile) -> range:
    """The rows from the top that are the same, or those to the bottom of a format that begins there, as BMP does."""
    strips = [(0, top, one.width, min(top + STRIP, one.height)) for top in range(0, one.height, STRIP)]
    differing = np.flatnonzero(np.concatenate([_rows_that_differ(one.crop(box), other.crop(box)) for box in strips]))
    if not len(differing):
        return range(one.height)
    return range(int(differing[0])) if differing[0] else range(int(differing[-1]) + 1, one.height)


def _rows_that_differ(one: Image, other: Image) -> NDArray[np.bool_]:
    differ = np.asarray(one) != np.asarray(other)
    rows: NDArray[np.bool_] = np.logical_or.reduce(differ.reshape(len(differ), -1), axis=1)
    return rows
