"""What the commands write: a PNG of pictures, or a safetensors file of tensors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from ali_plugin.errors import OptionError
from ali_plugin.folder import weights
from ali_plugin.pictures.grid import save_each, save_picture
from ali_plugin.support import atomic

PICTURE, TENSORS = ".png", ".safetensors"


def write_pictures(images: Tensor, out: Path, columns: int | None = None) -> None:
    """A PNG grid, or a safetensors file with one tensor, ``images``, by the ending of the name."""
    if out.suffix.lower() == PICTURE:
        save_picture(images, out, columns)
    else:
        write_tensors({"images": images}, out)


def write_samples(images: Tensor, out: Path, columns: int | None = None) -> None:
    """As ``write_pictures``; under another name, a folder with a PNG of each picture in its own size.

    Raises:
        FolderError: the folder is in use.
    """
    if out.suffix.lower() in (PICTURE, TENSORS):
        write_pictures(images, out, columns)
    else:
        atomic.refuse_used(out)
        save_each(images, out)


def write_tensors(tensors: dict[str, Tensor], out: Path, names: Sequence[str] = ()) -> None:
    """A safetensors file. Names of the rows go into its metadata: ``names``, a JSON list.

    Raises:
        OptionError: another ending.
    """
    if out.suffix.lower() != TENSORS:
        raise OptionError(f"--out is {str(out)!r}; its name has to end in {TENSORS}")
    weights.write(out, tensors, {"names": json.dumps(list(names))} if names else None)
