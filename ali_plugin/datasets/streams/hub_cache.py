"""A set of the Hub in the cache of decoded pictures: as a memory map, so that everything is exact and at hand.

Its folder holds ``pictures.bin`` as other caches do, ``labels.npy``, and ``manifest.json``, which is written last. Its
name holds the set's commit, so that another one is made when the set has changed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ali_plugin.datasets import integrity
from ali_plugin.datasets.cache import ADVICE, MANIFEST, PICTURES, cache_root
from ali_plugin.datasets.streams.decoded import decoded
from ali_plugin.datasets.streams.shard import Portion
from ali_plugin.errors import DataError, FolderError
from ali_plugin.support import atomic, locks
from ali_plugin.support.progress import track

LABELS = "labels.npy"
DISK_SHARE = 0.9  # of the free disk, that a set may take


@dataclass(frozen=True)
class Kept:
    """Pictures in a memory map, (N, C, H, W) uint8, their classes (N,), and what could not be read; the digest is of
    both."""

    data: NDArray[np.uint8]
    labels: NDArray[np.int64]
    unreadable: list[str]
    digest: str


def folder_of(label: str, *what: object) -> Path:
    """The cache of a certain content."""
    return cache_root() / f"{label}-{hashlib.sha256(repr(what).encode()).hexdigest()[:24]}"


def fits(portions: Sequence[Portion], shape: tuple[int, ...], folder: Path) -> bool:
    """Whether all these samples are in a cache already, or fit into the disk that is free."""
    if (folder / MANIFEST).is_file():
        return True
    there = next(parent for parent in folder.absolute().parents if parent.is_dir())
    return sum(map(len, portions)) * prod(shape) <= DISK_SHARE * shutil.disk_usage(there).free


def kept(portions: Sequence[Portion], shape: tuple[int, ...], folder: Path) -> Kept:
    """The pictures of portions of shards, fitted to ``shape``, from a cache or into it.

    Raises:
        DataError: the cache cannot be written, none of the pictures can be read, or a shard is cut off.
    """
    if found := _opened(folder, shape):
        return found
    try:
        with locks.holding(folder.with_name(f".{folder.name}.lock"), f"the cache {str(folder)!r}", wait=-1):
            if (found := _opened(folder, shape)) is None:
                shutil.rmtree(folder, ignore_errors=True)  # a damaged one
                atomic.sweep(folder.parent)
                _fill(portions, shape, folder)
                found = _opened(folder, shape)
    except FolderError as error:
        raise DataError(f"{error}; {ADVICE}, or let the set stream with :stream") from error
    if found is None:
        raise DataError(f"the cache {str(folder)!r} cannot be read again; {ADVICE}")
    return found


def _fill(portions: Sequence[Portion], shape: tuple[int, ...], folder: Path) -> None:
    picked = ((portion.shard, portion.numbers(np.arange(len(portion)))) for portion in portions)
    total = sum(map(len, portions))
    with atomic.making(folder) as temporary:
        digest, labels, unreadable = hashlib.sha256(), list[int](), list[str]()
        with (temporary / PICTURES).open("wb") as out:
            for picture, label in track(decoded(picked, shape), "decoding pictures", total):
                if isinstance(picture, DataError):
                    unreadable.append(str(picture))
                    continue
                labels.append(label)
                out.write(content := picture.tobytes())
                digest.update(content)
        if not labels:
            raise DataError(f"none of the {total} pictures can be read, such as {unreadable[0]}")
        atomic.sync(temporary / PICTURES)
        np.save(temporary / LABELS, np.array(labels, np.int64), allow_pickle=False)
        manifest = {
            "shape": shape,
            "samples": len(labels),
            "unreadable": unreadable,
            "labels": _digest_of(temporary / LABELS),
            **integrity.facts(temporary / PICTURES, digest.hexdigest()),
        }
        atomic.write(temporary / MANIFEST, json.dumps(manifest))


def _opened(folder: Path, shape: tuple[int, ...]) -> Kept | None:
    """The cache, None where it is not there or damaged."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        labels = np.load(folder / LABELS, allow_pickle=False)
        size = manifest["samples"], *shape
        if (folder / PICTURES).stat().st_size != prod(size) or labels.shape != size[:1] or labels.dtype != np.int64:
            return None
        if _digest_of(folder / LABELS) != manifest["labels"]:
            return None
        with (folder / PICTURES).open("rb") as content:
            if not integrity.is_whole(content, manifest):
                return None
            data = np.memmap(content, np.uint8, mode="r", shape=size)
        digest = hashlib.sha256(f"{manifest['sha256']} {manifest['labels']}".encode()).hexdigest()
        return Kept(data, labels, [str(reason) for reason in manifest["unreadable"]], digest)
    except (OSError, ValueError, KeyError, TypeError, EOFError, RecursionError):
        return None


def _digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
