"""What a run tells the person: dropped where it cannot be written, since watching must not end what is watched."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, TextIO, cast


class Unfailing(io.TextIOBase):
    """The program's stderr at each moment, on which to write never fails: its reader may go, its disk may fill."""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return getattr(sys.stderr, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        with _tolerated():
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with _tolerated():
            sys.stderr.flush()

    def isatty(self) -> bool:
        return is_terminal(sys.stderr)

    def fileno(self) -> int:
        if sys.stderr is None:
            raise OSError("there is no stderr")
        return sys.stderr.fileno()


@contextmanager
def _tolerated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):  # there, later lines may get through
            abandon(sys.stderr)
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


stderr = cast(IO[str], Unfailing())
