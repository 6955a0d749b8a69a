"""The hooks of ali-plugin. Each is handed a ``register`` callable that takes one record."""

from __future__ import annotations

from collections.abc import Callable

import pluggy

from ali_registry import records

PROJECT = "ali_plugin"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def register_encoders(register: Callable[[records.Encoder], None]) -> None:
    """Register encoders q(z|x)."""


@hookspec
def register_decoders(register: Callable[[records.Decoder], None]) -> None:
    """Register decoders p(x|z)."""


@hookspec
def register_discriminators(register: Callable[[records.Discriminator], None]) -> None:
    """Register discriminators D(x, z)."""


@hookspec
def register_architectures(register: Callable[[records.Architecture], None]) -> None:
    """Register architectures: three parts by name with shapes, recipe and reference."""


@hookspec
def register_datasets(register: Callable[[records.Dataset], None]) -> None:
    """Register datasets."""


@hookspec
def register_objectives(register: Callable[[records.Objective], None]) -> None:
    """Register training objectives."""


@hookspec
def register_metrics(register: Callable[[records.Metric], None]) -> None:
    """Register metrics for ``ali evaluate``."""


@hookspec
def register_callbacks(register: Callable[[records.Callback], None]) -> None:
    """Register training callbacks for ``ali train --callback NAME``."""


@hookspec
def register_commands(register: Callable[[records.Command], None]) -> None:
    """Register further commands of ``ali``."""
