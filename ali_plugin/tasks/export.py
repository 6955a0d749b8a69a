"""A model made ready to publish: some of its parts, in a type and a layout, as a new folder."""

from __future__ import annotations

from pathlib import Path

import torch

from ali_plugin.folder import model_folder
from ali_plugin.hub import card
from ali_plugin.hub import download as hub
from ali_plugin.model import ALI
from ali_plugin.support import atomic
from ali_plugin.tasks import layouts


def export(source: str, out: Path, dtype: str, *, discriminator: bool, layout: str = "ali") -> list[str]:
    """Write a model folder for publishing and return the names of its files.

    Args:
        layout: "ali", or "diffusers" for that of a pipeline.

    Raises:
        FolderError: ``out`` is in use.
        MissingExtra: the extra that the layout needs is not installed.
    """
    atomic.refuse_used(out)
    parts = ("encoder", "decoder", "discriminator") if discriminator else ("encoder", "decoder")
    model = ALI.from_pretrained(source, parts=parts, dtype=getattr(torch, dtype))
    with atomic.making(out) as temporary:
        layouts.save(model, temporary, layout)
        layouts.copy_companions(hub.locate(source), temporary)
        card.write(temporary)
    return model_folder.files_of(out, model.config)
