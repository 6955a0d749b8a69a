"""The way back from gradients that are known already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class KnownGradients(torch.autograd.Function):
    """A loss () of n tensors whose gradients are the n tensors that come after them; its value says nothing."""

    @staticmethod
    def forward(ctx: Any, *ends_and_gradients: Tensor) -> Tensor:
        ctx.save_for_backward(*ends_and_gradients[len(ends_and_gradients) // 2 :])
        return ends_and_gradients[0].new_zeros(())

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> tuple[Tensor | None, ...]:
        return (*ctx.saved_tensors, *[None] * len(ctx.saved_tensors))


def backward(
    ends: Sequence[Tensor],
    gradients: Sequence[Tensor],
    inputs: Sequence[Tensor] | None = None,
    retain_graph: bool = False,
) -> None:
    """Bring the gradients of ``ends``, of the same shapes, to the inputs, or to all leaves.

    ``torch.autograd.backward`` does the same, and compares the shapes with symbolic mathematics, whose import would be
    a sixth of the way to a run's first step.
    """
    loss = KnownGradients.apply(*ends, *gradients)
    loss.backward(inputs=inputs, retain_graph=retain_graph)


def gradient_of(leaf: Tensor) -> Tensor:
    """The gradient that has been brought to a leaf."""
    assert leaf.grad is not None
    return leaf.grad
