"""The three nets of data that are few numbers: fully connected, on Fourier features, without any norm.

A plain net of few inputs learns what varies slowly for long before what varies fast; sines of the inputs mend that
(Tancik et al., Fourier features let networks learn high frequency functions, 2020).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from ali_plugin.nets.distribution import Implicit

FREQUENCIES = (1.0, 2.0, 4.0)  # in radians a unit of data or latent
X_SCALE = 2.0  # data are divided by it, so that they are about as wide as the prior
NOISE = 2  # numbers beside x that the encoder draws
SLOPE = 0.2
OFFSET = 0.1  # times the usual weights: places come first


class Fourier(nn.Module):
    """Numbers (B, N), divided by a scale, and the sines and cosines of them all, (B, N (1 + 2 F))."""

    def __init__(self, size: int, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale
        self.size = size * (1 + 2 * len(FREQUENCIES))

    def forward(self, x: Tensor) -> Tensor:
        turned = [wave(frequency * x) for frequency in FREQUENCIES for wave in (torch.sin, torch.cos)]
        return torch.cat([x / self.scale, *turned], 1)


def mlp(size: int, *sizes: int) -> nn.Sequential:
    """Linear layers with leaky ReLUs between them, started at He's gain."""
    layers: list[nn.Module] = []
    for before, after in pairwise((size, *sizes)):
        linear = nn.Linear(before, after)
        nn.init.kaiming_normal_(linear.weight)
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers[:-1])


class FourierEncoder(nn.Module):
    """q(z|x), known by its draws: the features of x and noise, two hidden layers."""

    def __init__(self, *, data_shape: tuple[int, ...], latent_size: int, width: int) -> None:
        super().__init__()
        self.features = Fourier(data_shape[0], X_SCALE)
        self.layers = mlp(self.features.size + NOISE, width, width, latent_size)

    def forward(self, x: Tensor) -> Implicit:
        features = self.features(x)  # (B, F)
        return Implicit(lambda noise: self.layers(torch.cat([features, noise], 1)), x.new_empty(len(x), NOISE))


class FourierDecoder(nn.Module):
    """p(x|z), deterministic: the features of z, four hidden layers; x is a learned place, which a softmax chooses, and
    an offset from it.

    Between two modes a continuous map draws what is in neither. A softmax goes from one place to the next within less
    of z than a last layer whose slopes are bounded by its weights.
    """

    def __init__(self, *, data_shape: tuple[int, ...], latent_size: int, width: int) -> None:
        super().__init__()
        self.features = Fourier(latent_size)
        self.layers = nn.Sequential(*mlp(self.features.size, *[width] * 4), nn.LeakyReLU(SLOPE))
        self.choice = nn.Linear(width, width)
        self.places = nn.Linear(width, data_shape[0])
        self.offset = nn.Linear(width, data_shape[0])
        nn.init.normal_(self.places.weight)
        nn.init.zeros_(self.offset.bias)
        with torch.no_grad():
            self.offset.weight.mul_(OFFSET)

    def forward(self, z: Tensor) -> Tensor:
        hidden = self.layers(self.features(z))  # (B, W)
        x: Tensor = X_SCALE * (self.places(self.choice(hidden).softmax(1)) + self.offset(hidden))  # (B, N)
        return x


class FourierDiscriminator(nn.Module):
    """D(x, z): the features of x, and z, three hidden layers; logits (B, classes)."""

    couples_batch = False

    def __init__(self, *, data_shape: tuple[int, ...], latent_size: int, width: int, classes: int = 1) -> None:
        super().__init__()
        self.features = Fourier(data_shape[0], X_SCALE)
        self.layers = mlp(self.features.size + latent_size, *[width] * 3, classes)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        logits: Tensor = self.layers(torch.cat([self.features(x), z], 1))
        return logits
