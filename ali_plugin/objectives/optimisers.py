"""The optimisers that players may have: torch's own, with the run's rate and betas."""

from __future__ import annotations

from collections.abc import Iterable
from inspect import unwrap
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn, optim
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


class StableAdamW(AdamW):  # type: ignore[valid-type, misc]  # made by a function
    """AdamW with update clipping: a tensor's step has a root mean square of at most the rate (Wortsman et al., 2023,
    arXiv 2304.13013).

    After quiet steps the second moment is small, and one unusual batch moves every weight by up to 1 / sqrt(1 - beta2)
    rates: by ten with .99, which nets without any norm do not recover from.
    """

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        moving = [
            (one, group, one.clone()) for group in self.param_groups for one in group["params"] if one.grad is not None
        ]
        loss = super().step(closure)
        for parameter, group, before in moving:
            share = 1 / _rates(parameter.grad, group, self.state[parameter]).clamp(min=1)
            parameter.lerp_(before, 1 - share)
        return loss


def _rates(gradient: Tensor, group: dict[str, Any], state: dict[str, Tensor]) -> Tensor:
    """The root mean square of Adam's last step without a momentum, in rates; a scalar."""
    moment = state["exp_avg_sq"]
    correction = 1 - group["betas"][1] ** state["step"]
    least = max(group["eps"] ** 2, torch.finfo(moment.dtype).tiny)  # where there has never been a gradient
    excess: Tensor = (gradient * gradient).div_(moment.clamp(min=least)).mean() * correction
    return excess.sqrt()


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


def stable_adamw(
    parameters: Iterable[nn.Parameter], *, lr: float, betas: tuple[float, float], capturable: bool, weight_decay: float,
    eps: float,
) -> Optimizer:  # fmt: skip
    """AdamW with update clipping."""
    return StableAdamW(parameters, lr, betas, eps, weight_decay, fused=True, capturable=capturable)


def sgd(
    parameters: Iterable[nn.Parameter], *, lr: float, betas: tuple[float, float], capturable: bool, weight_decay: float,
    nesterov: bool,
) -> Optimizer:  # fmt: skip
    """Gradient descent with beta1 as its momentum; it has no beta2. Its step can always be captured."""
    return SGD(parameters, lr, betas[0], weight_decay=weight_decay, nesterov=nesterov, fused=True)
