"""One training step: gradients of the game, one optimiser per player, the averaged weights."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from contextlib import nullcontext

import torch
from torch import Tensor
from torch.optim import Optimizer

from ali_plugin.config import settings
from ali_plugin.config.schedule import Schedule, progress
from ali_plugin.errors import DeviceError, OptionError
from ali_plugin.objectives.game import Batch, Game, Player, players_of
from ali_plugin.support.strict_json import short
from ali_plugin.training.config import TrainConfig
from ali_plugin.training.distributed import average_gradients
from ali_plugin.training.ema import AveragedWeights
from ali_plugin.training.graph import GraphedUpdate, phase_of
from ali_registry import BuildFailed, InvalidRecord, Optimiser, Registry, default_registry
from ali_registry.guard import reason

Update = Callable[[Batch], dict[str, Tensor]]


class TrainingStep:
    """Simultaneous update of all players from one set of predictions (Algorithm 1).

    Raises:
        DeviceError: a CUDA graph is asked of another device.
        UnknownName, OptionError: a player's optimiser is not registered, or cannot have its options.
    """

    def __init__(self, game: Game, config: TrainConfig, registry: Registry | None = None) -> None:
        self.game, self.config, self.registry = game, config, registry or default_registry()
        self.device = game.model.device
        self.half_precision = config.precision == "bf16"
        planned = self.device.type == "meta"  # nothing is run there
        if config.cuda_graphs and self.device.type != "cuda" and not planned:
            raise DeviceError(f"--cuda-graphs needs a GPU, the run is on {self.device}")
        if config.compile:
            for net in (*game.model.children(), *game.modules().values()):
                net.compile()
        self.players = players_of(game)
        self.optimisers = {name: self._optimiser(name, player) for name, player in self.players.items()}
        decay = config.ema_decay(0.0)
        self.average = None if decay is None else AveragedWeights(game.model, decay, game.modules())
        self._update: Update = self.update
        if config.cuda_graphs and not planned:
            self._update = GraphedUpdate(self.update, self.device, self._kind)

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

    def schedule(self, step: int, total_steps: int, factor: float = 1.0) -> None:
        """Say which step (from 0) of the run comes next: the game's phase, rates, betas and the averages' decay.

        Args:
            factor: on all learning rates.
        """
        self.game.schedule(step, total_steps)
        if self.game.still and self.average is not None:
            self.average.give_back(self.game.still)
        share = progress(step, total_steps)
        for name, player in self.players.items():
            for group in self.optimisers[name].param_groups:
                group["lr"] = factor * self._rate(name, player, share)
                if "betas" in group:
                    group["betas"] = self._betas(player, share)
        if self.average is not None:
            self.average.decay = self.config.ema_decay(share) or 0.0

    def rates(self) -> dict[str, float]:
        """The learning rate of each player's next move, as figures of a log line."""
        return {f"rate_{name}": float(optimiser.param_groups[0]["lr"]) for name, optimiser in self.optimisers.items()}

    def _kind(self) -> Hashable:
        """What a captured update depends on beside the batch and the contents of tensors."""
        groups = [group for optimiser in self.optimisers.values() for group in optimiser.param_groups]
        return phase_of(self.game), tuple((group["lr"], group.get("betas")) for group in groups)

    def _optimiser(self, name: str, player: Player) -> Optimizer:
        build, options = player.optimiser, dict(player.options)
        if not callable(build):
            record = self.registry.get(Optimiser, build or self.config.optimiser)
            of_run = self.config.settings.get("optimiser", {}) if record.name == self.config.optimiser else {}
            options = settings.complete(record, {**of_run, **options})
            build = record.call
        rate, betas = self._rate(name, player, 0.0), self._betas(player, 0.0)
        try:
            made = build(player.parameters, lr=rate, betas=betas, capturable=self.config.cuda_graphs, **options)
        except (BuildFailed, TypeError, ValueError) as error:
            cause = short(reason(error.__cause__ or error), 200)
            raise OptionError(f"the optimiser of {name} cannot be built with {short(options)}: {cause}") from error
        if not isinstance(made, Optimizer):
            raise InvalidRecord(f"the optimiser of {name} is a {type(made).__name__}, no torch.optim.Optimizer")
        return made

    def _rate(self, name: str, player: Player, share: float) -> float:
        return player.rate * self.config.learning_rate(name, share)

    def _betas(self, player: Player, share: float) -> tuple[float, float]:
        beta1, beta2 = player.betas
        return (
            self.config.beta1 if beta1 is None else beta1,
            Schedule.of(self.config.beta2).at(share) if beta2 is None else beta2,
        )
