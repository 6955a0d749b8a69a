"""A person's own pictures: a folder of PNG and JPEG files, with or without a subfolder for each class."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ali_plugin.datasets.split import DataSplit, Split
from ali_plugin.errors import DataError, PartMismatch

SUFFIXES = {".png", ".jpg", ".jpeg"}
HELD_OUT_EVERY = 10
MODES = {1: "L", 3: "RGB"}


def image_folder(split: Split, data_dir: Path | None = None, data_shape: tuple[int, ...] = (), **_: Any) -> DataSplit:
    """Read every picture below ``data_dir``, resized (shorter side) and centre-cropped to ``data_shape``.

    Subfolders of ``data_dir`` are the classes. Of the sorted files every tenth is held out for validation,
    which is also the test split. Files that cannot be read are left out and named in ``notes``.

    Raises:
        DataError: no folder, no pictures, or none that can be read.
        PartMismatch: the architecture is not made for pictures.
    """
    if len(data_shape) != 3 or data_shape[0] not in MODES:
        raise PartMismatch(f"image-folder gives 1- or 3-channel pictures, the architecture takes {data_shape}")
    if data_dir is None:
        raise DataError("image-folder needs --data-dir, a folder of PNG or JPEG files")
    chosen = _of_split(list_images(data_dir), split)
    images, labels, unreadable = [], [], []
    classes = class_names(data_dir)
    for path in chosen:
        try:
            images.append(read_image(path, data_shape))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            unreadable.append(f"{path.relative_to(data_dir)}: {error}")
            continue
        if classes:
            labels.append(classes.index(path.relative_to(data_dir).parts[0]))
    if not images:
        raise DataError(f"none of the {len(chosen)} pictures in {data_dir} can be read, such as {unreadable[0]}")
    return DataSplit(
        np.stack(images), np.array(labels, np.int64) if classes else None, classes, tuple(_notes(unreadable))
    )


def list_images(folder: Path) -> list[Path]:
    """The PNG and JPEG files below a folder, sorted; DataError where there are none."""
    if not folder.is_dir():
        raise DataError(f"the data folder {str(folder)!r} does not exist; name one with --data-dir")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not found:
        raise DataError(f"{str(folder)!r} has no PNG or JPEG files")
    return found


def class_names(folder: Path) -> tuple[str, ...]:
    """The subfolders that hold the pictures; none if any picture lies outside of them."""
    parts = [path.relative_to(folder).parts for path in list_images(folder)]
    return () if any(len(part) == 1 for part in parts) else tuple(sorted({part[0] for part in parts}))


def read_image(path: Path, data_shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """One picture as uint8 (C, H, W), the right way up, resized by its shorter side and centre-cropped."""
    channels, height, width = data_shape
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image).convert(MODES[channels])
        fitted = ImageOps.fit(upright, (width, height), Image.Resampling.BICUBIC)
    return np.asarray(fitted, np.uint8).reshape(height, width, channels).transpose(2, 0, 1)


def _of_split(paths: list[Path], split: Split) -> list[Path]:
    if len(paths) < 2:
        return paths  # nothing to hold out
    held_out = split != "train"
    return [path for i, path in enumerate(paths) if (i % HELD_OUT_EVERY == 0) == held_out]


def _notes(unreadable: list[str]) -> Iterator[str]:
    if unreadable:
        named = "; ".join(unreadable[:5]) + ("; ..." if len(unreadable) > 5 else "")
        yield f"{len(unreadable)} pictures could not be read and are left out: {named}"
