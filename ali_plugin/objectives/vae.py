"""A variational autoencoder with the same encoder and decoder (figure 5, d)."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy

from ali_plugin.errors import PartMismatch
from ali_plugin.model import ALI
from ali_plugin.nets.distribution import DiagonalGaussian, Posterior
from ali_plugin.objectives.game import Batch, Game, parameters


class VAEGame(Game):
    """Maximises the evidence lower bound E log p(x|z) - KL(q(z|x) || N(0, I)) (Kingma and Welling, 2014).

    p(x|z) is the decoder's Gaussian where it has one, else Bernoulli around its picture in [0, 1].
    """

    def __init__(self, model: ALI) -> None:
        super().__init__(model)
        self.encoder, self.decoder = model.part("encoder"), model.part("decoder")

    def players(self) -> dict[str, list[nn.Parameter]]:
        return {"autoencoder": parameters(self.encoder, self.decoder)}

    def gradients(self, batch: Batch) -> dict[str, Tensor]:
        posterior = self.model.encode(batch.x, batch.condition)
        if not isinstance(posterior, DiagonalGaussian):
            raise PartMismatch("a VAE needs an encoder with mu and sigma, such as --encoder NAME-gaussian")
        likelihood = self.model.likelihood(posterior.sample(), batch.condition)
        misfit = self.negative_log_likelihood(likelihood, batch.x).mean()
        divergence = kl_from_prior(posterior).mean()
        (misfit + divergence).backward(inputs=parameters(self.encoder, self.decoder))
        return {
            "loss": (misfit + divergence).detach(),
            "negative_log_likelihood": misfit.detach(),
            "kl": divergence.detach(),
        }

    def negative_log_likelihood(self, likelihood: Posterior, x: Tensor) -> Tensor:
        """-log p(x|z) in nats, (B,)."""
        if isinstance(likelihood, DiagonalGaussian):
            scaled = (x - likelihood.mean) / likelihood.stddev
            terms = scaled.square() / 2 + likelihood.log_stddev + math.log(2 * math.pi) / 2
        elif x.ndim == 4:
            terms = binary_cross_entropy(likelihood.mean.to(x.dtype), x, reduction="none")
        else:
            raise PartMismatch("a VAE of data that are no pictures needs a decoder such as --decoder NAME-gaussian")
        return terms.flatten(1).sum(1)


def kl_from_prior(posterior: DiagonalGaussian) -> Tensor:
    """KL(N(mu, sigma^2) || N(0, I)) in nats, (B,)."""
    log_variance = 2 * posterior.log_stddev
    return (posterior.mean.square() + log_variance.exp() - 1 - log_variance).flatten(1).sum(1) / 2
