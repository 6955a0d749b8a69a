"""A person's own pictures: a folder of picture files, with or without a subfolder for each class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ali_plugin.datasets.cache import decoded
from ali_plugin.datasets.listing import (
    class_names,
    class_numbers,
    drawn,
    list_images,
    printable_names,
)
from ali_plugin.datasets.split import DataSplit, Split
from ali_plugin.errors import DataError
from ali_plugin.pictures.background import WHITE
from ali_plugin.pictures.decode import check_shape
from ali_plugin.support import dry_run

HELD_OUT_SHARE = 0.1  # half of it for validation, half for test
FEW, LEAST = 8, 2  # from so many pictures on, validation and test have at least so many each; below that, one each


def image_folder(
    split: Split,
    data_dir: Path | None = None,
    data_shape: tuple[int, ...] = (),
    background: str = WHITE,
    **_: Any,
) -> DataSplit:
    """Every picture below ``data_dir``, resized (shorter side) and centre-cropped to ``data_shape``.

    Subfolders of ``data_dir`` are the classes. Of each class a tenth is held out, drawn with a fixed seed: half of it
    for validation and half for test. Files that are passed over or cannot be read are in ``notes``.

    Raises:
        DataError: no folder, no pictures, or none that can be read.
        PartMismatch: the architecture is not made for pictures.
    """
    check_shape(data_shape)
    if data_dir is None:
        raise DataError("image-folder needs --data-dir, a folder of pictures")
    listing = list_images(data_dir)
    classes = class_names(listing.files, data_dir)
    labels = class_numbers(listing.files, data_dir, classes) if classes else np.zeros(len(listing.files), np.int64)
    order = drawn(listing, labels)
    pictures = decoded([listing.files[i] for i in order], data_dir, data_shape, "image-folder", background)
    order = order[pictures.kept]  # file numbers of the pictures
    part, note = _part(len(order), split)
    names = listing.names()
    notes = (*listing.notes(), *pictures.notes, *note)
    if dry_run.active.get():
        notes += ("a dry run decodes nothing, so files that cannot be read still count",)
    return DataSplit(
        pictures.data[part],
        labels[order[part]] if classes else None,
        printable_names(classes),
        notes,
        tuple(names[i] for i in order[part]),
        files=tuple(names),
        digest=pictures.digest,
    )


def _part(count: int, split: Split) -> tuple[slice, tuple[str, ...]]:
    """The rows of a split, in the order of ``drawn``: test, validation, train; and what to say about few of them."""
    if count == 1:
        return slice(1), ("there is one picture: it is trained on, and held out",)
    if count == 2:
        return (slice(1, 2) if split == "train" else slice(1)), (
            "there are two pictures: one is trained on, the other is both validation and test",
        )
    half = round(count * HELD_OUT_SHARE / 2)
    least = LEAST if count >= FEW else 1
    note = (f"of {count} pictures, {least} are for validation and {least} for test",) if half < least else ()
    half = max(half, least)
    return {"test": slice(half), "validation": slice(half, 2 * half), "train": slice(2 * half, None)}[split], note
