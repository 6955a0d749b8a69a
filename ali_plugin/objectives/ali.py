"""Adversarially learned inference by Algorithm 1: simultaneous updates from one set of predictions."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ali_plugin.model import ALI, pair_logit
from ali_plugin.nets.protocol import offers
from ali_plugin.objectives.game import Batch, Game, parameters
from ali_plugin.objectives.known import backward, gradient_of

SMALLEST_WEIGHT = 1e-12  # of a sample in D's backward: its gradient is negligible, the ratio stays finite


class ALIGame(Game):
    """The game of equations 1 and 5, with l_q, l_p the logits of encoder and decoder pairs:

    - L_d = mean softplus(-l_q) + mean softplus(l_p), which D follows,
    - L_g = mean softplus(l_q) + mean softplus(-l_p), which encoder and decoder follow.
    """

    def __init__(self, model: ALI) -> None:
        super().__init__(model)
        self.encoder, self.decoder = model.part("encoder"), model.part("decoder")
        self.discriminator = model.part("discriminator")
        self.offers = offers(self.discriminator)
        self.couples_batch = self.offers.couples_batch

    def players(self) -> dict[str, list[nn.Parameter]]:
        return {
            "discriminator": parameters(self.discriminator),
            "generator": parameters(self.encoder, self.decoder),
        }

    def gradients(self, batch: Batch) -> dict[str, Tensor]:
        model, condition = self.model, batch.condition

        # One set of predictions.
        z = model.prior(len(batch.x))
        z_hat = model.encode(batch.x, condition).sample()
        x_tilde = model.likelihood(z, condition).sample()
        fakes = (x_tilde, z_hat)
        x_leaf, z_leaf = (fake.detach().requires_grad_() for fake in fakes)

        # One pass of D over the concatenated pairs: its batch norm sees both kinds together.
        both = None if condition is None else torch.cat([condition, condition])
        if self.offers.takes_kinds:
            outputs = self.discriminator((batch.x, x_leaf), (z_leaf, z), both)
        else:
            outputs = model.class_logits(torch.cat([batch.x, x_leaf]), torch.cat([z_leaf, z]), both)
        # Under autocast the logits come in half precision; losses are never taken there.
        logits = pair_logit(outputs.to(torch.promote_types(outputs.dtype, torch.float32)))  # (2B,), q before p

        of_fakes = self._two_backwards if self.couples_batch else self._one_backward
        backward(fakes, of_fakes(logits, (x_leaf, z_leaf)))
        return _figures(*logits.detach().chunk(2))

    def _one_backward(self, logits: Tensor, leaves: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Both players' gradients from one backward through a D that treats samples independently.

        L_d and L_g reach D's input of sample i through one Jacobian, scaled by dL_d/dl_i and dL_g/dl_i, so
        the second gradient is the first times their ratio (as in one-stage GANs, Shen et al., 2021).
        """
        l_q, l_p = logits.detach().chunk(2)
        n = len(l_q)
        # dL_d/dl_q = -sigmoid(-l_q)/n, dL_g/dl_q = sigmoid(l_q)/n; dL_d/dl_p = sigmoid(l_p)/n, dL_g/dl_p =
        # -sigmoid(-l_p)/n. Bounded away from 0, where float32 would lose the ratio.
        d_q = -torch.sigmoid(-l_q).clamp_min(SMALLEST_WEIGHT)
        d_p = torch.sigmoid(l_p).clamp_min(SMALLEST_WEIGHT)
        backward([logits], [torch.cat([d_q, d_p]) / n], [*leaves, *parameters(self.discriminator)])
        of_x, of_z = (gradient_of(leaf) for leaf in leaves)
        return of_x * _per_sample(-torch.sigmoid(-l_p) / d_p, of_x), of_z * _per_sample(torch.sigmoid(l_q) / d_q, of_z)

    def _two_backwards(self, logits: Tensor, leaves: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
        """The general form: L_g's gradient of the fakes only, then L_d's of D's weights only."""
        l_q, l_p = logits.chunk(2)
        loss_g = softplus(l_q).mean() + softplus(-l_p).mean()
        loss_g.backward(inputs=leaves, retain_graph=True)
        loss_d = softplus(-l_q).mean() + softplus(l_p).mean()
        loss_d.backward(inputs=parameters(self.discriminator))
        return tuple(gradient_of(leaf) for leaf in leaves)


def _per_sample(weight: Tensor, like: Tensor) -> Tensor:
    return weight.reshape(-1, *[1] * (like.ndim - 1)).to(like.dtype)


def _figures(l_q: Tensor, l_p: Tensor) -> dict[str, Tensor]:
    return {
        "loss_discriminator": softplus(-l_q).mean() + softplus(l_p).mean(),
        "loss_generator": softplus(l_q).mean() + softplus(-l_p).mean(),
        "accuracy_discriminator": ((l_q > 0).float().mean() + (l_p < 0).float().mean()) / 2,
    }
