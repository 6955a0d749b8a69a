"""Contents, kept under their SHA-256."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

SHA256 = re.compile("[0-9a-f]{64}")


class Blobs:
    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, sha256: str) -> Path:
        """Where a content lies. Clients name contents, so a name that is no digest must not become a path."""
        if not SHA256.fullmatch(sha256):
            raise ValueError(f"{sha256!r} is not a SHA-256 digest")
        return self._root / sha256[:2] / sha256

    def __contains__(self, sha256: str) -> bool:
        return self.path(sha256).exists()

    def size(self, sha256: str) -> int:
        return self.path(sha256).stat().st_size

    def read(self, sha256: str) -> bytes:
        return self.path(sha256).read_bytes()

    def add(self, pieces: Iterable[bytes], expected: str | None = None) -> str:
        """Keep a content and return its digest; a content that is not the `expected` one is refused."""
        self._root.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        # Renamed when complete: whoever finds a content finds all of it.
        with tempfile.NamedTemporaryFile(dir=self._root, suffix=".incoming", delete=False) as file:
            try:
                for piece in pieces:
                    digest.update(piece)
                    file.write(piece)
                sha256 = digest.hexdigest()
                if expected not in (None, sha256):
                    raise ValueError(f"expected the content {expected}, received {sha256}")
                self.path(sha256).parent.mkdir(exist_ok=True)
                file.flush()
                os.replace(file.name, self.path(sha256))
            except BaseException:
                os.unlink(file.name)
                raise
        return sha256


def git_oid(content: bytes) -> str:
    """The name that git gives to a file with this content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def pointer(sha256: str, size: int) -> bytes:
    """The small text that git keeps in place of a large file."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
