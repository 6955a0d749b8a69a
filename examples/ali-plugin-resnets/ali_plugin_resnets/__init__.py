"""Residual nets for ali-plugin, and a dataset of drawn shapes. This module only registers names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ali_plugin import (
    Architecture,
    Dataset,
    Decoder,
    Discriminator,
    Encoder,
    TrainingDefaults,
    hookimpl,
)

NAME = "resnet"
SHAPES = {"resnet28": (1, 28, 28), "resnet32": (3, 32, 32)}
# The layers are the same at both sizes: any picture whose height and width are multiples of 4.
COMMON: dict[str, Any] = {"name": NAME, "data_shape": (None, None, None), "arguments": {"width": 16}}
REFERENCE = (
    "residual blocks: Gulrajani et al., 2017, appendix F; spectral normalisation: Miyato et al., 2018; "
    "the combination with ALI is this package's"
)


@hookimpl
def register_encoders(register: Callable[[Encoder], None]) -> None:
    register(Encoder(summary="residual q(z|x)", build="ali_plugin_resnets.nets:ResidualEncoder", **COMMON))


@hookimpl
def register_decoders(register: Callable[[Decoder], None]) -> None:
    register(Decoder(summary="residual p(x|z)", build="ali_plugin_resnets.nets:ResidualDecoder", **COMMON))


@hookimpl
def register_discriminators(register: Callable[[Discriminator], None]) -> None:
    register(
        Discriminator(
            summary="residual D(x, z) with spectral normalisation",
            build="ali_plugin_resnets.nets:ResidualDiscriminator",
            **COMMON,
        )
    )


@hookimpl
def register_architectures(register: Callable[[Architecture], None]) -> None:
    for name, shape in SHAPES.items():
        register(
            Architecture(
                name=name,
                summary=f"residual nets for {'x'.join(map(str, shape))}, spectral norm in D",
                encoder=NAME,
                decoder=NAME,
                discriminator=NAME,
                data_shape=shape,
                latent_size=32,
                training=TrainingDefaults(dataset="shapes", batch_size=64, epochs=50, lr=2e-4, ema=0.99),
                reference=REFERENCE,
            )
        )


@hookimpl
def register_datasets(register: Callable[[Dataset], None]) -> None:
    register(
        Dataset(
            name="shapes",
            summary="drawn discs, squares, rings and crosses, grey or coloured, any size, no download",
            build="ali_plugin_resnets.shapes:shapes",
            licence="generated, none needed",
        )
    )
