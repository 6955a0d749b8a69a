"""Contrast: the code of a changed picture is to be nearer to that picture's than to those of others."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from ali_plugin.errors import OptionError
from ali_plugin.model import ALI
from ali_plugin.objectives.augment import cutout, exposure, translation

SHIFT = 1 / 14  # of the side, at most
HOLE = 1 / 3  # of the side


@dataclass(frozen=True)
class Contrast:
    """InfoNCE of codes (van den Oord et al., 2018; SimCLR, Chen et al., 2020), with one changed view of each picture:

        - mean_i log exp(s_ii / tau) / sum_j exp(s_ij / tau),  s_ij = cos(mu(T x_i), mu(x_j)).

    A game of pairs says nothing of which pictures are alike; this does. Other pictures are those of the step, in each
    process its own.

    Attributes:
        temperature: tau.

    Raises:
        OptionError: the data are no pictures.
    """

    model: ALI
    temperature: float

    def __post_init__(self) -> None:
        if len(shape := self.model.config.data_shape) != 3:
            raise OptionError(f"objective.contrast is for pictures, the data are of shape {shape}; leave it at 0")

    def term(self, x: Tensor, codes: Tensor, condition: Tensor | None) -> Tensor:
        """The loss, a scalar in float32.

        Args:
            x: pictures (B, C, H, W) in [0, 1].
            codes: mu(x) (B, latent), attached to the encoder.
        """
        changed = self.model.encode(view(x), condition).mean
        similar = normalize(_wide(changed), dim=1) @ normalize(_wide(codes), dim=1).T  # (B, B)
        return cross_entropy(similar / self.temperature, torch.arange(len(x), device=x.device))


def view(x: Tensor) -> Tensor:
    """Pictures in [0, 1] moved a little, with a hole, brighter or darker: nothing that changes what they show."""
    return exposure(cutout(translation(x, SHIFT), HOLE))


def _wide(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
