"""The structural similarity index (Wang et al., 2004)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import conv2d

WINDOW, DEVIATION = 11, 1.5
C1, C2 = 0.01**2, 0.03**2  # for pictures in [0, 1]


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """The index (B,) of picture pairs (B, C, H, W) in [0, 1], averaged over channels and positions.

    The window is the authors' 11x11 Gaussian, cut to the picture where that is smaller; only positions count
    where it lies within the picture.
    """
    channels = a.shape[1]
    rows, columns = (_gaussian(min(WINDOW, size)).to(a) for size in a.shape[2:])
    kernel = (rows[:, None] * columns[None]).expand(channels, 1, -1, -1)

    def local(x: Tensor) -> Tensor:
        return conv2d(x, kernel, groups=channels)

    mean_a, mean_b = local(a), local(b)
    variance_a = local(a * a) - mean_a**2
    variance_b = local(b * b) - mean_b**2
    covariance = local(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + C1) / (mean_a**2 + mean_b**2 + C1)
    structure = (2 * covariance + C2) / (variance_a + variance_b + C2)
    return (luminance * structure).mean((1, 2, 3))


def _gaussian(size: int) -> Tensor:
    offsets = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    weights = torch.exp(-(offsets**2) / (2 * DEVIATION**2))
    return weights / weights.sum()
