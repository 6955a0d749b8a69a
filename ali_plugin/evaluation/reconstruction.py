"""How well x survives x -> z -> x, on held-out data."""

from __future__ import annotations

import torch

from ali_plugin.evaluation.context import Context


@torch.no_grad()
def reconstruction(context: Context) -> dict[str, float]:
    """Mean squared error per element through the posterior mean, and its peak signal-to-noise ratio in dB."""
    total, elements = 0.0, 0
    for x, condition in context.stream("test"):
        error = (context.model.reconstruct(x, condition) - x).double()
        total += error.square().sum().item()
        elements += error.numel()
    mse = total / elements
    return {"mse": mse, "psnr": float(-10 * torch.log10(torch.tensor(mse)))}
