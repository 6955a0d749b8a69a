"""GANs that get an encoder in other ways than by joint inference (figure 5, b and c)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss, softplus

from ali_plugin.model import ALI, pair_logit
from ali_plugin.objectives.ali import ALIGame
from ali_plugin.objectives.game import Batch, Game, parameters


class GANGame(Game):
    """A GAN with the model's decoder and a discriminator of x alone.

    The discriminator's net is the model's, with z held at 0, so that the players have the nets of ALI.
    """

    def __init__(self, model: ALI, discriminator: nn.Module | None = None) -> None:
        super().__init__(model)
        self.decoder = model.part("decoder")
        self.discriminator = discriminator or model.part("discriminator")

    def players(self) -> dict[str, list[nn.Parameter]]:
        return {"discriminator": parameters(self.discriminator), "generator": parameters(self.decoder)}

    def gradients(self, batch: Batch) -> dict[str, Tensor]:
        condition = () if batch.condition is None else (torch.cat([batch.condition, batch.condition]),)
        z = self.model.prior(len(batch.x))
        x_tilde = self.model.likelihood(z, batch.condition).sample()
        x = torch.cat([batch.x, x_tilde])
        outputs = self.discriminator(x, z.new_zeros(len(x), z.shape[1]), *condition)
        logits = pair_logit(outputs.to(torch.promote_types(outputs.dtype, torch.float32)))
        real, fake = logits.chunk(2)
        loss_d = softplus(-real).mean() + softplus(fake).mean()
        loss_g = softplus(-fake).mean()
        loss_g.backward(inputs=parameters(self.decoder), retain_graph=True)
        loss_d.backward(inputs=parameters(self.discriminator))
        right = ((real > 0).float().mean() + (fake < 0).float().mean()) / 2
        return {
            "loss_discriminator": loss_d.detach(),
            "loss_generator": loss_g.detach(),
            "accuracy_discriminator": right.detach(),
        }


class InverseMappingGame(GANGame):
    """A GAN, and an encoder that learns to invert its samples: it minimises ||z - G_z(G_x(z))||^2."""

    def players(self) -> dict[str, list[nn.Parameter]]:
        return {**super().players(), "encoder": parameters(self.model.part("encoder"))}

    def gradients(self, batch: Batch) -> dict[str, Tensor]:
        figures = super().gradients(batch)
        z = self.model.prior(len(batch.x))
        with torch.no_grad():
            x_tilde = self.model.likelihood(z, batch.condition).sample()
        loss = mse_loss(self.model.encode(x_tilde, batch.condition).sample(), z)
        loss.backward(inputs=parameters(self.model.part("encoder")))
        return {**figures, "loss_inverse": loss.detach()}


class PostHocGame(Game):
    """A GAN for the first half of the run; then its decoder is frozen and an encoder learns by the ALI game.

    The model's discriminator is the one of pairs, of the second half; the GAN has its own.
    """

    def __init__(self, model: ALI) -> None:
        super().__init__(model)
        self.first = model.rebuilt(("discriminator",)).part("discriminator").train()
        self.gan = GANGame(model, self.first)
        self.inference = ALIGame(model)
        self.second_half = False

    def players(self) -> dict[str, list[nn.Parameter]]:
        second = self.inference.players()
        return {
            "gan_discriminator": parameters(self.first),
            "decoder": parameters(self.model.part("decoder")),
            "discriminator": second["discriminator"],
            "encoder": parameters(self.model.part("encoder")),
        }

    def schedule(self, step: int, total_steps: int) -> None:
        self.second_half = step >= total_steps // 2

    def gradients(self, batch: Batch) -> dict[str, Tensor]:
        if not self.second_half:
            return self.gan.gradients(batch)
        decoder = self.model.part("decoder").eval()  # frozen, its batch norm too
        figures = self.inference.gradients(batch)
        decoder.train()
        for parameter in decoder.parameters():
            parameter.grad = None
        return figures

    def modules(self) -> dict[str, nn.Module]:
        return {"gan_discriminator": self.first}
