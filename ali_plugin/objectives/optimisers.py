"""The optimisers that players may have: torch's own, with the run's rate and betas."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer


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
