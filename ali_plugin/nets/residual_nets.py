"""The three nets of the residual family, for pictures of any size that ``residual.grids`` allows.

Made for games with gradient penalties: no batch norm, twice differentiable.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ali_plugin.errors import PartMismatch
from ali_plugin.nets.distribution import DiagonalGaussian
from ali_plugin.nets.packing import packed
from ali_plugin.nets.residual import down, grids, initialise, leaky, maps_of, shrink, up

LOG_STDDEV = -2.0  # of q(z|x) before training: what is drawn is near the mean from the first step on
CLIP = 1e-7  # of the mean before its log-odds are taken
OUTPUT = 0.5  # times He's gain in last layers
WIDE = 4  # times the width: of features and hidden layers


class ConditionedNet(nn.Module):
    """What the three share: a condition (B, S) is embedded into ``embedding`` numbers of a feature's size."""

    def __init__(self, condition_size: int, embedding: int) -> None:
        super().__init__()
        self.condition_size, self.embedding_size = condition_size, embedding if condition_size else 0
        self.embedding = nn.Linear(condition_size, embedding) if condition_size else None

    def joined(self, features: Tensor, condition: Tensor | None) -> Tensor:
        """Features (B, M) and the embedded condition, (B, M + E)."""
        if self.embedding is None:
            return features
        if condition is None or condition.shape[-1] != self.condition_size:
            got = None if condition is None else tuple(condition.shape)
            raise PartMismatch(f"the model takes a condition of {self.condition_size} numbers, got {got}")
        return torch.cat([features, self.embedding(condition.to(features.dtype))], 1)


class ResidualEncoder(ConditionedNet):
    """q(z|x) = N(mu, sigma^2): patches, residual blocks, one hidden layer."""

    def __init__(
        self, *, data_shape: tuple[int, ...], latent_size: int, width: int, blocks: int, block: str,
        condition_size: int = 0,
    ) -> None:  # fmt: skip
        levels = grids(data_shape)
        size = WIDE * width
        super().__init__(condition_size, size)
        flat = maps_of(len(levels) - 1, width) * math.prod(levels[-1])
        trunk = down(data_shape[0], len(levels), width, blocks, block)
        self.hidden = nn.Sequential(trunk, nn.Flatten(), nn.Linear(flat, size), leaky())
        self.output = nn.Linear(size + self.embedding_size, 2 * latent_size)
        initialise(self)
        shrink(self.output, OUTPUT)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> DiagonalGaussian:
        features = self.hidden(2 * x - 1)  # (B, size)
        mean, log_stddev = self.output(self.joined(features, condition)).chunk(2, 1)
        return DiagonalGaussian(mean, log_stddev + LOG_STDDEV)


class ResidualDecoder(ConditionedNet):
    """p(x|z), deterministic: one hidden layer, residual blocks, two convolutions up to pixels."""

    def __init__(
        self, *, data_shape: tuple[int, ...], latent_size: int, width: int, blocks: int, block: str,
        condition_size: int = 0,
    ) -> None:  # fmt: skip
        levels = grids(data_shape)
        size = WIDE * width
        super().__init__(condition_size, size)
        coarsest = (maps_of(len(levels) - 1, width), *levels[-1])
        self.hidden = nn.Sequential(
            nn.Linear(latent_size + self.embedding_size, size), leaky(),
            nn.Linear(size, math.prod(coarsest)), nn.Unflatten(1, coarsest),
        )  # fmt: skip
        self.pixels = up(data_shape[0], len(levels), width, blocks, block)
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


class ResidualDiscriminator(ConditionedNet):
    """D(x, z): the encoder's layers on x in [-1, 1], two layers on z, three on both; logits (B, classes).

    Args:
        packing: how many pairs m are judged together; see ``packing.packed``.
        unary: it also scores x and z each alone; see ``scores``.
    """

    couples_batch = False

    def __init__(
        self, *, data_shape: tuple[int, ...], latent_size: int, width: int, blocks: int, block: str,
        condition_size: int = 0, classes: int = 1, packing: int = 1, unary: bool = False,
    ) -> None:  # fmt: skip
        levels = grids(data_shape)
        size = WIDE * width
        super().__init__(packing * condition_size, size)
        self.packing, self.unary = packing, unary
        self.x_shape, self.z_shape = (packing * data_shape[0], *data_shape[1:]), (packing * latent_size,)
        flat = maps_of(len(levels) - 1, width) * math.prod(levels[-1])
        trunk = down(self.x_shape[0], len(levels), width, blocks, block)
        self.x_layers = nn.Sequential(trunk, nn.Flatten(), nn.Linear(flat, size), leaky())
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
