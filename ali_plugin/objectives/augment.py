"""Differentiable augmentation of what the discriminator sees (DiffAugment, Zhao et al., 2020)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad

from ali_plugin.errors import OptionError

SHIFT = 1 / 8  # of the side, at most, in a translation
HOLE = 1 / 2  # of the side, in a cutout


def colour(x: Tensor) -> Tensor:
    """Brightness by [-1/2, 1/2], saturation by a factor in [0, 2], contrast by one in [1/2, 3/2]; x in [-1, 1]."""
    brightness, saturation, contrast = (_uniform(x) for _ in range(3))
    x = x + brightness - 0.5
    grey = x.mean(1, keepdim=True)
    x = (x - grey) * (2 * saturation) + grey
    mean = x.mean((1, 2, 3), keepdim=True)
    return (x - mean) * (contrast + 0.5) + mean


def exposure(x: Tensor) -> Tensor:
    """Multiplies each picture by a factor in [0.6, 1.4]; x in [0, 1], and so is what comes of it."""
    return (x * (0.6 + 0.8 * _uniform(x))).clamp(0, 1)


def translation(x: Tensor, share: float = SHIFT) -> Tensor:
    """Moves each picture by up to this share of its sides; zeros come in."""
    height, width = x.shape[2:]
    most = max(1, round(share * height)), max(1, round(share * width))
    rows = torch.arange(height, device=x.device) + _whole(x, 2 * most[0] + 1)[:, None]
    columns = torch.arange(width, device=x.device) + _whole(x, 2 * most[1] + 1)[:, None]
    padded = pad(x, (most[1], most[1], most[0], most[0])).movedim(1, 3)  # (B, H, W, C)
    batch = torch.arange(len(x), device=x.device)[:, None, None]
    return padded[batch, rows[:, :, None], columns[:, None, :]].movedim(3, 1)


def cutout(x: Tensor, share: float = HOLE) -> Tensor:
    """A rectangle of this share of each side becomes zero, partly outside at the borders."""
    height, width = x.shape[2:]
    inside = [
        (torch.arange(side, device=x.device) - _whole(x, side)[:, None]).abs() <= share * side / 2
        for side in (height, width)
    ]
    hole = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    return x.masked_fill(hole, 0)


FAMILIES: dict[str, Callable[[Tensor], Tensor]] = {"colour": colour, "translation": translation, "cutout": cutout}


class Augment:
    """Random transformations, drawn anew for each picture, through which gradients pass.

    Args:
        families: names of them, in order, with commas between; none for pictures as they are.

    Raises:
        OptionError: a name that is none, or data that are no pictures.
    """

    def __init__(self, families: str, data_shape: tuple[int, ...]) -> None:
        names = [name.strip() for name in families.split(",") if name.strip()]
        for name in names:
            if name not in FAMILIES:
                raise OptionError(f"objective.augment has {name!r}, it has to be made of {', '.join(FAMILIES)}")
        if names and len(data_shape) != 3:
            raise OptionError(f"objective.augment is for pictures, the data are of shape {data_shape}")
        self.steps = [FAMILIES[name] for name in names]

    def __call__(self, x: Tensor) -> Tensor:
        """Pictures (B, C, H, W) in [0, 1], transformed; what comes in is grey, the middle of the range."""
        if not self.steps:
            return x
        x = 2 * x - 1
        for step in self.steps:
            x = step(x)
        return (x + 1) / 2


def _uniform(x: Tensor) -> Tensor:
    return torch.rand(len(x), 1, 1, 1, dtype=x.dtype, device=x.device)


def _whole(x: Tensor, below: int) -> Tensor:
    return torch.randint(below, (len(x),), device=x.device)
