"""What an objective is: players with parameters, and their gradients on a batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from ali_plugin.model import ALI


@dataclass(frozen=True)
class Labelled:
    """Samples whose classes the objective may see: x (B, *data_shape), classes (B,), condition as in Batch."""

    x: Tensor
    classes: Tensor
    condition: Tensor | None = None


@dataclass(frozen=True)
class Batch:
    """What one step sees.

    Attributes:
        x: data (B, *data_shape), pictures in [0, 1].
        condition: (B, condition_size), None for an unconditional model.
        labelled: further samples with classes, for objectives that use labels.
    """

    x: Tensor
    condition: Tensor | None = None
    labelled: Labelled | None = None


class Game(ABC):
    """An objective over a model.

    The training step calls ``gradients`` once, then lets one optimiser per player follow them: all
    players move from the same, old parameters.
    """

    def __init__(self, model: ALI) -> None:
        self.model = model

    @abstractmethod
    def players(self) -> dict[str, list[nn.Parameter]]:
        """The parameters of each player, by the player's name."""

    @abstractmethod
    def gradients(self, batch: Batch) -> dict[str, Tensor]:
        """Put every player's gradient into ``.grad`` (None before) and return scalars to log, detached.

        A parameter whose ``.grad`` stays None does not move. Must not synchronise with the host: return
        tensors, do not read them.
        """

    def schedule(self, step: int, total_steps: int) -> None:  # noqa: B027 - most objectives have no phases
        """Called before step ``step`` (from 0), for objectives with phases; a function of the two numbers.

        What it decides it keeps in attributes, or in the modes of nets: a captured CUDA graph is made anew when
        one of them has changed.
        """

    def modules(self) -> dict[str, nn.Module]:
        """Nets of the objective's own, beside the model's; they are checkpointed."""
        return {}


def parameters(*nets: nn.Module) -> list[nn.Parameter]:
    """The trainable parameters of some nets, in order."""

    def of(net: nn.Module) -> Iterator[nn.Parameter]:
        return (parameter for parameter in net.parameters() if parameter.requires_grad)

    return [parameter for net in nets for parameter in of(net)]
