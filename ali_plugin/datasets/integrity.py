"""Whether a large file of the cache is what was written.

To read gigabytes at each start takes longer than the start. A file that has the time of change with which it was
written, and whose pages agree where they are looked at, is taken for whole; of any other all is read, as it is of each
one where somebody asks for it (``verifying``).
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np

from ali_plugin.support import dry_run

DIGEST = re.compile("[0-9a-f]{64}")
PAGE, PAGES = 4096, 64  # bytes of a page, and how many are looked at

_verifying: ContextVar[bool] = ContextVar("verifying", default=False)


@contextmanager
def verifying(wanted: bool = True) -> Iterator[None]:
    """Compare all of each file that is looked at inside with its digest."""
    token = _verifying.set(wanted)
    try:
        yield
    finally:
        _verifying.reset(token)


def facts(path: Path, sha256: str) -> dict[str, Any]:
    """What a manifest has to say of a file that was written, by which ``is_whole`` knows it; JSON values.

    Args:
        sha256: of all of it, in hexadecimal.
    """
    with path.open("rb") as content:
        return {"sha256": sha256, "changed": os.fstat(content.fileno()).st_mtime_ns, "sampled": _sampled(content)}


def is_whole(content: BufferedReader, manifest: Mapping[str, Any]) -> bool:
    """Whether the file is what was written. One that was found whole though its time is another, such as a copy, gets
    the time back, so that the next start need not read it.

    Raises:
        KeyError, TypeError: the manifest is none that has ``facts``.
    """
    if not DIGEST.fullmatch(manifest["sha256"]):
        return False
    changed = os.fstat(content.fileno()).st_mtime_ns
    if changed == manifest["changed"] and not _verifying.get():
        return bool(_sampled(content) == manifest["sampled"])
    if hashlib.file_digest(content, "sha256").hexdigest() != manifest["sha256"]:
        return False
    if changed != manifest["changed"] and not dry_run.active.get():
        with suppress(OSError, OverflowError):  # it belongs to somebody else, or the manifest has no such time
            os.utime(content.fileno(), ns=(changed, manifest["changed"]))
    return True


def _sampled(content: BufferedReader) -> str:
    """The digest of pages that are spread evenly over a file, the first and the last among them."""
    last = max(0, os.fstat(content.fileno()).st_size - PAGE)
    starts = np.linspace(0, last, PAGES).astype(np.int64).tolist()
    return hashlib.sha256(b"".join(os.pread(content.fileno(), PAGE, start) for start in starts)).hexdigest()
