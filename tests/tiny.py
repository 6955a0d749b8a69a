"""A plugin with one thing for each hook, so small that a training step takes a millisecond."""

from __future__ import annotations

from collections.abc import Callable as Function
from collections.abc import Iterable
from math import prod
from types import SimpleNamespace
from typing import Any

import click
import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from ali_plugin import (
    Architecture,
    Callback,
    Command,
    Dataset,
    Decoder,
    Discriminator,
    Encoder,
    Metric,
    Objective,
    Optimiser,
    Scorer,
    TrainingDefaults,
    hookimpl,
)
from ali_plugin.datasets.split import DataSplit
from ali_plugin.evaluation.context import Context
from ali_plugin.objectives.ali import ALIGame
from ali_plugin.objectives.game import Batch
from ali_plugin.training.callbacks import Callback as Watcher
from ali_plugin.training.callbacks import Run

SHAPE, LATENT = (1, 4, 4), 3


class TinyEncoder(nn.Linear):
    def __init__(self, data_shape: tuple[int, ...], latent_size: int) -> None:
        super().__init__(prod(data_shape), latent_size)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(1))  # (B, L)


class TinyDecoder(nn.Linear):
    def __init__(self, data_shape: tuple[int, ...], latent_size: int) -> None:
        super().__init__(latent_size, prod(data_shape))
        self.data_shape = data_shape

    def forward(self, z: Tensor) -> Tensor:
        return super().forward(z).sigmoid().reshape(-1, *self.data_shape)


class TinyDiscriminator(nn.Module):
    couples_batch = False

    def __init__(self, data_shape: tuple[int, ...], latent_size: int, width: int = 8) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(prod(data_shape) + latent_size, width), nn.LeakyReLU(0.1), nn.Linear(width, 1)
        )

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        logits: Tensor = self.layers(torch.cat([x.flatten(1), z], 1))
        return logits


def stripes(split: str, **_: Any) -> DataSplit:
    """Bright columns; the class is the column."""
    labels = np.arange(40 if split == "train" else 12, dtype=np.int64) % 4
    generator = np.random.default_rng(split == "train")
    data = generator.integers(0, 60, (len(labels), *SHAPE), dtype=np.uint8)
    data[np.arange(len(labels)), 0, :, labels] += 190
    return DataSplit(data, labels, ("0", "1", "2", "3"))


class HalvedGame(ALIGame):
    """ALI with halved gradients, so that a run with it differs."""

    def gradients(self, batch: Batch) -> dict[str, Tensor]:
        figures = super().gradients(batch)
        for player in self.players().values():
            for parameter in player:
                assert parameter.grad is not None
                parameter.grad /= 2
        return {**figures, "halved": torch.ones(())}


def brightness(context: Context) -> dict[str, float]:
    return {"mean": torch.cat([x for x, _ in context.stream("test")]).mean().item()}


def plain(parameters: Iterable[nn.Parameter], *, lr: float, factor: float, **_: Any) -> Optimizer:
    """Gradient descent."""
    return SGD(parameters, lr * factor)


class Glare:
    """How bright the brightest element is, so many times."""

    def __init__(self, times: float) -> None:
        self.times = times

    def __call__(self, model: object, x: Tensor, condition: Tensor | None) -> Tensor:
        return self.times * x.flatten(1).amax(1)


class Diary(Watcher):
    """Writes down what it sees, into the run's folder."""

    def on_log(self, trainer: Run, figures: dict[str, float]) -> None:
        with (trainer.out / "diary.txt").open("a") as file:
            file.write(f"{trainer.step} {figures['loss_discriminator']}\n")


@click.command(epilog="Example: ali greet")
@click.option("--name", default="world")
def greet(name: str) -> None:
    """Greet somebody."""
    click.echo(f"hello {name}")


@hookimpl
def register_encoders(register: Function[[Encoder], None]) -> None:
    register(Encoder(name="tiny", build=TinyEncoder))


@hookimpl
def register_decoders(register: Function[[Decoder], None]) -> None:
    register(Decoder(name="tiny", build=TinyDecoder))


@hookimpl
def register_discriminators(register: Function[[Discriminator], None]) -> None:
    register(Discriminator(name="tiny", build=TinyDiscriminator, arguments={"width": 6}))


@hookimpl
def register_architectures(register: Function[[Architecture], None]) -> None:
    register(
        Architecture(
            name="tiny",
            encoder="tiny",
            decoder="tiny",
            discriminator="tiny",
            data_shape=SHAPE,
            latent_size=LATENT,
            training=TrainingDefaults(dataset="stripes", batch_size=4, epochs=2, lr=1e-3),
        )
    )


@hookimpl
def register_datasets(register: Function[[Dataset], None]) -> None:
    register(Dataset(name="stripes", build=stripes, data_shape=SHAPE))


@hookimpl
def register_objectives(register: Function[[Objective], None]) -> None:
    register(Objective(name="halved", build=HalvedGame))


@hookimpl
def register_optimisers(register: Function[[Optimiser], None]) -> None:
    register(Optimiser(name="plain", build=plain, options={"factor": 1.0}))


@hookimpl
def register_scorers(register: Function[[Scorer], None]) -> None:
    register(Scorer(name="glare", build=Glare, options={"times": 1.0}))


@hookimpl
def register_metrics(register: Function[[Metric], None]) -> None:
    register(Metric(name="brightness", build=brightness))


@hookimpl
def register_callbacks(register: Function[[Callback], None]) -> None:
    register(Callback(name="diary", build=Diary))


@hookimpl
def register_commands(register: Function[[Command], None]) -> None:
    register(Command(name="greet", summary="Greet somebody.", build=lambda: greet))


def only(*hooks: str) -> SimpleNamespace:
    """A plugin object with some of the hooks of this module."""
    return SimpleNamespace(__name__="tiny", **{hook: globals()[hook] for hook in hooks})
