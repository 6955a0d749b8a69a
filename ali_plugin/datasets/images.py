"""Picture files: one of them as an array, and those of a folder with their classes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ali_plugin.errors import DataError

OUTPUTS = ({"train_config.json"}, {"experiment.json"}, {"model_index.json"}, {"config.json", "model.safetensors"})
"""Files by which a folder is known as a run's, an experiment's or a model's: its pictures are no training data."""
SUFFIXES = {".png", ".jpg", ".jpeg"}
MODES = {1: "L", 3: "RGB"}


def read_image(path: Path, data_shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """One picture as uint8 (C, H, W), the right way up, resized by its shorter side and centre-cropped."""
    with Image.open(path) as image:
        return fit_image(image, data_shape)


def fit_image(image: Image.Image, data_shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """See ``read_image``; KeyError for channels other than 1 and 3."""
    channels, height, width = data_shape
    upright = ImageOps.exif_transpose(image).convert(MODES[channels])
    fitted = ImageOps.fit(upright, (width, height), Image.Resampling.BICUBIC)
    return np.asarray(fitted, np.uint8).reshape(height, width, channels).transpose(2, 0, 1)


def list_images(folder: Path) -> list[Path]:
    """The PNG and JPEG files below a folder, sorted; DataError where there are none."""
    if not folder.is_dir():
        raise DataError(f"the data folder {str(folder)!r} does not exist; name one with --data-dir")
    found = sorted(path for path in _below(folder) if path.suffix.lower() in SUFFIXES and path.is_file())
    if not found:
        raise DataError(f"{str(folder)!r} has no PNG or JPEG files")
    return found


def _below(folder: Path) -> Iterator[Path]:
    """What is in a folder and its subfolders, except for what the program has made there (``--data-dir .``)."""
    for place, folders, names in os.walk(folder):
        here = Path(place)
        folders[:] = [name for name in folders if not is_output(here / name)]
        yield from (here / name for name in names)


def is_output(folder: Path) -> bool:
    """Whether a folder is one that the program writes: of a run, an experiment or a model."""
    return any(all((folder / name).is_file() for name in names) for names in OUTPUTS)


def class_names(files: Sequence[Path], folder: Path) -> tuple[str, ...]:
    """The subfolders that hold the files; none if any file lies outside of them."""
    parts = [path.relative_to(folder).parts for path in files]
    return () if any(len(part) == 1 for part in parts) else tuple(sorted({part[0] for part in parts}))


def class_numbers(files: Sequence[Path], folder: Path, classes: Sequence[str]) -> NDArray[np.int64]:
    """The number of each file's class, (N,)."""
    number = {name: i for i, name in enumerate(classes)}
    return np.array([number[path.relative_to(folder).parts[0]] for path in files], np.int64)


def unreadable_note(unreadable: Sequence[str]) -> tuple[str, ...]:
    """A sentence about files that are left out, if there are any."""
    if not unreadable:
        return ()
    named = "; ".join(unreadable[:5]) + ("; ..." if len(unreadable) > 5 else "")
    return (f"{len(unreadable)} pictures could not be read and are left out: {named}",)
