"""The embedded subset of Fashion-MNIST (Xiao et al., 2017)."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import numpy as np

from ali_plugin.datasets.split import DataSplit, Split
from ali_plugin.datasets.torchvision_sets import FASHION_CLASSES


def fashion_mini(split: Split, **_: Any) -> DataSplit:
    """2,000 training, 500 validation and 500 test images, class balanced, inside the package; no download."""
    source = files("ali_plugin.datasets") / "data" / "fashion_mini.npz"
    with source.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
    return DataSplit(images[:, None], labels.astype(np.int64), FASHION_CLASSES)  # (N, 1, 28, 28)
