"""Which files of the Hub's cache are what the Hub says: hashed once, known again by size, times and inode.

The records lie in this library's own cache, not beside the files: what comes with a cache folder from elsewhere
cannot vouch for it. A file that was written since has another time of change, which nobody can set.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ali_plugin.errors import ALIError
from ali_plugin.hub.transfer import DIGEST, File
from ali_plugin.support import atomic
from ali_plugin.support.strict_json import read_object

TICK = 0.02  # seconds within which a file system's clock may give two changes one time


class Records:
    """Digests of a snapshot's files that were compared before.

    Args:
        folder: the snapshot.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._place = _place(folder)
        self._known = _read(self._place)

    def digest(self, name: str) -> str | None:
        """The digest that the Hub gave for a file when it was last fetched; None where no record tells."""
        found = self._known.get(name)
        return found[0] if found else None

    def is_whole(self, file: File) -> bool:
        """Whether a file has its size and digest; it is read where no record of it as it is now is there."""
        path = self._folder / file.name
        try:
            if not path.is_file() or path.stat().st_size != file.size:
                return False
            if self._known.get(file.name) == [file.digest, *_identity(path)]:
                return True
            return _hash(path, file) == file.digest
        except OSError:
            return False

    def keep(self, files: Iterable[File]) -> None:
        """Remember files that were compared just now, at the latest; what cannot be kept is compared again."""
        with suppress(OSError, ALIError):
            found = {file.name: (file.digest, _identity(self._folder / file.name)) for file in files}
            known = {name: [digest, *identity] for name, (digest, identity) in found.items()}
            if self._place and any(self._known.get(name) != row for name, row in known.items()):
                _let_time_pass(self._folder, max(identity[2] for _, identity in found.values()))
                self._known = {**self._known, **known}
                atomic.write(self._place, json.dumps(self._known), lasting=False)  # as the client's files are


def _place(folder: Path) -> Path | None:
    from ali_plugin.datasets.cache import cache_root

    name = hashlib.sha256(os.fsencode(folder.absolute())).hexdigest()
    try:
        return cache_root() / "hub" / f"{name[:32]}.json"
    except (OSError, RuntimeError):  # nobody's home
        return None


def _read(place: Path | None) -> dict[str, list[Any]]:
    """Sound rows of a record; {} where there is none that is ours."""
    try:
        if place is None or (hasattr(os, "geteuid") and place.lstat().st_uid != os.geteuid()):
            return {}
        rows = read_object(place)
    except (OSError, ALIError):
        return {}
    return {name: row for name, row in rows.items() if _is_row(row)}


def _is_row(row: Any) -> bool:
    return (
        isinstance(row, list)
        and len(row) == 6
        and isinstance(row[0], str)
        and DIGEST.fullmatch(row[0]) is not None
        and all(isinstance(number, int) for number in row[1:])
    )


def _identity(path: Path) -> tuple[int, ...]:
    """What changes with a file: size, times in ns, device, inode."""
    status = path.stat()
    return (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_dev, status.st_ino)


def _let_time_pass(folder: Path, changed: int) -> None:
    """A change after this one must not get the same time: wait until the file system's clock has moved on.

    Where it counts finely it has, and nothing is waited for; elsewhere it is asked by touching the folder.
    """
    ends = time.monotonic() + TICK
    while time.time() - changed / 1e9 < TICK and time.monotonic() < ends:
        os.utime(folder)
        if folder.stat().st_ctime_ns > changed:
            return
        time.sleep(0.001)


def _hash(path: Path, file: File) -> str:
    hasher = file.hasher()
    with path.open("rb") as content:
        while piece := content.read(1 << 20):
            hasher.update(piece)
    digest: str = hasher.hexdigest()
    return digest
