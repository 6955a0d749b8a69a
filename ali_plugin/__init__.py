"""Adversarially learned inference (ALI, BiGAN) as a pluggable model family.

``from ali_plugin import ALI`` for models, ``from ali_plugin import hookimpl`` for plugins. torch is
imported when a name that needs it is first used, so that plugins and ``ali list`` stay light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ali_plugin.version import __version__
from ali_registry import (
    ALIError,
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
    Option,
    Scorer,
    TrainingDefaults,
    hookimpl,
)

if TYPE_CHECKING:
    from ali_plugin.model import ALI
    from ali_plugin.nets.distribution import DiagonalGaussian, Posterior

_LAZY = {
    "ALI": "ali_plugin.model",
    "DiagonalGaussian": "ali_plugin.nets.distribution",
    "Posterior": "ali_plugin.nets.distribution",
}

__all__ = [
    "ALI", "ALIError", "Architecture", "Callback", "Command", "Dataset", "Decoder", "DiagonalGaussian",
    "Discriminator", "Encoder", "Metric", "Objective", "Optimiser", "Option", "Posterior", "Scorer",
    "TrainingDefaults", "__version__", "hookimpl",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
