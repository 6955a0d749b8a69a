"""ALAD's score (Zenati et al., Adversarially Learned Anomaly Detection, 2018, arXiv 1812.02288, algorithm 1)."""

from __future__ import annotations

from torch import Tensor

from ali_plugin.evaluation.scorers.reconstruction import features_of
from ali_plugin.model import ALI
from ali_plugin.scoring import Score


def alad() -> Score:
    """A(x) = |f(x, x) - f(x, G(E(x)))|, the L1 norm.

    There f is a layer of a discriminator of (x, x'), which ALI's games do not have: theirs judge (x, z). In its place
    stand the features that D has of x alone.
    """
    return score


def score(model: ALI, x: Tensor, condition: Tensor | None) -> Tensor:
    features = features_of(model, "alad")
    difference = features(x) - features(model.reconstruct(x, condition))
    return difference.float().abs().flatten(1).sum(1)
