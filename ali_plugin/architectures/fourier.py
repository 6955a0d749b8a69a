"""The mixture of 25 Gaussians by a modern game: ours, beside the paper's ``mixture``."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from ali_registry import Architecture, Decoder, Discriminator, Encoder, Option, Part, TrainingDefaults

NAME = "mixture-fourier"
ARGUMENTS = {"width": Option(default=256, low=1, high=8192, summary="units of a hidden layer")}

GAME = {
    "gamma": "cosine:0.2->0.0001@0.7", "penalty_every": 2,
    "cycle_x": 0.2, "cycle_z": "cosine:0.5->0.02",
}  # fmt: skip
"""The relativistic game's. Modes are far apart for their width: penalties that do not fall keep them blurred."""

MIXTURE_FOURIER = Architecture(
    name=NAME,
    summary="2-D mixture of 25 Gaussians, MLPs on Fourier features, within 5 minutes on two CPU cores",
    reference="ali-plugin's own; features after Tancik et al., 2020, the game after Huang et al., R3GAN, 2024",
    encoder=NAME,
    decoder=NAME,
    discriminator=NAME,
    data_shape=(2,),
    latent_size=2,
    training=TrainingDefaults(
        dataset="mixture",
        batch_size=200,
        epochs=50,
        lr="cosine:1e-3->1e-6",
        lr_discriminator="cosine:5e-4->5e-7",
        beta1=0.0,
        beta2=0.99,
        ema_half_life=20_000,
        objective="relativistic",
        settings={"objective": GAME},
    ),
)


def parts() -> Iterator[Part]:
    """The three nets, for data of any number of numbers."""
    shape = (None,)
    yield Encoder(
        name=NAME, summary=f"q(z|x) of {NAME}, by its draws", build=partial(_build, "Encoder"), data_shape=shape,
        arguments=ARGUMENTS,
    )  # fmt: skip
    yield Decoder(
        name=NAME, summary=f"p(x|z) of {NAME}", build=partial(_build, "Decoder"), data_shape=shape,
        arguments=ARGUMENTS,
    )  # fmt: skip
    yield Discriminator(
        name=NAME, summary=f"D(x, z) of {NAME}", build=partial(_build, "Discriminator"), data_shape=shape,
        arguments=ARGUMENTS, multiclass=True,
    )  # fmt: skip


def _build(net: str, **arguments: Any) -> Any:
    from ali_plugin.nets import fourier_nets

    return getattr(fourier_nets, f"Fourier{net}")(**arguments)
