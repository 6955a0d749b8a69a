"""An exponential moving average of a model's weights."""

from __future__ import annotations

import torch
from torch import Tensor

from ali_plugin.model import ALI


class AveragedWeights:
    """average <- decay average + (1 - decay) weights, after each step.

    The decay grows from 0 as (1 + t) / (10 + t), so that the initial weights are soon forgotten. Batch norm's
    population statistics are averaged along, since those of the latest weights do not fit averaged ones.
    """

    def __init__(self, model: ALI, decay: float) -> None:
        self.model, self.decay, self.updates = model, decay, 0
        self.weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take the model's present weights in."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        averages, latest = [], []
        for name, tensor in self.model.state_dict().items():
            if tensor.is_floating_point():
                averages.append(self.weights[name])
                latest.append(tensor)
            else:
                self.weights[name].copy_(tensor)
        torch._foreach_lerp_(averages, latest, 1 - decay)

    def load(self, weights: dict[str, Tensor], updates: int) -> None:
        """Continue from a checkpoint."""
        for name, tensor in self.weights.items():
            tensor.copy_(weights[name])
        self.updates = updates
