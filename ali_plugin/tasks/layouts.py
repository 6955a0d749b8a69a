"""A model folder's two layouts: the library's own, and that of a diffusers pipeline. Both open everywhere."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ali_plugin.folder import pipeline_layout
from ali_plugin.folder.model_folder import COMPANIONS
from ali_plugin.model import ALI
from ali_registry import Registry


def layout_of(folder: Path) -> str:
    """ "ali" or "diffusers"."""
    return "diffusers" if pipeline_layout.is_pipeline(folder) else "ali"


def save(model: ALI, folder: Path, layout: str) -> None:
    """Write a model in a layout; MissingExtra for that of diffusers where the extra is not installed."""
    if layout == "diffusers":
        from ali_plugin.diffusers import ALIPipeline

        ALIPipeline.from_model(model).save_pretrained(folder)
    else:
        model.save_pretrained(folder)


def copy_companions(source: Path, target: Path) -> None:
    """Copy what belongs to a model beside its config and weights: card, pictures, records."""
    for name in COMPANIONS:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


@contextmanager
def in_layout(folder: Path, layout: str | None, registry: Registry | None = None) -> Iterator[Path]:
    """The folder itself where it has the layout (or any will do), else a temporary copy that has it.

    Weights keep their precision.
    """
    if layout in (None, layout_of(folder)):
        yield folder
        return
    model = ALI.from_pretrained(folder, dtype=None, registry=registry)
    with tempfile.TemporaryDirectory() as temporary:
        save(model, Path(temporary), str(layout))
        copy_companions(folder, Path(temporary))
        yield Path(temporary)
