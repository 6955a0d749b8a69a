"""Models that come with the package: folders beside a manifest of their files. No torch to list them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ali_plugin.errors import FolderError
from ali_plugin.support.paths import model_cards
from ali_plugin.support.strict_json import read_object

KIND = "model"  # as ``ali list`` calls them, beside the kinds that are registered
HOME = model_cards() / "released"
MANIFEST_NAME = "manifest.json"


@dataclass(frozen=True)
class Released:
    """A model folder inside the package.

    Attributes:
        name: which a command takes as MODEL.
        summary: one line for ``ali list``.
        files: their SHA-256 by name, in hexadecimal.
    """

    name: str
    summary: str
    files: Mapping[str, str]


def models() -> dict[str, Released]:
    """The released models by name; ConfigError where the package is damaged."""
    manifest = read_object(HOME / MANIFEST_NAME)
    return {name: Released(name, **about) for name, about in sorted(manifest.items())}


def folder(model: Released) -> Path:
    """The folder of a released model, once each of its files has the digest of the manifest.

    Raises:
        FolderError: one is missing, cannot be read, or is another.
    """
    place = HOME / model.name
    for name, digest in model.files.items():
        try:
            found = digest_of(place / name)
        except OSError as error:
            raise _damaged(place / name, f"cannot be read ({error.strerror or error})") from error
        if found != digest:
            raise _damaged(place / name, "is not what was released (its SHA-256 is another)")
    return place


def name_of(place: Path) -> str | None:
    """The name that a folder is released under, None for any other folder."""
    return place.name if place.absolute().parent == HOME and place.name in models() else None


def digest_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _damaged(path: Path, why: str) -> FolderError:
    return FolderError(f"{path} {why}; install ali-plugin again")
