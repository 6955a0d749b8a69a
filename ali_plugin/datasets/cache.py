"""Pictures decoded once into a memory-mapped file, so that a set larger than memory trains at memory speed.

A cache is a folder with ``pictures.bin`` (uint8, N x C x H x W) and ``manifest.json``. It is complete when it
has its name: it is written under another one, synced and renamed. Its name holds a digest of the sources' names,
sizes and times, so that another cache is built when they change. One process builds while others wait for it.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ali_plugin.datasets import integrity
from ali_plugin.datasets.listing import incomplete_note, unreadable_note
from ali_plugin.datasets.split import UNREAD
from ali_plugin.errors import DataError, FolderError
from ali_plugin.pictures import background as under
from ali_plugin.pictures.decode import RULES, read_images
from ali_plugin.support import atomic, dry_run, locks
from ali_plugin.support.progress import track
from ali_registry.text import printable

PICTURES, MANIFEST = "pictures.bin", "manifest.json"
ADVICE = "set ALI_CACHE to a folder with room that can be written"


@dataclass(frozen=True)
class Decoded:
    """Pictures in a memory map.

    Attributes:
        data: (N, C, H, W) uint8, read only. In a dry run whose cache is not there yet, zeros that take no memory,
            for every file.
        kept: indices of the files that they come from, (N,).
        unreadable: the other files, with reasons.
        incomplete: files that end too soon and are used all the same, with what is there.
        digest: SHA-256 of all of ``data``, UNREAD in such a dry run.
    """

    data: NDArray[np.uint8]
    kept: NDArray[np.int64]
    unreadable: list[str]
    incomplete: list[str]
    digest: str

    @property
    def notes(self) -> tuple[str, ...]:
        """What the person should know of the files."""
        return (*unreadable_note(self.unreadable), *incomplete_note(self.incomplete))


def cache_root() -> Path:
    """Where caches are: ``$ALI_CACHE``, or ``ali-plugin`` in the user's cache folder.

    Raises:
        DataError: neither a variable nor a home says where.
    """
    if own := os.environ.get("ALI_CACHE"):
        return Path(os.path.expanduser(own))
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if given.is_absolute():  # others are to be ignored, says the XDG specification
        return given / "ali-plugin"
    try:
        return Path.home() / ".cache" / "ali-plugin"
    except RuntimeError as error:
        raise DataError("the user has no home folder; set ALI_CACHE to a folder for decoded pictures") from error


def decoded(
    root: Path, names: Sequence[str], shape: tuple[int, ...], label: str, background: str = under.WHITE
) -> Decoded:
    """The pictures of the files ``names`` below ``root``, fitted to ``shape`` (C, H, W), from the cache or into it.

    A cache that is damaged is built anew.

    Args:
        label: what the cache is of, such as "celeba-train".
        background: under what is transparent; each has a cache of its own.

    Raises:
        DataError: the cache cannot be written, or none of the files can be read.
        OptionError: the background is no colour.
    """
    made = (shape, RULES, under.rgb(background))
    place = f"{label}-{_digest([str(root.resolve()), str(made)])[:12]}"
    folder = cache_root() / f"{place}-{_digest(_fingerprints(root, names))[:16]}"
    if found := _opened(folder, len(names), shape):
        return found
    if dry_run.active.get():
        nothing = np.broadcast_to(np.zeros((), np.uint8), (len(names), *shape))
        return Decoded(nothing, np.arange(len(names)), [], [], UNREAD)
    try:
        with locks.holding(folder.parent / f".{place}.lock", f"the cache {str(folder)!r}", wait=-1):
            found = _opened(folder, len(names), shape)  # another process may have built it meanwhile
            if found is None:
                _remove_others(folder, place)
                _build(folder, root, names, shape, background)
                found = _opened(folder, len(names), shape)
    except FolderError as error:
        raise DataError(f"{error}; {ADVICE}") from error
    if found is None:
        raise DataError(f"the cache {str(folder)!r} cannot be read again; {ADVICE}")
    return found


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256(os.fsencode("\n".join(parts))).hexdigest()


def _fingerprints(root: Path, names: Sequence[str]) -> Iterator[str]:
    within = os.path.join(root, "")
    for name in names:
        try:
            status = os.stat(within + name)
        except OSError:  # gone since it was listed: it is among the unreadable ones
            yield name
        else:
            yield f"{name} {status.st_size} {status.st_mtime_ns}"


def _remove_others(folder: Path, place: str) -> None:
    """Remove, while the place is locked, its caches of sources that have changed since, a damaged one, and what
    killed processes left. A process that has one mapped keeps its pages."""
    for old in (*folder.parent.glob(f"{place}-*"), *folder.parent.glob(f".{place}*{atomic.PARTIAL}*")):
        gone = old.with_name(f".{place}.{secrets.token_hex(4)}{atomic.PARTIAL}")
        with suppress(OSError):
            old.rename(gone)  # at once, so that nobody opens half of it
            shutil.rmtree(gone, ignore_errors=True)
    atomic.sweep(folder.parent)


def _build(folder: Path, root: Path, names: Sequence[str], shape: tuple[int, ...], background: str) -> None:
    files = [root / name for name in names]
    with atomic.making(folder) as temporary:
        digest, unreadable, incomplete = hashlib.sha256(), {}, []
        with (temporary / PICTURES).open("wb") as out:
            pictures = track(read_images(files, shape, background), "decoding pictures", len(files))
            for i, picture in enumerate(pictures):
                if isinstance(picture, DataError):
                    unreadable[i] = printable(f"{names[i]}: {picture}", 400)
                    continue
                if picture.missing:
                    incomplete.append(printable(f"{names[i]}: {picture.missing}", 400))
                content = picture.pixels.tobytes()
                out.write(content)
                digest.update(content)
        if len(unreadable) == len(files):
            raise DataError(f"none of the {len(files)} pictures in {root} can be read, such as {unreadable[0]}")
        atomic.sync(temporary / PICTURES)
        manifest = {
            "shape": shape,
            "files": len(files),
            "unreadable": unreadable,
            "incomplete": incomplete,
            **integrity.facts(temporary / PICTURES, digest.hexdigest()),
        }
        atomic.write(temporary / MANIFEST, json.dumps(manifest))


def _opened(folder: Path, files: int, shape: tuple[int, ...]) -> Decoded | None:
    """The cache, None where it is not there or damaged."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        unreadable = {int(i): printable(reason, 400) for i, reason in manifest["unreadable"].items()}
        incomplete = [printable(name, 400) for name in manifest["incomplete"]]
        kept = np.array([i for i in range(files) if i not in unreadable], np.int64)
        with (folder / PICTURES).open("rb") as content:
            size = os.fstat(content.fileno()).st_size
            if manifest["files"] != files or size != len(kept) * prod(shape):
                return None
            if not integrity.is_whole(content, manifest):
                return None
            data = np.memmap(content, np.uint8, mode="r", shape=(len(kept), *shape))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return Decoded(data, kept, list(unreadable.values()), incomplete, manifest["sha256"])
