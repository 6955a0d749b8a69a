"""The mixture of 25 Gaussians in the plane (figure 5)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ali_plugin.datasets.split import DataSplit, Split

MEANS: NDArray[np.float64] = np.array([(x, y) for x in (-4, -2, 0, 2, 4) for y in (-4, -2, 0, 2, 4)], np.float64)
STDDEV = 0.05
SIZES = {"train": 100_000, "validation": 10_000, "test": 10_000}


def mixture(split: Split, **_: Any) -> DataSplit:
    """100,000 / 10,000 / 10,000 points with equal weights, float32 (N, 2), always the same; labels are the modes."""
    random = np.random.default_rng([25, list(SIZES).index(split)])
    modes = random.integers(len(MEANS), size=SIZES[split])
    points = MEANS[modes] + STDDEV * random.standard_normal((SIZES[split], 2))
    return DataSplit(points.astype(np.float32), modes.astype(np.int64), tuple(f"{x:g},{y:g}" for x, y in MEANS))
