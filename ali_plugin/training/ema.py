"""An exponential moving average of a model's weights."""

from __future__ import annotations

import torch
from torch import Tensor

from ali_plugin.model import ALI
from ali_plugin.nets import state


class AveragedWeights:
    """average <- decay average + (1 - decay) weights, after each step.

    The decay grows from 0 as (1 + t) / (10 + t), so that the initial weights are soon forgotten. Batch norm's
    population statistics are averaged along, since those of the latest weights do not fit averaged ones. Any other
    buffer is the latest one: an average of, say, the vectors of a power iteration is none of them.
    """

    def __init__(self, model: ALI, decay: float) -> None:
        self.model, self.decay, self.updates = model, decay, 0
        self.averages = {name: tensor.detach().clone() for name, tensor in state.once(state.learned(model)).items()}

    @property
    def weights(self) -> dict[str, Tensor]:
        """A whole state, as ``state.load`` takes it: what is averaged, and the model's present other buffers."""
        present = state.named(self.model)
        averaged = {id(present[name]): average for name, average in self.averages.items()}
        return {name: averaged.get(id(tensor), tensor.detach()) for name, tensor in present.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take the model's present weights in."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        present = state.named(self.model)
        latest = [present[name] for name in self.averages]
        torch._foreach_lerp_(list(self.averages.values()), latest, 1 - decay)

    def load(self, weights: dict[str, Tensor], updates: int) -> None:
        """Continue from a checkpoint."""
        for name, average in self.averages.items():
            average.copy_(weights[name])
        self.updates = updates
