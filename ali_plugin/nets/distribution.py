"""What the conditionals q(z|x) and p(x|z) return: something with a mean, a deviation and samples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor


class Posterior(ABC):
    """A distribution over (B, ...) tensors, independent over the batch."""

    @property
    @abstractmethod
    def mean(self) -> Tensor:
        """The mean, (B, ...)."""

    @property
    @abstractmethod
    def stddev(self) -> Tensor:
        """The standard deviation of each element, (B, ...), not negative."""

    @abstractmethod
    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """One reparametrised draw, (B, ...), differentiable in the parameters.

        Args:
            generator: source of the noise, drawn on the generator's own device; the default one if None.
        """


class DiagonalGaussian(Posterior):
    """N(mean, diag stddev^2), with stddev = exp(log_stddev) (paper section 2)."""

    def __init__(self, mean: Tensor, log_stddev: Tensor) -> None:
        self._mean, self.log_stddev = mean, log_stddev

    @classmethod
    def from_parameters(cls, parameters: Tensor) -> DiagonalGaussian:
        """Split (B, 2 L, ...) into mean and log standard deviation, (B, L, ...) each."""
        mean, log_stddev = parameters.chunk(2, dim=1)
        return cls(mean, log_stddev)

    @property
    def mean(self) -> Tensor:
        return self._mean

    @property
    def stddev(self) -> Tensor:
        return self.log_stddev.exp()

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        return self.mean + self.stddev * noise_like(self.mean, generator)


class Deterministic(Posterior):
    """A point mass: the deterministic encoder of BiGAN, the usual decoder."""

    def __init__(self, value: Tensor) -> None:
        self.value = value

    @property
    def mean(self) -> Tensor:
        return self.value

    @property
    def stddev(self) -> Tensor:
        return torch.zeros_like(self.value)

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        return self.value


class Implicit(Posterior):
    """A distribution known by its draws: ``push(eps)`` maps noise (B, N) to a draw (B, L).

    Mean and deviation are estimated from ``draws`` draws with a fixed seed, so that they do not vary.
    """

    def __init__(self, push: Callable[[Tensor], Tensor], like: Tensor, draws: int = 64) -> None:
        self._push, self._like, self.draws = push, like, draws

    def _moments(self) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(0)
        draws = torch.stack([self.sample(generator) for _ in range(self.draws)])  # (draws, B, L)
        return draws.mean(0), draws.std(0)

    @property
    def mean(self) -> Tensor:
        return self._moments()[0]

    @property
    def stddev(self) -> Tensor:
        return self._moments()[1]

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        return self._push(noise_like(self._like, generator))


def as_posterior(output: Posterior | Tensor) -> Posterior:
    """What a part returned, as a distribution: a plain tensor is a deterministic mapping."""
    return Deterministic(output) if isinstance(output, Tensor) else output


def noise_like(tensor: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """N(0, I) noise of the tensor's shape, type and device.

    A generator draws on its own device, and float32 whatever the default type: a seeded CPU generator gives one noise
    on every device and for every type.
    """
    if generator is None:
        return torch.randn_like(tensor)
    noise = torch.randn(tensor.shape, generator=generator, device=generator.device, dtype=torch.float32)
    return noise.to(tensor.device, tensor.dtype)
