"""Drawn shapes: a disc, square, ring or cross of random size, place and colour on a dark ground."""

from __future__ import annotations

from typing import Any

import numpy as np
from ali_plugin.datasets.split import SPLITS, DataSplit, Split
from ali_plugin.errors import PartMismatch
from numpy.typing import NDArray

CLASSES = ("disc", "square", "ring", "cross")
COUNT = {"train": 4000, "validation": 500, "test": 500}
Maps = NDArray[np.float64]


def shapes(split: Split, data_shape: tuple[int, ...] = (), **_: Any) -> DataSplit:
    """Draw a split for an architecture of ``data_shape``; the same pictures each time.

    Returns:
        uint8 pictures (N, *data_shape), grey for one channel and coloured for three, and their classes.

    Raises:
        PartMismatch: the architecture does not take pictures of 1 or 3 channels.
    """
    if len(data_shape) != 3 or data_shape[0] not in (1, 3):
        raise PartMismatch(f"shapes are pictures of 1 or 3 channels, the architecture takes {data_shape}")
    channels, height, width = data_shape
    random = np.random.default_rng([SPLITS.index(split), *data_shape])
    count = COUNT[split]
    labels = random.integers(0, len(CLASSES), count)
    scale = min(height, width)
    radius = random.uniform(0.15, 0.3, (count, 1, 1)) * scale
    centre = random.uniform(0.35, 0.65, (2, count, 1, 1))
    rows, columns = np.mgrid[:height, :width] + 0.5
    down, across = np.abs(rows - centre[0] * height), np.abs(columns - centre[1] * width)  # (N, H, W)
    distance = np.choose(labels[:, None, None], distances(across, down, radius))
    covered = np.clip(0.5 - distance, 0, 1)  # of each pixel; edges are one pixel wide
    colour = random.uniform(0.4, 1, (count, channels, 1, 1))
    pictures = (255 * covered[:, None] * colour).round().astype(np.uint8)  # (N, C, H, W)
    return DataSplit(pictures, labels.astype(np.int64), CLASSES)


def distances(across: Maps, down: Maps, radius: Maps) -> list[Maps]:
    """For each class the signed distance in pixels to its edge, negative inside."""
    from_centre = np.hypot(across, down)
    thickness = radius / 3
    bars = np.minimum(np.maximum(across - thickness, down - radius), np.maximum(across - radius, down - thickness))
    return [
        from_centre - radius,
        np.maximum(across, down) - radius,
        np.abs(from_centre - radius) - thickness,
        bars,
    ]
