"""The tables of many tar shards, kept in the cache so that their headers are read once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from os.path import commonpath
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ali_plugin.datasets.cache import cache_root
from ali_plugin.datasets.streams.choice import Choice
from ali_plugin.datasets.streams.tar import OFFSET, SIZE, TarShard, table_of
from ali_plugin.errors import DataError, FolderError
from ali_plugin.support import atomic, dry_run
from ali_plugin.support.progress import track

Table = NDArray[np.int64]


def tar_shards(files: Sequence[Path], choice: Choice) -> list[TarShard]:
    """The shards of these tar files, by their names below the folder that they share.

    Raises:
        DataError: see ``table_of``.
    """
    root = Path(commonpath([path.parent for path in files]))
    kept = _kept_at(files, choice)
    tables = _read(kept, files)
    if tables is None:
        tables = [table_of(path, choice) for path in track(files, "reading the headers of shards", len(files))]
        _keep(kept, tables)
    names = [path.relative_to(root).as_posix() for path in files]
    return [TarShard(path, name, table) for path, name, table in zip(files, names, tables, strict=True)]


def _kept_at(files: Sequence[Path], choice: Choice) -> Path:
    digest = hashlib.sha256(repr((choice.image, choice.label)).encode())
    for path in files:
        try:
            status = path.stat()
        except OSError as error:
            raise DataError(f"the shard {str(path)!r} cannot be read: {error.strerror or error}") from error
        digest.update(f"\n{path.resolve()}\0{status.st_size} {status.st_mtime_ns}".encode(errors="surrogateescape"))
    return cache_root() / f"tar-shards-{digest.hexdigest()[:24]}.npy"


def _keep(path: Path, tables: Sequence[Table]) -> None:
    """Write them; where that cannot be, the headers are read again another time."""
    whole = np.concatenate([np.column_stack([np.full(len(t), i, np.int64), t]) for i, t in enumerate(tables)])
    if not dry_run.active.get():
        with suppress(FolderError):
            atomic.write_with(path, lambda temporary: np.save(temporary, whole, allow_pickle=False))


def _read(path: Path, files: Sequence[Path]) -> list[Table] | None:
    """The tables, None where they are not there or damaged."""
    try:
        whole = np.load(path, mmap_mode="r", allow_pickle=False)
        if whole.dtype != np.int64 or whole.ndim != 2 or whole.shape[1] != 4:
            return None
        counts = np.bincount(whole[:, 0], minlength=len(files))
        tables = np.split(whole[:, 1:], np.cumsum(counts)[:-1])
        if len(tables) != len(files) or (np.diff(whole[:, 0]) < 0).any() or not counts.all():
            return None
        ends = [int((table[:, OFFSET] + table[:, SIZE]).max()) for table in tables]
        sound = (whole[:, 1:3] >= 0).all() and all(
            end <= path.stat().st_size for end, path in zip(ends, files, strict=True)
        )
    except (OSError, ValueError, EOFError):
        return None
    return tables if sound else None
