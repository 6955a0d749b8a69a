"""metrics.jsonl: a line of figures for each log, one writer, whatever a crash or a full disk has left in it."""

from __future__ import annotations

import json
import os
import stat
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from ali_plugin.errors import FolderError
from ali_plugin.support import atomic
from ali_plugin.support.limits import MAX_STEPS
from ali_registry.text import is_clean

METRICS_NAME = "metrics.jsonl"
LONGEST_LINE = 1 << 20  # bytes
LONGEST_NAME, MOST_NAMES, LARGEST = 100, 64, 1e30  # of what is read: characters, figures of a line, their size
WAITING = 10_000  # lines that are kept for a disk that is full


class Metrics:
    """The file of a run. Lines that cannot be written now are kept and written with the next."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._waiting: deque[bytes] = deque(maxlen=WAITING)

    def append(self, figures: Mapping[str, float]) -> None:
        """Add a line; FolderError where it cannot be written, the file then ends with the line before."""
        self._waiting.append(json.dumps(dict(figures)).encode() + b"\n")
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
        try:
            with open(os.open(self.path, flags, 0o666), "wb", buffering=0) as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise FolderError(f"cannot write {self.path}: it is no regular file")
                _append_whole(file, b"".join(self._waiting))
        except OSError as error:
            raise FolderError(f"cannot write {self.path}: {error.strerror or error}") from error
        self._waiting.clear()

    def keep_until(self, step: int) -> None:
        """Drop the lines of steps that will be made again, and what is no such line: blanks, a torn end.

        Raises:
            FolderError: it is no regular file, or cannot be written.
        """
        self._waiting.clear()
        if not self.path.exists():
            return
        if not self.path.is_file():  # to open a pipe would wait for ever
            raise FolderError(f"{self.path} is no regular file; remove it")
        with atomic.replacing(self.path) as temporary, temporary.open("wb") as out:
            for line in _lines_until(self.path, step):
                out.write(line)


def read(path: Path, most: int) -> list[dict[str, float]]:
    """The figures of a run's sound lines, in order of their steps, in bounded memory.

    Args:
        most: lines, at least 2; of more, every second, fourth, ... is kept, and the last one.

    Raises:
        FolderError: there is no such regular file, or it has no sound line.
    """
    kept: list[dict[str, float]] = []
    stride, last = 1, None
    for number, line in enumerate(_lines_until(path, MAX_STEPS) if path.is_file() else ()):
        last = line
        if number % stride == 0:
            kept.append(_figures(line))
            if len(kept) == most:
                kept, stride = kept[::2], 2 * stride
    if last is None:
        raise FolderError(f"{path} has no figures, which a run writes as it trains; name a run that has trained")
    end = _figures(last)
    return kept if kept[-1] == end else [*kept, end]


def _figures(line: bytes) -> dict[str, float]:
    """The finite numbers of a line, by names that can be shown."""
    found = islice(json.loads(line).items(), MOST_NAMES)
    return {name: float(value) for name, value in found if is_clean(name, LONGEST_NAME) and _is_finite(value)}


def _is_finite(value: object) -> bool:
    """Not by ``math.isfinite``, which an integer of hundreds of digits breaks."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -LARGEST <= value <= LARGEST


def _append_whole(file: BinaryIO, content: bytes) -> None:
    """Write all of it or, where the disk is full, none."""
    before = os.fstat(file.fileno()).st_size
    try:
        left = memoryview(content)
        while left:
            left = left[file.write(left) :]
    except OSError:
        with suppress(OSError):
            file.truncate(before)
        raise


def _lines_until(path: Path, step: int) -> Iterator[bytes]:
    """The sound lines up to a step, each of a later step than the one before it."""
    last = -1
    with path.open("rb") as file:
        while line := file.readline(LONGEST_LINE):
            found = _step_of(line)
            if found is not None and last < found <= step:
                last = found
                yield line.strip(b"\0\xef\xbb\xbf \t\r\n") + b"\n"


def _step_of(line: bytes) -> int | None:
    if not line.endswith(b"\n"):
        return None
    try:
        step = json.loads(line.strip(b"\0\xef\xbb\xbf \t\r\n"))["step"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return step if isinstance(step, int) and not isinstance(step, bool) else None
