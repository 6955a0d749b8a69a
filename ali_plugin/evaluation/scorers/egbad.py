"""EGBAD (Zenati et al., Efficient GAN-Based Anomaly Detection, 2018, arXiv 1802.06222, section 2)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import softplus

from ali_plugin.model import ALI


@dataclass(frozen=True)
class EGBAD:
    """A(x) = a L_G(x) + (1 - a) L_D(x) with the weight a = .9 of the paper:

    - L_G(x) = |x - G(E(x))|, the L1 norm,
    - L_D(x) = -log D(x, E(x)), the cross-entropy of an encoder pair, as D is trained on.

    E(x) is the mean of q(z|x). The logit of a relativistic game means something beside another logit only; there L_D
    still orders samples, but has no zero.
    """

    weight: float = 0.9

    def __call__(self, model: ALI, x: Tensor, condition: Tensor | None) -> Tensor:
        z = model.encode(x, condition).mean
        lost = (x - model.decode(z, condition)).float().abs().flatten(1).sum(1)
        doubted = softplus(-model.discriminate(x, z, condition).float())
        return self.weight * lost + (1 - self.weight) * doubted
