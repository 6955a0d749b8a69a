"""What the discriminator says of a sample and its code."""

from __future__ import annotations

from torch import Tensor

from ali_plugin.model import ALI
from ali_plugin.scoring import Score


def judgement() -> Score:
    """A(x) = -f(x, E(x)), f the discriminator's logit, E(x) the mean of q(z|x)."""
    return score


def score(model: ALI, x: Tensor, condition: Tensor | None) -> Tensor:
    return -model.discriminate(x, model.encode(x, condition).mean, condition)
