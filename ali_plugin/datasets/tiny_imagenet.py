"""Tiny ImageNet: small centre crops of ImageNet, from a folder of JPEG files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ali_plugin.datasets.cache import decoded
from ali_plugin.datasets.listing import class_names, class_numbers, drawn, is_hidden, list_images
from ali_plugin.datasets.split import DataSplit, Split
from ali_plugin.errors import DataError

ANNOTATIONS = "val_annotations.txt"
MAX_ANNOTATIONS = 1 << 26  # bytes
HELD_OUT_EVERY = 20


def tiny_imagenet(split: Split, data_dir: Path | None = None, data_shape: tuple[int, ...] = (), **_: Any) -> DataSplit:
    """ImageNet's pictures, resized by the shorter side and centre-cropped to ``data_shape``.

    Reads ``data_dir/train/WNID/**`` and ``data_dir/val``, the latter with a folder for each WNID (ImageNet)
    or with val_annotations.txt (Tiny ImageNet's own layout). Test is ``val``, since the published test set has no
    labels; validation is a twentieth of ``train``, drawn in each class with a fixed seed.

    Raises:
        DataError: the folder is of another set.
    """
    root = data_dir or Path("data") / "tiny-imagenet-200"
    part = "val" if split == "test" else "train"
    folder = root / part
    if not folder.is_dir() or not (root / "train").is_dir():
        raise DataError(
            f"{str(root)!r} is no (Tiny) ImageNet folder: it lacks train/WNID/*.JPEG and val; name it with --data-dir"
        )
    try:
        found = [path.name for path in (root / "train").iterdir() if path.is_dir()]
    except OSError as error:
        raise DataError(f"{str(root / 'train')!r} cannot be read: {error.strerror}") from error
    classes = tuple(sorted(name for name in found if not is_hidden(name)))
    listing = list_images(folder)
    labels = _labels(listing.found, folder, classes)
    rows = np.arange(len(labels)) if split == "test" else _part(drawn(listing.found, labels), split)
    names, labels = [listing.found[i] for i in rows.tolist()], labels[rows]
    pictures = decoded(folder, names, data_shape, f"tiny-imagenet-{split}")
    return DataSplit(
        pictures.data,
        labels[pictures.kept],
        classes,
        (*listing.notes(), *pictures.notes),
        files=tuple(f"{part}/{name}" for name in names),
        digest=pictures.digest,
    )


def _part(order: NDArray[np.int64], split: Split) -> NDArray[np.int64]:
    """The rows of the training or validation part, sorted, so that files are read in their order on the disk."""
    held_out = max(1, len(order) // HELD_OUT_EVERY)
    return np.sort(order[:held_out] if split == "validation" else order[held_out:])


def _labels(names: Sequence[str], folder: Path, classes: tuple[str, ...]) -> NDArray[np.int64]:
    try:
        if not (folder / ANNOTATIONS).is_file():
            if not class_names(names):
                raise DataError(f"{str(folder)!r} has pictures outside of class folders and no {ANNOTATIONS}")
            return class_numbers(names, classes)
        if (folder / ANNOTATIONS).stat().st_size > MAX_ANNOTATIONS:
            raise DataError(f"{str(folder / ANNOTATIONS)!r} is larger than {MAX_ANNOTATIONS:,} bytes, no such file is")
        rows = [line.split("\t") for line in (folder / ANNOTATIONS).read_text().splitlines()]
        number = {row[0]: classes.index(row[1]) for row in rows}
        return np.array([number[name.rpartition("/")[2]] for name in names], np.int64)
    except OSError as error:
        raise DataError(f"{str(folder / ANNOTATIONS)!r} cannot be read: {error.strerror}") from error
    except (KeyError, ValueError, IndexError) as error:
        raise DataError(f"{str(folder)!r} has a picture or class that train does not know: {error}") from error
