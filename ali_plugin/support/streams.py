"""What a run tells the person: dropped where it cannot be written, since watching must not end what is watched."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, TextIO, cast

GONE = (errno.EPIPE, errno.EIO, errno.EBADF)  # nobody reads what is written: a pipe, a terminal that is closed


class Unfailing(io.TextIOBase):
    """A stream on which to write never fails: its reader may go, its disk may fill.

    Args:
        stream: None for the program's stderr at each moment.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    @property
    def stream(self) -> TextIO:
        return self._stream or sys.stderr

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return getattr(self.stream, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        with _tolerated(self.stream):
            self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        with _tolerated(self.stream):
            self.stream.flush()

    def close(self) -> None:
        """Nothing: the stream is another's. Python also closes what is left when it ends, its modules gone by then."""

    def isatty(self) -> bool:
        return is_terminal(self.stream)

    def fileno(self) -> int:
        return self.stream.fileno()


def unfailing(stream: TextIO | None = None) -> IO[str]:
    """See ``Unfailing``."""
    return cast(IO[str], Unfailing(stream))


@contextmanager
def _tolerated(stream: TextIO) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in GONE:  # on a disk that is full, later lines may get through
            abandon(stream)
    except (ValueError, AttributeError):  # it is closed, or was from the start
        pass


def settle() -> None:
    """Before the program ends: what is still in the buffers and cannot be written must not change its exit code."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            abandon(stream)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether it is a terminal; a stream that is closed, or was from the start, is none."""
    with suppress(ValueError):
        return stream is not None and stream.isatty()
    return False


def abandon(stream: TextIO | None) -> None:
    """Let a stream that cannot be written lead nowhere, so that what is left in its buffer fails no more."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, cast(TextIO, stream).fileno())
        os.close(nowhere)


stderr = unfailing()
