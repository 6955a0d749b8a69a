"""How well x survives x -> z -> x on held-out data, and z survives z -> x -> z."""

from __future__ import annotations

import math

import torch

from ali_plugin.evaluation.context import Context
from ali_plugin.evaluation.ssim import ssim
from ali_plugin.support.progress import track


@torch.no_grad()
def reconstruction(context: Context) -> dict[str, float]:
    """``mse`` per element of x through the posterior mean; of pictures also ``psnr`` in dB and ``ssim``.

    ``latent_mse`` is the error per element of z drawn from the prior; 1 is what guessing 0 would give.
    """
    model, generator = context.model, context.generator()
    error_x = error_z = similarity = 0.0
    samples = len(context.split("test"))
    pictures = len(model.config.data_shape) == 3
    for x, condition in track(context.stream("test"), "reconstruction", -(-samples // context.batch_size)):
        again = model.reconstruct(x, condition)
        error_x += (again - x).double().square().sum().item()
        similarity += ssim(again.float(), x.float()).sum().item() if pictures else 0.0
        z = model.prior(len(x), generator)
        inferred = model.encode(model.decode(z, condition), condition).mean
        error_z += (inferred - z).double().square().sum().item()
    mse = error_x / (samples * math.prod(model.config.data_shape))
    latent = {"latent_mse": error_z / (samples * model.config.latent_size)}
    if not pictures:
        return {"mse": mse, **latent}
    return {"mse": mse, "psnr": -10 * math.log10(mse) if mse else math.inf, "ssim": similarity / samples, **latent}
