"""The hinge game of BigBiGAN (Donahue and Simonyan, 2019)."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import relu

from ali_plugin.objectives.adversarial import AdversarialGame


class HingeGame(AdversarialGame):
    """For each score s of s_x, s_z and s_xz (s_xz alone without ``unary``):

    - L_d = mean relu(1 - s(q)) + mean relu(1 + s(p)),
    - L_g = mean s(q) - mean s(p).
    """

    def losses(self, q: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
        return relu(1 - q).mean() + relu(1 + p).mean(), q.mean() - p.mean()
