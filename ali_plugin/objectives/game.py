"""What an objective is: players with parameters, and their gradients on a batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

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


@dataclass(frozen=True)
class Player:
    """Whose parameters move together, and how.

    Attributes:
        optimiser: a registered one by its name, or what builds one as ``ali_registry.Optimiser`` says; None for
            the run's.
        options: of that optimiser, where it is another than the run's.
        rate: factor on the run's learning rate for this player.
        betas: in place of the run's; None in the place of one that stays the run's.
    """

    parameters: Sequence[nn.Parameter]
    optimiser: str | Callable[..., Optimizer] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    rate: float = 1.0
    betas: tuple[float | None, float | None] = (None, None)


class Game(ABC):
    """An objective over a model.

    The training step calls ``gradients`` once, then lets one optimiser per player follow them: all
    players move from the same, old parameters.

    Attributes:
        needs_second_derivatives: it differentiates gradients of the discriminator once more, which is tried
            before a run begins.
        still: kinds of parts that do not move in the step that ``schedule`` announces; they stand at their averaged
            weights, where the run has any.
    """

    needs_second_derivatives: bool = False
    still: tuple[str, ...] = ()

    def __init__(self, model: ALI) -> None:
        self.model = model

    @abstractmethod
    def players(self) -> Mapping[str, Sequence[nn.Parameter] | Player]:
        """The parameters of each player, by the player's name, or a ``Player`` that also says how it moves."""

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

    def check(self, batch_size: int) -> None:  # noqa: B027 - most objectives play with any batch
        """Raise OptionError if the game cannot be played with so many samples in each step of a process."""

    def modules(self) -> dict[str, nn.Module]:
        """Nets of the objective's own, beside the model's, built by the constructor.

        They are on the run's device, compiled, synchronised, averaged and checkpointed as the model's are.
        """
        return {}


def players_of(game: Game) -> dict[str, Player]:
    """The players of a game, each as a ``Player``."""
    return {name: player if isinstance(player, Player) else Player(player) for name, player in game.players().items()}


def parameters(*nets: nn.Module) -> list[nn.Parameter]:
    """The trainable parameters of some nets, in order."""

    def of(net: nn.Module) -> Iterator[nn.Parameter]:
        return (parameter for parameter in net.parameters() if parameter.requires_grad)

    return [parameter for net in nets for parameter in of(net)]
