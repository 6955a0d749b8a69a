"""ALICE: the paper's game with a cycle (Li et al., 2017)."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus

from ali_plugin.objectives.adversarial import AdversarialGame


class AliceGame(AdversarialGame):
    """The losses of ``ALIGame`` beside a cycle, which makes encoder and decoder each other's inverse:

    - L_d = mean softplus(-f(q)) + mean softplus(f(p)),
    - L_g = mean softplus(f(q)) + mean softplus(-f(p)) + cycle_x mean |x - G(E(x))|.
    """

    def losses(self, q: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
        return softplus(-q).mean() + softplus(p).mean(), softplus(q).mean() + softplus(-p).mean()
