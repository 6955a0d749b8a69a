"""Relativistic pairs (Huang et al., R3GAN, 2024; Jolicoeur-Martineau, 2018), played on pairs of x and z."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus

from ali_plugin.objectives.adversarial import AdversarialGame


class RelativisticGame(AdversarialGame):
    """Each encoder pair q_i against the decoder pair p_i of the same place in the batch:

    - L_d = mean softplus(f(p_i) - f(q_i)) + R1 + R2,
    - L_g = mean softplus(f(q_i) - f(p_i)).
    """

    def losses(self, q: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
        return softplus(p - q).mean(), softplus(q - p).mean()

    def accuracy(self, q: Tensor, p: Tensor) -> Tensor:
        """Of the pairs of pairs; what a score is by itself means nothing here."""
        return (q > p).float().mean()
