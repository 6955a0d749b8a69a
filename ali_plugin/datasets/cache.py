"""Pictures decoded once into a memory-mapped file, so that a set larger than memory trains at memory speed.

A cache is a folder with ``pictures.bin`` (uint8, N x C x H x W) and ``manifest.json``. It is complete when it
has its name: it is written under another one, synced and renamed. Its name holds a digest of the sources' names,
sizes and times, so that another cache is built when they change.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ali_plugin.datasets.images import read_image
from ali_plugin.errors import DataError
from ali_plugin.support import atomic
from ali_plugin.support.progress import track

PICTURES, MANIFEST = "pictures.bin", "manifest.json"
UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
CHUNK = 512  # pictures in flight between the decoders and the file


@dataclass(frozen=True)
class Decoded:
    """Pictures in a memory map.

    Attributes:
        data: (N, C, H, W) uint8, read only.
        kept: indices of the files that they come from, (N,).
        unreadable: the other files, with reasons.
        digest: SHA-256 of all of ``data``.
    """

    data: NDArray[np.uint8]
    kept: NDArray[np.int64]
    unreadable: list[str]
    digest: str


def cache_root() -> Path:
    """Where caches are: ``$ALI_CACHE``, or ``ali-plugin`` in the user's cache folder."""
    if "ALI_CACHE" in os.environ:
        return Path(os.environ["ALI_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "ali-plugin"


def decoded(files: Sequence[Path], root: Path, shape: tuple[int, ...], label: str) -> Decoded:
    """The pictures of ``files`` below ``root``, fitted to ``shape`` (C, H, W), from the cache or into it.

    Args:
        label: what the cache is of, such as "celeba-train".

    Raises:
        DataError: the cache is damaged, or none of the files can be read.
    """
    place = hashlib.sha256(f"{root.resolve()} {shape}".encode()).hexdigest()[:12]
    sources = hashlib.sha256("\n".join(_fingerprint(path, root) for path in files).encode()).hexdigest()[:16]
    folder = cache_root() / f"{label}-{place}-{sources}"
    if not folder.exists():
        _build(folder, files, root, shape)
        for old in folder.parent.glob(f"{label}-{place}-*"):
            if old != folder:  # of sources that have changed since
                shutil.rmtree(old, ignore_errors=True)
    return _open(folder, len(files), shape)


def _fingerprint(path: Path, root: Path) -> str:
    status = path.stat()
    return f"{path.relative_to(root)} {status.st_size} {status.st_mtime_ns}"


def _build(folder: Path, files: Sequence[Path], root: Path, shape: tuple[int, ...]) -> None:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    except OSError as error:
        raise DataError(f"cannot write a cache to {folder.parent} ({error.strerror}); set ALI_CACHE") from error
    try:
        digest, unreadable = hashlib.sha256(), {}
        with (temporary / PICTURES).open("wb") as out:
            for i, picture in enumerate(track(_decode(files, shape), "decoding pictures", len(files))):
                if isinstance(picture, str):
                    unreadable[i] = f"{files[i].relative_to(root)}: {picture}"
                    continue
                out.write(picture.tobytes())
                digest.update(picture.tobytes())
        if len(unreadable) == len(files):
            raise DataError(f"none of the {len(files)} pictures in {root} can be read, such as {unreadable[0]}")
        atomic.sync(temporary / PICTURES)
        manifest = {"shape": shape, "files": len(files), "unreadable": unreadable, "sha256": digest.hexdigest()}
        atomic.write(temporary / MANIFEST, json.dumps(manifest))
        if not folder.exists():  # else another process was faster
            temporary.rename(folder)
    except OSError as error:
        raise DataError(f"cannot write the cache {folder} ({error.strerror or error}); set ALI_CACHE") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _decode(files: Sequence[Path], shape: tuple[int, ...]) -> Iterator[NDArray[np.uint8] | str]:
    """Pictures in the files' order, or the reason why one cannot be read."""

    def read(path: Path) -> NDArray[np.uint8] | str:
        try:
            return read_image(path, shape)
        except UNREADABLE as error:
            return str(error)

    with ThreadPoolExecutor() as readers:  # Pillow decodes outside of the interpreter's lock
        for start in range(0, len(files), CHUNK):
            yield from readers.map(read, files[start : start + CHUNK])


def _open(folder: Path, files: int, shape: tuple[int, ...]) -> Decoded:
    advice = f"the cache {folder} is damaged; delete it to have it built again"
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        unreadable = {int(i): str(reason) for i, reason in manifest["unreadable"].items()}
        kept = np.array([i for i in range(files) if i not in unreadable], np.int64)
        with (folder / PICTURES).open("rb") as content:
            found = hashlib.file_digest(content, "sha256").hexdigest()
        size = (folder / PICTURES).stat().st_size
        sound = manifest["files"] == files and found == manifest["sha256"] and size == len(kept) * prod(shape)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{advice} ({error})") from error
    if not sound:
        raise DataError(advice)
    data = np.memmap(folder / PICTURES, np.uint8, mode="r", shape=(len(kept), *shape))
    return Decoded(data, kept, list(unreadable.values()), found)
