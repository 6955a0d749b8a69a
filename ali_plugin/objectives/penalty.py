"""Gradient penalties of a discriminator, in float32 and outside of everything that is compiled."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor

from ali_plugin.errors import OptionError
from ali_plugin.model import ALI, pair_logit
from ali_plugin.nets.protocol import offers

Score = Callable[[Tensor, Tensor], Tensor]
"""f: pairs x (B, *data_shape), z (B, latent) -> one number for each judgement."""


@contextmanager
def exact(device: torch.device) -> Iterator[None]:
    """Eager and in full precision.

    A graph that create_graph makes inside torch.compile is lost without a word (torch issue 181581), and
    gradients of gradients in half precision are noise.
    """
    with eager(), torch.autocast(device.type, enabled=False):
        yield


def eager() -> AbstractContextManager[object]:
    """Compiled nets run as they are written; where the compiler, which takes as long to import as torch, is not
    loaded, nothing is compiled."""
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()


def squared_gradients(score: Score, x: Tensor, z: Tensor) -> Tensor:
    """mean over judgements of |df/dx|^2 + |df/dz|^2, which can be differentiated; a scalar.

    R1 on encoder pairs and R2 on decoder pairs are gamma / 2 of it (Mescheder et al., 2018; R3GAN, Huang et al.,
    2024), with x and z as one vector. Pictures count as if they were in [-1, 1], as there.
    """
    wide = torch.promote_types(x.dtype, torch.float32)
    x, z = (tensor.detach().to(wide).requires_grad_() for tensor in (x, z))
    with exact(x.device):
        f = score(x, z)
        of_x, of_z = torch.autograd.grad(f.sum(), (x, z), create_graph=True)
        scale = 0.25 if x.ndim == 4 else 1.0
        return (scale * of_x.square().sum() + of_z.square().sum()) / len(f)


def require_second_derivatives(model: ALI) -> None:
    """Differentiate the gradient of a discriminator built anew, as a penalty will.

    Raises:
        OptionError: it cannot be done; it says why.
    """
    like = next(model.parameters())
    discriminator = model.rebuilt(("discriminator",)).part("discriminator").train()
    size = model.config.condition_size
    pairs = 2 * offers(discriminator).packing
    condition = (torch.zeros(pairs, size, device=like.device),) if size else ()

    def score(x: Tensor, z: Tensor) -> Tensor:
        return pair_logit(discriminator(x, z, *condition))

    devices = [like.device] if like.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        x = torch.rand(pairs, *model.config.data_shape, device=like.device, dtype=like.dtype)
        try:
            penalty = squared_gradients(score, x, model.prior(pairs))
            if not penalty.requires_grad:
                raise RuntimeError("the gradient of its logit does not depend on its weights")
            penalty.backward()  # of everything: with ``inputs``, a function that forbids it would be passed by
        except RuntimeError as error:
            part = model.config.discriminator
            raise OptionError(
                f"discriminator {part.name if part else ''!r} cannot be differentiated twice, which a gradient penalty "
                f"does ({str(error).splitlines()[0][:200]}); take another one, or leave the penalty out with "
                "--set objective.gamma=0"
            ) from error
