"""The three nets of the residual family, for pictures of any size that ``residual.grids`` allows.

Made for games with gradient penalties: no batch norm, twice differentiable.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from ali_plugin.errors import PartMismatch
from ali_plugin.nets.distribution import DiagonalGaussian
from ali_plugin.nets.packing import packed
from ali_plugin.nets.picture_sizes import grids
from ali_plugin.nets.residual import down, initialise, leaky, maps_of, shrink, up

LOG_STDDEV = -2.0  # of q(z|x) before training: what is drawn is near the mean from the first step on
CLIP = 1e-7  # of the mean before its log-odds are taken
OUTPUT = 0.5  # times He's gain in last layers
WIDE = 4  # times the width: of features and hidden layers


class ResidualNet(nn.Module):
    """What the three share: the grids of the data, the size of features, and a condition (B, S) that is embedded into
    as many numbers as a feature has."""

    def __init__(
        self, data_shape: tuple[int, ...], condition_size: int, *, width: int, blocks: int, block: str, fine: int = 0
    ) -> None:  # fmt: skip
        super().__init__()
        sides = grids(data_shape)
        self.size = WIDE * width
        self.coarsest = (maps_of(len(sides) - 1, width), *sides[-1])
        self.depth: dict[str, Any] = {"levels": len(sides), "width": width, "blocks": blocks, "block": block,
                                      "fine": fine}  # fmt: skip
        self.condition_size, self.embedding_size = condition_size, self.size if condition_size else 0
        self.embedding = nn.Linear(condition_size, self.size) if condition_size else None

    def features_of(self, channels: int) -> nn.Sequential:
        """From pictures (B, C, H, W) to features (B, size)."""
        flat = math.prod(self.coarsest)
        return nn.Sequential(down(channels, **self.depth), nn.Flatten(), nn.Linear(flat, self.size), leaky())

    def joined(self, features: Tensor, condition: Tensor | None) -> Tensor:
        """Features (B, M) and the embedded condition, (B, M + E)."""
        if self.embedding is None:
            return features
        if condition is None or condition.shape[-1] != self.condition_size:
            got = None if condition is None else tuple(condition.shape)
            raise PartMismatch(f"the model takes a condition of {self.condition_size} numbers, got {got}")
        return torch.cat([features, self.embedding(condition.to(features.dtype))], 1)


class ResidualEncoder(ResidualNet):
    """q(z|x) = N(mu, sigma^2): patches, residual blocks, one hidden layer."""

    def __init__(
        self, *, data_shape: tuple[int, ...], latent_size: int, condition_size: int = 0, **depth: Any
    ) -> None:  # fmt: skip
        super().__init__(data_shape, condition_size, **depth)
        self.hidden = self.features_of(data_shape[0])
        self.output = nn.Linear(self.size + self.embedding_size, 2 * latent_size)
        initialise(self)
        shrink(self.output, OUTPUT)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> DiagonalGaussian:
        features = self.hidden(2 * x - 1)  # (B, size)
        mean, spread = self.output(self.joined(features, condition)).chunk(2, 1)
        return DiagonalGaussian(mean, slower_above_one(spread + LOG_STDDEV))


def slower_above_one(log_stddev: Tensor) -> Tensor:
    """log(1 + s) in place of s > 0: the deviation is exponential up to 1, the prior's own, and linear above.

    The first steps widen q(z|x) of some pictures far; with an exponential their draws are of 1e10 and more, which no
    game recovers from.
    """
    return torch.where(log_stddev > 0, log_stddev.clamp(min=0).log1p(), log_stddev)


class ResidualDecoder(ResidualNet):
    """p(x|z), deterministic: one hidden layer, residual blocks, two convolutions up to pixels."""

    def __init__(
        self, *, data_shape: tuple[int, ...], latent_size: int, condition_size: int = 0, **depth: Any
    ) -> None:  # fmt: skip
        super().__init__(data_shape, condition_size, **depth)
        self.hidden = nn.Sequential(
            nn.Linear(latent_size + self.embedding_size, self.size), leaky(),
            nn.Linear(self.size, math.prod(self.coarsest)), nn.Unflatten(1, self.coarsest),
        )  # fmt: skip
        self.pixels = up(data_shape[0], **self.depth)
        initialise(self)
        shrink(self._last, OUTPUT)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        x: Tensor = self.pixels(self.hidden(self.joined(z, condition)))  # (B, C, H, W)
        return x

    @property
    def _last(self) -> nn.ConvTranspose2d:
        return next(layer for layer in reversed(self.pixels) if isinstance(layer, nn.ConvTranspose2d))

    @torch.no_grad()
    def initialise_output(self, mean: Tensor) -> None:
        """Set the last biases, one a channel, to the log-odds of the data's mean (C, H, W)."""
        mean = mean.mean((1, 2)).double().clamp(CLIP, 1 - CLIP)
        log_odds = (mean / (1 - mean)).log()
        bias = self._last.bias
        assert bias is not None
        bias.copy_(log_odds.repeat_interleave(len(bias) // len(mean)))


class ResidualDiscriminator(ResidualNet):
    """D(x, z): the encoder's layers on x in [-1, 1], two layers on z, three on both; logits (B, classes).

    Args:
        packing: how many pairs m are judged together; see ``packing.packed``.
        unary: it also scores x and z each alone; see ``scores``.
    """

    couples_batch = False

    def __init__(
        self, *, data_shape: tuple[int, ...], latent_size: int, condition_size: int = 0, classes: int = 1,
        packing: int = 1, unary: bool = False, **depth: Any,
    ) -> None:  # fmt: skip
        super().__init__(data_shape, packing * condition_size, **depth)
        size = self.size
        self.packing, self.unary = packing, unary
        self.x_shape, self.z_shape = (packing * data_shape[0], *data_shape[1:]), (packing * latent_size,)
        self.x_layers = self.features_of(self.x_shape[0])
        self.z_layers = nn.Sequential(
            nn.Linear(self.z_shape[0], 2 * size), leaky(), nn.Linear(2 * size, size), leaky()
        )  # fmt: skip
        self.joint = nn.Sequential(
            nn.Linear(2 * size + self.embedding_size, 2 * size), leaky(),
            nn.Linear(2 * size, 2 * size), leaky(),
            nn.Linear(2 * size, classes),
        )  # fmt: skip
        if unary:
            self.x_score, self.z_score = nn.Linear(size, 1), nn.Linear(size, 1)
        initialise(self)
        last = self.joint[-1]
        assert isinstance(last, nn.Linear)
        shrink(last, OUTPUT)

    def forward(self, x: Tensor, z: Tensor, condition: Tensor | None = None) -> Tensor:
        return self._judge(self.x_features(x), self.z_features(z), condition)

    def scores(self, x: Tensor, z: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """s_x and s_z, (B, 1) each, of x and z alone, and the logits of the pairs (B, classes)."""
        from_x, from_z = self.x_features(x), self.z_features(z)
        return self.x_score(from_x), self.z_score(from_z), self._judge(from_x, from_z, condition)

    def x_features(self, x: Tensor) -> Tensor:
        """D(x), (B, size)."""
        features: Tensor = self.x_layers(2 * packed(x, self.x_shape, self.packing, self.training) - 1)
        return features

    def z_features(self, z: Tensor) -> Tensor:
        """D(z), (B, size)."""
        features: Tensor = self.z_layers(packed(z, self.z_shape, self.packing, self.training))
        return features

    def _judge(self, from_x: Tensor, from_z: Tensor, condition: Tensor | None) -> Tensor:
        if condition is not None and self.condition_size:
            condition = packed(condition, (self.condition_size,), self.packing, self.training)
        logits: Tensor = self.joint(self.joined(torch.cat([from_x, from_z], 1), condition))
        return logits
