"""The hooks of ali-plugin. Each is handed a ``register`` callable that takes one record."""

from __future__ import annotations

from collections.abc import Callable

import pluggy

from ali_registry.records import (
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
)

PROJECT = "ali_plugin"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def register_encoders(register: Callable[[Encoder], None]) -> None:
    """Register encoders q(z|x)."""


@hookspec
def register_decoders(register: Callable[[Decoder], None]) -> None:
    """Register decoders p(x|z)."""


@hookspec
def register_discriminators(register: Callable[[Discriminator], None]) -> None:
    """Register discriminators D(x, z)."""


@hookspec
def register_architectures(register: Callable[[Architecture], None]) -> None:
    """Register architectures: three parts by name with shapes, recipe and reference."""


@hookspec
def register_datasets(register: Callable[[Dataset], None]) -> None:
    """Register datasets."""


@hookspec
def register_objectives(register: Callable[[Objective], None]) -> None:
    """Register training objectives."""


@hookspec
def register_optimisers(register: Callable[[Optimiser], None]) -> None:
    """Register optimisers for ``ali train --optimiser NAME`` and for the players of games."""


@hookspec
def register_scorers(register: Callable[[Scorer], None]) -> None:
    """Register anomaly scores for ``ali score --scorer NAME`` and the metric ``anomaly``."""


@hookspec
def register_metrics(register: Callable[[Metric], None]) -> None:
    """Register metrics for ``ali evaluate``."""


@hookspec
def register_callbacks(register: Callable[[Callback], None]) -> None:
    """Register training callbacks for ``ali train --callback NAME``."""


@hookspec
def register_commands(register: Callable[[Command], None]) -> None:
    """Register further commands of ``ali``."""
