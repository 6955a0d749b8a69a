"""The alternating update that most re-implementations use: what ``ali bench`` measures the project's step against."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

from ali_plugin.model import ALI
from ali_plugin.objectives.game import Batch, parameters


class TextbookStep:
    """Two passes of every net: D moves first, then encoder and decoder play against the moved D.

    Not Algorithm 1. D sees the two kinds of pairs in two passes, each player has its own predictions, and
    the generators' backward also leaves gradients in D's weights, which are thrown away.
    """

    def __init__(self, model: ALI, lr: float = 1e-4, betas: tuple[float, float] = (0.5, 0.999)) -> None:
        self.model = model
        discriminator = parameters(model.part("discriminator"))
        generator = parameters(model.part("encoder"), model.part("decoder"))
        self.of_discriminator = torch.optim.Adam(discriminator, lr=lr, betas=betas)
        self.of_generator = torch.optim.Adam(generator, lr=lr, betas=betas)

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        """One update of D, then one of encoder and decoder."""
        l_q, l_p = self._logits(batch, detach=True)
        loss_d = softplus(-l_q).mean() + softplus(l_p).mean()
        self.of_discriminator.zero_grad()
        loss_d.backward()
        self.of_discriminator.step()

        l_q, l_p = self._logits(batch, detach=False)
        loss_g = softplus(l_q).mean() + softplus(-l_p).mean()
        self.of_generator.zero_grad()
        loss_g.backward()
        self.of_generator.step()
        return {"loss_discriminator": loss_d.detach(), "loss_generator": loss_g.detach()}

    def _logits(self, batch: Batch, detach: bool) -> tuple[Tensor, Tensor]:
        z = self.model.prior(len(batch.x))
        z_hat = self.model.encode(batch.x, batch.condition).sample()
        x_tilde = self.model.likelihood(z, batch.condition).sample()
        if detach:
            z_hat, x_tilde = z_hat.detach(), x_tilde.detach()
        return (
            self.model.discriminate(batch.x, z_hat, batch.condition),
            self.model.discriminate(x_tilde, z, batch.condition),
        )
