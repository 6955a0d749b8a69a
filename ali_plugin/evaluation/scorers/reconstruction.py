"""What does not come back: the distance of x and G(E(x)), with the mean of q(z|x) for E(x)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from ali_plugin.errors import OptionError
from ali_plugin.model import ALI
from ali_plugin.nets.protocol import offers


@dataclass(frozen=True)
class Reconstruction:
    """mean |f(x) - f(G(E(x)))|, or the mean of its square, over all elements.

    f is the identity, or with ``features`` the discriminator's features of x. A map shows the same for each pixel of
    x, the mean over its channels, also where the score is taken in features.
    """

    norm: Literal["l1", "l2"] = "l2"
    features: bool = False

    def __call__(self, model: ALI, x: Tensor, condition: Tensor | None) -> Tensor:
        again = model.reconstruct(x, condition)
        if self.features:
            features = features_of(model, "reconstruction")
            x, again = features(x), features(again)
        return self._difference(x, again).flatten(1).mean(1)

    def where(self, model: ALI, x: Tensor, condition: Tensor | None) -> Tensor:
        return self._difference(x, model.reconstruct(x, condition)).mean(1)

    def _difference(self, x: Tensor, again: Tensor) -> Tensor:
        difference = (x - again).float()
        return difference.abs() if self.norm == "l1" else difference.square()


def features_of(model: ALI, scorer: str) -> Callable[[Tensor], Tensor]:
    """The discriminator's features of x alone; OptionError where it has none to give."""
    features = offers(model.part("discriminator")).x_features
    if features is None:
        part = model.config.discriminator
        named = f"discriminator {part.name if part else ''!r}"
        raise OptionError(f"{named} gives no features of x, which scorer {scorer!r} compares; take another scorer")
    return features
