"""A process of ``test_distributed``: trains a tiny model whose noise depends on the row, not on the process.

Called by torchrun as ``distributed_worker.py OUT plain|batch-norm|penalties...``, which trains each into a folder of
its name in ``OUT``; the last has a batch norm in D that is differentiated twice.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

import ali_plugin.nets.distribution
from ali_plugin import ALI, TrainingDefaults, hookimpl
from ali_plugin.architectures.triple import Triple
from ali_plugin.nets.tables import SIGMOID, DecoderTable, DiscriminatorTable, EncoderTable, conv, leaky_relu, tconv
from ali_plugin.training import distributed
from ali_plugin.training.run import prepare
from ali_plugin.training.trainer import Trainer
from ali_registry import Architecture, Decoder, Discriminator, Encoder, build_registry

leaky = partial(conv, norm=True, activation=leaky_relu(0.1))


def triple(norm: bool) -> Triple:
    judge = partial(conv, norm=norm, activation=leaky_relu(0.1))
    return Triple(
        name="tiny",
        summary="a few maps, no dropout",
        reference="-",
        data_shape=(1, 28, 28),
        latent_size=4,
        encoder=EncoderTable((leaky(4, 4, 4), leaky(7, 1, 8), conv(1, 1, None))),
        decoder=DecoderTable((
            tconv(7, 1, 4, norm=True, activation=leaky_relu(0.1)),
            tconv(4, 4, None, bias="untied", activation=SIGMOID),
        )),
        discriminator=DiscriminatorTable(
            x_rows=(conv(4, 4, 4, activation=leaky_relu(0.1)), judge(7, 1, 8)),
            z_rows=(judge(1, 1, 8),),
            joint_rows=(judge(1, 1, 16), conv(1, 1, None)),
        ),
        training=TrainingDefaults(dataset="fashion-mini", batch_size=20, epochs=1, lr=1e-3),
        init_std=0.1,
    )  # fmt: skip


class Plugin:
    """Registers the tiny architecture."""

    __name__ = "tiny"

    def __init__(self, made: Triple) -> None:
        self.made = made

    @hookimpl
    def register_encoders(self, register: object) -> None:
        self._register(register, Encoder)

    @hookimpl
    def register_decoders(self, register: object) -> None:
        self._register(register, Decoder)

    @hookimpl
    def register_discriminators(self, register: object) -> None:
        self._register(register, Discriminator)

    @hookimpl
    def register_architectures(self, register: object) -> None:
        assert callable(register)
        register(self.made.architecture())

    def _register(self, register: object, kind: type) -> None:
        assert callable(register)
        for part in self.made.parts():
            if isinstance(part, kind):
                register(part)


class RowNoise:
    """Draws noise for the joined batch from a stream of its own, and gives each process its rows of it."""

    def __init__(self) -> None:
        self.stream = torch.Generator().manual_seed(7)

    def __call__(self, rows: int, *shape: int) -> Tensor:
        whole = torch.randn(rows * distributed.world_size(), *shape, generator=self.stream)
        return whole.tensor_split(distributed.world_size())[distributed.rank()]


def train(architecture: str, out: Path, *, look: Callable[[Trainer], None] = lambda _: None, **more: Any) -> None:
    """Train in this process's group, or go on with what is there; ``look`` sees the trainer before its first step."""
    registry = build_registry(only=(), plugins=[Plugin(triple(architecture != "plain"))])
    assert registry.get(Architecture, "tiny")
    noise = RowNoise()
    ali_plugin.nets.distribution.noise_like = lambda tensor, generator=None: noise(*tensor.shape)
    options: dict[str, Any] = {"architecture": "tiny", "steps": 6, "device": "cpu", "log_every": 3, **more}
    if architecture == "penalties":
        terms = {"gamma": 1.0, "penalty_every": 2, "cycle_x": 1.0, "cycle_z": 1.0, "packing": 2}
        # Gradient descent: Adam would move a weight whose gradient is rounding alone as far as any other.
        options |= {"objective": "alice", "settings": {"objective": terms}, "optimiser": "sgd", "lr": 0.1}
    resume = out.exists()
    trainer = prepare({} if resume else options, out, resume=resume, registry=registry)
    look(trainer)
    ALI.prior = lambda self, n, *_: noise(n, self.config.latent_size)  # type: ignore[method-assign]
    start = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    trainer.callbacks.clear()  # pictures would draw noise on one process alone
    trainer.run()
    if distributed.rank() == 0:
        save_file(start, out / "start.safetensors")


def main(out: Path, architectures: list[str]) -> None:
    with distributed.process_group("cpu"):
        for architecture in architectures:
            train(architecture, out / architecture)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
