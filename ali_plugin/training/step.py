"""One training step: gradients of the game, one optimiser per player, the averaged weights."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor

from ali_plugin.errors import DeviceError
from ali_plugin.objectives.game import Batch, Game
from ali_plugin.training.config import TrainConfig
from ali_plugin.training.distributed import average_gradients
from ali_plugin.training.ema import AveragedWeights
from ali_plugin.training.graph import GraphedUpdate, phase_of

Update = Callable[[Batch], dict[str, Tensor]]
LEVELS = 100  # of a learning rate that falls: a captured graph is made anew for each


def remaining_rate(step: int, total_steps: int) -> float:
    """The share of the learning rate at a step (from 0) where it falls over the run: from 1 down to 0.01."""
    return 1 - LEVELS * step // total_steps / LEVELS


class TrainingStep:
    """Simultaneous update of all players from one set of predictions (Algorithm 1)."""

    def __init__(self, game: Game, config: TrainConfig) -> None:
        self.game, self.config = game, config
        self.device = game.model.device
        self.half_precision = config.precision == "bf16"
        planned = self.device.type == "meta"  # nothing is run there
        if config.cuda_graphs and self.device.type != "cuda" and not planned:
            raise DeviceError(f"--cuda-graphs needs a GPU, the run is on {self.device}")
        if config.compile:
            for net in game.model.children():
                net.compile()
        self.optimisers = {
            name: torch.optim.Adam(
                parameters,
                lr=config.learning_rate(name),
                betas=(config.beta1, config.beta2),
                fused=not planned,
                capturable=config.cuda_graphs,
            )
            for name, parameters in game.players().items()
        }
        self.average = None if config.ema is None else AveragedWeights(game.model, config.ema)
        self._update: Update = self._graphed() if config.cuda_graphs and not planned else self.update

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        """Move all players; returns the game's figures as device scalars, not synchronised."""
        figures = self._update(batch)
        if self.average is not None:
            self.average.update()
        return figures

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """The gradients, and every player's move along its own."""
        for optimiser in self.optimisers.values():
            optimiser.zero_grad(set_to_none=True)
        half = torch.autocast(self.device.type, torch.bfloat16) if self.half_precision else nullcontext()
        with half:
            figures = self.game.gradients(batch)
        average_gradients(self.optimisers)
        for optimiser in self.optimisers.values():
            optimiser.step()
        return figures

    def set_learning_rate(self, share: float) -> None:
        """Give every player this share of its learning rate; a captured graph, which holds the old, is made anew."""
        for name, optimiser in self.optimisers.items():
            for group in optimiser.param_groups:
                group["lr"] = share * self.config.learning_rate(name)
        if isinstance(self._update, GraphedUpdate):
            self._update = self._graphed()

    def _graphed(self) -> GraphedUpdate:
        return GraphedUpdate(self.update, self.device, lambda: phase_of(self.game))
