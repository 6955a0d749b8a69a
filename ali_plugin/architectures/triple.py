"""A published table as records: three parts, their deterministic and Gaussian variants, the architecture."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ali_plugin.nets.tables import DecoderTable, DiscriminatorTable, EncoderTable, NetTable
from ali_registry import Architecture, Decoder, Discriminator, Encoder, Option, Part, TrainingDefaults

OF_DISCRIMINATOR = {
    "symmetric": Option(default=False, summary="it sees pictures in [-1, 1]"),
    "packing": Option(default=1, low=1, high=1024, summary="pairs that it judges together"),
    "unary": Option(default=False, summary="it also scores x and z each alone"),
}


@dataclass(frozen=True, kw_only=True)
class Triple:
    """An architecture whose three nets are tables of layers.

    Attributes:
        part_shape: the data that the parts take, where they are less particular than the architecture
            (any number of channels, say).
        init_std: standard deviation of the initial weights.
    """

    name: str
    summary: str
    reference: str
    data_shape: tuple[int | None, ...]
    latent_size: int
    encoder: EncoderTable
    decoder: DecoderTable
    discriminator: DiscriminatorTable
    training: TrainingDefaults
    part_shape: tuple[int | None, ...] | None = None
    init_std: float = 0.01

    def parts(self) -> Iterator[Part]:
        """The three parts under the architecture's name, then the same layers with other conditionals: the
        encoder without noise (BiGAN's), or with mu and sigma where its own is not; the Gaussian decoder."""
        common: dict[str, Any] = {
            "data_shape": self.part_shape or (None, *self.data_shape[1:]),
            "conditional": True,
            "arguments": {"init_std": self.init_std},
        }
        yield Encoder(name=self.name, summary=f"q(z|x) of {self.name}", build=builder(self.encoder), **common)
        yield Decoder(name=self.name, summary=f"p(x|z) of {self.name}", build=builder(self.decoder), **common)
        yield Discriminator(
            name=self.name,
            summary=f"D(x, z) of {self.name}",
            build=builder(self.discriminator),
            multiclass=True,
            options=OF_DISCRIMINATOR,
            **common,
        )
        if self.encoder.posterior != "deterministic":
            yield Encoder(
                name=f"{self.name}-deterministic",
                summary=f"z = G_z(x) with the layers of {self.name} (BiGAN)",
                build=builder(replace(self.encoder, posterior="deterministic", noise=0)),
                **common,
            )
        if self.encoder.posterior != "gaussian":
            yield Encoder(
                name=f"{self.name}-gaussian",
                summary=f"z = mu(x) + sigma(x) eps with the layers of {self.name}",
                build=builder(replace(self.encoder, posterior="gaussian", noise=0)),
                **common,
            )
        yield Decoder(
            name=f"{self.name}-gaussian",
            summary=f"p(x|z) = N(G_x(z), sigma^2) with the layers of {self.name}",
            build=builder(replace(self.decoder, likelihood="gaussian")),
            **common,
        )

    def architecture(self) -> Architecture:
        """The record of the whole."""
        return Architecture(
            name=self.name,
            summary=self.summary,
            encoder=self.name,
            decoder=self.name,
            discriminator=self.name,
            data_shape=self.data_shape,
            latent_size=self.latent_size,
            training=self.training,
            reference=self.reference,
        )


def builder(table: NetTable) -> Callable[..., Any]:
    """What builds the net of a table; torch is imported when it is called, not when names are listed."""
    return partial(_build, table)


def _build(table: NetTable, **arguments: Any) -> Any:
    from ali_plugin.nets.table_nets import build

    return build(table, **arguments)
