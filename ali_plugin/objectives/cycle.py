"""Cycles: what comes back from x -> z -> x and from z -> x -> z, in float32."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import l1_loss, mse_loss

from ali_plugin.model import ALI
from ali_plugin.nets.distribution import Posterior

Norm = Literal["l1", "l2"]
Through = Literal["draw", "mean"]
DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"l1": l1_loss, "l2": mse_loss}


@dataclass(frozen=True)
class Weights:
    """Of the three terms; 0 leaves one out."""

    x: float = 0.0
    features: float = 0.0
    z: float = 0.0


@dataclass(frozen=True)
class Cycle:
    """Distances, means over all elements, between what goes around and what comes back.

    - x: |x - G(z')| with z' from q(z|x) (ALICE, Li et al., 2017, has L1 of it),
    - features: the same between the discriminator's features of both, its weights held still,
    - z: |z - z'| with z' from q(z|G(z)) (VEEGAN, Srivastava et al., 2017, has the square of it).

    Attributes:
        norm: of x and of features; that of z is always the square.
        through: whether z' is a draw or the mean of q.
    """

    model: ALI
    norm: Norm = "l2"
    through: Through = "draw"
    features: Callable[[Tensor], Tensor] | None = None

    def terms(
        self, weights: Weights, batch: tuple[Tensor, Tensor], q: tuple[Posterior, Tensor], x_tilde: Tensor,
        condition: Tensor | None,
    ) -> dict[str, tuple[float, Tensor]]:  # fmt: skip
        """The terms with their weights, by name.

        Args:
            batch: x (B, *data_shape) and the prior's draws z (B, latent).
            q: the posterior of x, and the draw of it that the players use.
            x_tilde: G(z), attached to the decoder.
        """
        x, z = batch
        found = {}
        if weights.x or weights.features:
            posterior, z_hat = q
            back = self.model.likelihood(z_hat if self.through == "draw" else posterior.mean, condition).mean
            if weights.x:
                found["cycle_x"] = (weights.x, self._distance(back, x))
            if weights.features and self.features is not None:
                with torch.no_grad():
                    target = self.features(x)
                found["cycle_features"] = (weights.features, self._distance(self.features(back), target))
        if weights.z:
            posterior = self.model.encode(x_tilde, condition)
            z_back = posterior.sample() if self.through == "draw" else posterior.mean
            found["cycle_z"] = (weights.z, mse_loss(_wide(z_back), _wide(z)))
        return found

    def _distance(self, here: Tensor, there: Tensor) -> Tensor:
        return DISTANCES[self.norm](_wide(here), _wide(there))


def _wide(tensor: Tensor) -> Tensor:
    """In float32 at least: losses are never taken in half precision."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
