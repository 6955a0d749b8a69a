"""Pictures of any size and colour: ours, convolutional and residual, made for games with gradient penalties.

One rule of width and depth: the finest grid has a position for each 4x4 pixels, and ``width`` maps; it is halved, and
its maps doubled up to four times, until its shorter side is at most 8; on each grid there are ``blocks`` blocks. There
may be ``fine`` blocks of half the width on a grid of twice its sides, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ali_plugin.architectures.triple import OF_DISCRIMINATOR
from ali_plugin.nets.picture_sizes import square_sides
from ali_registry import Architecture, Decoder, Discriminator, Encoder, Option, Part, TrainingDefaults

GAME = {
    "gamma": "cosine:1->0.3", "penalty_every": 8, "penalty_share": 0.5,
    "cycle_x": "cosine:15->40", "cycle_z": 0.1,
    "contrast": 0.3,
}  # fmt: skip
"""Of the relativistic game: the best of a few single runs on complete Fashion-MNIST, not yet of an ablation.

The cycle of z is weak. One that weighs more makes every number of a code show in the picture, also those that pictures
of the kind have no use for: shapes of one colour get several.
"""

BLOCKS = ("residual", "bottleneck")

OPTIMISER = "stable-adamw"
"""Of pictures that nobody has tried: on icons on white a run with Adam broke down where one with this did not."""

RECIPE = TrainingDefaults(
    dataset="image-folder",
    batch_size=64,
    epochs=100,
    lr="cosine:1e-3->2e-5",
    lr_discriminator="cosine:6e-4->1.2e-5",
    beta1=0.0,
    beta2="cosine:0.9->0.99@0.2",
    ema_half_life=10_000,
    objective="relativistic",
    precision="auto",
    settings={"objective": GAME},
)


QUICK = replace(
    RECIPE,
    lr="cosine:5e-4->1e-5",
    lr_discriminator=None,
    beta2=0.99,
    ema_half_life=4_000,
    settings={"objective": {"gamma": 0.3, "penalty_every": 8, "cycle_x": 20.0, "cycle_z": 0.1}},
)
"""For minutes of one core, in which schedules and a contrast only cost."""


@dataclass(frozen=True)
class Preset:
    """A size of the family."""

    size: str
    width: int
    blocks: int
    training: TrainingDefaults = RECIPE

    @property
    def name(self) -> str:
        return f"residual-{self.size}"

    def parts(self) -> Iterator[Part]:
        """The three nets; their options show in ``ali show``."""
        common: dict[str, Any] = {
            "data_shape": (None, None, None),
            "conditional": True,
            "arguments": {
                "width": Option(default=self.width, low=8, high=1024, summary="maps of the finest grid"),
                "blocks": Option(default=self.blocks, low=0, high=64, summary="on each grid"),
                "fine": Option(default=0, low=0, high=64, summary="blocks on a grid of twice the finest one's sides"),
                "block": Option(default="residual", choices=BLOCKS, summary="two convolutions, or R3GAN's three"),
            },
        }  # fmt: skip
        name = self.name
        own = {"packing": OF_DISCRIMINATOR["packing"], "unary": OF_DISCRIMINATOR["unary"]}
        yield Encoder(name=name, summary=f"q(z|x) of {name}", build=partial(_build, "Encoder"), **common)
        yield Decoder(name=name, summary=f"p(x|z) of {name}", build=partial(_build, "Decoder"), **common)
        yield Discriminator(
            name=name, summary=f"D(x, z) of {name}", build=partial(_build, "Discriminator"), multiclass=True,
            options=own, **common,
        )  # fmt: skip

    def architecture(self, **of_its_own: Any) -> Architecture:
        """The record of the three; anything else than the family has may be given."""
        whole: dict[str, Any] = {
            "name": self.name,
            "summary": f"pictures of 16 to 256 pixels, width {self.width}, {self.blocks} blocks a grid",
            "reference": "ali-plugin's own; blocks and initialisation after Huang et al., R3GAN, 2024",
            "data_shape": (None, None, None),
            "sides": square_sides(),
            "latent_size": 64,
            "training": replace(self.training, optimiser=OPTIMISER),
        }
        return Architecture(encoder=self.name, decoder=self.name, discriminator=self.name, **{**whole, **of_its_own})


def _build(net: str, **arguments: Any) -> Any:
    from ali_plugin.nets import residual_nets

    return getattr(residual_nets, f"Residual{net}")(**arguments)


TINY, SMALL, BASE, LARGE = PRESETS = (
    Preset("tiny", 32, 1, QUICK), Preset("small", 64, 1), Preset("base", 96, 2), Preset("large", 128, 3)
)  # fmt: skip

DEEPER = {"encoder": {"blocks": 2, "fine": 1}, "decoder": {"blocks": 2, "fine": 1}}
"""Than D, which tells pairs apart with one block a grid. Twice the depth costs a third more time, a fine block half."""

FASHION_RESIDUAL = SMALL.architecture(
    name="fashion-residual",
    summary="complete Fashion-MNIST, 1x28x28, 85 minutes of one CPU core, or of a fast one half",
    data_shape=(1, 28, 28),
    sides=(),
    latent_size=24,
    training=replace(
        RECIPE,
        dataset="fashion-mnist",
        epochs=10,
        settings={
            "objective": {
                **GAME,
                "cycle_x": "cosine:15->80",
                "cycle_z": "cosine:0.3->6",
                "contrast": 0.4,
                "encoder_weight": 0.25,
                "settle": 0.15,
            },
            **DEEPER,
        },
    ),
)

STACKED_DIGITS = TINY.architecture(
    name="stacked-digits",
    summary="three digits as the colours of a picture, 3x28x28, 40 minutes of one CPU core",
    data_shape=(3, 28, 28),
    sides=(),
    training=replace(
        QUICK,
        dataset="stacked-mnist",
        batch_size=64,
        epochs=10,
        settings={"objective": {**QUICK.settings["objective"], "gamma": "cosine:1->0.2", "cycle_z": 0.5}},
    ),
)

GARMENTS = SMALL.architecture(
    name="garments",
    summary="the embedded garments, 1x28x28, a minute or two on two CPU cores",
    data_shape=(1, 28, 28),
    sides=(),
    latent_size=16,
    training=replace(
        RECIPE,
        dataset="fashion-mini",
        batch_size=32,
        epochs=18,
        ema_half_life=5_000,
        settings={
            "objective": {
                **GAME,
                "cycle_x": "cosine:10->25",
                "cycle_z": "cosine:0.3->0.6",
                "contrast": 0.4,
                "encoder_weight": 0.25,
            },
            "encoder": {"fine": 1},
            "decoder": {"fine": 1},
        },
    ),
)
