"""An exponential moving average of a model's weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor, nn

from ali_plugin.model import ALI
from ali_plugin.nets import state


class AveragedWeights:
    """average <- decay average + (1 - decay) weights, after each step.

    The decay grows from 0 as (1 + t) / (10 + t), so that the initial weights are soon forgotten. Batch norm's
    population statistics are averaged along, since those of the latest weights do not fit averaged ones. Any other
    buffer is the latest one: an average of, say, the vectors of a power iteration is none of them.

    Args:
        decay: may be set anew at any time.
        others: nets beside the model, by name.

    Attributes:
        averages: of what the model learns, by name.
        of_others: of what the others learn, as NAME.KEY.
    """

    def __init__(self, model: ALI, decay: float, others: Mapping[str, nn.Module] = MappingProxyType({})) -> None:
        self.model, self.others, self.decay, self.updates = model, others, decay, 0
        self.averages = {name: tensor.detach().clone() for name, tensor in state.once(state.learned(model)).items()}
        self.of_others = {
            f"{name}.{key}": tensor.detach().clone()
            for name, net in others.items()
            for key, tensor in state.once(state.learned(net)).items()
        }

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
        of_others = {f"{name}.{key}": one for name, net in self.others.items() for key, one in state.named(net).items()}
        latest = [present[name] for name in self.averages] + [of_others[name] for name in self.of_others]
        torch._foreach_lerp_([*self.averages.values(), *self.of_others.values()], latest, 1 - decay)

    @torch.no_grad()
    def give_back(self, kinds: Sequence[str]) -> None:
        """Make the averages the present weights of these parts of the model."""
        present = state.named(self.model)
        for name, average in self.averages.items():
            if name.partition(".")[0] in kinds:
                present[name].copy_(average)

    def load(
        self, weights: Mapping[str, Tensor], updates: int, of_others: Mapping[str, Tensor] = MappingProxyType({})
    ) -> None:
        """Continue from a checkpoint."""
        for kept, saved in ((self.averages, weights), (self.of_others, of_others)):
            for name, average in kept.items():
                average.copy_(saved[name])
        self.updates = updates
