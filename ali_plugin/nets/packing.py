"""Packing of samples that a discriminator judges together (PacGAN, Lin et al., 2018)."""

from __future__ import annotations

from torch import Tensor


def packed(samples: Tensor, shape: tuple[int, ...], packing: int, training: bool) -> Tensor:
    """Samples (B, ...) as packs (B / m, *shape) of m neighbours; in evaluation (B, *shape), m times the same sample,
    so that each sample has its judgement."""
    if packing == 1 or training:
        return samples.reshape(len(samples) // packing, *shape)
    copies = samples.unsqueeze(1).expand(-1, packing, *samples.shape[1:])  # (B, m, ...)
    return copies.reshape(len(samples), *shape)
