"""An exponential moving average of a model's weights."""

from __future__ import annotations

import torch
from torch import Tensor

from ali_plugin.model import ALI


class AveragedWeights:
    """average <- decay average + (1 - decay) weights, after each step.

    The decay grows from 0 as (1 + t) / (10 + t), so that the initial weights are soon forgotten. Buffers
    (batch norm's population statistics) are averages already and are copied.
    """

    def __init__(self, model: ALI, decay: float) -> None:
        self.model, self.decay, self.updates = model, decay, 0
        self.weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take the model's present weights in."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        parameters = dict(self.model.named_parameters())
        averages = [self.weights[name] for name in parameters]
        torch._foreach_lerp_(averages, list(parameters.values()), 1 - decay)
        for name, buffer in self.model.named_buffers():
            self.weights[name].copy_(buffer)

    def load(self, weights: dict[str, Tensor], updates: int) -> None:
        """Continue from a checkpoint."""
        for name, tensor in self.weights.items():
            tensor.copy_(weights[name])
        self.updates = updates
