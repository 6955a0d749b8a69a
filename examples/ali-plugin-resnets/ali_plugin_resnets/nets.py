"""Residual encoder, decoder and discriminator. Pictures are (B, C, H, W), H and W multiples of 4."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from ali_plugin import DiagonalGaussian
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

Shape = tuple[int, ...]
Wrap = Callable[[nn.Module], nn.Module]
BLOCKS = 2  # that halve or double height and width


def plain(module: nn.Module) -> nn.Module:
    """The layer as it is."""
    return module


class ResidualBlock(nn.Module):
    """x -> shortcut(x) + conv(relu(conv(relu(x)))), each with a batch norm in front where ``norm``.

    Args:
        maps_in, maps_out: feature maps.
        resize: "down" halves height and width at the end, "up" doubles them at the start.
        norm: batch norm, for the encoder and the decoder.
        wrap: put around every convolution (spectral norm, for the discriminator).
    """

    def __init__(self, maps_in: int, maps_out: int, resize: str, *, norm: bool, wrap: Wrap = plain) -> None:
        super().__init__()

        def up() -> list[nn.Module]:
            return [nn.Upsample(scale_factor=2)] if resize == "up" else []

        def down() -> list[nn.Module]:
            return [nn.AvgPool2d(2)] if resize == "down" else []

        def normed(maps: int) -> list[nn.Module]:
            return [nn.BatchNorm2d(maps)] if norm else []

        # A bias in front of a batch norm is subtracted again by it.
        self.residual = nn.Sequential(
            *normed(maps_in),
            nn.ReLU(),
            *up(),
            wrap(nn.Conv2d(maps_in, maps_out, 3, padding=1, bias=not norm)),
            *normed(maps_out),
            nn.ReLU(),
            wrap(nn.Conv2d(maps_out, maps_out, 3, padding=1)),
            *down(),
        )
        self.shortcut = nn.Sequential(*up(), wrap(nn.Conv2d(maps_in, maps_out, 1)), *down())

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.shortcut(x) + self.residual(x))


def downwards(data_shape: Shape, width: int, *, norm: bool, wrap: Wrap = plain) -> nn.Sequential:
    """Residual blocks from a picture to (B, 4 width), averaged over height and width."""
    channels, *_ = checked(data_shape)
    return nn.Sequential(
        wrap(nn.Conv2d(channels, width, 3, padding=1)),
        ResidualBlock(width, 2 * width, "down", norm=norm, wrap=wrap),
        ResidualBlock(2 * width, 4 * width, "down", norm=norm, wrap=wrap),
        *([nn.BatchNorm2d(4 * width)] if norm else []),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


def checked(data_shape: Shape) -> Shape:
    """The shape, if the blocks can halve it."""
    if len(data_shape) != 3 or any(size % 2**BLOCKS for size in data_shape[1:]):
        raise ValueError(f"data of shape {data_shape} are no pictures with sizes that are multiples of {2**BLOCKS}")
    return data_shape


class ResidualEncoder(nn.Module):
    """q(z|x): a diagonal Gaussian over (B, latent_size)."""

    def __init__(self, *, data_shape: Shape, latent_size: int, width: int = 16) -> None:
        super().__init__()
        self.features = downwards(data_shape, width, norm=True)
        self.output = nn.Linear(4 * width, 2 * latent_size)

    def forward(self, x: Tensor) -> DiagonalGaussian:
        return DiagonalGaussian.from_parameters(self.output(self.features(x)))  # (B, 2 L)


class ResidualDecoder(nn.Module):
    """p(x|z): pictures (B, C, H, W) in [0, 1]."""

    def __init__(self, *, data_shape: Shape, latent_size: int, width: int = 16) -> None:
        super().__init__()
        channels, height, across = checked(data_shape)
        start = (4 * width, height // 2**BLOCKS, across // 2**BLOCKS)
        self.layers = nn.Sequential(
            nn.Linear(latent_size, start[0] * start[1] * start[2]),
            nn.Unflatten(1, start),
            ResidualBlock(4 * width, 2 * width, "up", norm=True),
            ResidualBlock(2 * width, width, "up", norm=True),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, channels, 3, padding=1),
            nn.Sigmoid(),
        )

    def forward(self, z: Tensor) -> Tensor:
        return cast(Tensor, self.layers(z))


class ResidualDiscriminator(nn.Module):
    """D(x, z): logits (B, 1). Every layer has spectral norm 1 (Miyato et al., 2018, section 2.1)."""

    # Spectral normalisation depends on the weights only, and there is no batch norm: samples stay apart.
    couples_batch = False

    def __init__(self, *, data_shape: Shape, latent_size: int, width: int = 16) -> None:
        super().__init__()
        self.of_x = downwards(data_shape, width, norm=False, wrap=spectral_norm)
        self.of_z = nn.Sequential(
            spectral_norm(nn.Linear(latent_size, 4 * width)),
            nn.LeakyReLU(0.1),
            spectral_norm(nn.Linear(4 * width, 4 * width)),
            nn.LeakyReLU(0.1),
        )
        self.of_both = nn.Sequential(
            spectral_norm(nn.Linear(8 * width, 8 * width)),
            nn.LeakyReLU(0.1),
            spectral_norm(nn.Linear(8 * width, 1)),
        )

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return cast(Tensor, self.of_both(torch.cat([self.of_x(x), self.of_z(z)], 1)))
