"""One training step: gradients of the game, one optimiser per player, the averaged weights."""

from __future__ import annotations

import torch
from torch import Tensor

from ali_plugin.objectives.game import Batch, Game
from ali_plugin.training.config import TrainConfig
from ali_plugin.training.ema import AveragedWeights


class TrainingStep:
    """Simultaneous update of all players from one set of predictions (Algorithm 1)."""

    def __init__(self, game: Game, config: TrainConfig) -> None:
        self.game = game
        self.optimisers = {
            name: torch.optim.Adam(parameters, lr=config.lr, betas=(config.beta1, config.beta2), fused=True)
            for name, parameters in game.players().items()
        }
        self.average = None if config.ema is None else AveragedWeights(game.model, config.ema)

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        """Move all players; returns the game's figures as device scalars, not synchronised."""
        for optimiser in self.optimisers.values():
            optimiser.zero_grad(set_to_none=True)
        figures = self.game.gradients(batch)
        for optimiser in self.optimisers.values():
            optimiser.step()
        if self.average is not None:
            self.average.update()
        return figures
