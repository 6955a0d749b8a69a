"""Fashion-MNIST (Xiao et al., 2017): the embedded subset, and the complete set through torchvision."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from ali_plugin.datasets.split import DataSplit, Split
from ali_plugin.errors import DataError

CLASSES = (
    "T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
HELD_OUT = 5000  # of the 60,000 training images, for validation


def fashion_mini(split: Split, **_: Any) -> DataSplit:
    """2,000 training and 500 test images, class balanced, inside the package; no download.

    There is no third part: "validation" and "test" are the same 500 images.
    """
    source = files("ali_plugin.datasets") / "data" / "fashion_mini.npz"
    part = "train" if split == "train" else "test"
    with source.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        images, labels = arrays[f"{part}_images"], arrays[f"{part}_labels"]
    return DataSplit(images[:, None], labels.astype(np.int64), CLASSES)  # (N, 1, 28, 28)


def fashion_mnist(split: Split, data_dir: Path | None = None, **_: Any) -> DataSplit:
    """The complete set: 55,000 training, 5,000 validation (the last of the 60,000) and 10,000 test images.

    Reads torchvision's folder ``data_dir/FashionMNIST/raw`` and downloads into it what is not there.

    Raises:
        DataError: the files are not there and cannot be downloaded, or are damaged.
    """
    from torchvision.datasets import FashionMNIST

    root = data_dir or Path("data")
    part = "test" if split == "test" else "train"
    try:
        try:
            found = FashionMNIST(str(root), train=part == "train")
        except RuntimeError:  # torchvision's "Dataset not found"
            found = FashionMNIST(str(root), train=part == "train", download=True)
        images, labels = found.data.numpy()[:, None], found.targets.numpy()  # (N, 1, 28, 28)
    except Exception as error:  # torchvision raises what its parser meets: ValueError, AssertionError, ...
        raw = root / "FashionMNIST" / "raw"
        raise DataError(
            f"fashion-mnist cannot be read or downloaded ({_first_line(error)}); put "
            f"train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and "
            f"t10k-labels-idx1-ubyte into {raw}, or name another folder with --data-dir"
        ) from error
    if split == "train":
        images, labels = images[:-HELD_OUT], labels[:-HELD_OUT]
    elif split == "validation":
        images, labels = images[-HELD_OUT:], labels[-HELD_OUT:]
    return DataSplit(images, labels, CLASSES)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
