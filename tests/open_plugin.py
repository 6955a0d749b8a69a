"""A plugin whose architectures leave the shape of their data open; its nets are those of ``tiny``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable as Function
from pathlib import Path
from typing import Any

import pytest

import tiny
from ali_plugin import Architecture, Encoder, TrainingDefaults, hookimpl
from ali_plugin.errors import PartMismatch
from ali_registry import default_registry
from installed import install

SIDES = (16, 20, 24, 32, 48, 64)
RULE: dict[str, Any] = {"encoder": "even", "sides": SIDES}
GAME: dict[str, Any] = {"objective": "relativistic", "settings": {"objective": {"gamma": 0.5}}}


def even(data_shape: tuple[int, ...], latent_size: int) -> tiny.TinyEncoder:
    """A part with a rule of its own for sizes."""
    for side in data_shape[1:]:
        if side % 2:
            raise PartMismatch(f"the even nets take no side of {side}; take {side - 1} or {side + 1}")
    return tiny.TinyEncoder(data_shape, latent_size)


@hookimpl
def register_encoders(register: Function[[Encoder], None]) -> None:
    register(Encoder(name="even", build=even))


@hookimpl
def register_architectures(register: Function[[Architecture], None]) -> None:
    """Of pictures, wholly open, grey, and with a rule; of points."""
    parts: dict[str, Any] = {"encoder": "tiny", "decoder": "tiny", "discriminator": "tiny", "latent_size": tiny.LATENT}
    for name, shape, dataset, more in (
        ("open", (None, None, None), "image-folder", {}),
        ("open-grey", (1, None, None), "image-folder", {}),
        ("open-even", (None, None, None), "image-folder", RULE),
        ("open-points", (None,), "mixture", {}),
    ):
        recipe = TrainingDefaults(dataset=dataset, batch_size=16, epochs=2, lr=1e-3, **GAME)
        register(Architecture(name=name, data_shape=shape, training=recipe, **{**parts, **more}))


def installed(site: Path, patch: pytest.MonkeyPatch) -> None:
    """Install ``tiny`` and this plugin for the rest of a test."""
    install(site, "tiny-nets", "from tiny import *")
    install(site, "open-nets", "from open_plugin import *")
    patch.syspath_prepend(str(site))
    patch.setenv("PYTHONPATH", os.pathsep.join([str(site), *sys.path]))  # of processes that are started
    default_registry.cache_clear()
