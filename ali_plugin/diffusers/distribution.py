"""q(z|x) with the interface of the host's Gaussian."""

from __future__ import annotations

import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from torch import Tensor

from ali_plugin.nets.distribution import Deterministic, Posterior


class LatentDistribution(DiagonalGaussianDistribution):
    """A posterior over latents (B, L): ``mean``, ``std``, ``var``, ``logvar``, ``mode()``, ``sample()``, ``kl()``.

    Draws are those of ``ALI.encode(x).sample(generator)``, and deviations are not clamped as the host's are. Of an
    implicit posterior, which has no density, mean and deviation are estimates, and ``kl`` and ``nll`` are those of
    the Gaussian with these moments.

    Attributes:
        posterior: as the encoder gave it.
    """

    def __init__(self, posterior: Posterior) -> None:
        self.posterior = posterior
        self.deterministic = isinstance(posterior, Deterministic)

    @property
    def mean(self) -> Tensor:
        return self.posterior.mean

    @property
    def std(self) -> Tensor:
        return self.posterior.stddev

    @property
    def var(self) -> Tensor:
        return self.std.square()

    @property
    def logvar(self) -> Tensor:
        return 2 * self.std.log()

    @property
    def parameters(self) -> Tensor:
        """Mean and log variance, (B, 2 L)."""
        return torch.cat([self.mean, self.logvar], 1)

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        return self.posterior.sample(generator)

    def kl(self, other: DiagonalGaussianDistribution | None = None) -> Tensor:
        """KL divergence (B,) from the prior N(0, I), or from another Gaussian over (B, L)."""
        if self.deterministic:
            return torch.zeros(1)  # as the host has it
        mean, var = (0.0, torch.ones(())) if other is None else (other.mean, other.var)
        terms = (self.mean - mean).square() / var + self.var / var - 1 - self.logvar + var.log()
        return 0.5 * terms.sum(1)

    def nll(self, sample: Tensor, dims: tuple[int, ...] = (1,)) -> Tensor:
        found: Tensor = super().nll(sample, dims)
        return found
