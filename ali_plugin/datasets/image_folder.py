"""A person's own pictures: a folder of PNG and JPEG files, with or without a subfolder for each class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ali_plugin.datasets.cache import decoded
from ali_plugin.datasets.images import MODES, class_names, class_numbers, list_images, unreadable_note
from ali_plugin.datasets.split import DataSplit, Split
from ali_plugin.errors import DataError, PartMismatch

HELD_OUT_EVERY = 10


def image_folder(split: Split, data_dir: Path | None = None, data_shape: tuple[int, ...] = (), **_: Any) -> DataSplit:
    """Every picture below ``data_dir``, resized (shorter side) and centre-cropped to ``data_shape``.

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
    everything = list_images(data_dir)
    classes = class_names(everything, data_dir)
    files = _of_split(everything, split)
    part = "train" if split == "train" else "held-out"
    pictures = decoded(files, data_dir, data_shape, f"image-folder-{part}")
    labels = class_numbers(files, data_dir, classes)[pictures.kept] if classes else None
    names = tuple(path.relative_to(data_dir).as_posix() for path in everything)
    return DataSplit(pictures.data, labels, classes, unreadable_note(pictures.unreadable), names, pictures.digest)


def _of_split(paths: list[Path], split: Split) -> list[Path]:
    if len(paths) < 2:
        return paths  # nothing to hold out
    held_out = split != "train"
    return [path for i, path in enumerate(paths) if (i % HELD_OUT_EVERY == 0) == held_out]
