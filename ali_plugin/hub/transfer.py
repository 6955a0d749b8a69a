"""A file on its way from the Hub: what the listing says of it, and the hash of what has come so far."""

from __future__ import annotations

import hashlib
import re
import time
from dataclasses import dataclass, field
from typing import Any

from huggingface_hub import constants

from ali_plugin.errors import HubError

CHUNK: int = constants.DOWNLOAD_CHUNK_SIZE  # in which the client keeps what it reads
DIGEST = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")


class Damaged(HubError):
    """A file is not what the listing says; it does not enter the cache."""


@dataclass(frozen=True)
class File:
    """What the Hub's listing says of a file.

    Attributes:
        commit: that it belongs to, 40 hexadecimal digits.
        size: in bytes.
        digest: SHA-256 of a large file, git's SHA-1 of a small one, in hexadecimal.
    """

    name: str
    commit: str
    size: int
    digest: str

    def hasher(self) -> Any:
        """A fresh hash that ends in ``digest`` if it is fed the file's content."""
        if len(self.digest) == 64:
            return hashlib.sha256()
        return hashlib.sha1(b"blob %d\0" % self.size, usedforsecurity=False)


@dataclass
class Transfer:
    """A file on its way, over as many answers as it takes.

    Attributes:
        hasher: fed with all that came; a thread beside the transfer saves nothing, handing over costs as much.
        done: bytes of the file that were hashed; read: bytes that came, some of them again.
        marks: the hash as it was where the client may ask to continue.
    """

    file: File
    hasher: Any = field(init=False)
    done: int = 0
    read: int = 0
    begun: float = field(default_factory=time.monotonic)
    marks: dict[int, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.start(0)

    @property
    def complete(self) -> bool:
        """Whether the whole file came by, and was the right one."""
        return self.done == self.file.size and self.hasher.hexdigest() == self.file.digest

    def start(self, position: int) -> None:
        """An answer begins at this byte of the file; Damaged where that is none that can be continued from."""
        if position and position not in self.marks:
            raise Damaged(f"{self.file.name} was continued at byte {position}, which was not asked for")
        self.done = position
        self.hasher = self.marks[position].copy() if position else self.file.hasher()

    def take(self, piece: bytes, begin: int) -> None:
        """Hash a piece of an answer that began at byte ``begin``; the client keeps whole chunks of it."""
        self.read += len(piece)
        while piece:
            room = CHUNK - (self.done - begin) % CHUNK
            self.hasher.update(piece[:room])
            self.done += len(piece[:room])
            if len(piece) >= room:
                self.marks[self.done] = self.hasher.copy()
            piece = piece[room:]
