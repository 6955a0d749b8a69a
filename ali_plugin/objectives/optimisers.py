"""The optimisers that players may have: torch's own, with the run's rate and betas."""

from __future__ import annotations

from collections.abc import Iterable
from inspect import unwrap
from typing import TypeVar, cast

import torch
from torch import nn, optim
from torch.optim import Optimizer

Kind = TypeVar("Kind", bound=Optimizer)


def eager(kind: type[Kind]) -> type[Kind]:
    """A kind of optimiser without what wraps its methods for torch.compile.

    The wrappers import the compiler at their first call, which takes nearly as long as importing torch. With --compile
    a run compiles its nets, and no optimiser.
    """
    names = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
    plain = {name: unwrap(getattr(kind, name)) for name in names}
    made = type(kind.__name__, (kind,), {**plain, "step": torch.no_grad()(unwrap(kind.step))})
    return cast(type[Kind], made)


Adam, AdamW, SGD = eager(optim.Adam), eager(optim.AdamW), eager(optim.SGD)


def adam(
    parameters: Iterable[nn.Parameter], *, lr: float, betas: tuple[float, float], capturable: bool, weight_decay: float,
    eps: float,
) -> Optimizer:  # fmt: skip
    """Adam (Kingma and Ba, 2015), with L2 regularisation if there is a weight decay."""
    return Adam(parameters, lr, betas, eps, weight_decay, fused=True, capturable=capturable)


def adamw(
    parameters: Iterable[nn.Parameter], *, lr: float, betas: tuple[float, float], capturable: bool, weight_decay: float,
    eps: float,
) -> Optimizer:  # fmt: skip
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019)."""
    return AdamW(parameters, lr, betas, eps, weight_decay, fused=True, capturable=capturable)


def sgd(
    parameters: Iterable[nn.Parameter], *, lr: float, betas: tuple[float, float], capturable: bool, weight_decay: float,
    nesterov: bool,
) -> Optimizer:  # fmt: skip
    """Gradient descent with beta1 as its momentum; it has no beta2. Its step can always be captured."""
    return SGD(parameters, lr, betas[0], weight_decay=weight_decay, nesterov=nesterov, fused=True)
