"""Runs that differ in seed and hyperparameters, trained as one batched ensemble.

The ensemble is a model whose parts hold the parameters of R nets; of a batch of B R samples, sample i belongs to run
i mod R. Any game that treats the samples of a run as its batch and averages over them is played on it unchanged, and
run r is the run that ``ali train`` makes of its settings: its own data order, noise, Adam.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state

from ali_plugin.config.model_config import PARTS
from ali_plugin.datasets.split import DataSplit
from ali_plugin.errors import PartMismatch
from ali_plugin.model import ALI
from ali_plugin.nets import state
from ali_plugin.nets.table_nets import TableEncoder
from ali_plugin.objectives.game import Batch, Game
from ali_plugin.support.devices import float32_by_default
from ali_plugin.training.batches import Batches
from ali_plugin.training.config import learning_rate
from ali_plugin.training.ema import AveragedWeights
from ali_plugin.training.step import remaining_rate
from ali_registry import Registry


@dataclass(frozen=True)
class Member:
    """The settings of one run."""

    seed: int
    lr: float = 1e-4
    beta1: float = 0.5
    beta2: float = 0.999
    init_std: float = 0.02
    lr_discriminator: float | None = None
    lr_decay: bool = False
    ema: float | None = None


class StackedNet(nn.Module):
    """R nets of one kind on interleaved batches (B R, ...).

    Parameters and buffers are stacked, (R, ...); batch norm sees the B samples of its run.
    """

    couples_batch = False

    def __init__(self, nets: Sequence[nn.Module]) -> None:
        super().__init__()
        self.runs = len(nets)
        self._net = [nets[0]]  # in a list, so that it is no submodule
        stacked, buffers = stack_module_state(list(nets))
        self._names = {name.replace(".", "/"): name for name in (*stacked, *buffers)}
        for name, tensor in stacked.items():
            self.register_parameter(name.replace(".", "/"), nn.Parameter(tensor.detach()))
        for name, tensor in buffers.items():
            self.register_buffer(name.replace(".", "/"), tensor)

    def forward(self, *inputs: Tensor) -> Any:
        state = {self._names[name]: tensor for name, tensor in (*self.named_parameters(), *self.named_buffers())}
        net = self._net[0].train(self.training)

        def one(state: dict[str, Tensor], *inputs: Tensor) -> Tensor:
            out: Tensor = functional_call(net, state, inputs)
            return out

        split = [tensor.unflatten(0, (-1, self.runs)) for tensor in inputs]  # (B, R, ...)
        out = torch.vmap(one, in_dims=(0, *[1] * len(split)), out_dims=1, randomness="different")(state, *split)
        return out.flatten(0, 1)

    def run_state(self, run: int) -> dict[str, Tensor]:
        """The state of one net, sharing memory."""
        state = {**dict(self.named_parameters()), **dict(self.named_buffers())}
        return {self._names[name]: tensor.detach()[run] for name, tensor in state.items()}


class _Draw(nn.Module):
    """An encoder that takes noise, as a function of data and noise."""

    def __init__(self, encoder: TableEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        return self.encoder.parameters_of(x, None, noise)


class StackedEncoder(StackedNet):
    """R encoders whose posteriors are implicit (drawn with concatenated noise) or point masses."""

    def __init__(self, nets: Sequence[nn.Module], generators: Sequence[torch.Generator]) -> None:
        encoders = [net for net in nets if isinstance(net, TableEncoder) and net.posterior != "gaussian"]
        if len(encoders) < len(nets):
            raise PartMismatch("an ensemble takes encoders made of rows, without mu and sigma")
        self.noise = encoders[0].noise
        super().__init__([_Draw(encoder) for encoder in encoders] if self.noise else encoders)
        self.generators = generators

    def forward(self, *inputs: Tensor) -> Any:
        if not self.noise:
            return super().forward(*inputs)
        # The noise of a step is drawn here, run by run, so that each has the numbers of a run alone.
        (x,) = inputs
        return super().forward(x, interleaved(len(x) // self.runs, self.noise, self.generators, x))


class Ensemble(ALI):
    """R models as one; see the module."""

    def __init__(self, models: Sequence[ALI], generators: Sequence[torch.Generator]) -> None:
        first = models[0]
        stacked: dict[str, nn.Module] = {
            "encoder": StackedEncoder([model.part("encoder") for model in models], generators),
            "decoder": StackedNet([model.part("decoder") for model in models]),
            "discriminator": StackedNet([model.part("discriminator") for model in models]),
        }
        super().__init__(first.config, **stacked)
        self.generators = generators

    def prior(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        like = next(self.parameters())
        return interleaved(n // len(self.generators), self.config.latent_size, self.generators, like)


def interleaved(count: int, size: int, generators: Sequence[torch.Generator], like: Tensor) -> Tensor:
    """Noise (count R, size), of which sample i comes from generator i mod R."""
    shape, kind = (count, size), torch.float32  # whatever the default type
    drawn = torch.stack([torch.randn(shape, generator=generator, dtype=kind) for generator in generators], 1)
    return drawn.flatten(0, 1).to(like.device, like.dtype)


class EnsembleTraining:
    """Trains runs of one architecture together.

    Args:
        game: makes the game of a model; it averages over the batch.
        members: the settings, one for each run.
        total_steps: the length of the runs, over which a learning rate falls that does.
    """

    def __init__(
        self,
        architecture: str,
        game: Callable[[ALI], Game],
        members: Sequence[Member],
        split: DataSplit,
        *,
        total_steps: int,
        batch_size: int = 100,
        device: torch.device | str = "cpu",
        registry: Registry | None = None,
    ) -> None:
        self.members, self.total_steps, self.steps = members, total_steps, 0
        self.models, generators = [], []
        for member in members:
            with torch.random.fork_rng(devices=[]), float32_by_default():
                # As the trainer does: the seed makes the weights, then goes on into the noise.
                torch.manual_seed(member.seed)
                arguments = {kind: {"init_std": member.init_std} for kind in PARTS}
                self.models.append(ALI.from_architecture(architecture, arguments=arguments, registry=registry))
                generator = torch.Generator()
                generator.set_state(torch.get_rng_state())
                generators.append(generator)
        self.ensemble = Ensemble(self.models, generators).to(device).train()
        for run, model in enumerate(self.models):
            self._share(run, model)
        self.game = game(self.ensemble)
        self.batches = [Batches(split, batch_size, member.seed, torch.device(device)) for member in members]
        self.optimisers = [self._optimiser(name, player) for name, player in self.game.players().items()]
        self.averages = [
            None if member.ema is None else AveragedWeights(model, member.ema)
            for model, member in zip(self.models, members, strict=True)
        ]

    def _share(self, run: int, model: ALI) -> None:
        """Put a run's part of the stacked weights in the place of its model's own."""
        for kind in PARTS:
            part = self.ensemble.part(kind)
            assert isinstance(part, StackedNet)
            state = {name.removeprefix("encoder."): tensor for name, tensor in part.run_state(run).items()}
            model.part(kind).load_state_dict(state, assign=True)

    def _optimiser(self, name: str, player: Sequence[nn.Parameter]) -> tuple[Sequence[nn.Parameter], Any, list[Any]]:
        """One Adam over views of the stacked parameters, with a group for each run."""
        views = [[nn.Parameter(stacked.detach()[run]) for stacked in player] for run in range(len(self.members))]
        groups = [
            {"params": view, "initial_lr": learning_rate(name, member.lr, member.lr_discriminator),
             "betas": (member.beta1, member.beta2)}
            for view, member in zip(views, self.members, strict=True)
        ]  # fmt: skip
        return player, torch.optim.Adam(groups, fused=True), views

    def step(self) -> None:
        """One step of every run."""
        remaining = remaining_rate(self.steps, self.total_steps)
        self.steps += 1
        x = torch.stack([batches.next().x for batches in self.batches], 1).flatten(0, 1)  # (B R, ...)
        for player, _, _ in self.optimisers:
            for stacked in player:
                stacked.grad = None
        self.game.gradients(Batch(x))
        for player, optimiser, views in self.optimisers:
            for i, stacked in enumerate(player):
                if stacked.grad is None:
                    continue
                # The game averages over the samples of all runs, each run over its own.
                stacked.grad.mul_(len(self.members))
                for run, view in enumerate(views):
                    view[i].grad = stacked.grad[run]
            for group, member in zip(optimiser.param_groups, self.members, strict=True):
                group["lr"] = group["initial_lr"] * (remaining if member.lr_decay else 1.0)
            optimiser.step()
        for average in self.averages:
            if average is not None:
                average.update()

    def run(self, run: int) -> ALI:
        """The model of one run, in eval mode, on the CPU; with averaged weights where the run has them."""
        model = self.models[run].rebuilt().cpu()
        if (average := self.averages[run]) is not None:
            state.load(model, average.weights)
        return model
