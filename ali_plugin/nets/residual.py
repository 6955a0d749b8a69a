"""Blocks and trunks of the residual family: residual blocks without any norm, on grids that halve."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad

from ali_plugin.nets.picture_sizes import FINEST

WIDEST = 4  # times the width of the finest grid
SLOPE = 0.2


def leaky() -> nn.Module:
    return nn.LeakyReLU(SLOPE)


class Residual(nn.Module):
    """x + conv(act(conv(act x))), 3x3 each."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            leaky(), nn.Conv2d(maps, maps, 3, 1, 1),
            leaky(), nn.Conv2d(maps, maps, 3, 1, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.layers(x)
        return out


class Bottleneck(Residual):
    """R3GAN's block (Huang et al., 2024): 1x1 to half again as many maps, 3x3 in groups of 16 (of more, where 16 do not
    divide them), 1x1 back."""

    def __init__(self, maps: int) -> None:
        super().__init__(maps)
        inner = 3 * maps // 2
        groups = math.gcd(inner, max(1, inner // 16))
        self.layers = nn.Sequential(
            leaky(), nn.Conv2d(maps, inner, 1),
            leaky(), nn.Conv2d(inner, inner, 3, 1, 1, groups=groups),
            leaky(), nn.Conv2d(inner, maps, 1),
        )  # fmt: skip


BLOCKS: dict[str, Callable[[int], nn.Module]] = {"residual": Residual, "bottleneck": Bottleneck}


def maps_of(grid: int, width: int) -> int:
    """Of the grid of this number, 0 for the finest: twice as many after each halving, up to four times."""
    return int(width * min(2**grid, WIDEST))


def level(block: str, maps: int, blocks: int) -> list[nn.Module]:
    """The blocks of one grid."""
    return [BLOCKS[block](maps) for _ in range(blocks)]


def down(channels: int, levels: int, width: int, blocks: int, block: str, fine: int) -> nn.Sequential:
    """From pictures (B, C, H, W) to activations of the coarsest grid (B, M, h, w): a row of ``grids`` a level."""
    layers: list[nn.Module] = [ChannelsLast(), *patches(channels, width, block, fine), *level(block, width, blocks)]
    for maps, finer in pairwise(maps_of(grid, width) for grid in range(levels)):
        layers += [leaky(), nn.Conv2d(maps, finer, 4, 2, 1), *level(block, finer, blocks)]
    return nn.Sequential(*layers, leaky())


def patches(channels: int, width: int, block: str, fine: int) -> list[nn.Module]:
    """To the finest grid: 4x4 pixels at once, or over a grid of twice its sides, where so many blocks of half the width
    work."""
    if not fine:
        return [nn.Conv2d(channels, width, FINEST, FINEST)]
    half = width // 2
    return [nn.Conv2d(channels, half, 4, 2, 1), *level(block, half, fine), leaky(), nn.Conv2d(half, width, 4, 2, 1)]


def up(channels: int, levels: int, width: int, blocks: int, block: str, fine: int) -> nn.Sequential:
    """From the coarsest grid (B, M, h, w) to pictures in (0, 1), (B, C, H, W)."""
    layers: list[nn.Module] = [ChannelsLast(), *level(block, maps_of(levels - 1, width), blocks)]
    for maps, finer in pairwise(maps_of(grid, width) for grid in reversed(range(levels))):
        layers += [*doubled(maps, finer), *level(block, finer, blocks)]
    half = width // 2
    return nn.Sequential(
        *layers, *doubled(width, half), *level(block, half, fine), *doubled(half, channels), nn.Sigmoid()
    )  # fmt: skip


def doubled(maps: int, finer: int) -> list[nn.Module]:
    """To a grid of twice the sides."""
    return [leaky(), nn.ConvTranspose2d(maps, finer, 4, 2, 1), Smooth()]


class Smooth(nn.Module):
    """Each map low-pass filtered with [1, 2, 1] / 4 in both directions, as after each upsampling of StyleGAN (Karras
    et al., 2019, section 2): without it samples are grainy for long."""

    def forward(self, x: Tensor) -> Tensor:
        maps = x.shape[1]
        kernel = x.new_full((maps, 1, 3, 3), 1 / 16)
        kernel[:, :, 1] *= 2
        kernel[..., 1] *= 2
        return conv2d(pad(x, (1, 1, 1, 1), mode="replicate"), kernel, groups=maps)


class ChannelsLast(nn.Module):
    """The memory format in which processors and GPUs convolve fastest."""

    def forward(self, x: Tensor) -> Tensor:
        return x.contiguous(memory_format=torch.channels_last)


def initialise(net: nn.Module) -> None:
    """He's normal weights and no norm (Fixup, Zhang et al., 2019, as in R3GAN): in L blocks all layers but the last
    are L^(-1/4) times smaller, and the last starts at 0, so that every block starts as the identity."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            gain = math.sqrt(2 / (1 + SLOPE**2) / _fan_in(module))
            nn.init.normal_(module.weight, std=gain)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    blocks = [module for module in net.modules() if isinstance(module, Residual)]
    for block in blocks:
        *first, last = (layer for layer in block.layers if isinstance(layer, nn.Conv2d))
        nn.init.zeros_(last.weight)
        for layer in first:
            shrink(layer, len(blocks) ** -0.25)


def shrink(layer: nn.Conv2d | nn.ConvTranspose2d | nn.Linear, factor: float) -> None:
    """Start with weights that are so many times as large."""
    with torch.no_grad():
        layer.weight.mul_(factor)


def _fan_in(layer: nn.Conv2d | nn.ConvTranspose2d | nn.Linear) -> float:
    """Terms that are summed in an output."""
    if isinstance(layer, nn.ConvTranspose2d):
        return layer.in_channels * math.prod(layer.kernel_size) / math.prod(layer.stride)
    return layer.weight[0].numel()
