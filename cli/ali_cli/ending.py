"""How the program ends when it is stopped, or when the machine does not give it what it needs."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ASKED = {"SIGTERM": "terminated", "SIGHUP": "the terminal was closed"}


class Terminated(SystemExit):
    """Raised by a signal, so that what is half written is removed on the way out."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.code: int = 128 + number
        self.name = ASKED[signal.Signals(number).name]


@contextmanager
def tidily() -> Iterator[None]:
    """Turn signals that would end the process where it stands into ``Terminated``."""

    def end(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)
        raise Terminated(number)

    numbers = [getattr(signal, name) for name in ASKED if hasattr(signal, name)]
    main = threading.current_thread() is threading.main_thread()
    # One that is ignored (nohup) or handled by somebody else stays so.
    ours = [number for number in numbers if main and signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def circumstance(error: Exception) -> str | None:
    """What an exception of a foreign library says of the machine or its files; None where it says nothing of them."""
    if isinstance(error, RecursionError):
        return "what was read is nested too deeply"
    if isinstance(error, OSError) and error.errno is not None:
        named = [os.fspath(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
        return f"{', '.join(map(repr, named)) or 'a file'}: {error.strerror or error}"
    return None
