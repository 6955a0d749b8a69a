"""Semi-supervised ALI (section 4.3): a discriminator of K classes, D = Z / (Z + 1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ali_plugin.errors import OptionError
from ali_plugin.model import ALI
from ali_plugin.nets.protocol import offers
from ali_plugin.objectives.ali import ALIGame
from ali_plugin.objectives.game import Batch, Game, Labelled, parameters


def class_gradients(model: ALI, labelled: Labelled | None) -> dict[str, Tensor]:
    """Add the gradient of D's cross-entropy on labelled encoder pairs to D's parameters; returns figures."""
    if labelled is None:
        raise OptionError("this objective learns from labels; say how many with --labels N")
    with torch.no_grad():
        z = model.encode(labelled.x, labelled.condition).sample()
    pack = offers(model.part("discriminator")).packing  # where D judges several at once: copies of one
    condition = None if labelled.condition is None else labelled.condition.repeat_interleave(pack, 0)
    logits = model.class_logits(labelled.x.repeat_interleave(pack, 0), z.repeat_interleave(pack, 0), condition)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))  # (B, K)
    loss = cross_entropy(logits, labelled.classes)
    loss.backward(inputs=parameters(model.part("discriminator")))
    wrong = (logits.detach().argmax(1) != labelled.classes).float().mean()
    return {"loss_class": loss.detach(), "error_labelled": wrong}


class SemiSupervisedGame(ALIGame):
    """The game with a K-class D, which also follows the cross-entropy on labelled pairs; no feature matching."""

    def gradients(self, batch: Batch) -> dict[str, Tensor]:
        figures = super().gradients(batch)
        return {**figures, **class_gradients(self.model, batch.labelled)}


class SupervisedGame(Game):
    """The same discriminator trained on the labelled samples alone: the baseline of the semi-supervised game."""

    def players(self) -> dict[str, list[nn.Parameter]]:
        return {"discriminator": parameters(self.model.part("discriminator"))}

    def gradients(self, batch: Batch) -> dict[str, Tensor]:
        return class_gradients(self.model, batch.labelled)
